package healthcheck

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"vrrpd/healthcheck/probe"
)

var errStuck = errors.New("the command of an earlier run was killed and does not die")

// A Spec describes a check: a command, or a probe.
type Spec struct {
	Name     string
	Command  []string      // absolute path of the program, then its arguments
	Probe    probe.Probe   // in place of a command
	Interval time.Duration // from one run to the next
	Timeout  time.Duration // of one run; 0: Interval

	// What the results mean. See Rules and Contract.
	Rise         int
	Fall         int
	HoldDown     time.Duration
	UnclearGrace time.Duration
	Contract     Contract

	// First is how long the first run waits. Later runs come whenever Offset
	// has gone by of an interval, counted from the call of Run; the second one
	// half an interval to one and a half after the first. See Spread.
	First, Offset time.Duration

	// The rest is about commands.
	Grace    time.Duration   // between SIGTERM at the timeout and SIGKILL; 0: SIGKILL at once
	RunAs    *Credential     // nil: this process's own identity
	Env      []string        // "NAME=value", on top of the clean environment
	Environ  func() []string // more of it, asked for before every run; nil: none
	Executor Executor        // who runs them; nil: Execute
	Cell     string          // see ExecSpec
}

// A Result is one run and what it did to the verdict.
type Result struct {
	Check     string
	Passed    bool // with a warning or without
	Grade     Grade
	Verdict   Verdict
	Warning   bool          // it passes with a warning
	Changed   bool          // this run changed the verdict
	Since     time.Time     // when the verdict last changed, or Run was called
	HeldUntil time.Time     // it would pass, but for HoldDown; else zero
	Output    string        // the beginning of the output, printable UTF-8
	Summary   string        // its first line, without performance data
	Detail    string        // how the run ended: "exit status 2", "killed at the timeout of 1s"
	Perf      []Perf        // performance data, with the contract Nagios
	PerfBad   int           // values of it that were left out
	Value     int           // the last number that was read: see probe.Outcome
	HasValue  bool          // it was read in this run
	Duration  time.Duration // of this run
	At        time.Time     // when this run started
	Runs      uint64        // runs so far, this one included
	Overruns  uint64        // runs skipped so far because there was no time for them
	Unwatched string        // why the probe cannot tell of changes by itself; "" if it can, or never could
}

// A Check runs one command, or probe, again and again.
type Check struct {
	spec    Spec
	report  func(Result)
	execute func(context.Context, ExecSpec) Outcome
	turn    chan struct{} // holds a token while something runs
	wake    chan struct{} // holds one if the watcher wants a run

	unwatched atomic.Value // string: why the watcher cannot watch; "": it can

	// Whoever holds the turn owns the rest.
	judge    Judge
	last     Grade
	value    int // the last number that was read
	since    time.Time
	runs     uint64
	overruns uint64
	stuck    <-chan struct{} // closed when a command that would not die is gone
}

// New returns a check that calls report after every run, always from the
// goroutine of Run. A report that blocks delays the next run. A run that comes
// to its timeout is reported then, and once more when it is over and all is
// known of it; the second time counts for nothing. An Interval of 0 or less
// counts as one second.
func New(spec Spec, report func(Result)) *Check {
	if spec.Interval <= 0 {
		spec.Interval = time.Second
	}
	if spec.Timeout <= 0 {
		spec.Timeout = spec.Interval
	}
	spec.Command, spec.Env = slices.Clone(spec.Command), slices.Clone(spec.Env)
	execute := Execute
	if spec.Executor != nil {
		execute = spec.Executor.Execute
	}
	return &Check{
		spec:    spec,
		report:  report,
		execute: execute,
		turn:    make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		judge:   NewJudge(Rules{Rise: spec.Rise, Fall: spec.Fall, HoldDown: spec.HoldDown, UnclearGrace: spec.UnclearGrace}),
		since:   time.Now(),
	}
}

// wakeGap is the least time between two runs that a watcher asks for, from
// start to start: what changes a thousand times a second is not looked at as
// often.
const wakeGap = 10 * time.Millisecond

// Run runs the check until ctx ends. It never runs it twice at the same time;
// where a run takes longer than the interval, the runs that should have begun
// meanwhile are skipped and counted. A run that is under way when ctx ends is
// killed and not reported. Call Run once.
//
// A probe that notices changes by itself is run at once when it does. Such a
// run counts towards rise and fall only if its result is another than that of
// the run before: rise and fall are about time as well.
func (c *Check) Run(ctx context.Context) {
	begin := time.Now()
	due := begin.Add(c.spec.First)
	defer c.watching(ctx)()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	gap := time.NewTimer(wakeGap)
	defer gap.Stop()
	var wake <-chan struct{}
	for {
		scheduled := false
		select {
		case <-ctx.Done():
			return
		case <-gap.C:
			wake = c.wake
			continue
		case <-wake:
			if c.runs == 0 {
				continue // the first run is to come, and will see it
			}
		case <-timer.C:
			scheduled = true
		}
		wake = nil
		gap.Reset(wakeGap)
		if !c.take(ctx) {
			return
		}
		first := c.runs == 0
		a := c.once(ctx, scheduled)
		if a.cancelled {
			<-c.turn
			return
		}
		if scheduled {
			due = c.next(begin, due, first)
			timer.Reset(time.Until(due))
		}
		c.settle(a, scheduled)
		<-c.turn
	}
}

// lateness is the part of an interval that a run may begin late. One that comes
// to its timeout, which is the interval by default, ends a moment after the next
// is due: were that skipped, a check that hangs would run half as often, and be
// found out half as soon.
const lateness = 10

// next is when the run after the one that was due is due, and counts those that
// it is too late for.
func (c *Check) next(begin, due time.Time, first bool) time.Time {
	interval := c.spec.Interval
	next := due.Add(interval)
	if first {
		next = begin.Add(c.spec.Offset)
		for next.Before(due.Add(interval / 2)) {
			next = next.Add(interval)
		}
	}
	if late := time.Since(next) - interval/lateness; late > 0 {
		skipped := late/interval + 1
		c.overruns += uint64(skipped)
		next = next.Add(skipped * interval)
	}
	return next
}

// take waits for the turn; false: ctx ended.
func (c *Check) take(ctx context.Context) bool {
	select {
	case c.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// rewatch is how long a watcher that failed is left alone.
const rewatch = time.Second

// watching follows a probe that notices changes by itself, until ctx ends. What
// it returns waits for that.
func (c *Check) watching(ctx context.Context) (wait func()) {
	w, ok := c.spec.Probe.(probe.Watcher)
	if !ok {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pause := time.NewTimer(0)
		defer pause.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			err := w.Watch(ctx, func() {
				c.unwatched.Store("")
				select {
				case c.wake <- struct{}{}:
				default: // one is waiting already
				}
			})
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				c.unwatched.Store(err.Error())
			}
			pause.Reset(max(rewatch, c.spec.Interval))
		}
	}()
	return func() { <-done }
}

// Once runs the check by hand, in its turn, with env in place of what
// Spec.Environ says. The result tells what the verdict would be, counts for
// nothing, and is not reported. The error is that of ctx.
func (c *Check) Once(ctx context.Context, env []string) (Result, error) {
	if !c.take(ctx) {
		return Result{}, ctx.Err()
	}
	defer func() { <-c.turn }()
	a := c.attempt(ctx, slices.Concat(c.spec.Env, env), nil)
	if a.cancelled {
		return Result{}, ctx.Err()
	}
	judge := c.judge
	judge.Add(a.grade, time.Now())
	return c.result(a, &judge), nil
}

// An attempt is one run.
type attempt struct {
	grade     Grade
	found     Result // the part of the result that the run alone tells
	cancelled bool
	settled   bool // it has been counted
}

// once is a run that counts.
func (c *Check) once(ctx context.Context, scheduled bool) attempt {
	env := c.spec.Env
	if c.spec.Environ != nil {
		env = slices.Concat(env, c.spec.Environ())
	}
	if !c.isStuck() {
		c.runs++
	}
	settled := false
	a := c.attempt(ctx, env, func(o Outcome) {
		settled = true
		c.settle(c.judged(o), scheduled)
	})
	a.settled = settled
	return a
}

// attempt runs the command or the probe.
func (c *Check) attempt(ctx context.Context, env []string, overdue func(Outcome)) attempt {
	if c.spec.Probe != nil {
		return c.look(ctx)
	}
	if c.isStuck() {
		return c.judged(Outcome{Ending: NotStarted, Err: errStuck, At: time.Now()})
	}
	spec := ExecSpec{Command: c.spec.Command, Env: env, RunAs: c.spec.RunAs, Timeout: c.spec.Timeout, Grace: c.spec.Grace,
		Cell: c.spec.Cell, Overdue: overdue}
	if c.spec.Contract == Nagios {
		spec.Apart, spec.OutputLimit = true, nagiosOutputLimit
	}
	out := c.execute(ctx, spec)
	c.stuck = out.Gone
	return c.judged(out)
}

// isStuck reports whether the command of an earlier run is still there: a check
// that hangs beyond killing must not pile up processes.
func (c *Check) isStuck() bool {
	if c.stuck == nil {
		return false
	}
	select {
	case <-c.stuck:
		c.stuck = nil
		return false
	default:
		return true
	}
}

// judged is what the contract makes of how a command ended.
func (c *Check) judged(o Outcome) attempt {
	a := attempt{grade: c.spec.Contract.grade(o), cancelled: o.Ending == Cancelled}
	a.found = Result{Output: o.Output, Summary: c.spec.Contract.summary(o.Output), Detail: o.Detail(), Duration: o.Duration, At: o.At}
	if c.spec.Contract == Nagios {
		text := o.Output
		if o.Cut { // and the last value with it: 12 of 1234
			text = text[:strings.LastIndexAny(text, " \t\n")+1]
		}
		a.found.Perf, a.found.PerfBad = ParsePerf(text)
	}
	return a
}

// look runs the probe.
func (c *Check) look(ctx context.Context) attempt {
	limited, cancel := context.WithTimeout(ctx, c.spec.Timeout)
	defer cancel()
	at := time.Now()
	o := c.spec.Probe.Probe(limited)
	a := attempt{grade: Bad, cancelled: ctx.Err() != nil}
	if o.Passed {
		a.grade = Good
	}
	a.found = Result{Output: o.Output, Summary: o.Output, Detail: o.Detail, Value: o.Value, HasValue: o.HasValue, Duration: time.Since(at), At: at}
	return a
}

// settle counts an attempt and reports it.
func (c *Check) settle(a attempt, scheduled bool) {
	before := c.judge.Verdict()
	another := c.last == 0 || (a.grade == Bad) != (c.last == Bad)
	if !a.settled && (scheduled || another) {
		c.judge.Add(a.grade, time.Now())
	}
	c.last = a.grade
	if a.found.HasValue {
		c.value = a.found.Value
	}
	changed := c.judge.Verdict() != before
	if changed {
		c.since = time.Now()
	}
	r := c.result(a, &c.judge)
	r.Changed = changed
	c.report(r)
}

// result is what is reported of an attempt.
func (c *Check) result(a attempt, j *Judge) Result {
	r := a.found
	r.Check, r.Since, r.Runs, r.Overruns = c.spec.Name, c.since, c.runs, c.overruns
	r.Unwatched, _ = c.unwatched.Load().(string)
	r.Grade, r.Passed = a.grade, a.grade == Good || a.grade == Warned
	if !r.HasValue {
		r.Value = c.value // what counts as long as fall has the check passing
	}
	r.Verdict, r.Warning, r.HeldUntil = j.Verdict(), j.Warning(), j.Held()
	return r
}
