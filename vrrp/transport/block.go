package transport

import (
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

// An ordinary system call that waits keeps its processor (the runtime's P)
// for up to 10 ms, in which the runtime's monitor looks after it every few
// tens of microseconds: with an advertisement every 100 ms, half of all the
// processor time of an idle daemon. These two, which the runtime keeps for
// such callers (go.dev/issue/67401), give it away at once and get one back.

//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// blockingSyscall makes a system call that is known to wait.
//
//go:nosplit
func blockingSyscall(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1 uintptr, errno unix.Errno) {
	entersyscallblock()
	r1, _, errno = unix.RawSyscall6(trap, a1, a2, a3, a4, a5, a6)
	exitsyscall()
	return r1, errno
}
