package daemon

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrrpd/vip"
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

// Case 88: another host answers for an address that we hold.
func TestCase88ConflictIsACondition(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	web, mac := s.inst("web"), net.HardwareAddr{2, 0, 0, 0, 0, 9}
	happens := func(kind vip.Kind, addr string, claims int) {
		s.do(func() {
			s.e.addressEvent(vip.Event{Kind: kind, Owner: "web", MAC: mac, Claims: claims,
				Address: vip.Address{Prefix: netip.MustParsePrefix(addr), Interface: "eth0"}})
		})
	}
	happens(vip.Conflict, vip1+"/24", 3)
	s.got(`
		notify web CONDITION address_conflict on
		web: 02:00:00:00:00:09 answers for 192.0.2.100/24 on eth0 too (3 claims): it has the address configured, or is a node that was active and did not let go of it`)
	happens(vip.Conflict, "192.0.2.101/24", 1)
	happens(vip.ConflictOver, vip1+"/24", 0)
	if i := s.e.describe(s.now, web); i.Conflicts != 4 || len(i.Conditions) != 1 || i.Conditions[0].Name != "address_conflict" || i.State != "active" {
		t.Errorf("%d conflicts, %+v", i.Conflicts, i.Conditions)
	}
	s.forget()
	happens(vip.ConflictOver, "192.0.2.101/24", 0)
	s.got("notify web CONDITION address_conflict off\nweb: nobody else answers for 192.0.2.101/24 on eth0 any more")

	// What is heard of after it was over for us is counted, and no more.
	s.hear(advert{from: peer, priority: 200})
	happens(vip.Conflict, vip1+"/24", 1)
	if web.conflicts != 5 || len(web.conditions) != 0 {
		t.Errorf("as a backup: %d, %+v", web.conflicts, web.conditions)
	}
	for policy, want := range map[string]vip.Conflicts{"defend": vip.DefendConflicts, "report": vip.WatchConflicts} {
		s := started(t, oneInstance+"conflict = \""+policy+"\"\n")
		if got := s.inst("web").want(true).Conflicts; got != want {
			t.Errorf("conflict = %s is %d", policy, got)
		}
	}
}
