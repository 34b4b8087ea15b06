package vip

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	ignoreSwitch   = "ipv4/conf/%s/arp_ignore"
	announceSwitch = "ipv4/conf/%s/arp_announce"
)

// standingIn returns the loopback addresses besides the kernel's.
func standingIn(t testing.TB) []string {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	as, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
	must(t, err)
	var found []string
	for _, a := range as {
		if !a.IP.IsLoopback() {
			found = append(found, a.IPNet.String())
		}
	}
	return found
}

// ownRoutes returns the routes with this package's number, of all tables but
// that of notes.
func ownRoutes(t testing.TB) []netlink.Route {
	return slices.DeleteFunc(marked(t), func(r netlink.Route) bool { return r.Table == noteTable })
}

// marked returns all routes with this package's number.
func marked(t testing.TB) []netlink.Route {
	t.Helper()
	var found []netlink.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rs, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: mark}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		must(t, err)
		found = append(found, rs...)
	}
	return found
}

// nothingLeft checks that a linger left the host as it was.
func (c *cable) nothingLeft() {
	c.t.Helper()
	if got := standingIn(c.t); len(got) > 0 {
		c.t.Errorf("left on lo: %v", got)
	}
	if got := marked(c.t); len(got) > 0 {
		c.t.Errorf("routes left: %v", got)
	}
	if i, a := c.readSysctl(ignoreSwitch), c.readSysctl(announceSwitch); i != "0" || a != "0" {
		c.t.Errorf("arp_ignore %s and arp_announce %s are left", i, a)
	}
}

// From the moment it is quiet nobody hears of the address, and who knows it is
// served until the linger ends.
func TestKernelLinger(t *testing.T) {
	const linger = 3 * time.Second
	for _, tt := range []struct{ name, own, vip, client string }{
		{"IPv4 beside the node's own", "192.0.2.1/24", "192.0.2.10/24", "192.0.2.2/24"},
		{"IPv4 alone in its subnet", "", "192.0.2.10/24", "192.0.2.2/24"},
		{"IPv6 beside the node's own", "2001:db8::1/64", "2001:db8::10/64", "2001:db8::2/64"},
		{"IPv6 alone in its subnet", "", "2001:db8::10/64", "2001:db8::2/64"},
		{"IPv6 link-local", "", "fe80::10/64", "fe80::2/64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCable(t)
			cl := newClient(c, tt.client)
			if tt.own != "" {
				c.add(address(tt.own))
			}
			ip := netip.MustParsePrefix(tt.vip).Addr()
			cl.knows(ip)
			k, r, _ := startKeeper(t)
			want := Want{Addresses: at(c.near, tt.vip), Hold: true, Announce: Announce{Refresh: time.Millisecond}}
			k.Set("web", want)
			r.await(Held)
			cl.probe(ip)
			eventually(t, "the address is claimed", func() bool { return len(cl.claimed(ip, time.Time{})) > 10 })
			var local net.UDPAddr
			if tt.own != "" || localRouted(ip) { // else the kernel chooses among two sources
				local.IP = ip.AsSlice()
			}
			if localRouted(ip) {
				local.Zone = fmt.Sprint(c.link(c.near).Attrs().Index)
			}
			talks := cl.talkTo(ip, local)
			for _, talk := range talks {
				talk.say(10)
			}

			want.Hold, want.Linger = false, linger
			asked := time.Now()
			k.Set("web", want)
			returned := time.Since(asked)
			for _, talk := range talks { // through it
				talk.say(10)
			}
			quieted := r.await(Quieted)
			if n := cl.ping(ip, 50); n != 50 {
				t.Errorf("%d of 50 echo requests answered", n)
			}
			for range 5 { // the node must ask for the client, in another name
				c.forgetNeighbours()
				for _, talk := range talks {
					talk.say(10)
				}
				cl.ping(ip, 5)
			}
			if c.hasIP(ip) {
				t.Errorf("%s is still on %s", ip, c.near)
			}
			if routes := ownRoutes(t); ip.Is4() && len(routes) > 0 != (tt.own == "") {
				t.Errorf("routes %v", routes)
			}
			if d := time.Since(asked); d > linger {
				t.Fatalf("the test took %v, longer than the linger", d)
			}
			released := r.await(Released)
			settle(t, k)
			if d := released.At.Sub(asked); d < linger || d > linger+time.Second {
				t.Errorf("released after %v", d)
			}
			if n := cl.ping(ip, 10); n != 0 {
				t.Errorf("%d echo requests answered after the linger", n)
			}
			c.nothingLeft()
			r.none(Failed)
			if late := cl.claimed(ip, quieted.At.Add(readLate)); len(late) > 0 {
				t.Errorf("%d claims after it was quiet, the first a %s after %v", len(late), late[0].what, late[0].at.Sub(quieted.At))
			}
			last := cl.claimed(ip, time.Time{})
			t.Logf("Set returned after %v, last claim after %v, Quieted after %v, Released after %v", returned,
				last[len(last)-1].at.Sub(asked), quieted.At.Sub(asked), released.At.Sub(asked))
		})
	}
}

func (c *cable) hasIP(ip netip.Addr) bool {
	as, err := netlink.AddrList(c.link(c.near), netlink.FAMILY_ALL)
	must(c.t, err)
	return slices.ContainsFunc(as, func(a netlink.Addr) bool { return a.IP.Equal(ip.AsSlice()) })
}

// Held again in the middle: announced at once, connections live on.
func TestKernelLingerHeldAgain(t *testing.T) {
	for _, prefix := range []string{"192.0.2.10/24", "2001:db8::10/64", "fe80::10/64"} {
		t.Run(prefix, func(t *testing.T) {
			c := newCable(t)
			ip := netip.MustParsePrefix(prefix).Addr()
			peer := netip.PrefixFrom(ip.Next(), netip.MustParsePrefix(prefix).Bits()).String()
			cl := newClient(c, peer)
			cl.knows(ip)
			cl.probe(ip)
			k, r, _ := startKeeper(t)
			want := Want{Addresses: at(c.near, prefix), Hold: true}
			k.Set("web", want)
			r.await(Held)
			local := net.UDPAddr{IP: ip.AsSlice()}
			if localRouted(ip) {
				local.Zone = fmt.Sprint(c.link(c.near).Attrs().Index)
			}
			talks := cl.talkTo(ip, local)
			for range 20 {
				want.Hold, want.Linger = false, time.Hour
				k.Set("web", want)
				talks[0].say(3)
				r.await(Quieted)
				talks[1].say(3)
				want.Hold = true
				asked := time.Now()
				k.Set("web", want)
				for _, talk := range talks {
					talk.say(3)
				}
				if held := r.await(Held); len(cl.claimed(ip, asked)) == 0 {
					t.Errorf("not announced; held after %v", held.At.Sub(asked))
				}
				settle(t, k)
				c.nothingLeft()
			}
			r.none(Released)
			r.none(Failed)
			want.Hold = false
			k.Set("web", want)
			r.await(Quieted)
			k.Forget("web")
			r.await(Released)
			settle(t, k)
			c.nothingLeft()
		})
	}
}

// The node's own address, a secondary of the virtual one, stays when that goes.
func TestKernelLingerPromotes(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	newClient(c, "192.0.2.2/24")
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/24"), Hold: true})
	r.await(Held)
	c.add(address("192.0.2.1/24"))
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/24"), Linger: 50 * time.Millisecond})
	r.await(Quieted)
	if !c.has("192.0.2.1/24") || len(ownRoutes(t)) != 0 {
		t.Errorf("addresses %v, routes %v", c.addresses(), ownRoutes(t))
	}
	r.await(Released)
	settle(t, k)
	c.nothingLeft()
}

// readLate is how long after its arrival a busy machine may read a claim; the
// client takes the time then. A node that is not quiet goes on claiming.
const readLate = 50 * time.Millisecond

func TestKernelLingerHundred(t *testing.T) {
	const n = 100
	for _, own := range []string{"", "10.1.255.1/16"} {
		t.Run("own address "+own, func(t *testing.T) {
			c := newCable(t)
			cl := newClient(c, "10.1.255.2/16")
			if own != "" {
				c.add(address(own))
			}
			addresses := many(c.near, n)
			var ips []netip.Addr
			for _, a := range addresses {
				ips = append(ips, a.Prefix.Addr())
				cl.knows(a.Prefix.Addr())
			}
			cl.probe(ips...)
			k, r, _ := startKeeper(t)
			var last, quiet, release time.Duration
			for range 5 {
				k.Set("web", Want{Addresses: addresses, Hold: true})
				r.await(Held)
				asked := time.Now()
				k.Set("web", Want{Addresses: addresses, Linger: time.Second})
				quieted := r.await(Quieted)
				if len(quieted.Addresses) != n || len(standingIn(t)) != n || !(c.has() || c.has(own)) {
					t.Fatalf("%d quiet, on lo: %v, on the interface: %v", len(quieted.Addresses), standingIn(t), c.addresses())
				}
				answered := 0
				for _, i := range []int{0, 31, 32, 63, 64, 99} {
					answered += cl.ping(ips[i], 3)
				}
				if answered != 18 {
					t.Errorf("%d of 18 echo requests answered", answered)
				}
				ended := time.Now()
				k.Set("web", Want{Addresses: addresses})
				e := r.await(Released)
				if len(e.Addresses) != n {
					t.Errorf("%d released", len(e.Addresses))
				}
				settle(t, k)
				c.nothingLeft()
				for _, ip := range ips {
					if late := cl.claimed(ip, quieted.At.Add(readLate)); len(late) > 0 {
						t.Errorf("%s: %d claims after it was quiet", ip, len(late))
					}
					for _, claim := range cl.claimed(ip, asked) {
						last = max(last, claim.at.Sub(asked))
					}
				}
				quiet, release = max(quiet, quieted.At.Sub(asked)), max(release, e.At.Sub(ended))
			}
			t.Logf("longest of 5: last claim after %v, Quieted after %v, a linger ended early after %v", last, quiet, release)
		})
	}
}

// Somebody's strict settings are left alone.
func TestKernelLingerStrictAlready(t *testing.T) {
	c := newCable(t)
	newClient(c, "192.0.2.2/24")
	c.writeSysctl(ignoreSwitch, "2")
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
	r.await(Held)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Linger: 50 * time.Millisecond})
	r.await(Quieted)
	if i, a := c.readSysctl(ignoreSwitch), c.readSysctl(announceSwitch); i != "2" || a != "2" {
		t.Errorf("arp_ignore %s, arp_announce %s while it lingers", i, a)
	}
	r.await(Released)
	settle(t, k)
	if i, a := c.readSysctl(ignoreSwitch), c.readSysctl(announceSwitch); i != "2" || a != "0" {
		t.Errorf("arp_ignore %s, arp_announce %s after it", i, a)
	}
}

// A keeper that ends in the middle of a linger takes everything along; what one
// leaves that had no time to is found by the next.
func TestKernelLingerCutShort(t *testing.T) {
	prefixes := []string{"192.0.2.10/24", "2001:db8::10/64", "fe80::10/64"}
	t.Run("closed", func(t *testing.T) {
		c := newCable(t)
		newClient(c, "192.0.2.2/24")
		k, r, stop := startKeeper(t)
		k.Set("web", Want{Addresses: at(c.near, prefixes...), Hold: true})
		r.await(Held)
		k.Set("web", Want{Addresses: at(c.near, prefixes...), Linger: time.Hour})
		r.await(Quieted)
		if len(standingIn(t)) != 2 || len(ownRoutes(t)) != 3 {
			t.Errorf("on lo: %v, routes %v", standingIn(t), ownRoutes(t))
		}
		stop()
		c.nothingLeft()
	})
	t.Run("killed", func(t *testing.T) {
		if !kernelHasAddressProtocol(t) {
			if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
				t.Fatal("no address protocol before Linux 5.18")
			}
			t.Skip("no address protocol before Linux 5.18")
		}
		c := newCable(t)
		newClient(c, "192.0.2.2/24")
		for _, p := range []string{"192.0.2.10/32", "2001:db8::10/128"} {
			a := address(p)
			a.Protocol = mark
			must(t, netlink.AddrAdd(c.link("lo"), a))
		}
		for _, args := range [][]string{
			{"address", "add", "192.0.2.11/32", "dev", "lo"},
			{"route", "add", "2001:db8::/64", "dev", c.near, "proto", "112", "metric", fmt.Sprint(routeMetric)},
			{"route", "add", "192.0.2.0/24", "dev", c.near, "proto", "112", "scope", "link", "metric", fmt.Sprint(routeMetric)},
			{"-6", "route", "add", "local", "fe80::10", "dev", c.near, "proto", "112", "table", "local", "metric", fmt.Sprint(routeMetric)},
		} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Fatalf("ip %v: %v: %s", args, err, bytes.TrimSpace(out))
			}
		}
		k, r, _ := startKeeper(t)
		k.Set("web", Want{Addresses: at(c.near, append(prefixes, "192.0.2.11/24")...)})
		for range 2 {
			if e := r.await(Foreign); !e.Leftover || e.Address.Interface != "lo" {
				t.Errorf("event %+v", e)
			}
		}
		settle(t, k)
		r.none(Failed)
		if got := standingIn(t); !slices.Equal(got, []string{"192.0.2.11/32"}) || len(ownRoutes(t)) != 0 {
			t.Errorf("on lo: %v, routes %v", got, ownRoutes(t))
		}
		if out, err := exec.Command("ip", "address", "del", "192.0.2.11/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// A process that crashes in the middle of a linger leaves nothing that lasts,
// and the next one restores the ARP switches. One that ends leaves what it
// holds.
func TestKernelLingerAfterCrash(t *testing.T) {
	for _, before := range [][2]string{{"0", "0"}, {"0", "1"}, {"1", "0"}, {"2", "0"}, {"1", "2"}} {
		c := newCable(t)
		c.writeSysctl(ignoreSwitch, before[0])
		c.writeSysctl(announceSwitch, before[1])
		must(t, netlink.LinkSetUp(c.link("lo")))
		r := &recorder{t: t}
		k, err := New(r.record)
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		want := Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true}
		k.Set("web", want)
		r.await(Held)
		want.Hold, want.Linger = false, time.Minute
		k.Set("web", want)
		r.await(Quieted)
		cancel()
		must(t, <-done)

		next, r2, stop := startKeeper(t)
		next.Set("web", Want{Addresses: want.Addresses})
		settle(t, next)
		c.eventually("the switches are restored", func() bool {
			return c.readSysctl(ignoreSwitch) == before[0] && c.readSysctl(announceSwitch) == before[1]
		})
		if got := marked(t); len(got) > 0 {
			t.Errorf("%v: left %v", before, got)
		}
		next.Set("web", Want{Addresses: want.Addresses, Hold: true, Lease: time.Minute})
		r2.await(Held)
		stop()
		if s := c.lasts("192.0.2.10/24"); s == 0 || s > 60 {
			t.Errorf("lasts %d seconds after the end", s)
		}
		must(t, k.Close())
	}
}
