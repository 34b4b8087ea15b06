package sim

import (
	"fmt"
	"time"

	"vrrpd/vrrp"
)

// A Verdict is what became of a seed.
type Verdict struct {
	Seed     uint64
	Broken   string // the rule that was broken and when; "": none was
	Timeline string // if it was asked for

	causes  map[vrrp.Cause]int
	events  int
	yields  int
	answers int
	rodeOut int
	handed  int
	smooth  int
}

// Play makes a network from a seed, tortures it, lets it heal, and says what
// rule was broken, if any. The same seed gives the same story.
func Play(seed uint64, timeline bool) Verdict { return play(seed, timeline, nil) }

func play(seed uint64, timeline bool, t *twist) Verdict {
	s := newScenario(seed, !timeline, t)
	s.trouble()
	s.Run(s.end.Sub(s.now))
	s.heal()
	s.Run(s.alive())
	s.judge.somebody()
	s.Run(s.settled() - s.alive())
	s.judge.settled()
	s.judge.calm = s.now
	s.Run(s.quietTime())
	s.judge.settled()
	return Verdict{Seed: seed, Broken: s.judge.failed, Timeline: s.Timeline(), causes: s.judge.seen, events: s.serial,
		yields: s.judge.yields, answers: s.judge.answer, rodeOut: s.judge.rodeOut, handed: s.judge.handed, smooth: s.judge.smooth}
}

// quietTime is how long nothing may change in the end.
func (s *scenario) quietTime() time.Duration {
	if s.shortest < 50*ms {
		return max(20*s.longest, 2*time.Second)
	}
	return 20 * time.Second
}

// down is the longest Active_Down_Interval there is.
func (s *scenario) down() time.Duration {
	return s.atMost(vrrp.ActiveDownInterval(vrrp.V3, 1, max(s.longest, s.lans[0].interval))) + slack
}

// alive is how long after everything healed somebody must be active.
func (s *scenario) alive() time.Duration {
	return s.atMost(s.start+s.handover+s.longest+2*s.longest) + s.down()
}

// settled is how long after that it must be the right one.
func (s *scenario) settled() time.Duration {
	return s.alive() + s.atMost(s.preempt) + 3*s.down()
}

// A unit is what becomes active together.
type unit []*member

func (s *scenario) units() (all []unit) {
	for _, h := range s.hosts {
		if !h.alive {
			continue
		}
		if h.grouped {
			all = append(all, h.routers)
			continue
		}
		for _, m := range h.routers {
			all = append(all, unit{m})
		}
	}
	return all
}

// may reports whether nothing keeps a unit from being active.
func (u unit) may() bool {
	for _, m := range u {
		if len(m.Faults()) > 0 || len(m.Holds()) > 0 {
			return false
		}
	}
	return true
}

func (u unit) active() bool { return u[0].State() == vrrp.Active }

func (u unit) String() string { return fmt.Sprintf("%s/%d", u[0].node.Name, u[0].lan) }

// actives are the active routers of a LAN.
func (s *scenario) actives(lan int) (all []*member) {
	for _, node := range s.nodes {
		if node.alive && lan < len(node.routers) && node.routers[lan].State() == vrrp.Active {
			all = append(all, node.routers[lan])
		}
	}
	return all
}

// somebody: no unit waits that could be active without taking anything from
// anybody.
func (j *judge) somebody() { j.waiting(false) }

// settled: exactly one is active where somebody may be, nobody waits who has
// the right to more, nobody complains.
func (j *judge) settled() {
	for lan := range j.s.lans {
		all := j.s.actives(lan)
		if len(all) > 1 {
			j.fail(all[0], "is active beside %s after everything healed", all[1].node.Name)
		}
		for _, m := range all {
			if m.DualActive() || m.HandingOver() {
				j.fail(m, "is active, beside another: %v, handing over: %v, after everything healed", m.DualActive(), m.HandingOver())
			}
		}
	}
	j.waiting(true)
	j.answered()
}

// answered: who is active answers for the addresses, and nobody else who runs.
func (j *judge) answered() {
	for _, node := range j.s.nodes {
		if !node.alive {
			continue // leftovers has looked
		}
		for lan, m := range node.routers {
			p := &node.addresses[lan]
			if active := m.State() == vrrp.Active; p.held != active || active && p.lingers {
				j.fail(m, "is %s after everything healed and answers for the addresses: %v", m.State(), p.held)
			}
		}
	}
}

// waiting fails if a unit waits although each of its members is on a LAN
// without an active router or, if preemption counts, with one that it is to
// preempt.
func (j *judge) waiting(preemption bool) {
	for _, u := range j.s.units() {
		if !u.may() || u.active() {
			continue
		}
		held := false
		for _, m := range u {
			for _, a := range j.s.actives(m.lan) {
				held = held || !preemption || !m.mayPreempt() || a.Priority() >= m.Priority()
			}
		}
		if !held {
			j.fail(u[0], "is %s although nobody is active whom it would have to accept", u[0].State())
		}
	}
}
