package vrrp

import (
	"slices"
	"time"
)

// A Group is a set of virtual routers of one node that become active and
// backup together: none is active unless all can be, and a fault of one is a
// fault of all. The group's routers must agree in priority and preemption;
// otherwise they could never settle.
type Group struct {
	members []*Router
	labels  []string
	actions []MemberAction
}

// A MemberAction is an action of one member, by its place in the group.
type MemberAction struct {
	Member int
	Action Action
}

// NewGroup ties routers together. The labels name them in the reasons that
// the others give for being in fault.
//
// Where some are active already, as those are whose group is given another
// member, the others join them: each becomes active when it would by itself,
// and until then nobody waits for it, follows it or has its faults. For how
// long is JoinWithin, and Settle ends it. It ends as well when one of those
// that were active is not any more.
func NewGroup(routers []*Router, labels []string) *Group {
	active, leaving := false, false
	for _, r := range routers {
		active = active || r.state == Active
		leaving = leaving || r.state == Active && r.leaving != 0
	}
	for i, r := range routers {
		r.group, r.follower = true, i > 0
		r.joining = active && !leaving && r.state != Active
	}
	return &Group{members: routers, labels: labels}
}

// joinGrace is what a router that joins is given to become able to run: an
// interface that is new has its IPv6 address after a second or two (RFC 4862,
// duplicate address detection), and a check its first verdict.
const joinGrace = 10 * time.Second

// JoinWithin returns how long after NewGroup the group is to be settled; 0: not
// at all.
func (g *Group) JoinWithin() (within time.Duration) {
	for _, r := range g.members {
		if r.joining {
			c := &r.cfg
			down := ActiveDownInterval(c.Version, PriorityDemoted, max(c.AdvertInterval, r.activeInterval))
			within = max(within, joinGrace+c.StartDelay+c.PreemptDelay+2*down)
		}
	}
	return within
}

// Settle makes whoever has not joined by now a member like any other, and
// returns what all of them ask for, as Step does.
func (g *Group) Settle(now Instant) []MemberAction {
	g.actions = g.actions[:0]
	for _, r := range g.members {
		r.joining = false
	}
	g.agree(now)
	return g.actions
}

// joined ends the joining of members that are active now, and of all when those
// they were to join are not.
func (g *Group) joined() {
	over := slices.ContainsFunc(g.members, func(r *Router) bool { return !r.joining && r.state != Active })
	for _, r := range g.members {
		r.joining = r.joining && !over && r.state != Active
	}
}

// Dissolve unties the members, each in the state it is in. Nothing happens to
// them yet: a member may join another group, is stopped, or is to be told
// EventAlone. In between, none could become active by mistake because it no
// longer waits for the others.
func (g *Group) Dissolve() {
	for _, r := range g.members {
		r.group, r.follower, r.joining = false, false, false
	}
}

// State is the state of the group as a whole, without those that are to join.
func (g *Group) State() State {
	states := make([]State, 0, len(g.members))
	for _, r := range g.members {
		if !r.joining {
			states = append(states, r.state)
		}
	}
	for _, s := range []State{Fault, Initialize, Backup} {
		if slices.Contains(states, s) {
			return s
		}
	}
	return Active
}

// Step tells one member what happened and returns what all of them ask for,
// in order. The slice is good until the next call.
func (g *Group) Step(now Instant, member int, e Event) []MemberAction {
	g.actions = g.actions[:0]
	g.step(now, member, e)
	g.agree(now)
	return g.actions
}

// agree has the members follow what happened to one of them.
func (g *Group) agree(now Instant) {
	g.joined()
	g.spreadFaults(now)
	g.followYield(now)
	g.promote(now)
}

func (g *Group) step(now Instant, member int, e Event) {
	g.collect(member, g.members[member].Step(now, e))
}

func (g *Group) collect(member int, actions []Action) {
	for _, a := range actions {
		g.actions = append(g.actions, MemberAction{Member: member, Action: a})
	}
}

// spreadFaults gives every member the faults of the others.
func (g *Group) spreadFaults(now Instant) {
	for i, r := range g.members {
		var others []string
		for j, o := range g.members {
			if i != j && len(o.faults) > 0 && o.mute == 0 && !o.joining {
				others = append(others, "group: "+g.labels[j]+": "+o.faults[0])
			}
		}
		if !slices.Equal(others, r.groupFaults) {
			g.step(now, i, Event{Kind: eventGroupFault, Reasons: others})
		}
	}
}

// followYield takes every member down with one that is not active any more,
// or is about to leave. They say so with priority 0, so that the peer need not
// wait for the end of their Active_Down_Interval. If that one stays after all,
// so do they.
func (g *Group) followYield(now Instant) {
	down := slices.ContainsFunc(g.members, func(r *Router) bool {
		return !r.joining && (r.state != Active || r.leaving != 0 && r.leaving != leaveGroup)
	})
	for i, r := range g.members {
		switch {
		case r.state == Active && down && r.leaving == 0:
			g.step(now, i, Event{Kind: eventGroupYield})
		case r.state == Active && !down && r.leaving == leaveGroup:
			g.step(now, i, Event{Kind: eventGroupStay})
		}
	}
}

// promote makes the whole group active as soon as every member is ready; and
// one that joins an active group as soon as it is ready itself, unless the
// others are about to leave, or without a carrier.
func (g *Group) promote(now Instant) {
	staying := true
	for _, r := range g.members {
		r.resumeNoMore(now)
		staying = staying && (r.joining || r.state == Active && r.leaving == 0 && r.mute == 0)
	}
	for i, r := range g.members {
		if staying && r.joining && r.Ready() {
			g.step(now, i, Event{Kind: eventGroupPromote})
			r.joining = false
		}
	}
	for _, r := range g.members {
		if !r.Ready() {
			return
		}
	}
	for i := range g.members {
		g.step(now, i, Event{Kind: eventGroupPromote})
	}
}
