package vip

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// announces sends an announcement of ip at the far end, as a station with the
// hardware address hw would.
func (c *cable) announces(k *kernelSockets, ip string, hw net.HardwareAddr) {
	c.t.Helper()
	l := &link{name: c.far, index: c.link(c.far).Attrs().Index, mac: hw}
	must(c.t, k.announce(l, netip.MustParseAddr(ip)))
}

var otherMAC = net.HardwareAddr(stranger[:])

// What was heard, by address.
type hearing struct {
	mu    sync.Mutex
	count map[spot]int
	last  claim
}

func (h *hearing) of(at spot) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[at]
}

// hears opens a kernel that hears of ips until the test ends.
func hears(t *testing.T, ips ...netip.Addr) (*kernelSockets, *hearing) {
	t.Helper()
	k, err := openKernel()
	must(t, err)
	must(t, k.listen(ips))
	h := &hearing{count: map[spot]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- k.hear(ctx, func(c claim) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.count[c.at]++
			h.last = c
		})
	}()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		must(t, k.close())
	})
	return k, h
}

func TestKernelHears(t *testing.T) {
	c := newCable(t)
	var ips []netip.Addr
	for _, a := range append(many(c.near, filteredMax+1), many6(c.near, filteredMax+1)...) {
		ips = append(ips, a.Prefix.Addr())
	}
	index := c.link(c.near).Attrs().Index
	for name, set := range map[string][]netip.Addr{
		"few":                    {ips[0], ips[len(ips)-1]},
		"many":                   append([]netip.Addr{ips[0], ips[len(ips)-1]}, ips...),
		"most that are filtered": append(append([]netip.Addr{ips[0]}, ips[1:filteredMax]...), ips[filteredMax+2:]...),
	} {
		k, h := hears(t, set...)
		for _, ip := range []netip.Addr{ips[0], ips[len(ips)-1]} {
			c.eventually(name+": hears of "+ip.String(), func() bool {
				c.announces(k, "192.0.2.77", otherMAC)
				c.announces(k, "2001:db8::ffff", otherMAC)
				c.announces(k, ip.String(), otherMAC)
				return h.of(spot{index, ip}) > 0
			})
			h.mu.Lock()
			if h.last.mac != stranger {
				t.Errorf("%s: %s claimed by %x", name, ip, h.last.mac)
			}
			h.mu.Unlock()
		}
		if n := h.of(spot{index, netip.MustParseAddr("192.0.2.77")}); n > 0 && name != "many" {
			t.Errorf("%s: hears of others", name)
		}
		must(t, k.listen(nil))
		before := h.of(spot{index, ips[0]})
		c.announces(k, ips[0].String(), otherMAC)
		time.Sleep(20 * time.Millisecond) // nothing can be waited for
		if h.of(spot{index, ips[0]}) > before+1 {
			t.Errorf("%s: still listens", name)
		}
	}
}

// What a flood brings is read in part.
func TestKernelFlood(t *testing.T) {
	c := newCable(t)
	ip := netip.MustParseAddr("192.0.2.10")
	k, h := hears(t, ip)
	const n = 20000
	start := time.Now()
	for range n {
		c.announces(k, ip.String(), otherMAC)
	}
	took := time.Since(start)
	heard := h.of(spot{c.link(c.near).Attrs().Index, ip})
	t.Logf("heard %d of %d in %v", heard, n, took)
	if most := hearBurst * (2 + int(took/hearWindow)); heard == 0 || heard > most {
		t.Errorf("heard %d, want at most %d", heard, most)
	}
}

// A host that has the addresses for itself says nothing about them until it is
// asked.
func TestKernelConflictFoundByAsking(t *testing.T) {
	c := newCable(t)
	cl := newClient(c, "192.0.2.1/24")
	for _, p := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
		must(t, cl.handle.AddrAdd(cl.far, address(p)))
	}
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"), Hold: true, Conflicts: WatchConflicts})
	r.await(Held)
	found := map[string]bool{}
	for range 2 {
		e := r.await(Conflict)
		found[e.Address.Prefix.String()] = true
		if e.MAC.String() != cl.far.Attrs().HardwareAddr.String() || e.Claims < 1 {
			t.Errorf("event %+v", e)
		}
	}
	if !found["192.0.2.10/24"] || !found["2001:db8::10/64"] {
		t.Errorf("found %v", found)
	}
	k.Forget("web")
	r.await(ConflictOver)
	r.await(ConflictOver)
	r.none(Conflict)
}

// Whatever comes from an interface of this host is its own.
func TestKernelConflictWithItself(t *testing.T) {
	c := newCable(t)
	other, err := openKernel()
	must(t, err)
	defer other.close()
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/24"), Hold: true, Conflicts: DefendConflicts})
	r.await(Held)
	for until := time.Now().Add(1200 * time.Millisecond); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		c.announces(other, "192.0.2.10", c.link(c.far).Attrs().HardwareAddr)
	}
	c.announces(other, "192.0.2.11", otherMAC)
	if e := r.await(Conflict); e.Address.Prefix.String() != "192.0.2.11/24" {
		t.Errorf("event %+v", e)
	}
	r.none(Conflict)
}

func TestKernelLingerEndsWithAnnouncement(t *testing.T) {
	c := newCable(t)
	must(t, netlink.LinkSetUp(c.link("lo")))
	other, err := openKernel()
	must(t, err)
	defer other.close()
	k, r, _ := startKeeper(t)
	want := Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true}
	k.Set("web", want)
	r.await(Held)
	want.Hold, want.Linger = false, time.Minute
	k.Set("web", want)
	r.await(Quieted)
	c.announces(other, "192.0.2.10", otherMAC)
	c.eventually("one of two ends", func() bool { return len(standingIn(t)) == 1 })
	announced := time.Now()
	c.announces(other, "2001:db8::10", otherMAC)
	e := r.await(Released)
	t.Logf("released %v after the announcement", e.At.Sub(announced))
	c.nothingLeft()
}

func TestProbeFrames(t *testing.T) {
	l := &link{mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	f, err := probe(l, netip.MustParseAddr("192.0.2.10"))
	must(t, err)
	// RFC 5227 section 2.1.1: no sender address.
	if want := "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x0a"; string(f[:len(want)]) != want {
		t.Errorf("ARP probe % x", f)
	}
	f, err = probe(l, netip.MustParseAddr("2001:db8::12:3456"))
	must(t, err)
	// RFC 4862 section 5.4.2: from nowhere to the solicited-node group, no option.
	if want := "\x33\x33\xff\x12\x34\x56\x02\x00\x00\x00\x00\x01\x86\xdd\x60\x00\x00\x00\x00\x18\x3a\xff"; string(f[:len(want)]) != want || len(f) != 14+40+24 {
		t.Errorf("neighbour solicitation % x", f)
	}
}
