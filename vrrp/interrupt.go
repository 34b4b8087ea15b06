package vrrp

import "time"

// patience is how many intervals an interruption of an active router may take
// before it counts: less than the others' Active_Down_Interval (RFC 9568
// §6.1), so nobody can have taken over meanwhile.
const patience = 3

// rideOut keeps an active router that lost its carrier active for as long as
// nobody can have taken over: the kernel keeps its addresses, and the service
// is back with the carrier rather than a down interval later. It reports false
// where there is more to it than a carrier, or it has been away too long.
func (r *Router) rideOut(now Instant) bool {
	switch {
	case !r.brief || r.leaving != 0 || len(r.groupFaults) > 0:
		return false
	case r.mute != 0:
		return now < r.mute
	}
	// Counted from the last advertisement that left, as the others do.
	r.mute = r.spoke.Add(patience * r.cfg.AdvertInterval)
	if now >= r.mute {
		r.mute = 0
		return false
	}
	r.report(Record{Cause: CauseMute, Reasons: r.Faults(), After: r.mute.Sub(now)})
	r.setTimer(r.mute)
	return true
}

// muteEnds is the end of the time in which nobody can have taken over. A router
// that did not run when the carrier came back learns of both at once.
func (r *Router) muteEnds(now Instant) {
	if r.faulty() {
		r.fail(0)
		return
	}
	r.speakAgain(now)
}

// speakAgain ends that when the carrier is back: everybody is told at once, for
// a switch may have forgotten where we are.
func (r *Router) speakAgain(now Instant) {
	r.mute = 0
	r.report(Record{Cause: CauseSpeaksAgain})
	r.readvertise(now)
	r.announced = now
	r.do(Action{Kind: ActionAnnounce})
}

// RidesOut reports whether the router, still active, has no carrier.
func (r *Router) RidesOut() bool { return r.state == Active && r.mute != 0 }

// wasFrozen reports whether an active router did not run for so long that
// another one may be active rightly. One that lost its carrier before has read
// the advertisement before it noticed how much later it is.
func (r *Router) wasFrozen(now Instant) bool {
	if r.mute != 0 {
		return now >= r.mute
	}
	return r.leaving == 0 && now.Sub(r.spoke) >= patience*r.cfg.AdvertInterval
}

// thaw has a router that was frozen follow whoever is active now, whatever the
// priorities: the other one serves, and losing it again at once would cost the
// clients a second gap. If this router is the better one it preempts later, as
// one does that was started again.
func (r *Router) thaw(now Instant, a Received) {
	own, away := r.Priority(), now.Sub(r.spoke)
	r.active = ActiveRouter{Address: a.Source, Priority: a.Priority, Interval: a.Interval, Heard: a.At}
	r.becomeBackup(a.At, a.Interval, r.linger(), Record{Cause: CauseFrozen, Peer: a.Source, Priority: a.Priority, Own: own, After: away})
}

// resume starts a router that was active when its process ended, so short ago
// that nobody can have taken over: it goes on being active. A member of a
// group waits for the others, which are started at the same moment. It reports false if that cannot be.
func (r *Router) resume(now Instant) bool {
	if r.faulty() || r.blocked() || r.demotion != NotDemoted {
		return false
	}
	r.activeInterval, r.base = r.cfg.AdvertInterval, now
	if r.group {
		r.transition(Backup, Record{Cause: CauseStartup})
		r.armDown()
		r.expired, r.resuming = true, true
		return true
	}
	r.becomeActive(now, Record{Cause: CauseResumed})
	return true
}

// resumeNoMore ends the wait for the other members of a group, which are started
// at the same moment: later somebody may have taken over, so this one waits for
// its down timer as well.
func (r *Router) resumeNoMore(now Instant) {
	if r.resuming && now > r.base {
		r.resuming, r.expired = false, false
	}
}

// takeLeave starts a router in place of one whose process ended without a
// word: it says what that one did not, and serves until somebody takes over.
func (r *Router) takeLeave(now Instant) {
	if r.faulty() {
		r.transition(Fault, Record{Cause: CauseFault, Reasons: r.Faults()})
		return
	}
	r.do(Action{Kind: ActionHoldAddresses})
	r.transition(Active, Record{Cause: CauseResumed})
	if !r.leave(now, leaveShutdown) {
		r.shutdown(now, true)
	}
}

// How long a process may have been gone for EventStartup's Resume.
func ResumeWithin(advertInterval time.Duration) time.Duration { return patience * advertInterval }
