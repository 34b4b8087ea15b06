package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a daemon running on a host.
type Process struct {
	Host *Host
	Name string
	Pid  int

	log  string
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// Start runs a command on the host and leaves it running. Its output goes to a
// file of the lab's directory. It ends with the lab at the latest.
func (h *Host) Start(name string, args ...string) *Process {
	h.lab.t.Helper()
	return h.StartCmd(exec.Command(name, args...))
}

// StartCmd is [Host.Start] for a command with an environment, a directory or
// credentials of its own. Output is set here.
func (h *Host) StartCmd(cmd *exec.Cmd) *Process {
	t := h.lab.t
	t.Helper()
	base := cmd.Path[strings.LastIndexByte(cmd.Path, '/')+1:]
	p := &Process{Host: h, Name: base, log: h.lab.path(h.Name+"-"+base, "log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatalf("%s: start %s: %v", h.Name, base, err)
	}
	defer log.Close()
	h.adopt(cmd)
	cmd.Stdout, cmd.Stderr = log, log
	if err := h.Do(cmd.Start); err != nil {
		t.Fatalf("%s: start %s: %v", h.Name, base, err)
	}
	p.Pid = cmd.Process.Pid
	h.lab.mu.Lock()
	h.lab.processes = append(h.lab.processes, p)
	h.lab.mu.Unlock()
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p
}

// Run runs a command on the host to its end and returns what it wrote to both
// outputs. A command that fails ends the test; where failing is a result, use
// [Host.Try].
func (h *Host) Run(name string, args ...string) string {
	h.lab.t.Helper()
	out, err := h.Try(name, args...)
	if err != nil {
		h.lab.t.Fatalf("%s: %s %s: %v\n%s", h.Name, name, strings.Join(args, " "), err, out)
	}
	return out
}

// Try runs a command on the host to its end and returns what it wrote to both
// outputs, and an *exec.ExitError if it failed.
func (h *Host) Try(name string, args ...string) (string, error) {
	return h.run(exec.Command(name, args...))
}

// run is [Host.Try] for a command with an input of its own.
func (h *Host) run(cmd *exec.Cmd) (string, error) {
	h.adopt(cmd)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := h.Do(cmd.Run)
	return out.String(), err
}

// adopt prepares a command for being run by a thread inside the host.
func (h *Host) adopt(cmd *exec.Cmd) {
	if cmd.Env == nil {
		cmd.Env = withoutStage(os.Environ())
	}
	if cmd.Dir == "" {
		cmd.Dir = h.lab.dir // a thread that changed mounts stands in /
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true // ^C is the lab's to handle
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(sig syscall.Signal) {
	p.Host.lab.t.Helper()
	if err := unix.Kill(p.Pid, sig); err != nil {
		p.Host.lab.t.Fatalf("%s on %s: signal %v: %v", p.Name, p.Host.Name, sig, err)
	}
}

// Term asks the process to end.
func (p *Process) Term() { p.Host.lab.t.Helper(); p.Signal(unix.SIGTERM) }

// Stop freezes the process and its descendants.
func (p *Process) Stop() { signalAll(descendants(p.Pid), unix.SIGSTOP) }

// Cont lets them go on.
func (p *Process) Cont() { signalAll(descendants(p.Pid), unix.SIGCONT) }

// Kill is a crash: the process and its descendants end at once, none of them
// seeing another go. It returns when the process is reaped.
func (p *Process) Kill() {
	pids := descendants(p.Pid)
	signalAll(pids, unix.SIGSTOP)
	signalAll(pids, unix.SIGKILL)
	<-p.done
}

// Tree is the process and its descendants, parents first.
func (p *Process) Tree() []int { return descendants(p.Pid) }

// Exited reports whether the process has ended.
func (p *Process) Exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits for the process to end, like Until, and returns nil for status 0,
// otherwise an *exec.ExitError.
func (p *Process) Wait(timeout time.Duration) error {
	p.Host.lab.t.Helper()
	timeout = patient(timeout)
	select {
	case <-p.done:
		return p.err
	case <-time.After(timeout):
		p.Host.lab.t.Fatalf("waited %v for %s on %s to end", timeout, p.Name, p.Host.Name)
		return nil
	}
}

// Log is the file the process writes its output to.
func (p *Process) Log() string { return p.log }

// Output is what the process has written so far.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return string(b)
}

// WaitOutput waits until the process has written text, like Until, and ends the
// test if the process ends without.
func (p *Process) WaitOutput(text string, timeout time.Duration) {
	t := p.Host.lab.t
	t.Helper()
	timeout = patient(timeout)
	var exited bool
	found := poll(timeout, func() bool {
		exited = p.Exited()
		return strings.Contains(p.Output(), text) || exited
	})
	if !found || exited && !strings.Contains(p.Output(), text) {
		t.Fatalf("%s on %s did not say %q within %v (ended: %v)", p.Name, p.Host.Name, text, timeout, exited)
	}
}

// descendants lists a process and all that come from it, parents first.
func descendants(root int) []int {
	children := map[int][]int{}
	for _, pid := range allProcesses() {
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}

// parentOf reads the fourth field of /proc/PID/stat; the second may hold spaces
// and brackets.
func parentOf(pid int) (int, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false // it has ended
	}
	_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}
