package vip

import (
	"math"
	"net"
	"net/netip"
)

// rehearse holds an address without effect, and reports whether it would have
// been there. Whoever did nothing for a while finds its code, its memory and
// the kernel's out of the processor's caches: half of what the first address
// of a takeover takes. So the worker does it all once while it looks out for the
// order.
func (w *worker) rehearse() (held bool) {
	k := newKeeper(rehearsal{w.kernel}, func(Event) {})
	r, on := k.work, &link{name: "rehearsal", index: nowhere, up: true, running: true, talks: true,
		mac: net.HardwareAddr{2, 0, 0, 0, 0, 0}, promote: true}
	r.view = newView()
	r.view.addLink(on)
	at := Address{Prefix: somewhere, Interface: on.name}
	k.Set("rehearsal", Want{Hold: true, Addresses: []Address{at}})
	r.pass(k.born)
	return len(k.Installed("rehearsal")) == 1
}

// nowhere is an interface that does not exist, and somewhere an address (RFC
// 5737) that is not there either.
const nowhere = math.MaxInt32

var somewhere = netip.MustParsePrefix("192.0.2.1/32")

// A rehearsal is the kernel, asked for nothing that has an effect.
type rehearsal struct{ kernel }

// apply asks for an address to be removed from nowhere, which goes the way of
// every request and fails in the end.
func (r rehearsal) apply(ops []op) []error {
	if ops[0].do == add {
		appendOp(nil, ops[0], 0, 0)
		r.kernel.apply([]op{{do: remove, entry: &entry{index: nowhere, prefix: somewhere}}})
	}
	return make([]error, len(ops))
}

func (rehearsal) announce(l *link, ip netip.Addr) error {
	_, err := announcement(l, ip)
	return err
}

func (rehearsal) setPromote(int, bool) error { return nil }
