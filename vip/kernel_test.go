package vip

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

func TestKernelAddressAsConfigured(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	addresses := at(c.near, "192.0.2.10/24", "198.51.100.10/32", "2001:db8::10/64")
	addresses[0].Label = c.near + ":0"
	k.Set("web", Want{Addresses: addresses, Hold: true, Announce: Announce{Burst: 2, Spacing: 50 * time.Millisecond}})
	r.await(Held)
	got := c.addresses()
	if len(got) != 3 {
		t.Fatalf("addresses %v", got)
	}
	for i, a := range got {
		if a.Broadcast != nil {
			t.Errorf("%s has the broadcast address %v", a.IPNet, a.Broadcast)
		}
		if a.Scope != unix.RT_SCOPE_UNIVERSE || uint32(a.ValidLft) != 0xffffffff {
			t.Errorf("%s: scope %d, valid for %d", a.IPNet, a.Scope, a.ValidLft)
		}
		if a.IPNet.String() != addresses[i].Prefix.String() {
			t.Errorf("address %s, want %s", a.IPNet, addresses[i].Prefix)
		}
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DEPRECATED) != 0 || a.IP.To4() == nil && a.Flags&unix.IFA_F_NODAD == 0 {
			t.Errorf("%s: flags %#x", a.IPNet, a.Flags)
		}
		if a.Protocol != mark && kernelHasAddressProtocol(t) {
			t.Errorf("%s: address protocol %d, want %d", a.IPNet, a.Protocol, mark)
		}
	}
	if got[0].Label != c.near+":0" || got[1].Label != c.near {
		t.Errorf("labels %q and %q", got[0].Label, got[1].Label)
	}

	mac := c.link(c.near).Attrs().HardwareAddr
	for _, h := range ear.hears(2, "192.0.2.10") {
		// RFC 826 in RFC 894, as RFC 5227 section 3 wants an announcement.
		want := slices.Concat(bytes.Repeat([]byte{0xff}, 6), mac, []byte{0x08, 0x06,
			0, 1, 0x08, 0x00, 6, 4, 0, 1}, mac, []byte{192, 0, 2, 10}, make([]byte, 6), []byte{192, 0, 2, 10}, make([]byte, 18))
		if !bytes.Equal(h.frame, want) {
			t.Errorf("gratuitous ARP\n% x, want\n% x", h.frame, want)
		}
	}
	for _, h := range ear.hears(2, "2001:db8::10") {
		checkAdvertisement(t, h.frame, mac, netip.MustParseAddr("2001:db8::10"), false)
	}
	k.Set("web", Want{Addresses: addresses})
	if e := r.await(Released); len(e.Addresses) != 3 || !c.has() {
		t.Errorf("released %v, left %v", e.Addresses, c.addresses())
	}
}

// IFA_PROTO came with Linux 5.18.
func kernelHasAddressProtocol(t *testing.T) bool {
	var u unix.Utsname
	must(t, unix.Uname(&u))
	var major, minor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	must(t, err)
	return major > 5 || major == 5 && minor >= 18
}

// checkAdvertisement reads an unsolicited neighbour advertisement by another
// way than it was written.
func checkAdvertisement(t *testing.T, f []byte, mac net.HardwareAddr, ip netip.Addr, router bool) {
	t.Helper()
	allNodes := net.ParseIP("ff02::1")
	if !bytes.Equal(f[:12], slices.Concat(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac)) {
		t.Errorf("Ethernet header % x", f[:14])
	}
	h, err := ipv6.ParseHeader(f[14:])
	must(t, err)
	if h.HopLimit != 255 || !h.Src.Equal(ip.AsSlice()) || !h.Dst.Equal(allNodes) || h.PayloadLen != 32 || len(f) != 14+40+32 {
		t.Errorf("IPv6 header %v, frame of %d bytes", h, len(f))
	}
	body := f[14+40:]
	m, err := icmp.ParseMessage(58, body)
	must(t, err)
	flags := byte(0x20) // Override
	if router {
		flags |= 0x80
	}
	want := slices.Concat([]byte{136, 0, body[2], body[3], flags, 0, 0, 0}, ip.AsSlice(), []byte{2, 1}, mac)
	if !bytes.Equal(body, want) {
		t.Errorf("advertisement\n% x, want\n% x", body, want)
	}
	again, err := m.Marshal(icmp.IPv6PseudoHeader(h.Src, h.Dst))
	must(t, err)
	if !bytes.Equal(again[2:4], body[2:4]) {
		t.Errorf("checksum % x, want % x", body[2:4], again[2:4])
	}
}

func TestKernelRouterFlag(t *testing.T) {
	c := newCable(t)
	c.writeSysctl("ipv6/conf/%s/forwarding", "1")
	k, _, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: at(c.near, "2001:db8::10/64"), Hold: true})
	mac := c.link(c.near).Attrs().HardwareAddr
	checkAdvertisement(t, ear.hears(1, "2001:db8::10")[0].frame, mac, netip.MustParseAddr("2001:db8::10"), true)
}

// When the peer hears of an address, the kernel already answers for it.
func TestCase46_KernelHasTheAddressWhenItIsAnnounced(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	early := make(chan netip.Addr, 1000)
	ear := c.listen(func(f []byte) {
		// Only what is local can be bound to.
		s, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(announced(f), 0)))
		if err != nil {
			early <- announced(f)
			return
		}
		s.Close()
	})
	k.Set("web", Want{Addresses: many(c.near, 200), Hold: true})
	r.await(Held)
	eventually(t, "200 announcements", func() bool {
		ear.mu.Lock()
		defer ear.mu.Unlock()
		return len(ear.heard) >= 200
	})
	select {
	case ip := <-early:
		t.Errorf("%s announced before it was installed", ip)
	default:
	}
}

func many(interfaceName string, n int) []Address {
	var as []Address
	for i := range n {
		as = append(as, at(interfaceName, fmt.Sprintf("10.1.%d.%d/16", i/250, i%250+1))...)
	}
	return as
}

func many6(interfaceName string, n int) []Address {
	var as []Address
	for i := range n {
		as = append(as, at(interfaceName, fmt.Sprintf("2001:db8::%x/64", i+0x100))...)
	}
	return as
}

func TestCase57_KernelFollowsAddedAddress(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
	r.await(Held)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "192.0.2.11/24"), Hold: true})
	r.await(Held)
	ear.hears(1, "192.0.2.11")
	if got := ear.about("192.0.2.10"); len(got) != 1 {
		t.Errorf("the address that was there already was announced %d times", len(got))
	}
	if !c.has("192.0.2.10/24", "192.0.2.11/24") {
		t.Errorf("addresses %v", c.addresses())
	}
	k.Set("db", Want{Addresses: at(c.near, "192.0.2.20/24")}) // Backup
	settle(t, k)
	if !c.has("192.0.2.10/24", "192.0.2.11/24") {
		t.Errorf("addresses %v", c.addresses())
	}
}

func TestCase58_KernelFollowsRemovedAddress(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	all := at(c.near, "192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64", "2001:db8::11/64")
	k.Set("web", Want{Addresses: all, Hold: true})
	r.await(Held)
	k.Set("web", Want{Addresses: []Address{all[1], all[3]}, Hold: true})
	settle(t, k)
	if !c.has("192.0.2.11/24", "2001:db8::11/64") {
		t.Errorf("addresses %v", c.addresses())
	}
	if e := r.await(Released); len(e.Addresses) != 2 {
		t.Errorf("released %v", e.Addresses)
	}
	r.none(Restored)
}

// A reload may change the prefix length or the label of an address.
func TestKernelChangedPrefixLengthAndLabel(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64", "198.51.100.1/24"), Hold: true})
	r.await(Held)
	changed := at(c.near, "192.0.2.10/32", "2001:db8::10/128", "198.51.100.1/24")
	changed[2].Label = c.near + ":9"
	k.Set("web", Want{Addresses: changed, Hold: true})
	settle(t, k)
	if !c.has("192.0.2.10/32", "2001:db8::10/128", "198.51.100.1/24") {
		t.Errorf("addresses %v", c.addresses())
	}
	for _, a := range c.addresses() {
		if a.IP.String() == "198.51.100.1" && a.Label != c.near+":9" {
			t.Errorf("label %q", a.Label)
		}
	}
	r.none(Foreign)
}

func TestKernelRestored(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true})
	r.await(Held)
	for _, p := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
		ear.forget()
		c.del(p)
		if e := r.await(Restored); e.Owner != "web" || e.Address.Prefix.String() != p {
			t.Errorf("event %+v", e)
		}
		ear.hears(1, netip.MustParsePrefix(p).Addr().String())
	}
	if !c.has("192.0.2.10/24", "2001:db8::10/64") {
		t.Errorf("addresses %v", c.addresses())
	}
}

func TestKernelForeign(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64")})
	k.Set("own", Want{Addresses: at(c.near, "192.0.2.20/24"), Owner: true})
	settle(t, k)
	c.add(address("192.0.2.20/24"))
	for _, p := range []string{"192.0.2.10/24", "192.0.2.10/32", "2001:db8::10/64", "2001:db8::10/128"} {
		c.add(address(p))
		if e := r.await(Foreign); e.Address.Prefix.String() != p || e.Leftover {
			t.Errorf("event %+v", e)
		}
	}
	withPeer := address("192.0.2.10/32")
	withPeer.Peer = &net.IPNet{IP: net.IPv4(203, 0, 113, 1), Mask: net.CIDRMask(32, 32)}
	c.add(withPeer)
	r.await(Foreign)
	if kernelHasAddressProtocol(t) {
		left := address("192.0.2.10/24")
		left.Protocol = mark
		c.add(left)
		if e := r.await(Foreign); !e.Leftover {
			t.Errorf("event %+v", e)
		}
	}
	if !c.has("192.0.2.20/24") {
		t.Errorf("addresses %v", c.addresses())
	}
}

func TestKernelOwnerKeepsItsOwn(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	c.add(address("192.0.2.20/24"))
	c.add(address("2001:db8::20/64"))
	want := Want{Addresses: at(c.near, "192.0.2.20/24", "2001:db8::20/128", "192.0.2.21/24"), Owner: true, Hold: true}
	k.Set("own", want)
	r.await(Held)
	want.Hold = false
	k.Set("own", want)
	r.await(Released)
	k.Forget("own")
	settle(t, k)
	if !c.has("192.0.2.20/24", "2001:db8::20/64") {
		t.Errorf("addresses %v", c.addresses())
	}
}

// An interface that goes down loses its IPv6 addresses.
func TestKernelInterfaceDownAndUp(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true})
	r.await(Held)
	c.set(c.near, false)
	if e := r.await(Failed); !strings.HasSuffix(e.Err.Error(), ErrInterfaceDown.Error()) {
		t.Errorf("event %+v", e)
	}
	ear.forget()
	c.set(c.near, true)
	r.await(Restored)
	ear.hears(1, "192.0.2.10")
	ear.hears(1, "2001:db8::10")
	if !c.has("192.0.2.10/24", "2001:db8::10/64") {
		t.Errorf("addresses %v", c.addresses())
	}
	ear.forget()
	c.set(c.far, false) // carrier only: everything stays
	c.eventually("carrier lost", func() bool { return c.link(c.near).Attrs().OperState != netlink.OperUp })
	c.set(c.far, true)
	ear.hears(1, "192.0.2.10")
	ear.hears(1, "2001:db8::10")
}

func TestKernelInterfaceRecreated(t *testing.T) {
	c := newCable(t)
	c.unplug()
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24", "2001:db8::10/64"), Hold: true})
	r.await(Failed)
	c.plug()
	r.await(Held)
	before := c.link(c.near).Attrs().Index
	c.unplug()
	c.plug()
	r.await(Restored)
	r.await(Restored)
	if c.link(c.near).Attrs().Index == before {
		t.Error("the interface has the same index")
	}
	if !c.has("192.0.2.10/24", "2001:db8::10/64") {
		t.Errorf("addresses %v", c.addresses())
	}
}

// A renamed interface is another one: its address must not stay behind.
func TestKernelInterfaceRenamed(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
	r.await(Held)
	old := c.near
	c.near = "renamed"
	must(t, netlink.LinkSetDown(c.link(old)))
	must(t, netlink.LinkSetName(c.link(old), c.near))
	c.set(c.near, true)
	c.eventually("the address is gone", func() bool { return c.has() })
}

func TestKernelHardwareAddressChanged(t *testing.T) {
	c := newCable(t)
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: at(c.near, "192.0.2.10/24"), Hold: true})
	r.await(Held)
	ear.hears(1, "192.0.2.10")
	ear.forget()
	mac := net.HardwareAddr{2, 0, 0, 0xaa, 0xbb, 0xcc}
	must(t, netlink.LinkSetHardwareAddr(c.link(c.near), mac))
	if f := ear.hears(1, "192.0.2.10")[0].frame; !bytes.Equal(f[6:12], mac) || !bytes.Equal(f[22:28], mac) {
		t.Errorf("frame % x", f)
	}
}

func TestKernelInterfaceWithoutARP(t *testing.T) {
	c := newCable(t)
	must(t, netlink.LinkSetARPOff(c.link(c.near)))
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	k.Set("web", Want{Addresses: slices.Concat(at(c.near, "192.0.2.10/24"), at("lo", "192.0.2.11/32")), Hold: true})
	r.await(Held)
	r.none(Failed)
	k.Forget("web")
	settle(t, k)
	if got := ear.about("192.0.2.10"); len(got) != 0 {
		t.Errorf("%d announcements on an interface without ARP", len(got))
	}
}

// An overrun is told, and what comes after it is heard.
func TestKernelOverrun(t *testing.T) {
	c := newCable(t)
	k, err := openKernel()
	must(t, err)
	conn, err := k.changes.SyscallConn()
	must(t, err)
	must(t, conn.Control(func(fd uintptr) {
		must(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 0)) // the least there is
	}))
	for i := range 100 { // nobody reads yet
		c.add(address(fmt.Sprintf("10.9.9.%d/24", i+1)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	late := netip.MustParseAddr("192.0.2.10")
	overruns := 0
	heard := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- k.watch(ctx, func(what change) {
			switch {
			case what.index == 0 && what.err == unix.ENOBUFS:
				if overruns++; overruns == 1 {
					c.add(address("192.0.2.10/24"))
				}
			case what.ip == late:
				close(heard)
			}
		})
	}()
	select {
	case <-heard:
	case <-time.After(patience):
		t.Error("a change right after the overrun was not heard")
	}
	cancel()
	must(t, <-done)
	must(t, k.close())
}

func TestKernelThousandAddresses(t *testing.T) {
	const n = 1000
	c := newCable(t)
	k, r, _ := startKeeper(t)
	ear := c.listen(nil)
	c.add(address("10.1.255.1/16"))
	want := Want{Addresses: many(c.near, n)}
	k.Set("web", want)
	settle(t, k)
	for range 3 {
		ear.forget()
		want.Hold = true
		start := time.Now()
		k.Set("web", want)
		set := time.Since(start)
		held := r.await(Held)
		all := func() []heard {
			ear.mu.Lock()
			defer ear.mu.Unlock()
			return slices.Clone(ear.heard)
		}
		loud := n
		if ear.small {
			loud = n / 10
		}
		eventually(t, "all announcements", func() bool { return len(all()) >= loud })
		h := all()
		if got := len(c.addresses()); got != n+1 {
			t.Fatalf("%d addresses, want %d", got, n+1)
		}
		want.Hold = false
		released := time.Now()
		k.Set("web", want)
		e := r.await(Released)
		if !c.has("10.1.255.1/16") {
			t.Fatalf("%d addresses left", len(c.addresses()))
		}
		ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }
		t.Logf("Set returned after %s; announcements heard: first %s, median %s, last %s; Held %s; removed after %s",
			ms(set), ms(h[0].at.Sub(start)), ms(h[len(h)/2].at.Sub(start)), ms(h[len(h)-1].at.Sub(start)), ms(held.At.Sub(start)), ms(e.At.Sub(released)))
		if d := held.At.Sub(start); d > 2*time.Second {
			t.Errorf("adding took %v", d)
		}
	}
}
