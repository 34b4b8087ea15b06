package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestBondStacked: instances over what lies above a bond follow the bond, and
// bonds that are managed are kept.
func TestBondStacked(t *testing.T) {
	inGuest(t,
		bondPart{"Above", bondAbove},
		bondPart{"Managed", bondManaged},
		bondPart{"Keepalived", bondKeepalived})
}

// above are the interfaces over a bond that instances run on, each on a VLAN
// of its own, so that all can be had at once.
var above = []struct {
	kind, iface string
	vlan        int
	make        string
}{
	{"vlan", "bond0.10", 10, ""},
	{"bridge", "br20", 20, `
		ip link add br20 type bridge mcast_snooping 0
		ip link set bond0.20 master br20`},
	{"macvlan", "mv30", 30, "ip link add link bond0.30 name mv30 type macvlan mode bridge"},
	{"vrf", "bond0.40", 40, `
		ip link add vrf40 type vrf table 40
		ip link set vrf40 up
		ip link set bond0.40 master vrf40`},
}

// stacked adds them to a host, the nth of the network.
func stacked(h *lab.Host, trunk string, n int) {
	for _, x := range above {
		h.Run("sh", "-ec", fmt.Sprintf("ip link add link %s name %s.%d type vlan id %d\nip link set %s.%d up\n", trunk, trunk, x.vlan, x.vlan, trunk, x.vlan))
		iface := fmt.Sprintf("%s.%d", trunk, x.vlan)
		if trunk == "bond0" {
			h.Run("sh", "-ec", x.make)
			iface = x.iface
		}
		h.Run("sh", "-ec", fmt.Sprintf("ip link set %s up\nip addr add 10.0.%d.%d/24 dev %s", iface, x.vlan, n, iface))
	}
}

func bondAbove(t *testing.T) {
	r := newBondRig(t)
	stacked(r.client, "eth0", 9)
	heard := r.client.Sniff("eth0.10")
	config := func(priority int) string {
		var b strings.Builder
		for _, x := range above {
			b.WriteString(lab.Router{VRID: x.vlan, Interval: bondInterval, Priority: priority, Interface: x.iface,
				Addresses: []string{fmt.Sprintf("10.0.%d.100/24", x.vlan)}}.Vrrpd(x.kind))
			b.WriteString("announce = { burst = 1, again = \"0s\" }\n")
		}
		return b.String()
	}
	var addresses []string
	for i, name := range []string{"a", "b"} {
		h := r.host(name, quietBond, fmt.Sprintf("192.0.2.%d/24", i+1))
		stacked(h, "bond0", i+1)
		n := r.node(h, config(150-50*i))
		if i == 0 {
			r.a = n
		} else {
			r.b = n
		}
	}
	for _, x := range above {
		addresses = append(addresses, fmt.Sprintf("10.0.%d.100", x.vlan))
	}
	all := func(n *node, state string) {
		t.Helper()
		for _, x := range above {
			r.wait("the instance on "+x.iface+" of "+n.host.Name+" to be "+state, func() bool { return n.instance(x.kind).State == state })
		}
	}
	all(r.a, "active")
	all(r.b, "backup")
	a := r.a.host

	r.unmoved(r.scenario("VLAN, bridge, macvlan, VRF above the bond: active link down", func() {
		cut, mac := time.Now(), macOf(a, "bond0.10").String()
		r.cut(a, "eth0")
		r.waitLink(a, "eth1")
		r.wait("the address on the VLAN to be announced again", func() bool {
			for _, x := range heard.Announcements() {
				if x.At.After(cut) && x.Address.String() == "10.0.10.100" && x.MAC.String() == mac {
					return true
				}
			}
			return false
		})
		time.Sleep(bondQuiet)
	}, addresses...))

	// What lies above has carrier all the time: only the bond is not good enough.
	moved := r.scenario("… and min_links = 2 by a reload", func() {
		r.a.configure(twoLinks + config(150))
		r.a.must("reload")
		all(r.a, "fault")
		for _, x := range above {
			if !hasReason(r.a, x.kind, "bond bond0: 1 of 2 links usable, min_links is 2") {
				t.Errorf("%s: reasons %q", x.kind, r.a.instance(x.kind).Reasons)
			}
			if sysNet(a, x.iface+"/carrier") != "1" {
				t.Errorf("%s has no carrier", x.iface)
			}
		}
		all(r.b, "active")
	}, addresses...)
	if moved["a"] != len(above) || moved["b"] != len(above) {
		t.Errorf("transitions %v, want one for each instance", moved)
	}
	r.scenario("… and the link back", func() {
		r.heal(a, "eth0")
		all(r.a, "active")
		all(r.b, "backup")
	}, addresses...)
}

// bondManaged: with manage = true the bond is made, and what is done to it by
// hand is undone, without a working link going down.
func bondManaged(t *testing.T) {
	r := newBondRig(t)
	h := r.host("a", "")
	n := r.node(h, `[bond.bond0]
mode = "active-backup"
manage = true
links = ["eth0", "eth1"]
miimon = "100ms"
num_grat_arp = 3
`+webConfig(lab.Router{Interval: bondInterval, Interface: "bond0", Addresses: []string{vip + "/24"}}))
	links := func() {
		t.Helper()
		r.wait("both links to be attached", func() bool {
			return len(strings.Fields(sysNet(h, "bond0/bonding/slaves"))) == 2 && sysNet(h, "bond0/carrier") == "1"
		})
	}
	did := func(what string) {
		t.Helper()
		r.wait("an event: "+what, func() bool { return strings.Contains(strings.Join(repaired(n), "\n"), what) })
	}
	links()
	did("create bond0, mode active-backup")
	if got := sysNet(h, "bond0/bonding/miimon") + " " + sysNet(h, "bond0/bonding/num_grat_arp"); got != "100 3" {
		t.Errorf("miimon and num_grat_arp are %s", got)
	}
	configure(h, "bond0", "192.0.2.1/24")
	r.waitState(n, "active")

	r.unmoved(r.scenario("manage: links and options put back", func() {
		down := sysNet(h, "bond0/carrier_down_count")
		spare := "eth1"
		if activeLink(h) == spare {
			spare = "eth0"
		}
		working := activeLink(h)
		failures := sysNet(h, working+"/bonding_slave/link_failure_count")
		h.Run("ip", "link", "set", spare, "nomaster")
		did("attach " + spare + " to bond0")
		links()
		h.Run("ip", "link", "set", "bond0", "type", "bond", "miimon", "0")
		did("set miimon of bond0 to 100ms, was 0s")
		r.wait("miimon to be 100", func() bool { return sysNet(h, "bond0/bonding/miimon") == "100" })
		h.Run("ip", "link", "set", "bond0", "type", "bond", "num_grat_arp", "0")
		did("set num_grat_arp of bond0 to 3, was 0")
		if got := sysNet(h, working+"/bonding_slave/link_failure_count"); got != failures || activeLink(h) != working {
			t.Errorf("%s failed %s times, was %s; the active link is %s", working, got, failures, activeLink(h))
		}
		// The active link: the other takes over, and it comes back as the spare.
		h.Run("ip", "link", "set", working, "nomaster")
		did("attach " + working + " to bond0")
		links()
		if got := sysNet(h, "bond0/carrier_down_count"); got != down {
			t.Errorf("the bond lost carrier: %s times, was %s", got, down)
		}
		time.Sleep(bondQuiet)
	}))

	r.scenario("manage: bond deleted", func() {
		h.Run("ip", "link", "del", "bond0")
		r.waitState(n, "fault")
		links()
		configure(h, "bond0", "192.0.2.1/24") // addresses are not vrrpd's to keep
		r.waitState(n, "active")
		r.wait("the address to be held", func() bool { return h.Has(vip) })
	})
}

// bondKeepalived has keepalived as the peer on the same kind of bond, once as
// the backup and once as the active one.
func bondKeepalived(t *testing.T) {
	const vip2 = "192.0.2.101"
	r := newBondRig(t)
	web := lab.Router{Interval: bondInterval, Priority: 150, Interface: "bond0", Addresses: []string{vip + "/24"}}
	alt := lab.Router{VRID: 52, Interval: bondInterval, Priority: 100, Interface: "bond0", Addresses: []string{vip2 + "/24"}}
	r.a = r.node(r.host("a", quietBond, "192.0.2.1/24"), webConfig(web)+alt.Vrrpd("alt"))
	web.Priority, alt.Priority = 100, 200
	b := r.host("b", "mode active-backup miimon 100", "192.0.2.2/24")
	keepalived := b.Keepalived(web, alt)
	r.counters = append(r.counters, counter{"keepalived", func() (uint64, bool) {
		return uint64(strings.Count(keepalived.Output(), ") Entering ")), !keepalived.Exited()
	}})
	a := r.a.host
	settled := func() {
		t.Helper()
		r.wait("both routers to settle", func() bool {
			return r.a.instance("web").State == "active" && r.a.instance("alt").State == "backup" && b.Has(vip2) && !b.Has(vip)
		})
	}
	settled()

	r.unmoved(r.scenario("keepalived is backup: active link of vrrpd down", func() {
		r.cut(a, "eth0")
		r.waitLink(a, "eth1")
		time.Sleep(bondQuiet)
		r.heal(a, "eth0")
	}))
	r.unmoved(r.scenario("keepalived is active: its active link down", func() {
		r.cut(b, "eth0")
		r.waitLink(b, "eth1")
		time.Sleep(bondQuiet)
		r.heal(b, "eth0")
	}, vip2))
	r.waitHealth(r.a, "healthy")
	r.scenario("keepalived takes over: both links of vrrpd down", func() {
		r.cut(a, "eth0")
		r.cut(a, "eth1")
		r.waitState(r.a, "fault")
		b.WaitHas(vip, bondPatience)
	})
	r.scenario("keepalived gives back: both links of vrrpd back", func() {
		r.heal(a, "eth0")
		r.heal(a, "eth1")
		settled()
	})
}
