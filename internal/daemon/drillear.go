package daemon

import (
	"net/netip"
	"sync"
	"time"

	"vrrpd/vip"
	"vrrpd/vrrp"
)

// earMoments bounds what an ear remembers. A drill makes a dozen moments for
// each instance; peers that fight for the addresses make more.
const earMoments = 1024

// An ear hears what happens to some instances while a drill runs. The loop
// tells it and never waits.
type ear struct {
	news chan struct{} // there is something new

	mu      sync.Mutex
	moments []moment
	missed  int // moments beyond earMoments
	active  map[string]vrrp.ActiveRouter
}

// A moment is something that happened to an instance.
type moment struct {
	at   time.Time
	inst string
	what what

	peer     netip.Addr // heard
	priority uint8
	from, to vrrp.State // changed
	text     string
	addrs    []vip.Address // came, went, gone
}

type what uint8

const (
	heard   what = iota + 1 // an advertisement of a router or a priority that was not the last one heard
	changed                 // the state
	told                    // something about a handover
	came                    // addresses are on this node, and announced
	went                    // this node does not answer for addresses any more
	gone                    // … nor serves them
)

func newEar() *ear {
	return &ear{news: make(chan struct{}, 1), active: map[string]vrrp.ActiveRouter{}}
}

// add remembers a moment. A nil ear hears nothing.
func (e *ear) add(m moment) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.note(m)
}

func (e *ear) note(m moment) {
	if len(e.moments) >= earMoments {
		e.missed++
		return
	}
	e.moments = append(e.moments, m)
	select {
	case e.news <- struct{}{}:
	default:
	}
}

// advert hears an advertisement that arrived a moment ago.
func (e *ear) advert(inst string, peer netip.Addr, priority uint8, age time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.active[inst]
	if last.Address == peer && last.Priority == priority {
		return
	}
	e.active[inst] = vrrp.ActiveRouter{Address: peer, Priority: priority}
	e.note(moment{at: time.Now().Add(-age), inst: inst, what: heard, peer: peer, priority: priority})
}

// record hears a router's report, of a moment.
func (e *ear) record(inst string, r *vrrp.Record, at time.Time) {
	switch {
	case e == nil:
	case r.Transition():
		e.add(moment{at: at, inst: inst, what: changed, from: r.From, to: r.To, text: r.String()})
	case r.Cause == vrrp.CauseLeaving, r.Cause == vrrp.CauseStays, r.Cause == vrrp.CauseNoSuccessor, r.Cause == vrrp.CauseHeld, r.Cause == vrrp.CausePreemptDelay:
		e.add(moment{at: at, inst: inst, what: told, text: r.String()})
	}
}

// addresses hears of addresses that came or went.
func (e *ear) addresses(inst string, ev *vip.Event) {
	switch ev.Kind {
	case vip.Held:
		e.add(moment{at: ev.At, inst: inst, what: came, addrs: ev.Addresses})
	case vip.Quieted:
		e.add(moment{at: ev.At, inst: inst, what: went, addrs: ev.Addresses})
	case vip.Released:
		e.add(moment{at: ev.At, inst: inst, what: gone, addrs: ev.Addresses})
	}
}

// since returns what was heard after the first n moments.
func (e *ear) since(n int) []moment {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moments[n:len(e.moments):len(e.moments)]
}
