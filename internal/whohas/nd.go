package whohas

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// An ndProber is a raw socket (raw(7)) on the interface's link-local address.
// The interface is named by its number throughout: package net remembers for a
// minute which number belongs to a name, and ndp.Listen goes by that.
type ndProber struct {
	file   *os.File
	index  int
	source netip.Addr
	target netip.Addr
	group  netip.Addr // the target's solicited-node group

	mu  sync.Mutex
	mac net.HardwareAddr // as last asked from
}

func openND(ifi *net.Interface, q Question) (*ndProber, error) {
	target := q.Target.WithZone("")
	group, err := ndp.SolicitedNodeMulticast(target)
	if err != nil {
		return nil, err
	}
	source, err := linkLocal(ifi, q)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := prepareND(fd, ifi.Index, source); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &ndProber{file: os.NewFile(uintptr(fd), "nd"), index: ifi.Index, source: source, target: target, group: group}, nil
}

// prepareND has the socket receive advertisements alone (RFC 4861 §4.4), and
// send as neighbour discovery must be sent (§4.3). The kernel sets the checksum.
func prepareND(fd, index int, source netip.Addr) error {
	const advertisement, hopLimit = 136, 255
	var filter unix.ICMPv6Filter
	for i := range filter.Data {
		filter.Data[i] = 0xffffffff // blocked
	}
	filter.Data[advertisement/32] &^= 1 << (advertisement % 32)
	err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, hopLimit)
	}
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet6{Addr: source.As16(), ZoneId: uint32(index)}))
}

// linkLocal is a link-local address of the interface that may be asked from.
// With virtual ones about that is not always the first.
func linkLocal(ifi *net.Interface, q Question) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && !q.avoids(p.Addr()) {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("no link-local address to ask from")
}

func (p *ndProber) Ask() error {
	// Read each time: with fail_over_mac=active it changes with the link.
	ifi, err := net.InterfaceByIndex(p.index)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.mac = ifi.HardwareAddr
	p.mu.Unlock()
	b, err := ndp.MarshalMessage(&ndp.NeighborSolicitation{
		TargetAddress: p.target,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr}},
	})
	if err != nil {
		return err
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = conn.Write(func(fd uintptr) bool {
		sendErr = unix.Sendto(int(fd), b, 0, &unix.SockaddrInet6{Addr: p.group.As16(), ZoneId: uint32(p.index)})
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	return errors.Join(err, os.NewSyscallError("sendto", sendErr))
}

func (p *ndProber) Receive(answered func(Answer)) error {
	b := make([]byte, 1500)
	for {
		n, err := p.file.Read(b)
		switch {
		case errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENETDOWN):
			continue
		case err != nil:
			return err
		}
		at := time.Now()
		m, err := ndp.ParseMessage(b[:n])
		na, ok := m.(*ndp.NeighborAdvertisement)
		if err != nil || !ok || !na.Solicited || na.TargetAddress != p.target {
			continue // not for us, or broken
		}
		mac := saidMAC(na)
		p.mu.Lock()
		ours := bytes.Equal(mac, p.mac)
		p.mu.Unlock()
		answered(Answer{At: at, MAC: mac, Ours: ours})
	}
}

// saidMAC is the address in the target link-layer address option, which an
// answer to a multicast solicitation has (RFC 4861 §7.2.4); nil without one.
func saidMAC(na *ndp.NeighborAdvertisement) net.HardwareAddr {
	for _, o := range na.Options {
		if lla, ok := o.(*ndp.LinkLayerAddress); ok && lla.Direction == ndp.Target {
			return lla.Addr
		}
	}
	return nil
}

func (p *ndProber) Close() error { return p.file.Close() }
