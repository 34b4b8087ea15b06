package main

import (
	"encoding/binary"
	"net/netip"
	"time"

	"vrrpd/internal/lab"
)

// group is the address of VRRP over IPv4.
var group = [4]byte{224, 0, 0, 18}

// advert is the Ethernet frame of an advertisement of VRRPv3 over IPv4. Its
// source address is left out.
func advert(r lab.Router, from [4]byte) []byte { return frame(message(r, from), from, 255) }

// message is the advertisement itself, with the checksum over the pseudo-header
// too, as both contenders understand it.
func message(r lab.Router, from [4]byte) []byte {
	m := []byte{3<<4 | 1, byte(r.VRID), byte(r.Priority), byte(len(r.Addresses)), 0, 0, 0, 0}
	binary.BigEndian.PutUint16(m[4:], uint16(r.Interval/(10*time.Millisecond)))
	for _, text := range r.Addresses {
		p := netip.MustParsePrefix(text)
		m = append(m, p.Addr().AsSlice()...)
	}
	pseudo := append(append([]byte{}, from[:]...), group[:]...)
	pseudo = append(pseudo, 0, 112, 0, byte(len(m)))
	binary.BigEndian.PutUint16(m[6:], ^sum(append(pseudo, m...)))
	return m
}

// frame wraps a VRRP message. The interface's address goes to its bytes 6 to 11.
func frame(message []byte, from [4]byte, ttl byte) []byte {
	ip := []byte{0x45, 0xc0, 0, byte(20 + len(message)), 0, 0, 0, 0, ttl, 112, 0, 0}
	ip = append(append(ip, from[:]...), group[:]...)
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
	f := []byte{0x01, 0x00, 0x5e, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0x08, 0x00}
	return append(append(f, ip...), message...)
}

// sum is the Internet checksum's sum (RFC 1071), not yet complemented.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
