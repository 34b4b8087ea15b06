package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace, alive as long as its file is open.
type namespace struct{ file *os.File }

func newNamespace(t testing.TB) namespace {
	t.Helper()
	var n namespace
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		// Addresses are usable at once, and only the ones given.
		for path, value := range map[string]string{
			"all/accept_dad": "0", "default/accept_dad": "0",
			"all/addr_gen_mode": "1", "default/addr_gen_mode": "1",
		} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+path, []byte(value), 0); err != nil {
				return err
			}
		}
		var err error
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.file.Close() })
	return n
}

// do runs f on a thread that is in the namespace.
func (n namespace) do(t testing.TB, f func() error) {
	t.Helper()
	if err := n.try(f); err != nil {
		t.Fatal(err)
	}
}

func (n namespace) try(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// onOwnThread runs f on a thread that ends with it.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- f()
	}()
	return <-done
}

// read returns a file below /proc/net as seen inside.
func (n namespace) read(t testing.TB, name string) string {
	t.Helper()
	var content []byte
	n.do(t, func() (err error) {
		content, err = os.ReadFile("/proc/thread-self/net/" + name)
		return err
	})
	return string(content)
}

// setLink brings an interface up or down.
func (n namespace) setLink(t testing.TB, name string, up bool) {
	t.Helper()
	n.do(t, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if up {
			return netlink.LinkSetUp(link)
		}
		return netlink.LinkSetDown(link)
	})
}

func (n namespace) addAddress(t testing.TB, name, prefix string) {
	t.Helper()
	n.do(t, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		ip, network, err := net.ParseCIDR(prefix)
		if err != nil {
			return err
		}
		network.IP = ip
		address := &netlink.Addr{IPNet: network}
		if ip.To4() == nil {
			address.Flags = unix.IFA_F_NODAD
		}
		return netlink.AddrAdd(link, address)
	})
}

// open opens a socket inside, closed with the test.
func (n namespace) open(t testing.TB, c Config) *Socket {
	t.Helper()
	var s *Socket
	n.do(t, func() (err error) {
		s, err = Open(c)
		return err
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// cable joins two namespaces by a veth pair named name on either side, up and
// without addresses.
func cable(t testing.TB, a, b namespace, name string) {
	t.Helper()
	a.do(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: name, MTU: 1500},
			PeerName:      name,
			PeerNamespace: netlink.NsFd(int(b.file.Fd())),
		})
	})
	a.setLink(t, name, true)
	b.setLink(t, name, true)
	a.awaitCarrier(t, name)
	b.awaitCarrier(t, name)
}

// awaitCarrier waits until the kernel has noticed that the other end is up;
// before, it silently drops what is sent.
func (n namespace) awaitCarrier(t testing.TB, name string) {
	t.Helper()
	n.do(t, func() error {
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if link.Attrs().OperState == netlink.OperUp {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s has no carrier", name)
			}
		}
	})
}

// The two hosts of most tests, on the interface "lan":
//
//	left  192.0.2.1/24 (and .11, .12)  2001:db8::1/64  fe80::1/64
//	right 192.0.2.2/24                 2001:db8::2/64  fe80::2/64
type hosts struct{ left, right namespace }

func newHosts(t testing.TB) hosts {
	t.Helper()
	h := hosts{newNamespace(t), newNamespace(t)}
	cable(t, h.left, h.right, "lan")
	for _, prefix := range []string{"192.0.2.1/24", "192.0.2.11/24", "192.0.2.12/24",
		"2001:db8::1/64", "2001:db8::11/64", "fe80::1/64", "fe80::11/64"} {
		h.left.addAddress(t, "lan", prefix)
	}
	for _, prefix := range []string{"192.0.2.2/24", "2001:db8::2/64", "fe80::2/64"} {
		h.right.addAddress(t, "lan", prefix)
	}
	return h
}

// pair opens a socket of the family on either host.
func (h hosts) pair(t testing.TB, f Family, multicast bool) (left, right *Socket) {
	t.Helper()
	c := Config{Interface: "lan", Family: f, Multicast: multicast}
	return h.left.open(t, c), h.right.open(t, c)
}

// received is a Packet whose data outlives the Batch.
func received(p Packet) Packet {
	p.Data = append([]byte(nil), p.Data...)
	return p
}

// message is the VRRP message within the packet.
func (p Packet) message() []byte {
	if p.Dst.Is4() {
		return p.Data[int(p.Data[0]&0xf)*4:]
	}
	return p.Data
}

// receive waits until n packets have come.
func receive(t testing.TB, s *Socket, n int) []Packet {
	t.Helper()
	b := NewBatch()
	var all []Packet
	for deadline := time.Now().Add(5 * time.Second); len(all) < n; {
		packets, _, err := s.Receive(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			all = append(all, received(p))
		}
		if len(packets) > 0 {
			continue
		}
		left := time.Until(deadline)
		if left <= 0 {
			t.Fatalf("%d packets received, want %d", len(all), n)
		}
		fds := []unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
	}
	return all
}

// send sends one message that must go out.
func send(t testing.TB, s *Socket, src, dst netip.Addr, data string) {
	t.Helper()
	s.Queue(src, dst, []byte(data))
	if sent, failed := s.Flush(); sent != 1 || len(failed) != 0 {
		t.Fatalf("sent %d, failed %v; want 1 sent", sent, failed)
	}
}

// messages lists what the packets carry.
func messages(packets []Packet) string {
	var list []string
	for _, p := range packets {
		list = append(list, string(p.message()))
	}
	return strings.Join(list, " ")
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

// A sniffer is a packet socket, for what arrives from its IP header on.
type sniffer struct {
	fd     int
	buffer [2000]byte
}

func (n namespace) sniff(t testing.TB, etherType uint16) *sniffer {
	t.Helper()
	s := new(sniffer)
	var protocol [2]byte
	binary.BigEndian.PutUint16(protocol[:], etherType)
	n.do(t, func() (err error) {
		s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC,
			int(binary.NativeEndian.Uint16(protocol[:])))
		return err
	})
	t.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// next waits for a packet, at most five seconds.
func (s *sniffer) next(t testing.TB, after string) []byte {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 100); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		n, _, err := unix.Recvfrom(s.fd, s.buffer[:], unix.MSG_DONTWAIT)
		if err == nil && n >= 20 {
			return s.buffer[:n]
		}
		if err != nil && err != unix.EAGAIN && err != unix.EINTR {
			t.Fatal(err)
		}
	}
	t.Fatalf("nothing more on the wire after %s", after)
	return nil
}
