package whohas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"golang.org/x/sys/unix"
)

var noMAC = make(net.HardwareAddr, 6)

// An arpProber is a packet socket on one interface (packet(7)), without the
// Ethernet header: the kernel makes that.
type arpProber struct {
	file           *os.File
	index          int
	source, target netip.Addr

	mu  sync.Mutex
	mac net.HardwareAddr // as last asked from; with fail_over_mac=active it changes with the link
}

func openARP(ifi *net.Interface, q Question) (*arpProber, error) {
	source, err := sourceFor(ifi, q)
	if err != nil {
		return nil, err
	}
	// Protocol 0 receives nothing, so that no frame of another interface is
	// there before the socket is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocolARP, Ifindex: ifi.Index}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	return &arpProber{file: os.NewFile(uintptr(fd), "arp"), index: ifi.Index, source: source, target: q.Target.Unmap()}, nil
}

// protocolARP is ETH_P_ARP in network byte order, as the kernel wants it.
var protocolARP = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ARP))

func (p *arpProber) Ask() error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = conn.Write(func(fd uintptr) bool {
		sendErr = p.send(int(fd))
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	return errors.Join(err, sendErr)
}

func (p *arpProber) send(fd int) error {
	mac, err := interfaceMAC(fd)
	if err != nil {
		return err
	}
	request, err := arp.NewPacket(arp.OperationRequest, mac, p.source, noMAC, p.target)
	if err != nil {
		return err
	}
	b, err := request.MarshalBinary()
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.mac = mac
	p.mu.Unlock()
	to := &unix.SockaddrLinklayer{Protocol: protocolARP, Ifindex: p.index, Halen: uint8(len(ethernet.Broadcast))}
	copy(to.Addr[:], ethernet.Broadcast)
	return os.NewSyscallError("sendto", unix.Sendto(fd, b, 0, to))
}

// interfaceMAC is the address that the socket's interface has now: getsockname
// looks it up each time.
func interfaceMAC(fd int) (net.HardwareAddr, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	if !ok || ll.Halen != 6 {
		return nil, errors.New("not an Ethernet interface")
	}
	return net.HardwareAddr(bytes.Clone(ll.Addr[:6])), nil
}

func (p *arpProber) Receive(answered func(Answer)) error {
	b := make([]byte, 1500)
	for {
		n, err := p.file.Read(b)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENETDOWN): // told once, when the interface is set down
			continue
		case err != nil:
			return err
		}
		at := time.Now()
		var reply arp.Packet
		if reply.UnmarshalBinary(b[:n]) == nil && p.isAnswer(&reply) {
			answered(Answer{At: at, MAC: bytes.Clone(reply.SenderHardwareAddr)})
		}
	}
}

// isAnswer tells a reply to us from others, and from announcements.
func (p *arpProber) isAnswer(reply *arp.Packet) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return reply.Operation == arp.OperationReply && reply.SenderIP == p.target && bytes.Equal(reply.TargetHardwareAddr, p.mac)
}

func (p *arpProber) Close() error { return p.file.Close() }
