package transport

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestOpenErrors(t *testing.T) {
	h := newHosts(t)
	before := descriptors(t)
	for _, test := range []struct {
		name   string
		config Config
		errno  error
		text   string
	}{
		{"no such interface", Config{Interface: "eth9", Family: IPv4}, unix.ENODEV, "open VRRP socket on eth9 (ipv4): "},
		{"no such interface", Config{Interface: "eth9", Family: IPv6}, unix.ENODEV, "open VRRP socket on eth9 (ipv6): "},
		{"no interface", Config{Family: IPv4}, nil, "open VRRP socket on  (ipv4): "},
		{"name too long", Config{Interface: "a-very-long-interface", Family: IPv4}, unix.EINVAL, `interface name "a-very-long-interface"`},
		{"no family", Config{Interface: "lan"}, nil, "open VRRP socket on lan: invalid address family 0"},
		{"other index", Config{Interface: "lan", Index: 4711, Family: IPv6}, nil, ", not 4711"},
	} {
		err := h.left.try(func() error {
			s, err := Open(test.config)
			if err == nil {
				return errors.Join(s.Close(), errors.New("opened"))
			}
			return err
		})
		if err == nil || !strings.Contains(err.Error(), test.text) || test.errno != nil && !errors.Is(err, test.errno) {
			t.Errorf("%s: error %q; want %v with %q", test.name, err, test.errno, test.text)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestSocketOptions(t *testing.T) {
	h := newHosts(t)
	for _, f := range []Family{IPv4, IPv6} {
		s, _ := h.pair(t, f, true)
		get := func(level, option int) int {
			v, err := unix.GetsockoptInt(s.FD(), level, option)
			if err != nil {
				t.Errorf("%s: option %d of %d: %v", f, option, level, err)
			}
			return v
		}
		// Without root in the first user namespace, the system's limit holds.
		if os.Getuid() == 0 && get(unix.SOL_SOCKET, unix.SO_RCVBUF) < 1<<17 {
			t.Errorf("%s: receive buffer %d", f, get(unix.SOL_SOCKET, unix.SO_RCVBUF))
		}
		if p := get(unix.SOL_SOCKET, unix.SO_PRIORITY); p != priorityControl {
			t.Errorf("%s: priority %d, want %d", f, p, priorityControl)
		}
		if f == IPv4 && get(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL) != 0 {
			t.Error("hears the groups of other sockets")
		}
		if f == IPv6 {
			if offset := get(unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM); offset != -1 {
				t.Errorf("the kernel handles checksums at offset %d", offset)
			}
		}
		flags, err := unix.FcntlInt(uintptr(s.FD()), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: flags %#x, %v; want non-blocking", f, flags, err)
		}
		flags, err = unix.FcntlInt(uintptr(s.FD()), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: descriptor flags %#x, %v; want close-on-exec", f, flags, err)
		}
	}
}

// The runtime's poller must not wait for the socket too: /proc tells which
// inodes an epoll instance of the process watches.
func TestOnlyOwnPollerWatches(t *testing.T) {
	h := newHosts(t)
	s, _ := h.pair(t, IPv4, true)
	var stat unix.Stat_t
	if err := unix.Fstat(s.FD(), &stat); err != nil {
		t.Fatal(err)
	}
	watchers := func() int {
		files, err := filepath.Glob("/proc/self/fdinfo/*")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, file := range files {
			content, _ := os.ReadFile(file) // it may be closed by now
			n += strings.Count(string(content), fmt.Sprintf("ino:%x ", stat.Ino))
		}
		return n
	}
	if n := watchers(); n != 0 {
		t.Errorf("watched by %d epoll instances, want none", n)
	}
	p := newPoller(t)
	if err := p.Add(s.FD(), 1); err != nil {
		t.Fatal(err)
	}
	if n := watchers(); n != 1 {
		t.Errorf("watched by %d epoll instances, want the Poller's alone", n)
	}
}

func TestClose(t *testing.T) {
	h := newHosts(t)
	s, _ := h.pair(t, IPv4, true)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if s.FD() != -1 {
		t.Errorf("descriptor %d after Close", s.FD())
	}
	if _, _, err := s.Receive(NewBatch()); !errors.Is(err, unix.EBADF) {
		t.Errorf("Receive: %v, want EBADF", err)
	}
	s.Queue(addr("192.0.2.1"), GroupIPv4, []byte("x"))
	if sent, failed := s.Flush(); sent != 0 || len(failed) != 1 || !errors.Is(failed[0], unix.EBADF) {
		t.Errorf("Flush: sent %d, failed %v; want EBADF", sent, failed)
	}
	if err := s.Join(); !errors.Is(err, unix.EBADF) {
		t.Errorf("Join: %v, want EBADF", err)
	}
}

// One failing message loses no other, wherever it stands, and is named.
func TestSendErrors(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family                Family
		good, absent, foreign string
		noSource              unix.Errno
	}{
		{IPv4, "192.0.2.1", "192.0.2.99", "2001:db8::1", ipv4NoSource(t, h)},
		{IPv6, "fe80::1", "fe80::99", "192.0.2.1", unix.EINVAL},
		{IPv6, "fe80::1", "2001:db8::99", "::ffff:192.0.2.1", unix.EINVAL},
	} {
		left, right := h.pair(t, test.family, true)
		group := test.family.Group()
		want := map[int]error{}
		queue := func(i int) {
			data := fmt.Appendf(nil, "%d", i)
			switch {
			case i%7 == 0: // the very first, and the first behind a full queue
				left.Queue(addr(test.absent), group, data)
				want[i] = test.noSource
			case i == 20 || i == 129: // the last
				left.Queue(addr(test.foreign), group, data)
				want[i] = unix.EAFNOSUPPORT
			case i == 21:
				left.Queue(addr(test.good), addr(test.foreign), data)
				want[i] = unix.EAFNOSUPPORT
			case i == 22:
				left.Queue(addr(test.good), group, make([]byte, 70000))
				want[i] = unix.EMSGSIZE
			case i == 23:
				left.Queue(addr(test.good), addr(""), data)
				want[i] = unix.EAFNOSUPPORT
			default:
				left.Queue(addr(test.good), group, data)
			}
		}
		const count = 130
		for round := range 2 { // the second starts counting anew
			clear(want)
			for i := range count {
				queue(i)
			}
			sent, failed := left.Flush()
			if sent != count-len(want) || len(failed) != len(want) {
				t.Fatalf("%s, round %d: sent %d, failed %d; want %d, %d",
					test.family, round, sent, len(failed), count-len(want), len(want))
			}
			for _, e := range failed {
				if !errors.Is(e, want[e.Index]) {
					t.Errorf("%s: message %d: %v; want %v", test.family, e.Index, e, want[e.Index])
				}
				if e.Index == 7 {
					text := fmt.Sprintf("send %s to %s on lan: %v", test.absent, group, test.noSource)
					if e.Error() != text || e.Src != addr(test.absent) || e.Dst != group {
						t.Errorf("error %q, want %q", e, text)
					}
				}
				delete(want, e.Index)
			}
			receive(t, right, sent)
		}
		if sent, failed := left.Flush(); sent != 0 || len(failed) != 0 {
			t.Errorf("%s: empty Flush: sent %d, failed %v", test.family, sent, failed)
		}
	}
}

// ipv4NoSource returns the errno for a source that is no address of the host,
// which is EINVAL or ENETUNREACH depending on the kernel.
func ipv4NoSource(t *testing.T, h hosts) unix.Errno {
	t.Helper()
	left, _ := h.pair(t, IPv4, false)
	left.Queue(addr("192.0.2.99"), GroupIPv4, []byte("x"))
	_, failed := left.Flush()
	for _, errno := range []unix.Errno{unix.EINVAL, unix.ENETUNREACH} {
		if len(failed) == 1 && errors.Is(failed[0], errno) {
			return errno
		}
	}
	t.Fatalf("a source that is not there: %v", failed)
	return 0
}

// A socket opened on an interface that is down and without addresses works
// as soon as the interface does.
func TestInterfaceDown(t *testing.T) {
	for _, test := range []struct {
		family      Family
		left, right string
	}{{IPv4, "192.0.2.1", "192.0.2.2"}, {IPv6, "fe80::1", "fe80::2"}} {
		t.Run(test.family.String(), func(t *testing.T) {
			a, b := newNamespace(t), newNamespace(t)
			cable(t, a, b, "lan")
			a.setLink(t, "lan", false)
			c := Config{Interface: "lan", Family: test.family, Multicast: true}
			left, right := a.open(t, c), b.open(t, c)
			if err := left.Rejoin(); err != nil {
				t.Error(err)
			}
			a.addAddress(t, "lan", test.left+"/24")
			b.addAddress(t, "lan", test.right+"/24")

			left.Queue(addr(test.left), test.family.Group(), []byte("too early"))
			sent, failed := left.Flush()
			if sent != 0 || len(failed) != 1 || !down(failed[0]) {
				t.Errorf("down: sent %d, failed %v", sent, failed)
			}
			if packets, _, err := left.Receive(NewBatch()); err != nil || len(packets) != 0 {
				t.Errorf("down: received %d, %v", len(packets), err)
			}

			a.setLink(t, "lan", true)
			a.awaitCarrier(t, "lan")
			b.awaitCarrier(t, "lan")
			if test.family == IPv6 { // taking the interface down has removed it
				b.addAddress(t, "lan", "fe80::3/64")
				a.do(t, func() error {
					link, err := netlink.LinkByName("lan")
					if err != nil {
						return err
					}
					address, err := netlink.ParseAddr(test.left + "/24")
					if err != nil {
						return err
					}
					address.Flags = unix.IFA_F_NODAD
					return netlink.AddrReplace(link, address)
				})
			}
			send(t, left, addr(test.left), test.family.Group(), "up")
			if got := messages(receive(t, right, 1)); got != "up" {
				t.Errorf("received %q", got)
			}
			send(t, right, addr(test.right), test.family.Group(), "answer")
			if got := messages(receive(t, left, 1)); got != "answer" {
				t.Errorf("the membership did not outlast the link: %q", got)
			}
		})
	}
}

func down(err error) bool {
	return errors.Is(err, unix.ENETDOWN) || errors.Is(err, unix.ENETUNREACH) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EADDRNOTAVAIL)
}

func TestInterfaceRemoved(t *testing.T) {
	for _, test := range []struct {
		family Family
		src    string
	}{{IPv4, "192.0.2.1"}, {IPv6, "fe80::1"}} {
		t.Run(test.family.String(), func(t *testing.T) {
			h := newHosts(t)
			left, _ := h.pair(t, test.family, true)
			h.left.do(t, func() error {
				link, err := netlink.LinkByName("lan")
				if err != nil {
					return err
				}
				return netlink.LinkDel(link)
			})
			left.Queue(addr(test.src), test.family.Group(), []byte("x"))
			sent, failed := left.Flush()
			if sent != 0 || len(failed) != 1 || !gone(failed[0]) && !down(failed[0]) {
				t.Errorf("sent %d, failed %v", sent, failed)
			}
			if packets, more, err := left.Receive(NewBatch()); err != nil || len(packets) != 0 || more {
				t.Errorf("received %d, more %t, %v", len(packets), more, err)
			}
			err := left.Rejoin()
			if !gone(err) || !strings.HasPrefix(err.Error(), "join ") || !strings.Contains(err.Error(), " on lan: ") {
				t.Errorf("Rejoin: %v", err)
			}
			if err := left.SetMulticast(false); err != nil {
				t.Errorf("leave: %v", err)
			}
			// No busy loop: the descriptor is not ready.
			p := newPoller(t)
			if err := p.Add(left.FD(), 1); err != nil {
				t.Fatal(err)
			}
			if ready, _, err := p.Wait(Now()); err != nil || len(ready) != 0 {
				t.Errorf("ready %v, %v", ready, err)
			}
		})
	}
}

func gone(err error) bool { return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) }
