package daemon

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/bonding"
	"vrrpd/vrrp"
)

// lacp is an 802.3ad bond whose two links are in aggregators of their own: the
// active one, and whether its port is open.
func lacp(active int, open bool, alive ...string) bonding.Bond {
	const standby = bonding.PortActive | bonding.PortAggregation
	const agreed = standby | bonding.PortSync | bonding.PortCollecting | bonding.PortDistributing
	b := bond0("", alive...)
	b.Mode = bonding.Mode8023AD
	b.Aggregator = &bonding.Aggregator{ID: active, Ports: 1, Partner: net.HardwareAddr{2, 0, 0, 0, 0, 9}}
	for i := range b.Links {
		l := &b.Links[i]
		l.AggregatorID, l.Actor, l.Partner = i+1, standby, agreed
		if l.Active = i+1 == active && open; l.Active {
			l.Actor = agreed
		}
	}
	return b
}

// A move to another aggregator takes the driver some steps, and the switch
// some more: neither is a fault, and what was said meanwhile is said again.
func TestCase84MoveToAnotherAggregator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // delays are those of the wall clock
		s := bondedNode(t, bondedInstance)
		s.bonds(lacp(1, true, "eth1", "eth2"))
		s.activateOverBond("web")
		type order struct {
			at time.Time
			do func(vrrp.Instant)
		}
		var orders []order
		s.e.out.again = func(after time.Duration, do func(vrrp.Instant)) {
			orders = append(orders, order{time.Now().Add(after), do})
		}
		announced := func(want int, when string) {
			t.Helper()
			n := 0
			for _, l := range s.lines {
				if l == "announce web" {
					n++
				}
			}
			if n != want {
				t.Errorf("%s: announced %d times, want %d", when, n, want)
			}
			s.forget()
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			due := orders
			orders = nil
			for _, o := range due {
				if o.at.After(time.Now()) {
					orders = append(orders, o)
				} else {
					s.do(func() { o.do(s.now) })
				}
			}
		}

		s.bonds(lacp(1, true, "eth2")) // the link is lost, the driver has not moved
		s.state("web", vrrp.Active)
		announced(0, "lost")
		pass(100 * time.Millisecond)
		s.bonds(lacp(2, false, "eth2"))
		s.state("web", vrrp.Active)
		announced(1, "moved")
		pass(100 * time.Millisecond)
		s.bonds(lacp(2, true, "eth2"))
		s.state("web", vrrp.Active)
		announced(1, "open")
		pass(250 * time.Millisecond) // the repetitions of the first move are over
		announced(0, "soon after")
		pass(50 * time.Millisecond)
		announced(1, "when the partner is open")
		pass(time.Second)
		announced(1, "when a slow partner is open")
		s.state("web", vrrp.Active)

		// One that is never opened is a fault.
		s.bonds(lacp(1, false, "eth1"))
		s.state("web", vrrp.Active)
		pass(time.Second)
		if !s.inst("web").router.RidesOut() {
			t.Error("no link carries anything, and it is not noticed")
		}
		s.fire()
		s.state("web", vrrp.Fault)
	})
}
