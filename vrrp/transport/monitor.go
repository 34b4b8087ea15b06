package transport

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// RelaxMonitor sets the timer slack of the Go runtime's monitor thread
// (proc_pid_timerslack_ns(5)), which needs CAP_SYS_NICE; an error wraps
// fs.ErrPermission without it, and fs.ErrNotExist before Linux 4.6.
//
// Each time a thread comes back from a blocking system call the runtime wakes
// its monitor, which then looks every 20 µs, plus the kernel's default slack of
// 50, whether that thread waits once more: more processor time than the turn of
// an idle loop itself. With a slack longer than a turn it looks once. No other
// thread may be slowed like that: those that look for goroutines to run sleep
// for 3 µs in between.
func RelaxMonitor(slack time.Duration) error {
	tid, err := monitor()
	if err != nil {
		return err
	}
	return os.WriteFile("/proc/"+strconv.Itoa(tid)+"/timerslack_ns", strconv.AppendInt(nil, int64(max(slack, 1)), 10), 0)
}

// monitor finds the monitor: the first thread that a Go program starts, so the
// one numbered next after the process. Numbers start again at some time, and
// never reach 1 << 22.
func monitor() (tid int, err error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	pid, nearest := os.Getpid(), 1<<22
	for _, t := range threads {
		n, err := strconv.Atoi(t.Name())
		if err != nil {
			return 0, err
		}
		if distance := (n - pid) & (1<<22 - 1); n != pid && distance < nearest {
			tid, nearest = n, distance
		}
	}
	if tid == 0 {
		return 0, errors.Join(errors.New("there is no second thread"), fs.ErrNotExist)
	}
	return tid, nil
}
