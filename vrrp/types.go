package vrrp

import (
	"net/netip"
	"time"
)

// An Instant is a moment on a clock that never steps: nanoseconds since an
// origin of the caller's choice. On Linux it is CLOCK_MONOTONIC.
type Instant int64

// Add returns the moment d later.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d) }

// Sub returns how long t is after u.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }

// A Version is a version of the protocol.
type Version uint8

const (
	V2 Version = 2 // RFC 3768
	V3 Version = 3 // RFC 9568
)

// A Family is an address family. A virtual router belongs to exactly one
// (RFC 9568 §5.2.9).
type Family uint8

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return "unknown"
}

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Priorities with a meaning of their own (RFC 9568 §5.2.4).
const (
	PriorityRelease uint8 = 0   // the sender stops being active
	PriorityDemoted uint8 = 1   // the last to take over
	PriorityDefault uint8 = 100 //
	PriorityMax     uint8 = 254 // the highest for a router that does not own the addresses
	PriorityOwner   uint8 = 255 // the sender owns the addresses
)

// A State is a state of the election (RFC 9568 §6.4). Fault is Initialize
// with a reason: the router would run but for something named.
type State uint8

const (
	Initialize State = iota + 1
	Backup
	Active
	Fault
)

var stateNames = [...]string{Initialize: "initialize", Backup: "backup", Active: "active", Fault: "fault"}

func (s State) String() string {
	if int(s) < len(stateNames) && s != 0 {
		return stateNames[s]
	}
	return "unknown"
}

// A Reason says why a received packet was dropped. The zero Reason means that
// it was not.
type Reason uint8

const (
	Accepted         Reason = iota
	DropLength              // shorter or longer than its address count says (§7.1)
	DropVersion             // neither 2 nor 3, or not the version of the router
	DropType                // not an ADVERTISEMENT (§5.2.2)
	DropVRID                // no such virtual router on the interface
	DropChecksum            // neither form of the checksum holds (§5.2.8)
	DropTTL                 // TTL or hop limit below what is asked for (§5.1.1.3)
	DropCount               // no addresses (erratum 8299)
	DropInterval            // zero (erratum 8301), or in version 2 not the router's own (RFC 3768 §7.1)
	DropAuth                // version 2: type or password not the router's own (RFC 2338 §7.1)
	DropFirstAddress        // strict only: first IPv6 address not link-local (erratum 8300)
	DropOwn                 // our own advertisement came back
	DropSender              // unicast: the sender is no configured peer
	DropDestination         // multicast for a unicast router, or the other way round
	DropHeader              // the IPv4 header does not hold together
	DropTruncated           // larger than any advertisement
	reasonCount
)

var reasonNames = [reasonCount]string{
	Accepted: "accepted", DropLength: "length", DropVersion: "version", DropType: "type", DropVRID: "vrid",
	DropChecksum: "checksum", DropTTL: "ttl", DropCount: "count", DropInterval: "interval", DropAuth: "auth",
	DropFirstAddress: "first_address", DropOwn: "own", DropSender: "sender", DropDestination: "destination",
	DropHeader: "ip_header", DropTruncated: "truncated",
}

// String returns the reason as metrics and status name it.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns every reason to drop a packet, in order.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := Accepted + 1; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}
