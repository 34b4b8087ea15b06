package integration

import (
	"bytes"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestCase83BondMAC moves the active link under each policy of fail_over_mac:
// the addresses of both families are announced again, from the MAC that the
// bond then has. The kernel's own announcements are off.
func TestCase83BondMAC(t *testing.T) {
	var parts []bondPart
	for _, policy := range []string{"none", "active", "follow"} {
		parts = append(parts, bondPart{"FailOverMAC_" + policy, func(t *testing.T) { bondMAC(t, policy) }})
	}
	inGuest(t, parts...)
}

func bondMAC(t *testing.T, policy string) {
	r := newBondRig(t)
	options := quietBond + " fail_over_mac " + policy
	v4 := lab.Router{Interval: bondInterval, Priority: 150, Interface: "bond0", Addresses: []string{vip + "/24"}}
	v6 := v4
	v6.Addresses = []string{"fe80::100/64", vip6 + "/64"}
	config := func() string {
		return webConfig(v4) + v6.Vrrpd("six") + "announce = { burst = 1, again = \"0s\" }\n"
	}
	r.a = r.node(r.host("a", options, "192.0.2.1/24", "2001:db8::1/64"), config())
	v4.Priority, v6.Priority = 100, 100
	r.b = r.node(r.host("b", options, "192.0.2.2/24", "2001:db8::2/64"), config())
	r.settled()
	r.wait("the IPv6 instances to settle", func() bool {
		return r.a.instance("six").State == "active" && r.b.instance("six").State == "backup"
	})
	a := r.a.host
	move := func(from, to string) {
		before, cut := macOf(a, "bond0"), time.Now()
		r.cut(a, from)
		r.waitLink(a, to)
		mac := macOf(a, "bond0")
		if same := bytes.Equal(before, mac); same != (policy != "active") {
			t.Errorf("fail_over_mac=%s: the MAC was %s and is %s", policy, before, mac)
		}
		r.waitAnnounced(vip, mac, cut)
		r.waitAnnounced(vip6, mac, cut)
		r.waitAnnounced("fe80::100", mac, cut)
		r.heal(a, from)
		r.waitHealth(r.a, "healthy")
		time.Sleep(bondQuiet)
	}
	r.unmoved(r.scenario("Case83 fail_over_mac="+policy+", active link down", func() { move("eth0", "eth1") }))
	r.unmoved(r.scenario("Case83 fail_over_mac="+policy+", and back, IPv6", func() { move("eth1", "eth0") }, vip6))
	// Its own advertisements go on, and it hears the others': nobody is active twice.
	if n := r.b.instance("six").Transitions; n != 1 {
		t.Errorf("b made %d transitions in IPv6, want the one to backup", n)
	}
}
