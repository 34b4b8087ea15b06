package daemon

import (
	"strings"
	"testing"
	"time"

	"vrrpd/vrrp"
)

// Another router that stays active beside us is a condition: named, told to
// those who asked, and over when it is gone.
func TestDualActiveIsACondition(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	web := s.inst("web")
	for range 4 {
		s.hear(advert{from: peer, priority: 50})
		s.fire()
	}
	i := s.e.describe(s.now, web)
	if len(i.Conditions) != 1 || i.Conditions[0].Name != "dual_active" || !strings.Contains(i.Conditions[0].Text, peer) || !i.DualActive {
		t.Fatalf("conditions: %+v", i.Conditions)
	}
	if n := strings.Count(strings.Join(s.lines, "\n"), "notify web CONDITION dual_active on"); n != 1 {
		t.Errorf("told %d times", n)
	}
	s.forget()
	for range 5 {
		s.fire()
	}
	if len(web.conditions) != 0 || !strings.Contains(strings.Join(s.lines, "\n"), "notify web CONDITION dual_active off") {
		t.Errorf("not over: %+v %q", web.conditions, s.lines)
	}

	// A change of state ends all of them.
	for range 4 {
		s.hear(advert{from: peer, priority: 50})
		s.fire()
	}
	s.wait(time.Millisecond)
	s.hear(advert{from: peer, priority: 200})
	s.state("web", vrrp.Backup)
	if len(web.conditions) != 0 {
		t.Errorf("a backup has conditions: %+v", web.conditions)
	}
}
