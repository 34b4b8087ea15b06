package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestThousandAddresses: adding and removing a thousand addresses delays no
// advertisement so long that the peer takes over, and all of them arrive.
func TestThousandAddresses(t *testing.T) {
	t.Parallel()
	const count = 1000
	var extra []string
	for i := range count {
		extra = append(extra, fmt.Sprintf("%q", fmt.Sprintf("198.51.%d.%d/32", 100+i/250, 1+i%250)))
	}
	// 30 ms: three lost advertisements are less than a tenth of a second.
	_, sw, a, b, _ := twoNodes(t, 30*time.Millisecond, "extra_addresses = ["+strings.Join(extra, ", ")+"]\n")
	sniff := sw.Sniff()
	a.start()
	lab.Until(t, 20*time.Second, "all addresses on a", func() bool { return len(a.instance("web").Installed) == count+1 })
	b.start()
	time.Sleep(time.Second)
	if n := b.instance("web").Transitions; n != 1 {
		t.Errorf("b changed its state %d times beside an active node\n%s", n-1, b.must("events"))
	}
	a.stop()
	lab.Until(t, 20*time.Second, "all addresses on b", func() bool { return len(b.instance("web").Installed) == count+1 })
	if left := a.host.Run("ip", "-4", "addr", "show", "dev", "eth0"); strings.Contains(left, "198.51.") || strings.Contains(left, "192.0.2.100") {
		t.Errorf("left behind on a:\n%s", left)
	}
	announced := map[string]bool{}
	for _, n := range sniff.Announcements() {
		announced[n.Address.String()] = true
	}
	if len(announced) < count+1 {
		t.Errorf("%d addresses announced of %d", len(announced), count+1)
	}
}

// TestAddressPutBack: an address that somebody removes comes back, the node's
// own address survives the release of a virtual one, and a stray copy on a
// backup goes.
func TestAddressPutBack(t *testing.T) {
	t.Parallel()
	_, _, a, b, client := twoNodes(t, 100*time.Millisecond, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	b.start()
	a.host.WaitHas("192.0.2.100", 5*time.Second)
	for range 3 {
		a.host.Run("ip", "addr", "del", "192.0.2.100/24", "dev", "eth0")
		a.host.WaitHas("192.0.2.100", 5*time.Second)
	}
	if s := a.instance("web").State; s != "active" {
		t.Errorf("a is %s", s)
	}
	b.host.Run("ip", "addr", "add", "192.0.2.100/24", "dev", "eth0")
	b.host.WaitHasNot("192.0.2.100", 5*time.Second)
	who := client.WhoHas("192.0.2.100", 100)
	who.WaitOwner(a.host, 5*time.Second)
	a.stop()
	if !a.host.Has("192.0.2.1") {
		t.Error("the node's own address went with the virtual one")
	}
	who.WaitOwner(b.host, 5*time.Second)
}

// TestInterfaceGoesAndReturns: an interface that is absent is waited for, and
// followed when it comes back under another index.
func TestInterfaceGoesAndReturns(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	host := l.Host("a")
	r := lab.Router{Interval: 100 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}}
	n := newNode(t, l, host, r.Vrrpd("web")).start()
	i := n.instance("web")
	if i.State != "fault" || len(i.Reasons) != 1 || i.Reasons[0] != "eth0 does not exist" {
		t.Fatalf("without its interface: %s, %q", i.State, i.Reasons)
	}
	for range 2 {
		sw.Attach(host, "eth0", "192.0.2.1/24")
		n.waitState("web", "active", 10*time.Second)
		host.WaitHas("192.0.2.100", 5*time.Second)
		host.Run("ip", "link", "del", "eth0")
		n.waitState("web", "fault", 5*time.Second)
	}
}

// TestCarrierLost: no carrier is a fault by name; the peer takes over, and
// the node comes back as what it was.
func TestCarrierLost(t *testing.T) {
	t.Parallel()
	_, sw, a, b, _ := twoNodes(t, 100*time.Millisecond, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	b.start()
	sw.Cut(a.host)
	a.waitState("web", "fault", 5*time.Second)
	if r := a.instance("web").Reasons; len(r) != 1 || r[0] != "eth0 has no carrier" {
		t.Errorf("reasons %q", r)
	}
	a.host.WaitHasNot("192.0.2.100", 5*time.Second)
	b.waitState("web", "active", 10*time.Second)
	sw.Heal(a.host)
	a.waitState("web", "active", 10*time.Second)
	b.waitState("web", "backup", 10*time.Second)
}
