package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Sizes and limits of the wire format.
const (
	Protocol = 112 // IP protocol number

	headerLen = 8 // everything before the addresses
	authLen   = 8 // version 2: authentication data after them
	typeAdv   = 1 // the only packet type

	centisecond = 10 * time.Millisecond

	// MaxIntervalV3 is the largest Max Advertise Interval: 12 bits of centiseconds.
	MaxIntervalV3 = 4095 * centisecond
	// MaxIntervalV2 is the largest Adver Int of version 2: 8 bits of seconds.
	MaxIntervalV2 = 255 * time.Second
)

// Authentication types of version 2 (RFC 2338 §5.3.6).
const (
	AuthNone uint8 = 0
	AuthPass uint8 = 1
)

// A ChecksumForm is one of the two checksums in use for version 3 over IPv4.
// Version 2 and IPv6 know only one each.
type ChecksumForm uint8

const (
	// ChecksumMessage covers the VRRP message alone, as RFC 9568 §5.2.8 asks.
	ChecksumMessage ChecksumForm = iota + 1
	// ChecksumPseudoHeader covers an IPv4 pseudo-header too, as many read
	// RFC 5798 and as keepalived and FRR send and expect.
	ChecksumPseudoHeader
)

func (f ChecksumForm) String() string {
	switch f {
	case ChecksumMessage:
		return "rfc9568"
	case ChecksumPseudoHeader:
		return "pseudo_header"
	}
	return "unknown"
}

// An Advert is a VRRP ADVERTISEMENT (RFC 9568 §5.2, RFC 3768 §5.3).
type Advert struct {
	Version  Version
	VRID     uint8
	Priority uint8
	// Interval is the Max Advertise Interval: whole centiseconds up to
	// MaxIntervalV3 in version 3, whole seconds up to MaxIntervalV2 in version 2.
	Interval time.Duration
	// Addresses are the virtual router's, all of one family.
	Addresses []netip.Addr

	AuthType uint8   // version 2 only
	AuthData [8]byte // version 2 only
	// Checksum is the form that Decode found, and the one Append uses, for
	// version 3 over IPv4.
	Checksum ChecksumForm
}

// Append appends the advertisement's wire form to b. The addresses of the IP
// header take part in the checksum. An interval that does not fit its field
// is cut off at the field's limit.
func (a *Advert) Append(b []byte, src, dst netip.Addr) []byte {
	start := len(b)
	b = append(b, byte(a.Version)<<4|typeAdv, a.VRID, a.Priority, byte(len(a.Addresses)))
	if a.Version == V2 {
		b = append(b, a.AuthType, byte(min(a.Interval, MaxIntervalV2)/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(min(a.Interval, MaxIntervalV3)/centisecond))
	}
	b = append(b, 0, 0) // checksum, below
	for _, addr := range a.Addresses {
		b = append(b, addr.AsSlice()...)
	}
	if a.Version == V2 {
		b = append(b, a.AuthData[:]...)
	}
	msg := b[start:]
	var sum uint32
	if a.Version == V3 && (src.Is6() || a.Checksum != ChecksumMessage) {
		sum = pseudoSum(src, dst, len(msg))
	}
	binary.BigEndian.PutUint16(msg[6:], ^fold(partialSum(sum, msg)))
	return b
}
