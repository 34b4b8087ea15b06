package integration

import (
	"strconv"
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

// switchPort makes cables that end at a switch into one port of it.
func switchPort(sw *lab.Host, name, options string, cables ...string) {
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
	switchPort(one, "toA", "mode balance-xor miimon 100", "a0", "a1") // says nothing of LACP
	switchPort(one, "toB", lacp, "b0")
	switchPort(two, "toB", lacp, "b1")
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
	switchPort(one, "toA", lacp, "a0", "a1")
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
// again in other modes, never in this one. Then b serves, and it moves back.
func bondMembership(r *bondRig, one, two *lab.Host) {
	t, b := r.t, r.b.host
	t.Helper()
	switches := map[string]*lab.Host{"eth0": one, "eth1": two}
	ports := map[string]string{"eth0": "b0", "eth1": "b1"}
	first := activeAggregator(b)
	second := "eth0"
	if first == second {
		second = "eth1"
	}
	from, to := switches[first], switches[second]
	r.wait("the first switch to know of b", func() bool { return joined(from, "toB") })
	// It may have been the second one while LACP settled. A port that is taken
	// out of the bridge is forgotten.
	to.Run("sh", "-ec", "ip link set toB nomaster; ip link set toB master br0")
	if joined(to, "toB") {
		t.Fatal("the second switch knows of b already: nothing is tested")
	}
	r.unmoved(r.scenario("Case84 802.3ad, active aggregator of the backup moves to another switch", func() {
		from.Run("ip", "link", "set", ports[first], "down")
		r.wait("the aggregator to move", func() bool { return activeAggregator(b) == second })
		r.wait("the other switch to know of b", func() bool { return joined(to, "toB") })
		heard := r.b.instance("web").Adverts.Received
		r.wait("advertisements through the other switch", func() bool { return r.b.instance("web").Adverts.Received >= heard+4 })
	}, vip6))

	from.Run("ip", "link", "set", ports[first], "up")
	since := time.Now()
	r.wait("LACP to have settled on the first link", func() bool {
		if !agreed(b, first) {
			since = time.Now()
		}
		return time.Since(since) > lacpSettled
	})
	r.a.must("demote", "web")
	r.waitState(r.b, "active")
	r.unmoved(r.scenario("802.3ad, active aggregator of the active node moves to another switch", func() {
		to.Run("ip", "link", "set", ports[second], "down")
		r.wait("the aggregator to move back", func() bool { return activeAggregator(b) == first })
		time.Sleep(4 * time.Second)
	}, vip6))
}

// lacpSettled is more than the two timers of LACP that count here: three
// seconds until a silent partner is given up, two until a port is attached.
const lacpSettled = 4 * time.Second

// agreed reports whether the partner of a link is in sync, and still heard.
func agreed(h *lab.Host, link string) bool {
	const sync, defaulted, expired = 0x08, 0x40, 0x80 // IEEE 802.1AX §6.4.2.3
	actor, errActor := strconv.Atoi(sysNet(h, link+"/bonding_slave/ad_actor_oper_port_state"))
	partner, errPartner := strconv.Atoi(sysNet(h, link+"/bonding_slave/ad_partner_oper_port_state"))
	return errActor == nil && errPartner == nil && partner&sync != 0 && actor&(defaulted|expired) == 0
}

// activeAggregator is the link that LACP has chosen to use; "" if it is none.
func activeAggregator(h *lab.Host) string {
	id := sysNet(h, "bond0/bonding/ad_aggregator")
	for _, link := range []string{"eth0", "eth1"} {
		if id != "" && id == sysNet(h, link+"/bonding_slave/ad_aggregator_id") {
			return link
		}
	}
	return ""
}
