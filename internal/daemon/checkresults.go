package daemon

import (
	"fmt"
	"slices"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// A checkState is what the engine knows of one check.
type checkState struct {
	cfg     config.Check
	kind    string // command, tcp, …
	target  string // what it looks at
	result  healthcheck.Result
	created time.Time
	told    []perfKey // the values of performance data that metrics have
}

// A perfKey is one value of performance data as metrics name it.
type perfKey struct{ label, unit string }

// perfTold is how many values of one check metrics have at most. The first that
// were ever seen stay the ones that are shown: a plugin whose labels change (with
// process numbers, or names of files) must not make new time series for ever.
const perfTold = 16

// setChecks tells the engine which checks there are. One that stays the same
// keeps its verdict; with another name of the node, which checks are told, none
// does.
func (e *engine) setChecks(checks []config.Check, node string) {
	before, sameNode := e.checks, node == e.node
	e.checks, e.node = map[string]*checkState{}, node
	e.checkOrder = e.checkOrder[:0]
	for _, c := range checks {
		state := &checkState{cfg: c, created: time.Now()}
		state.kind, state.target = c.Describe()
		if old := before[c.Name]; old != nil && sameNode && sameRun(old.cfg, c) {
			state.result, state.created, state.told = old.result, old.created, old.told
		}
		e.checks[c.Name] = state
		e.checkOrder = append(e.checkOrder, c.Name)
	}
}

// tracked lists the checks of an instance, and those of its whole group: the
// members must agree in priority, or the group could not settle. A check that
// several members track adds once, what the first of them has it add. One of
// weight 0 is a fault of each member that tracks it so, whatever others have,
// and of no other: they hear of it through the group.
func (e *engine) tracked(inst *instance) []healthcheck.Tracked {
	members := []*instance{inst}
	if inst.group != nil {
		members = inst.group.members
	}
	var out []healthcheck.Tracked
	named := func(name string) func(healthcheck.Tracked) bool {
		return func(o healthcheck.Tracked) bool { return o.Name == name }
	}
	for _, m := range members {
		for _, t := range m.cfg.Track {
			tr := e.checks[t.Check].tracked(t)
			tr.Spared = m != inst && tr.Faults()
			if slices.ContainsFunc(out, named(t.Check)) {
				if m != inst || !tr.Faults() {
					continue
				}
				tr.WarningWeight = 0 // what it adds is the first's
			}
			out = append(out, tr)
		}
	}
	return out
}

// tracked is the check as an instance tracks it.
func (c *checkState) tracked(t config.Track) healthcheck.Tracked {
	out := healthcheck.Tracked{Name: t.Check, Weight: t.Weight, WarningWeight: t.WarningWeight}
	if c != nil {
		out.Verdict, out.Warning, out.Initial = c.result.Verdict, c.result.Warning, c.cfg.Initial
		out.Number, out.Value = c.cfg.Number(), c.result.Value
	}
	return out
}

// checkRan takes the result of a check that was run as cfg says.
func (e *engine) checkRan(now vrrp.Instant, cfg config.Check, r healthcheck.Result) {
	c := e.checks[r.Check]
	if c == nil || !sameRun(c.cfg, cfg) {
		return // dropped or changed by a reload meanwhile
	}
	before := c.result
	c.result = r
	c.follow(r.Perf)
	news := c.news(before)
	if news.text == "" {
		return
	}
	news.kind, news.check = kindCheck, r.Check
	e.tell(news)
	for _, inst := range e.instances {
		if e.tracks(inst, r.Check) {
			e.assess(now, inst)
		}
	}
}

// news is what people should know of a result; without a text it changes
// nothing.
func (c *checkState) news(before healthcheck.Result) note {
	r, name := &c.result, "check "+c.cfg.Name
	switch {
	case r.Verdict != before.Verdict && r.Verdict == healthcheck.Failing:
		text := name + " is failing: " + r.Detail
		if r.Summary != "" && r.Summary != r.Detail {
			text += ": " + r.Summary
		}
		return note{level: levelWarn, text: text}
	case r.Verdict != before.Verdict && r.Warning, r.Warning && !before.Warning:
		return note{level: levelWarn, text: name + " is passing with a warning: " + r.Summary}
	case r.Verdict != before.Verdict:
		return note{level: levelInfo, text: name + " is " + r.Verdict.String() + c.number()}
	case r.Warning != before.Warning:
		return note{level: levelInfo, text: name + " is passing without a warning"}
	case c.cfg.Number() && r.Value != before.Value && r.Verdict == healthcheck.Passing:
		return note{level: levelInfo, text: name + " has changed" + c.number()}
	}
	return note{}
}

func (c *checkState) number() string {
	if !c.cfg.Number() {
		return ""
	}
	return fmt.Sprintf(": the weight is %d", c.result.Value)
}

// follow remembers which values of performance data metrics have.
func (c *checkState) follow(perf []healthcheck.Perf) {
	for _, p := range perf {
		key := perfKey{p.Label, p.Unit}
		if len(c.told) < perfTold && !slices.Contains(c.told, key) {
			c.told = append(c.told, key)
		}
	}
}

func (e *engine) tracks(inst *instance, check string) bool {
	return slices.ContainsFunc(e.tracked(inst), func(t healthcheck.Tracked) bool { return t.Name == check })
}

// publish puts on the board what checks are told: who tracks them, and in which
// states these are. It is called when a plan has been applied.
func (e *engine) publish() {
	trackers, states := map[string][]string{}, map[string]vrrp.State{}
	for _, inst := range e.instances {
		states[inst.cfg.Name] = inst.router.State()
		for _, t := range inst.cfg.Track {
			trackers[t.Check] = append(trackers[t.Check], inst.cfg.Name)
		}
	}
	e.board.set(trackers, states)
}
