package daemon

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// members are what a drill of a name would demote.
func (s *script) members(name string) []demoting {
	s.t.Helper()
	under, err := s.e.drillMembers(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return under
}

// listen has an ear hear of what is drilled.
func listen(under []demoting) *ear {
	e := newEar()
	for _, u := range under {
		u.inst.listen(e)
	}
	return e
}

func (s *script) release(under []demoting) {
	s.t.Helper()
	s.do(func() {
		if err := s.e.release(s.now, under); err != nil {
			s.t.Fatal(err)
		}
	})
}

func (s *script) lift(under []demoting) (l lifted) {
	s.do(func() { l = s.e.lift(s.now, under) })
	return l
}

const holding = oneInstance + "handover = \"hold\"\n"

// A drill as the loop has it: handed over, taken over, promoted, returned.
func TestDrillOnTheLoop(t *testing.T) {
	s := started(t, holding)
	s.activate("web")
	under := s.members("")
	ear := listen(under)
	s.release(under)
	s.got(`
		eth0#2: vrid 51 advertises 0
		web: handing over: serving until another router is active, for at most 5.00s
		saved`)
	if st := s.e.standings(under)[0]; !st.leaving || st.serves() || !st.demoted || st.foreign {
		t.Errorf("%+v", st)
	}
	s.wait(600 * time.Millisecond)
	s.hear(advert{from: peer, priority: 90})
	s.hear(advert{from: peer, priority: 90})
	s.got(`
		drop web 192.0.2.100/24 in 1s
		web: active -> backup (demoted)`)
	l := s.lift(under)
	s.got("web: promoted by an operator\nsaved")
	// Active_Down_Interval, one interval until it knows whom to preempt, and patience.
	if l.stays != "" || l.within != 3609375*time.Microsecond+time.Second+drillPatience {
		t.Errorf("%+v", l)
	}
	s.wait(time.Second)
	s.hear(advert{from: peer, priority: 90})
	s.fire()
	s.got(`
		eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24
		web: backup -> active (preempt)`)
	if st := s.e.standings(under)[0]; !st.serves() || st.demoted || st.foreign {
		t.Errorf("%+v", st)
	}
	var story []string
	for _, m := range ear.since(0) {
		switch m.what {
		case heard:
			story = append(story, m.peer.String())
		case changed:
			story = append(story, m.to.String())
		case told:
			story = append(story, "told")
		}
	}
	if got := strings.Join(story, " "); got != "told 192.0.2.11 backup active" && got != "told backup 192.0.2.11 active" {
		t.Errorf("heard %s", got)
	}
}

// A drill is refused with the reason, and changes nothing.
func TestDrillRefused(t *testing.T) {
	const two = holding + `
[instance.db]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.101/24"]
`
	for _, tc := range []struct {
		name, toml, instance string
		set                  func(s *script)
		code                 int
		says                 string
	}{
		{"which one", two, "", nil, 400, "which instance? name one: web, db"},
		{"unknown", two, "wbe", nil, 404, "wbe"},
		{"not active", holding, "web", func(s *script) { s.hear(advert{from: peer, priority: 200}) }, 409, "web is backup here; 192.0.2.11 (priority 200) is active: drill there"},
		{"nobody is", holding, "", nil, 409, "web is backup here, and nobody is known to be active"},
		{"demoted", holding, "", func(s *script) { s.activate("web"); s.demote(demoteRequest()) }, 409, "web is demoted already; `vrrpctl promote web`"},
		{"handing over", holding, "", func(s *script) {
			s.activate("web")
			s.do(func() {
				s.e.step(s.now, s.inst("web"), vrrp.Event{Kind: vrrp.EventFault, Reasons: []string{"a check"}})
			})
		}, 409, "web is handing over already"},
		{"stopping", holding, "", func(s *script) { s.activate("web"); s.do(func() { s.e.stop(s.now, false) }) }, 409, "the daemon is stopping"},
		{"a member is not active", two + "[group.site]\ninstances = [\"web\", \"db\"]\n", "db", nil, 409, "web is backup here"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := started(t, tc.toml)
			if tc.set != nil {
				tc.set(s)
			}
			s.forget()
			_, err := s.e.drillMembers(tc.instance)
			if statusCode(err) != tc.code || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%d: %v", statusCode(err), err)
			}
			s.got("")
		})
	}
}

// What was fine when the drill was prepared is looked at again.
func TestDrillReleasesOnlyWhatItFound(t *testing.T) {
	s := started(t, holding)
	s.activate("web")
	under := s.members("web")
	s.hear(advert{from: peer, priority: 200})
	s.forget()
	if err := s.e.release(s.now, under); err == nil || !strings.Contains(err.Error(), "web is backup here") {
		t.Errorf("%v", err)
	}
	s.got("")
	s.reload(strings.Replace(holding, "vrid = 51", "vrid = 53", 1))
	if err := s.e.release(s.now, under); err == nil || !strings.Contains(err.Error(), "web is gone") {
		t.Errorf("%v", err)
	}
	if st := s.e.standings(under); len(st) != 0 {
		t.Errorf("%+v", st)
	}
}

// A member takes its group along, there and back; a group has a name too.
func TestDrillGroup(t *testing.T) {
	const toml = holding + `
[instance.db]
interface = "eth1"
vrid = 52
addresses = ["198.51.100.100/24"]
handover = "hold"
[group.site]
instances = ["web", "db"]
`
	for _, name := range []string{"db", "site", ""} {
		s := started(t, toml)
		s.activate("web", "db")
		under := s.members(name)
		if len(under) != 2 {
			t.Fatalf("%q: %+v", name, under)
		}
		s.release(under)
		for _, st := range s.e.standings(under) {
			if !st.leaving || !st.demoted {
				t.Errorf("%+v", st)
			}
		}
		s.lift(under)
		for _, st := range s.e.standings(under) {
			if !st.serves() || st.demoted || st.foreign {
				t.Errorf("%+v", st)
			}
		}
	}
}

// Without a successor the drill's end has the node serve at once.
func TestDrillResumes(t *testing.T) {
	for _, handover := range []string{"hold", "immediate"} {
		s := started(t, strings.Replace(holding, "hold", handover, 1))
		s.activate("web")
		under := s.members("web")
		s.release(under)
		s.wait(2 * time.Second)
		if l := s.lift(under); l.stays != "" {
			t.Errorf("%+v", l)
		}
		if st := s.e.standings(under)[0]; !st.serves() || st.demoted {
			t.Errorf("%s: %+v", handover, st)
		}
		// The router itself gives up in time, too.
		under = s.members("web")
		s.release(under)
		if handover == "hold" {
			for s.inst("web").router.HandingOver() {
				s.fire()
			}
			s.lift(under)
			if st := s.e.standings(under)[0]; !st.serves() || st.demoted || st.foreign {
				t.Errorf("%+v", st)
			}
		}
	}
}

// What an operator did meanwhile is not undone.
func TestDrillLeavesOperatorsAlone(t *testing.T) {
	for name, do := range map[string]func(s *script){
		"demote":      func(s *script) { s.demote(demoteRequest()) },
		"demote hard": func(s *script) { s.demote(control.DemoteRequest{Hard: true}) },
		"promote and demote": func(s *script) {
			s.promote()
			s.demote(demoteRequest())
		},
	} {
		s := started(t, holding)
		s.activate("web")
		under := s.members("web")
		listen(under)
		s.release(under)
		s.hear(advert{from: peer, priority: 90})
		do(s)
		if st := s.e.standings(under)[0]; !st.foreign {
			t.Errorf("%s is not noticed: %+v", name, st)
		}
		s.forget()
		s.lift(under)
		s.got("saved")
		if s.inst("web").router.Demotion() == vrrp.NotDemoted {
			t.Errorf("%s was undone", name)
		}
	}
}

// Who does not return by itself is known from the configuration, or from the
// successor's priority.
func TestDrillReturns(t *testing.T) {
	for _, tc := range []struct {
		toml     string
		priority uint8 // the successor's
		stays    string
		foretold string
	}{
		{"", 90, "", ""},
		{"", 100, "web does not preempt a router of the same or a higher priority (100 here, 100 there)", ""},
		{"", 120, "(100 here, 120 there)", ""},
		{"preempt = false\n", 90, "web does not preempt (preempt = false)", "web does not preempt (preempt = false)"},
		{"preempt_delay = \"1m\"\n", 90, "", ""},
		{"preempt_delay = \"1h\"\n", 90, "preempt_delay = 1h0m0s", "preempt_delay = 1h0m0s"},
		{"priority = 255\n", 90, "", ""},
	} {
		s := started(t, holding+tc.toml)
		if s.inst("web").router.State() != vrrp.Active {
			s.activate("web")
		}
		under := s.members("web")
		cfg := s.inst("web").cfg
		if why := staysAway(cfg); tc.foretold == "" && why != "" || !strings.Contains(why, tc.foretold) {
			t.Errorf("%q: foretold %q", tc.toml, why)
		}
		warned := strings.Join(warnOf([]*config.Instance{cfg}, staysAway(cfg)), "\n")
		if strings.Contains(warned, "stays with whoever") != (tc.foretold != "") {
			t.Errorf("%q: warned %q", tc.toml, warned)
		}
		if strings.Contains(tc.toml, "1m") != strings.Contains(warned, "returns only after preempt_delay = 1m0s") {
			t.Errorf("%q: warned %q", tc.toml, warned)
		}
		s.release(under)
		s.hear(advert{from: peer, priority: tc.priority})
		l := s.lift(under)
		if (l.stays == "") != (tc.stays == "") || !strings.Contains(l.stays, tc.stays) {
			t.Errorf("%q, %d: %q", tc.toml, tc.priority, l.stays)
		}
		// It is as it says.
		back := false
		for range int(min(l.within, 20*time.Minute)/time.Second) + 1 {
			s.wait(time.Second)
			s.hear(advert{from: peer, priority: tc.priority})
			s.do(func() { s.e.expire(s.now, true) })
			back = back || s.inst("web").router.State() == vrrp.Active
		}
		if back != (tc.stays == "") {
			t.Errorf("%q, %d: back within %s: %t", tc.toml, tc.priority, l.within, back)
		}
	}
}

// Nobody listens to an instance any more once a drill is over; the first
// advertisement of each router and priority is a moment, the rest is not.
func TestEar(t *testing.T) {
	s := started(t, oneInstance)
	under := []demoting{{inst: s.inst("web"), name: "web"}}
	e := listen(under)
	for _, p := range []uint8{90, 90, 90, 0, 0, 80} {
		s.wait(100 * time.Millisecond)
		s.hear(advert{from: peer, priority: p, at: s.now.Add(-time.Millisecond)})
	}
	under[0].inst.ear = nil
	s.hear(advert{from: peer, priority: 70})
	var got []uint8
	for _, m := range e.since(0) {
		if m.what != heard || m.peer != netip.MustParseAddr(peer) || m.inst != "web" {
			t.Errorf("%+v", m)
		}
		got = append(got, m.priority)
	}
	if !slices.Equal(got, []uint8{90, 0, 80}) {
		t.Errorf("heard priorities %v", got)
	}
	select {
	case <-e.news:
	default:
		t.Error("no news")
	}
}
