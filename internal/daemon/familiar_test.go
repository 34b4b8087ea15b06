package daemon

import (
	"fmt"
	"testing"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// familiar reports whether an advertisement is familiar on the port of web.
func (s *script) familiar(a advert) bool { return s.familiarAt(s.inst("web").port, a) }

func (s *script) familiarAt(p *port, a advert) bool {
	s.t.Helper()
	packet := a.packet()
	return p.familiar.Knows(packet.Src, packet.Data[20:])
}

// The advertisement of an active router that a backup has nothing to object to may be
// heard later when it comes again.
func TestFamiliarAdvertisement(t *testing.T) {
	for _, test := range []struct {
		name, toml string
		adverts    []advert
		familiar   bool
	}{
		{"higher", oneInstance, []advert{{from: peer, priority: 200}}, true},
		{"v2", oneInstance + "version = 2\n", []advert{{from: peer, priority: 200, version: 2}}, true},
		{"changed", oneInstance, []advert{{from: peer, priority: 200}, {from: peer, priority: 201}}, true},
		{"lower, preempted", oneInstance, []advert{{from: peer, priority: 50}}, false},
		{"lower, not preempted", oneInstance + "preempt = false\n", []advert{{from: peer, priority: 50}}, true},
		// The first begins the delay.
		{"lower, preempted later", oneInstance + "preempt_delay = \"1m\"\n", []advert{{from: peer, priority: 50}}, false},
		{"lower, again", oneInstance + "preempt_delay = \"1m\"\n", []advert{{from: peer, priority: 50}, {from: peer, priority: 50}}, true},
		{"leaves", oneInstance, []advert{{from: peer, priority: 200}, {from: peer, priority: 0}}, false},
		{"dropped", oneInstance, []advert{{from: peer, priority: 200, spoil: flipped(26)}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := started(t, test.toml)
			for _, a := range test.adverts {
				s.wait(10 * time.Millisecond)
				s.hear(a)
			}
			last := test.adverts[len(test.adverts)-1]
			if got := s.familiar(last); got != test.familiar {
				t.Errorf("familiar: %t", got)
			}
			if first := test.adverts[0]; s.familiar(first) && fmt.Sprint(first) != fmt.Sprint(last) {
				t.Error("so is the one before")
			}
		})
	}
}

// Whatever else happens to a router, it hears the next one at once.
func TestWhatMakesAnAdvertisementUnfamiliar(t *testing.T) {
	for _, test := range []struct {
		name   string
		happen func(s *script)
		stays  bool
	}{
		{"nothing", func(s *script) { s.wait(time.Second) }, true},
		{"an advertisement that is dropped", func(s *script) { s.hear(advert{from: peer, priority: 200, spoil: flipped(26)}) }, true},
		{"it takes over", func(s *script) { s.fire() }, false},
		{"it leaves", func(s *script) { s.hear(advert{from: peer, priority: 0}) }, false},
		{"another of lower priority", func(s *script) { s.hear(advert{from: "192.0.2.12", priority: 50}) }, false},
		{"the port fails", func(s *script) { s.do(func() { s.e.interfaces(s.now, nil) }) }, false},
		{"another priority", func(s *script) { s.reload(oneInstance + "priority = 201\n") }, false},
		{"it has a check that fails", func(s *script) {
			s.reload("[check.c]\ncommand=[\"/bin/false\"]\n" + oneInstance + "track=[\"c\"]\n")
		}, false},
		{"a reload", func(s *script) { s.reload(oneInstance) }, false},
		{"a demotion", func(s *script) {
			s.do(func() { s.e.demote(s.now, s.e.instances, control.DemoteRequest{Force: true}) })
		}, false},
		{"a drill", func(s *script) { s.inst("web").listen(newEar()) }, false},
		{"it stops", func(s *script) { s.do(func() { s.e.stop(s.now, true) }) }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := started(t, oneInstance)
			s.wait(10 * time.Millisecond)
			s.hear(advert{from: peer, priority: 200})
			port := s.inst("web").port
			if !s.familiarAt(port, advert{from: peer, priority: 200}) {
				t.Fatal("it is not familiar")
			}
			test.happen(s)
			if got := s.familiarAt(port, advert{from: peer, priority: 200}); got != test.stays {
				t.Errorf("familiar: %t", got)
			}
		})
	}
}

// As long as a drill listens nothing becomes familiar.
func TestADrillHearsEachAtOnce(t *testing.T) {
	s := started(t, oneInstance)
	s.inst("web").listen(newEar())
	for range 2 {
		s.wait(10 * time.Millisecond)
		s.hear(advert{from: peer, priority: 200})
	}
	if s.familiar(advert{from: peer, priority: 200}) {
		t.Error("it is familiar")
	}
	s.inst("web").listen(nil)
	s.wait(10 * time.Millisecond)
	s.hear(advert{from: peer, priority: 200})
	if !s.familiar(advert{from: peer, priority: 200}) {
		t.Error("nobody listens, and it is not familiar")
	}
}

// What happens to one member of a group may move the others.
func TestAGroupIsUnfamiliarTogether(t *testing.T) {
	s := started(t, oneInstance+`
[instance.db]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.101/24"]
[group.site]
instances = ["web", "db"]
`)
	s.wait(10 * time.Millisecond)
	s.hear(advert{from: peer, priority: 200})
	s.hear(advert{from: peer, vrid: 52, priority: 200})
	for _, vrid := range []uint8{51, 52} {
		if !s.familiar(advert{from: peer, vrid: vrid, priority: 200}) {
			t.Errorf("%d is not familiar", vrid)
		}
	}
	s.do(func() { s.e.step(s.now, s.inst("db"), vrrp.Event{Kind: vrrp.EventFault, Reasons: []string{"test"}}) })
	for _, vrid := range []uint8{51, 52} {
		if s.familiar(advert{from: peer, vrid: vrid, priority: 200}) {
			t.Errorf("%d is familiar still", vrid)
		}
	}
}
