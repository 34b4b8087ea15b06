package bonding

import (
	"fmt"
	"time"
)

// A Health is how much of a bond is left.
type Health uint8

// The levels, best first.
const (
	_ Health = iota
	Healthy
	Degraded // serves, but the redundancy it had is lost
	Failed   // nothing can be served over it, or it is not what was asked for
)

// String is the word used in status, metrics and logs.
func (h Health) String() string {
	switch h {
	case Healthy:
		return "healthy"
	case Degraded:
		return "degraded"
	case Failed:
		return "failed"
	default:
		return fmt.Sprintf("unknown health %d", uint8(h))
	}
}

// A Policy is what a bond must be to count as healthy. The zero Policy asks
// for one usable link.
type Policy struct {
	Mode           Mode     // zero: any
	MinLinks       int      // usable links; below 1 is 1
	RequireMonitor bool     // with neither miimon nor arp_interval the bond has failed
	Links          []string // must be attached; nil: whatever is attached is all there should be
}

// A Verdict is what Judge found.
type Verdict struct {
	Health  Health
	Reasons []string // what is wrong, the gravest first; empty when healthy. Those about a link begin with its name and a colon
	Usable  int      // links
	Links   int      // attached

	// Settles is not zero if the bond has failed only because 802.3ad has not
	// opened links yet that are there, as after a move to another aggregator:
	// how long the driver takes for it. See Debounce.Believe.
	Settles time.Duration
}

// Judge compares a bond with a policy; a nil bond is one that does not exist.
//
// A bond has failed if it has no usable link or fewer than MinLinks, is set
// down or has no carrier, has the wrong mode, has no monitor though one is
// required, or, in active-backup mode, if there is no active link, or the
// active link is dead and no monitor will ever move away from it.
//
// It is degraded if a link that is attached, or should be, is not usable, or
// if LACP has no partner or only half of one. A bond of a single usable link
// never had any redundancy to lose: that is Diagnose's business, as are an
// active link that is not the primary and links of unlike speed.
func Judge(b *Bond, p Policy) Verdict {
	if b == nil {
		return Verdict{Health: Failed, Reasons: []string{"absent"}}
	}
	v := Verdict{Health: Healthy, Usable: b.UsableLinks(), Links: len(b.Links)}
	v.add(Failed, failures(b, p, v.Usable))
	v.settles(b, p)
	v.add(Degraded, losses(b, p))
	return v
}

func (v *Verdict) add(h Health, reasons []string) {
	if len(reasons) > 0 {
		v.Health = max(v.Health, h)
		v.Reasons = append(v.Reasons, reasons...)
	}
}

// failures are the reasons that make a bond unfit.
func failures(b *Bond, p Policy, usable int) []string {
	var why []string
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if p.Mode != 0 && b.Mode != p.Mode {
		say("mode is %s, not %s", b.Mode, p.Mode)
	}
	if p.RequireMonitor && !b.Monitored() {
		say("no monitor: neither miimon nor arp_interval is set")
	}
	switch {
	case !b.Up:
		say("set down")
	case len(b.Links) == 0:
		say("no links")
	case usable == 0:
		say("no usable link")
	case usable < p.MinLinks:
		say("%d of %d links usable, min_links is %d", usable, len(b.Links), p.MinLinks)
	case !b.Carrier:
		// The driver's own min_links in 802.3ad, for one.
		say("no carrier")
	case b.Mode == ModeActiveBackup && b.ActiveLink == "":
		say("no active link")
	case b.Mode == ModeActiveBackup && !b.Monitored() && !b.Usable(b.Link(b.ActiveLink)):
		// With a monitor the driver is about to leave the link, and a bond
		// failover within the monitor's time is no reason to move the service.
		say("%s: active and down, and no monitor to move away from it", b.ActiveLink)
	}
	return why
}

// lacpSteps is how long the driver's LACP machine, which makes a step each tenth
// of a second (AD_TIMER_INTERVAL), may take to choose another aggregator and
// open its ports, on a machine that is busy.
const lacpSteps = 500 * time.Millisecond

// settles fills in Verdict.Settles.
func (v *Verdict) settles(b *Bond, p Policy) {
	if n := openable(b); v.Health == Failed && n > v.Usable && len(failures(b, p, n)) == 0 {
		takes, _ := b.FailoverTime() // it is monitored
		v.Settles = takes + lacpSteps
	}
}

// openable is how many links an 802.3ad bond has, by itself, in a moment: those
// of the active aggregator that the partner has agreed to, or, if none of it is
// left, those of the largest other one, where the driver is about to move.
func openable(b *Bond) int {
	if b == nil || b.Mode != Mode8023AD || b.Aggregator == nil || !b.Monitored() {
		return 0
	}
	alive, agreed, elsewhere, most := 0, 0, make(map[int]int), 0
	for _, l := range b.Links {
		switch {
		case !l.Up || !l.Carrier || l.MII != MIIUp:
		case l.AggregatorID != b.Aggregator.ID:
			elsewhere[l.AggregatorID]++
			most = max(most, elsewhere[l.AggregatorID])
		default:
			alive++
			if l.Active || l.Partner.Has(PortSync) && !l.Actor.Has(PortExpired) && !l.Actor.Has(PortDefaulted) {
				agreed++
			}
		}
	}
	if alive > 0 {
		return agreed
	}
	return most
}

// losses are the reasons that leave a bond working with less than it had.
func losses(b *Bond, p Policy) []string {
	var why []string
	if b.Mode == Mode8023AD && b.Aggregator != nil && !b.Aggregator.HasPartner() {
		why = append(why, "LACP has no partner")
	}
	for i := range b.Links {
		l := &b.Links[i]
		if s := trouble(b, l); s != "" {
			why = append(why, l.Name+": "+s)
		}
	}
	for _, name := range p.Links {
		if b.Link(name) == nil {
			why = append(why, name+": not attached")
		}
	}
	return why
}

// trouble is what is wrong with one link, "" if nothing.
func trouble(b *Bond, l *Link) string {
	switch {
	case !l.Up:
		return "set down"
	case !l.Carrier:
		return "down"
	case l.MII != MIIUp && b.ARPInterval > 0:
		// "Going back" too: the ARP monitor says so of the link it tries next.
		return "down, ARP targets silent"
	case l.MII == MIIGoingBack:
		return "coming back, held by updelay"
	case l.MII != MIIUp:
		return "down"
	case b.Mode == Mode8023AD:
		return lacpTrouble(b, l)
	}
	return ""
}

// lacpTrouble asks what LACP thinks of a link that is up. Without any partner
// the driver puts every link into an aggregator of its own and uses one.
func lacpTrouble(b *Bond, l *Link) string {
	switch {
	case b.Aggregator == nil:
		return "not negotiated by LACP"
	case l.AggregatorID != b.Aggregator.ID && b.Aggregator.HasPartner() && l.Actor.Has(PortDefaulted):
		return "no LACP partner"
	case l.AggregatorID != b.Aggregator.ID:
		return "not in the active aggregator"
	case !l.Active:
		return "not negotiated by LACP"
	case !b.Aggregator.HasPartner():
		return "" // said once, for the bond
	case l.Actor.Has(PortExpired) || l.Actor.Has(PortDefaulted):
		return "LACP partner silent"
	case !l.Partner.Has(PortSync | PortCollecting):
		return "LACP one-way, the partner takes nothing in"
	case !l.Partner.Has(PortDistributing):
		return "LACP one-way, the partner sends nothing"
	}
	return ""
}
