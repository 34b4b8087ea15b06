package transport

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

func TestSetRealTime(t *testing.T) {
	onThread(func() {
		err := SetRealTime(10)
		if errors.Is(err, unix.EPERM) && os.Getenv("VRRPD_REQUIRE_ALL") != "1" {
			t.Skip("needs CAP_SYS_NICE")
		}
		if err != nil {
			t.Error(err)
			return
		}
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil || attr.Policy != unix.SCHED_RR || attr.Priority != 10 {
			t.Errorf("%+v, %v", attr, err)
		}
		// Field 41 of proc_pid_stat(5) is the policy; awk counts its own.
		out, err := exec.Command("awk", "{print $41}", "/proc/self/stat").Output()
		if err != nil || strings.TrimSpace(string(out)) != "0" {
			t.Errorf("a program that it starts runs with policy %q, %v", out, err)
		}
		if err := SetRealTime(100); !errors.Is(err, unix.EINVAL) {
			t.Errorf("priority 100: %v", err)
		}
	})
}

func TestSetSlice(t *testing.T) {
	onThread(func() {
		if err := SetSlice(300 * time.Microsecond); err != nil {
			t.Error(err)
			return
		}
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil || attr.Policy != unix.SCHED_NORMAL || attr.Runtime != 300_000 && attr.Runtime != 0 { // 0: before Linux 6.12
			t.Errorf("%+v, %v", attr, err)
		}
		out, err := exec.Command("awk", "{print $19}", "/proc/self/stat").Output()
		if err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(int(attr.Nice)) {
			t.Errorf("a program that it starts runs with a nice value of %q, %v, want %d", out, err, attr.Nice)
		}
		// This thread may be the first of the process, which does not end with f.
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil || len(tasks) < 2 {
			t.Errorf("threads: %v, %v", tasks, err)
		}
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			if err != nil {
				t.Error(err)
			} else if tid == unix.Gettid() {
				continue
			}
			if attr, err := unix.SchedGetAttr(tid, 0); err == nil && attr.Runtime == 300_000 { // else it has ended
				t.Errorf("another thread has it too: %+v", attr)
			}
		}
		if err := SetSlice(3 * time.Millisecond); err != nil { // or the test finds it there when it is repeated
			t.Error(err)
		}
	})
	onThread(func() {
		batch := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH}
		if err := unix.SchedSetAttr(0, &batch, 0); err != nil {
			t.Error(err)
			return
		}
		if err := SetSlice(300 * time.Microsecond); err != nil {
			t.Error(err)
		}
		if attr, err := unix.SchedGetAttr(0, 0); err != nil || attr.Policy != unix.SCHED_BATCH || attr.Runtime == 300_000 {
			t.Errorf("a batch thread became %+v, %v", attr, err)
		}
	})
}

// lockedKiB is how much of the process is locked, which is all that is mapped,
// and how much is there, which with MCL_ONFAULT is what has been touched.
func lockedKiB(t *testing.T) (locked, resident int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "VmLck:":
			locked, _ = strconv.Atoi(fields[1])
		case fields[0] == "VmRSS:":
			resident, _ = strconv.Atoi(fields[1])
		}
	}
	return locked, resident
}

func TestLockMemory(t *testing.T) {
	err := LockMemory()
	if errors.Is(err, unix.EPERM) && os.Getenv("VRRPD_REQUIRE_ALL") != "1" {
		t.Skip("needs CAP_IPC_LOCK")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munlockall(); err != nil {
			t.Error(err)
		}
	})
	locked, resident := lockedKiB(t)
	if locked == 0 {
		t.Error("nothing is locked")
	}
	// What is only reserved must not become resident.
	reserved, err := unix.Mmap(-1, 0, 256<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(reserved)
	if _, after := lockedKiB(t); after > resident+64<<10 {
		t.Errorf("%d KiB are resident, %d before 256 MiB were reserved", after, resident)
	}
}

// Under a limit, memory that is wanted later might not be had.
func TestLockMemoryRefused(t *testing.T) {
	able, err := capable(unix.CAP_IPC_LOCK)
	if err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur == unix.RLIM_INFINITY {
		limited := limit
		limited.Cur = 64 << 20
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limited); err != nil {
			t.Fatal(err)
		}
		defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
	}
	onThread(func() { // capabilities are the thread's
		if able {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil {
				t.Error(err)
				return
			}
		}
		err := LockMemory()
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%v, want EPERM", err)
		}
	})
}
