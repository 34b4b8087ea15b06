package daemon

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"vrrpd/vrrp"
)

// This file has garbage collected before a crowd takes over instead of in the
// middle. Two thousand takeovers make as much garbage as there is room for
// between two collections, and who allocates during one helps with it, or waits
// for it: some milliseconds, the loop as well as the keeper of addresses. That
// an active host is gone can be seen before its time is up.

const (
	// collectEarly is how long before a takeover that is: what a collection takes
	// with thousands of routers, a few times over.
	collectEarly = 60 * time.Millisecond
	// collectTakes is what one takes at least: with less time it would be in the way.
	collectTakes = 5 * time.Millisecond
	// collectAgain is how long there is none after that.
	collectAgain = time.Second
	// roomier is how many times as much garbage as usual there may be meanwhile.
	roomier = 3
)

// collectAt returns when to collect garbage ahead of takeovers; false: not now.
// As long as all active routers are heard it is reached in a wait alone, which may
// have read ahead: then the next takeover is two intervals away at least, once that
// is taken, and it comes first (loop.turn).
func (e *engine) collectAt() (vrrp.Instant, bool) {
	if len(e.instances) < crowdFrom {
		return 0, false
	}
	inst := e.timers.first()
	if inst == nil || inst.router.State() != vrrp.Backup || inst.deadline < e.collectNext {
		return 0, false
	}
	return inst.deadline.Add(-min(collectEarly, inst.router.ActiveInterval()*3/2)), true
}

// collectDue has garbage collected, if it is time, there is a crowd, and it will be
// over before that takes over: who leaves on purpose gives no such notice.
func (e *engine) collectDue(now vrrp.Instant) {
	at, ok := e.collectAt()
	if !ok || at > now {
		return
	}
	first := e.timers.first()
	e.collectNext = first.deadline + 1 // the next one is looked at anew
	if first.deadline.Sub(now) < collectTakes || e.timers.due(first.deadline.Add(first.router.ActiveInterval())) < crowdFrom {
		return
	}
	e.collectNext = now.Add(collectAgain)
	e.out.collect()
}

// collectAhead collects garbage, and has the collector leave more room until
// the crowd has taken over.
func collectAhead() {
	collector := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(collector)
	percent := int(collector[0].Value.Uint64())
	if percent < 0 {
		return // it is off
	}
	room := percent * roomier
	usual := debug.SetGCPercent(room)
	runtime.GC()
	time.Sleep(collectAgain / 2)
	if other := debug.SetGCPercent(usual); other != room {
		debug.SetGCPercent(other) // somebody changed it meanwhile
	}
}
