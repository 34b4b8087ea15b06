package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Cause is why a router changed its state, or what a notice is about.
type Cause uint8

const (
	CauseStartup        Cause = iota + 1 // the router was started
	CauseShutdown                        // the router was stopped
	CauseOwner                           // priority 255: active at once
	CauseTimeout                         // nothing was heard for Active_Down_Interval
	CausePeerLeft                        // the active router sent priority 0
	CausePreempt                         // the active router's priority was below ours
	CauseHigherPriority                  // a router of higher priority is active
	CauseHigherAddress                   // one of equal priority and higher address is
	CauseFault                           // something keeps the router from running
	CauseFaultCleared                    // nothing does any more
	CauseDemoted                         // an operator demoted it
	CausePromoted                        // an operator lifted that
	CauseGroup                           // another member of its group moved it
	CauseResumed                         // it was active when an earlier process ended
	CauseFrozen                          // it did not run, and another one is active now

	// Causes of notices only.
	CauseHeld          // it would be active but for something named
	CauseDualActive    // another router stays active beside us
	CauseDualResolved  // it no longer does
	CauseOwnerConflict // another router of priority 255
	CauseSameAddress   // another router sends from our own address
	CauseLeaving       // it hands over: priority 0, and serves until somebody has taken over
	CauseStays         // it does not hand over after all
	CauseNoSuccessor   // nobody took over
	CauseMute          // no carrier; it stays active for a moment
	CauseSpeaksAgain   // the carrier is back in time
	CausePreemptDelay  // a router of lower priority is active; we wait before preempting
)

var causeNames = [...]string{
	CauseStartup: "startup", CauseShutdown: "shutdown", CauseOwner: "owner", CauseTimeout: "timeout",
	CausePeerLeft: "peer_left", CausePreempt: "preempt", CauseHigherPriority: "higher_priority",
	CauseHigherAddress: "higher_address", CauseFault: "fault", CauseFaultCleared: "fault_cleared",
	CauseDemoted: "demoted", CausePromoted: "promoted", CauseGroup: "group", CauseResumed: "resumed", CauseFrozen: "frozen", CauseMute: "no_carrier", CauseSpeaksAgain: "carrier_back", CauseHeld: "held",
	CauseDualActive: "dual_active", CauseDualResolved: "dual_active_resolved", CauseOwnerConflict: "owner_conflict",
	CauseLeaving: "handing_over", CauseStays: "stays", CauseNoSuccessor: "no_successor", CauseSameAddress: "same_address", CausePreemptDelay: "preempt_delay",
}

// String returns the cause as metrics and events name it.
func (c Cause) String() string {
	if int(c) < len(causeNames) && c != 0 {
		return causeNames[c]
	}
	return "unknown"
}

// A Record is one thing worth telling: a transition, or a notice where From
// and To are the same.
type Record struct {
	From, To State
	Cause    Cause
	Peer     netip.Addr    // the other router, if one is part of the story
	Priority uint8         // its priority
	Own      uint8         // ours at that moment
	After    time.Duration // how long nothing was heard, or will be waited
	Reasons  []string      // CauseFault, CauseHeld
}

// Transition reports whether the record is a change of state.
func (r *Record) Transition() bool { return r.From != r.To }

// String is the cause as a sentence without the states.
func (r *Record) String() string {
	switch r.Cause {
	case CauseStartup:
		return "started"
	case CauseShutdown:
		return "stopped"
	case CauseOwner:
		return "owns the addresses (priority 255)"
	case CauseTimeout:
		if !r.Peer.IsValid() {
			return fmt.Sprintf("no advertisement from anybody for %s", Seconds(r.After))
		}
		return fmt.Sprintf("no advertisement from %s for %s", r.Peer, Seconds(r.After))
	case CausePeerLeft:
		return fmt.Sprintf("%s stopped being active (priority 0)", r.Peer)
	case CausePreempt:
		return fmt.Sprintf("priority %d preempts %s with priority %d", r.Own, r.Peer, r.Priority)
	case CauseHigherPriority:
		return fmt.Sprintf("%s is active with priority %d, higher than %d", r.Peer, r.Priority, r.Own)
	case CauseHigherAddress:
		return fmt.Sprintf("%s is active with equal priority %d and the higher address", r.Peer, r.Priority)
	case CauseFault:
		return strings.Join(r.Reasons, "; ")
	case CauseFaultCleared:
		return "nothing is at fault any more"
	case CauseDemoted:
		return "demoted by an operator"
	case CausePromoted:
		return "promoted by an operator"
	case CauseGroup:
		return "follows its group"
	case CauseResumed:
		return "goes on where vrrpd ended a moment ago"
	case CauseFrozen:
		return fmt.Sprintf("vrrpd did not run for %s, and %s is active now", Seconds(r.After), r.Peer)
	case CauseMute:
		return fmt.Sprintf("%s; staying active for another %s in case that passes", strings.Join(r.Reasons, "; "), Seconds(r.After))
	case CauseSpeaksAgain:
		return "the carrier is back before anybody can have taken over"
	case CauseHeld:
		return "not becoming active: " + strings.Join(r.Reasons, "; ")
	case CauseDualActive:
		return fmt.Sprintf("%s (priority %d) stays active beside us: it does not seem to hear our advertisements; is VRRP (IP protocol 112) let through by its firewall?", r.Peer, r.Priority)
	case CauseDualResolved:
		return fmt.Sprintf("%s is no longer active beside us", r.Peer)
	case CauseOwnerConflict:
		return fmt.Sprintf("%s also claims to own the addresses (priority 255); only one router may", r.Peer)
	case CauseSameAddress:
		return fmt.Sprintf("another router sends from our own address %s", r.Peer)
	case CauseLeaving:
		return "handing over: serving until another router is active, for at most " + Seconds(r.After)
	case CauseStays:
		return "stays active after all"
	case CauseNoSuccessor:
		return "no other router became active"
	case CausePreemptDelay:
		return fmt.Sprintf("%s is active with priority %d, lower than %d; preempting in %s", r.Peer, r.Priority, r.Own, Seconds(r.After))
	}
	return r.Cause.String()
}

// Seconds prints a duration as seconds for a person, to the hundredth, and
// short ones in milliseconds.
func Seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2fs", d.Seconds())
}
