package vrrp

import (
	"testing"
	"time"
)

func holding(c *Config) { c.HandoverTimeout = 5 * time.Second }

// rendered with the linger of a release, which script leaves out.
func lingerOf(actions []Action) time.Duration {
	for _, a := range actions {
		if a.Kind == ActionReleaseAddresses {
			return a.Linger
		}
	}
	return -1
}

func TestCase74DemotionHandsOver(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.step(Event{Kind: EventDemote, Demotion: Demoted}, "note(handing_over) adv(0) timer(1000.000)")
	s.state(Active)
	if !s.r.HandingOver() {
		t.Error("not shown")
	}
	s.hear(lower, 0, "") // another one leaving
	s.fire("adv(0) timer(1000.000)")
	s.wait(300 * ms)
	s.hear(lower, 90, "timer(3996.094) release backup(demoted)")
	s.wait(time.Second)
	s.hear(lower, 90, "timer(3996.094)") // does not reclaim, although 100 is more
	s.step(Event{Kind: EventPromote}, "note(promoted) timer(3609.375)")
}

func TestCase75DemotionBesideAPeerThatDoesNotPreempt(t *testing.T) {
	// A lower priority would not move such a peer; priority 0 does, so that is
	// what is sent, and nothing between.
	s := newScript(t, holding)
	s.becomeActive()
	s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	s.step(Event{Kind: EventPriority, Priority: 50}, "")
	s.fire("adv(0) timer(1000.000)")
}

func TestCase76NobodyTakesOver(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	for range 4 {
		s.fire("adv(0) timer(1000.000)")
	}
	s.fire("note(no_successor) note(stays) adv(100) timer(1000.000)")
	if s.r.Demotion() != NotDemoted || s.r.HandingOver() {
		t.Error("still demoted")
	}

	forced := newScript(t, holding)
	forced.becomeActive()
	forced.quietly(Event{Kind: EventDemote, Demotion: Demoted, Force: true})
	for range 4 {
		forced.fire("adv(0) timer(1000.000)")
	}
	forced.fire("note(no_successor) timer(3996.094) release backup(demoted)")
}

func TestHandoverTimeoutIsKept(t *testing.T) {
	s := newScript(t, func(c *Config) { c.HandoverTimeout = 1500 * ms })
	s.becomeActive()
	s.quietly(Event{Kind: EventShutdown})
	s.fire("adv(0) timer(500.000)")
	s.fire("note(no_successor) stop release initialize(shutdown)")
}

func TestShutdownHandsOver(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.step(Event{Kind: EventShutdown}, "note(handing_over) adv(0) timer(1000.000)")
	s.wait(600 * ms)
	s.hear(lower, 90, "stop release initialize(shutdown)")

	again := newScript(t, holding)
	again.becomeActive()
	again.quietly(Event{Kind: EventShutdown})
	again.step(Event{Kind: EventShutdown, Now: true}, "stop release initialize(shutdown)")

	backup := newScript(t, holding)
	backup.backup()
	backup.step(Event{Kind: EventShutdown}, "stop initialize(shutdown)")
}

func TestFaultHandsOver(t *testing.T) {
	failing := Event{Kind: EventFault, Reasons: []string{"check nginx is failing"}}
	s := newScript(t, holding)
	s.becomeActive()
	s.step(failing, "note(handing_over) adv(0) timer(1000.000)")
	s.wait(600 * ms)
	s.hear(lower, 90, "stop release fault(fault)")

	cleared := newScript(t, holding)
	cleared.becomeActive()
	cleared.quietly(failing)
	cleared.step(Event{Kind: EventFault}, "note(stays) adv(100) timer(1000.000)")

	// Without a carrier nothing can be handed over.
	cut := newScript(t, holding)
	cut.becomeActive()
	cut.quietly(failing)
	cut.step(Event{Kind: EventFault, Reasons: []string{"eth0 has no carrier"}, Silent: true}, "stop release fault(fault)")

	// Nor over a bond that has failed, but that is said.
	bond := newScript(t, holding)
	bond.becomeActive()
	bond.step(Event{Kind: EventFault, Reasons: []string{"bond bond0: no usable link"}, AtOnce: true}, "stop adv(0) release fault(fault)")

	stopped := newScript(t, holding)
	stopped.becomeActive()
	stopped.quietly(failing)
	stopped.step(Event{Kind: EventShutdown}, "") // the greater purpose, the same handover
	stopped.hear(lower, 90, "stop release initialize(shutdown)")
}

func TestLinger(t *testing.T) {
	for interval, want := range map[time.Duration]time.Duration{10 * ms: lingerMin, 300 * ms: 300 * ms, 5 * time.Second: lingerMax} {
		s := newScript(t, holding, every(interval))
		s.becomeActive()
		yield := Event{Kind: EventAdvert, Advert: Received{Source: addrs(peer)[0], Priority: 200, Interval: interval, At: s.now}}
		if got := lingerOf(s.r.Step(s.now, yield)); got != want {
			t.Errorf("at %s: a linger of %s, want %s", interval, got, want)
		}
	}
	s := newScript(t) // released at once
	s.becomeActive()
	if got := lingerOf(s.r.Step(s.now, Event{Kind: EventAdvert, Advert: Received{Source: addrs(peer)[0], Priority: 200, Interval: time.Second, At: s.now}})); got != 0 {
		t.Errorf("a linger of %s without a handover", got)
	}
}

func TestPromotedBeforeAnybodyTookOver(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	s.step(Event{Kind: EventPromote}, "note(promoted) note(stays) adv(100) timer(1000.000)")
}

func TestGroupHandsOverTogether(t *testing.T) {
	two := func() (*Group, *Router, *Router) {
		a, b := newScript(t, holding), newScript(t, holding)
		g := NewGroup([]*Router{a.r, b.r}, []string{"a", "b"})
		for i := range 2 {
			g.Step(0, i, Event{Kind: EventStartup})
		}
		at, _ := a.r.Deadline()
		for i := range 2 {
			g.Step(at, i, Event{Kind: EventTimer})
		}
		if a.r.State() != Active || b.r.State() != Active {
			t.Fatal("the group is not active")
		}
		return g, a.r, b.r
	}
	now := Instant(10 * time.Second)
	heard := func(g *Group, i int) {
		g.Step(now, i, Event{Kind: EventAdvert, Advert: Received{Source: addrs(lower)[0], Priority: 90, Interval: time.Second, At: now}})
	}

	g, a, b := two()
	g.Step(now, 0, Event{Kind: EventFault, Reasons: []string{"check"}})
	if !a.HandingOver() || !b.HandingOver() {
		t.Fatal("both must hand over")
	}
	heard(g, 0)
	if a.State() != Fault || !b.HandingOver() {
		t.Fatalf("a is %s, b handing over: %v", a.State(), b.HandingOver())
	}
	heard(g, 1)
	if b.State() != Fault {
		t.Fatalf("b is %s", b.State())
	}

	g, a, b = two()
	g.Step(now, 0, Event{Kind: EventDemote, Demotion: Demoted})
	g.Step(now, 0, Event{Kind: EventPromote})
	if a.HandingOver() || b.HandingOver() || b.State() != Active {
		t.Fatal("both must stay")
	}
}
