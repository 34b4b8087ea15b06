package transport

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// No thread but the monitor is slowed.
func TestRelaxMonitor(t *testing.T) {
	const set = 70 * time.Microsecond
	err := RelaxMonitor(set)
	if errors.Is(err, fs.ErrPermission) && os.Getenv("VRRPD_REQUIRE_ALL") != "1" {
		t.Skip("another thread's timer slack needs CAP_SYS_NICE")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer RelaxMonitor(50 * time.Microsecond) // the kernel's default
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatal(len(threads), err)
	}
	tid, err := monitor()
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		if err != nil {
			continue // it has ended
		}
		relaxed := strings.TrimSpace(string(text)) == strconv.FormatInt(int64(set), 10)
		if relaxed != (thread.Name() == strconv.Itoa(tid)) {
			t.Errorf("thread %s of %d has a slack of %s; the monitor is %d", thread.Name(), os.Getpid(), text, tid)
		}
	}
}

// Nobody but the monitor sleeps for 20 µs again and again while a goroutine
// computes: it is seen in nanosleep(2).
func TestMonitorIsTheMonitor(t *testing.T) {
	tid, err := monitor()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		text, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/syscall")
		if errors.Is(err, fs.ErrPermission) && os.Getenv("VRRPD_REQUIRE_ALL") != "1" {
			t.Skipf("what a thread waits in is hidden: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if number, _, _ := strings.Cut(string(text), " "); number == strconv.Itoa(unix.SYS_NANOSLEEP) {
			return
		}
	}
	t.Errorf("thread %d does not sleep like a monitor", tid)
}
