package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/healthcheck/probe"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// A checkRunner runs the checks, each in a goroutine of its own.
type checkRunner struct {
	ctx    context.Context
	report func(config.Check, healthcheck.Result)
	health func(config.BondCheck) probe.Probe
	board  *checkBoard
	exec   healthcheck.Executor
	tell   func(text string)
	told   sync.Once // that commands have no cgroups
	wg     sync.WaitGroup

	mu      sync.Mutex
	node    string
	made    int // checks, so far
	running map[string]*runningCheck
}

type runningCheck struct {
	cfg  config.Check
	run  *healthcheck.Check
	ctx  context.Context
	stop context.CancelFunc
	// hands counts the runs by hand under way. None begins once the check is
	// not in checkRunner.running any more.
	hands sync.WaitGroup
}

// newCheckRunner returns a runner without checks. Each result is reported with
// the configuration that it is the result of.
func newCheckRunner(ctx context.Context, board *checkBoard, report func(config.Check, healthcheck.Result)) *checkRunner {
	return &checkRunner{ctx: ctx, board: board, report: report, exec: inProcess{}, tell: func(string) {}, running: map[string]*runningCheck{}}
}

// newChecks makes the runner of a daemon. Where commands cannot have cgroups of
// their own, that is told once, when there is a command.
func (d *Daemon) newChecks() *checkRunner {
	c := newCheckRunner(d.ctx, d.engine.board, func(c config.Check, r healthcheck.Result) {
		d.loop.do(func(now vrrp.Instant) { d.engine.checkRan(now, c, r) })
	})
	c.health, c.exec = d.bondProbe, d.exec
	c.tell = func(text string) { d.say(levelInfo, kindCheck, text) }
	return c
}

// blindGrace is how long checks keep their verdicts while vrrpd itself cannot
// run their commands; that of a plugin's own unknown results holds for it too.
const blindGrace = 30 * time.Second

// losses counts the processes that ran commands and came to an end.
func (d *Daemon) losses() uint64 {
	if s, ok := d.exec.(*healthcheck.Spawner); ok {
		return s.Losses()
	}
	return 0
}

// watchLosses tells of them.
func (d *Daemon) watchLosses() {
	if s, ok := d.exec.(*healthcheck.Spawner); ok {
		s.Watch(func(err error) {
			d.say(levelWarn, kindWarning, fmt.Sprintf("the process that runs commands (%v) is replaced; what it ran is run again", err))
		})
	}
}

// confinement says what a command is killed with, for people: its cgroup, or
// its process group and why not its cgroup.
func (c *checkRunner) confinement() string {
	if err := c.exec.Confinement(); err != nil {
		return "process group (no cgroup: " + err.Error() + ")"
	}
	return "cgroup"
}

// tellConfinement says once if commands have no cgroups.
func (c *checkRunner) tellConfinement() {
	if how := c.confinement(); how != "cgroup" {
		c.told.Do(func() {
			c.tell("commands of checks are killed with their process group, which a process of theirs can leave: " + how)
		})
	}
}

// inProcess runs commands as children of this process, without cgroups.
type inProcess struct{}

func (inProcess) Execute(ctx context.Context, spec healthcheck.ExecSpec) healthcheck.Outcome {
	return healthcheck.Execute(ctx, spec)
}
func (inProcess) Release(string) {}
func (inProcess) Confinement() error {
	return errors.New("commands are run by the daemon's own process")
}
func (inProcess) Close() error { return nil }

// sameRun reports whether two configurations run the same check; the weights,
// and what it counts as before its first verdict, are the instances' business.
func sameRun(a, b config.Check) bool {
	a.Weight, a.WarningWeight, a.Initial = b.Weight, b.WarningWeight, b.Initial
	return reflect.DeepEqual(a, b)
}

// apply starts what is new, stops what is gone, and leaves alone what did not
// change: it keeps its verdict.
func (c *checkRunner) apply(checks []config.Check, node string) (changes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := map[string]config.Check{}
	for _, check := range checks {
		wanted[check.Name] = check
	}
	for _, name := range slices.Sorted(maps.Keys(c.running)) {
		r := c.running[name]
		w, ok := wanted[name]
		if ok && sameRun(w, r.cfg) && node == c.node {
			continue
		}
		r.stop()
		delete(c.running, name)
		if !ok {
			changes = append(changes, "check "+name+" removed")
		}
	}
	first := c.node == ""
	c.node = node
	fresh := slices.DeleteFunc(slices.Clone(checks), func(check config.Check) bool { return c.running[check.Name] != nil })
	for _, check := range fresh {
		if !first {
			changes = append(changes, "check "+check.Name+" started anew")
		}
		c.start(check, len(fresh))
	}
	return changes
}

// start starts a check, one of so many that start together.
func (c *checkRunner) start(check config.Check, together int) {
	r := &runningCheck{cfg: check}
	r.ctx, r.stop = context.WithCancel(c.ctx)
	spec := healthcheck.Spec{Name: check.Name, Command: check.Command, Interval: check.Interval, Timeout: check.Timeout,
		Rise: check.Rise, Fall: check.Fall, HoldDown: check.HoldDown, UnclearGrace: check.UnknownGrace, Contract: check.Contract,
		Grace: check.KillGrace, RunAs: check.RunAs, Env: []string{"VRRPD_CHECK=" + check.Name, "VRRPD_NODE=" + c.node},
		Environ: func() []string { return c.board.environ(check.Name) }}
	if check.Contract == healthcheck.ByStatus {
		spec.UnclearGrace = blindGrace
	}
	spec.First, spec.Offset = healthcheck.Spread(check.Name, check.Interval, together)
	switch {
	case check.Bond != nil:
		spec.Probe = c.health(*check.Bond)
	case check.Probe != nil:
		p, err := check.Probe.New()
		if err != nil { // the configuration was checked
			p = probe.Func{What: check.Name, Look: func(context.Context) probe.Outcome { return probe.Outcome{Detail: err.Error()} }}
		}
		spec.Probe = p
	default:
		c.made++
		// A check that is started anew may meet the last run of the one before.
		spec.Executor, spec.Cell = c.exec, fmt.Sprintf("%s.%d", check.Name, c.made)
	}
	r.run = healthcheck.New(spec, func(result healthcheck.Result) {
		if r.ctx.Err() != nil {
			return
		}
		if check.Command != nil {
			c.tellConfinement()
		}
		c.report(check, result)
	})
	c.running[check.Name] = r
	c.wg.Go(func() {
		r.run.Run(r.ctx)
		r.hands.Wait()
		if spec.Cell != "" {
			c.exec.Release(spec.Cell)
		}
	})
}

// once runs a check by hand. Without such a check ok is false.
func (c *checkRunner) once(ctx context.Context, name string, env []string) (r healthcheck.Result, ok bool, err error) {
	c.mu.Lock()
	check := c.running[name]
	if check != nil {
		check.hands.Add(1)
	}
	c.mu.Unlock()
	if check == nil {
		return r, false, nil
	}
	defer check.hands.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(check.ctx, cancel)()
	r, err = check.run.Once(ctx, env)
	if err != nil && check.ctx.Err() != nil {
		err = errCheckGone
	}
	return r, true, err
}

var errCheckGone = errors.New("the check was stopped meanwhile: by a reload, or because vrrpd stops")

// stop ends every check and waits for them.
func (c *checkRunner) stop() {
	c.mu.Lock()
	for name, r := range c.running {
		r.stop()
		delete(c.running, name)
	}
	c.mu.Unlock()
	c.wg.Wait()
}
