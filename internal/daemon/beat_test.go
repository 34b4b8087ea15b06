package daemon

import (
	"testing"

	"vrrpd/internal/beats"
	"vrrpd/vrrp"
)

// The page follows what is sent, and forgets with the addresses.
func TestBeatsFollowTheRouter(t *testing.T) {
	s := started(t, oneInstance+"handover = \"hold\"\n")
	s.activate("web")
	web := s.inst("web")
	now := func() beats.Beat { return beats.Beat(web.beat.Load()) }
	if now() != beats.At(int64(s.now), false) {
		t.Errorf("active: %d at %d", now(), s.now)
	}
	s.fire()
	if now() != beats.At(int64(s.now), false) {
		t.Errorf("an interval later: %d at %d", now(), s.now)
	}
	s.wires["eth0 ipv4"].fail = map[int]error{0: errTest}
	last := now()
	s.fire()
	if now() != last {
		t.Error("what did not leave counts")
	}
	s.do(func() { s.e.step(s.now, web, vrrp.Event{Kind: vrrp.EventDemote, Demotion: vrrp.Demoted}) })
	if !now().Leaving() {
		t.Error("handing over, and it does not say so")
	}
	s.hear(advert{from: peer, priority: 90})
	if now() != 0 {
		t.Errorf("as a backup: %d", now())
	}
}
