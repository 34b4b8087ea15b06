package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

func TestPreemptDelay(t *testing.T) {
	delay := func(d time.Duration) func(*Config) { return func(c *Config) { c.PreemptDelay = d } }

	t.Run("preempts at its end", func(t *testing.T) {
		s := newScript(t, delay(10*time.Second))
		s.backup()
		start := s.now
		s.wait(time.Second)
		s.hear(peer, 50, "note(preempt_delay) timer(3609.375)")
		for range 9 {
			s.wait(time.Second)
			s.quietly(Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 50, Interval: time.Second, At: s.now}})
		}
		s.fire("adv(100) hold announce timer(1000.000) active(preempt)")
		if d := s.now.Sub(start); d != 11*time.Second {
			t.Errorf("preempted after %s", d)
		}
	})
	t.Run("never earlier than without it", func(t *testing.T) {
		s := newScript(t, delay(time.Second))
		s.backup()
		s.wait(100 * ms)
		s.hear(peer, 50, "note(preempt_delay) timer(3509.375)")
	})
	t.Run("does not hold up the takeover of a dead router", func(t *testing.T) {
		s := newScript(t, delay(time.Minute))
		s.backup()
		s.hear(peer, 50, "note(preempt_delay) timer(3609.375)")
		s.wait(2 * time.Second)
		s.hear(peer, 50, "timer(3609.375)")
		s.fire(takeup)
	})
	t.Run("starts anew after a better router was active", func(t *testing.T) {
		s := newScript(t, delay(10*time.Second))
		s.backup()
		s.hear(peer, 50, "note(preempt_delay) timer(3609.375)")
		s.wait(time.Second)
		s.hear(peer, 200, "timer(3609.375)")
		if _, running := s.r.PreemptAt(); running {
			t.Error("the delay goes on")
		}
	})
}

func TestStartDelay(t *testing.T) {
	s := newScript(t, func(c *Config) { c.StartDelay = 30 * time.Second })
	s.step(Event{Kind: EventStartup}, "timer(30000.000)")
	s.wait(10 * time.Second)
	s.hear(peer, 200, "")
	s.step(Event{Kind: EventFault, Reasons: []string{"eth0 is absent"}}, "stop fault(fault)")
	s.wait(10 * time.Second)
	s.step(Event{Kind: EventFault}, "initialize(fault_cleared) timer(10000.000)")
	s.fire("backup(startup) timer(3609.375)")
}

func TestHold(t *testing.T) {
	hold := Event{Kind: EventHold, Reasons: []string{"check nginx has no verdict yet"}}
	t.Run("holds back promotion, then lets it go at once", func(t *testing.T) {
		s := newScript(t)
		s.backup()
		s.step(hold, "")
		s.fire("stop note(held)")
		s.wait(time.Minute)
		s.step(Event{Kind: EventHold}, "adv(100) hold announce timer(1000.000) active(timeout)")
	})
	t.Run("never drops an active router", func(t *testing.T) {
		s := newScript(t)
		s.becomeActive()
		s.step(hold, "")
		s.state(Active)
	})
	t.Run("is forgotten when somebody else is active", func(t *testing.T) {
		s := newScript(t)
		s.backup()
		s.step(hold, "")
		s.fire("stop note(held)")
		s.hear(peer, 200, "timer(3609.375)")
		s.step(Event{Kind: EventHold}, "")
		s.state(Backup)
	})
	t.Run("an owner waits too", func(t *testing.T) {
		s := newScript(t, priority(255))
		s.step(hold, "")
		s.step(Event{Kind: EventStartup}, "backup(startup) timer(0.000)")
		s.fire("stop note(held)")
		s.step(Event{Kind: EventHold}, "adv(255) hold announce timer(1000.000) active(owner)")
	})
	t.Run("our priority fell meanwhile", func(t *testing.T) {
		s := newScript(t)
		s.backup()
		s.step(hold, "")
		s.hear(peer, 50, "")
		s.fire("stop note(held)")
		s.hear(peer, 50, "")
		s.step(Event{Kind: EventPriority, Priority: 40}, "timer(3843.750)") // no longer better than the active router
		s.step(Event{Kind: EventHold}, "")
		s.state(Backup)
	})
}

func TestDemotion(t *testing.T) {
	t.Run("hands over and stays down", func(t *testing.T) {
		s := newScript(t)
		s.becomeActive()
		s.step(Event{Kind: EventDemote, Demotion: Demoted}, "adv(0) timer(3996.094) release backup(demoted)")
		s.step(Event{Kind: EventDemote, Demotion: Demoted}, "")
		s.wait(600 * ms)
		s.hear(peer, 1, "timer(3996.094)") // lower than our own 100, but we do not preempt
		s.step(Event{Kind: EventPromote}, "note(promoted) timer(3609.375)")
		s.hear(peer, 1, "")
		s.fire("adv(100) hold announce timer(1000.000) active(timeout)")
	})
	t.Run("takes over when everybody else is gone", func(t *testing.T) {
		s := newScript(t)
		s.backup()
		s.step(Event{Kind: EventDemote, Demotion: Demoted}, "note(demoted) timer(3996.094)")
		s.fire("adv(1) hold announce timer(1000.000) active(timeout)")
		s.step(Event{Kind: EventPromote}, "note(promoted) adv(100) timer(1000.000)")
	})
	t.Run("hard never does", func(t *testing.T) {
		s := newScript(t)
		s.becomeActive()
		s.step(Event{Kind: EventDemote, Demotion: DemotedHard}, "adv(0) timer(3996.094) release backup(demoted)")
		s.fire("stop note(held)")
		s.step(Event{Kind: EventPromote}, "note(promoted) adv(100) hold announce timer(1000.000) active(timeout)")
	})
	t.Run("soft, then hard, while active", func(t *testing.T) {
		s := newScript(t)
		s.backup()
		s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
		s.fire("adv(1) hold announce timer(1000.000) active(timeout)")
		s.step(Event{Kind: EventDemote, Demotion: DemotedHard}, "adv(0) timer(3996.094) release backup(demoted)")
	})
	t.Run("resumes when nobody took over", func(t *testing.T) {
		s := newScript(t)
		s.becomeActive()
		s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
		s.wait(2 * time.Second)
		s.step(Event{Kind: EventPromote, Resume: true}, "adv(100) hold announce timer(1000.000) active(promoted)")
	})
	t.Run("does not resume beside a successor", func(t *testing.T) {
		s := newScript(t)
		s.becomeActive()
		s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
		s.wait(600 * ms)
		s.hear(peer, 90, "timer(3996.094)")
		s.step(Event{Kind: EventPromote, Resume: true}, "note(promoted) timer(3609.375)")
		s.state(Backup)
	})
	t.Run("about to preempt, demoted: goes on as an ordinary backup", func(t *testing.T) {
		s := newScript(t)
		s.backup()
		for range 3 {
			s.wait(time.Second)
			s.hear(peer, 50, "")
		}
		s.wait(500 * ms)
		s.step(Event{Kind: EventDemote, Demotion: Demoted}, "note(demoted) timer(3496.094)")
	})
}

func TestDualActiveIsNoticed(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	const regular = "adv(100) timer(1000.000)"
	s.hear(peer, 50, "adv(100) announce")
	s.fire(regular)
	s.hear(peer, 50, "adv(100) announce")
	s.fire(regular)
	s.hear(peer, 50, "adv(100) announce note(dual_active)")
	if !s.r.DualActive() {
		t.Error("not shown")
	}
	s.fire(regular)
	s.hear(peer, 50, "adv(100) announce") // said once
	s.wait(5 * time.Second)
	s.step(Event{Kind: EventTimer}, "adv(100) timer(1000.000) note(dual_active_resolved)")
	if s.r.DualActive() {
		t.Error("still shown")
	}
}

func TestRecordsRead(t *testing.T) {
	p := netip.MustParseAddr("192.168.1.11")
	for want, rec := range map[string]Record{
		"no advertisement from 192.168.1.11 for 3.61s":                                 {Cause: CauseTimeout, Peer: p, After: 3609375 * time.Microsecond},
		"no advertisement from anybody for 30.1ms":                                     {Cause: CauseTimeout, After: 30078 * time.Microsecond},
		"priority 100 preempts 192.168.1.11 with priority 50":                          {Cause: CausePreempt, Peer: p, Priority: 50, Own: 100},
		"check nginx is failing; eth0 is absent":                                       {Cause: CauseFault, Reasons: []string{"check nginx is failing", "eth0 is absent"}},
		"192.168.1.11 is active with equal priority 100 and the higher address":        {Cause: CauseHigherAddress, Peer: p, Priority: 100},
		"192.168.1.11 is active with priority 50, lower than 100; preempting in 5.00s": {Cause: CausePreemptDelay, Peer: p, Priority: 50, Own: 100, After: 5 * time.Second},
	} {
		if got := rec.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for c := CauseStartup; int(c) < len(causeNames); c++ {
		if c.String() == "" || (&Record{Cause: c, Peer: p}).String() == "" && c != CauseFault {
			t.Errorf("cause %d has no words", c)
		}
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	if n := testing.AllocsPerRun(1000, func() {
		at, _ := s.r.Deadline()
		s.r.Step(at, Event{Kind: EventTimer})
	}); n != 0 {
		t.Errorf("an advertisement sent allocates %v times", n)
	}
	b := newScript(t)
	b.backup()
	e := Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 200, Interval: time.Second}}
	if n := testing.AllocsPerRun(1000, func() {
		b.wait(time.Second)
		e.Advert.At = b.now
		b.r.Step(b.now, e)
	}); n != 0 {
		t.Errorf("an advertisement received allocates %v times", n)
	}
}
