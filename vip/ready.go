package vip

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Caller is who is about to have addresses held, as far as it matters to who
// shares the machine with it.
type Caller struct {
	CPU      int // that its thread runs on
	Priority int // its real-time priority (sched(7)); 0: it has none
}

// Ready has the worker look out for orders for a while instead of sleeping
// until one comes: for a caller who is about to have addresses held, and whose
// clients wait. To wake a goroutine, and a processor that was idle, costs some
// tenths of a millisecond. Whoever looks out keeps off the caller's CPU, if there
// is another one, and is the next after it in real-time priority. Where the caller
// has none, and others want to run, it sleeps until the bell rings: who looks on and on
// has had its share by the time the order comes. Ready does not wait. Where the
// program has one processor only it does nothing: that one is the caller's.
func (k *Keeper) Ready(patience time.Duration, by Caller) {
	if oneProcessor() {
		return
	}
	k.caller.Store(&by)
	k.lookout.Store(k.clock(time.Now().Add(patience)))
	k.nudge()
}

// oneProcessor reports whether there is one CPU, or one processor of the Go
// scheduler, which may have more of them than there are CPUs.
func oneProcessor() bool { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) < 2 }

// lookOut does what Ready promises, if it was called, and begins with the order
// if one comes. It reports whether there is more to do.
func (w *worker) lookOut() (more bool) {
	k := w.keeper
	until := k.lookout.Swap(0)
	if until == 0 {
		return w.ordered()
	}
	caller := k.caller.Load()
	able := w.stepAside(caller.CPU)
	if w.ordered() || k.clock(time.Now()) >= until {
		return w.ordered() // the worker was busy meanwhile
	}
	if able {
		w.goAhead(caller.Priority - 1)
	}
	defer w.atEase()
	w.rehearse()
	sleeps := caller.Priority == 0 && busy()
	for {
		heard := k.bell.heard()
		if k.ordered.Load() != w.taken {
			break
		}
		left := time.Duration(until - k.clock(time.Now()))
		if left <= 0 {
			return false
		}
		switch {
		case sleeps:
			k.bell.wait(heard, left)
		case caller.Priority == 0:
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // there are no errors
		}
	}
	return w.pass(time.Now())
}

// A stand is where the worker stays while somebody may be about to give orders: on
// its thread, and that one off the caller's CPU.
type stand struct {
	cpus    unix.CPUSet    // that the thread had before
	usual   unix.SchedAttr // likewise, how it ran
	easy    unix.SchedAttr // how it runs here, but for goAhead
	off     int            // the caller's CPU; -1: not known yet
	moved   bool           // the thread has fewer
	altered bool           // it runs, or ran, in another way than usual
	raised  bool           // it has real-time priority
	spoiled bool           // it is not as it was, and cannot be
}

// shortSlice is what the worker asks for meanwhile (sched(7)): thousands of lines
// are written to the log beside thousands of takeovers, and the other goroutine
// would have the CPU for the usual 3 ms at a time.
const shortSlice = 100 * time.Microsecond

// stepAside has the worker keep off a CPU until stepBack. A
// thread that wakes up is often put on the CPU of the one that woke it, more so in
// a virtual machine, where Linux takes an idle CPU for one that is not there; and
// there it would wait for the very thread that waits for it, or, when thousands
// take over one after the other, for that one to have waited for the next. It
// reports false if the thread has to stay as it is.
func (w *worker) stepAside(off int) bool {
	if w.stand == nil && !w.takeStand() {
		return false
	}
	s := w.stand
	if s.off == off {
		return true
	}
	s.off = off
	others := s.cpus
	if others.Clear(off); others.Count() > 0 && unix.SchedSetaffinity(0, &others) == nil {
		s.moved = true
	}
	return true
}

// takeStand keeps the goroutine on its thread, if there is a way back.
func (w *worker) takeStand() bool {
	runtime.LockOSThread()
	s := &stand{off: -1}
	usual, err := unix.SchedGetAttr(0, 0)
	if err != nil || unix.SchedGetaffinity(0, &s.cpus) != nil {
		runtime.UnlockOSThread()
		return false
	}
	w.stand, s.usual, s.easy = s, *usual, *usual
	if usual.Policy == unix.SCHED_NORMAL {
		s.easy.Runtime = uint64(shortSlice)
		if s.altered = unix.SchedSetAttr(0, &s.easy, 0) == nil; !s.altered {
			s.easy = *usual
		}
	}
	return true
}

// run has the thread run as before, or as it asked for before.
func (s *stand) run(as unix.SchedAttr) {
	if unix.SchedSetAttr(0, &as, 0) == nil {
		return
	}
	// Without CAP_SYS_NICE (real-time priority was within RLIMIT_RTPRIO) it is that
	// flag of goAhead that cannot be taken back.
	s.usual.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	s.easy.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	as.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	s.spoiled = unix.SchedSetAttr(0, &as, 0) != nil
}

// stepBack ends what stepAside began.
func (w *worker) stepBack() {
	s := w.stand
	if s == nil {
		return
	}
	w.stand = nil
	if s.altered {
		s.run(s.usual)
	}
	if s.moved {
		if s.cpus.Count() >= onlineCPUs() {
			s.cpus.Fill() // so that it may use those that are added, too
		}
		s.spoiled = unix.SchedSetaffinity(0, &s.cpus) != nil || s.spoiled
	}
	if !s.spoiled { // else no other goroutine should come to this thread
		runtime.UnlockOSThread()
	}
}

// goAhead has the worker, which stepped aside, go ahead of everything ordinary, as
// far as it can be had, until atEase.
func (w *worker) goAhead(priority int) {
	ahead := w.stand.usual
	ahead.Policy, ahead.Priority, ahead.Nice, ahead.Runtime = unix.SCHED_RR, uint32(priority), 0, 0
	ahead.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	if s := w.stand; priority > 0 && unix.SchedSetAttr(0, &ahead, 0) == nil {
		s.raised, s.altered = true, true
	}
}

// atEase ends what goAhead began, which is for the first batch of
// addresses alone: whatever else there is to do, others have to live as well.
func (w *worker) atEase() {
	if s := w.stand; s != nil && s.raised {
		s.raised = false
		s.run(s.easy)
	}
}

// busy reports whether more threads want to run than there are CPUs, this one included;
// also if that is not known. The file reads like "0.20 0.18 0.12 1/80 11206"
// (proc_loadavg(5)).
func busy() bool {
	load, err := os.ReadFile("/proc/loadavg")
	n, ok := runnable(string(load))
	return err != nil || !ok || n > runtime.NumCPU()
}

func runnable(load string) (n int, ok bool) {
	fields := strings.Fields(load)
	if len(fields) < 4 {
		return 0, false
	}
	running, _, _ := strings.Cut(fields[3], "/")
	n, err := strconv.Atoi(running)
	return n, err == nil
}

// onlineCPUs counts the CPUs that the kernel uses; more than there can be, if
// that is not known. The file reads like "0-3,6".
func onlineCPUs() (n int) {
	list, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return unknownCPUs
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(list)), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if errFrom != nil || errTo != nil {
			return unknownCPUs
		}
		n += to - from + 1
	}
	return n
}

const unknownCPUs = 1 << 20
