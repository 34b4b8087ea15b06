package daemon

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// This file has what a drill of the kind demote does on the loop.

// drillMembers are the instances that a name means, with their groups; without
// a name, those there are if that is no choice. The error says why they cannot
// be drilled now.
func (e *engine) drillMembers(name string) ([]demoting, error) {
	names := []string{name}
	if name == "" {
		var choices []string
		for _, inst := range e.instances {
			if inst.group == nil {
				choices = append(choices, inst.cfg.Name)
			}
		}
		for _, g := range e.groups {
			choices = append(choices, g.cfg.Name)
		}
		switch len(choices) {
		case 0:
			return nil, refuse(http.StatusConflict, "there is no instance")
		case 1:
			names = nil
		default:
			return nil, refuse(http.StatusBadRequest, "which instance? name one: %s", strings.Join(choices, ", "))
		}
	}
	list, err := e.resolve(names)
	if err != nil {
		return nil, refuse(http.StatusNotFound, "%s", err)
	}
	var out []demoting
	for _, inst := range list {
		if why := e.undrillable(inst); why != "" {
			return nil, refuse(http.StatusConflict, "%s", why)
		}
		out = append(out, demoting{inst: inst, name: inst.cfg.Name, number: inst.demotion})
	}
	return out, nil
}

// undrillable is why an instance cannot be drilled now; "" if it can.
func (e *engine) undrillable(inst *instance) string {
	name, r := inst.cfg.Name, inst.router
	switch {
	case e.idle != nil:
		return errStopped.Error()
	case r.Demotion() != vrrp.NotDemoted:
		return name + " is demoted already; `vrrpctl promote " + name + "` lifts that"
	case r.HandingOver():
		return name + " is handing over already"
	case r.State() != vrrp.Active:
		text := name + " is " + r.State().String() + " here"
		if a := r.ActiveRouter(); a.Address.IsValid() {
			return fmt.Sprintf("%s; %s (priority %d) is active: drill there", text, a.Address, a.Priority)
		}
		if reasons := heldBy(inst); reasons != "" {
			text += " (" + reasons + ")"
		}
		return text + ", and nobody is known to be active"
	case len(r.Faults()) > 0:
		return name + " is about to leave: " + heldBy(inst)
	case r.DualActive():
		return name + " is active beside another router; see `vrrpctl explain " + name + "`"
	}
	return ""
}

// heldBy is what keeps an instance from being active.
func heldBy(inst *instance) string {
	return strings.Join(append(inst.router.Faults(), inst.router.Holds()...), "; ")
}

// release demotes what is drilled, if it is as it was found.
func (e *engine) release(now vrrp.Instant, under []demoting) error {
	var list []*instance
	for _, u := range under {
		if !slices.Contains(e.instances, u.inst) {
			return fmt.Errorf("%s is gone", u.name)
		}
		if why := e.undrillable(u.inst); why != "" {
			return fmt.Errorf("%s", why)
		}
		list = append(list, u.inst)
	}
	copy(under, e.demote(now, list, control.DemoteRequest{}))
	return nil
}

// lift promotes what the drill demoted, and leaves alone what an operator
// promoted or demoted since.
func (e *engine) lift(now vrrp.Instant, under []demoting) (l lifted) {
	var mine []*instance
	for _, u := range under {
		if u.inst.demotion == u.number && slices.Contains(e.instances, u.inst) {
			mine = append(mine, u.inst)
		}
	}
	e.promote(now, mine, true)
	for i := range under {
		if slices.Contains(mine, under[i].inst) {
			under[i].number = under[i].inst.demotion
		}
	}
	for _, inst := range mine {
		why, within := returns(inst)
		if l.stays == "" {
			l.stays = why
		}
		l.within = max(l.within, within)
	}
	return l
}

// returns is why an instance that was promoted does not become active by
// itself, and else how long that takes at most.
func returns(inst *instance) (stays string, within time.Duration) {
	r := inst.router
	if r.State() == vrrp.Active {
		return "", drillPatience
	}
	within = max(vrrp.ActiveDownInterval(r.Config().Version, r.Priority(), r.ActiveInterval()), inst.cfg.PreemptDelay) + r.ActiveInterval() + drillPatience
	if why := staysAway(inst.cfg); why != "" {
		return why, within
	}
	if a := r.ActiveRouter(); a.Address.IsValid() && a.Priority >= r.Priority() {
		return fmt.Sprintf("%s does not preempt a router of the same or a higher priority (%d here, %d there)", inst.cfg.Name, r.Priority(), a.Priority), within
	}
	return "", within
}

// standings are how the drilled instances stand.
func (e *engine) standings(under []demoting) (out []memberStanding) {
	for _, u := range under {
		if !slices.Contains(e.instances, u.inst) {
			continue
		}
		r := u.inst.router
		s := memberStanding{standing: standing{name: u.name, state: r.State()}, leaving: r.HandingOver(),
			demoted: r.Demotion() != vrrp.NotDemoted, foreign: u.inst.demotion != u.number, held: heldBy(u.inst)}
		for _, n := range u.inst.transitions {
			s.transitions += n
		}
		out = append(out, s)
	}
	return out
}
