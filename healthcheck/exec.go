package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OutputLimit is how much of a command's output is kept, in bytes, unless
// ExecSpec says otherwise.
const OutputLimit = 4 << 10

const (
	// deathPatience is how long a killed command may take to be gone before it
	// is reported all the same. Only a process in uninterruptible sleep (a hung
	// NFS server), or one that we may not signal, takes that long.
	deathPatience = time.Second

	// drainGrace is how long the output of a command that has exited is read
	// on. What the command itself wrote is in the pipe by then; only a process
	// that left its group can still hold the other end.
	drainGrace = 100 * time.Millisecond
)

// An ExecSpec says what to run and how.
type ExecSpec struct {
	Command     []string      // absolute path of the program, then its arguments
	Env         []string      // "NAME=value", on top of the clean environment
	RunAs       *Credential   // nil: this process's own identity
	Timeout     time.Duration // 0: none but the context's
	Grace       time.Duration // between SIGTERM at the timeout and SIGKILL; 0: SIGKILL at once
	OutputLimit int           // bytes of output kept; 0: OutputLimit
	// Apart keeps the error output only where the command writes nothing to
	// its standard output; else both are kept in the order of arrival.
	Apart bool
	// Cell names the cgroup that an Executor runs the command in, so that none
	// of its processes can hide from being killed: one path element. Without
	// it, or where there are no cgroups, only the process group is killed.
	Cell string
	// Overdue is called at the timeout, before the command is killed, with what
	// is known by then. It must not wait.
	Overdue func(Outcome)

	cgroup *Cgroup
}

// An Ending is the way a run ended.
type Ending uint8

const (
	_ Ending = iota

	Exited     // by itself, with a status
	Signalled  // by a signal that Execute did not send
	TimedOut   // killed at the timeout
	Cancelled  // killed, or never started, because the context ended
	NotStarted // the reason is Outcome.Err
	Lost       // nobody knows: who was to run it did not, or is gone; see Outcome.Err
)

// An Outcome is what became of a command.
type Outcome struct {
	Ending   Ending
	Status   int            // exit status, when Exited
	Signal   syscall.Signal // when Signalled
	Err      error          // why it was not started, could not be killed, or is lost
	Output   string         // the beginning of stdout and stderr, printable UTF-8
	Cut      bool           // there was more output than was kept
	At       time.Time      // when it was started
	Duration time.Duration  // until the command itself ended
	Timeout  time.Duration  // as it was asked for

	// Gone is nil unless the command was killed and is still there; it is
	// closed as soon as the process has been reaped.
	Gone <-chan struct{}
}

// Passed reports whether the command exited with status 0.
func (o Outcome) Passed() bool { return o.Ending == Exited && o.Status == 0 }

// Detail says in a few words how the command ended: "exit status 2", "killed
// at the timeout of 1s", "cannot start: permission denied".
func (o Outcome) Detail() string {
	var s string
	switch o.Ending {
	case Exited:
		return fmt.Sprintf("exit status %d", o.Status)
	case Signalled:
		return fmt.Sprintf("ended by signal %d (%s)", int(o.Signal), unix.SignalName(o.Signal))
	case NotStarted:
		return fmt.Sprintf("cannot start: %v", o.Err)
	case Lost:
		return fmt.Sprintf("no result: %v", o.Err)
	case TimedOut:
		s = fmt.Sprintf("killed at the timeout of %v", o.Timeout)
	case Cancelled:
		s = "cancelled"
	}
	if o.Gone != nil {
		s += ", but does not die"
		if o.Err != nil {
			s += ": " + o.Err.Error()
		}
	}
	return s
}

// Execute runs a command to its end and never longer than its timeout and
// grace, give or take the moment that killing takes. It leaves no process of
// the command's group or cgroup, no zombie and no descriptor behind. Should a
// killed process not go away, Execute returns nevertheless, with Outcome.Gone
// set. If ctx ends, the command is killed without grace.
//
// The grace is the command's own: what else is left of its group when it exits
// is killed at once.
//
// The command is killed by the kernel should this process die (PR_SET_PDEATHSIG;
// set-user-ID programs and the command's own children are exempt from that).
func Execute(ctx context.Context, spec ExecSpec) Outcome {
	out := Outcome{At: time.Now(), Timeout: spec.Timeout}
	if ctx.Err() != nil {
		out.Ending = Cancelled
		return out
	}
	p, pipes, err := launch(spec)
	if err != nil {
		out.fail(err)
		return out
	}
	defer closeAll(pipes)

	sinks := make([]*output, len(pipes))
	var drained sync.WaitGroup
	for i, r := range pipes {
		sinks[i] = newOutput(spec.OutputLimit)
		drained.Go(func() { sinks[i].drain(r) })
	}

	p.await(ctx, spec, &out, func() {
		if spec.Overdue == nil {
			return
		}
		early := out
		early.Ending, early.Duration = TimedOut, time.Since(out.At)
		early.read(sinks)
		spec.Overdue(early)
	})

	for _, r := range pipes {
		if err := r.SetReadDeadline(time.Now().Add(drainGrace)); err != nil {
			r.Close() // ends the read as well
		}
	}
	drained.Wait()
	out.read(sinks)
	return out
}

// fail fills in why a command was not started. What this host lacks for any
// command tells nothing of what this one would have found.
func (o *Outcome) fail(err error) {
	o.Ending, o.Err = NotStarted, err
	for _, scarce := range []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, scarce) {
			o.Ending, o.Err = Lost, fmt.Errorf("cannot start: %w", err)
		}
	}
}

// read takes over what was written so far: of several outputs, the first that
// has any.
func (o *Outcome) read(sinks []*output) {
	for _, s := range sinks {
		if o.Output, o.Cut = s.text(); o.Output != "" {
			return
		}
	}
}

// launch opens what the command needs and hands it to a process of its own. It
// returns without waiting for fork and exec. The caller reads the command's
// output from the pipes and closes them.
func launch(spec ExecSpec) (p *process, pipes []*os.File, err error) {
	if len(spec.Command) == 0 {
		return nil, nil, errors.New("no command")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	files := []*os.File{null}
	count := 1
	if spec.Apart {
		count = 2
	}
	for range count {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files)
			closeAll(pipes)
			return nil, nil, err
		}
		pipes, files = append(pipes, r), append(files, w)
	}
	if !spec.Apart {
		files = append(files, files[1])
	}
	p = newProcess(spec.Command, &os.ProcAttr{
		Dir:   "/",
		Env:   Environ(spec.RunAs, spec.Env),
		Files: files,
		Sys: &syscall.SysProcAttr{
			Setpgid:    true,
			Pdeathsig:  syscall.SIGKILL,
			Credential: spec.RunAs.system(),
		},
	}, spec.cgroup)
	go p.live()
	return p, pipes, nil
}

// await waits for the process, ends it when its time is over and fills in how
// it ended.
func (p *process) await(ctx context.Context, spec ExecSpec, out *Outcome, overdue func()) {
	var over <-chan time.Time
	if spec.Timeout > 0 {
		t := time.NewTimer(spec.Timeout)
		defer t.Stop()
		over = t.C
	}
	var cut Ending
	select {
	case <-p.gone:
	case <-over:
		cut = TimedOut
		overdue()
		p.giveGrace(ctx, spec.Grace)
	case <-ctx.Done():
		cut = Cancelled
	}
	if cut != 0 {
		err := p.end(unix.SIGKILL)
		t := time.NewTimer(deathPatience)
		defer t.Stop()
		select {
		case <-p.gone:
		case <-t.C:
			out.Ending, out.Err, out.Gone = cut, err, p.gone
			out.Duration = time.Since(out.At)
			return
		}
	}

	out.Duration = p.ended.Sub(out.At)
	switch status := p.status; {
	case p.err != nil:
		out.fail(p.err)
	case cut != 0: // whatever it made of that
		out.Ending = cut
	case status.Signaled():
		out.Ending, out.Signal = Signalled, status.Signal()
	default:
		out.Ending, out.Status = Exited, status.ExitStatus()
	}
}

// giveGrace asks the process to end, and waits for that as long as it may take.
func (p *process) giveGrace(ctx context.Context, grace time.Duration) {
	if grace <= 0 || p.end(unix.SIGTERM) != nil {
		return
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.gone:
	case <-t.C:
	case <-ctx.Done():
	}
}
