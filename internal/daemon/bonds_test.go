package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/bonding"
	"vrrpd/internal/netif"
	"vrrpd/vrrp"
)

const bondedInstance = `
[instance.web]
interface = "bond0"
vrid = 51
addresses = ["192.0.2.100/24"]
`

const weightedBond = `
[bond.bond0]
degraded_weight = -20
degraded_after = "1s"
healthy_after = "2s"
`

// bond0 is an active-backup bond of two links with the given ones alive.
func bond0(active string, alive ...string) bonding.Bond {
	b := bonding.Bond{Name: "bond0", Index: 7, Up: true, Carrier: len(alive) > 0, Mode: bonding.ModeActiveBackup, ActiveLink: active, MIIMon: 100 * time.Millisecond}
	for i, name := range []string{"eth1", "eth2"} {
		l := bonding.Link{Name: name, Index: 8 + i, Up: true, MII: bonding.MIIDown}
		for _, a := range alive {
			if a == name {
				l.Carrier, l.MII, l.Active = true, bonding.MIIUp, name == active
			}
		}
		b.Links = append(b.Links, l)
	}
	return b
}

// bonds has the engine see bond0 in a state, under bond0 and its VLAN.
func (s *script) bonds(b ...bonding.Bond) {
	under := map[string][]string{"bond0": {"bond0"}, "bond0.10": {"bond0"}}
	s.do(func() { s.e.bondsSeen(s.now, &bonding.Update{Bonds: b}, under) })
}

// bondedNode is an engine on a host with bond0, which is healthy.
func bondedNode(t *testing.T, toml string) *script {
	s := newScript(t)
	s.e.ifaces = netif.Snapshot{
		"bond0":    {Name: "bond0", Index: 7, Up: true, Carrier: true, IPv4: addrs(own)},
		"bond0.10": {Name: "bond0.10", Index: 9, Up: true, Carrier: true, IPv4: addrs("198.51.100.1")},
	}
	s.bonds(bond0("eth1", "eth1", "eth2"))
	s.reload(toml)
	s.forget()
	return s
}

func TestCase82FailedBondIsAFault(t *testing.T) {
	s := bondedNode(t, bondedInstance)
	s.activateOverBond("web")
	s.bonds(bond0(""))
	s.state("web", vrrp.Active) // it may be back in a moment
	if !s.inst("web").router.RidesOut() {
		t.Error("not shown")
	}
	s.fire()
	s.state("web", vrrp.Fault)
	if got := s.inst("web").faults; len(got) != 1 || got[0] != "bond bond0: no usable link; eth1: down; eth2: down" {
		t.Errorf("faults %q", got)
	}
	s.bonds(bond0("eth2", "eth2"))
	s.state("web", vrrp.Backup)
}

func TestCase82FailoverIsNoTransition(t *testing.T) {
	s := bondedNode(t, bondedInstance)
	s.activateOverBond("web")
	s.bonds(bond0("eth2", "eth2"))
	s.state("web", vrrp.Active)
	if p := s.inst("web").router.Priority(); p != 100 {
		t.Errorf("priority %d without a weight", p)
	}
	announced := false
	for _, l := range s.lines {
		announced = announced || l == "announce web"
	}
	if !announced {
		t.Errorf("the addresses were not announced from the new link: %q", s.lines)
	}
}

func TestDegradedBondLowersThePriorityAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the delays are those of the wall clock
		s := bondedNode(t, weightedBond+bondedInstance)
		priority := func(want uint8) {
			t.Helper()
			if got := s.inst("web").router.Priority(); got != want {
				t.Errorf("priority %d, want %d", got, want)
			}
		}
		s.bonds(bond0("eth2", "eth2"))
		priority(100)
		time.Sleep(time.Second)
		s.do(func() { s.again(s.now) })
		priority(80)
		s.bonds(bond0("eth2", "eth1", "eth2"))
		priority(80)
		time.Sleep(2 * time.Second)
		s.do(func() { s.again(s.now) })
		priority(100)
	})
}

func TestBondUnderAVLAN(t *testing.T) {
	s := bondedNode(t, `
[instance.web]
interface = "bond0.10"
vrid = 51
addresses = ["198.51.100.100/24"]
`)
	s.bonds(bond0(""))
	s.state("web", vrrp.Fault)
}

func TestFailedBondHoldsUpATakeover(t *testing.T) {
	s := bondedNode(t, bondedInstance)
	at, _, _ := s.e.next()
	deadline := s.inst("web").deadline
	if ahead := deadline.Sub(at); ahead != 50*time.Millisecond {
		t.Fatalf("the bonds are to be read %v ahead of the takeover", ahead)
	}
	s.fire()
	s.got("read the bonds")
	s.bonds(bond0("")) // what the reading brings
	s.state("web", vrrp.Fault)
	s.now = deadline
	s.do(func() { s.e.expire(s.now, true) })
	s.state("web", vrrp.Fault)
}

func TestShortIntervalsReadNoBondsWhileTheyHear(t *testing.T) {
	s := bondedNode(t, bondedInstance+`advert_interval = "10ms"
`)
	for range 20 {
		s.do(func() {
			s.e.step(s.now, s.inst("web"), vrrp.Event{Kind: vrrp.EventAdvert, Advert: vrrp.Received{
				Source: addrs(peer)[0], Priority: 200, Interval: 10 * time.Millisecond, At: s.now}})
		})
		s.wait(10 * time.Millisecond)
		if at, _, _ := s.e.next(); at <= s.now {
			t.Fatal("the bonds would be read at every advertisement")
		}
	}
}

func TestOwnerDoesNotStartOverAFailedBond(t *testing.T) {
	s := newScript(t)
	s.e.ifaces = netif.Snapshot{"bond0": {Name: "bond0", Index: 7, Up: true, Carrier: true, IPv4: addrs(own)}}
	failed := bond0("")
	s.e.bondUpdate, s.e.under = &bonding.Update{Bonds: []bonding.Bond{failed}}, map[string][]string{"bond0": {"bond0"}}
	s.reload(bondedInstance + "priority = 255\n")
	s.state("web", vrrp.Fault)
}

// activateOverBond is activate for instances that read their bond first.
func (s *script) activateOverBond(name string) {
	s.t.Helper()
	s.fire() // reads the bonds
	s.fire()
	s.state(name, vrrp.Active)
	s.forget()
}
