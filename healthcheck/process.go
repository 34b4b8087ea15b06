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
	argv   []string
	attr   *os.ProcAttr
	cgroup *Cgroup // nil: none

	mu     sync.Mutex
	pid    int            // of the group; 0 before it is started and after it is reaped
	doomed syscall.Signal // the last that end was asked for

	// gone is closed at the very end. Only then may the rest be read.
	gone   chan struct{}
	err    error // why it was not started
	status syscall.WaitStatus
	ended  time.Time
}

func newProcess(argv []string, attr *os.ProcAttr, cgroup *Cgroup) *process {
	return &process{argv: argv, attr: attr, cgroup: cgroup, gone: make(chan struct{})}
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

	dropCapabilities()
	defer closeAll(p.attr.Files)
	if len(p.argv) > 0 {
		look(p.argv[0])
	}
	if p.late() {
		p.ended = time.Now()
		return
	}
	for !p.lead() {
	}
}

// look reads from the file system what a program is, and does nothing with it.
// Where that hangs, it is this thread that hangs: in exec(2) nobody else could
// fork meanwhile (syscall.ForkLock).
func look(program string) {
	fd, err := unix.Open(program, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it may be executable all the same, and else exec says why not
	}
	var begin [1]byte
	_, _ = unix.Read(fd, begin[:])
	unix.Close(fd)
}

// A program that is being written cannot be executed (ETXTBSY), nor one that
// was, while somebody else forks with a descriptor of it that exec(2) will
// close. Neither takes long, and neither is for the operator to hear of.
const (
	busyTries = 20
	busyPause = 5 * time.Millisecond
)

// lead is one life of the command; false: it has to be lived again.
func (p *process) lead() (done bool) {
	child, inside, err := p.cgroup.start(p.argv, p.attr)
	for try := 0; errors.Is(err, unix.ETXTBSY) && try < busyTries && !p.late(); try++ {
		time.Sleep(busyPause)
		child, inside, err = p.cgroup.start(p.argv, p.attr)
	}
	if err != nil {
		p.err, p.ended = startError(err), time.Now()
		return true
	}
	children.add(child.Pid)
	defer children.remove(child.Pid)
	p.mu.Lock()
	p.pid = child.Pid
	if p.doomed != 0 {
		// Its time ran out during fork and exec. The group exists by now,
		// since StartProcess returns after the child's exec.
		p.signal(p.doomed)
	}
	p.mu.Unlock()

	awaitExit(child.Pid)
	p.ended = time.Now()

	// While the leader is a zombie its pid, and so the number of the group,
	// belongs to nobody else. Reaped first, the number could be a stranger's.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signal(unix.SIGKILL)
	p.pid = 0
	state, err := child.Wait()
	if err != nil {
		p.err = fmt.Errorf("wait for pid %d: %w", child.Pid, err)
		return true
	}
	p.status = state.Sys().(syscall.WaitStatus)
	return p.doomed != 0 || !inside || p.cgroup.all.believes(p.status)
}

// late reports whether the end of the process was asked for.
func (p *process) late() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doomed != 0
}

// end signals the whole process group, now or as soon as it exists. SIGKILL
// goes to all of the cgroup as well.
func (p *process) end(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed = sig
	return p.signal(sig)
}

// signal sends a signal to the group. The kernel does this in one go: a member
// that forks meanwhile either gets it with its child or does not get to fork.
func (p *process) signal(sig syscall.Signal) error {
	if p.pid == 0 {
		return nil
	}
	if err := unix.Kill(-p.pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", p.pid, err)
	}
	if sig == unix.SIGKILL {
		return p.cgroup.kill()
	}
	return nil
}

// dropCapabilities clears the ambient and the inheritable capabilities of this
// thread, which commands would get over exec(2) from a daemon that runs as
// somebody else than root and got its capabilities that way (capabilities(7)):
// the ambient ones as they are, the inheritable ones by files that allow it.
// The daemon's own are not touched by it. A kernel before Linux 4.3 has no
// ambient ones to clear; fewer inheritable ones are always permitted.
func dropCapabilities() {
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if unix.Capget(&header, &sets[0]) != nil {
		return
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	_ = unix.Capset(&header, &sets[0])
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
