package daemon

import (
	"slices"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// conditionAddress is the condition of an address that another host answers
// for. The others are named after the causes of the router's records.
const conditionAddress = "address_conflict"

// raisedBy are the records that raise a condition of that name.
var raisedBy = []vrrp.Cause{vrrp.CauseDualActive, vrrp.CauseOwnerConflict, vrrp.CauseSameAddress, vrrp.CauseMute}

// endedBy are the records that end conditions while the router stays active;
// whatever ends that ends them all.
var endedBy = map[vrrp.Cause][]vrrp.Cause{
	vrrp.CauseDualResolved: {vrrp.CauseDualActive, vrrp.CauseOwnerConflict, vrrp.CauseSameAddress},
	vrrp.CauseSpeaksAgain:  {vrrp.CauseMute},
}

// conditionsFollow raises and ends the conditions that a record speaks of.
func (e *engine) conditionsFollow(inst *instance, r vrrp.Record, text string) {
	if r.Transition() {
		for _, c := range slices.Clone(inst.conditions) {
			e.end(inst, c.Name)
		}
		return
	}
	if slices.Contains(raisedBy, r.Cause) {
		e.raise(inst, r.Cause.String(), text)
	}
	for _, c := range endedBy[r.Cause] {
		e.end(inst, c.String())
	}
}

// raise notes that something is wrong with an instance, which lasts until it
// is ended, and tells the commands that want to know. The record or event that
// speaks of it is told by whoever raises it.
func (e *engine) raise(inst *instance, name, text string) {
	i := slices.IndexFunc(inst.conditions, func(c control.Condition) bool { return c.Name == name })
	if i >= 0 {
		inst.conditions[i].Text = text
		return
	}
	inst.conditions = append(inst.conditions, control.Condition{Name: name, Since: time.Now(), Text: text})
	e.notifyCondition(inst, name, "on")
}

// end notes that a condition is over, if it was in force.
func (e *engine) end(inst *instance, name string) {
	before := len(inst.conditions)
	inst.conditions = slices.DeleteFunc(inst.conditions, func(c control.Condition) bool { return c.Name == name })
	if len(inst.conditions) < before {
		e.notifyCondition(inst, name, "off")
	}
}

func (e *engine) notifyCondition(inst *instance, name, state string) {
	what := notification{name: inst.cfg.Name, state: conditionState, priority: inst.router.Priority(), condition: name, turned: state}
	e.then(func() { e.out.notify(what) })
}

// conditionState stands where a command is told the state, when it is told of a
// condition.
const conditionState = "CONDITION"
