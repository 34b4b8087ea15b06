package transport

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BatchSize is how many packets one Receive takes at most.
const BatchSize = 64

const (
	// maxIPv4 is the longest advertisement with its IP header: VRRPv2 with 255
	// addresses and authentication data.
	maxIPv4 = 60 + 16 + 4*255
	// maxIPv6 is the longest without: VRRPv3 with 255 addresses.
	maxIPv6 = 8 + 16*255

	// bufferSize is one packet's share of a Batch; being longer than either
	// lets the kernel say which were longer.
	bufferSize = 4096
	// controlSize has room for timestamp, packet info and hop limit (96 bytes)
	// and for what else may once be switched on; too little would lose
	// messages silently but for MSG_CTRUNC.
	controlSize = 256
)

// A Packet is one datagram as it was received.
type Packet struct {
	// Data is, on IPv4, the whole packet with its IP header, and on IPv6 the
	// VRRP message alone. It is valid until the Batch is used again.
	Data []byte
	// Src and Dst are the addresses of the IP header, without zone; invalid
	// if they are missing.
	Src, Dst netip.Addr
	// HopLimit is that of the IPv6 header, or -1 where it is missing. On IPv4
	// it is -1: the TTL is in Data.
	HopLimit int
	// At is when the kernel received the packet, in CLOCK_MONOTONIC ns; never
	// later than Now. Setting the wall clock, which the kernel's timestamps
	// come from, does not affect it, except that packets which were in the
	// queue meanwhile count as received when they are read.
	At int64
	// Truncated says that the packet is longer than any advertisement, and
	// Data only its beginning.
	Truncated bool
}

// A Batch holds what one Receive takes. One serves all sockets of a
// goroutine.
type Batch struct {
	clock   wallClock
	used    int // headers that the kernel has written to
	ahead   ahead
	packets [BatchSize]Packet
	headers [BatchSize]mmsghdr
	iovecs  [BatchSize]unix.Iovec
	sources [BatchSize]unix.RawSockaddrInet6
	control [BatchSize][controlSize / 8]uint64 // aligned for unix.Cmsghdr
	buffers [BatchSize][bufferSize]byte
}

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// NewBatch returns an empty Batch (about 300 KiB, of which only what packets
// use becomes resident).
func NewBatch() *Batch {
	b := &Batch{used: BatchSize}
	for i := range b.headers {
		b.iovecs[i].Base = &b.buffers[i][0]
		b.iovecs[i].SetLen(bufferSize)
		h := &b.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&b.sources[i]))
		h.Iov = &b.iovecs[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&b.control[i]))
	}
	b.clock.read()
	return b
}

// Receive takes up to BatchSize packets from the socket, without waiting and
// without allocating. Multicast is left out unless the socket has joined its
// group. The packets are valid until the next Receive into b. More says that
// there may be further packets, even if none is returned; once it is false
// the queue was empty. An error does not lose packets: there may be some beside
// it. What a wait has read ahead into b was first in the queue.
func (s *Socket) Receive(b *Batch) (packets []Packet, more bool, err error) {
	start, ahead := Now(), b.ahead.some && b.ahead.fd == s.fd
	var errno unix.Errno
	if ahead {
		start, errno = b.ahead.at, b.ahead.errno
	} else {
		b.prepare()
		errno = b.take(s.fd)
	}
	b.ahead.some = false
	n := b.used
	switch {
	case errno != 0 && errno != unix.EAGAIN:
		err = fmt.Errorf("receive on %s (%s): %w", s.name, s.family, error(errno))
		if n == 0 {
			return nil, false, err
		}
	case n == 0:
		s.drained = start
		return nil, false, nil
	}
	b.clock.read()
	now := Now()
	// What was not in the queue when it was last empty has arrived since.
	earliest := s.drained - inFlight
	kept := 0
	for i := range n {
		p := &b.packets[kept]
		stamp := b.parse(i, s.family, p)
		if ahead {
			now = b.ahead.read[i]
		}
		p.At = b.clock.monotonic(stamp, earliest, now)
		if s.concerns(p.Dst) {
			kept++
		}
	}
	if more = n == BatchSize && err == nil; !more {
		s.drained = start
	}
	return b.packets[:kept], more, err
}

// concerns tells whether the socket is meant to hear what is sent to dst. On
// IPv4 the kernel has seen to it (IP_MULTICAST_ALL). On IPv6 it delivers
// every multicast packet that any socket of the host has made it accept.
func (s *Socket) concerns(dst netip.Addr) bool {
	return !dst.IsMulticast() || s.joined.Load() && dst == s.family.Group()
}

// prepare empties the batch.
//
//go:nosplit
//go:norace
func (b *Batch) prepare() {
	for i := range b.used {
		h := &b.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
	b.used = 0
}

// take makes one recvmmsg, for as many packets as there is still room for. It
// never waits, so it does not tell the scheduler, which would cost a take-over the
// time to get its processor back. The kernel is only told of Go memory that b
// refers to, and the heap does not move.
//
//go:nosplit
//go:norace
func (b *Batch) take(fd int) unix.Errno {
	for b.used < BatchSize {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&b.headers[b.used])), uintptr(BatchSize-b.used), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno == 0 {
			b.used += int(n)
		}
		return errno
	}
	return 0
}

// parse fills in p from the i-th message, except for At, and returns the
// kernel's receive timestamp (CLOCK_REALTIME ns), or 0.
func (b *Batch) parse(i int, family Family, p *Packet) (stamp int64) {
	h := &b.headers[i]
	length, limit := int(h.length), maxIPv4
	if family == IPv6 {
		limit = maxIPv6
	}
	*p = Packet{
		Data:      b.buffers[i][:min(length, limit)],
		HopLimit:  -1,
		Truncated: length > limit || h.Flags&unix.MSG_TRUNC != 0,
	}
	if family == IPv4 {
		if length >= 20 { // the kernel hands over nothing shorter
			p.Src = netip.AddrFrom4([4]byte(p.Data[12:16]))
			p.Dst = netip.AddrFrom4([4]byte(p.Data[16:20]))
		}
	} else if h.Namelen >= unix.SizeofSockaddrInet6 {
		p.Src = netip.AddrFrom16(b.sources[i].Addr)
	}
	control := unsafe.Slice((*byte)(unsafe.Pointer(&b.control[i])), controlSize)
	return parseControl(control[:min(int(h.Controllen), controlSize)], p)
}

// parseControl takes hop limit and destination from the control messages, and
// returns the timestamp. Messages that the kernel had to cut are left out.
func parseControl(control []byte, p *Packet) (stamp int64) {
	for len(control) >= unix.SizeofCmsghdr {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		control = rest
		switch {
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS &&
			len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			stamp = (*unix.Timespec)(unsafe.Pointer(&data[0])).Nano()
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			p.HopLimit = int(*(*int32)(unsafe.Pointer(&data[0])))
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO &&
			len(data) >= unix.SizeofInet6Pktinfo:
			p.Dst = netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr)
		}
	}
	return stamp
}
