package transport

import (
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Message is one that a [Series] sends.
type Message struct {
	Src, Dst netip.Addr // as for Socket.Queue
	Data     []byte     // must not change as long as the series is used
	// Mark is set to CLOCK_BOOTTIME in nanoseconds, an even number, whenever
	// the message has left; nil: nothing is.
	Mark *atomic.Int64
}

// A Series is messages of one socket that leave together, and again after each
// interval, as part of a [Schedule].
type Series struct {
	fd       int
	headers  []mmsghdr
	iovecs   []unix.Iovec    // one for each
	marks    []*atomic.Int64 // likewise, nil for some
	slots    []slot          // likewise, unless the socket or the packet says where to
	packets  []byte          // whole ones, if it sends such
	due      int64           // CLOCK_MONOTONIC, ns
	interval int64

	times   int // sent since the last Take
	partial int // messages of the round that did not leave as a whole
}

// Series returns a series of the socket that is due first at a moment
// (CLOCK_MONOTONIC, ns). It must not be used any more once the socket is closed.
// It is made of another one, which is not used any more; nil: of none.
func (s *Socket) Series(of *Series, due int64, interval time.Duration, messages []Message) *Series {
	if s.sendsWhole(messages) {
		v := NewSeries(of, s.whole, due, interval, messages)
		v.makeWhole(messages)
		return v
	}
	v := NewSeries(of, s.fd, due, interval, messages)
	v.slots = slices.Grow(v.slots[:0], len(messages))[:len(messages)]
	clear(v.slots)
	for i, m := range messages {
		v.slots[i].init(&v.headers[i], s.family, s.index)
		v.slots[i].address(s.family, m.Src, m.Dst)
	}
	return v
}

// makeWhole puts IPv4 headers before copies of the messages, for a socket that is
// connected.
func (v *Series) makeWhole(messages []Message) {
	size := 0
	for _, m := range messages {
		size += headerLen + len(m.Data)
	}
	v.packets = slices.Grow(v.packets[:0], size) // it must not move any more
	for i, m := range messages {
		start := len(v.packets)
		v.packets = append(appendHeader(v.packets, m.Src, m.Dst, len(m.Data)), m.Data...)
		v.iovecs[i].Base = &v.packets[start]
		v.iovecs[i].SetLen(len(v.packets) - start)
	}
}

// NewSeries is Socket.Series for a socket that is connected, whatever its kind:
// Src and Dst do not count.
func NewSeries(of *Series, fd int, due int64, interval time.Duration, messages []Message) *Series {
	n := len(messages)
	if of == nil || cap(of.headers) < n {
		of = &Series{headers: make([]mmsghdr, n), iovecs: make([]unix.Iovec, n)}
	}
	v := of
	*v = Series{fd: fd, due: due, interval: int64(interval), headers: v.headers[:n], iovecs: v.iovecs[:n], marks: v.marks[:0], slots: v.slots, packets: v.packets}
	clear(v.headers)
	for i, m := range messages {
		v.headers[i].Iov = &v.iovecs[i]
		v.headers[i].SetIovlen(1)
		v.iovecs[i].Base = unsafe.SliceData(m.Data)
		v.iovecs[i].SetLen(len(m.Data))
		v.marks = append(v.marks, m.Mark)
	}
	return v
}

// A Schedule is what leaves while nobody is awake but the thread of a Poller:
// see WaitSending. It belongs to that Poller's goroutine.
type Schedule struct {
	series   []*Series
	together int64
	patience int64

	now, boottime int64 // as last read

	late    int64 // the most that anything was late since the last Take
	stopped bool
}

// NewSchedule returns a schedule of some series; of those that are due the first
// goes first. What is due within together after something that leaves, leaves with it. What is late by patience or by an
// interval does not leave: then there is more to look at than the time.
func NewSchedule(together, patience time.Duration, series ...*Series) *Schedule {
	return &Schedule{series: series, together: int64(together), patience: int64(patience)}
}

// Next returns when the first of them is due.
//
//go:nosplit
//go:norace
func (s *Schedule) Next() int64 {
	next := NoDeadline
	for _, v := range s.series {
		if v.due < next {
			next = v.due
		}
	}
	return next
}

// SendDue sends what is due now, as a WaitSending would.
func (s *Schedule) SendDue() {
	s.readClocks()
	s.sendDue()
}

// Take calls sent for each series, by its place in NewSchedule, of which
// something has left since the last Take: as a whole so many times, and after
// that the first so many messages of it. It returns the most that anything was
// late, 0 for nothing, and whether the schedule has stopped: something could
// not leave, or was too late. Nothing is to be sent by it then.
func (s *Schedule) Take(sent func(series, times, partial int)) (late time.Duration, stopped bool) {
	for i, v := range s.series {
		if times, partial := v.times, v.partial; times > 0 || partial > 0 {
			v.times, v.partial = 0, 0
			sent(i, times, partial)
		}
	}
	late, s.late = time.Duration(s.late), 0
	return late, s.stopped
}

// WaitSending is Wait that sends what a schedule says, when it is due, and goes
// on waiting: for as long as nothing else happens no goroutine runs, nor is the
// Go scheduler asked for anything, which on a busy machine answers late. What
// arrives before something is due is returned first, as by Wait, unless it is familiar. Once it has sent
// something at or after the moment enough, it does not wait for the deadline any
// more: to be woken once more would cost about as much as a sending.
func (p *Poller) WaitSending(enough, deadline int64, s *Schedule) (ready []int32, woken bool, err error) {
	if deadline == 0 {
		deadline = NoDeadline
	}
	if s.stopped {
		return p.Wait(1)
	}
	// A look is no reason to give the processor away: it may be a while until
	// there is one again.
	if !p.noPwait2 && deadline > Now() {
		switch n, errno := p.pollSending(min(enough, deadline), deadline, s); {
		case errno == unix.ENOSYS, errno == unix.EPERM: // see poll
			p.noPwait2 = true
		case errno != 0:
			return nil, false, os.NewSyscallError("epoll_pwait2", errno)
		case n > 0:
			return p.collect(n)
		default:
			return nil, false, nil
		}
	}
	ready, woken, err = p.Wait(min(deadline, s.Next()))
	if len(ready) == 0 && !woken && err == nil {
		s.SendDue()
	}
	return ready, woken, err
}

// pollSending is WaitSending between two entries into the scheduler. In between
// the runtime does not know what this thread does: whatever is called must need
// no more stack (so it must not go deep either, or the linker objects), must
// store no pointer, and is not for the race detector to look at.
//
//go:nosplit
//go:norace
func (p *Poller) pollSending(enough, deadline int64, s *Schedule) (n int, errno unix.Errno) {
	entersyscallblock()
	for {
		until := s.Next()
		if deadline < until {
			until = deadline
		}
		n, errno = p.pollRaw(max(until-clock(unix.CLOCK_MONOTONIC), 0))
		if errno == unix.EINTR { // the runtime's preemption signal, mostly
			continue
		}
		if errno != 0 {
			break
		}
		if n > 0 {
			goOn := false
			if n, goOn = p.readAhead(n, deadline, until); goOn {
				continue
			}
			break
		}
		s.readClocks()
		if s.sendDue(); s.stopped || enough <= s.now {
			break
		}
	}
	exitsyscall()
	return n, errno
}

// sendDue sends what is due, and with it what soon will be, in the order of the
// series. While one is sent, which takes long if there are many messages, one
// before it may have become due: that is the next.
//
//go:nosplit
//go:norace
func (s *Schedule) sendDue() {
	if s.Next() > s.now {
		return
	}
	for i := 0; i < len(s.series) && !s.stopped; i++ {
		v := s.series[i]
		if v.due > s.now+s.together {
			continue
		}
		if s.send(v); i > 0 {
			i = -1
			s.now = clock(unix.CLOCK_MONOTONIC)
		}
	}
}

// send sends a series that is due, unless it has been for too long.
//
//go:nosplit
//go:norace
func (s *Schedule) send(v *Series) {
	late := s.now - v.due
	if late >= s.patience || late >= v.interval {
		s.stopped = true
		return
	}
	sent := 0
	for sent < len(v.headers) {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(v.fd),
			uintptr(unsafe.Pointer(&v.headers[sent])), uintptr(len(v.headers)-sent), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			sent += int(n)
		} else if errno != unix.EINTR {
			s.stopped = true // which error it is, the next attempt shows
			break
		}
	}
	for i, m := range v.marks {
		if i < sent && m != nil {
			*(*int64)(unsafe.Pointer(m)) = s.boottime &^ 1 // its method may be a call
		}
	}
	if s.stopped {
		v.partial = sent
		return
	}
	if late > s.late {
		s.late = late
	}
	v.due += v.interval
	v.times++
}

//go:nosplit
//go:norace
func (s *Schedule) readClocks() {
	s.now, s.boottime = clock(unix.CLOCK_MONOTONIC), clock(unix.CLOCK_BOOTTIME)
}

// clock is what Now is made of, and fails for no clock that there is.
//
//go:nosplit
//go:norace
func clock(id uintptr) int64 {
	var ts unix.Timespec
	_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&ts)), 0, 0, 0, 0)
	return int64(ts.Sec)*1e9 + int64(ts.Nsec)
}
