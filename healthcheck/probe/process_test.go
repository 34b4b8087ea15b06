package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// A child is a process that the test started.
type child struct {
	cmd    *exec.Cmd
	reaped bool
}

// start runs a command and waits until it has become what it is to be.
func start(t testing.TB, name string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(name, args...)}
	must(t, c.cmd.Start())
	t.Cleanup(func() { c.kill(); c.reap() })
	comm := filepath.Base(name)
	lab.Until(t, 10*time.Second, comm+" to run", func() bool { return commOf(c.pid()) == comm[:min(len(comm), commLen)] })
	return c
}

func (c *child) pid() int { return c.cmd.Process.Pid }
func (c *child) kill()    { _ = c.cmd.Process.Kill() }

func (c *child) reap() {
	if !c.reaped {
		_ = c.cmd.Wait()
		c.reaped = true
	}
}

// program copies sleep to a name of the test's own.
func program(t testing.TB, name string) string {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	must(t, err)
	data, err := os.ReadFile(sleep)
	must(t, err)
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, data, 0o755))
	return path
}

// poorly makes a probe do without pidfd_open.
func poorly(t testing.TB, p Probe) Probe {
	p.(*processProbe).open = openPoorly
	return p
}

func asIs(_ testing.TB, p Probe) Probe { return p }

func TestProcessByName(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(testing.TB, Probe) Probe
	}{{"pidfd", asIs}, {"poorly", poorly}} {
		t.Run(kind.name, func(t *testing.T) {
			noLeak(t)
			path := program(t, "watched-one")
			p := kind.make(t, mustNew(t, Process{Name: "watched-one"}))
			wantFail(t, p, "no process named watched-one is running")
			first := start(t, path, "300")
			wantPass(t, p, "process "+strconv.Itoa(first.pid())+" named watched-one is running")
			w := watch(t, p)
			w.becomes0(t, true)
			first.kill() // and it remains a zombie
			w.becomes(t, false, "no process named watched-one")
			second := start(t, path, "300")
			wantPass(t, p, "process "+strconv.Itoa(second.pid())+" named")
			// Another takes over before the first is gone: it is found.
			third := start(t, path, "300")
			second.kill()
			w.becomes(t, true, "process "+strconv.Itoa(third.pid())+" named")
			first.reap()
			second.reap()
			third.kill()
			third.reap()
			w.becomes(t, false, "no process named")
		})
	}
}

// becomes0 is becomes for the wake that a watch begins with, which watch took.
func (w *watching) becomes0(t testing.TB, passed bool) {
	t.Helper()
	if out := once(t, w.p); out.Passed != passed {
		t.Fatalf("%s: %+v, want passed %t", w.p, out, passed)
	}
}

// TestProcessNoScan: as long as those that were found live, /proc is not gone
// through.
func TestProcessNoScan(t *testing.T) {
	noLeak(t)
	p := mustNew(t, Process{Name: "watched-two"}).(*processProbe)
	opened := 0
	p.open = func(pid int) (*process, error) { opened++; return openProcess(pid) }
	start(t, program(t, "watched-two"), "300")
	w := watch(t, p)
	for range 10 {
		w.becomes0(t, true)
	}
	if opened != 1 {
		t.Errorf("opened %d processes in ten looks, want 1", opened)
	}
}

func TestProcessMin(t *testing.T) {
	noLeak(t)
	path := program(t, "worker")
	p := mustNew(t, Process{Name: "worker", Min: 3})
	w := watch(t, p)
	var workers []*child
	for range 2 {
		workers = append(workers, start(t, path, "300"))
	}
	wantFail(t, p, "2 of at least 3 processes named worker are running")
	workers = append(workers, start(t, path, "300"), start(t, path, "300"))
	wantPass(t, p, "at least 3 processes named worker are running")
	for _, c := range workers[:2] {
		c.kill()
	}
	w.becomes(t, false, "2 of at least 3")
}

// TestProcessExec: a process that becomes another program is not the one it was.
func TestProcessExec(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "a-script-of-a-long-name.sh")
	goOn := filepath.Join(dir, "go-on")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\nwhile [ ! -e "+goOn+" ]; do sleep 0.01; done\nexec sleep 300\n"), 0o755))
	for _, c := range []struct {
		spec Process
		want bool
	}{
		{Process{Name: "a-script-of-a-long-name.sh"}, true},
		{Process{Name: "a-script-of-a-l"}, true},
		{Process{Name: "a-script-of-a-longer-name.sh"}, false},
		{Process{Name: "a-script-of-a"}, false},
		{Process{CommandLine: `^/bin/sh .*/a-script`}, true},
		{Process{CommandLine: `^a-script`}, false},
		{Process{Name: "a-script-of-a-l", CommandLine: `-name\.sh --fast$`}, true},
	} {
		cmd := start(t, script, "--fast")
		p := mustNew(t, c.spec)
		w := watch(t, p)
		w.becomes0(t, c.want)
		put(t, goOn, "")
		lab.Until(t, 10*time.Second, "the script to become sleep", func() bool { return commOf(cmd.pid()) == "sleep" })
		w.becomes0(t, false)
		cmd.kill()
		cmd.reap()
		must(t, os.Remove(goOn))
	}
}

func TestProcessPIDFile(t *testing.T) {
	noLeak(t)
	file := filepath.Join(t.TempDir(), "daemon.pid")
	p := mustNew(t, Process{PIDFile: file})
	named := mustNew(t, Process{PIDFile: file, Name: "watched-six"})
	wantFail(t, p, file+" does not exist")
	for _, text := range []string{"", "x", "-1", "0", "1x", "99999999999999999999"} {
		put(t, file, text)
		wantFail(t, p, "is not the number of a process")
	}
	c := start(t, program(t, "watched-six"), "300")
	put(t, file, " "+strconv.Itoa(c.pid())+"\n")
	w := watch(t, p)
	for range 3 {
		wantPass(t, p, "process "+strconv.Itoa(c.pid())+" of "+file+" is running")
		wantPass(t, named)
	}
	other := start(t, program(t, "watched-five"), "300")
	put(t, file, strconv.Itoa(other.pid()))
	wantPass(t, p, "process "+strconv.Itoa(other.pid())+" of")
	wantFail(t, named, `is "watched-five", and not one named watched-six`)
	put(t, file, strconv.Itoa(c.pid()))
	wantPass(t, p)
	c.kill()
	w.becomes(t, false, "process "+strconv.Itoa(c.pid())+" of "+file+" is not running")
	c.reap()
	wantFail(t, p, "is not running")
	must(t, os.Remove(file))
	must(t, unix.Mkfifo(file, 0o600))
	wantFail(t, p, "it is not a regular file")
}

// TestProcessUnwatched: a look alone holds on to nothing, and a second watch is
// refused.
func TestProcessUnwatched(t *testing.T) {
	noLeak(t)
	start(t, program(t, "watched-seven"), "300")
	p := mustNew(t, Process{Name: "watched-seven"})
	before := len(descriptors(t))
	for range 20 {
		wantPass(t, p)
	}
	if n := len(descriptors(t)); n != before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
	w := watch(t, p)
	if err := w.p.Watch(context.Background(), func() {}); err == nil {
		t.Error("watched twice")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out := p.Probe(ctx); out.Passed && errors.Is(ctx.Err(), context.Canceled) && out.Detail == "" {
		t.Errorf("%+v", out)
	}
}

func TestProcessFields(t *testing.T) {
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{Process{}, "name"},
		{Process{Name: "/usr/sbin/nginx"}, "name"},
		{Process{CommandLine: "("}, "command_line"},
		{Process{PIDFile: "nginx.pid"}, "pid_file"},
		{Process{Name: "a", Min: -1}, "min"},
		{Process{Name: "a", Min: 65}, "min"},
		{Process{PIDFile: "/run/a.pid", Min: 2}, "min"},
	})
}
