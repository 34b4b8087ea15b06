package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"golang.org/x/sys/unix"
)

// arpRequests is how many requests a look sends, evenly over the time there is:
// a single broadcast may be lost on a healthy network.
const arpRequests = 3

// ARP passes if a neighbour answers on a link for its address: to an ARP
// request (RFC 826), or for IPv6 to a neighbour solicitation (RFC 4861 §7.2).
// It is answered by whoever has the address, whatever its firewall says, and
// tells that the link and the switches behind it work. It needs CAP_NET_RAW.
type ARP struct {
	Address netip.Addr // of a gateway or another witness on the link
	Device  string
	// Source is the IPv4 address to ask from; zero: the first one of the
	// interface on the neighbour's subnet, or the unspecified one, as in an ARP
	// probe (RFC 5227 §1.1). For IPv6 it is always a link-local address.
	Source netip.Addr
}

type arpProbe struct{ spec ARP }

// New judges the spec.
func (s ARP) New() (Probe, error) {
	s.Address, s.Source = s.Address.Unmap(), s.Source.Unmap()
	if s.Device == "" && s.Address.Zone() != "" {
		s.Device = s.Address.Zone()
	}
	if !s.Address.IsValid() || s.Address.IsUnspecified() || s.Address.IsMulticast() || s.Address.IsLoopback() {
		return nil, invalid("address", "%s is not the address of a neighbour", s.Address)
	}
	if err := checkInterface("device", s.Device); err != nil {
		return nil, err
	}
	s.Address = s.Address.WithZone("")
	switch {
	case s.Source.IsValid() && !s.Source.Is4():
		return nil, invalid("source", "IPv6 neighbours are asked from the link-local address")
	case s.Source.IsValid() && s.Address.Is6():
		return nil, invalid("source", "%s and %s are not of the same family", s.Source, s.Address)
	}
	return &arpProbe{spec: s}, nil
}

func (p *arpProbe) String() string { return "arp " + p.spec.Address.String() + " on " + p.spec.Device }

// A neighbours is a socket that asks for one address.
type neighbours interface {
	ask() error
	// answer waits for one packet and returns the sender's hardware address, or
	// nil if it was no answer.
	answer() (net.HardwareAddr, error)
	SetReadDeadline(time.Time) error
	Close() error
}

func (p *arpProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	where := p.spec.Address.String() + " on " + p.spec.Device
	ifi, err := net.InterfaceByName(p.spec.Device)
	if err != nil {
		return fail("ask for %s: there is no such interface", where)
	}
	var n neighbours
	if p.spec.Address.Is4() {
		n, err = openARP(ifi, p.spec)
	} else {
		n, err = openND(ifi, p.spec.Address)
	}
	if err != nil {
		return fail("ask for %s: %s", where, l.why(err))
	}
	defer n.Close()
	defer context.AfterFunc(ctx, func() { _ = n.SetReadDeadline(time.Unix(1, 0)) })()
	for i := range arpRequests {
		if ctx.Err() != nil {
			break
		}
		err := n.ask()
		var mac net.HardwareAddr
		if err == nil {
			mac, err = awaitNeighbour(ctx, n, l.slot(i, arpRequests))
		}
		if mac != nil {
			return pass("%s%s answered in %s", where, at(mac), l.took())
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
			return fail("ask for %s: %s", where, reason(err))
		}
	}
	return fail("ask for %s: %s", where, l.unanswered(arpRequests))
}

// at says where a neighbour is; an answer for IPv6 may leave that out.
func at(mac net.HardwareAddr) string {
	if len(mac) == 0 {
		return ""
	}
	return " is at " + mac.String() + ","
}

func awaitNeighbour(ctx context.Context, n neighbours, end time.Time) (net.HardwareAddr, error) {
	if err := n.SetReadDeadline(end); err != nil {
		return nil, err
	}
	// The end of ctx sets a deadline as well: before this line, ours replaced it.
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for {
		mac, err := n.answer()
		if mac != nil || err != nil {
			return mac, err
		}
		// A flood of other packets must not carry the look beyond its time.
		if !time.Now().Before(end) {
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// An arpSocket is a packet socket without the Ethernet header (packet(7)).
type arpSocket struct {
	*os.File
	index          int
	mac            net.HardwareAddr
	source, target netip.Addr
}

// protocolARP is ETH_P_ARP in network byte order, as the kernel wants it.
var protocolARP = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ARP))

func openARP(ifi *net.Interface, spec ARP) (neighbours, error) {
	if len(ifi.HardwareAddr) != 6 {
		return nil, errors.New("it is not an Ethernet interface")
	}
	source := spec.Source
	if !source.IsValid() {
		addrs, err := ifi.Addrs()
		if err != nil {
			return nil, err
		}
		source = sourceFor(addrs, spec.Address)
	}
	// Protocol 0 receives nothing until the socket is bound to the interface.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "arp")
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocolARP, Ifindex: ifi.Index}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), f.Close())
	}
	return &arpSocket{File: f, index: ifi.Index, mac: ifi.HardwareAddr, source: source, target: spec.Address}, nil
}

// sourceFor is an address on the target's subnet, or the unspecified one.
func sourceFor(addrs []net.Addr, target netip.Addr) netip.Addr {
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Contains(target) && p.Addr() != target {
			return p.Addr()
		}
	}
	return netip.IPv4Unspecified()
}

func (s *arpSocket) ask() error {
	request, err := arp.NewPacket(arp.OperationRequest, s.mac, s.source, make(net.HardwareAddr, 6), s.target)
	if err != nil {
		return err
	}
	b, err := request.MarshalBinary()
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Protocol: protocolARP, Ifindex: s.index, Halen: uint8(len(ethernet.Broadcast))}
	copy(to.Addr[:], ethernet.Broadcast)
	return sendTo(s.File, b, to)
}

// sendTo sends one datagram. A queue that is full loses it, as a network may.
func sendTo(f *os.File, b []byte, to unix.Sockaddr) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	if err := conn.Control(func(fd uintptr) { failure = unix.Sendto(int(fd), b, 0, to) }); err != nil {
		return err
	}
	if failure == unix.EAGAIN || failure == unix.ENOBUFS {
		return nil
	}
	return os.NewSyscallError("sendto", failure)
}

func (s *arpSocket) answer() (net.HardwareAddr, error) {
	var b [256]byte
	n, err := s.Read(b[:])
	if err != nil {
		return nil, err
	}
	var reply arp.Packet
	if reply.UnmarshalBinary(b[:n]) != nil || reply.Operation != arp.OperationReply ||
		reply.SenderIP != s.target || !bytes.Equal(reply.TargetHardwareAddr, s.mac) {
		return nil, nil
	}
	return bytes.Clone(reply.SenderHardwareAddr), nil
}
