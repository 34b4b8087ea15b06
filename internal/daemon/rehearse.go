package daemon

import (
	"net/netip"
	"sync/atomic"
	"time"

	"vrrpd/internal/beats"
	"vrrpd/internal/config"
	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// rehearse takes over once, without effect: the code of a takeover is paged in
// and its first allocations are made before the first one that counts. That one
// is tens of microseconds faster for it. It returns the state that was reached.
func rehearse() vrrp.State {
	e := newEngine(outside{addresses: unheld{}, tell: func(note) {}, took: func(time.Duration) {}, saved: func() {},
		again: func(time.Duration, func(vrrp.Instant)) {}, readBonds: func() {}, giveWay: func() {}, aside: func(func()) {}, collect: func() {}, notify: func(notification) {},
		boottime: beats.Now, slot: func(identity) *atomic.Int64 { return new(atomic.Int64) }, free: func(identity) {}})
	inst := newInstance(&config.Instance{Name: "rehearsal", VRID: 1, Version: 3, Priority: 100, AdvertInterval: time.Second,
		Addresses: []config.Address{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}}}, 0, new(atomic.Int64))
	inst.port = &port{name: "rehearsal", family: vrrp.IPv4, wire: unsent{}, users: map[uint8]*instance{1: inst}}
	e.instances = []*instance{inst}
	now := vrrp.Instant(transport.Now())
	e.step(now, inst, vrrp.Event{Kind: vrrp.EventSource, Source: netip.MustParseAddr("192.0.2.2")})
	e.step(now, inst, vrrp.Event{Kind: vrrp.EventStartup})
	for range 3 { // a takeover, and what follows
		at, _, _ := e.next()
		e.expire(at, true)
		e.flush(at)
	}
	return inst.router.State()
}

// unsent is a wire that leads nowhere.
type unsent struct{}

func (unsent) FD() int                                                    { return -1 }
func (unsent) Join() error                                                { return nil }
func (unsent) Receive(*transport.Batch) ([]transport.Packet, bool, error) { return nil, false, nil }
func (unsent) Queue(_, _ netip.Addr, _ []byte)                            {}
func (unsent) Flush() (sent int, failed []transport.SendError)            { return 0, nil }
func (unsent) Series(*transport.Series, int64, time.Duration, []transport.Message) *transport.Series {
	return nil
}
func (unsent) Close() error { return nil }

// unheld are addresses that nobody has.
type unheld struct{}

func (unheld) Set(string, vip.Want)            {}
func (unheld) Forget(string)                   {}
func (unheld) Rename(_, _ string)              {}
func (unheld) Announce(string)                 {}
func (unheld) Beat()                           {}
func (unheld) Ready(time.Duration, vip.Caller) {}
