package transport

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// SetMulticast joins or leaves the family's group. Joining a group already
// joined, or leaving one not joined, does nothing.
func (s *Socket) SetMulticast(on bool) error {
	if on {
		return s.Join()
	}
	return s.Leave()
}

// Join joins the family's group on the interface, which may be down: the
// kernel keeps the membership until it comes up. Joined already, it does
// nothing.
func (s *Socket) Join() error {
	if s.joined.Load() {
		return nil
	}
	return s.add()
}

// Leave leaves the group. Not joined, it does nothing.
func (s *Socket) Leave() error {
	if !s.joined.Load() {
		return nil
	}
	s.joined.Store(false)
	return s.drop()
}

func (s *Socket) add() error {
	err := s.membership(unix.IP_ADD_MEMBERSHIP, unix.IPV6_JOIN_GROUP)
	if s.joined.Store(err == nil); err != nil {
		return fmt.Errorf("join %s on %s: %w", s.family.Group(), s.name, err)
	}
	return nil
}

func (s *Socket) drop() error {
	err := s.membership(unix.IP_DROP_MEMBERSHIP, unix.IPV6_LEAVE_GROUP)
	// The membership may have gone before, with the interface.
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("leave %s on %s: %w", s.family.Group(), s.name, err)
	}
	return nil
}

// Rejoin leaves the group and joins it again, so that the kernel reports the
// membership anew (IGMP, MLD) through whichever link a bond now uses and the
// switch there learns where the group is wanted. IGMPv3 makes one report of
// both, without a leave that could stop the traffic in between. A socket that
// had not joined has afterwards. The kernel may keep it waiting for long (for its lock
// of all interfaces), so another goroutine may call it, not at the same time as Join,
// Leave or Close; what arrives meanwhile is received.
func (s *Socket) Rejoin() error {
	if !s.joined.Load() {
		return s.add()
	}
	return errors.Join(s.drop(), s.add())
}

// membership changes the membership of the group. It does so itself rather
// than through x/net, which works only on a connection of package net, which
// the socket no longer is.
func (s *Socket) membership(optionIPv4, optionIPv6 int) error {
	if s.family == IPv6 {
		return unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, optionIPv6, &unix.IPv6Mreq{
			Multiaddr: GroupIPv6.As16(),
			Interface: uint32(s.index),
		})
	}
	return unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, optionIPv4, &unix.IPMreqn{
		Multiaddr: GroupIPv4.As4(),
		Ifindex:   int32(s.index),
	})
}
