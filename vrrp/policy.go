package vrrp

import (
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"
)

// A Policy is what one virtual router accepts (RFC 9568 §7.1, RFC 3768 §7.1).
type Policy struct {
	Version  Version
	Interval time.Duration // the router's own; version 2 accepts no other
	Password string        // version 2: RFC 2338 simple text password; "" is no authentication
	Strict   bool          // drop what RFC 9568 forbids but peers do
	Source   netip.Addr    // where the router's own advertisements come from
	Peers    []netip.Addr  // unicast: the only senders accepted; none: multicast
	MinTTL   int           // unicast: lowest TTL or hop limit accepted; multicast takes 255 alone
}

// Check decides whether a decoded advertisement may reach the router.
func (p *Policy) Check(d Datagram, a *Advert) Reason {
	src := d.Src.WithZone("")
	switch {
	case a.Version != p.Version:
		return DropVersion
	case src == p.Source:
		return DropOwn
	}
	if len(p.Peers) == 0 {
		if !d.Dst.IsMulticast() {
			return DropDestination
		}
		if d.TTL != 255 {
			return DropTTL
		}
	} else {
		switch {
		case d.Dst.IsMulticast():
			return DropDestination
		case !slices.Contains(p.Peers, src):
			return DropSender
		case d.TTL < p.MinTTL:
			return DropTTL
		}
	}
	if p.Version == V2 {
		if !p.authentic(a) {
			return DropAuth
		}
		if a.Interval != p.Interval {
			return DropInterval
		}
		return Accepted
	}
	if p.Strict && src.Is6() && !a.Addresses[0].IsLinkLocalUnicast() {
		return DropFirstAddress
	}
	return Accepted
}

// authentic compares type and password (RFC 2338 §5.3.10: eight bytes, padded
// with zeros). Authentication data without authentication is ignored.
func (p *Policy) authentic(a *Advert) bool {
	if p.Password == "" {
		return a.AuthType == AuthNone
	}
	want := PasswordData(p.Password)
	return a.AuthType == AuthPass && subtle.ConstantTimeCompare(a.AuthData[:], want[:]) == 1
}

// PasswordData is a simple text password as it stands in an advertisement:
// at most eight bytes, padded with zeros.
func PasswordData(password string) (data [8]byte) {
	copy(data[:], password)
	return data
}
