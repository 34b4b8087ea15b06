package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestBondFitness: bonds that vanish and return, and nodes that must not serve
// over what they have.
func TestBondFitness(t *testing.T) {
	inGuest(t,
		bondPart{"Case86Remade", bondRemade},
		bondPart{"Case82NeverActiveUnfit", bondNeverActive},
		bondPart{"Policy", bondPolicy},
		bondPart{"AllModes", bondAllModes})
}

// bondRemade: a bond that is deleted and made again under its name has another
// index, and here another MAC too.
func bondRemade(t *testing.T) {
	r := newBondRig(t)
	r.pair(quietBond, "")
	a, b := r.a.host, r.b.host

	old := macOf(a, "bond0")
	r.scenario("Case86 bond of the active node removed", func() {
		a.Run("ip", "link", "del", "bond0")
		r.waitState(r.a, "fault")
		if !hasReason(r.a, "web", "bond0") {
			t.Errorf("reasons %q", r.a.instance("web").Reasons)
		}
		r.waitState(r.b, "active")
	})
	back := time.Now()
	r.scenario("Case86 … and made again, another MAC", func() {
		makeBond(a, "bond0", quietBond, "eth1", "eth0")
		configure(a, "bond0", "192.0.2.1/24")
		r.settled()
		mac := macOf(a, "bond0")
		if mac.String() == old.String() {
			t.Fatalf("the bond has its old MAC %s: nothing is tested", old)
		}
		r.waitAnnounced(vip, mac, back)
	})
	r.scenario("Case86 removed and made again at once", func() {
		again := time.Now()
		a.Run("sh", "-ec", `
			ip link del bond0
			ip link add bond0 type bond `+quietBond+`
			for l in eth0 eth1; do ip link set $l down; ip link set $l master bond0; done
			ip link set bond0 up
			ip addr add 192.0.2.1/24 dev bond0`)
		r.wait("a to serve over the new bond", func() bool { return a.Has(vip) && r.a.instance("web").State == "active" })
		r.waitState(r.b, "backup")
		r.waitAnnounced(vip, macOf(a, "bond0"), again)
	})
	activations := becameActive(r.b)
	moved := r.scenario("Case86 bond of the backup node made again", func() {
		b.Run("ip", "link", "del", "bond0")
		r.waitState(r.b, "fault")
		makeBond(b, "bond0", quietBond, "eth1", "eth0")
		configure(b, "bond0", "192.0.2.2/24")
		r.waitState(r.b, "backup")
		heard := r.b.instance("web").Adverts.Received
		r.wait("b to hear a again", func() bool { return r.b.instance("web").Adverts.Received >= heard+5 })
	})
	if moved["a"] != 0 || becameActive(r.b) != activations {
		t.Errorf("transitions %v; b became active %d times, want %d", moved, becameActive(r.b), activations)
	}

	moved = r.scenario("node death during a bond failover", func() {
		r.cut(b, activeLink(b))
		r.cut(a, activeLink(a))
		a.Crash()
		r.cut(a, "eth0")
		r.cut(a, "eth1")
		r.waitState(r.b, "active")
		r.wait("b to have the address", func() bool { return b.Has(vip) })
	})
	if moved["b"] != 1 {
		t.Errorf("b made %d transitions, want one", moved["b"])
	}
}

const twoLinks = "[bond.bond0]\nmin_links = 2\nhealthy_after = \"500ms\"\n"

// bondNeverActive: neither a backup whose active router dies nor an owner of
// the addresses takes them over a bond that has failed. One link of two is
// left, so that everything but the verdict speaks for it.
func bondNeverActive(t *testing.T) {
	r := newBondRig(t)
	r.pair(quietBond, twoLinks)
	b := r.b.host
	r.scenario("Case82 bond of the backup fails, then the active node dies", func() {
		r.cut(b, "eth0")
		r.waitState(r.b, "fault")
		if !hasReason(r.b, "web", "bond bond0: 1 of 2 links usable, min_links is 2") {
			t.Errorf("reasons %q", r.b.instance("web").Reasons)
		}
		before := becameActive(r.b)
		r.a.host.Crash()
		r.cut(r.a.host, "eth0")
		r.cut(r.a.host, "eth1")
		r.hold(2*bondQuiet, "b in fault", func() bool { return r.b.instance("web").State == "fault" })
		if becameActive(r.b) != before {
			t.Errorf("b became active over a failed bond:\n%s", r.b.must("events"))
		}
		r.heal(b, "eth0")
		r.waitState(r.b, "active")
	})

	r.scenario("Case82 owner (255) starts over a failed bond", func() {
		c := r.host("c", quietBond, "192.0.2.3/24")
		r.cut(c, "eth1")
		r.wait("the link of c to be down", func() bool { return sysNet(c, "eth1/bonding_slave/mii_status") == "down" })
		n := r.node(c, twoLinks+webConfig(lab.Router{Interval: bondInterval, Priority: 255, Interface: "bond0", Addresses: []string{vip + "/24"}}))
		r.hold(bondQuiet, "the owner in fault", func() bool { return n.instance("web").State == "fault" })
		if becameActive(n) != 0 {
			t.Errorf("the owner became active over a failed bond:\n%s", n.must("events"))
		}
		r.heal(c, "eth1")
		r.waitState(n, "active")
		r.waitState(r.b, "backup")
	})
}

// bondPolicy: what a bond must be besides having links.
func bondPolicy(t *testing.T) {
	r := newBondRig(t)
	h := r.host("a", "mode active-backup miimon 0", "192.0.2.1/24")
	router := webConfig(lab.Router{Interval: bondInterval, Interface: "bond0", Addresses: []string{vip + "/24"}})
	n := r.node(h, "[bond.bond0]\nrequire_monitor = true\nhealthy_after = \"0s\"\n"+router)
	r.waitState(n, "fault")
	if !hasReason(n, "web", "bond bond0: no monitor: neither miimon nor arp_interval is set") {
		t.Errorf("reasons %q", n.instance("web").Reasons)
	}
	if becameActive(n) != 0 {
		t.Errorf("active without a monitor:\n%s", n.must("events"))
	}
	h.Run("ip", "link", "set", "bond0", "type", "bond", "miimon", "100")
	r.waitState(n, "active")

	n.configure("[bond.bond0]\nmode = \"802.3ad\"\nhealthy_after = \"0s\"\n" + router)
	n.must("reload")
	r.waitState(n, "fault")
	if !hasReason(n, "web", "bond bond0: mode is active-backup, not 802.3ad") {
		t.Errorf("reasons %q", n.instance("web").Reasons)
	}
	n.configure("[bond.bond0]\nmode = \"active-backup\"\nhealthy_after = \"0s\"\n" + router)
	n.must("reload")
	r.waitState(n, "active")
}

// bondAllModes: the daemon reads every mode there is.
func bondAllModes(t *testing.T) {
	r := newBondRig(t)
	h := r.host("a", "", "")
	modes := []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
	var config strings.Builder
	for i, mode := range modes {
		h.Run("sh", "-ec", fmt.Sprintf("ip link add d%d type dummy; ip link add d1%d type dummy", i, i))
		makeBond(h, fmt.Sprintf("bond%d", i), "mode "+mode+" miimon 100", fmt.Sprintf("d%d", i), fmt.Sprintf("d1%d", i))
		fmt.Fprintf(&config, "[bond.bond%d]\nmode = %q\n", i, mode)
	}
	configure(h, "bond1", "192.0.2.1/24")
	n := r.node(h, config.String()+webConfig(lab.Router{Interval: bondInterval, Interface: "bond1", Addresses: []string{vip + "/24"}}))
	r.waitState(n, "active")
	bonds := n.status().Bonds
	if len(bonds) != len(modes) {
		t.Fatalf("%d bonds: %+v", len(bonds), bonds)
	}
	for i, b := range bonds {
		health := "healthy"
		if modes[i] == "802.3ad" {
			health = "degraded" // nobody answers
		}
		if b.Name != fmt.Sprintf("bond%d", i) || b.Mode != modes[i] || b.Health != health || len(b.Links) != 2 {
			t.Errorf("bond of mode %s: %+v", modes[i], b)
		}
	}
}
