package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Protocol is VRRP's IP protocol number, assigned by IANA.
const Protocol = 112

// The groups that advertisements are multicast to (RFC 9568 section 5.1).
var (
	GroupIPv4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	GroupIPv6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
)

// A Family is an address family. Its zero value is invalid.
type Family uint8

// The address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns "ipv4" or "ipv6".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return fmt.Sprintf("family(%d)", uint8(f))
}

// Group returns the multicast group of the family.
func (f Family) Group() netip.Addr {
	if f == IPv6 {
		return GroupIPv6
	}
	return GroupIPv4
}

const (
	// hopLimit is required of every advertisement, so that a receiver can
	// tell that it crossed no router (RFC 9568 section 5.1.1.3, 5.1.2.3).
	hopLimit = 255

	// trafficClass is DSCP CS6, network control, as keepalived and FRR send.
	trafficClass = 0xc0

	// The queueing priorities (tc-prio(8)): 7 is control, which needs
	// CAP_NET_ADMIN; 6, interactive, is for everybody. Both are in the first
	// band of pfifo_fast.
	priorityControl     = 7
	priorityInteractive = 6

	// bufferBytes is asked for in each direction: about ten thousand small
	// packets, what two thousand routers at 100 ms advertise in half a second.
	// Only what is waiting takes memory.
	bufferBytes = 8 << 20

	// discardLimit bounds the packets thrown away by Open.
	discardLimit = 4096
)

// Config says what a Socket is for.
type Config struct {
	Interface string // name of the interface to send and receive on
	Index     int    // its index; 0: look it up
	Family    Family
	Multicast bool // join the family's group
}

// A Socket sends and receives the advertisements of one address family on one
// interface. It is not safe for concurrent use.
//
// It stays bound to the interface's index: when the interface is deleted,
// sending fails and nothing more is received, and one created again under the
// same name needs a new Socket.
type Socket struct {
	fd      int
	whole   int  // takes whole packets, see openWhole; -1 on IPv6
	aimed   bool // whole is connected to the group
	name    string
	index   int
	family  Family
	joined  atomic.Bool
	drained int64 // when the queue was last seen empty, CLOCK_MONOTONIC ns
	out     *outbox
}

// Open opens a raw socket in the calling thread's network namespace; a caller
// that moves between namespaces must have locked its goroutine to the thread.
// The interface must exist, but may be down and without addresses. Open needs
// CAP_NET_RAW, and fails with an error that wraps the errno.
func Open(c Config) (*Socket, error) {
	if c.Family != IPv4 && c.Family != IPv6 {
		return nil, fmt.Errorf("open VRRP socket on %s: invalid address family %d", c.Interface, c.Family)
	}
	s := &Socket{fd: -1, whole: -1, name: c.Interface, index: c.Index, family: c.Family}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open VRRP socket on %s (%s): %w", c.Interface, c.Family, err)
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open VRRP socket on %s (%s): %w", c.Interface, c.Family, err), s.Close())
	}
	if err := s.SetMulticast(c.Multicast); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.out = newOutbox(s.family, s.index)
	s.drained = Now()
	return s, nil
}

// prepare does what is left when the socket is open.
func (s *Socket) prepare() (err error) {
	if s.family == IPv4 {
		if s.whole, err = s.openWhole(); err != nil {
			return err
		}
	}
	return s.discard()
}

// open makes the socket with package net and sets it up with x/net, then
// takes the descriptor away from them: package net has registered its own
// with the runtime's poller, which would wake a thread for each packet that
// the caller's Poller already waits for. A duplicate is not registered, and
// closing the original takes that one out again.
func (s *Socket) open() error {
	network, address := "ip4:112", "0.0.0.0"
	if s.family == IPv6 {
		network, address = "ip6:112", "::"
	}
	lc := net.ListenConfig{Control: s.control}
	conn, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return err
	}
	defer conn.Close() // nothing was written: no error to lose

	if s.family == IPv6 {
		err = setupIPv6(ipv6.NewPacketConn(conn), s.index)
	} else {
		err = setupIPv4(ipv4.NewPacketConn(conn), s.index)
	}
	if err != nil {
		return err
	}
	raw, err := conn.(*net.IPConn).SyscallConn()
	if err != nil {
		return err
	}
	var errDup error
	err = raw.Control(func(fd uintptr) {
		// After the traffic class, which on IPv4 sets the priority as well.
		if errDup = setPriority(int(fd)); errDup != nil {
			return
		}
		s.fd, errDup = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		errDup = named("duplicate descriptor", errDup)
	})
	if err == nil {
		err = errDup
	}
	return err // O_NONBLOCK belongs to the open file, the duplicate has it too
}

// control sets what must hold before the socket is bound, and first of all
// the interface.
func (s *Socket) control(_, _ string, conn syscall.RawConn) error {
	var err error
	errControl := conn.Control(func(fd uintptr) {
		err = s.confine(int(fd))
	})
	if errControl != nil {
		return errControl
	}
	return err
}

func (s *Socket) confine(fd int) error {
	if err := s.findIndex(fd); err != nil {
		return err
	}
	if err := unix.BindToDevice(fd, s.name); err != nil {
		return named("SO_BINDTODEVICE", err)
	}
	// Only groups that this very socket has joined, not those of any socket on
	// the host. IPV6_MULTICAST_ALL does not do the same: a raw IPv6 socket that
	// is bound to no address hears every group (Receive leaves those out).
	if s.family == IPv4 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
			return named("IP_MULTICAST_ALL", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return named("SO_TIMESTAMPNS", err)
	}
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF); err != nil {
		return named("SO_RCVBUF", err)
	}
	return named("SO_SNDBUF", setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF))
}

// findIndex looks the interface up in the socket's own namespace, and makes
// sure that its name still means the interface the caller knows.
func (s *Socket) findIndex(fd int) error {
	ifr, err := unix.NewIfreq(s.name)
	if err != nil {
		return fmt.Errorf("interface name %q: %w", s.name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return named("look up interface", err)
	}
	index := int(ifr.Uint32())
	if s.index != 0 && s.index != index {
		return fmt.Errorf("interface has index %d, not %d", index, s.index)
	}
	s.index = index
	return nil
}

// setBuffer goes past the system's limit (net.core.rmem_max, wmem_max) where
// it may; elsewhere, in a user namespace, the limit holds.
func setBuffer(fd, force, plain int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bufferBytes)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, bufferBytes)
	}
	return err
}

func setPriority(fd int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priorityInteractive)
	}
	return named("SO_PRIORITY", err)
}

// setupIPv4 needs no control messages on receive: the packet comes with its
// IP header.
func setupIPv4(c *ipv4.PacketConn, index int) error {
	return errors.Join(
		named("IP_MULTICAST_IF", c.SetMulticastInterface(&net.Interface{Index: index})),
		named("IP_MULTICAST_TTL", c.SetMulticastTTL(hopLimit)),
		named("IP_MULTICAST_LOOP", c.SetMulticastLoopback(false)),
		named("IP_TTL", c.SetTTL(hopLimit)),
		named("IP_TOS", c.SetTOS(trafficClass)),
	)
}

func setupIPv6(c *ipv6.PacketConn, index int) error {
	return errors.Join(
		named("IPV6_MULTICAST_IF", c.SetMulticastInterface(&net.Interface{Index: index})),
		named("IPV6_MULTICAST_HOPS", c.SetMulticastHopLimit(hopLimit)),
		named("IPV6_MULTICAST_LOOP", c.SetMulticastLoopback(false)),
		named("IPV6_UNICAST_HOPS", c.SetHopLimit(hopLimit)),
		named("IPV6_TCLASS", c.SetTrafficClass(trafficClass)),
		// Off is the kernel's default for any protocol but ICMPv6 and mobility;
		// on, bad advertisements would vanish uncounted.
		named("IPV6_CHECKSUM", c.SetChecksum(false, 0)),
		named("IPV6_RECVPKTINFO", c.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)),
		named("IPV6_RECVHOPLIMIT", c.SetControlMessage(ipv6.FlagHopLimit, true)),
	)
}

// discard throws away what arrived between socket(2), from when on a raw
// socket receives from every interface, and SO_BINDTODEVICE.
func (s *Socket) discard() error {
	var b [1]byte
	for range discardLimit {
		_, _, err := unix.Recvfrom(s.fd, b[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return named("empty receive queue", err)
		}
	}
	return nil
}

// FD returns the descriptor, non-blocking and in no poller, or -1 after Close.
func (s *Socket) FD() int { return s.fd }

// Close closes the socket; the kernel leaves its group. Messages still queued
// are not sent. Closing again does nothing.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	err := unix.Close(s.fd)
	if s.whole >= 0 {
		err = errors.Join(err, unix.Close(s.whole))
	}
	s.fd, s.whole = -1, -1
	s.joined.Store(false)
	if err != nil {
		return fmt.Errorf("close VRRP socket on %s: %w", s.name, err)
	}
	return nil
}

// named puts the operation before an error, if there is one.
func named(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", operation, err)
}
