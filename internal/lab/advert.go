package lab

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const ipprotoVRRP = 112

// Advert is a VRRP advertisement as seen on the wire. The lab reads it by itself
// rather than with the product's decoder, which it is there to judge.
type Advert struct {
	At        time.Time
	EtherSrc  net.HardwareAddr
	From, To  netip.Addr
	TTL       int
	Version   int
	Type      int
	VRID      int
	Priority  int
	Interval  time.Duration
	AuthType  int // VRRPv2
	Addresses []netip.Addr
	Checksum  Checksum
	Payload   []byte // the VRRP message
}

// Checksum says over what an advertisement's checksum was made.
type Checksum string

const (
	ChecksumBad     Checksum = "bad"
	ChecksumMessage Checksum = "message"       // VRRPv2, and VRRPv3 over IPv4 by RFC 9568
	ChecksumPseudo  Checksum = "pseudo_header" // IPv6, and what keepalived and FRR send over IPv4
)

// parseAdvert returns what is in a frame if it is a VRRP advertisement; fields
// that a short one lacks stay zero.
func parseAdvert(f Frame) (Advert, bool) {
	b := f.Data
	if len(b) < 14 {
		return Advert{}, false
	}
	a := Advert{At: f.At, EtherSrc: b[6:12]}
	proto, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	switch {
	case proto == unix.ETH_P_IP && len(b) >= 20 && b[9] == ipprotoVRRP:
		head, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
		if head < 20 || total < head || total > len(b) {
			return Advert{}, false
		}
		a.TTL, a.From, a.To = int(b[8]), netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		a.Payload = b[head:total]
	case proto == unix.ETH_P_IPV6 && len(b) >= 40 && b[6] == ipprotoVRRP:
		length := int(binary.BigEndian.Uint16(b[4:]))
		if 40+length > len(b) {
			return Advert{}, false
		}
		a.TTL, a.From, a.To = int(b[7]), netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		a.Payload = b[40 : 40+length]
	default:
		return Advert{}, false
	}
	a.parseMessage()
	return a, true
}

func (a *Advert) parseMessage() {
	p := a.Payload
	if len(p) < 8 {
		a.Checksum = ChecksumBad
		return
	}
	a.Version, a.Type, a.VRID, a.Priority = int(p[0]>>4), int(p[0]&0xf), int(p[1]), int(p[2])
	if a.Version == 2 {
		a.AuthType, a.Interval = int(p[4]), time.Duration(p[5])*time.Second
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(p[4:])&0xfff) * 10 * time.Millisecond
	}
	size := len(a.From.AsSlice())
	for i := 0; i < int(p[3]) && 8+(i+1)*size <= len(p); i++ {
		addr, _ := netip.AddrFromSlice(p[8+i*size:][:size])
		a.Addresses = append(a.Addresses, addr)
	}
	const valid = 0xffff
	pseudo := pseudoSum(a.From.AsSlice(), a.To.AsSlice(), ipprotoVRRP, len(p))
	switch {
	case a.From.Is4() && onesSum(0, p) == valid:
		a.Checksum = ChecksumMessage
	case a.Version != 2 && onesSum(pseudo, p) == valid:
		a.Checksum = ChecksumPseudo
	default:
		a.Checksum = ChecksumBad
	}
}
