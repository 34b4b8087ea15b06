package vip

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of linux/futex.h; golang.org/x/sys/unix has no names for them.
const (
	futexWait = 0 | futexPrivate
	futexWake = 1 | futexPrivate

	futexPrivate = 128
)

// A bell wakes one goroutine's thread, without the Go scheduler in between: on a
// busy machine that has another thread do it, which waits for a CPU first. It is a
// futex(2); the zero bell is ready.
type bell struct {
	rung    atomic.Uint32
	waiting atomic.Bool
}

// heard returns how often it was rung.
func (b *bell) heard() uint32 { return b.rung.Load() }

// ring lets go who waits. It does not wait.
func (b *bell) ring() {
	b.rung.Add(1)
	if b.waiting.Load() {
		// It fails only for addresses that are not there.
		_, _, _ = unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&b.rung)), futexWake, 1)
	}
}

// wait sleeps until the bell is rung more often than heard, for d at most; it may
// return early. The goroutine keeps its processor meanwhile, so d must be short.
func (b *bell) wait(heard uint32, d time.Duration) {
	b.waiting.Store(true)
	defer b.waiting.Store(false)
	ts := unix.NsecToTimespec(int64(max(d, 0)))
	// Rung already, a signal, or time is up: whoever waits looks for himself.
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&b.rung)), futexWait,
		uintptr(heard), uintptr(unsafe.Pointer(&ts)), 0, 0)
	runtime.KeepAlive(b)
}
