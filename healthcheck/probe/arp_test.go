package probe

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrrpd/internal/lab"
)

func TestARP(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	mac := w.peer.Link("eth0").Attrs().HardwareAddr.String()
	of := func(address string) Probe {
		return mustNew(t, ARP{Address: netip.MustParseAddr(address), Device: "eth0"})
	}
	linkLocal := w.linkLocal(t)
	for range 5 {
		wantPass(t, of(there), "192.0.2.9 on eth0 is at "+mac+", answered in ")
		wantPass(t, of(there6), "2001:db8::9 on eth0 is at "+mac+", answered in ")
		wantPass(t, of(linkLocal.String()), mac)
		wantPass(t, mustNew(t, ARP{Address: linkLocal.WithZone("eth0")}), mac)
	}
	wantPass(t, mustNew(t, ARP{Address: netip.MustParseAddr(there), Device: "eth0", Source: netip.MustParseAddr(here)}), mac)
	wantTimeout(t, of(nobody), "ask for 192.0.2.77 on eth0: no answer within ", " to 3 requests")
	wantTimeout(t, of("2001:db8::77"), "no answer within ", " to 3 requests")
	wantFail(t, mustNew(t, ARP{Address: netip.MustParseAddr(there), Device: "eth7"}), "there is no such interface")
	wantFail(t, mustNew(t, ARP{Address: netip.MustParseAddr(there6), Device: "lo"}), "ask for 2001:db8::9 on lo: ")

	// What answers no echo is there all the same.
	w.peer.Sysctl("net/ipv4/icmp_echo_ignore_all", "1")
	wantPass(t, of(there), mac)

	// Without an address of its own on the subnet it asks as a probe.
	own, err := netlink.ParseAddr(here + "/24")
	must(t, err)
	must(t, netlink.AddrDel(w.own, own))
	wantPass(t, of(there), mac)

	// A neighbour that is there but silent.
	w.peer.Sysctl("net/ipv4/conf/eth0/arp_ignore", "8")
	wantTimeout(t, of(there), "no answer within ")
	w.peer.Sysctl("net/ipv4/conf/eth0/arp_ignore", "0")
	wantPass(t, of(there), mac)

	// A lost request is made up for.
	w.peer.Sysctl("net/ipv4/conf/eth0/arp_ignore", "8")
	time.AfterFunc(100*time.Millisecond, func() { w.peer.Sysctl("net/ipv4/conf/eth0/arp_ignore", "0") })
	if out := onceWithin(t, of(there), 3*time.Second); !out.Passed {
		t.Errorf("lost requests: %+v", out)
	}

	must(t, w.peer.Netlink().LinkSetDown(w.peer.Link("eth0")))
	lab.Until(t, 10*time.Second, "the carrier to go", func() bool {
		return !once(t, mustNew(t, Interface{Name: "eth0"})).Passed
	})
	for _, address := range []string{there, there6} {
		if out := onceWithin(t, of(address), 200*time.Millisecond); out.Passed {
			t.Errorf("without carrier: %+v", out)
		}
	}
	must(t, netlink.LinkSetDown(w.own))
	wantFail(t, of(there), "network is down")
	wantFail(t, of(there6), "ask for 2001:db8::9 on eth0: ")
}

func TestARPFields(t *testing.T) {
	target := netip.MustParseAddr(there)
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{ARP{Device: "eth0"}, "address"},
		{ARP{Address: netip.MustParseAddr("::1"), Device: "eth0"}, "address"},
		{ARP{Address: netip.MustParseAddr("224.0.0.1"), Device: "eth0"}, "address"},
		{ARP{Address: target}, "device"},
		{ARP{Address: target, Device: "a/b"}, "device"},
		{ARP{Address: target, Device: "eth0", Source: netip.MustParseAddr(here6)}, "source"},
		{ARP{Address: netip.MustParseAddr(there6), Device: "eth0", Source: netip.MustParseAddr(here)}, "source"},
	})
}
