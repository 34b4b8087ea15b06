package transport

import (
	"fmt"
	"math"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetRealTime has the calling thread run before all ordinary ones, as SCHED_RR
// with a priority of 1 to 99 (sched(7)). Threads and processes that it makes do
// not inherit that. The goroutine must be locked to the thread. It needs
// CAP_SYS_NICE or a sufficient RLIMIT_RTPRIO, and fails with EPERM otherwise.
func SetRealTime(priority int) error {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR,
		Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: uint32(priority)}
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, &attr, 0))
}

// SetSlice asks that the calling thread, if it is an ordinary one, is given the
// processor for as long at a time, 0.1 to 100 ms. A thread that asks for less
// than others does not get more in all, but gets it sooner once it wakes: Linux
// 6.12 and later has it run before one that asked for more. Before that it
// changes nothing, nor does it for a thread of another policy. It is not
// inherited and needs no privilege. (sched(7); Documentation/scheduler/sched-eevdf.rst.)
func SetSlice(slice time.Duration) error {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return os.NewSyscallError("sched_getattr", err)
	}
	if attr.Policy != unix.SCHED_NORMAL {
		return nil
	}
	attr.Flags |= unix.SCHED_FLAG_RESET_ON_FORK
	attr.Runtime = uint64(slice)
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, attr, 0))
}

// LockMemory keeps every page that the process touches, now or later, from
// being paged out (mlockall(2)); what it has only reserved, such as most of Go's
// heap, does not become resident. It needs CAP_IPC_LOCK, or an RLIMIT_MEMLOCK
// without limit: under a limit, memory locked now would be wanting later, so
// that is refused with EPERM. Nothing is inherited by other processes.
func LockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return os.NewSyscallError("getrlimit RLIMIT_MEMLOCK", err)
	}
	able, err := capable(unix.CAP_IPC_LOCK)
	if err != nil {
		return err
	}
	if limit.Cur != math.MaxUint64 && !able {
		return fmt.Errorf("mlockall: %w", unix.EPERM)
	}
	// A capability in a user namespace is not enough; the kernel knows.
	return os.NewSyscallError("mlockall", unix.Mlockall(unix.MCL_CURRENT|unix.MCL_FUTURE|unix.MCL_ONFAULT))
}

// capable reports whether the calling thread has a capability.
func capable(capability int) (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false, os.NewSyscallError("capget", err)
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0, nil
}

// CPU returns the number of the CPU that the calling thread runs on.
func CPU() int {
	var cpu uint32
	// It fails only for addresses that are not there.
	_, _, _ = unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0)
	return int(cpu)
}
