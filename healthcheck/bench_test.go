package healthcheck

import (
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCommand is what a run of a command takes, forked by the process of a
// Spawner: in time, and in processor time of this process, of that one and of
// the command.
//
//	go test -run - -bench Command ./healthcheck
func BenchmarkCommand(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, c := range []struct {
		name    string
		command []string
	}{
		{"true", []string{"/bin/true"}},
		{"shell", sh("test -e /")},
		{"check_tcp", []string{plugins + "check_tcp", "-H", "127.0.0.1", "-p", port}},
		{"check_procs", []string{plugins + "check_procs", "-c", "1:"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			if _, err := os.Stat(c.command[0]); err != nil {
				b.Skip("needs package monitoring-plugins-basic")
			}
			s := NewSpawner(spawnedName)
			defer s.Close()
			out := s.Execute(b.Context(), ExecSpec{Command: sh("echo $PPID"), Timeout: time.Minute})
			pid, err := strconv.Atoi(out.Output)
			if err != nil {
				b.Fatal(out.Detail())
			}
			spec := ExecSpec{Command: c.command, Timeout: time.Minute, Cell: c.name, RunAs: DefaultUser()}
			var took []time.Duration
			before := spentBy(b, pid)
			for b.Loop() {
				out := s.Execute(b.Context(), spec)
				if !out.Passed() {
					b.Fatalf("%s: %s", out.Detail(), out.Output)
				}
				took = append(took, time.Since(out.At))
			}
			b.ReportMetric(float64(spentBy(b, pid)-before)/float64(len(took))/1e3, "cpu-µs/op")
			slices.Sort(took)
			for _, percent := range []int{50, 95} {
				b.ReportMetric(float64(took[len(took)*percent/100])/1e6, "p"+strconv.Itoa(percent)+"-ms")
			}
		})
	}
}

// spentBy is the processor time of this process, of another, and of the children
// that that one has reaped.
func spentBy(b *testing.B, pid int) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	f := statFields(pid)
	if len(f) < 15 {
		b.Fatalf("process %d is gone", pid)
	}
	for _, field := range f[11:15] { // utime to cstime, in hundredths of a second
		ticks, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum
}
