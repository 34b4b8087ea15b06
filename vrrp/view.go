package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// State returns the state of the election.
func (r *Router) State() State { return r.state }

// Config returns the configuration in force.
func (r *Router) Config() Config { return r.cfg }

// Source returns the address our advertisements come from.
func (r *Router) Source() netip.Addr { return r.source }

// Priority returns the priority in force: 1 while demoted, 255 for an owner,
// else the effective one.
func (r *Router) Priority() uint8 {
	switch {
	case r.demotion != NotDemoted:
		return PriorityDemoted
	case r.cfg.Priority == PriorityOwner:
		return PriorityOwner
	}
	return r.effective
}

// Demotion returns how far an operator took the router down.
func (r *Router) Demotion() Demotion { return r.demotion }

// ActiveRouter returns the active router: ourselves while active, and the
// zero value while nobody is known.
func (r *Router) ActiveRouter() ActiveRouter {
	if r.state == Active {
		return ActiveRouter{Address: r.source, Priority: r.Priority()}
	}
	if r.left {
		return ActiveRouter{}
	}
	return r.active
}

// ActiveInterval returns Active_Adver_Interval.
func (r *Router) ActiveInterval() time.Duration { return r.activeInterval }

// Deadline returns when the timer fires, if it is set.
func (r *Router) Deadline() (Instant, bool) { return r.deadline, r.armed }

// PreemptAt returns when a running preempt delay ends.
func (r *Router) PreemptAt() (Instant, bool) { return r.preemptAt, r.preemptAt != 0 }

// Preempting reports whether the last advertisement heard was from an active
// router of lower priority that is going to be preempted.
func (r *Router) Preempting() bool { return r.state == Backup && r.preempting }

// Expired reports whether the down timer fired but something holds the
// router back from becoming active.
func (r *Router) Expired() bool { return r.state == Backup && r.expired }

// Ready reports whether the down timer fired and nothing of its own holds
// the router back; a member of a group waits for the others then.
func (r *Router) Ready() bool { return r.Expired() && !r.blocked() }

// Faults returns what keeps the router from running, its group's included.
func (r *Router) Faults() []string { return append(slices.Clone(r.faults), r.groupFaults...) }

// Joining reports whether the router is in a group that is active without it,
// and is to join.
func (r *Router) Joining() bool { return r.joining }

// Holds returns what keeps a backup from becoming active.
func (r *Router) Holds() []string {
	holds := slices.Clone(r.holds)
	if r.demotion == DemotedHard {
		holds = append(holds, "demoted with --hard")
	}
	return holds
}

// HandingOver reports whether the router, still active, has said that it
// leaves and serves until another one has taken over.
func (r *Router) HandingOver() bool { return r.state == Active && r.leaving != 0 }

// DualActive reports whether another router stays active beside us.
func (r *Router) DualActive() bool { return r.state == Active && r.rival.reported }

func (r *Router) faulty() bool  { return len(r.faults) > 0 || len(r.groupFaults) > 0 }
func (r *Router) blocked() bool { return len(r.holds) > 0 || r.demotion == DemotedHard }
func (r *Router) preempts() bool {
	return r.demotion == NotDemoted && (r.cfg.Preempt || r.Priority() == PriorityOwner)
}

func (r *Router) do(a Action) { r.actions = append(r.actions, a) }

func (r *Router) send(priority uint8) { r.sendAt(priority, r.cfg.AdvertInterval) }

// sendAt has an advertisement sent that promises the next one after an interval.
func (r *Router) sendAt(priority uint8, interval time.Duration) {
	r.spoke = r.now
	r.do(Action{Kind: ActionSendAdvert, Priority: priority, Interval: interval})
}

func (r *Router) setTimer(at Instant) {
	r.deadline, r.armed = at, true
	r.do(Action{Kind: ActionSetTimer, At: at})
}

func (r *Router) stopTimer() {
	if r.armed {
		r.armed = false
		r.do(Action{Kind: ActionStopTimer})
	}
}

// transition changes the state and reports it.
func (r *Router) transition(to State, why Record) {
	why.From, why.To = r.state, to
	r.state = to
	if why.Own == 0 {
		why.Own = r.Priority()
	}
	if why.From != to {
		r.do(Action{Kind: ActionReport, Record: why})
	}
}

// report tells something that is no change of state.
func (r *Router) report(why Record) {
	why.From, why.To = r.state, r.state
	if why.Own == 0 {
		why.Own = r.Priority()
	}
	r.do(Action{Kind: ActionReport, Record: why})
}
