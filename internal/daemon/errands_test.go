package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/netif"
	"vrrpd/vrrp"
)

// Errands are done in order, while others are added, and the last of them after the end.
func TestErrands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newErrands()
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			e.run(ctx)
		}()
		var done []int
		began := time.Now()
		for i := range 3 {
			e.add(func() { // the first keeps the others waiting
				time.Sleep(time.Minute)
				done = append(done, i)
			})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("add took %v", took)
		}
		time.Sleep(90 * time.Second)
		e.add(func() { done = append(done, 3) })
		cancel()
		<-over
		if !slices.Equal(done, []int{0, 1, 2, 3}) {
			t.Errorf("done %v", done)
		}
	})
}

// What waits for the kernel's lock is not done on the loop.
func TestSocketsAreClosedAside(t *testing.T) {
	s := started(t, oneInstance)
	var aside []func()
	s.e.out.aside = func(do func()) { aside = append(aside, do) }
	s.do(func() { s.e.interfaces(s.now, nil) })
	w := s.wires["eth0 ipv4"]
	if len(aside) != 1 || w.closed {
		t.Fatalf("%d errands, closed: %t", len(aside), w.closed)
	}
	if aside[0](); !w.closed {
		t.Error("the errand did not close it")
	}
}

// errands keeps them for the test to do.
func (s *script) errands() (do func()) {
	var aside []func()
	s.e.out.aside = func(do func()) { aside = append(aside, do) }
	return func() {
		s.t.Helper()
		if len(aside) == 0 {
			s.t.Fatal("there is no errand")
		}
		todo := aside
		aside = nil
		for _, do := range todo {
			do()
		}
		s.do(func() {})
	}
}

const both = oneInstance + "[instance.db]\ninterface='eth1'\nvrid=52\naddresses=['192.0.2.200/24']\n"

// Nor is joining the group. Until that is done nothing can be heard: a router that
// is down stays so, and one that is active goes on.
func TestGroupsAreJoinedAside(t *testing.T) {
	t.Run("an interface that comes", func(t *testing.T) {
		s := started(t, oneInstance)
		eth0 := s.e.ifaces["eth0"]
		s.see(func(i *netif.Interface) { *i = netif.Interface{} })
		s.state("web", vrrp.Fault)
		do := s.errands()
		s.see(func(i *netif.Interface) { *i = eth0 })
		s.state("web", vrrp.Fault)
		if got := s.inst("web").router.Faults(); !slices.Equal(got, []string{"the VRRP group is not joined on eth0 yet"}) {
			t.Errorf("faults: %q", got)
		}
		do()
		s.state("web", vrrp.Backup)
	})
	t.Run("another one under an active router", func(t *testing.T) {
		s := started(t, oneInstance)
		s.activate("web")
		do := s.errands()
		s.see(func(i *netif.Interface) { i.Index = 9 })
		s.state("web", vrrp.Active)
		s.forget()
		s.fire()
		s.got("eth0#9: vrid 51 advertises 100")
		do()
		s.state("web", vrrp.Active)
		if s.inst("web").port.deaf {
			t.Error("the port never heard that it has joined")
		}
	})
	t.Run("another one under a router that yields meanwhile", func(t *testing.T) {
		s := started(t, oneInstance)
		s.activate("web")
		do := s.errands()
		s.see(func(i *netif.Interface) { i.Index = 9 })
		s.do(func() { s.e.demote(s.now, s.e.instances, control.DemoteRequest{Force: true}) })
		s.state("web", vrrp.Fault) // as a backup it would take over, whoever is active
		do()
		s.state("web", vrrp.Backup)
	})
	t.Run("another one under a backup", func(t *testing.T) {
		s := started(t, oneInstance)
		do := s.errands()
		s.see(func(i *netif.Interface) { i.Index = 9 })
		s.state("web", vrrp.Fault)
		do()
		s.state("web", vrrp.Backup)
	})
	t.Run("an instance that is new", func(t *testing.T) {
		s := started(t, oneInstance)
		do := s.errands()
		s.reload(both)
		s.state("db", vrrp.Initialize)
		s.reload(both + "priority=77\n") // changed before it was started
		s.forget()
		do()
		s.got("drop db 192.0.2.200/24\ndb: initialize -> backup (startup)")
		if got := s.inst("db").router.Priority(); got != 77 {
			t.Errorf("priority %d", got)
		}
	})
	t.Run("one that is new and goes", func(t *testing.T) {
		s := started(t, oneInstance)
		do := s.errands()
		s.reload(both)
		s.reload(oneInstance)
		s.forget()
		do()
		s.got("close eth1#3")
	})
	t.Run("one that is new, and its interface goes", func(t *testing.T) {
		s := started(t, oneInstance)
		do := s.errands()
		s.reload(both)
		ifaces := maps.Clone(s.e.ifaces)
		eth1 := ifaces["eth1"]
		delete(ifaces, "eth1")
		s.do(func() { s.e.interfaces(s.now, ifaces) })
		s.state("db", vrrp.Fault)
		do() // that of a socket which is closed
		s.state("db", vrrp.Fault)
		ifaces = maps.Clone(ifaces)
		ifaces["eth1"] = eth1
		s.do(func() { s.e.interfaces(s.now, ifaces) })
		do()
		s.state("db", vrrp.Backup)
	})
	t.Run("a member that is new", func(t *testing.T) {
		s := started(t, oneInstance)
		do := s.errands()
		s.forget()
		s.reload(both + "[group.site]\ninstances=['web', 'db']\n")
		s.state("web", vrrp.Backup)
		do()
		s.state("web", vrrp.Backup)
		s.state("db", vrrp.Backup)
		for _, l := range s.lines {
			if strings.Contains(l, "fault") {
				t.Errorf("%s", l)
			}
		}
		s.activate("web", "db")
	})
	t.Run("everything stops", func(t *testing.T) {
		s := started(t, oneInstance)
		do := s.errands()
		s.reload(both)
		s.do(func() { s.e.stop(s.now, false) })
		do()
		s.state("db", vrrp.Initialize)
		s.e.closePorts()
		s.do(func() { s.e.interfaces(s.now, s.e.ifaces) }) // news of the same turn
		select {
		case <-s.e.idle:
		default:
			t.Error("it has not stopped")
		}
	})
}

// A group that cannot be joined is a fault, told once and tried every second.
func TestGroupThatCannotBeJoined(t *testing.T) {
	s := started(t, oneInstance)
	s.join["eth1"] = errTest
	s.reload(both)
	s.state("db", vrrp.Fault)
	if got := s.inst("db").cause; got != "eth1: no way" {
		t.Errorf("cause: %s", got)
	}
	s.forget()
	for range 5 {
		s.wait(time.Second)
		s.do(func() { s.e.tick(s.now) })
	}
	for _, n := range s.notes {
		t.Errorf("told again: %s", n.text)
	}
	s.state("db", vrrp.Fault)
	delete(s.join, "eth1")
	s.do(func() { s.e.tick(s.now) })
	s.state("db", vrrp.Backup)
	s.state("web", vrrp.Backup)
}
