package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// commLen is how much of a name the kernel keeps (TASK_COMM_LEN less the NUL).
	commLen = 15
	// argumentsRead is how much of a command line is read, in bytes.
	argumentsRead = 4096
	// poorPoll is how often a process is looked at that cannot be held.
	poorPoll = 50 * time.Millisecond
)

// A process is held so that its number cannot come to mean another one.
type process struct {
	pid  int
	file *os.File // its pidfd; nil: the kernel has none
	// Without one, the moment it began tells it from another of its number.
	began  string
	once   sync.Once
	closed chan struct{}
}

// openProcess holds a process. ESRCH: there is none.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		// An old kernel, a seccomp filter that does not know the call, or no
		// descriptor left: it may well be alive.
		return openPoorly(pid)
	case err != nil:
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	// So that Go waits for it without occupying a thread. PIDFD_NONBLOCK is for
	// Linux 5.10.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd"), closed: make(chan struct{})}, nil
}

// openPoorly is for kernels without pidfd_open.
func openPoorly(pid int) (*process, error) {
	state, began, err := statOf(pid)
	if err != nil {
		return nil, err
	}
	if state == "Z" || state == "X" {
		return nil, syscall.ESRCH
	}
	return &process{pid: pid, began: began, closed: make(chan struct{})}, nil
}

// dead reports whether it has ended, be it as a zombie.
func (h *process) dead() bool {
	if h.file == nil {
		state, began, err := statOf(h.pid)
		return err != nil || began != h.began || state == "Z" || state == "X"
	}
	conn, err := h.file.SyscallConn()
	if err != nil {
		return true
	}
	ended := true
	if conn.Control(func(fd uintptr) { ended = readable(int(fd)) }) != nil {
		return true // it was closed: whoever did that does not need to know
	}
	return ended
}

// readable is what a pidfd becomes when its process ends.
func readable(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}

// awaitDeath returns true when the process has ended, false after close.
func (h *process) awaitDeath() bool {
	if h.file != nil {
		conn, err := h.file.SyscallConn()
		if err != nil {
			return false // closed
		}
		return conn.Read(func(fd uintptr) bool { return readable(int(fd)) }) == nil
	}
	tick := time.NewTicker(poorPoll)
	defer tick.Stop()
	for {
		select {
		case <-h.closed:
			return false
		case <-tick.C:
			if h.dead() {
				return true
			}
		}
	}
}

// close lets go of it.
func (h *process) close() {
	h.once.Do(func() {
		close(h.closed)
		if h.file != nil {
			_ = h.file.Close() // nothing was written
		}
	})
}

// eachProcess calls f for the number of every process until it returns false.
func eachProcess(f func(pid int) bool) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && !f(pid) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// commOf is what the kernel calls the process; "" if it is gone.
func commOf(pid int) string {
	var b [64]byte
	n := readProc(pid, "comm", b[:])
	return string(bytes.TrimSuffix(b[:n], []byte("\n")))
}

// argumentsOf is the command line; empty for a kernel thread, a zombie, and
// what is gone.
func argumentsOf(pid int) []string {
	b := make([]byte, argumentsRead)
	n := readProc(pid, "cmdline", b)
	if n == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b[:n]), "\x00"), "\x00")
}

// statOf is the state of a process and when it began, in ticks since boot
// (proc(5), fields 3 and 22 of /proc/PID/stat).
func statOf(pid int) (state, began string, err error) {
	var b [1024]byte
	n := readProc(pid, "stat", b[:])
	if n == 0 {
		return "", "", syscall.ESRCH
	}
	// The second field, the name in brackets, may contain anything.
	end := bytes.LastIndexByte(b[:n], ')')
	fields := strings.Fields(string(b[end+1 : n]))
	if len(fields) < 20 {
		return "", "", fmt.Errorf("/proc/%d/stat has %d fields behind the name", pid, len(fields))
	}
	return fields[0], fields[19], nil
}

// readProc reads the beginning of a file of the process; 0 if that is gone or
// may not be seen.
func readProc(pid int, name string, b []byte) int {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	n, err := unix.Read(fd, b)
	if unix.Close(fd) != nil || err != nil {
		return 0
	}
	return n
}
