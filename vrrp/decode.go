package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A Datagram is a received packet, taken out of its IP header.
type Datagram struct {
	Src, Dst netip.Addr
	TTL      int    // TTL or hop limit; -1: not known
	Message  []byte // the VRRP message
}

// ParseIPv4 takes a packet as an IPv4 raw socket delivers it out of its
// header. Whatever follows the header's total length (Ethernet padding) is
// left out.
func ParseIPv4(packet []byte) (Datagram, Reason) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return Datagram{}, DropHeader
	}
	header := int(packet[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < 20 || header > total || total > len(packet) {
		return Datagram{}, DropHeader
	}
	return Datagram{
		Src:     netip.AddrFrom4([4]byte(packet[12:16])),
		Dst:     netip.AddrFrom4([4]byte(packet[16:20])),
		TTL:     int(packet[8]),
		Message: packet[header:total],
	}, Accepted
}

// VRID returns the virtual router a message is for, so that a message for
// nobody is dropped before any work is done on it. It reports false for a
// message too short to say, or of something that is not VRRP at all.
func VRID(msg []byte) (uint8, bool) {
	if len(msg) < headerLen {
		return 0, false
	}
	return msg[1], true
}

// Decode parses a message into a, whose Addresses are reused, and checks what
// can be checked without knowing the router it is for (RFC 9568 §7.1, errata
// 8299 and 8301): length, version, type, count, interval and checksum.
func Decode(d Datagram, a *Advert) Reason {
	msg := d.Message
	if len(msg) < headerLen {
		return DropLength
	}
	version := Version(msg[0] >> 4)
	size := 4
	switch {
	case version != V2 && version != V3:
		return DropVersion
	case msg[0]&0x0f != typeAdv:
		return DropType
	case d.Src.Is6():
		if version == V2 { // version 2 has no IPv6
			return DropVersion
		}
		size = 16
	}
	count := int(msg[3])
	want := headerLen + count*size
	if version == V2 {
		want += authLen
	}
	if len(msg) != want {
		return DropLength
	}
	if count == 0 {
		return DropCount
	}
	form, ok := verify(msg, version, d.Src, d.Dst)
	if !ok {
		return DropChecksum
	}
	*a = Advert{Version: version, VRID: msg[1], Priority: msg[2], Addresses: a.Addresses[:0], Checksum: form}
	if version == V2 {
		a.AuthType = msg[4]
		a.Interval = time.Duration(msg[5]) * time.Second
		copy(a.AuthData[:], msg[len(msg)-authLen:])
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(msg[4:])&0x0fff) * centisecond
	}
	if a.Interval == 0 {
		return DropInterval
	}
	for rest := msg[headerLen : headerLen+count*size]; len(rest) > 0; rest = rest[size:] {
		addr, _ := netip.AddrFromSlice(rest[:size]) // size is 4 or 16
		a.Addresses = append(a.Addresses, addr)
	}
	return Accepted
}
