package vip

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
)

const (
	ipv6HeaderLen   = 40
	protocolICMPv6  = 58
	hopLimitMaximum = 255 // RFC 4861 section 7.1.2: anything less is discarded
)

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1} // RFC 2464 section 7
	zeroMAC     = net.HardwareAddr{0, 0, 0, 0, 0, 0}
)

// announcement returns the Ethernet frame that tells the neighbours on l that
// ip is at l's hardware address.
func announcement(l *link, ip netip.Addr) ([]byte, error) {
	if ip.Is4() {
		return gratuitousARP(l, ip)
	}
	return unsolicitedNA(l, ip)
}

// gratuitousARP builds a broadcast ARP request in which sender and target are
// the address itself, the target hardware address zero (RFC 5227 section 3).
// A request rather than a reply: hosts that drop unsolicited replies still
// update from it.
func gratuitousARP(l *link, ip netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(arp.OperationRequest, l.mac, ip, zeroMAC, ip)
	if err != nil {
		return nil, err
	}
	return inARPFrame(l, p)
}

func inARPFrame(l *link, p *arp.Packet) ([]byte, error) {
	payload, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	f := ethernet.Frame{Destination: ethernet.Broadcast, Source: l.mac, EtherType: ethernet.EtherTypeARP, Payload: payload}
	return f.MarshalBinary()
}

// probe returns the Ethernet frame that asks who has ip and, having no sender's
// address, teaches nobody anything: an ARP probe (RFC 5227 section 2.1.1), a
// neighbour solicitation from the unspecified address (RFC 4862 section 5.4.2,
// answered to all nodes).
func probe(l *link, ip netip.Addr) ([]byte, error) {
	if ip.Is4() {
		p, err := arp.NewPacket(arp.OperationRequest, l.mac, netip.IPv4Unspecified(), zeroMAC, ip)
		if err != nil {
			return nil, err
		}
		return inARPFrame(l, p)
	}
	group, err := ndp.SolicitedNodeMulticast(ip)
	if err != nil {
		return nil, err
	}
	g := group.As16()
	return inICMPv6Frame(l, &ndp.NeighborSolicitation{TargetAddress: ip}, netip.IPv6Unspecified(), group,
		net.HardwareAddr{0x33, 0x33, g[12], g[13], g[14], g[15]})
}

// unsolicitedNA builds a neighbour advertisement to all nodes with the Override
// flag and the target's link-layer address (RFC 4861 section 7.2.6).
func unsolicitedNA(l *link, ip netip.Addr) ([]byte, error) {
	return inICMPv6Frame(l, &ndp.NeighborAdvertisement{
		Router:        l.router,
		Override:      true,
		TargetAddress: ip,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: l.mac}},
	}, ip, allNodes, allNodesMAC)
}

func inICMPv6Frame(l *link, m ndp.Message, from, to netip.Addr, toMAC net.HardwareAddr) ([]byte, error) {
	icmp, err := ndp.MarshalMessageChecksum(m, from, to)
	if err != nil {
		return nil, err
	}
	packet := make([]byte, 0, ipv6HeaderLen+len(icmp))
	packet = append(packet, 6<<4, 0, 0, 0) // version 6, no traffic class, no flow
	packet = binary.BigEndian.AppendUint16(packet, uint16(len(icmp)))
	packet = append(packet, protocolICMPv6, hopLimitMaximum)
	packet = append(packet, from.AsSlice()...)
	packet = append(packet, to.AsSlice()...)
	packet = append(packet, icmp...)
	f := ethernet.Frame{Destination: toMAC, Source: l.mac, EtherType: ethernet.EtherTypeIPv6, Payload: packet}
	return f.MarshalBinary()
}
