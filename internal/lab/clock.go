package lab

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// StepClock sets the wall clock forward, or back. It works in a guest alone
// ([InUML]), and ends the test anywhere else: the clock of the machine is not
// the lab's. Probes compare times of that clock; start them afterwards.
func StepClock(t T, by time.Duration) {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !inGuest() || !bytes.Contains(info, []byte("User Mode Linux")) {
		t.Fatalf("the clock is set in a guest only (%v)", err)
	}
	ts := unix.NsecToTimespec(time.Now().Add(by).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		t.Fatalf("set the clock by %v: %v", by, err)
	}
}
