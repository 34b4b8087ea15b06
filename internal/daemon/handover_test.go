package daemon

import (
	"testing"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

const holdingInstance = oneInstance + "handover = \"hold\"\n"

func (s *script) idle() bool {
	select {
	case <-s.e.idle:
		return true
	default:
		return false
	}
}

func TestStopHandsOver(t *testing.T) {
	s := started(t, holdingInstance)
	s.activate("web")
	s.do(func() { s.e.stop(s.now, false) })
	s.got(`
		eth0#2: vrid 51 advertises 0
		web: handing over: serving until another router is active, for at most 5.00s`)
	if i := s.snapshot().Status.Instances[0]; i.State != "active" || !i.HandingOver {
		t.Errorf("shown as %s, handing over %v", i.State, i.HandingOver)
	}
	s.fire()
	s.got(`eth0#2: vrid 51 advertises 0`)
	if s.idle() {
		t.Fatal("stopped before anybody took over")
	}
	s.wait(100 * time.Millisecond)
	s.hear(advert{from: peer, priority: 90})
	s.got(`
		drop web 192.0.2.100/24 in 1s
		web: active -> initialize (shutdown)`)
	if !s.idle() {
		t.Error("nobody would notice that everything has stopped")
	}
}

func TestStopAtOnce(t *testing.T) {
	s := started(t, holdingInstance)
	s.activate("web")
	s.do(func() { s.e.stop(s.now, false) })
	s.forget()
	s.do(func() { s.e.stop(s.now, true) })
	s.got(`
		drop web 192.0.2.100/24
		web: active -> initialize (shutdown)`)
	if !s.idle() {
		t.Error("not idle")
	}
}

func TestStopAlone(t *testing.T) {
	s := started(t, holdingInstance)
	s.activate("web")
	s.do(func() { s.e.stop(s.now, false) })
	for range 5 {
		s.fire()
	}
	s.state("web", vrrp.Initialize)
	if !s.idle() {
		t.Error("not idle after the timeout")
	}
}

func TestDroppedInstanceHandsOver(t *testing.T) {
	const other = `
[instance.web]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.102/24"]
`
	s := started(t, holdingInstance)
	s.activate("web")
	s.reload(other) // the same name, another router
	s.got(`
		eth0#2: vrid 51 advertises 0
		rename "web" "\x00departing 1 web"
		web: handing over: serving until another router is active, for at most 5.00s
		drop web 192.0.2.102/24
		web: initialize -> backup (startup)
		saved`)
	s.wait(600 * time.Millisecond)
	s.hear(advert{from: peer, priority: 90})
	s.got("drop \x00departing 1 web 192.0.2.100/24 in 1s\nweb: active -> initialize (shutdown)")
	if len(s.e.departing) != 0 || s.e.virtual[addrs(vip1)[0]] != 0 || len(s.e.ports) != 1 {
		t.Errorf("left over: %d departing, virtual %v, %d ports", len(s.e.departing), s.e.virtual, len(s.e.ports))
	}
	s.do(func() { s.again(s.now) })
	s.got("forget \x00departing 1 web")
	s.state("web", vrrp.Backup)
}

func TestReplacedRouterDoesNotHandOver(t *testing.T) {
	// Another version under the same VRID: the two cannot run side by side.
	s := started(t, holdingInstance)
	s.activate("web")
	s.reload(holdingInstance + "version = 2\n")
	if len(s.e.departing) != 0 || len(s.e.instances) != 1 {
		t.Fatalf("%d departing, %d instances", len(s.e.departing), len(s.e.instances))
	}
	s.state("web", vrrp.Backup)
}

func TestDemotionResumesByItself(t *testing.T) {
	s := started(t, holdingInstance)
	s.activate("web")
	var under []demoting
	s.do(func() {
		under = s.e.demote(s.now, s.e.instances, control.DemoteRequest{For: time.Hour, Persist: true})
	})
	if under[0].successor == nil {
		t.Fatal("nobody waits for a successor")
	}
	for range 5 {
		s.fire()
	}
	inst := s.inst("web")
	if inst.router.Demotion() != vrrp.NotDemoted || !inst.until.IsZero() || inst.persist {
		t.Errorf("demoted %v until %v, to persist: %v", inst.router.Demotion(), inst.until, inst.persist)
	}
	s.state("web", vrrp.Active)
}

func TestOwnerNames(t *testing.T) {
	for owner, want := range map[string]string{"web": "web", "\x00departing 3 my web": "my web", leftoverOwner: ""} {
		if got := ownerName(owner); got != want {
			t.Errorf("%q is %q, want %q", owner, got, want)
		}
	}
}

// The addresses of a router whose daemon died answer until its lease ends;
// then they are announced once more.
func TestAnnouncesWhenTheOthersLeaseEnds(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	if s.again == nil {
		t.Fatal("nothing is to be done later")
	}
	s.do(func() { s.again(s.now) })
	s.got("announce web")

	s.hear(advert{from: peer, priority: 200})
	s.forget()
	s.do(func() { s.again(s.now) })
	s.got("")

	s = started(t, oneInstance+"lease = \"off\"\n")
	s.activate("web")
	if s.again != nil {
		t.Error("without leases there is nothing to wait for")
	}
}

// One that is configured again while it hands over hears the successor in its
// place, and may be that itself.
func TestConfiguredAgainWhileItHandsOver(t *testing.T) {
	const other = "[instance.other]\ninterface = \"eth1\"\nvrid = 51\naddresses = [\"198.51.100.100/24\"]\n"
	const web = holdingInstance + "lease = \"off\"\n"
	again := func() *script {
		s := started(t, web+other)
		s.activate("web")
		s.reload(other)
		s.reload(web + other)
		s.state("web", vrrp.Backup)
		if len(s.e.departing) != 1 {
			t.Fatalf("%d departing", len(s.e.departing))
		}
		s.e.timers.stop(s.inst("other"))
		s.forget()
		return s
	}
	over := func(s *script) {
		t.Helper()
		if len(s.e.departing) != 0 || len(s.e.ports) != 2 {
			t.Errorf("%d departing, %d ports", len(s.e.departing), len(s.e.ports))
		}
		s.do(func() { s.again(s.now) })
		s.got("forget \x00departing 1 web")
	}

	s := again()
	freed := 0
	s.e.out.free = func(identity) { freed++ }
	s.wait(100 * time.Millisecond)
	s.hear(advert{from: peer, priority: 90})
	s.got("drop \x00departing 1 web 192.0.2.100/24 in 1s\nweb: active -> initialize (shutdown)")
	s.state("web", vrrp.Backup)
	if s.inst("web").port.users[51] != s.inst("web") || freed > 0 {
		t.Errorf("the new one hears nothing any more, or its beats are lost (%d)", freed)
	}
	over(s)

	s = again()
	for s.inst("web").router.State() == vrrp.Backup {
		s.forget()
		s.fire()
	}
	s.got("eth0#2: vrid 51 advertises 100\n" +
		"hold web 192.0.2.100/24\n" +
		"drop \x00departing 1 web 192.0.2.100/24\n" +
		"web: active -> initialize (shutdown)\n" +
		"web: backup -> active (timeout)")
	over(s)

	// Dropped once more, it leaves the socket to the one that hands over.
	s = again()
	s.reload(other)
	s.forget()
	s.wait(100 * time.Millisecond)
	s.hear(advert{from: peer, priority: 90})
	if len(s.e.departing) != 0 || len(s.e.ports) != 1 {
		t.Errorf("%d departing, %d ports", len(s.e.departing), len(s.e.ports))
	}
}
