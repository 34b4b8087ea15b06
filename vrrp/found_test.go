package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// What the simulator found (see vrrp/sim), each as the shortest story.

// A router that waits for something else than its down timer keeps its preempt
// delay when another one becomes active meanwhile.
func TestPreemptDelayOfARouterHeldBack(t *testing.T) {
	hold := Event{Kind: EventHold, Reasons: []string{"check nginx has no verdict yet"}}
	held := func() *script {
		s := newScript(t, func(c *Config) { c.PreemptDelay = 5 * time.Second })
		s.backup()
		s.step(hold, "")
		s.fire("stop note(held)")
		return s
	}
	s := held()
	s.hear(peer, 50, "note(preempt_delay) timer(3609.375)")
	s.step(Event{Kind: EventHold}, "")
	start := s.now
	for range 4 {
		s.wait(time.Second)
		s.quietly(Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 50, Interval: time.Second, At: s.now}})
	}
	s.fire("adv(100) hold announce timer(1000.000) active(preempt)")
	if d := s.now.Sub(start); d != 5*time.Second {
		t.Errorf("preempted after %s", d)
	}

	// A delay that has ended while it was held back does not start again.
	s = held()
	s.hear(peer, 50, "note(preempt_delay) timer(3609.375)")
	for range 4 {
		s.wait(time.Second)
		s.quietly(Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 50, Interval: time.Second, At: s.now}})
	}
	s.fire("stop note(held)")
	s.hear(peer, 50, "")
	s.step(Event{Kind: EventHold}, "adv(100) hold announce timer(1000.000) active(preempt)")
}

// Resuming is for the router that was active: one that was a backup when it
// was demoted has not given anything up, however short a silence it heard.
func TestResumeIsForTheRouterThatWasActive(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.hear(peer, 200, "timer(3609.375)")
	s.wait(100 * ms)
	s.step(Event{Kind: EventDemote, Demotion: Demoted}, "note(demoted) timer(3896.094)")
	s.wait(100 * ms)
	s.step(Event{Kind: EventPromote, Resume: true}, "note(promoted) timer(3409.375)")
	s.state(Backup)

	// Nor for one that was out of the election since, and heard nobody there.
	s = newScript(t)
	s.becomeActive()
	s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	s.quietly(Event{Kind: EventFault, Reasons: []string{"eth0 is absent"}})
	s.quietly(Event{Kind: EventFault})
	s.step(Event{Kind: EventPromote, Resume: true}, "note(promoted) timer(3609.375)")
	s.state(Backup)
}

// Promoted one after the other, the members of a group that hands over stay
// together: the first one says nothing before the others stay as well.
func TestGroupStaysTogether(t *testing.T) {
	a, b := newScript(t, holding), newScript(t, holding)
	g := NewGroup([]*Router{a.r, b.r}, []string{"a", "b"})
	for i := range 2 {
		g.Step(a.now, i, Event{Kind: EventStartup})
	}
	at, _ := a.r.Deadline()
	for i := range 2 {
		g.Step(at, i, Event{Kind: EventTimer})
	}
	for i := range 2 {
		g.Step(at, i, Event{Kind: EventDemote, Demotion: Demoted})
	}
	if !a.r.HandingOver() || !b.r.HandingOver() {
		t.Fatal("the group does not hand over")
	}
	for _, m := range g.Step(at, 0, Event{Kind: EventPromote}) {
		if m.Action.Kind == ActionSendAdvert {
			t.Errorf("member %d advertises priority %d before the others stay", m.Member, m.Action.Priority)
		}
	}
	if !a.r.HandingOver() {
		t.Error("the first member stays alone")
	}
	adverts := 0
	for _, m := range g.Step(at, 1, Event{Kind: EventPromote}) {
		if m.Action.Kind == ActionSendAdvert && m.Action.Priority == 100 {
			adverts++
		}
	}
	if adverts != 2 || a.r.HandingOver() || b.r.HandingOver() {
		t.Errorf("%d adverts; handing over: %v, %v", adverts, a.r.HandingOver(), b.r.HandingOver())
	}
}

// A follower leaves a tie to its group's first member for a while only, also
// if the peer advertises much less often than the follower itself.
func TestTieWithASlowPeer(t *testing.T) {
	first, second := newScript(t, every(100*ms)), newScript(t, every(100*ms))
	g := NewGroup([]*Router{first.r, second.r}, []string{"first", "second"})
	now := first.now
	for i := range 2 {
		g.Step(now, i, Event{Kind: EventStartup})
	}
	now = now.Add(time.Second)
	for i := range 2 {
		g.Step(now, i, Event{Kind: EventTimer})
	}
	second.state(Active)
	for range 2 {
		now = now.Add(time.Second)
		g.Step(now, 1, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 100, Interval: time.Second, At: now}})
	}
	first.state(Backup)
	second.state(Backup)
}

// An owner that is held back waits for nobody; demoted, it is the last to
// take over, and has to listen first.
func TestOwnerDemotedWhileHeld(t *testing.T) {
	s := newScript(t, priority(PriorityOwner))
	s.step(Event{Kind: EventHold, Reasons: []string{"check nginx has no verdict yet"}}, "")
	s.step(Event{Kind: EventStartup}, "backup(startup) timer(0.000)")
	s.fire("stop note(held)")
	s.step(Event{Kind: EventDemote, Demotion: Demoted}, "note(demoted) timer(3996.094)")
	s.step(Event{Kind: EventHold}, "")
	s.state(Backup)
	s.fire("adv(1) hold announce timer(1000.000) active(timeout)")
}

// A router that lost its carrier and then did not run, until after another one
// took over, reads of that first: it follows, rather than answer and then go
// to Fault because its time is over. Both would leave the addresses to nobody.
func TestFrozenWithoutACarrier(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.step(noCarrier, "note(no_carrier) timer(3000.000)")
	s.wait(10 * time.Second)
	s.hear(lower, 90, "stop release fault(fault)")
	s.step(cleared, "backup(fault_cleared) timer(3609.375)")
}

// One that has no carrier answers nobody, whatever it still reads.
func TestNoAnswerWithoutACarrier(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.step(noCarrier, "note(no_carrier) timer(3000.000)")
	s.wait(time.Second)
	s.hear(lower, 90, "")
	s.step(cleared, "note(carrier_back) adv(100) timer(1000.000) announce")
}

// A group whose members cannot all go on at once takes part as usual: on no LAN
// is it active before a whole Active_Down_Interval has passed there.
func TestGroupThatCannotResume(t *testing.T) {
	resume := Event{Kind: EventStartup, Resume: true}
	hold := Event{Kind: EventHold, Reasons: []string{"check nginx has no verdict yet"}}
	a, b := newScript(t), newScript(t, every(200*ms))
	g := &groupScript{a, NewGroup([]*Router{a.r, b.r}, []string{"a", "b"})}
	g.step(1, hold, "")
	g.step(0, resume, "0:backup(startup) 0:timer(3609.375)")
	g.step(1, resume, "1:backup(startup) 1:timer(721.875)")
	g.wait(721875 * time.Microsecond)
	g.step(1, Event{Kind: EventTimer}, "1:stop 1:note(held)")
	g.step(1, Event{Kind: EventHold}, "")
	g.wait(3609375*time.Microsecond - 721875*time.Microsecond)
	g.step(0, Event{Kind: EventTimer}, "0:stop 0:adv(100) 0:hold 0:announce 0:timer(1000.000) 0:active(timeout) 1:adv(100) 1:hold 1:announce 1:timer(200.000) 1:active(timeout)")
}

// When a partition heals, the better router may be heard first: the other one
// gives way before it has said a word. It says one then, and the better one,
// which knew of nothing, tells the neighbours again whose the addresses are.
func TestGivesWayWithALastWord(t *testing.T) {
	winner, loser := newScript(t, priority(150)), newScript(t)
	for _, s := range []*script{winner, loser} {
		s.becomeActive()
		s.wait(time.Second)
	}
	loser.hear(peer, 150, "adv(100) timer(3609.375) release backup(higher_priority)")
	winner.hear(lower, 100, "adv(150) announce")

	// It says the better one's interval: whoever follows the last word for a
	// moment, with a shorter one, would take over from the better router.
	loser = newScript(t, every(50*ms))
	loser.becomeActive()
	found := false
	for _, a := range loser.r.Step(loser.now, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 150, At: loser.now, Interval: 3 * time.Second}}) {
		if a.Kind == ActionSendAdvert {
			found = true
			if a.Interval != 3*time.Second {
				t.Errorf("it says %s", a.Interval)
			}
		}
	}
	if !found {
		t.Error("it says nothing")
	}

	// A follower of a group says priority 0 instead; that means the same.
	winner = newScript(t, priority(150))
	winner.becomeActive()
	winner.wait(time.Second)
	winner.hear(lower, 0, "adv(150) timer(1000.000) announce")

	// Without a carrier nobody would hear it.
	loser = newScript(t)
	loser.becomeActive()
	loser.quietly(Event{Kind: EventFault, Reasons: []string{"eth0: no carrier"}, Brief: true})
	for _, a := range loser.r.Step(loser.now, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 150, At: loser.now, Interval: time.Second}}) {
		if a.Kind == ActionSendAdvert {
			t.Error("it speaks without a carrier")
		}
	}
}
