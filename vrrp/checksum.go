package vrrp

import (
	"encoding/binary"
	"net/netip"
)

// partialSum adds b to a one's complement sum (RFC 1071).
func partialSum(sum uint32, b []byte) uint32 {
	for len(b) >= 2 {
		sum += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// fold brings a sum down to sixteen bits.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// pseudoSum is the sum of the pseudo-header: RFC 8200 §8.1 for IPv6, and the
// same fields for IPv4.
func pseudoSum(src, dst netip.Addr, length int) uint32 {
	sum := uint32(length) + Protocol
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		return partialSum(partialSum(sum, s[:]), d[:])
	}
	s, d := src.As16(), dst.As16()
	return partialSum(partialSum(sum, s[:]), d[:])
}

// verify checks a message's checksum and says which form held.
func verify(msg []byte, version Version, src, dst netip.Addr) (ChecksumForm, bool) {
	sum := partialSum(0, msg)
	plain := fold(sum) == 0xffff
	if version == V2 {
		return ChecksumMessage, plain
	}
	pseudo := fold(sum+pseudoSum(src, dst, len(msg))) == 0xffff
	switch {
	case src.Is6():
		return ChecksumPseudoHeader, pseudo
	case pseudo:
		return ChecksumPseudoHeader, true
	default:
		return ChecksumMessage, plain
	}
}
