package healthcheck

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is one command from fork to reaping. Its process group bears its
// own pid.
type process struct {
	argv []string
	attr *os.ProcAttr

	mu     sync.Mutex
	pid    int  // of the group; 0 before it is started and after it is reaped
	doomed bool // kill was asked for

	// gone is closed at the very end. Only then may the rest be read.
	gone   chan struct{}
	err    error // why it was not started
	status syscall.WaitStatus
	ended  time.Time
}

func newProcess(argv []string, attr *os.ProcAttr) *process {
	return &process{argv: argv, attr: attr, gone: make(chan struct{})}
}

// live starts the command, waits for it, kills what is left of its group and
// reaps it.
//
// The whole life is spent on one locked thread, because the kernel sends the
// parent death signal when the *thread* that forked dies, not the process
// (prctl(2)). Any other thread of a Go program may be ended at any time by a
// goroutine that exits while locked to it. Waiting occupies a thread in any
// case, so this costs nothing.
func (p *process) live() {
	defer close(p.gone)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	child, err := os.StartProcess(p.argv[0], p.argv, p.attr)
	closeAll(p.attr.Files)
	if err != nil {
		p.err, p.ended = startError(err), time.Now()
		return
	}
	p.mu.Lock()
	p.pid = child.Pid
	if p.doomed {
		// Its time ran out during fork and exec. The group exists by now,
		// since StartProcess returns after the child's exec.
		p.signal()
	}
	p.mu.Unlock()

	awaitExit(child.Pid)
	p.ended = time.Now()

	// While the leader is a zombie its pid, and so the number of the group,
	// belongs to nobody else. Reaped first, the number could be a stranger's.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal()
	p.pid = 0
	state, err := child.Wait()
	if err != nil {
		p.err = fmt.Errorf("wait for pid %d: %w", child.Pid, err)
		return
	}
	p.status = state.Sys().(syscall.WaitStatus)
}

// kill ends the whole process group, now or as soon as it exists.
func (p *process) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed = true
	return p.signal()
}

// signal sends SIGKILL to the group. The kernel does this in one go: a member
// that forks meanwhile either is killed with its child or does not get to fork.
func (p *process) signal() error {
	if p.pid == 0 {
		return nil
	}
	if err := unix.Kill(-p.pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", p.pid, err)
	}
	return nil
}

// awaitExit returns when the child has exited, leaving it a zombie. Any error
// but an interruption means that there is no such child any more.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// startError drops the "fork/exec PATH" that os puts before the reason: the
// command is known to whoever reads it.
func startError(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

func closeAll(files []*os.File) {
	closed := map[*os.File]bool{}
	for _, f := range files {
		if !closed[f] {
			f.Close()
		}
		closed[f] = true
	}
}
