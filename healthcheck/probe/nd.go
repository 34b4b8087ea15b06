package probe

import (
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// ndHopLimit is what neighbour discovery has to be sent with (RFC 4861 §4.3).
const ndHopLimit = 255

// An ndSocket is a raw socket (raw(7)) on the interface's link-local address.
// The interface is named by its number throughout: package net remembers which
// number belongs to a name for a minute, and so, with it, would ndp.Listen.
type ndSocket struct {
	*os.File
	index  int
	mac    net.HardwareAddr
	target netip.Addr
	group  netip.Addr // the target's solicited-node group
}

func openND(ifi *net.Interface, target netip.Addr) (neighbours, error) {
	group, err := ndp.SolicitedNodeMulticast(target)
	if err != nil {
		return nil, err
	}
	source, err := linkLocalOf(ifi)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "nd")
	if err := prepareND(fd, ifi.Index, source); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &ndSocket{File: f, index: ifi.Index, mac: ifi.HardwareAddr, target: target, group: group}, nil
}

func linkLocalOf(ifi *net.Interface) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("the interface has no IPv6 link-local address")
}

func prepareND(fd, index int, source netip.Addr) error {
	const advertisement = 136 // RFC 4861 §4.4
	filter := unix.ICMPv6Filter{}
	for i := range filter.Data {
		filter.Data[i] = 0xffffffff // blocked
	}
	filter.Data[advertisement/32] &^= 1 << (advertisement % 32)
	err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, ndHopLimit)
	}
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet6{Addr: source.As16(), ZoneId: uint32(index)}))
}

// ask solicits; the kernel sets the checksum.
func (s *ndSocket) ask() error {
	b, err := ndp.MarshalMessage(&ndp.NeighborSolicitation{
		TargetAddress: s.target,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: s.mac}},
	})
	if err != nil {
		return err
	}
	return sendTo(s.File, b, &unix.SockaddrInet6{Addr: s.group.As16(), ZoneId: uint32(s.index)})
}

func (s *ndSocket) answer() (net.HardwareAddr, error) {
	var b [1500]byte
	n, err := s.Read(b[:])
	if err != nil {
		return nil, err
	}
	m, err := ndp.ParseMessage(b[:n])
	na, ok := m.(*ndp.NeighborAdvertisement)
	if err != nil || !ok || !na.Solicited || na.TargetAddress != s.target {
		return nil, nil // anybody may send anything
	}
	for _, o := range na.Options {
		if lla, ok := o.(*ndp.LinkLayerAddress); ok && lla.Direction == ndp.Target {
			return lla.Addr, nil
		}
	}
	return net.HardwareAddr{}, nil
}
