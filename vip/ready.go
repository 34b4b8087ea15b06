package vip

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Ready has the worker look out for orders for a while instead of sleeping
// until one comes: for a caller who is about to have addresses held, and whose
// clients wait. To wake a goroutine, and a processor that was idle, costs some
// tenths of a millisecond. A polite one yields the processor between looks, for
// a caller who would not get it otherwise; on a busy machine others then get it
// as well. Ready does not wait. Where there is one processor only it does
// nothing: that one is the caller's.
func (k *Keeper) Ready(patience time.Duration, polite bool) {
	if runtime.GOMAXPROCS(0) < 2 {
		return
	}
	k.polite.Store(polite)
	k.lookout.Store(k.clock(time.Now().Add(patience)))
	k.nudge()
}

// lookOut does what Ready promises, and reports whether there is an order.
func (w *worker) lookOut() bool {
	k := w.keeper
	until := k.lookout.Swap(0)
	for k.ordered.Load() == w.taken {
		if k.clock(time.Now()) >= until {
			return false
		}
		if k.polite.Load() {
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // there are no errors
		}
	}
	return true
}
