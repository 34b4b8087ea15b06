package transport

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// This file is about whole IPv4 packets. To put a header before a message costs
// the kernel a fifth of all that it does to send it, so a Series, whose messages
// leave over and over, has its headers written once. The packets go the same
// way as those of the other socket, through routing and all of netfilter. The
// one difference: the kernel does not look whether the source is an address of
// this host.

const headerLen = 20 // RFC 791 section 3.1, without options

// openWhole makes a socket that takes whole packets and receives none (raw(7),
// IPPROTO_RAW). It has the other one's interface, priority and buffer.
func (s *Socket) openWhole() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return -1, named("socket for whole packets", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd) // a fresh descriptor: nothing to lose
			fd = -1
		}
	}()
	if err = s.findIndex(fd); err != nil {
		return fd, err
	}
	if err = unix.BindToDevice(fd, s.name); err != nil {
		return fd, named("SO_BINDTODEVICE", err)
	}
	if err = setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF); err != nil {
		return fd, named("SO_SNDBUF", err)
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0); err != nil {
		return fd, named("IP_MULTICAST_LOOP", err)
	}
	return fd, setPriority(fd)
}

// appendHeader appends the IPv4 header of a message of n bytes. The kernel
// chooses the source if there is none, and fills in identification and checksum.
func appendHeader(b []byte, src, dst netip.Addr, n int) []byte {
	const version, words, dontFragment = 4 << 4, headerLen / 4, 1 << 14
	b = append(b, version|words, trafficClass)
	b = binary.BigEndian.AppendUint16(b, uint16(headerLen+n))
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, dontFragment)
	b = append(b, hopLimit, Protocol, 0, 0)
	from, to := [4]byte{}, dst.As4()
	if src.IsValid() {
		from = src.As4()
	}
	return append(append(b, from[:]...), to[:]...)
}
