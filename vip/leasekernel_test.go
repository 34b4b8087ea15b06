package vip

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forEver is the lifetime of a permanent address as the kernel tells it.
const forEver = 0xffffffff

// lasts returns how long the near end's address is valid, in seconds; 0: it has
// no such address.
func (c *cable) lasts(prefix string) int {
	c.t.Helper()
	for _, a := range c.addresses() {
		if a.IPNet.String() == prefix {
			return a.ValidLft
		}
	}
	return 0
}

// prefixRoute returns the near end's kernel-made route to a prefix, and whether
// it has an end.
func (c *cable) prefixRoute(prefix string) (there, expires bool) {
	c.t.Helper()
	routes, err := netlink.RouteList(c.link(c.near), netlink.FAMILY_V6)
	must(c.t, err)
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == prefix && r.Protocol == unix.RTPROT_KERNEL {
			return true, r.Expires > 0
		}
	}
	return false, false
}

func TestKernelLease(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	addresses := at(c.near, "192.0.2.10/24", "198.51.100.10/32", "2001:db8::10/64")
	addresses[0].Label = c.near + ":0"
	want := Want{Addresses: addresses, Hold: true, Lease: 3 * time.Second}
	k.Set("web", want)
	r.await(Held)
	renewed := func() bool {
		as := c.addresses()
		return len(as) == 3 && !slices.ContainsFunc(as, func(a netlink.Addr) bool { return a.ValidLft > 3 || a.PreferedLft > 3 })
	}
	for until := time.Now().Add(4500 * time.Millisecond); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if !renewed() {
			t.Fatalf("addresses %+v", c.addresses())
		}
	}
	check := func() {
		t.Helper()
		for i, a := range c.addresses() {
			flags := 0
			if a.IP.To4() == nil {
				flags = unix.IFA_F_NODAD
			}
			if a.ValidLft == forEver {
				flags |= unix.IFA_F_PERMANENT
			}
			if a.Flags != flags {
				t.Errorf("%s: flags %#x, want %#x", a.IPNet, a.Flags, flags)
			}
			if a.IPNet.String() != addresses[i].Prefix.String() || a.Protocol != mark && kernelHasAddressProtocol(t) {
				t.Errorf("address %s, protocol %d", a.IPNet, a.Protocol)
			}
			if i == 0 && a.Label != c.near+":0" {
				t.Errorf("label %q", a.Label)
			}
		}
	}
	check()
	if there, expires := c.prefixRoute("2001:db8::/64"); !there || !expires {
		t.Errorf("prefix route: there %v, has an end %v", there, expires)
	}

	want.Lease = 0
	k.Set("web", want)
	c.eventually("all last for ever", func() bool {
		return !slices.ContainsFunc(c.addresses(), func(a netlink.Addr) bool { return a.ValidLft != forEver || a.PreferedLft != forEver })
	})
	check()
	if there, expires := c.prefixRoute("2001:db8::/64"); !there || expires {
		t.Errorf("prefix route: there %v, has an end %v", there, expires)
	}
	want.Lease = 100 * time.Second
	k.Set("web", want)
	c.eventually("all have an end", func() bool {
		return !slices.ContainsFunc(c.addresses(), func(a netlink.Addr) bool { return a.ValidLft > 100 })
	})
	check()
	k.Set("web", Want{Addresses: addresses})
	r.await(Released)
	if there, _ := c.prefixRoute("2001:db8::/64"); there || !c.has() {
		t.Errorf("left: prefix route %v, addresses %v", there, c.addresses())
	}
	r.none(Restored)
}

// An earlier process left it, with a lease or without; a reload drops an owner
// who had one.
func TestKernelLeaseOfAddressFound(t *testing.T) {
	c := newCable(t)
	for _, p := range []string{"192.0.2.10/24", "2001:db8::10/64", "192.0.2.11/24", "2001:db8::11/64"} {
		a := address(p)
		a.Protocol = mark
		if a.IP[len(a.IP)-1] == 11 || a.IP[len(a.IP)-1] == 0x11 {
			a.ValidLft, a.PreferedLft = 50, 50
		}
		c.add(a)
	}
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true, Lease: 300 * time.Second})
	k.Set("db", Want{Addresses: at(c.near, "192.0.2.11/24", "2001:db8::11/64"), Hold: true})
	r.await(Held)
	r.await(Held)
	c.eventually("lifetimes as wanted", func() bool {
		return c.lasts("192.0.2.10/24") <= 300 && c.lasts("2001:db8::10/64") <= 300 && c.lasts("192.0.2.11/24") == forEver && c.lasts("2001:db8::11/64") == forEver
	})
	// 2001:db8::11 was given its end before, so the route has to be freed of it.
	if there, expires := c.prefixRoute("2001:db8::/64"); !there || expires {
		t.Errorf("prefix route: there %v, has an end %v", there, expires)
	}
	r.none(Restored)
}

// A permanent neighbour's prefix route has no end, whatever comes and goes.
func TestKernelLeaseBesidePermanentNeighbour(t *testing.T) {
	c := newCable(t)
	c.add(address("2001:db8::1/64"))
	unharmed := func(when string) {
		t.Helper()
		if there, expires := c.prefixRoute("2001:db8::/64"); !there || expires {
			t.Errorf("%s: prefix route: there %v, has an end %v", when, there, expires)
		}
		if there := c.lasts("2001:db8::1/64"); there != forEver {
			t.Errorf("%s: the neighbour lasts %d", when, there)
		}
	}
	k, r, _ := startKeeper(t)
	want := Want{Addresses: at(c.near, "2001:db8::10/64"), Hold: true, Lease: time.Second}
	hold := func() {
		t.Helper()
		want.Hold = true
		k.Set("web", want)
		r.await(Held)
	}
	release := func() {
		t.Helper()
		want.Hold = false
		k.Set("web", want)
		r.await(Released)
	}
	hold()
	unharmed("added with a lease")
	time.Sleep(500 * time.Millisecond)
	unharmed("renewed")
	release()
	unharmed("removed")
	want.Lease = 0
	hold()
	want.Lease = time.Second
	k.Set("web", want)
	c.eventually("it has an end", func() bool { return c.lasts("2001:db8::10/64") == 1 })
	unharmed("given a lease")
	time.Sleep(500 * time.Millisecond)
	unharmed("renewed after it was given a lease")
	for _, a := range c.addresses() {
		if a.Flags&unix.IFA_F_NOPREFIXROUTE != 0 {
			t.Errorf("%s: flags %#x", a.IPNet, a.Flags)
		}
	}
	release()
	unharmed("removed in the end")
	r.none(Restored)
}

// Renewing what is gone fails and does not bring it back.
func TestKernelRenewalOfWhatIsGone(t *testing.T) {
	c := newCable(t)
	k, err := openKernel()
	must(t, err)
	defer k.close()
	index := c.link(c.near).Attrs().Index
	var entries []*entry
	for _, a := range at(c.near, "192.0.2.10/24", "192.0.2.11/32", "2001:db8::10/64", "2001:db8::11/128") {
		entries = append(entries, &entry{index: index, prefix: a.Prefix, expires: true, flags: addFlags(a.Prefix.Addr())})
	}
	for _, lease := range []time.Duration{0, 10 * time.Second} {
		for _, e := range entries {
			for _, err := range k.apply([]op{{do: renew, entry: e, lease: lease}}) {
				if err != unix.EINVAL {
					t.Errorf("%s for %v: error %v", e.prefix, lease, err)
				}
			}
		}
	}
	if !c.has() {
		t.Errorf("addresses %v", c.addresses())
	}
	for _, e := range entries { // and these words would have
		must(t, k.apply([]op{{do: renew, entry: e, lease: 10 * time.Second, plain: true}})[0])
	}
	if len(c.addresses()) != 4 {
		t.Errorf("addresses %v", c.addresses())
	}
}

// An address that somebody removes is restored, not renewed.
func TestKernelLeaseAndForeignRemoval(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true, Lease: time.Second})
	r.await(Held)
	for range 10 {
		for _, p := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
			c.del(p)
			r.await(Restored)
			if s := c.lasts(p); s != 1 {
				t.Errorf("%s lasts %d seconds", p, s)
			}
		}
	}
	r.none(Failed)
}

// The leases of a caller that hangs end, an IPv4 primary's without its
// neighbours', and are taken up again when it goes on.
func TestKernelLeaseEnds(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true, Lease: 3 * time.Second})
	r.await(Held)
	c.add(address("192.0.2.99/24")) // secondary
	for range 40 {
		k.Beat()
		time.Sleep(100 * time.Millisecond)
	}
	k.Beat()
	last := time.Now()
	c.eventually("the leases end", func() bool { return c.has("192.0.2.99/24") })
	t.Logf("gone %v after the last progress", time.Since(last))
	r.none(Restored)
	k.Beat()
	r.await(Restored)
	r.await(Restored)
	if !c.has("192.0.2.10/24", "192.0.2.99/24", "2001:db8::10/64") {
		t.Errorf("addresses %v", c.addresses())
	}
}

// A linger that nobody ends leaves nothing on the loopback interface.
func TestKernelLingerOfNobody(t *testing.T) {
	c := newCable(t)
	lo := c.link("lo")
	must(t, netlink.LinkSetUp(lo))
	k, err := openKernel()
	must(t, err)
	defer k.close()
	index := c.link(c.near).Attrs().Index
	ops := []op{
		{do: addHost, index: lo.Attrs().Index, addr: at("lo", "192.0.2.10/32")[0], lease: time.Second},
		{do: addHost, index: lo.Attrs().Index, addr: at("lo", "2001:db8::10/128")[0], lease: time.Second},
		{do: addRoute, route: route{index: index, to: at("", "fe80::10/128")[0].Prefix, local: true}, lease: time.Second},
		{do: addRoute, route: route{index: index, to: at("", "2001:db8::/64")[0].Prefix}, lease: time.Second},
	}
	for i, err := range k.apply(ops) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if n := len(standingIn(t)); n != 2 {
		t.Errorf("%d stand in", n)
	}
	reach := func(ip string) bool { // expired routes are still listed for a while
		routes, err := netlink.RouteGetWithOptions(net.ParseIP(ip), &netlink.RouteGetOptions{Oif: c.near})
		return err == nil && len(routes) == 1 && routes[0].Protocol == mark
	}
	if !reach("2001:db8::99") {
		t.Error("no route to the neighbours")
	}
	c.eventually("nothing is left", func() bool { return len(standingIn(t)) == 0 && !reach("2001:db8::99") })
}

// What the worker does itself wakes nobody; what others do is heard.
func TestKernelRenewalWakesNobody(t *testing.T) {
	if !kernelHasAddressProtocol(t) {
		if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
			t.Fatal("IPv6 notifications are told apart from Linux 5.18 on")
		}
		t.Skip("IPv6 notifications are told apart from Linux 5.18 on")
	}
	c := newCable(t)
	k, err := openKernel()
	must(t, err)
	defer k.close()
	var mu sync.Mutex
	heard := map[netip.Addr]int{}
	hears := func(prefix string) int {
		mu.Lock()
		defer mu.Unlock()
		return heard[netip.MustParsePrefix(prefix).Addr()]
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- k.watch(ctx, func(what change) {
			mu.Lock()
			defer mu.Unlock()
			heard[what.ip]++
		})
	}()
	index := c.link(c.near).Attrs().Index
	for _, a := range at(c.near, "192.0.2.10/24", "2001:db8::10/64") {
		must(t, k.apply([]op{{do: add, index: index, addr: a, lease: 10 * time.Second}})[0])
		e := &entry{index: index, prefix: a.Prefix, expires: true, flags: addFlags(a.Prefix.Addr())}
		for range 5 {
			must(t, k.apply([]op{{do: renew, entry: e, lease: 10 * time.Second}})[0])
		}
	}
	for _, p := range []string{"2001:db8::20/64", "192.0.2.20/24"} {
		c.add(address(p))
		c.eventually(p+" is heard", func() bool { return hears(p) == 1 })
		c.del(p)
		c.eventually("its removal is heard", func() bool { return hears(p) == 2 })
	}
	for _, p := range []string{"2001:db8::10/64", "192.0.2.10/24"} {
		if n := hears(p); n > 0 {
			t.Errorf("%s was heard %d times", p, n)
		}
		c.del(p)
		c.eventually("somebody else's removal is heard", func() bool { return hears(p) == 1 })
	}
	cancel()
	must(t, <-done)
}

// TestKernelManyLeases logs what renewing costs.
func TestKernelManyLeases(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	for _, list := range [][]Address{many(c.near, 1000), many6(c.near, leaseCrowd)} {
		want := Want{Addresses: list, Hold: true, Lease: 5 * time.Second}
		k.Set("web", want)
		r.await(Held)
		settle(t, k)
		before, start := cpu(t), time.Now()
		time.Sleep(2 * time.Second) // a renewal, or two
		used, took := cpu(t)-before, time.Since(start)
		t.Logf("%d leases like that of %s: %.2f %% of a core", len(list), list[0], 100*used.Seconds()/took.Seconds())
		if n := len(c.addresses()); n != len(list) {
			t.Errorf("%d addresses", n)
		}
		want.Hold = false
		k.Set("web", want)
		r.await(Released)
		r.none(Restored)
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
