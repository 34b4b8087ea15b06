package healthcheck

import (
	"context"
	"errors"
	"slices"
	"time"
)

var errStuck = errors.New("the command of an earlier run was killed and does not die")

// A Spec describes a check.
type Spec struct {
	Name     string
	Command  []string      // absolute path of the program, then its arguments
	Interval time.Duration // from the start of a run to the start of the next
	Timeout  time.Duration // of one run; 0: Interval
	Rise     int           // passes in a row that make it passing; 0: 1
	Fall     int           // failures in a row that make it failing; 0: 1
	RunAs    *Credential   // nil: this process's own identity
	Env      []string      // "NAME=value", on top of the clean environment
}

// A Result is one run and what it did to the verdict.
type Result struct {
	Check    string
	Passed   bool
	Verdict  Verdict
	Changed  bool          // this run changed the verdict
	Since    time.Time     // when the verdict last changed, or Run was called
	Output   string        // the beginning of the output, printable UTF-8, at most OutputLimit bytes
	Detail   string        // how the run ended: "exit status 2", "killed at the timeout of 1s"
	Duration time.Duration // of this run
	At       time.Time     // when this run started
	Runs     uint64        // commands started so far, this one included
	Overruns uint64        // runs skipped so far because the one before took too long
}

// A Check runs one command again and again.
type Check struct {
	spec     Spec
	report   func(Result)
	execute  func(context.Context, ExecSpec) Outcome
	counter  Counter
	since    time.Time
	runs     uint64
	overruns uint64
	stuck    <-chan struct{} // closed when a command that would not die is gone
}

// New returns a check that calls report after every run, always from the
// goroutine of Run. A report that blocks delays the next run. An Interval of 0
// or less counts as one second.
func New(spec Spec, report func(Result)) *Check {
	if spec.Interval <= 0 {
		spec.Interval = time.Second
	}
	if spec.Timeout <= 0 {
		spec.Timeout = spec.Interval
	}
	spec.Command, spec.Env = slices.Clone(spec.Command), slices.Clone(spec.Env)
	return &Check{
		spec:    spec,
		report:  report,
		execute: Execute,
		counter: NewCounter(spec.Rise, spec.Fall),
	}
}

// Run runs the check until ctx ends: at once, and then every interval. It never
// runs it twice at the same time; where a run takes longer than the interval,
// the runs that should have begun meanwhile are skipped and counted. A run
// that is under way when ctx ends is killed and not reported. Call Run once.
func (c *Check) Run(ctx context.Context) {
	c.since = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		out := c.once(ctx)
		if out.Ending == Cancelled {
			return
		}
		next := start.Add(c.spec.Interval)
		if late := time.Since(next); late > 0 {
			skipped := late/c.spec.Interval + 1
			c.overruns += uint64(skipped)
			next = next.Add(skipped * c.spec.Interval)
		}
		c.settle(out)
		timer.Reset(time.Until(next))
	}
}

// once runs the command, unless that of an earlier run refuses to die: a check
// that hangs beyond killing must not pile up processes.
func (c *Check) once(ctx context.Context) Outcome {
	if c.stuck != nil {
		select {
		case <-c.stuck:
			c.stuck = nil
		default:
			return Outcome{Ending: NotStarted, Err: errStuck, At: time.Now()}
		}
	}
	c.runs++
	out := c.execute(ctx, ExecSpec{
		Command: c.spec.Command,
		Env:     c.spec.Env,
		RunAs:   c.spec.RunAs,
		Timeout: c.spec.Timeout,
	})
	c.stuck = out.Gone
	return out
}

// settle counts an outcome and reports it.
func (c *Check) settle(out Outcome) {
	changed := c.counter.Add(out.Passed())
	if changed {
		c.since = time.Now()
	}
	c.report(Result{
		Check:    c.spec.Name,
		Passed:   out.Passed(),
		Verdict:  c.counter.Verdict(),
		Changed:  changed,
		Since:    c.since,
		Output:   out.Output,
		Detail:   out.Detail(),
		Duration: out.Duration,
		At:       out.At,
		Runs:     c.runs,
		Overruns: c.overruns,
	})
}
