package probe

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

func TestInterface(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	p := mustNew(t, Interface{Name: "eth0"})
	wantPass(t, p, "eth0 is up and has carrier")
	wantPass(t, mustNew(t, Interface{Name: "lo"}))
	wantFail(t, mustNew(t, Interface{Name: "eth7"}), "eth7 does not exist")

	woken := watch(t, p)
	peer := w.peer.Link("eth0")
	must(t, w.peer.Netlink().LinkSetDown(peer))
	woken.becomes(t, false, "eth0 has no carrier")
	must(t, w.peer.Netlink().LinkSetUp(peer))
	woken.becomes(t, true, "eth0 is up")
	must(t, netlink.LinkSetDown(w.own))
	woken.becomes(t, false, "eth0 is set down")
	must(t, netlink.LinkSetUp(w.own))
	woken.becomes(t, true, "eth0 is up")
	must(t, netlink.LinkSetDown(w.own))
	must(t, netlink.LinkSetName(w.own, "other0"))
	woken.becomes(t, false, "eth0 does not exist")
	must(t, netlink.LinkSetName(w.own, "eth0"))
	must(t, netlink.LinkSetUp(w.own))
	woken.becomes(t, true, "eth0 is up")
	must(t, netlink.LinkDel(w.own))
	woken.becomes(t, false, "eth0 does not exist")
}

// TestInterfaceOperState: a bridge has carrier only with a port that has.
func TestInterfaceOperState(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br7"}}
	must(t, netlink.LinkAdd(br))
	t.Cleanup(func() { must(t, netlink.LinkDel(br)) })
	p := mustNew(t, Interface{Name: "br7"})
	woken := watch(t, p)
	wantFail(t, p, "br7 is set down")
	must(t, netlink.LinkSetMaster(w.own, br))
	must(t, netlink.LinkSetUp(br))
	woken.becomes(t, true, "br7 is up")
	must(t, w.peer.Netlink().LinkSetDown(w.peer.Link("eth0")))
	woken.becomes(t, false, "br7 has no carrier")
}

// TestInterfaceQuiet: what happens to others wakes nobody.
func TestInterfaceQuiet(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	p := mustNew(t, Interface{Name: "lo"})
	wantPass(t, p)
	woken := watch(t, p)
	must(t, netlink.LinkSetDown(w.own))
	must(t, netlink.LinkSetUp(w.own))
	// lo's own change, which comes later, is the first to be heard.
	if n := woken.count(); n != 0 {
		t.Errorf("woken %d times by another interface", n)
	}
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetMTU(lo, 65000))
	woken.wait(t, 10*time.Second)
	must(t, netlink.LinkSetMTU(lo, 65536))
}

func TestInterfaceFields(t *testing.T) {
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{Interface{}, "name"},
		{Interface{Name: "."}, "name"},
		{Interface{Name: "a b"}, "name"},
		{Interface{Name: "eth0:1"}, "name"},
		{Interface{Name: "abcdefghijklmnop"}, "name"},
	})
}
