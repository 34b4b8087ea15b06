package vip

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// This file makes what the tests against the kernel need: a cable (veth) whose
// one end gets the addresses and whose other end is listened to.

const patience = 10 * time.Second

var cables atomic.Int32

// A cable is a veth pair in the namespace of the tests.
type cable struct {
	t         testing.TB
	near, far string
}

func newCable(t testing.TB) *cable {
	t.Helper()
	needNamespace(t)
	n := cables.Add(1)
	c := &cable{t, fmt.Sprintf("near%d", n), fmt.Sprintf("far%d", n)}
	c.plug()
	t.Cleanup(c.unplug)
	return c
}

func (c *cable) plug() {
	c.t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = c.near
	must(c.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: la, PeerName: c.far}))
	c.set(c.far, true)
	c.set(c.near, true)
	c.eventually("the cable carries frames", func() bool { return c.link(c.near).Attrs().OperState == netlink.OperUp })
}

func (c *cable) unplug() {
	if l, err := netlink.LinkByName(c.near); err == nil {
		must(c.t, netlink.LinkDel(l))
	}
}

func (c *cable) link(name string) netlink.Link {
	c.t.Helper()
	l, err := netlink.LinkByName(name)
	must(c.t, err)
	return l
}

func (c *cable) set(name string, up bool) {
	c.t.Helper()
	if up {
		must(c.t, netlink.LinkSetUp(c.link(name)))
	} else {
		must(c.t, netlink.LinkSetDown(c.link(name)))
	}
}

// addresses returns the near end's addresses, without the automatic ones.
func (c *cable) addresses() []netlink.Addr {
	c.t.Helper()
	as, err := netlink.AddrList(c.link(c.near), netlink.FAMILY_ALL)
	must(c.t, err)
	return slices.DeleteFunc(as, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() })
}

// has compares the near end's addresses with prefixes.
func (c *cable) has(prefixes ...string) bool {
	c.t.Helper()
	var got []string
	for _, a := range c.addresses() {
		got = append(got, a.IPNet.String())
	}
	slices.Sort(got)
	slices.Sort(prefixes)
	return slices.Equal(got, prefixes)
}

func (c *cable) add(a *netlink.Addr) {
	c.t.Helper()
	must(c.t, netlink.AddrAdd(c.link(c.near), a))
}

func (c *cable) del(prefix string) {
	c.t.Helper()
	must(c.t, netlink.AddrDel(c.link(c.near), address(prefix)))
}

func address(prefix string) *netlink.Addr {
	p := netip.MustParsePrefix(prefix)
	a, err := netlink.ParseAddr(p.String())
	if err != nil {
		panic(err)
	}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func (c *cable) sysctl(path string) string { return "/proc/sys/net/" + fmt.Sprintf(path, c.near) }

func (c *cable) writeSysctl(path, value string) {
	c.t.Helper()
	must(c.t, os.WriteFile(c.sysctl(path), []byte(value), 0))
}

func (c *cable) readSysctl(path string) string {
	c.t.Helper()
	b, err := os.ReadFile(c.sysctl(path))
	must(c.t, err)
	return strings.TrimSpace(string(b))
}

func (c *cable) eventually(what string, condition func() bool) {
	c.t.Helper()
	eventually(c.t, what, condition)
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A heard frame is an ARP packet or a neighbour advertisement.
type heard struct {
	at    time.Time
	frame []byte
}

// An ear collects announcements at the far end of a cable.
type ear struct {
	t      testing.TB
	onHear func(frame []byte)
	small  bool // its buffer: a long burst may be heard in part
	mu     sync.Mutex
	heard  []heard
}

// listen opens an ear; onHear, if given, is called for each frame at once.
func (c *cable) listen(onHear func(frame []byte)) *ear {
	c.t.Helper()
	e := &ear{t: c.t, onHear: onHear}
	all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(c.t, err)
	// Without real root the buffer stays small, and long bursts overflow it.
	e.small = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) != nil
	must(c.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, timeval(20*time.Millisecond)))
	must(c.t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: c.link(c.far).Attrs().Index}))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for !stop.Load() {
			n, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				continue // the timeout, or the cable is unplugged
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && isAnnouncement(buf[:n]) {
				e.hear(slices.Clone(buf[:n]))
			}
		}
	}()
	c.t.Cleanup(func() {
		stop.Store(true)
		<-done
		unix.Close(fd)
	})
	return e
}

func isAnnouncement(f []byte) bool {
	switch {
	case len(f) < 14:
		return false
	case f[12] == 0x08 && f[13] == 0x06:
		return true
	}
	const icmpType, neighbourAdvertisement = 14 + 40, 136
	return f[12] == 0x86 && f[13] == 0xdd && len(f) > icmpType && f[14+6] == 58 && f[icmpType] == neighbourAdvertisement
}

func (e *ear) hear(frame []byte) {
	if e.onHear != nil {
		e.onHear(frame)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, heard{time.Now(), frame})
}

// about returns what was heard about ip.
func (e *ear) about(ip string) []heard {
	e.mu.Lock()
	defer e.mu.Unlock()
	addr := netip.MustParseAddr(ip)
	return slices.DeleteFunc(slices.Clone(e.heard), func(h heard) bool { return announced(h.frame) != addr })
}

// announced returns the address that a frame is about.
func announced(f []byte) netip.Addr {
	if f[13] == 0x06 {
		return netip.AddrFrom4([4]byte(f[14+24:]))
	}
	return netip.AddrFrom16([16]byte(f[14+40+8:]))
}

func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = nil
}

// hears waits for n frames about ip and returns them.
func (e *ear) hears(n int, ip string) []heard {
	e.t.Helper()
	eventually(e.t, fmt.Sprintf("%d announcements of %s", n, ip), func() bool { return len(e.about(ip)) >= n })
	return e.about(ip)
}

// A recorder keeps the events of a Keeper.
type recorder struct {
	t      testing.TB
	mu     sync.Mutex
	events []Event
}

func (r *recorder) record(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// await waits for an event of a kind and forgets all up to it.
func (r *recorder) await(kind Kind) Event {
	r.t.Helper()
	var found Event
	eventually(r.t, "event: "+kind.String(), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		i := slices.IndexFunc(r.events, func(e Event) bool { return e.Kind == kind })
		if i >= 0 {
			found = r.events[i]
			r.events = slices.Delete(r.events, 0, i+1)
		}
		return i >= 0
	})
	return found
}

// none checks that no event of a kind is left.
func (r *recorder) none(kind Kind) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == kind {
			r.t.Errorf("unexpected event %+v", e)
		}
	}
}

// startKeeper runs a Keeper over the real kernel until the test ends, or until
// the returned function is called.
func startKeeper(t testing.TB) (*Keeper, *recorder, func()) {
	t.Helper()
	needNamespace(t)
	r := &recorder{t: t}
	k, err := New(r.record)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := k.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	t.Cleanup(stop)
	return k, r, stop
}

func settle(t testing.TB, k *Keeper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, k.Settle(ctx))
}
