package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// maxRequests bounds how many requests one look sends.
const maxRequests = 10

// ICMP passes if a host answers an echo request (RFC 792, RFC 4443 §4.1). Up to
// Count requests are sent, evenly over the time there is; the first answer to
// any of them ends the look. What a router says instead (unreachable) is told.
//
// It uses a ping socket where net.ipv4.ping_group_range admits the process's
// group, for IPv6 too, and otherwise a raw one, which needs CAP_NET_RAW.
type ICMP struct {
	Address netip.Addr // a link-local one with its interface as zone, or with Device
	Count   int        // 0: 1
	Source  netip.Addr // ask from this address; zero: as the kernel thinks best
	Device  string     // ask over this interface or VRF; "": as routed
}

type icmpProbe struct{ spec ICMP }

// New judges the spec.
func (s ICMP) New() (Probe, error) {
	s.Address, s.Source = s.Address.Unmap(), s.Source.Unmap()
	switch {
	case !s.Address.IsValid() || s.Address.IsUnspecified() || s.Address.IsMulticast():
		return nil, invalid("address", "%s is not the address of a host", s.Address)
	case s.Address.Is6() && s.Address.IsLinkLocalUnicast() && s.Address.Zone() == "" && s.Device == "":
		return nil, invalid("address", "%s is link-local, so its interface has to be named", s.Address)
	case s.Count < 0 || s.Count > maxRequests:
		return nil, invalid("count", "%d is not a number from 1 to %d", s.Count, maxRequests)
	}
	if err := checkFrom(s.Source, s.Device, s.Address); err != nil {
		return nil, err
	}
	if s.Address.Is6() && s.Address.IsLinkLocalUnicast() && s.Address.Zone() == "" {
		s.Address = s.Address.WithZone(s.Device)
	}
	s.Count = max(s.Count, 1)
	return &icmpProbe{spec: s}, nil
}

func (p *icmpProbe) String() string { return "icmp " + p.spec.Address.String() }

// An echo is the socket and what it asks.
type echo struct {
	file  *os.File
	raw   bool
	v6    bool
	id    uint16
	nonce [24]byte // tells our answers from those to others
}

func (p *icmpProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	e, err := p.open()
	if err != nil {
		return fail("ping %s: %s", p.spec.Address, l.why(err))
	}
	defer e.file.Close()
	defer context.AfterFunc(ctx, func() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) })()
	var refused error // what was said instead of an answer
	for i := range p.spec.Count {
		end := l.slot(i, p.spec.Count)
		err := e.send(uint16(i))
		if err == nil {
			err = e.await(ctx, end)
		}
		if err == nil {
			return pass("%s answered in %s", p.spec.Address, l.took())
		}
		if ctx.Err() != nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			refused = err
			if i+1 < p.spec.Count && !pause(ctx, end) {
				break
			}
		}
	}
	if refused != nil && !errors.Is(ctx.Err(), context.Canceled) {
		return fail("ping %s: %s", p.spec.Address, reason(refused))
	}
	return fail("ping %s: %s", p.spec.Address, l.unanswered(p.spec.Count))
}

// pause waits until a moment and reports whether ctx lasted.
func pause(ctx context.Context, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

var errNoPing = errors.New("operation not permitted: it needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range")

// open makes a socket that hears the host alone, and errors about it at once.
func (p *icmpProbe) open() (*echo, error) {
	e := &echo{v6: p.spec.Address.Is6()}
	domain, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if e.v6 {
		domain, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EPROTONOSUPPORT) {
		e.raw = true
		fd, err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return nil, errNoPing
	} else if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	e.file = os.NewFile(uintptr(fd), "icmp")
	if err := p.prepare(e, fd); err != nil {
		return nil, errors.Join(err, e.file.Close())
	}
	var b [2]byte
	_, _ = rand.Read(e.nonce[:]) // never fails (crypto/rand)
	_, _ = rand.Read(b[:])
	e.id = binary.NativeEndian.Uint16(b[:])
	return e, nil
}

func (p *icmpProbe) prepare(e *echo, fd int) error {
	if e.raw {
		if err := e.filter(fd); err != nil {
			return err
		}
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if e.v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if p.spec.Device != "" {
		if err := unix.BindToDevice(fd, p.spec.Device); err != nil {
			return fmt.Errorf("%s: %w", p.spec.Device, err)
		}
	}
	if p.spec.Source.IsValid() {
		from, err := sockaddr(p.spec.Source.WithZone(zoneFor(p.spec.Source, p.spec.Address)))
		if err == nil {
			err = unix.Bind(fd, from)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.spec.Source, err)
		}
	}
	to, err := sockaddr(p.spec.Address)
	if err != nil {
		return err
	}
	return os.NewSyscallError("connect", unix.Connect(fd, to))
}

// zoneFor is the zone of a source: its own, or that of the target.
func zoneFor(source, target netip.Addr) string {
	if source.Zone() != "" || !source.Is6() || !source.IsLinkLocalUnicast() {
		return source.Zone()
	}
	return target.Zone()
}

func sockaddr(a netip.Addr) (unix.Sockaddr, error) {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}, nil
	}
	sa := &unix.SockaddrInet6{Addr: a.As16()}
	if a.Zone() != "" {
		ifi, err := net.InterfaceByName(a.Zone())
		if err != nil {
			return nil, fmt.Errorf("there is no interface %s", a.Zone())
		}
		sa.ZoneId = uint32(ifi.Index)
	}
	return sa, nil
}

// Types of ICMP messages: RFC 792, RFC 4443.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// filter keeps everything but echo replies out of a raw socket (raw(7)).
func (e *echo) filter(fd int) error {
	if e.v6 {
		f := unix.ICMPv6Filter{}
		for i := range f.Data {
			f.Data[i] = 0xffffffff // blocked
		}
		f.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
		return os.NewSyscallError("setsockopt", unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f))
	}
	const solRaw, icmpFilter = 255, 1 // linux/icmp.h
	blocked := uint32(0xffffffff)
	blocked &^= 1 << echoReply4
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, solRaw, icmpFilter, int(int32(blocked))))
}

// send sends one request. The kernel sets the identifier of a ping socket, and
// the checksum for IPv6 and of a ping socket.
func (e *echo) send(seq uint16) error {
	b := make([]byte, 8, 8+len(e.nonce))
	b[0] = echoRequest4
	if e.v6 {
		b[0] = echoRequest6
	}
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	b = append(b, e.nonce[:]...)
	if !e.v6 {
		binary.BigEndian.PutUint16(b[2:], internetChecksum(b))
	}
	_, err := e.file.Write(b)
	return err
}

// internetChecksum is that of RFC 1071, over an even number of bytes.
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// await returns nil when an answer came, and os.ErrDeadlineExceeded when end did.
func (e *echo) await(ctx context.Context, end time.Time) error {
	if err := e.file.SetReadDeadline(end); err != nil {
		return err
	}
	// The end of ctx sets a deadline as well: before this line, ours replaced it.
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var b [512]byte
	for {
		n, err := e.file.Read(b[:])
		if err != nil {
			return err
		}
		if e.answers(b[:n]) {
			return nil
		}
	}
}

func (e *echo) answers(b []byte) bool {
	if e.raw && !e.v6 { // the IP header is there
		if len(b) < 20 {
			return false
		}
		b = b[min(int(b[0]&0xf)*4, len(b)):]
	}
	reply := byte(echoReply4)
	if e.v6 {
		reply = echoReply6
	}
	return len(b) == 8+len(e.nonce) && b[0] == reply && b[1] == 0 &&
		(!e.raw || binary.BigEndian.Uint16(b[4:]) == e.id) && bytes.Equal(b[8:], e.nonce[:])
}
