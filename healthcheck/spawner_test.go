package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func spawner(t *testing.T) *Spawner {
	t.Helper()
	s := NewSpawner(spawnedName)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if out := s.Execute(context.Background(), ExecSpec{Command: sh("exit 0")}); out.Err != errSpawnerClosed {
			t.Errorf("after Close: %s", out.Detail())
		}
	})
	return s
}

// process is that of a spawner, which has run something.
func (s *Spawner) process(t *testing.T) int {
	t.Helper()
	out := s.Execute(t.Context(), ExecSpec{Command: sh("echo $PPID"), Timeout: 30 * time.Second})
	pid, err := strconv.Atoi(out.Output)
	if err != nil || pid == os.Getpid() {
		t.Fatalf("%s: %q is not the process of a spawner", out.Detail(), out.Output)
	}
	return pid
}

// What a command does and is told is the same, whoever forks it.
func TestSpawnerIsLikeExecute(t *testing.T) {
	s := spawner(t)
	me := &Credential{User: "me", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: "/"}
	for name, spec := range map[string]ExecSpec{
		"output":      {Command: sh("echo out; echo err >&2")},
		"apart":       {Command: sh("echo err >&2; echo out"), Apart: true},
		"status":      {Command: sh("exit 3")},
		"signal":      {Command: sh("kill -TERM $$")},
		"missing":     {Command: []string{"/nonexistent"}},
		"empty":       {},
		"environment": {Command: []string{"/usr/bin/env"}, Env: []string{"VRRPD_NODE=node1"}, RunAs: me},
		"cut":         {Command: sh("yes | head -c 100000"), OutputLimit: 100},
		"timeout":     {Command: sh("echo waiting; sleep 300"), Timeout: 200 * time.Millisecond},
		"grace":       {Command: sh("trap 'echo bye; exit' TERM; while :; do :; done"), Timeout: 200 * time.Millisecond, Grace: time.Minute},
		"input":       {Command: sh("cat; readlink /proc/self/fd/0; pwd")},
	} {
		if spec.Timeout == 0 {
			spec.Timeout = 30 * time.Second
		}
		overdue := [2]bool{}
		spec.Overdue = func(Outcome) { overdue[0] = true }
		want := Execute(t.Context(), spec)
		spec.Overdue = func(o Outcome) { overdue[1] = o.Ending == TimedOut }
		got := s.Execute(t.Context(), spec)
		if got.Detail() != want.Detail() || got.Ending != want.Ending || got.Cut != want.Cut || overdue[0] != overdue[1] || got.Gone != nil {
			t.Errorf("%s: %s, overdue %v; want %s, %v", name, got.Detail(), overdue[1], want.Detail(), overdue[0])
		}
		if diff := cmp.Diff(want.Output, got.Output); diff != "" {
			t.Errorf("%s: output (-want +got):\n%s", name, diff)
		}
		if got.Duration <= 0 && got.Ending != NotStarted || got.Duration < spec.Timeout && got.Ending == TimedOut {
			t.Errorf("%s: took %v", name, got.Duration)
		}
	}
}

// Who starts the daemon may have signals ignored which the Go runtime leaves as
// it finds them; commands do not inherit that.
func TestSpawnerIgnoresNothing(t *testing.T) {
	for sig := uintptr(32); sig <= 34; sig++ {
		ignore := [8]uintptr{1} // SIG_IGN, in a struct sigaction
		var before [8]uintptr
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&ignore)), uintptr(unsafe.Pointer(&before)), 8, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
		t.Cleanup(func() {
			if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&before)), 0, 8, 0, 0); errno != 0 {
				t.Error(errno)
			}
		})
	}
	spec := ExecSpec{Command: sh("grep SigIgn /proc/self/status"), Timeout: 30 * time.Second}
	var ignored uint64
	const those = 7 << (32 - 1)
	// Whoever runs the tests may have others ignored, as nohup(1) does.
	if out := Execute(t.Context(), spec); len(out.Output) < 8 || !scanHex(out.Output[8:], &ignored) || ignored&those != those {
		t.Fatalf("nothing is ignored, so nothing is tested: %s, %q", out.Detail(), out.Output)
	}
	if out := spawner(t).Execute(t.Context(), spec); out.Output != "SigIgn:\t0000000000000000" {
		t.Errorf("%s, %q", out.Detail(), out.Output)
	}
}

func scanHex(text string, into *uint64) bool {
	n, err := strconv.ParseUint(text, 16, 64)
	*into = n
	return err == nil
}

func TestSpawnerRunsManyAtOnce(t *testing.T) {
	s := spawner(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			want := fmt.Sprint(i)
			if out := s.Execute(t.Context(), ExecSpec{Command: sh("sleep 0.1; echo " + want), Timeout: time.Minute, Cell: "n" + want}); out.Output != want {
				t.Errorf("%d: %s, %q", i, out.Detail(), out.Output)
			}
			s.Release("n" + want)
		})
	}
	all.Wait()
	t.Logf("cgroups: %v", s.Confinement())
}

func TestSpawnerCancels(t *testing.T) {
	s := spawner(t)
	mark := filepath.Join(t.TempDir(), "started")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Outcome)
	go func() {
		done <- s.Execute(ctx, ExecSpec{Command: sh(`trap "" TERM; echo $$ > "$0.new"; mv "$0.new" "$0"; sleep 300`, mark), Timeout: time.Hour, Grace: time.Hour})
	}()
	eventually(t, "started", func() bool { _, err := os.Stat(mark); return err == nil })
	cancel()
	if out := <-done; out.Ending != Cancelled {
		t.Errorf("ended with %s", out.Detail())
	}
	pid, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	groupGone(t, string(pid))
	if out := s.Execute(ctx, ExecSpec{Command: sh("exit 0")}); out.Ending != Cancelled {
		t.Errorf("with a context already over: %s", out.Detail())
	}
}

// A process that is killed is replaced, and what it ran is run once more.
func TestSpawnerOutlivesItsProcess(t *testing.T) {
	s := spawner(t)
	pid := s.process(t)
	mark := filepath.Join(t.TempDir(), "runs")
	done := make(chan Outcome)
	go func() {
		done <- s.Execute(t.Context(), ExecSpec{Command: sh(`echo $$ >> "$0"; test $(wc -l < "$0") = 2 || sleep 300; echo twice`, mark), Timeout: time.Minute})
	}()
	eventually(t, "begun", func() bool { b, err := os.ReadFile(mark); return err == nil && strings.HasSuffix(string(b), "\n") })
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if out := <-done; out.Output != "twice" {
		t.Errorf("%s, %q", out.Detail(), out.Output)
	}
	if again := s.process(t); again == pid {
		t.Error("it is the same process")
	}
}

// A process that hangs, so that nothing is known of what it runs, is replaced,
// and what it ran is run once more.
func TestSpawnerReplacesAProcessThatHangs(t *testing.T) {
	s := spawner(t)
	s.silence = 500 * time.Millisecond
	losses := make(chan error, 10)
	s.Watch(func(err error) { losses <- err })
	pid := s.process(t)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	told := false
	out := s.Execute(t.Context(), ExecSpec{Command: sh("echo fine"), Timeout: 300 * time.Millisecond, Overdue: func(Outcome) { told = true }})
	if out.Output != "fine" || told {
		t.Errorf("%s, %q; overdue: %v", out.Detail(), out.Output, told)
	}
	if err := <-losses; !errors.Is(err, errSpawnerDeaf) || s.Losses() != 1 {
		t.Errorf("%v, %d losses", err, s.Losses())
	}
	if again := s.process(t); again == pid {
		t.Error("it is the same process")
	}
	eventually(t, "rid of the process", func() bool { return unix.Kill(pid, 0) != nil })
}

// What nobody knows is not a failure of what is checked.
func TestSpawnerThatAlwaysDiesDecidesNothing(t *testing.T) {
	s := spawner(t)
	s.Watch(func(err error) { t.Log(err) })
	// A command that kills who runs it, each time.
	out := s.Execute(t.Context(), ExecSpec{Command: sh("kill -KILL $PPID; sleep 300"), Timeout: time.Minute})
	if out.Ending != Lost || s.Losses() != 2 {
		t.Errorf("%s, %d losses", out.Detail(), s.Losses())
	}
	for _, c := range []Contract{ByStatus, Nagios} {
		if g := c.grade(out); g != Unclear {
			t.Errorf("contract %d: %s", c, g)
		}
	}
	s.argv = []string{"\x00"}
	s.link.giveUp(nil)
	if out := s.Execute(t.Context(), ExecSpec{Command: sh("exit 0"), Timeout: time.Minute}); out.Ending != Lost {
		t.Errorf("with a process that cannot be started: %s", out.Detail())
	}
}

// What commands left when their process was killed, even outside their process
// group, goes with its cgroup when the next one starts.
func TestSpawnerSweepsAfterItsProcess(t *testing.T) {
	s := spawner(t)
	pid := s.process(t)
	if err := s.Confinement(); err != nil {
		need(t, false, "a writable cgroup v2, and Linux 5.14: "+err.Error())
	}
	mark := filepath.Join(t.TempDir(), "escaped")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan Outcome)
	go func() {
		done <- s.Execute(ctx, ExecSpec{Command: sh(`test -e "$0" && exit; setsid sh -c 'echo $$ >"$0.new"; mv "$0.new" "$0"; sleep 300' "$0" & sleep 300`, mark), Timeout: time.Minute, Cell: "x"})
	}()
	eventually(t, "escaped", func() bool { _, err := os.Stat(mark); return err == nil })
	text, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	escaped, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if out := <-done; out.Status != 0 || out.Ending != Exited {
		t.Errorf("run again: %s", out.Detail())
	}
	cancel()
	eventually(t, "rid of what escaped", func() bool { f := statFields(escaped); return len(f) == 0 || f[0] == "Z" })
}

// A process that sleeps in the kernel cannot be killed. Another one takes over,
// but not without end.
func TestSpawnerWithProcessesThatDoNotDie(t *testing.T) {
	s := spawner(t)
	s.patience = 100 * time.Millisecond
	undead := func() *spawnLink {
		l := &spawnLink{over: make(chan struct{})}
		l.failed.Store(true)
		return l
	}
	s.link = undead()
	if out := s.Execute(t.Context(), ExecSpec{Command: sh("echo fine"), Timeout: time.Minute}); out.Output != "fine" {
		t.Errorf("after one: %s", out.Detail())
	}
	works := s.link
	for range deathsAwaited - 1 {
		s.dying = append(s.dying, undead())
	}
	s.link = undead()
	if out := s.Execute(t.Context(), ExecSpec{Command: sh("echo fine"), Timeout: time.Minute}); out.Ending != Lost || out.Err != errSpawnerStays {
		t.Errorf("after many: %s", out.Detail())
	}
	for _, l := range s.dying {
		close(l.over)
	}
	s.patience = spawnPatience
	if out := s.Execute(t.Context(), ExecSpec{Command: sh("echo fine"), Timeout: time.Minute}); out.Output != "fine" {
		t.Errorf("when they are gone: %s", out.Detail())
	}
	works.mu.Lock()
	works.quit = true // it works still
	works.mu.Unlock()
	works.giveUp(nil)
	<-works.over
}

// The process reaps what commands leave to it.
func TestSpawnedReapsOrphans(t *testing.T) {
	s := spawner(t)
	pid := s.process(t)
	out := s.Execute(t.Context(), ExecSpec{Command: sh(`setsid sleep 0.3 </dev/null >/dev/null 2>&1 & echo $!`), Timeout: time.Minute})
	orphan, err := strconv.Atoi(out.Output)
	if err != nil {
		t.Fatalf("%s: %q", out.Detail(), out.Output)
	}
	if f := statFields(orphan); len(f) > 1 && f[0] != "Z" && f[1] != strconv.Itoa(pid) {
		t.Errorf("the orphan belongs to %s, not to %d", f[1], pid)
	}
	eventually(t, "rid of the orphan", func() bool { return statFields(orphan) == nil })
	if out := s.Execute(t.Context(), ExecSpec{Command: sh("exit 7"), Timeout: time.Minute}); out.Status != 7 {
		t.Errorf("a command of its own: %s", out.Detail())
	}
}

// Whoever asks ends without a word: nothing is left.
func TestSpawnerEndsWithItsParent(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "started")
	cmd := exec.Command(os.Args[0], mark)
	cmd.Env = []string{helper + "=spawner"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	var group string
	eventually(t, "started", func() bool {
		b, err := os.ReadFile(mark)
		group = string(b)
		return err == nil && strings.HasSuffix(group, "\n")
	})
	leader, err := strconv.Atoi(strings.TrimSpace(group))
	if err != nil {
		t.Fatal(err)
	}
	var spawned int
	for _, p := range processes(t) {
		if p.pid == leader {
			spawned = p.ppid
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	groupGone(t, group)
	eventually(t, "rid of the process that ran it", func() bool {
		for _, p := range processes(t) {
			if p.pid == spawned && p.state != "Z" {
				return false
			}
		}
		return true
	})
}

// It has no signal end it: the daemon does.
func TestSpawnedIgnoresWhatIsMeantForTheDaemon(t *testing.T) {
	s := spawner(t)
	pid := s.process(t)
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		if err := unix.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	if again := s.process(t); again != pid {
		t.Error("it is another process")
	}
}
