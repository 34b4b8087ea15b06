package daemon

import (
	"fmt"
	"strings"
	"time"

	"vrrpd/vrrp"
)

// Kinds of notes, as `vrrpctl events` shows them.
const (
	kindTransition = "transition"
	kindGroup      = "group"
	kindCheck      = "check"
	kindAddress    = "address"
	kindInterface  = "interface"
	kindBond       = "bond"
	kindHandover   = "handover"
	kindDemote     = "demote"
	kindPromote    = "promote"
	kindReload     = "reload"
	kindWarning    = "warning"
	kindDaemon     = "daemon"
)

// A level is how loud a note is in the log.
type level uint8

const (
	levelDebug level = iota + 1
	levelInfo
	levelWarn
	levelError
)

// A note is something worth telling. It goes to the journal, the log and,
// if it is a transition, to the notification commands: one record, however it
// is looked at.
type note struct {
	at       time.Time // zero: now
	kind     string
	level    level
	instance string
	check    string
	from, to string // transitions
	cause    string
	text     string
	notify   *notification
}

// A notification is what the commands of [[notify]] are told.
type notification struct {
	group    bool
	name     string
	state    string // ACTIVE BACKUP FAULT STOP CONDITION
	priority uint8

	condition string // CONDITION: which
	turned    string // … on or off
}

func (e *engine) tell(n note) {
	if n.at.IsZero() {
		n.at = time.Now()
	}
	e.then(func() { e.out.tell(n) })
}

// record takes a router's report: a transition, or a notice, of a moment.
// If a timer led to it, that was due at due.
func (e *engine) record(inst *instance, r vrrp.Record, at, due time.Time) {
	text := r.String()
	e.conditionsFollow(inst, r, text)
	inst.ear.record(inst.cfg.Name, &r, at)
	if !r.Transition() {
		kind, lvl := kindWarning, levelWarn
		switch r.Cause {
		case vrrp.CauseDemoted:
			kind, lvl = kindDemote, levelInfo
		case vrrp.CausePromoted:
			kind, lvl = kindPromote, levelInfo
		case vrrp.CausePreemptDelay, vrrp.CauseHeld, vrrp.CauseSpeaksAgain, vrrp.CauseDualResolved:
			lvl = levelInfo
		case vrrp.CauseLeaving, vrrp.CauseStays:
			kind, lvl = kindHandover, levelInfo
		case vrrp.CauseNoSuccessor:
			kind = kindHandover
			e.resumed(inst)
		}
		e.tell(note{at: at, kind: kind, level: lvl, instance: inst.cfg.Name, cause: r.Cause.String(), text: text})
		return
	}
	if r.To == vrrp.Initialize {
		e.departed(inst)
	}
	e.board.turned(inst.cfg.Name, r.To)
	inst.since, inst.cause = at, text
	inst.transitions[transitionKey{r.To, r.Cause}]++
	inst.transitioned++
	if r.To == vrrp.Active {
		// Counted from the moment the timer was due, not from when we woke up.
		inst.promotedAt = at
		if !due.IsZero() && r.Cause != vrrp.CausePromoted {
			inst.promotedAt = due
		}
		if r.Cause == vrrp.CauseTimeout {
			e.outlive(inst, r.After)
		}
	} else {
		inst.promotedAt = time.Time{}
	}
	lvl := levelInfo
	if r.To == vrrp.Fault {
		lvl = levelWarn
	}
	n := note{at: at, kind: kindTransition, level: lvl, instance: inst.cfg.Name, from: r.From.String(), to: r.To.String(),
		cause: r.Cause.String(), text: text}
	if state := notifyState(r.To); state != "" {
		n.notify = &notification{name: inst.cfg.Name, state: state, priority: inst.router.Priority()}
	}
	e.tell(n)
}

// outlive announces the addresses once more when those of a router that fell
// silent are gone from it. If only its daemon died or hangs, its kernel answers
// for them until its lease ends, and some neighbour may have believed it.
func (e *engine) outlive(inst *instance, silent time.Duration) {
	left := inst.cfg.Lease - silent + leaseGrain
	if inst.cfg.Lease == 0 || left <= 0 {
		return
	}
	epoch := inst.transitioned
	e.out.again(left, func(vrrp.Instant) {
		if inst.transitioned == epoch && inst.router.State() == vrrp.Active {
			owner := inst.owner
			e.order(func() { e.out.addresses.Announce(owner) })
		}
	})
}

// leaseGrain is how late the kernel may be to drop an address.
const leaseGrain = 300 * time.Millisecond

// notifyState is a state as notification commands are told it. A router that
// waits for its start delay is not stopped.
func notifyState(s vrrp.State) string {
	switch s {
	case vrrp.Active:
		return "ACTIVE"
	case vrrp.Backup:
		return "BACKUP"
	case vrrp.Fault:
		return "FAULT"
	case vrrp.Initialize:
		return "STOP"
	}
	return ""
}

// groupChanged tells when a group as a whole changed its state.
func (e *engine) groupChanged(g *group) {
	state := g.machine.State()
	if state == g.state {
		return
	}
	old := g.state
	g.state = state
	n := note{kind: kindGroup, level: levelInfo, instance: g.cfg.Name, from: old.String(), to: state.String(),
		text: fmt.Sprintf("group of %s", strings.Join(g.cfg.Instances, ", "))}
	if s := notifyState(state); s != "" {
		n.notify = &notification{group: true, name: g.cfg.Name, state: s, priority: g.members[0].router.Priority()}
	}
	e.tell(n)
}
