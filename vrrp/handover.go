package vrrp

import "time"

// A purpose is why an active router leaves while it could go on; 0: it does
// not. A later one replaces an earlier one if it is greater.
type purpose uint8

const (
	leaveGroup    purpose = iota + 1 // another member of its group leaves
	leaveDemotion                    // an operator asked it to
	leaveFault                       // something is wrong with what it serves
	leaveShutdown                    // it is stopped
)

// The longest and shortest time that addresses are served on after another
// router was heard. It advertises before it has the addresses (RFC 9568
// §6.4.2), and its announcements need a moment to be believed.
const (
	lingerMin = 50 * time.Millisecond
	lingerMax = time.Second
)

// leave begins to hand over: priority 0 now and once an interval, while the
// addresses stay and are answered for, until another router advertises. So no
// client sees a gap, whatever the others' priorities and preemption: RFC 9568
// releases the addresses with the advertisement, and nobody serves for
// Skew_Time. It reports false where that is not to be done, or cannot: no
// advertisement can leave, or nothing is served any more.
func (r *Router) leave(now Instant, why purpose) bool {
	if r.state != Active || r.cfg.HandoverTimeout == 0 || r.mute != 0 || (r.silent || r.atOnce) && r.faulty() {
		return false
	}
	if r.leaving == 0 {
		r.leaveUntil = now.Add(r.cfg.HandoverTimeout)
		if why == leaveGroup { // after the member it follows, which may stay
			r.leaveUntil = r.leaveUntil.Add(r.cfg.AdvertInterval)
		}
		r.report(Record{Cause: CauseLeaving, After: r.cfg.HandoverTimeout})
		r.leaving = why
		r.sendLeaving(now)
	}
	if r.leaving == leaveGroup && why > leaveGroup {
		r.leaveUntil = min(r.leaveUntil, now.Add(r.cfg.HandoverTimeout))
	}
	r.leaving = max(r.leaving, why)
	return true
}

// sendLeaving says priority 0 and sets the timer for the next time.
func (r *Router) sendLeaving(now Instant) {
	r.send(PriorityRelease)
	r.setTimer(min(now.Add(r.cfg.AdvertInterval), r.leaveUntil))
}

// leavingTimer is the timer of a router that hands over.
func (r *Router) leavingTimer(now Instant) {
	if now < r.leaveUntil {
		r.sendLeaving(now)
		return
	}
	why := r.leaving
	r.report(Record{Cause: CauseNoSuccessor})
	switch {
	case why == leaveDemotion && !r.forced:
		r.demotion = NotDemoted
		r.stay(now, leaveDemotion)
	default:
		r.finish(now, r.cfg.AdvertInterval, 0, Record{Cause: leaveCause[why]})
	}
}

var leaveCause = [...]Cause{leaveGroup: CauseGroup, leaveDemotion: CauseDemoted, leaveFault: CauseFault, leaveShutdown: CauseShutdown}

// advertWhileLeaving ends the handover with the first advertisement of
// another router, whatever its priority. Priority 0 is another one leaving.
func (r *Router) advertWhileLeaving(now Instant, a Received) {
	if a.Priority == PriorityRelease || a.Source == r.source {
		return
	}
	own := r.Priority()
	r.active = ActiveRouter{Address: a.Source, Priority: a.Priority, Interval: a.Interval, Heard: a.At}
	r.finish(a.At, a.Interval, r.linger(), Record{Cause: leaveCause[r.leaving], Peer: a.Source, Priority: a.Priority, Own: own})
}

// finish ends a handover.
func (r *Router) finish(base Instant, interval, linger time.Duration, why Record) {
	switch r.leaving {
	case leaveShutdown:
		r.end(linger)
	case leaveFault:
		r.fail(linger)
	default:
		r.becomeBackup(base, interval, linger, why)
	}
}

// stay takes a handover back that was begun for a purpose. A member of a
// group says so only when the others stay too: until then it leaves with them.
func (r *Router) stay(now Instant, why purpose) {
	if r.state != Active || r.leaving != why {
		return
	}
	if r.group && why != leaveGroup {
		r.leaving = leaveGroup
		r.leaveUntil = now.Add(r.cfg.HandoverTimeout + r.cfg.AdvertInterval)
		r.setTimer(now.Add(r.cfg.AdvertInterval))
		return
	}
	r.leaving = 0
	r.report(Record{Cause: CauseStays})
	r.readvertise(now)
}

// linger is how long addresses are served on beside a router that was heard.
func (r *Router) linger() time.Duration {
	if r.cfg.HandoverTimeout == 0 {
		return 0
	}
	return min(max(r.cfg.AdvertInterval, lingerMin), lingerMax)
}
