package vrrp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	noCarrier = Event{Kind: EventFault, Reasons: []string{"eth0 has no carrier"}, Silent: true, Brief: true}
	cleared   = Event{Kind: EventFault}
)

func TestShortLossOfCarrier(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.wait(300 * ms)
	s.step(noCarrier, "note(no_carrier) timer(2700.000)") // 3 s after the last advertisement
	if !s.r.RidesOut() {
		t.Error("not shown")
	}
	s.wait(200 * ms)
	s.step(Event{Kind: EventPriority, Priority: 50}, "") // nobody would hear it
	s.step(cleared, "note(carrier_back) adv(50) timer(1000.000) announce")
	s.state(Active)
	s.fire("adv(50) timer(1000.000)")
}

func TestLongLossOfCarrier(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.step(noCarrier, "note(no_carrier) timer(3000.000)")
	s.step(noCarrier, "") // said once
	s.fire("stop release fault(fault)")
	s.step(cleared, "backup(fault_cleared) timer(3609.375)")

	// A loop that was late by more than that has nothing to ride out.
	s = newScript(t)
	s.becomeActive()
	s.wait(3 * time.Second)
	s.step(noCarrier, "stop release fault(fault)")
}

// A router that did not run when the carrier came back learns of both at once,
// too late to be sure that nobody has taken over: what has arrived decides, and
// it goes on if that is nothing.
func TestCarrierIsBackOnWaking(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.quietly(noCarrier)
	s.wait(10 * time.Second)
	s.step(cleared, "")
	s.step(Event{Kind: EventTimer}, "note(carrier_back) adv(100) timer(1000.000) announce")
	s.state(Active)

	s = newScript(t, holding)
	s.becomeActive()
	s.quietly(noCarrier)
	s.wait(10 * time.Second)
	s.step(cleared, "")
	s.hear(lower, 90, "timer(3609.375) release backup(frozen)")
	if s.r.RidesOut() {
		t.Error("a backup rides out a loss of carrier")
	}
	s.wait(3 * time.Second)
	s.hear(lower, 90, "")
	s.fire("adv(100) hold announce timer(1000.000) active(preempt)")

	// One that leaves has been active, but is no reason to stop.
	s = newScript(t, holding)
	s.becomeActive()
	s.quietly(noCarrier)
	s.wait(10 * time.Second)
	s.step(cleared, "")
	s.hear(lower, 0, "")
	s.step(Event{Kind: EventTimer}, "note(carrier_back) adv(100) timer(1000.000) announce")
}

func TestLossOfCarrierIsForTheActiveRouterAlone(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.step(noCarrier, "stop fault(fault)")

	// With anything else at fault it ends.
	s = newScript(t, holding)
	s.becomeActive()
	s.quietly(noCarrier)
	s.step(Event{Kind: EventFault, Reasons: []string{"eth0 is down"}, Silent: true}, "stop release fault(fault)")

	// A demotion, a shutdown and a handover under way end it too.
	s = newScript(t, holding)
	s.becomeActive()
	s.quietly(noCarrier)
	s.step(Event{Kind: EventDemote, Demotion: Demoted}, "adv(0) stop release fault(fault)")
	s = newScript(t, holding)
	s.becomeActive()
	s.quietly(noCarrier)
	s.step(Event{Kind: EventShutdown}, "stop adv(0) release initialize(shutdown)")
	s = newScript(t, holding)
	s.becomeActive()
	s.quietly(Event{Kind: EventShutdown})
	s.step(noCarrier, "stop release fault(fault)")
}

// A groupScript is a script for a group of two.
type groupScript struct {
	*script
	g *Group
}

func newStoppedGroup(t *testing.T) *groupScript {
	a, b := newScript(t, holding), newScript(t, holding)
	return &groupScript{a, NewGroup([]*Router{a.r, b.r}, []string{"a", "b"})}
}

func newActiveGroup(t *testing.T) *groupScript {
	s := newStoppedGroup(t)
	for i := range 2 {
		s.g.Step(s.now, i, Event{Kind: EventStartup, Resume: true})
	}
	s.state(Active)
	return s
}

func (s *groupScript) step(member int, e Event, want string) {
	s.t.Helper()
	var got []string
	for _, a := range s.g.Step(s.now, member, e) {
		got = append(got, fmt.Sprintf("%d:%s", a.Member, s.render([]Action{a.Action})))
	}
	if got := strings.Join(got, " "); got != want {
		s.t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestGroupRidesOutTogether(t *testing.T) {
	g := newActiveGroup(t)
	g.step(0, noCarrier, "0:note(no_carrier) 0:timer(3000.000)")
	g.wait(200 * ms)
	g.step(0, cleared, "0:note(carrier_back) 0:adv(100) 0:timer(1000.000) 0:announce")
	g.step(0, noCarrier, "0:note(no_carrier) 0:timer(3000.000)")
	g.wait(3 * time.Second)
	g.step(0, Event{Kind: EventTimer}, "0:stop 0:release 0:fault(fault) 1:note(handing_over) 1:adv(0) 1:timer(1000.000)")
}

// Case 70, the rules of it: what arrived while an active router did not run
// says who is active.
func TestCase70FrozenWhileActive(t *testing.T) {
	s := newScript(t, holding)
	s.becomeActive()
	s.wait(10 * time.Second)
	s.hear(lower, 90, "timer(3609.375) release backup(frozen)")
	s.wait(3 * time.Second)
	s.hear(lower, 90, "")
	s.fire("adv(100) hold announce timer(1000.000) active(preempt)")

	// An empty queue means that nobody took over.
	s.wait(10 * time.Second)
	s.step(Event{Kind: EventTimer}, "adv(100) timer(1000.000)")
	s.state(Active)

	// Not long enough for anybody to take over: the usual rules.
	s.wait(2900 * ms)
	s.hear(lower, 90, "adv(100) announce")
	s.state(Active)

	// Without preemption the other one stays.
	s = newScript(t, noPreempt)
	s.becomeActive()
	s.wait(10 * time.Second)
	s.hear(lower, 90, "timer(3609.375) release backup(frozen)")
	s.wait(time.Second)
	s.hear(lower, 90, "timer(3609.375)")

	// One that leaves is no reason.
	s = newScript(t)
	s.becomeActive()
	s.wait(10 * time.Second)
	s.hear(lower, 0, "adv(100) timer(1000.000) announce")
	s.state(Active)
}

func TestResumption(t *testing.T) {
	resume := Event{Kind: EventStartup, Resume: true}
	s := newScript(t)
	s.step(resume, "adv(100) hold announce timer(1000.000) active(resumed)")

	// It is Active like any other.
	s.hear(lower, 90, "adv(100) announce")
	s.wait(100 * ms)
	s.hear(peer, 200, "adv(100) timer(3609.375) release backup(higher_priority)")

	s = newScript(t)
	s.quietly(Event{Kind: EventFault, Reasons: []string{"eth0 is down"}, Silent: true})
	s.step(resume, "fault(fault)")
	s.step(cleared, "backup(fault_cleared) timer(3609.375)")

	s = newScript(t)
	s.quietly(Event{Kind: EventHold, Reasons: []string{"check nginx has no verdict yet"}})
	s.step(resume, "backup(startup) timer(3609.375)")

	s = newScript(t)
	s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	s.step(resume, "backup(startup) timer(3996.094)")
}

func TestGroupResumesTogether(t *testing.T) {
	resume := Event{Kind: EventStartup, Resume: true}
	g := newStoppedGroup(t)
	g.step(0, resume, "0:backup(startup) 0:timer(3609.375)")
	g.step(1, resume, "1:backup(startup) 1:timer(3609.375) "+
		"0:adv(100) 0:hold 0:announce 0:timer(1000.000) 0:active(resumed) 1:adv(100) 1:hold 1:announce 1:timer(1000.000) 1:active(resumed)")

	// One that cannot keeps all of them back, and they take part as usual.
	g = newStoppedGroup(t)
	g.step(0, resume, "0:backup(startup) 0:timer(3609.375)")
	g.step(1, Event{Kind: EventStartup}, "1:backup(startup) 1:timer(3609.375)")
	g.wait(3609375 * time.Microsecond)
	g.step(0, Event{Kind: EventTimer}, "0:stop")
	g.step(1, Event{Kind: EventTimer}, "1:stop 0:adv(100) 0:hold 0:announce 0:timer(1000.000) 0:active(timeout) 1:adv(100) 1:hold 1:announce 1:timer(1000.000) 1:active(timeout)")
}

// Case 72, the rules of it: what `vrrpd release` does for a process that ended
// without a word.
func TestCase72LeavingInItsPlace(t *testing.T) {
	leave := Event{Kind: EventStartup, Leave: true}
	s := newScript(t, holding)
	s.step(leave, "hold active(resumed) note(handing_over) adv(0) timer(1000.000)")
	s.fire("adv(0) timer(1000.000)")
	s.wait(100 * ms)
	s.hear(lower, 90, "stop release initialize(shutdown)")

	s = newScript(t)
	s.step(leave, "hold active(resumed) adv(0) release initialize(shutdown)")
}
