package integration

import (
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestBondLACP has 802.3ad between the bonds of the nodes and those of the
// switches: a has both links on one switch, b has one link on each of two.
//
//	a: eth0, eth1 ══ one ── b: eth0
//	                  │
//	                 two ── b: eth1
//
// The switches send multicast only where somebody has joined (MLD snooping).
func TestBondLACP(t *testing.T) {
	inGuest(t, bondPart{"Case84Case85", bondLACP})
}

const lacp = "mode 802.3ad miimon 100 lacp_rate fast"

// A lacpSwitch is a bridge that snoops, with bonds for ports.
func lacpSwitch(l *lab.Lab, name string) *lab.Host {
	h := l.Host(name)
	// The only query is the first one: members are known by what they report
	// of their own accord.
	h.Run("sh", "-ec", `
		ip link add br0 type bridge mcast_snooping 1 mcast_querier 1 mcast_query_response_interval 100 mcast_startup_query_count 1
		ip link set br0 up`)
	return h
}

// port makes cables that end at a switch into one port of it.
func port(sw *lab.Host, name, options string, cables ...string) {
	makeBond(sw, name, options, cables...)
	sw.Run("ip", "link", "set", name, "master", "br0")
}

// joined reports whether a switch sends the VRRP group to a port.
func joined(sw *lab.Host, port string) bool {
	for line := range strings.Lines(sw.Run("bridge", "mdb", "show")) {
		if strings.Contains(line, "port "+port+" ") && strings.Contains(line, "ff02::12 ") {
			return true
		}
	}
	return false
}

func bondLACP(t *testing.T) {
	l := lab.New(t)
	one, two := lacpSwitch(l, "one"), lacpSwitch(l, "two")
	a, b, client := l.Host("a"), l.Host("b"), l.Host("client")
	cable(t, one, "trunk", two, "trunk")
	cable(t, a, "eth0", one, "a0")
	cable(t, a, "eth1", one, "a1")
	cable(t, b, "eth0", one, "b0")
	cable(t, b, "eth1", two, "b1")
	cable(t, client, "eth0", one, "client")
	one.Run("sh", "-ec", "ip link set trunk master br0; ip link set client master br0")
	two.Run("ip", "link", "set", "trunk", "master", "br0")
	for _, sw := range []*lab.Host{one, two} { // as towards a querier
		sw.Run("bridge", "link", "set", "dev", "trunk", "mcast_router", "2")
	}
	configure(client, "eth0", "2001:db8::9/64")
	port(one, "toA", "mode balance-xor miimon 100", "a0", "a1") // says nothing of LACP
	port(one, "toB", lacp, "b0")
	port(two, "toB", lacp, "b1")
	makeBond(a, "bond0", lacp, "eth0", "eth1")
	makeBond(b, "bond0", lacp, "eth0", "eth1")
	configure(a, "bond0", "2001:db8::1/64")
	configure(b, "bond0", "2001:db8::2/64")

	r := &bondRig{t: t, lab: l, client: client}
	router := lab.Router{Interval: time.Second, Priority: 150, Interface: "bond0", Addresses: []string{"fe80::100/64", vip6 + "/64"}}
	const table = "[bond.bond0]\nmode = \"802.3ad\"\nhealthy_after = \"0s\"\n"
	r.a = r.node(a, table+webConfig(router))
	router.Priority = 100
	r.b = r.node(b, table+webConfig(router))
	r.settled()

	// Case 85: nobody speaks LACP at the other end.
	r.waitHealth(r.a, "degraded")
	if _, why := r.health(r.a, "bond0"); !strings.Contains(why, "LACP has no partner") {
		t.Errorf("without a partner: %s", why)
	}
	one.Run("ip", "link", "del", "toA")
	port(one, "toA", lacp, "a0", "a1")
	r.waitHealth(r.a, "healthy")
	r.settled()
	r.unmoved(r.scenario("802.3ad, one link of the active node down", func() {
		one.Run("ip", "link", "set", "a0", "down")
		r.waitHealth(r.a, "degraded")
		time.Sleep(4 * time.Second)
		one.Run("ip", "link", "set", "a0", "up")
		r.waitHealth(r.a, "healthy")
	}, vip6))
	bondMembership(r, one, two)
}

// bondMembership is case 84: the active aggregator of b moves from one switch
// to the other, where nobody has joined so far. The driver has the kernel join
// again in other modes, never in this one.
func bondMembership(r *bondRig, one, two *lab.Host) {
	t, b := r.t, r.b.host
	t.Helper()
	active := func() string {
		for _, link := range []string{"eth0", "eth1"} {
			if id := read(b, "bond0/bonding/ad_aggregator"); id != "" && id == read(b, link+"/bonding_slave/ad_aggregator_id") {
				return link
			}
		}
		return ""
	}
	from, to, cableOf := one, two, "b0"
	link := active()
	if link == "eth1" {
		from, to, cableOf = two, one, "b1"
	}
	r.wait("the first switch to know of b", func() bool { return joined(from, "toB") })
	r.unmoved(r.scenario("Case84 802.3ad, active aggregator of the backup moves to another switch", func() {
		from.Run("ip", "link", "set", cableOf, "down")
		r.wait("the aggregator to move", func() bool { return active() != link && active() != "" })
		r.wait("the other switch to know of b", func() bool { return joined(to, "toB") })
		heard := r.b.instance("web").Adverts.Received
		r.wait("advertisements through the other switch", func() bool { return r.b.instance("web").Adverts.Received >= heard+4 })
	}, vip6))
}
