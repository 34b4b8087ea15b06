package daemon

import (
	"math"
	"slices"

	"vrrpd/healthcheck"
	"vrrpd/internal/control"
)

// describeCheck is one check as status shows it. What a command is killed with
// is for the caller to add.
func (e *engine) describeCheck(c *checkState) control.Check {
	out := c.describe(c.result)
	if out.Since.IsZero() {
		out.Since = c.created
	}
	out.Instances = e.board.instances(c.cfg.Name)
	if out.Instances == nil {
		out.Instances = []string{}
	}
	return out
}

// describe is a check as a result has it. What it returns shares nothing with
// the engine that the engine changes.
func (c *checkState) describe(r healthcheck.Result) control.Check {
	cfg := &c.cfg
	out := control.Check{Name: cfg.Name, Kind: c.kind, Target: c.target,
		Passing: r.Verdict == healthcheck.Passing, Verdict: r.Verdict.String(), Warning: r.Warning, Since: r.Since,
		Result: r.Detail, Summary: r.Summary, Output: r.Output, PerfDropped: r.PerfBad,
		DurationSeconds: r.Duration.Seconds(), LastRun: r.At, Runs: r.Runs, Overruns: r.Overruns, Unwatched: r.Unwatched,
		IntervalSeconds: cfg.Interval.Seconds(), Instances: []string{}, Command: cfg.Command}
	if cfg.Command != nil {
		out.User = cfg.User
	}
	if cfg.Initial != healthcheck.Unknown {
		out.Initial = cfg.Initial.String()
	}
	if r.Grade != 0 {
		out.Grade = r.Grade.String()
	}
	if cfg.Number() && (r.HasValue || r.Verdict == healthcheck.Passing) {
		out.Weight = &r.Value
	}
	if !r.HeldUntil.IsZero() {
		out.HeldUntil = &r.HeldUntil
	}
	for _, p := range r.Perf {
		d := control.PerfData{Label: p.Label, Unit: p.Unit, Warn: p.Warn, Crit: p.Crit, Min: p.Min, Max: p.Max}
		if !math.IsNaN(p.Value) {
			d.Value = &p.Value
		}
		out.PerfData = append(out.PerfData, d)
	}
	return out
}

// perfSamples are the values of the last run that metrics show.
func (c *checkState) perfSamples() []PerfSample {
	var out []PerfSample
	var seen []perfKey
	for _, p := range c.result.Perf {
		key := perfKey{p.Label, p.Unit}
		if math.IsNaN(p.Value) || !slices.Contains(c.told, key) || slices.Contains(seen, key) {
			continue
		}
		seen = append(seen, key)
		out = append(out, PerfSample{c.cfg.Name, p.Label, p.Unit, p.Value})
	}
	return out
}
