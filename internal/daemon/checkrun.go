package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// RunCheck runs a check once, by hand: in its turn, by the same means, as the
// same user and in the same environment. The result counts for nothing.
func (d *Daemon) RunCheck(ctx context.Context, q control.CheckRunRequest) (*control.CheckRun, error) {
	board := d.engine.board
	instances := board.instances(q.Check)
	if q.AsInstance != "" {
		if _, ok := board.state(q.AsInstance); !ok {
			return nil, d.unknown(ctx, func(e *engine) string { return e.unknown(q.AsInstance).Error() })
		}
		instances = []string{q.AsInstance}
	}
	env := board.environAs(instances)
	r, ok, err := d.checks.once(ctx, q.Check, env)
	if !ok {
		return nil, d.unknown(ctx, func(e *engine) string { return e.unknownCheck(q.Check) })
	}
	if errors.Is(err, errCheckGone) {
		return nil, &control.StatusError{Code: http.StatusConflict, Message: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	out := &control.CheckRun{Passed: r.Passed, Effects: []control.CheckEffect{}}
	gone, confinement := false, d.checks.confinement()
	err = d.loop.call(ctx, func(vrrp.Instant) {
		c := d.engine.checks[q.Check]
		if gone = c == nil; gone {
			return
		}
		out.Before = c.result.Verdict.String()
		out.Check = c.describe(r)
		out.Check.Instances = instances
		if c.cfg.Command != nil {
			out.Check.Confinement = confinement
			out.Env = healthcheck.Environ(c.cfg.RunAs, slices.Concat([]string{"VRRPD_CHECK=" + q.Check, "VRRPD_NODE=" + d.engine.node}, env))
		}
		out.Effects = d.engine.effects(&checkState{cfg: c.cfg, result: r}, instances)
	})
	if err == nil && gone {
		err = &control.StatusError{Code: http.StatusConflict, Message: errCheckGone.Error()}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// effects is what a check does to instances. One that does not track it is
// taken to do so with the check's own weights.
func (e *engine) effects(c *checkState, instances []string) []control.CheckEffect {
	out := []control.CheckEffect{}
	for _, name := range instances {
		inst := e.named(name)
		if inst == nil {
			continue
		}
		t := config.Track{Check: c.cfg.Name, Weight: c.cfg.Weight, WarningWeight: c.cfg.WarningWeight}
		if i := slices.IndexFunc(inst.cfg.Track, func(t config.Track) bool { return t.Check == c.cfg.Name }); i >= 0 {
			t = inst.cfg.Track[i]
		}
		tr := c.tracked(t)
		_, faults, holds := healthcheck.Assess([]healthcheck.Tracked{tr})
		effect := control.CheckEffect{Instance: name, Fault: len(faults) > 0, Hold: len(holds) > 0}
		if !inst.cfg.Owner() {
			effect.Weight = tr.Adds()
		}
		out = append(out, effect)
	}
	return out
}

// unknown is the error for a name that nothing has.
func (d *Daemon) unknown(ctx context.Context, text func(*engine) string) error {
	var message string
	if err := d.loop.call(ctx, func(vrrp.Instant) { message = text(d.engine) }); err != nil {
		return err
	}
	return &control.StatusError{Code: http.StatusNotFound, Message: message}
}

func (e *engine) unknownCheck(name string) string {
	if len(e.checkOrder) == 0 {
		return fmt.Sprintf("there is no check %q; there are none", name)
	}
	return fmt.Sprintf("there is no check %q; there are: %s", name, strings.Join(e.checkOrder, ", "))
}
