package transport

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// This file is about whole IPv4 packets. To put a header before a message costs
// the kernel a fifth of all that it does to send it, so a Series of multicast
// messages, which leave over and over, has its headers written once. The packets
// are the same and go the same way, all of netfilter included. Differences: the
// kernel does not look whether the source is an address of this host, so who uses a
// Series has to notice when it no longer is; and before Linux 6.4 (5.15.115,
// 5.10.182) it looks for an IPsec policy of another protocol. Unicast goes by
// rules and routes that may depend on the source, which the kernel does not take
// from such a header, so that is left to the other socket.

const (
	headerLen = 20 // RFC 791 section 3.1, without options

	// wholeMost is how long a packet may be: as long as what every host accepts
	// (RFC 791 section 3.1). The kernel does not fragment whole ones.
	wholeMost = 576
)

// openWhole makes a socket that takes whole packets (raw(7), IP_HDRINCL), of
// the other one's protocol, interface, priority and buffer, and receives none.
func (s *Socket) openWhole() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, Protocol)
	if err != nil {
		return -1, named("socket for whole packets", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd) // a fresh descriptor: nothing to lose
			fd = -1
		}
	}()
	// What came before is discarded with the socket, as nobody reads it.
	if err = discardAll(fd); err != nil {
		return fd, named("SO_ATTACH_FILTER", err)
	}
	if err = s.findIndex(fd); err != nil {
		return fd, err
	}
	if err = unix.BindToDevice(fd, s.name); err != nil {
		return fd, named("SO_BINDTODEVICE", err)
	}
	if err = setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF); err != nil {
		return fd, named("SO_SNDBUF", err)
	}
	for _, o := range []struct {
		name          string
		option, value int
	}{
		{"IP_HDRINCL", unix.IP_HDRINCL, 1},
		{"IP_MULTICAST_LOOP", unix.IP_MULTICAST_LOOP, 0},
		{"IP_MULTICAST_ALL", unix.IP_MULTICAST_ALL, 0},
		{"IP_TOS", unix.IP_TOS, trafficClass},
	} {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, o.option, o.value); err != nil {
			return fd, named(o.name, err)
		}
	}
	return fd, setPriority(fd) // after IP_TOS, which sets the priority as well
}

// discardAll has a socket receive nothing.
func discardAll(fd int) error {
	nothing, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return err
	}
	filter := unix.SockFilter{Code: nothing[0].Op, Jt: nothing[0].Jt, Jf: nothing[0].Jf, K: nothing[0].K}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter})
}

// sendsWhole reports whether messages can leave as whole packets.
func (s *Socket) sendsWhole(messages []Message) bool {
	if s.whole < 0 {
		return false
	}
	for _, m := range messages {
		if m.Dst != GroupIPv4 || !m.Src.IsValid() || headerLen+len(m.Data) > wholeMost {
			return false
		}
	}
	if !s.aimed {
		// Connected, it is not even looked at for what arrives: nothing comes from
		// the group. That fails while the interface is down.
		to := unix.SockaddrInet4{Addr: GroupIPv4.As4()}
		s.aimed = unix.Connect(s.whole, &to) == nil
	}
	return s.aimed
}

// appendHeader appends the IPv4 header of a message of n bytes. The kernel fills
// in identification and checksum.
func appendHeader(b []byte, src, dst netip.Addr, n int) []byte {
	const version, words, dontFragment = 4 << 4, headerLen / 4, 1 << 14
	b = append(b, version|words, trafficClass)
	b = binary.BigEndian.AppendUint16(b, uint16(headerLen+n))
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, dontFragment)
	b = append(b, hopLimit, Protocol, 0, 0)
	from, to := src.As4(), dst.As4()
	return append(append(b, from[:]...), to[:]...)
}
