package bonding

import (
	"bytes"
	"fmt"
)

// A ChangeKind is what happened to a bond between two readings.
type ChangeKind uint8

// The changes Compare finds.
const (
	_ ChangeKind = iota
	Appeared
	Vanished
	Remade      // deleted and made again: another index
	ActiveMoved // the active link, or under LACP the active aggregator
	MACChanged  // fail_over_mac=active, or somebody set it
	LinkAttached
	LinkDetached
	LinkUsable
	LinkLost
)

// A Change is one difference between two readings of a bond.
type Change struct {
	Kind ChangeKind
	Link string // the link concerned; for ActiveMoved the new active link, "" if there is none
	Text string // one sentence for a person, beginning with the bond's name

	// First: a LinkUsable or LinkAttached, and the bond had no usable link. In a mode without an active
	// link, and after a move to another aggregator, that is when frames leave
	// again.
	First bool
}

// Announce reports whether the neighbours and the switches must be told again
// where this node's addresses are, and multicast groups be joined again: the
// frames now leave by another port, or under another MAC. The driver tells
// some of them itself (num_grat_arp, resend_igmp), but never in 802.3ad mode
// and never about a MAC that is not the bond's own.
func (c Change) Announce() bool {
	switch c.Kind {
	case Appeared, Remade, MACChanged:
		return true
	case ActiveMoved:
		return c.Link != ""
	case LinkUsable, LinkAttached:
		return c.First
	default:
		return false
	}
}

// Compare says what happened between two readings of the bond of one name, the
// most important first; nil is a bond that does not exist.
func Compare(before, after *Bond) []Change {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return []Change{{Kind: Appeared, Text: fmt.Sprintf("%s appeared, %s", after.Name, after.Mode)}}
	case after == nil:
		return []Change{{Kind: Vanished, Text: before.Name + " is gone"}}
	case before.Index != after.Index:
		return []Change{{Kind: Remade, Text: fmt.Sprintf("%s was made again: index %d, was %d", after.Name, after.Index, before.Index)}}
	}
	var all []Change
	add := func(k ChangeKind, link, format string, args ...any) {
		all = append(all, Change{Kind: k, Link: link, Text: after.Name + ": " + fmt.Sprintf(format, args...)})
	}
	compareActive(before, after, add)
	if !bytes.Equal(before.MAC, after.MAC) {
		add(MACChanged, "", "MAC is %s, was %s", after.MAC, before.MAC)
	}
	first := !after.Mode.HasActiveLink() && before.UsableLinks() == 0
	for i := range after.Links {
		l := &after.Links[i]
		was := before.Link(l.Name)
		usable := after.Usable(l)
		switch {
		case was == nil || was.Index != l.Index:
			add(LinkAttached, l.Name, "%s attached", l.Name)
		case usable && !before.Usable(was):
			add(LinkUsable, l.Name, "%s usable again", l.Name)
		case !usable && before.Usable(was):
			add(LinkLost, l.Name, "%s lost: %s", l.Name, trouble(after, l))
		}
		if first && usable {
			all[len(all)-1].First, first = true, false
		}
	}
	for i := range before.Links {
		if name := before.Links[i].Name; after.Link(name) == nil {
			add(LinkDetached, name, "%s detached", name)
		}
	}
	return all
}

func compareActive(before, after *Bond, add func(ChangeKind, string, string, ...any)) {
	if before.ActiveLink != after.ActiveLink {
		add(ActiveMoved, after.ActiveLink, "active link is %s, was %s", orNone(after.ActiveLink), orNone(before.ActiveLink))
		return
	}
	x, y := before.Aggregator, after.Aggregator
	if x == nil || y == nil || x.ID == y.ID {
		return
	}
	for i := range after.Links {
		if l := &after.Links[i]; l.AggregatorID == y.ID {
			add(ActiveMoved, l.Name, "active aggregator is %d with %s, was %d", y.ID, l.Name, x.ID)
			return
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
