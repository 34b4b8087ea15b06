package daemon

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// timelineLength is how many events explain shows.
const timelineLength = 10

// Explain says why an instance is in its state and what would change it.
func (d *Daemon) Explain(ctx context.Context, name string) (*control.Explanation, error) {
	var x control.Explanation
	var unknown error
	err := d.loop.call(ctx, func(now vrrp.Instant) {
		inst := d.engine.named(name)
		if inst == nil {
			unknown = &control.StatusError{Code: http.StatusNotFound, Message: d.engine.unknown(name).Error()}
			return
		}
		x.Instance = d.engine.describe(now, inst)
		x.Why = d.engine.why(inst)
		x.Changes = d.engine.changes(now, inst)
	})
	if err == nil {
		err = unknown
	}
	if err != nil {
		return nil, err
	}
	x.Instance.Installed = addressNames(d.keeper.Installed(name))
	x.Timeline = d.journal.about(name, timelineLength)
	return &x, nil
}

// why gives the reasons of a state, the most important first.
func (e *engine) why(inst *instance) []string {
	r := inst.router
	var out []string
	switch r.State() {
	case vrrp.Active:
		out = append(out, "it is active because: "+inst.cause)
		for _, c := range inst.conditions {
			out = append(out, c.Name+" since "+c.Since.Format("15:04:05")+": "+c.Text)
		}
	case vrrp.Backup:
		if a := r.ActiveRouter(); a.Address.IsValid() {
			relation := "as high as"
			switch {
			case a.Priority > r.Priority():
				relation = "higher than"
			case a.Priority < r.Priority():
				relation = "lower than"
			}
			out = append(out, fmt.Sprintf("it is backup because %s is active with priority %d, %s its own %d", a.Address, a.Priority, relation, r.Priority()))
			if a.Priority < r.Priority() && !r.Config().Preempt {
				out = append(out, "it does not preempt (preempt = false)")
			}
		} else {
			out = append(out, "it is backup ("+inst.cause+") and knows of no active router")
		}
		if r.Expired() && len(r.Holds()) > 0 {
			out = append(out, "it would be active by now, but: "+strings.Join(r.Holds(), "; "))
		} else if r.Expired() && inst.group != nil {
			out = append(out, "it would be active by now, but its group "+inst.group.cfg.Name+" waits for: "+strings.Join(e.waitingFor(inst), ", "))
		}
	case vrrp.Fault:
		for _, f := range r.Faults() {
			out = append(out, "it is in fault because: "+f)
		}
	default:
		out = append(out, "it has not begun: "+inst.cause)
	}
	if r.Demotion() != vrrp.NotDemoted {
		text := "an operator demoted it"
		if !inst.until.IsZero() {
			text += " until " + inst.until.Format("15:04:05")
		}
		out = append(out, text)
	}
	if r.Demotion() == vrrp.NotDemoted && len(inst.parts) > 0 {
		parts := make([]string, 0, len(inst.parts))
		for _, p := range inst.parts {
			parts = append(parts, fmt.Sprintf("%+d %s", p.Weight, p.Source))
		}
		out = append(out, fmt.Sprintf("its priority is %d: %d configured, %s", r.Priority(), inst.cfg.Priority, strings.Join(parts, ", ")))
	}
	return out
}

// waitingFor names the members of a group that are not ready.
func (e *engine) waitingFor(inst *instance) []string {
	var out []string
	for _, m := range inst.group.members {
		if !m.router.Ready() {
			out = append(out, m.cfg.Name)
		}
	}
	return out
}

// changes says what would change the state.
func (e *engine) changes(now vrrp.Instant, inst *instance) []string {
	r := inst.router
	var out []string
	if next := nextEvent(now, r); next != nil && (r.State() != vrrp.Active || r.RidesOut()) {
		out = append(out, fmt.Sprintf("in %.2fs: %s", next.InSeconds, next.What))
	}
	switch r.State() {
	case vrrp.Active:
		out = append(out, fmt.Sprintf("a router that advertises a priority above %d, or as high from a higher address than %s", r.Priority(), r.Source()))
	case vrrp.Fault:
		out = append(out, "it is a backup again as soon as none of the reasons is left")
	case vrrp.Backup:
		if a := r.ActiveRouter(); a.Address.IsValid() && !r.Preempting() {
			out = append(out, fmt.Sprintf("%s falling silent, leaving (priority 0)%s", a.Address, preemptHint(r)))
		}
	}
	for _, t := range e.tracked(inst) {
		switch {
		case t.Faults():
			out = append(out, fmt.Sprintf("check %s failing: fault (now %s)", t.Name, t.Verdict))
		case t.Number:
			out = append(out, fmt.Sprintf("check %s finding another number: that on the priority (now %+d, %s)", t.Name, t.Adds(), t.Verdict))
		case t.Spared:
			out = append(out, fmt.Sprintf("check %s failing: fault of another member of its group (now %s)", t.Name, t.Verdict))
		default:
			out = append(out, fmt.Sprintf("check %s: %+d on the priority (now %s)", t.Name, t.Weight, t.Verdict))
		}
	}
	if r.Demotion() != vrrp.NotDemoted {
		out = append(out, "vrrpctl promote "+inst.cfg.Name)
	} else {
		out = append(out, "vrrpctl demote "+inst.cfg.Name)
	}
	return out
}

func preemptHint(r *vrrp.Router) string {
	if r.Config().Preempt && r.Demotion() == vrrp.NotDemoted {
		return fmt.Sprintf(", or advertising a priority below %d", r.Priority())
	}
	return ""
}
