package vrrp

import "time"

// advert handles a valid advertisement (RFC 9568 §6.4). What arrives in
// Initialize or Fault is not part of the protocol and changes nothing.
func (r *Router) advert(now Instant, a Received) {
	switch r.state {
	case Backup:
		r.advertInBackup(a)
	case Active:
		r.advertInActive(now, a)
	}
}

// advertInBackup is RFC 9568 §6.4.2 (200..255).
func (r *Router) advertInBackup(a Received) {
	r.gaveUp, r.resuming = false, false
	if a.Priority == PriorityRelease {
		r.active = ActiveRouter{Address: a.Source, Interval: a.Interval, Heard: a.At}
		r.base, r.left, r.preempting, r.preemptAt, r.expired = a.At, true, false, 0, false
		r.armDown()
		return
	}
	r.active = ActiveRouter{Address: a.Source, Priority: a.Priority, Interval: a.Interval, Heard: a.At}
	if !r.preempts() || a.Priority >= r.Priority() {
		r.learn(a.Interval)
		r.base, r.left, r.preempting, r.preemptAt, r.expired = a.At, false, false, 0, false
		r.armDown()
		return
	}
	r.lowerAdvert(a)
}

// lowerAdvert handles an active router of lower priority than ours: the down
// timer runs on, so that we preempt it when it fires. With a preempt delay,
// that waits for the end of the delay, and until then each advertisement
// keeps up the watch over the router that sends them: if it falls silent, we
// take over after Active_Down_Interval whatever is left of the delay. That
// holds as well if the down timer fired before, but something held us back
// until another one became active.
func (r *Router) lowerAdvert(a Received) {
	first := !r.preempting
	r.preempting, r.left = true, false
	if r.cfg.PreemptDelay == 0 || r.expired && !first && a.At >= r.preemptAt {
		return
	}
	r.expired = false
	if first || r.preemptAt == 0 {
		r.preemptAt = max(r.deadline, a.At.Add(r.cfg.PreemptDelay))
		r.report(Record{Cause: CausePreemptDelay, Peer: a.Source, Priority: a.Priority, Own: r.Priority(), After: r.preemptAt.Sub(a.At)})
	}
	r.learn(a.Interval)
	r.base = a.At
	r.armDown()
}

// learn takes over Active_Adver_Interval. Version 2 has nothing to learn: an
// advertisement with another interval never comes here.
func (r *Router) learn(interval time.Duration) {
	if r.cfg.Version == V3 {
		r.activeInterval = interval
	} else {
		r.activeInterval = r.cfg.AdvertInterval
	}
}

// downInterval is how long the down timer runs from its base.
func (r *Router) downInterval() time.Duration {
	p := r.Priority()
	switch {
	case r.left:
		return SkewTime(r.cfg.Version, p, r.activeInterval)
	case p == PriorityOwner && !r.active.Address.IsValid():
		return 0 // an owner in a group does not wait for anybody but the group
	}
	return ActiveDownInterval(r.cfg.Version, p, r.activeInterval)
}

// downDeadline is when the down timer fires: no later than the end of a
// preempt delay.
func (r *Router) downDeadline() Instant {
	at := r.base.Add(r.downInterval())
	if r.preemptAt != 0 {
		at = min(at, r.preemptAt)
	}
	return at
}

// armDown sets Active_Down_Timer.
func (r *Router) armDown() { r.setTimer(r.downDeadline()) }

// rearmDown moves a running down timer after a change of priority, interval
// or preemption, never into the past. A router that was about to preempt the
// active one and no longer wants to goes on as if it had accepted the
// advertisements it ignored.
func (r *Router) rearmDown(now Instant) {
	if r.preempting && (!r.preempts() || r.active.Priority >= r.Priority()) {
		r.learn(r.active.Interval)
		r.base, r.preempting, r.preemptAt, r.expired = r.active.Heard, false, 0, false
	}
	if !r.expired {
		r.setTimer(max(r.downDeadline(), now))
	}
}

// takeoverRecord says why we take over, after the down timer fired.
func (r *Router) takeoverRecord(now Instant) Record {
	rec := Record{Peer: r.active.Address, Priority: r.active.Priority, Own: r.Priority()}
	switch {
	case r.resuming:
		rec.Cause = CauseResumed
	case r.Priority() == PriorityOwner && !r.active.Address.IsValid():
		rec.Cause = CauseOwner
	case r.left:
		rec.Cause = CausePeerLeft
	case r.preempting && now.Sub(r.active.Heard) < ActiveDownInterval(r.cfg.Version, r.Priority(), r.activeInterval):
		rec.Cause = CausePreempt
	default:
		rec.Cause = CauseTimeout
		rec.After = now.Sub(r.base)
		if r.active.Address.IsValid() {
			rec.After = now.Sub(r.active.Heard)
		}
	}
	return rec
}
