package daemon

import (
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// A demotion under way: what was asked of one instance, and where the news of
// its successor arrives.
type demoting struct {
	inst      *instance
	name      string
	successor chan struct{} // closed when one is heard; nil: it was not active
	timeout   time.Duration
	number    int
	unchanged bool
	started   time.Time
}

// demote takes instances down as an operator asked.
func (e *engine) demote(now vrrp.Instant, list []*instance, r control.DemoteRequest) []demoting {
	var out []demoting
	demotion := demotionOf(r.Hard)
	for _, inst := range list {
		d := demoting{inst: inst, name: inst.cfg.Name, timeout: inst.cfg.HandoverTimeout, started: time.Now()}
		was := inst.router.Demotion()
		d.unchanged = was == demotion || was == vrrp.DemotedHard
		// Demoting again takes nothing back: a plain demotion does not lift a
		// hard one, nor one that is to persist. An end given later counts.
		inst.persist = inst.persist || r.Persist
		if d.unchanged && inst.ear != nil {
			inst.demotion++ // the demotion is no longer the drill's to lift
		}
		if !d.unchanged {
			inst.demotion++
			inst.until = time.Time{}
			if inst.router.State() == vrrp.Active {
				inst.successor = make(chan struct{})
				d.successor = inst.successor
			}
		}
		if r.For > 0 {
			inst.until = time.Now().Add(r.For)
		}
		d.number = inst.demotion
		out = append(out, d)
	}
	for _, d := range out {
		if !d.unchanged {
			e.step(now, d.inst, vrrp.Event{Kind: vrrp.EventDemote, Demotion: demotion, Force: r.Force})
		}
	}
	e.save()
	return out
}

// promote lifts demotions. With resume, an instance that nobody succeeded is
// active again at once. It reports which of them were demoted.
func (e *engine) promote(now vrrp.Instant, list []*instance, resume bool) map[*instance]bool {
	lifted := map[*instance]bool{}
	for _, inst := range list {
		if inst.router.Demotion() == vrrp.NotDemoted {
			continue
		}
		lifted[inst] = true
		inst.demotion++
		inst.until, inst.persist, inst.successor = time.Time{}, false, nil
		e.step(now, inst, vrrp.Event{Kind: vrrp.EventPromote, Resume: resume})
	}
	e.save()
	return lifted
}

// resumed forgets a demotion that the router itself took back because nobody
// took over.
func (e *engine) resumed(inst *instance) {
	if inst.router.Demotion() == vrrp.NotDemoted && (inst.persist || !inst.until.IsZero()) {
		inst.until, inst.persist = time.Time{}, false
		e.save()
	}
}

// successorOf says who took over from a demoted instance.
func (e *engine) successorOf(inst *instance) (string, bool) {
	a := inst.router.ActiveRouter()
	return a.Address.String(), a.Address.IsValid() && a.Priority > 0 && inst.router.State() != vrrp.Active
}

// tick does what has no moment of its own: demotions that end, sockets that
// could not be opened.
func (e *engine) tick(now vrrp.Instant) {
	e.saveLearned()
	e.plan.wanted = e.plan.wanted || e.plan.unspread
	wall := time.Now()
	for _, inst := range e.instances {
		if !inst.until.IsZero() && !wall.Before(inst.until) {
			e.promote(now, []*instance{inst}, false)
		}
	}
	var tried map[*port]bool
	for _, p := range e.ports {
		if p.err != nil && p.iface.Index != 0 {
			if tried == nil {
				tried = map[*port]bool{}
			}
			e.refreshPort(p)
			tried[p] = true
		}
	}
	if tried == nil {
		return
	}
	for _, inst := range e.instances { // once, however many ports failed
		if tried[inst.port] {
			e.assess(now, inst)
		}
	}
}

// resume takes back demotions that found no successor, a group's as a whole.
func (e *engine) resume(now vrrp.Instant, alone []demoting) {
	for _, d := range alone {
		if d.inst.demotion != d.number {
			continue // promoted, or demoted anew, meanwhile
		}
		list := []*instance{d.inst}
		if g := d.inst.group; g != nil {
			list = g.members
		}
		e.promote(now, list, true)
	}
}
