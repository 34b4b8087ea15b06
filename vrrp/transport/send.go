package transport

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// QueueSize is how many messages are sent with one system call.
const QueueSize = 64

// A SendError tells which of the queued messages was not sent, and why.
type SendError struct {
	Index     int // of the message, counting Queue calls since the last Flush
	Interface string
	Src, Dst  netip.Addr
	// Err is the errno. ENETDOWN, ENETUNREACH: the interface is down; ENODEV,
	// ENXIO: it is gone; EINVAL, on IPv4 also ENETUNREACH: Src is not an
	// address of this host, or still tentative (IPv6); ENOBUFS, EAGAIN: no memory, or no room in the socket's
	// buffer; EPERM: a packet filter; EAFNOSUPPORT: Src or Dst is not of the
	// socket's family; EMSGSIZE: longer than the interface allows. What the
	// device's queue drops, full or without carrier, counts as sent: the kernel
	// tells a raw socket only together with ICMP errors (IP_RECVERR), which
	// anybody can forge.
	Err error
}

// Error reads like "send 192.0.2.1 to 224.0.0.18 on eth0: network is down".
func (e SendError) Error() string {
	if !e.Src.IsValid() {
		return fmt.Sprintf("send to %s on %s: %v", e.Dst, e.Interface, e.Err)
	}
	return fmt.Sprintf("send %s to %s on %s: %v", e.Src, e.Dst, e.Interface, e.Err)
}

// Unwrap returns the errno.
func (e SendError) Unwrap() error { return e.Err }

// outbox holds the messages to be sent by one sendmmsg, each with all that
// the kernel is told of it.
type outbox struct {
	headers [QueueSize]mmsghdr
	iovecs  [QueueSize]unix.Iovec
	slots   [QueueSize]slot
	n       int // messages in slots
	queued  int // messages queued since the last Flush
	sent    int // of which sent before it, slots having run out
	failed  []SendError
	done    bool // the last Flush has handed out failed
}

// slot is where a message comes from and goes to, as its header points to it. Of
// the addresses only those of the socket's family are used.
type slot struct {
	index    int
	src, dst netip.Addr
	to4      unix.RawSockaddrInet4
	to6      unix.RawSockaddrInet6
	from4    pktinfo4
	from6    pktinfo6
}

// pktinfo4 and pktinfo6 are control messages, laid out as CMSG_DATA has it:
// the data needs no more alignment than the header has.
type (
	pktinfo4 struct {
		header unix.Cmsghdr
		info   unix.Inet4Pktinfo
	}
	pktinfo6 struct {
		header unix.Cmsghdr
		info   unix.Inet6Pktinfo
	}
)

// newOutbox fills in everything that is the same for each message.
func newOutbox(family Family, index int) *outbox {
	o := &outbox{failed: make([]SendError, 0, QueueSize)}
	for i := range o.headers {
		h := &o.headers[i]
		h.Iov = &o.iovecs[i]
		h.SetIovlen(1)
		o.slots[i].init(h, family, index)
	}
	return o
}

// init fills in what every message of a socket has, also in its header.
func (s *slot) init(h *mmsghdr, family Family, index int) {
	if family == IPv4 {
		s.to4.Family = unix.AF_INET
		h.Name = (*byte)(unsafe.Pointer(&s.to4))
		h.Namelen = unix.SizeofSockaddrInet4

		s.from4.header.Level = unix.IPPROTO_IP
		s.from4.header.Type = unix.IP_PKTINFO
		s.from4.header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		s.from4.info.Ifindex = int32(index)
		h.Control = (*byte)(unsafe.Pointer(&s.from4))
		h.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
		return
	}
	s.to6.Family = unix.AF_INET6
	s.to6.Scope_id = uint32(index) // used for link-local destinations only
	h.Name = (*byte)(unsafe.Pointer(&s.to6))
	h.Namelen = unix.SizeofSockaddrInet6

	s.from6.header.Level = unix.IPPROTO_IPV6
	s.from6.header.Type = unix.IPV6_PKTINFO
	s.from6.header.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	s.from6.info.Ifindex = uint32(index)
	h.Control = (*byte)(unsafe.Pointer(&s.from6))
	h.SetControllen(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
}

// address fills in where a message comes from, if src is valid, and goes to;
// both are of the family.
func (s *slot) address(family Family, src, dst netip.Addr) {
	if family == IPv4 {
		s.to4.Addr = dst.As4()
		s.from4.info.Spec_dst = [4]byte{}
		if src.IsValid() {
			s.from4.info.Spec_dst = src.As4()
		}
		return
	}
	s.to6.Addr = dst.As16()
	s.from6.info.Addr = [16]byte{}
	if src.IsValid() {
		s.from6.info.Addr = src.As16()
	}
}

// Queue adds a VRRP message to those that the next Flush sends, from the
// address src of this host, or one that the kernel chooses if src is not
// valid. The data is not copied and must stay unchanged until then. Zones are
// ignored: the socket's interface is the zone. When QueueSize messages are
// waiting they are sent at once, and reported by the next Flush.
func (s *Socket) Queue(src, dst netip.Addr, data []byte) {
	o := s.out
	o.begin()
	if o.n == QueueSize {
		s.send()
	}
	index := o.queued
	o.queued++
	if !s.family.holds(dst) || src.IsValid() && !s.family.holds(src) {
		o.failed = append(o.failed, SendError{index, s.name, src, dst, unix.EAFNOSUPPORT})
		return
	}
	m, v := &o.slots[o.n], &o.iovecs[o.n]
	o.n++
	m.index, m.src, m.dst = index, src, dst
	v.Base = unsafe.SliceData(data)
	v.SetLen(len(data))
	m.address(s.family, src, dst)
}

// Flush sends what was queued, without waiting, and returns how many messages
// were sent and those that were not. One that fails keeps no other from being
// sent, and is not tried again. The failures come in no particular order, and are
// valid until the next Queue or Flush.
func (s *Socket) Flush() (sent int, failed []SendError) {
	s.out.begin()
	s.send()
	o := s.out
	o.done = true
	return o.sent, o.failed
}

// begin starts counting anew after a Flush.
func (o *outbox) begin() {
	if !o.done {
		return
	}
	o.queued, o.sent, o.done = 0, 0, false
	clear(o.failed) // lets go of IPv6 zones
	o.failed = o.failed[:0]
}

// send sends the messages in the slots. The kernel stops at the first that
// fails and tells its errno only if it was the first of the call, so after
// each failure sending goes on behind it. The system call never waits, so it
// does not tell the scheduler (see Batch.take).
func (s *Socket) send() {
	o := s.out
	for first := 0; first < o.n; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
			uintptr(unsafe.Pointer(&o.headers[first])), uintptr(o.n-first), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			o.sent += int(n)
			first += int(n)
		case unix.EINTR:
		default:
			m := &o.slots[first]
			o.failed = append(o.failed, SendError{m.index, s.name, m.src, m.dst, errno})
			first++
		}
	}
	for i := range o.n {
		o.iovecs[i].Base = nil // the data is the caller's again
	}
	o.n = 0
}

// holds tells whether a is an address of the family.
func (f Family) holds(a netip.Addr) bool {
	if f == IPv4 {
		return a.Is4()
	}
	return a.Is6() && !a.Is4In6()
}
