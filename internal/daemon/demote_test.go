package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

func demoteRequest() control.DemoteRequest { return control.DemoteRequest{} }

// demote has an operator demote everything.
func (s *script) demote(r control.DemoteRequest) (under []demoting) {
	s.do(func() { under = s.e.demote(s.now, s.e.instances, r) })
	return under
}

func (s *script) promote() {
	s.do(func() { s.e.promote(s.now, s.e.instances, false) })
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Case 74: a demoted router yields with priority 0 and does not come back,
// preemption or not, until it is promoted.
func TestCase74Demote(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	under := s.demote(demoteRequest())
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		web: active -> backup (demoted)
		saved`)
	if len(under) != 1 || under[0].unchanged || under[0].successor == nil || under[0].timeout != 5*time.Second {
		t.Fatalf("%+v", under)
	}
	s.wait(100 * time.Millisecond)
	s.hear(advert{from: peer, priority: 0})
	if closed(under[0].successor) {
		t.Error("one that leaves too is taken for a successor")
	}
	s.hear(advert{from: peer, priority: 90})
	if !closed(under[0].successor) {
		t.Error("the successor was not noticed")
	}
	if who, ok := s.e.successorOf(s.inst("web")); who != peer || !ok {
		t.Errorf("successor: %s %v", who, ok)
	}
	for range 20 {
		s.wait(time.Second)
		s.hear(advert{from: peer, priority: 90})
		s.state("web", vrrp.Backup)
	}
	s.forget()
	s.promote()
	s.got("web: promoted by an operator\nsaved")
	s.fire()
	s.state("web", vrrp.Active)
}

// Case 77: demoting twice changes nothing, and one promote ends it.
func TestCase77DemoteTwice(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	first := s.demote(demoteRequest())
	s.forget()
	second := s.demote(demoteRequest())
	s.got("saved")
	if !second[0].unchanged || second[0].successor != nil {
		t.Errorf("%+v", second[0])
	}
	// … not even that the first finds no successor and resumes.
	s.wait(6 * time.Second)
	s.do(func() { s.e.resume(s.now, first) })
	s.state("web", vrrp.Active)
	s.demote(demoteRequest())
	s.demote(demoteRequest())
	s.promote()
	if d := s.inst("web").router.Demotion(); d != vrrp.NotDemoted {
		t.Errorf("demotion %d", d)
	}
}

// Demoting again takes nothing back of what was asked before.
func TestDemoteAgain(t *testing.T) {
	s := started(t, oneInstance)
	inst := s.inst("web")
	s.demote(control.DemoteRequest{Hard: true, Persist: true, For: time.Hour})
	until := inst.until
	s.demote(demoteRequest())
	if inst.router.Demotion() != vrrp.DemotedHard || !inst.persist || inst.until != until {
		t.Errorf("demotion %d, persist %v, until %s", inst.router.Demotion(), inst.persist, inst.until)
	}
	s.demote(control.DemoteRequest{For: 2 * time.Hour})
	if !inst.until.After(until) {
		t.Error("a later end does not count")
	}
	s.promote()
	if inst.persist || !inst.until.IsZero() {
		t.Error("a promoted instance keeps something of its demotion")
	}
}

// Case 76: nobody takes over: the node resumes at once, and says so.
func TestCase76NobodyTakesOver(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	under := s.demote(demoteRequest())
	s.wait(3 * time.Second)
	s.forget()
	s.do(func() { s.e.resume(s.now, under) })
	s.got(`
		eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24
		web: backup -> active (promoted)
		saved`)

	// Not if the demotion was lifted, and another begun, meanwhile.
	under = s.demote(demoteRequest())
	s.promote()
	s.demote(control.DemoteRequest{Hard: true})
	s.forget()
	s.do(func() { s.e.resume(s.now, under) })
	s.got("")
	s.state("web", vrrp.Backup)
}

// A plain demotion is the last to take over, but does; a hard one never.
func TestDemoteHard(t *testing.T) {
	s := started(t, oneInstance)
	s.demote(demoteRequest())
	s.fire()
	s.state("web", vrrp.Active)
	if got := s.inst("web").router.Priority(); got != 1 {
		t.Errorf("priority %d", got)
	}
	s.forget()
	s.demote(control.DemoteRequest{Hard: true})
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		web: active -> backup (demoted)
		saved`)
	s.fire()
	s.got("web: not becoming active: demoted with --hard")
	s.promote()
	s.state("web", vrrp.Active)
}

// --for ends by the clock.
func TestDemoteFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t, oneInstance)
		s.demote(control.DemoteRequest{For: 10 * time.Minute})
		inst := s.e.describe(s.now, s.inst("web"))
		if inst.DemotedUntil == nil || !inst.DemotedUntil.Equal(time.Now().Add(10*time.Minute)) || !inst.Demoted {
			t.Errorf("status: %+v", inst)
		}
		for range 599 {
			time.Sleep(time.Second)
			s.do(func() { s.e.tick(s.now) })
		}
		if s.inst("web").router.Demotion() == vrrp.NotDemoted {
			t.Fatal("it ended too early")
		}
		s.forget()
		time.Sleep(time.Second)
		s.do(func() { s.e.tick(s.now) })
		s.got("web: promoted by an operator\nsaved")
		s.do(func() { s.e.tick(s.now) })
		s.got("")
	})
}

// Case 78: a demotion outlives a reload, and a restart only with --persist.
func TestCase78Persist(t *testing.T) {
	for name, c := range map[string]struct {
		request control.DemoteRequest
		later   time.Duration
		want    vrrp.Demotion
	}{
		"plain":                       {control.DemoteRequest{}, 0, vrrp.NotDemoted},
		"persist":                     {control.DemoteRequest{Persist: true}, 0, vrrp.Demoted},
		"hard, persist":               {control.DemoteRequest{Persist: true, Hard: true}, 0, vrrp.DemotedHard},
		"persist, for, not over yet":  {control.DemoteRequest{Persist: true, For: time.Hour}, 30 * time.Minute, vrrp.Demoted},
		"persist, for, over meantime": {control.DemoteRequest{Persist: true, For: time.Hour}, 2 * time.Hour, vrrp.NotDemoted},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := started(t, oneInstance)
				s.demote(c.request)
				s.reload(oneInstance + "priority = 90\n")
				if s.inst("web").router.Demotion() == vrrp.NotDemoted {
					t.Error("the reload lifted it")
				}
				time.Sleep(c.later)
				next := newScript(t)
				next.start(oneInstance, past{state: &s.saved})
				inst := next.inst("web")
				if got := inst.router.Demotion(); got != c.want || inst.persist != (c.want != vrrp.NotDemoted) {
					t.Errorf("demotion %d, persist %v, want %d", got, inst.persist, c.want)
				}
				if c.want != vrrp.NotDemoted && !inst.until.Equal(s.inst("web").until) {
					t.Errorf("until %s", inst.until)
				}
			})
		})
	}
}
