package sim

import (
	"time"

	"vrrpd/vrrp"
)

// kill ends a host's process without a word. Its service manager starts it
// again, at once or later, or has `vrrpd release` hand over first; or nobody
// does anything.
func (s *scenario) kill(h *host) {
	if !h.alive {
		return
	}
	s.Kill(h.Node)
	back := func(within time.Duration) {
		if at := s.now.Add(s.upTo(within)); at < s.end {
			s.at(at, func() {
				if h.replaces {
					s.shutdown(h, true)
				}
				s.launch(h)
			})
		}
	}
	switch n := s.rng.IntN(10); {
	case n < 6:
		back(s.pick(min(100*ms, s.shortest), 2*s.shortest, 6*h.cfgs[0].AdvertInterval))
	case n < 9:
		s.at(min(s.end, s.now.Add(s.upTo(100*ms))), func() { s.releases(h) })
		back(s.pick(s.longest, 10*s.longest))
	}
}

// releases is `vrrpd release`: a process that hands over in place of one that
// ended without a word, each router by itself.
func (s *scenario) releases(h *host) {
	if h.alive {
		return
	}
	var were []int
	for lan := range h.addresses {
		if h.addresses[lan].beat != 0 {
			were = append(were, lan)
		}
	}
	if len(were) == 0 {
		return
	}
	s.say(h.Node, "is released on %v", were)
	s.prepare(h.Node)
	if h.group != nil {
		h.group.Dissolve()
		h.group = nil
	}
	h.stopping, h.replaces = false, true
	clear(h.told)
	for _, lan := range were {
		s.tellFault(h, lan)
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventPriority, Priority: h.priorities[lan]})
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventStartup, Leave: true})
	}
	s.cleanUp(h.Node)
	h.stopping = true // now that none is in Initialize for want of a start
	s.shutdown(h, false)
}

// cutOff takes a host's carrier away, for a moment or longer.
func (s *scenario) cutOff(h *host) {
	lan := s.lanOf(h)
	if h.cut[lan] {
		return
	}
	h.cut[lan] = true
	s.judge.upset(lan)
	s.say(h.Node, "has no carrier on lan %d", lan)
	s.notice(h, lan)
	d := s.upTo(s.pick(200*ms, s.shortest, 3*h.cfgs[lan].AdvertInterval, 10*s.longest))
	s.at(min(s.end, s.now.Add(d)), func() { s.plugIn(h, lan) })
}

func (s *scenario) plugIn(h *host, lan int) {
	if !h.cut[lan] {
		return
	}
	h.cut[lan] = false
	s.judge.upset(lan)
	s.say(h.Node, "has a carrier on lan %d again", lan)
	s.notice(h, lan)
}

// notice has a host notice what changed, after a moment.
func (s *scenario) notice(h *host, lan int) {
	s.at(s.now.Add(s.upTo(s.lateMax)), func() { s.tell(h, lan, (*scenario).tellFault) })
}

// heal ends all faults but a few that a person has to end: hard demotions,
// faults, cables, and hosts that do not come back.
func (s *scenario) heal() {
	s.say(s.hosts[0].Node, "sees everything heal, with the others")
	for _, l := range s.links {
		l.loss, l.twice = 0, 0
	}
	limit := s.delayMax / 4
	for lan := range s.lans {
		clear(s.lans[lan].side)
		for a := range s.hosts {
			for b := range s.hosts {
				l := s.links[way{a, b, lan}]
				l.base, l.jitter = min(l.base, 100*time.Microsecond+limit), min(l.jitter, 2*limit)
			}
		}
	}
	someone := false
	for _, h := range s.shuffled() {
		if h.paused {
			s.goOn(h, false)
		}
		s.shutdown(h, true)
		s.settle(h.Node)
		for lan := range h.cfgs {
			if cfg := h.cfgs[lan]; cfg.Version == vrrp.V2 && cfg.AdvertInterval != s.lans[lan].interval {
				cfg.AdvertInterval = s.lans[lan].interval
				s.apply(h, lan, cfg)
			}
			s.unhold(h, lan)
			if !s.chance(0.2) {
				s.repair(h, lan)
			}
			if !s.chance(0.1) {
				s.plugIn(h, lan)
			}
		}
		if !h.alive && h.started && someone && s.chance(0.1) {
			s.say(h.Node, "is left as it is")
			continue
		}
		someone = true
		s.launch(h)
		for lan := range h.cfgs {
			if h.routers[lan].Demotion() == vrrp.Demoted || s.chance(0.6) {
				s.lift(h, h.unit(lan), s.chance(0.3))
			}
		}
	}
}
