package daemon

import (
	"context"
	"strings"

	"vrrpd/bonding"
	"vrrpd/healthcheck/probe"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// bondProbe looks at the health of a bond, which the loop knows.
func (d *Daemon) bondProbe(c config.BondCheck) probe.Probe {
	return probe.Func{
		What: "bond " + c.Name,
		Look: func(ctx context.Context) (out probe.Outcome) {
			if err := d.loop.call(ctx, func(vrrp.Instant) { out = d.engine.bondOutcome(c) }); err != nil {
				return probe.Outcome{Detail: "the health of bond " + c.Name + " was not told: " + err.Error()}
			}
			return out
		},
		Follow: func(ctx context.Context, wake func()) error {
			defer d.engine.board.follow(c.Name, wake)()
			wake()
			<-ctx.Done()
			return nil
		},
	}
}

// bondOutcome is the health of a bond that decides.
func (e *engine) bondOutcome(c config.BondCheck) probe.Outcome {
	b := e.bondNamed(c.Name)
	if b == nil || b.health == 0 {
		return probe.Outcome{Detail: "bond " + c.Name + " was not looked at yet"}
	}
	out := probe.Outcome{Detail: "bond " + c.Name + " is " + b.health.String(),
		Passed: b.health == bonding.Healthy || b.health == bonding.Degraded && c.Degraded}
	if b.health != bonding.Healthy && len(b.verdict.Reasons) > 0 {
		out.Detail += ": " + strings.Join(b.verdict.Reasons, "; ")
	}
	return out
}

// checksBond reports whether a check asks for a bond.
func (e *engine) checksBond(name string) bool {
	for _, c := range e.checks {
		if c.cfg.Bond != nil && c.cfg.Bond.Name == name {
			return true
		}
	}
	return false
}
