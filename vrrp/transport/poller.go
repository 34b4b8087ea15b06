package transport

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// NoDeadline makes a Poller wait until something happens.
const NoDeadline = int64(math.MaxInt64)

const (
	// readySize bounds what one Wait reports; the rest comes with the next.
	readySize = 64

	// wakeToken is the eventfd's own, out of the callers' range.
	wakeToken = -1

	// rawWindow is the last part of a precise wait, spent in system calls
	// that the scheduler does not know of: long enough for the runtime to have
	// given the thread its processor back after the first part, and for its
	// monitor, which that has woken, to have found that the thread kept one for
	// long, and to have it yield; short enough not to hold up the garbage
	// collector noticeably.
	rawWindow = int64(2200 * time.Microsecond)

	// AheadWindow is how long before the end of a precise wait ahead is called.
	// Who is woken then may be put on this CPU, so there is some sleep after it:
	// enough for that one to get going, and to another CPU, even if the timer is
	// late as it is in a virtual machine at times.
	AheadWindow = 1600 * time.Microsecond

	// AwakeWindow is how much of a precise wait may well be spent looking at the
	// clock: a thread that sleeps needs some tens of microseconds to be woken, and
	// in a virtual machine the interrupt that wakes it may be late by hundreds.
	AwakeWindow = 800 * time.Microsecond
)

// A Poller waits for descriptors to become readable, for a deadline with the
// precision of the kernel's timers, and to be woken. All its methods but Wake
// belong to one goroutine.
type Poller struct {
	epoll   int
	pending atomic.Bool // woken, and not yet reported

	mu     sync.Mutex // keeps Close from closing wakefd under Wake
	wakefd int

	noPwait2 bool // the kernel has no epoll_pwait2 (before Linux 5.11)
	timeout  kernelTimespec
	fallback unix.Timespec
	pollfd   unix.PollFd
	events   [readySize]unix.EpollEvent
	ready    [readySize]int32

	batch     *Batch // for what is familiar; nil: nothing is read ahead
	listeners []listener
	gather    unix.Timespec // GatherFor
}

// kernelTimespec is struct __kernel_timespec: 64 bits on every architecture.
type kernelTimespec struct{ sec, nsec int64 }

// NewPoller returns a Poller that waits for nothing yet.
func NewPoller() (*Poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll) // a fresh descriptor: nothing to lose
		return nil, os.NewSyscallError("eventfd2", err)
	}
	p := &Poller{epoll: epoll, wakefd: wakefd, pollfd: unix.PollFd{Fd: int32(epoll), Events: unix.POLLIN}, gather: unix.NsecToTimespec(int64(GatherFor))}
	if err := p.add(wakefd, wakeToken, 0); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Add makes Wait report token, which must not be negative, as long as fd is
// readable or has an error to be read.
func (p *Poller) Add(fd int, token int32) error {
	if token < 0 {
		return fmt.Errorf("wait for descriptor %d: negative token %d", fd, token)
	}
	return p.add(fd, token, 0)
}

// add takes the number of the listener as well, from 1 on; 0: it is none.
func (p *Poller) add(fd int, token int32, listener int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: token, Pad: int32(listener)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("wait for descriptor %d: %w", fd, err)
	}
	return nil
}

// Remove undoes Add and Listen. It must come before fd is closed.
func (p *Poller) Remove(fd int) error {
	p.unlisten(fd)
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil); err != nil {
		return fmt.Errorf("no longer wait for descriptor %d: %w", fd, err)
	}
	return nil
}

// Wait returns when a descriptor is ready, when Wake was called, or at the
// deadline (CLOCK_MONOTONIC ns, see Now; 0 and NoDeadline are none), never
// before unless it has read ahead (see Ahead). Ready holds the tokens of the
// descriptors, at most 64, and is valid until the next call. A deadline that has
// passed makes it look without waiting; what is ready is reported even then.
func (p *Poller) Wait(deadline int64) (ready []int32, woken bool, err error) {
	return p.wait(deadline, 0, 0, nil, nil)
}

// WaitPrecisely is Wait for a deadline at which every microsecond counts, as
// for a takeover. After an ordinary blocking system call the runtime may
// have lent this thread's processor to another and needs up to some tenths of
// a millisecond to return it. So the last 2.2 ms are waited in a system call
// that keeps the processor. If nothing has happened 1.6 ms before the deadline,
// ahead is called; 0.8 ms before it (AwakeWindow) awake is, if at least half of that
// is left, which it must not take. The very last part, awakeFor (at most AwakeWindow; less
// where others may need this CPU), is not slept through but spent looking
// at the clock; what arrives then is reported by the next call. Both functions may be nil. Every other goroutine may have to wait
// that long too, and it costs some more system calls: for the deadlines that are
// worth it.
func (p *Poller) WaitPrecisely(deadline int64, awakeFor time.Duration, ahead, awake func()) (ready []int32, woken bool, err error) {
	return p.wait(deadline, rawWindow, int64(awakeFor), ahead, awake)
}

func (p *Poller) wait(deadline, window, awakeFor int64, ahead, awake func()) ([]int32, bool, error) {
	if deadline == 0 {
		deadline = NoDeadline
	}
	for {
		timeout, raw := int64(-1), false
		if deadline != NoDeadline {
			left := max(deadline-Now(), 0)
			if ahead != nil && left <= int64(AheadWindow) {
				ahead()
				ahead = nil
				left = max(deadline-Now(), 0)
			}
			switch raw = left <= window; {
			case !raw:
				timeout = left - window
			case window == 0 || left == 0:
				timeout = left
			case ahead != nil:
				timeout = left - int64(AheadWindow)
			case awake != nil && left > int64(AwakeWindow):
				timeout = left - int64(AwakeWindow)
			case awake != nil:
				if left > int64(AwakeWindow)/2 {
					awake()
				}
				awake = nil
				continue
			case left > awakeFor:
				timeout = left - awakeFor
			default:
				for Now() < deadline {
				}
				return nil, false, nil
			}
		}
		n, errno := p.poll(timeout, raw)
		switch {
		case errno == unix.EINTR: // the runtime's preemption signal, mostly
		case errno != 0:
			return nil, false, os.NewSyscallError("epoll_pwait2", errno)
		case n > 0:
			return p.collect(n)
		case p.readSome():
			return nil, false, nil
		case timeout == 0 || deadline != NoDeadline && Now() >= deadline:
			return nil, false, nil
		}
		// To yield to the scheduler here, before the runtime's monitor asks for
		// it (it takes the wait for a goroutine that does not stop), hands the
		// processor to another thread and waits for it back: on a busy machine
		// for longer than there is left.
	}
}

// Pause waits for d, whatever happens meanwhile, but not into the last 2.2 ms
// before the deadline (CLOCK_MONOTONIC ns): those are a Wait's. Packets gather
// in the sockets meanwhile, and none of them wakes the thread.
func (p *Poller) Pause(d time.Duration, deadline int64) error {
	now := Now()
	until := min(now+int64(d), deadline-rawWindow)
	if until <= now {
		return nil
	}
	p.fallback = unix.NsecToTimespec(until - now)
	// Cut short by a signal, it is only shorter.
	if _, errno := blockingSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&p.fallback)), 0, 0, 0, 0, 0); errno != 0 && errno != unix.EINTR {
		return os.NewSyscallError("nanosleep", errno)
	}
	return nil
}

// poll waits up to timeout ns, or for ever if that is negative, with or
// without telling the scheduler, and returns the number of events.
func (p *Poller) poll(timeout int64, raw bool) (int, unix.Errno) {
	if p.noPwait2 {
		return p.pollCoarse(timeout, raw)
	}
	var n int
	var errno unix.Errno
	switch {
	case raw:
		n, errno = p.pollRaw(timeout)
	case timeout < 0:
		n, errno = p.pollListening(-1)
	default:
		n, errno = p.pollListening(Now() + timeout)
	}
	switch errno {
	case 0:
		return n, 0
	case unix.ENOSYS, unix.EPERM: // EPERM: a container's older seccomp filter
		p.noPwait2 = true
		return p.pollCoarse(timeout, raw)
	}
	return 0, errno
}

// pollRaw is poll on a kernel that can, without telling the scheduler.
//
//go:nosplit
//go:norace
func (p *Poller) pollRaw(timeout int64) (n int, errno unix.Errno) {
	var ts *kernelTimespec
	if timeout >= 0 {
		p.timeout.sec, p.timeout.nsec = timeout/1e9, timeout%1e9
		ts = &p.timeout
	}
	r, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.epoll),
		uintptr(unsafe.Pointer(&p.events)), readySize, uintptr(unsafe.Pointer(ts)), 0, 0)
	return int(r), errno
}

// pollCoarse is poll for kernels before 5.11, whose epoll_wait counts whole
// milliseconds: ppoll, which counts nanoseconds, waits for the epoll
// descriptor to become readable.
func (p *Poller) pollCoarse(timeout int64, raw bool) (int, unix.Errno) {
	var ts *unix.Timespec
	if timeout >= 0 {
		p.fallback = unix.NsecToTimespec(timeout)
		ts = &p.fallback
	}
	var n uintptr
	var errno unix.Errno
	if raw {
		n, _, errno = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.pollfd)), 1,
			uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	} else {
		n, errno = blockingSyscall(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p.pollfd)), 1,
			uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	}
	if errno != 0 || n == 0 {
		return 0, errno
	}
	n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll),
		uintptr(unsafe.Pointer(&p.events)), readySize, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// collect separates the wake-up from the descriptors.
func (p *Poller) collect(n int) (ready []int32, woken bool, err error) {
	ready = p.ready[:0]
	for i := range n {
		if token := p.events[i].Fd; token != wakeToken {
			ready = append(ready, token)
			continue
		}
		woken = true
		var counter [8]byte
		if _, err = unix.Read(p.wakefd, counter[:]); err == unix.EAGAIN || err == unix.EINTR {
			err = nil // EINTR: it is readable still, the next Wait reads it
		}
		// After the read: a Wake from here on writes again. One before found
		// pending true, but what it announces was there before this returns.
		p.pending.Store(false)
	}
	return ready, woken, os.NewSyscallError("read eventfd", err)
}

// Wake makes the current or the next Wait return with woken true. It may be
// called from any goroutine and does not wait; any number of calls before
// that return count as one.
func (p *Poller) Wake() {
	if !p.pending.CompareAndSwap(false, true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wakefd < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	if _, err := unix.Write(p.wakefd, one[:]); err != nil {
		// Cannot happen: the counter is far from its limit. Let the next try.
		p.pending.Store(false)
	}
}

// Close closes the Poller, not the descriptors added. Nobody may be waiting.
// Wake does nothing from then on.
func (p *Poller) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wakefd < 0 {
		return nil
	}
	errWake, errEpoll := unix.Close(p.wakefd), unix.Close(p.epoll)
	p.wakefd, p.epoll, p.pollfd.Fd = -1, -1, -1
	if errWake != nil {
		return os.NewSyscallError("close eventfd", errWake)
	}
	return os.NewSyscallError("close epoll", errEpoll)
}

// SetTimerSlack lets the kernel delay the calling thread's timers by slack in
// order to fire several at once, at least 1 ns; its default is 50 µs. The
// goroutine must be locked to the thread.
func SetTimerSlack(slack time.Duration) error {
	// 0 would mean the default.
	err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(max(slack, 1)), 0, 0, 0)
	return os.NewSyscallError("prctl PR_SET_TIMERSLACK", err)
}
