package integration

import (
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// bonded attaches a host to the switch twice and joins both cables to bond0,
// active-backup, with the link monitor at 100 ms.
func bonded(sw *lab.Switch, l *lab.Lab, name, prefix string) *lab.Host {
	h := l.Host(name)
	sw.Attach(h, "eth0")
	sw.Attach(h, "eth1")
	h.Run("ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "100")
	for _, link := range []string{"eth0", "eth1"} {
		h.Run("ip", "link", "set", link, "down")
		h.Run("ip", "link", "set", link, "master", "bond0")
	}
	h.Run("ip", "link", "set", "bond0", "up")
	h.Run("ip", "addr", "add", prefix, "dev", "bond0")
	return h
}

// TestLabBond is keepalived on real bonds: a link that fails is the bond's
// business, a node that fails is VRRP's.
func TestLabBond(t *testing.T) {
	t.Parallel()
	if !lab.InUML(t, "bonding", "bridge", "veth", "af_packet") {
		return
	}
	l := lab.New(t)
	sw := l.Switch("lan")
	a, b := bonded(sw, l, "a", "192.0.2.1/24"), bonded(sw, l, "b", "192.0.2.2/24")
	client := sw.Host("client", "192.0.2.9/24")
	first := lab.Router{Priority: 200, Interface: "bond0", Addresses: []string{vip + "/24"}}
	second := first
	second.Priority = 100
	onA := a.Keepalived(first)
	onB := b.Keepalived(second)
	a.WaitHas(vip, 20*time.Second)
	who := client.WhoHas(vip, 20)

	sw.CutPort(a, "eth0")
	lab.Until(t, 5*time.Second, "the bond to change over", func() bool {
		return strings.TrimSpace(a.Run("cat", "/sys/class/net/bond0/bonding/active_slave")) == "eth1"
	})
	who.WaitAnswered(5 * time.Second)
	// Longer than the backup waits for an advertisement (3.6 s).
	time.Sleep(5 * time.Second)
	if out := onB.Output(); strings.Contains(out, "MASTER") || strings.Contains(onA.Output(), "FAULT") {
		t.Errorf("the failure of one link made a transition:\n%s", out)
	}

	sw.CutPort(a, "eth1")
	onA.Kill()
	b.WaitHas(vip, 10*time.Second)
	who.WaitAnswered(5 * time.Second)
}
