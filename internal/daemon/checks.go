package daemon

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
)

// A checkRunner runs the checks, each in a goroutine of its own.
type checkRunner struct {
	ctx     context.Context
	report  func(config.Check, healthcheck.Result)
	running map[string]*runningCheck
	node    string
	wg      sync.WaitGroup
}

type runningCheck struct {
	cfg  config.Check
	stop context.CancelFunc
}

// newCheckRunner returns a runner without checks. Each result is reported with
// the configuration that it is the result of.
func newCheckRunner(ctx context.Context, report func(config.Check, healthcheck.Result)) *checkRunner {
	return &checkRunner{ctx: ctx, report: report, running: map[string]*runningCheck{}}
}

// sameRun reports whether two configurations run the same check; the weight
// is the instances' business.
func sameRun(a, b config.Check) bool {
	a.Weight, b.Weight = 0, 0
	return reflect.DeepEqual(a, b)
}

// apply starts what is new, stops what is gone, and leaves alone what did not
// change: it keeps its verdict.
func (c *checkRunner) apply(checks []config.Check, node string) (changes []string) {
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
	for _, check := range checks {
		if c.running[check.Name] != nil {
			continue
		}
		if !first {
			changes = append(changes, "check "+check.Name+" started anew")
		}
		ctx, stop := context.WithCancel(c.ctx)
		c.running[check.Name] = &runningCheck{check, stop}
		run := healthcheck.New(healthcheck.Spec{Name: check.Name, Command: check.Command, Interval: check.Interval, Timeout: check.Timeout,
			Rise: check.Rise, Fall: check.Fall, RunAs: check.RunAs, Env: []string{"VRRPD_CHECK=" + check.Name, "VRRPD_NODE=" + node}}, func(r healthcheck.Result) {
			if ctx.Err() == nil {
				c.report(check, r)
			}
		})
		c.wg.Go(func() { run.Run(ctx) })
	}
	return changes
}

// stop ends every check and waits for them.
func (c *checkRunner) stop() {
	for _, r := range c.running {
		r.stop()
	}
	c.wg.Wait()
}

// setChecks tells the engine which checks there are. One that stays the same
// keeps its verdict; with another name of the node, which checks are told, none
// does.
func (e *engine) setChecks(checks []config.Check, node string) {
	before, sameNode := e.checks, node == e.node
	e.checks, e.node = map[string]*checkState{}, node
	e.checkOrder = e.checkOrder[:0]
	for _, c := range checks {
		state := &checkState{cfg: c, created: time.Now()}
		if old := before[c.Name]; old != nil && sameNode && sameRun(old.cfg, c) {
			state.result, state.created = old.result, old.created
		}
		e.checks[c.Name] = state
		e.checkOrder = append(e.checkOrder, c.Name)
	}
}
