package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OutputLimit is how much of a command's output is kept, in bytes, unless
// ExecSpec says otherwise.
const OutputLimit = 4 << 10

const (
	// killGrace is how long a killed command may take to be gone before it is
	// reported all the same. Only a process in uninterruptible sleep (a hung
	// NFS server), or one that we may not signal, takes that long.
	killGrace = time.Second

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
	OutputLimit int           // bytes of output kept; 0: OutputLimit
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
)

// An Outcome is what became of a command.
type Outcome struct {
	Ending   Ending
	Status   int            // exit status, when Exited
	Signal   syscall.Signal // when Signalled
	Err      error          // why it was not started, or could not be killed
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

// Execute runs a command to its end and never longer than its timeout, give or
// take the moment that killing takes. It leaves no process of the command's
// group, no zombie and no descriptor behind. Should a killed process not go
// away, Execute returns nevertheless, with Outcome.Gone set.
//
// The command is killed by the kernel should this process die (PR_SET_PDEATHSIG;
// set-user-ID programs and the command's own children are exempt from that).
func Execute(ctx context.Context, spec ExecSpec) Outcome {
	out := Outcome{At: time.Now(), Timeout: spec.Timeout}
	if ctx.Err() != nil {
		out.Ending = Cancelled
		return out
	}
	p, r, err := launch(spec)
	if err != nil {
		out.Ending, out.Err = NotStarted, err
		return out
	}
	defer r.Close()

	sink := &output{limit: spec.OutputLimit}
	if sink.limit <= 0 {
		sink.limit = OutputLimit
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		sink.drain(r)
	}()

	p.await(ctx, spec.Timeout, &out)

	if err := r.SetReadDeadline(time.Now().Add(drainGrace)); err != nil {
		r.Close() // ends the read as well
	}
	<-drained
	out.Output, out.Cut = sink.text(), sink.truncated
	return out
}

// launch opens what the command needs and hands it to a process of its own. It
// returns without waiting for fork and exec. The caller reads the command's
// output from r and closes it.
func launch(spec ExecSpec) (p *process, r *os.File, err error) {
	if len(spec.Command) == 0 {
		return nil, nil, errors.New("no command")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		null.Close()
		return nil, nil, err
	}
	p = newProcess(spec.Command, &os.ProcAttr{
		Dir:   "/",
		Env:   environ(spec.RunAs, spec.Env),
		Files: []*os.File{null, w, w},
		Sys: &syscall.SysProcAttr{
			Setpgid:    true,
			Pdeathsig:  syscall.SIGKILL,
			Credential: spec.RunAs.system(),
		},
	})
	go p.live()
	return p, r, nil
}

// await waits for the process, kills it when its time is over and fills in how
// it ended.
func (p *process) await(ctx context.Context, timeout time.Duration, out *Outcome) {
	var over <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		over = t.C
	}
	var cut Ending
	select {
	case <-p.gone:
	case <-over:
		cut = TimedOut
	case <-ctx.Done():
		cut = Cancelled
	}
	if cut != 0 {
		err := p.kill()
		t := time.NewTimer(killGrace)
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
		out.Ending, out.Err = NotStarted, p.err
	case cut != 0 && status.Signaled() && status.Signal() == syscall.SIGKILL:
		out.Ending = cut
	case status.Signaled():
		out.Ending, out.Signal = Signalled, status.Signal()
	default: // even if it was about to be killed
		out.Ending, out.Status = Exited, status.ExitStatus()
	}
}
