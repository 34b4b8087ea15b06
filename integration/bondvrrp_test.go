package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// bondModules are what the kernel needs for these tests.
var bondModules = []string{"bonding", "bridge", "veth", "af_packet", "ipv6", "8021q", "macvlan", "vrf", "dummy"}

// A bondPair is vrrpd on two hosts with a bond each, on one switch.
type bondPair struct {
	lab    *lab.Lab
	sw     *lab.Switch
	a, b   *node
	client *lab.Host
	who    *lab.Probe
}

const bondTable = "[bond.bond0]\nmode = \"active-backup\"\ndegraded_weight = -60\ndegraded_after = \"500ms\"\nhealthy_after = \"500ms\"\n"

// newBondPair starts both; a has priority 150, b 100, so that a degraded a
// (90) is below b.
func newBondPair(t *testing.T, table string) *bondPair {
	t.Helper()
	l := lab.New(t)
	p := &bondPair{lab: l, sw: l.Switch("lan")}
	r := lab.Router{Interval: 500 * time.Millisecond, Priority: 150, Interface: "bond0", Addresses: []string{vip + "/24"}}
	p.a = newNode(t, l, bonded(p.sw, l, "a", "192.0.2.1/24"), table+r.Vrrpd("web")).start()
	r.Priority = 100
	p.b = newNode(t, l, bonded(p.sw, l, "b", "192.0.2.2/24"), table+r.Vrrpd("web")).start()
	p.client = p.sw.Host("client", "192.0.2.9/24")
	p.a.waitState("web", "active", 20*time.Second)
	p.b.waitState("web", "backup", 20*time.Second)
	p.who = p.client.WhoHas(vip, 20)
	p.who.WaitOwner(p.a.host, 10*time.Second)
	return p
}

func activeLink(h *lab.Host) string {
	return strings.TrimSpace(h.Run("cat", "/sys/class/net/bond0/bonding/active_slave"))
}

func (p *bondPair) transitions() string {
	return fmt.Sprintf("a %d, b %d", p.a.instance("web").Transitions, p.b.instance("web").Transitions)
}

// TestCase82BondDecides: a bond that lost a link lowers the priority after a
// while, one without links is a fault by name, and the failover of one bond
// is no transition without a weight.
func TestCase82BondDecides(t *testing.T) {
	t.Parallel()
	if !lab.InUML(t, bondModules...) {
		return
	}
	p := newBondPair(t, bondTable)
	p.sw.CutPort(p.a.host, "eth0")
	p.who.WaitOwner(p.b.host, 20*time.Second)
	if i := p.a.instance("web"); i.Priority.Effective != 90 || len(i.Priority.Parts) != 1 || i.Priority.Parts[0].Source != "bond:bond0" {
		t.Errorf("priority of a: %+v", i.Priority)
	}
	bond := p.a.status().Bonds[0]
	if bond.Health != "degraded" || bond.ActiveLink != "eth1" || len(bond.Reasons) != 1 || !strings.HasPrefix(bond.Reasons[0], "eth0: ") {
		t.Errorf("bond of a: %+v", bond)
	}
	p.sw.HealPort(p.a.host, "eth0")
	p.who.WaitOwner(p.a.host, 20*time.Second)

	p.sw.CutPort(p.a.host, "eth0")
	p.sw.CutPort(p.a.host, "eth1")
	p.a.waitState("web", "fault", 10*time.Second)
	if r := strings.Join(p.a.instance("web").Reasons, "; "); !strings.Contains(r, "bond bond0: ") {
		t.Errorf("reasons %q", r)
	}
	p.who.WaitOwner(p.b.host, 20*time.Second)
	t.Log(p.a.must("status"))
	t.Log(p.a.must("events"))
}
