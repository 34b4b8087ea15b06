package healthcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// run executes a command with a timeout that no test means to reach.
func run(t *testing.T, spec ExecSpec) Outcome {
	t.Helper()
	if spec.Timeout == 0 {
		spec.Timeout = 30 * time.Second
	}
	out := Execute(t.Context(), spec)
	if out.Gone != nil {
		t.Fatalf("%q: %s", spec.Command, out.Detail())
	}
	return out
}

func TestExecuteEndings(t *testing.T) {
	notExecutable := write(t, "plain", "#!/bin/sh\n")
	if err := os.Chmod(notExecutable, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		command []string
		ending  Ending
		detail  string
		output  string
	}{
		{"success", sh("echo fine"), Exited, "exit status 0", "fine"},
		{"failure", sh("echo bad; exit 2"), Exited, "exit status 2", "bad"},
		{"both streams", sh("echo out; echo err >&2"), Exited, "exit status 0", "out\nerr"},
		{"own signal", sh("kill -TERM $$"), Signalled, "ended by signal 15 (SIGTERM)", ""},
		{"somebody's SIGKILL is no timeout", sh("kill -KILL $$"), Signalled, "ended by signal 9 (SIGKILL)", ""},
		{"silent", []string{"/bin/true"}, Exited, "exit status 0", ""},
		{"missing", []string{"/nonexistent/check"}, NotStarted, "cannot start: no such file or directory", ""},
		{"not executable", []string{notExecutable}, NotStarted, "cannot start: permission denied", ""},
		{"empty", nil, NotStarted, "cannot start: no command", ""},
		{"NUL", []string{"/bin/echo", "a\x00b"}, NotStarted, "cannot start: invalid argument", ""},
		{"closes its output early", sh("echo first; exec >&- 2>&-; sleep 0.1; exit 3"), Exited, "exit status 3", "first"},
		{"no shell", []string{"/bin/echo", "$HOME;", "*", "`id`", ""}, Exited, "exit status 0", "$HOME; * `id`"},
		{"input is empty", []string{"/bin/cat"}, Exited, "exit status 0", ""},
		{"directory", []string{"/bin/pwd"}, Exited, "exit status 0", "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := run(t, ExecSpec{Command: tt.command})
			if out.Ending != tt.ending || out.Detail() != tt.detail || out.Output != tt.output {
				t.Errorf("got %v, %q, %q; want %v, %q, %q", out.Ending, out.Detail(), out.Output, tt.ending, tt.detail, tt.output)
			}
			if want := tt.detail == "exit status 0"; out.Passed() != want {
				t.Errorf("passed: %v, want %v", out.Passed(), want)
			}
		})
	}
}

func TestExecuteCleanEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/secret")
	t.Setenv("LD_PRELOAD", "")
	runAs := &Credential{User: "alice", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Home: "/home/alice"}
	out := run(t, ExecSpec{Command: []string{"/usr/bin/env"}, RunAs: runAs, Env: []string{"VRRPD_NODE=node1", "LANG=C.UTF-8"}})
	got := strings.Split(out.Output, "\n")
	slices.Sort(got)
	want := []string{"HOME=/home/alice", "LANG=C.UTF-8", "LOGNAME=alice", "PATH=" + searchPath, "USER=alice", "VRRPD_NODE=node1"}
	if !slices.Equal(got, want) {
		t.Errorf("environment %q, want %q", got, want)
	}
}

func TestExecuteInheritsNoDescriptors(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	// Whoever started the tests may have left descriptors open over exec.
	inherited := map[string]bool{"0": true, "1": true, "2": true}
	for _, d := range descriptors(t) {
		n, _, _ := strings.Cut(d, " ")
		fd, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			inherited[n] = true
		}
	}
	out := run(t, ExecSpec{Command: []string{"/usr/bin/find", "/proc/self/fd", "-type", "l", "-printf", "%f %l\n"}})
	seen := 0
	for line := range strings.Lines(out.Output) {
		n, target, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n == "0" && target != "/dev/null" {
			t.Errorf("input is %s", target)
		}
		if strings.HasPrefix(target, "/proc/") || target == "/" {
			continue // find's own
		}
		if seen++; !inherited[n] {
			t.Errorf("descriptor %s leaks: %s", n, target)
		}
	}
	if seen < 3 {
		t.Errorf("only %d descriptors in %q", seen, out.Output)
	}
}

func TestExecuteOwnProcessGroup(t *testing.T) {
	out := run(t, ExecSpec{Command: sh("echo $$; ps -o pgid= -p $$")})
	lines := strings.Fields(out.Output)
	if len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("pid and group %q, want them equal", lines)
	}
}

func TestExecuteAsAnotherUser(t *testing.T) {
	need(t, os.Geteuid() == 0, "root")
	out := run(t, ExecSpec{
		Command: sh("id -u; id -g; id -G"),
		RunAs:   &Credential{User: "x", UID: 4242, GID: 4343, Groups: []uint32{4444, 4545}, Home: "/"},
	})
	if want := "4242\n4343\n4343 4444 4545"; out.Output != want {
		t.Errorf("identity %q, want %q", out.Output, want)
	}
}

func TestExecuteKillsTheWholeGroupAtTheTimeout(t *testing.T) {
	tests := []struct {
		name, script string
	}{
		{"hangs", "echo $$; sleep 300"},
		{"ignores SIGTERM", "trap '' TERM HUP INT; echo $$; while :; do sleep 300; done"},
		{"stops itself", "echo $$; kill -STOP $$"},
		{"children that ignore SIGTERM", "echo $$; for i in 1 2 3 4 5; do (trap '' TERM; while :; do sleep 300; done) & done; wait"},
		{"keeps forking", "echo $$; while :; do sleep 300 & sleep 0.005; done"},
		{"closed its output", "echo $$; exec >&- 2>&-; sleep 300"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := run(t, ExecSpec{Command: sh(tt.script), Timeout: 200 * time.Millisecond})
			if out.Ending != TimedOut || out.Detail() != "killed at the timeout of 200ms" {
				t.Errorf("ended %v: %s", out.Ending, out.Detail())
			}
			if out.Duration < 200*time.Millisecond || out.Duration > 5*time.Second {
				t.Errorf("took %v", out.Duration)
			}
			groupGone(t, out.Output)
		})
	}
}

func TestExecuteKillsWhatTheCommandLeavesBehind(t *testing.T) {
	out := run(t, ExecSpec{Command: sh("echo $$; for i in 1 2 3; do (trap '' TERM HUP; sleep 300) & done; exit 0")})
	if !out.Passed() {
		t.Errorf("ended with %s, want success all the same", out.Detail())
	}
	if out.Duration > 10*time.Second {
		t.Errorf("took %v: waited for the children", out.Duration)
	}
	groupGone(t, out.Output)
}

// groupGone waits until a process group, given by a line of output, has no
// members.
func groupGone(t *testing.T, output string) {
	t.Helper()
	first, _, _ := strings.Cut(output, "\n")
	pgid, err := strconv.Atoi(first)
	if err != nil || pgid <= 1 {
		t.Fatalf("no process group in output %q", output)
	}
	eventually(t, fmt.Sprintf("rid of process group %d", pgid), func() bool { return !groupAlive(t, pgid) })
}

// groupAlive reports whether a process group has a member that is no zombie. A
// zombie may linger until init gets round to orphans, which is not our doing.
func groupAlive(t *testing.T, pgid int) bool {
	t.Helper()
	for _, p := range processes(t) {
		if p.pgid == pgid && p.state != "Z" && p.state != "X" {
			return true
		}
	}
	return false
}

type processInfo struct {
	pid, ppid, pgid int
	state           string
}

func processes(t *testing.T) (all []processInfo) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // gone meanwhile
		}
		var p processInfo
		if _, err := fmt.Sscan(string(b), &p.pid); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		rest := string(b[bytes.LastIndexByte(b, ')')+1:])
		if _, err := fmt.Sscan(rest, &p.state, &p.ppid, &p.pgid); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		all = append(all, p)
	}
	return all
}

func TestExecuteFloodIsReadAndForgotten(t *testing.T) {
	const megabytes = 64
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := run(t, ExecSpec{Command: sh(fmt.Sprintf("head -c %dM /dev/zero | tr '\\0' x; exit 1", megabytes))})
	runtime.ReadMemStats(&after)
	if out.Detail() != "exit status 1" {
		t.Errorf("ended with %s: it was not let to write everything", out.Detail())
	}
	if out.Output != strings.Repeat("x", OutputLimit) || !out.Cut {
		t.Errorf("kept %d bytes, cut %v", len(out.Output), out.Cut)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes allocated for %d MiB of output", grown, megabytes)
	}

	out = run(t, ExecSpec{Command: []string{"/usr/bin/yes"}, Timeout: 200 * time.Millisecond, OutputLimit: 10})
	if out.Ending != TimedOut || out.Output != "y\ny\ny\ny\ny" {
		t.Errorf("endless flood: %s, %q", out.Detail(), out.Output)
	}
}

func TestExecuteIsNotHeldByAnEscapedGrandchild(t *testing.T) {
	_, err := exec.LookPath("setsid")
	need(t, err == nil, "setsid (package util-linux)")
	// It leaves the group with the output still open. The command waits for it
	// to say so, or the group might be killed before it got away.
	holding := `mark=$(mktemp); setsid sh -c 'echo $$; echo > "$0"; exec sleep 300' "$mark" & until [ -s "$mark" ]; do sleep 0.01; done; rm "$mark"; exit 4`

	start := time.Now()
	out := run(t, ExecSpec{Command: sh(holding)})
	took := time.Since(start)
	pid, err := strconv.Atoi(out.Output)
	if err != nil {
		t.Fatalf("output %q: %v", out.Output, err)
	}
	defer unix.Kill(pid, unix.SIGKILL)
	if out.Detail() != "exit status 4" {
		t.Errorf("ended with %s", out.Detail())
	}
	if took > 10*time.Second {
		t.Errorf("took %v: held by the grandchild", took)
	}
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("the grandchild did not outlive the command (%v), so nothing was tested", err)
	}
}

func TestExecuteAsksBeforeItKills(t *testing.T) {
	var early Outcome
	spec := func(script string, grace time.Duration) ExecSpec {
		early = Outcome{}
		return ExecSpec{Command: sh(script), Timeout: 200 * time.Millisecond, Grace: grace, Overdue: func(o Outcome) { early = o }}
	}
	out := run(t, spec(`trap 'echo bye; exit 0' TERM; echo $$; while :; do sleep 0.01; done`, time.Minute))
	if out.Ending != TimedOut || out.Detail() != "killed at the timeout of 200ms" || !strings.HasSuffix(out.Output, "\nbye") {
		t.Errorf("one that listens: %s, %q", out.Detail(), out.Output)
	}
	if early.Ending != TimedOut || early.Detail() != out.Detail() || early.Duration > out.Duration || !strings.HasPrefix(out.Output, early.Output+"\n") {
		t.Errorf("at the timeout: %s after %v, %q", early.Detail(), early.Duration, early.Output)
	}
	groupGone(t, out.Output)

	out = run(t, spec(`trap '' TERM; echo $$; while :; do sleep 300; done`, 300*time.Millisecond))
	if out.Ending != TimedOut || out.Duration < 500*time.Millisecond || out.Duration > 10*time.Second {
		t.Errorf("one that does not: %s after %v", out.Detail(), out.Duration)
	}
	groupGone(t, out.Output)

	// The whole group is asked, and what outlives the command is killed.
	out = run(t, spec(`echo $$; (trap '' TERM; sleep 300) & sleep 300`, time.Minute))
	if out.Ending != TimedOut || out.Duration > 10*time.Second {
		t.Errorf("a group: %s after %v", out.Detail(), out.Duration)
	}
	groupGone(t, out.Output)

	out = run(t, spec("exit 3", time.Minute))
	if out.Detail() != "exit status 3" || early.Ending != 0 {
		t.Errorf("in time: %s, overdue %v", out.Detail(), early.Ending)
	}
}

func TestExecuteKeepsTheErrorOutputApart(t *testing.T) {
	for script, want := range map[string]string{
		"echo err >&2; echo out": "out",
		"echo err >&2":           "err",
		"exit 0":                 "",
	} {
		if out := run(t, ExecSpec{Command: sh(script), Apart: true}); out.Output != want {
			t.Errorf("%s: %q, want %q", script, out.Output, want)
		}
	}
}

// A daemon that runs as somebody else than root and was given capabilities by
// its service manager does not hand them on.
func TestExecuteHandsOnNoCapabilities(t *testing.T) {
	need(t, os.Geteuid() == 0, "root")
	exe := openExecutable(t)
	for _, uid := range []uint32{0, 4242} {
		cmd := exec.Command(exe)
		cmd.Env = []string{helper + "=ambient"}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: uid, Gid: uid},
			AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SETUID, unix.CAP_SETGID},
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) < 3 || !strings.HasPrefix(lines[0], "CapAmb:") || strings.HasSuffix(lines[0], "\t0000000000000000") {
			t.Fatalf("as uid %d the helper has no ambient capabilities, so nothing is tested: %q", uid, lines)
		}
		for _, l := range lines[1:] {
			// Root as such has all there are, by exec.
			if (uid != 0 || strings.HasPrefix(l, "CapAmb:")) && !strings.HasSuffix(l, "\t0000000000000000") {
				t.Errorf("as uid %d, a command has %s", uid, l)
			}
		}
	}
}

// openExecutable is this test's program where others can execute it.
func openExecutable(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "helper", string(data))
}

// What the host is short of is no failure of what is checked.
func TestExecuteWithoutDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	out := Execute(t.Context(), ExecSpec{Command: sh("exit 0"), Timeout: time.Minute})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if out.Ending != Lost || !strings.HasPrefix(out.Detail(), "no result: cannot start: ") || ByStatus.grade(out) != Unclear {
		t.Errorf("%s", out.Detail())
	}
}

// A program that is being written is waited for; one that stays so is not.
func TestExecuteWaitsForAProgramThatIsWritten(t *testing.T) {
	path := write(t, "program", "#!/bin/sh\necho fine\n")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := run(t, ExecSpec{Command: []string{path}, Timeout: 10 * time.Second})
	if out.Detail() != "cannot start: text file busy" {
		t.Errorf("%s: %q", out.Detail(), out.Output)
	}
	done := make(chan Outcome)
	go func() { done <- Execute(t.Context(), ExecSpec{Command: []string{path}, Timeout: 10 * time.Second}) }()
	time.Sleep(busyPause) // part of what is tested: it is not closed at once
	f.Close()
	if out := <-done; out.Output != "fine" {
		t.Errorf("%s: %q", out.Detail(), out.Output)
	}
}

func TestExecuteEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	mark := filepath.Join(t.TempDir(), "started")
	done := make(chan Outcome)
	go func() {
		done <- Execute(ctx, ExecSpec{Command: sh(`trap "" TERM; echo $$; echo > "$0"; sleep 300`, mark)})
	}()
	eventually(t, "started", func() bool { _, err := os.Stat(mark); return err == nil })
	cancel()
	out := <-done
	if out.Ending != Cancelled || out.Detail() != "cancelled" || out.Gone != nil {
		t.Errorf("ended %v: %s", out.Ending, out.Detail())
	}
	groupGone(t, out.Output)

	out = Execute(ctx, ExecSpec{Command: sh("exit 0")})
	if out.Ending != Cancelled {
		t.Errorf("with a context already over: %s", out.Detail())
	}
}

func TestExecuteReturnsWhenAProcessDoesNotDie(t *testing.T) {
	// Uninterruptible sleep cannot be made at will, but a fork or exec that
	// hangs takes the same road: live is not called yet, so there is nothing
	// to kill, and nothing ends.
	p := newProcess([]string{"/bin/sleep", "300"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Setpgid: true}}, nil)
	var out Outcome
	out.At = time.Now()
	p.await(t.Context(), ExecSpec{Timeout: time.Millisecond}, &out, func() {})
	if out.Ending != TimedOut || out.Gone == nil {
		t.Fatalf("ended %v, still there: %v", out.Ending, out.Gone != nil)
	}
	// Should it come to life after all, it is killed at once.
	start := time.Now()
	for !p.lead() {
	}
	if took := time.Since(start); took > 10*time.Second || p.status.Signal() != syscall.SIGKILL {
		t.Errorf("lived for %v, status %#x", took, p.status)
	}
	// One whose time ran out before the fork does not come to life at all.
	p = newProcess([]string{"/bin/sleep", "300"}, &os.ProcAttr{}, nil)
	if err := p.end(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.live()
	if <-p.gone; p.err != nil || p.status != 0 {
		t.Errorf("lived: %v, status %#x", p.err, p.status)
	}
}

// TestExecuteLeavesNothingBehind looks at descriptors and children after many
// runs of every kind, many of them at once.
func TestExecuteLeavesNothingBehind(t *testing.T) {
	specs := []ExecSpec{
		{Command: sh("echo hello; exit 1")},
		{Command: sh("sleep 300 & sleep 300"), Timeout: 20 * time.Millisecond},
		{Command: []string{"/nonexistent"}},
		{Command: []string{"/usr/bin/yes"}, Timeout: 20 * time.Millisecond},
		{Command: sh("sleep 300 & exit 0")},
		{Command: nil},
	}
	round := func() {
		var wg sync.WaitGroup
		for range 5 {
			for _, s := range specs {
				wg.Go(func() { Execute(t.Context(), s) })
			}
		}
		wg.Wait()
	}
	round() // opens what the runtime opens once
	before := descriptors(t)
	for range 4 {
		round()
	}
	if after := descriptors(t); len(after) > len(before) {
		t.Errorf("%d descriptors became %d: %q", len(before), len(after), after)
	}
	for _, p := range processes(t) {
		if p.ppid == os.Getpid() {
			t.Errorf("child %d is still there in state %s", p.pid, p.state)
		}
	}
}

func descriptors(t *testing.T) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the directory itself
		}
		open = append(open, e.Name()+" -> "+target)
	}
	return open
}

// TestParentDeathSignalIsNotSentByADyingThread runs commands while other
// threads of this process die, which must not kill them.
func TestParentDeathSignalIsNotSentByADyingThread(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			dead := make(chan struct{})
			go func() {
				defer close(dead)
				runtime.LockOSThread() // and never unlocked: the thread dies
			}()
			<-dead
		}
	})
	var commands sync.WaitGroup
	for range 20 {
		commands.Go(func() {
			for range 5 {
				out := Execute(t.Context(), ExecSpec{Command: []string{"/bin/sleep", "0.05"}, Timeout: 30 * time.Second})
				if !out.Passed() {
					t.Errorf("ended with %s", out.Detail())
				}
			}
		})
	}
	commands.Wait()
	close(stop)
	wg.Wait()
}

func TestCommandsDieWithTheProcess(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command("/proc/self/exe", mark)
	cmd.Env = []string{helper + "=parent"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	eventually(t, "running", func() bool {
		b, err := os.ReadFile(mark)
		if err != nil {
			return false
		}
		_, err = fmt.Sscan(string(b), &pid)
		return err == nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("killed helper: %v", err)
	}
	eventually(t, "killed with its parent", func() bool { return !groupAlive(t, pid) })
}
