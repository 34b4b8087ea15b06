package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// While an interface is hushed, the kernel keeps a note of what its ARP
// switches were, for the process that comes after one that crashed: a
// blackhole route in a table that nobody looks anything up in. Its destination
// is the index of the interface, its metric says the values. No interface takes
// it along when it goes down.

// noteTable is the routing table of notes.
const noteTable = mark<<24 | mark

// noteTo returns what the note about an interface is a route to.
func noteTo(index int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(index))
	return netip.AddrFrom4(b)
}

// appendNote writes struct rtmsg and its attributes (linux/rtnetlink.h).
func appendNote(b []byte, index int, was arpSwitches) []byte {
	to := noteTo(index)
	b = append(b, unix.AF_INET, byte(to.BitLen()), 0, 0, unix.RT_TABLE_UNSPEC, mark, unix.RT_SCOPE_UNIVERSE, unix.RTN_BLACKHOLE, 0, 0, 0, 0)
	b = appendIP(b, unix.RTA_DST, to)
	b = appendWord(b, unix.RTA_TABLE, noteTable)
	return appendWord(b, unix.RTA_PRIORITY, routeMetric|was.ignore<<8|was.announce)
}

// hushed returns the switches of an interface that is hushed.
func (s arpSwitches) hushed() arpSwitches {
	return arpSwitches{ignore: max(s.ignore, 1), announce: max(s.announce, 2)}
}

// note makes a note, or removes it.
func (w *worker) note(do action, index int, was arpSwitches) {
	o := op{do: do, index: index, arp: was}
	if err := w.kernel.apply([]op{o})[0]; !o.done(err) {
		name := w.view.interfaceName(index)
		w.report(Event{Kind: Failed, Interface: name, At: time.Now(),
			Err: fmt.Errorf("note what arp_ignore and arp_announce of %s were: %w", name, err)})
	}
}

// unhushLeftovers restores the switches of interfaces that an earlier process
// had hushed when it crashed. Notes are not listed; those that there may be are
// removed on the chance.
func (w *worker) unhushLeftovers() {
	tried := make(map[int]bool)
	for _, g := range w.goals {
		l := g.link
		if l == nil || tried[l.index] {
			continue
		}
		tried[l.index] = true
		if _, ours := w.hushed[l.index]; ours {
			continue
		}
		var ops []op
		for _, ignore := range []uint32{0, 1, l.arp.ignore} {
			for announce := range uint32(3) {
				if was := (arpSwitches{ignore, announce}); ignore < 2 || l.arp.ignore > 1 {
					ops = append(ops, op{do: removeNote, index: l.index, arp: was})
				}
			}
		}
		for i, err := range w.kernel.apply(ops) {
			was := ops[i].arp
			if err != nil || was.hushed() != l.arp {
				continue // the usual case, or somebody else has set them meanwhile
			}
			if err := w.kernel.setARP(l.index, was); err != nil && !errors.Is(err, unix.ENODEV) {
				w.report(Event{Kind: Failed, Interface: l.name, At: time.Now(),
					Err: fmt.Errorf("restore arp_ignore and arp_announce of %s: %w", l.name, err)})
				continue
			}
			l.arp = was
		}
	}
}
