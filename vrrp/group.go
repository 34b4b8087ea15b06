package vrrp

import "slices"

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
func NewGroup(routers []*Router, labels []string) *Group {
	for i, r := range routers {
		r.group, r.follower = true, i > 0
	}
	return &Group{members: routers, labels: labels}
}

// Dissolve unties the members, each in the state it is in. Nothing happens to
// them yet: a member may join another group, is stopped, or is to be told
// EventAlone. In between, none could become active by mistake because it no
// longer waits for the others.
func (g *Group) Dissolve() {
	for _, r := range g.members {
		r.group, r.follower = false, false
	}
}

// State is the state of the group as a whole.
func (g *Group) State() State {
	states := make([]State, len(g.members))
	for i, r := range g.members {
		states[i] = r.state
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
	g.spreadFaults(now)
	g.followYield(now)
	g.promote(now)
	return g.actions
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
			if i != j && len(o.faults) > 0 && o.mute == 0 {
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
		return r.state != Active || r.leaving != 0 && r.leaving != leaveGroup
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

// promote makes the whole group active as soon as every member is ready.
func (g *Group) promote(now Instant) {
	for _, r := range g.members {
		r.resumeNoMore(now)
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
