package sim

import (
	"time"

	"vrrpd/vrrp"
)

// A fault is one thing that is done to the network or to a node. Most undo
// themselves after a while.
type fault struct {
	often   int
	do      func(s *scenario, h *host)
	planned bool // people do it on purpose, and nobody need notice
}

var faults = []fault{
	{3, (*scenario).lossOneWay, false},
	{2, (*scenario).lossBothWays, false},
	{2, (*scenario).burst, false},
	{1, (*scenario).slow, false},
	{2, (*scenario).part, false},
	{3, (*scenario).pause, false},
	{2, (*scenario).crash, false},
	{5, (*scenario).kill, false},
	{5, (*scenario).cutOff, false},
	{4, (*scenario).stop, true},
	{5, (*scenario).demote, true},
	{2, (*scenario).promote, true},
	{3, (*scenario).reprioritise, true},
	{4, (*scenario).fail, false},
	{3, (*scenario).hold, true},
	{3, (*scenario).reconfigure, true},
	{1, (*scenario).renumber, true},
	{2, (*scenario).replace, true},
}

// trouble schedules the faults until s.end.
func (s *scenario) trouble() {
	total := 30*time.Second + s.upTo(30*time.Second)
	if s.shortest < 50*ms { // many advertisements in a short time
		total = max(total/8, 8*s.longest)
	}
	s.end = s.now.Add(total)
	all := 0
	for _, f := range faults {
		if f.planned || !s.calm {
			all += f.often
		}
	}
	gap := total / time.Duration(5+s.rng.IntN(40))
	for at := s.now.Add(s.upTo(6 * s.longest)); at < s.end; at = at.Add(s.upTo(2 * gap)) {
		s.at(at, func() {
			h := s.hosts[s.rng.IntN(len(s.hosts))]
			n := s.rng.IntN(all)
			for _, f := range faults {
				if s.calm && !f.planned {
					continue
				}
				if n -= f.often; n < 0 {
					f.do(s, h)
					return
				}
			}
		})
	}
}

// later does something after a while that is of the order of the intervals,
// unless all is healed by then.
func (s *scenario) later(do func()) {
	d := s.pick(s.shortest/2, s.longest, 3*s.longest, 10*s.longest)
	if at := s.now.Add(s.upTo(d)); at < s.end {
		s.at(at, do)
	}
}

// elsewhere returns another host.
func (s *scenario) elsewhere(h *host) *host {
	return s.hosts[(h.index+1+s.rng.IntN(len(s.hosts)-1))%len(s.hosts)]
}

func (s *scenario) anyLAN() int { return s.rng.IntN(len(s.lans)) }

func (s *scenario) amount() float64 {
	return []float64{0.1, 0.5, 0.9, 1, 1}[s.rng.IntN(5)]
}

func (s *scenario) lossOneWay(h *host) {
	other, lan, p := s.elsewhere(h), s.anyLAN(), s.amount()
	l := s.links[way{h.index, other.index, lan}]
	l.loss = p
	s.say(h.Node, "loses %.0f%% to %s on lan %d", 100*p, other.Name, lan)
	s.later(func() { l.loss = 0 })
}

func (s *scenario) lossBothWays(h *host) {
	other, lan, p := s.elsewhere(h), s.anyLAN(), s.amount()
	there, back := s.links[way{h.index, other.index, lan}], s.links[way{other.index, h.index, lan}]
	there.loss, back.loss = p, p
	s.say(h.Node, "loses %.0f%% to and from %s on lan %d", 100*p, other.Name, lan)
	s.later(func() { there.loss, back.loss = 0, 0 })
}

// burst is a moment in which nobody hears anything on a LAN.
func (s *scenario) burst(*host) {
	lan := s.anyLAN()
	for w, l := range s.links {
		if w.lan == lan {
			l.loss = 1
		}
	}
	s.say(s.hosts[0].Node, "and all others lose everything on lan %d for a moment", lan)
	s.at(min(s.end, s.now.Add(s.upTo(4*s.longest))), func() {
		for w, l := range s.links {
			if w.lan == lan {
				l.loss = 0
			}
		}
	})
}

// slow gives a way another delay, so that messages overtake each other.
func (s *scenario) slow(h *host) {
	other, lan := s.elsewhere(h), s.anyLAN()
	l := s.links[way{h.index, other.index, lan}]
	before := *l
	l.base, l.jitter, l.twice = 100*time.Microsecond+s.upTo(10*ms), s.upTo(10*ms), s.amount()/2
	s.say(h.Node, "takes %s and up to %s more to %s on lan %d, some twice", l.base, l.jitter, other.Name, lan)
	s.later(func() { l.base, l.jitter, l.twice = before.base, before.jitter, before.twice })
}

func (s *scenario) part(h *host) {
	lan := s.anyLAN()
	side := s.lans[lan].side
	for i := range side {
		side[i] = s.chance(0.5)
	}
	side[h.index] = !side[s.elsewhere(h).index]
	s.say(h.Node, "is parted from others on lan %d: %v", lan, side)
	s.later(func() { clear(side) })
}

func (s *scenario) pause(h *host) {
	if !h.alive || h.paused {
		return
	}
	s.Pause(h.Node)
	routers := h.routers
	d := s.pick(ms, 20*ms, s.longest, 5*s.longest)
	s.at(min(s.end, s.now.Add(s.upTo(d))), func() {
		if h.alive && &h.routers[0] == &routers[0] {
			s.goOn(h, s.chance(0.3))
		}
	})
}

// goOn ends a pause. A host looks at its surroundings first, or hears last what
// changed in them, if the pause was short or the looking took too long.
func (s *scenario) goOn(h *host, activeFirst bool) {
	look := func() {
		for lan := range h.routers {
			s.tell(h, lan, (*scenario).tellFault)
		}
	}
	if s.chance(0.3) {
		s.Resume(h.Node, activeFirst, nil)
	} else {
		s.Resume(h.Node, activeFirst, look)
	}
	look()
}

func (s *scenario) crash(h *host) {
	if !h.alive {
		return
	}
	s.Crash(h.Node)
	s.later(func() { s.launch(h) })
}

// stop stops a host as the daemon does: the groups end, and each router hands
// over by itself.
func (s *scenario) stop(h *host) {
	if !h.running() {
		return
	}
	atOnce := s.chance(0.2) && !s.calm
	s.say(h.Node, "is told to stop, at once: %v", atOnce)
	h.stopping = true
	s.shutdown(h, atOnce)
	s.later(func() {
		s.shutdown(h, true)
		s.launch(h)
	})
}

// replace stops a router of a group and has another one join in its place, as a
// reload does. The others go on.
func (s *scenario) replace(h *host) {
	if h.group == nil || !h.running() {
		return
	}
	lan := s.lanOf(h)
	s.say(h.Node, "has its router on lan %d replaced", lan)
	h.group.Dissolve()
	h.group = nil
	s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventShutdown, Now: true})
	type standing struct{ active, leaving bool }
	stand := func(m *member) standing { return standing{m.State() == vrrp.Active, m.HandingOver()} }
	var before []standing
	for _, m := range h.routers {
		before = append(before, stand(m))
	}
	h.tie()
	if s.hastes {
		s.settle(h.Node)
	}
	if within := h.group.JoinWithin(); within > 0 {
		group := h.group
		s.at(min(s.end, s.now.Add(within)), func() {
			if h.group == group && h.running() {
				s.settle(h.Node)
			}
		})
	}
	s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventStartup})
	for i, m := range h.routers {
		if i != lan && before[i].active && stand(m) != before[i] {
			s.judge.fail(m, "moves because another one joins its group")
		}
	}
}

func (s *scenario) shutdown(h *host, atOnce bool) {
	if !h.alive || !h.stopping || h.paused {
		return
	}
	if h.group != nil {
		h.group.Dissolve()
		h.group = nil
	}
	for lan := range h.routers {
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventShutdown, Now: atOnce})
	}
	s.stopped(h)
}

// stopped ends a host whose routers have all stopped.
func (s *scenario) stopped(h *host) {
	if !h.stopping || !h.alive {
		return
	}
	for _, m := range h.routers {
		if m.State() != vrrp.Initialize {
			return
		}
	}
	s.say(h.Node, "has stopped")
	h.alive = false
	s.expireLeases(h.Node)
}

// running reports whether a host can be told anything.
func (h *host) running() bool { return h.alive && !h.paused && !h.stopping }

// unit is a router with the others of its group.
func (h *host) unit(lan int) []int {
	if !h.grouped {
		return []int{lan}
	}
	all := make([]int, len(h.cfgs))
	for i := range all {
		all[i] = i
	}
	return all
}

func (s *scenario) lanOf(h *host) int { return s.rng.IntN(len(h.cfgs)) }

func (s *scenario) demote(h *host) {
	if !h.running() {
		return
	}
	unit := h.unit(s.lanOf(h))
	e := vrrp.Event{Kind: vrrp.EventDemote, Demotion: vrrp.Demoted, Force: s.chance(0.5)}
	if s.chance(0.3) {
		e.Demotion = vrrp.DemotedHard
	}
	s.say(h.Node, "is demoted on %v, hard: %v, force: %v", unit, e.Demotion == vrrp.DemotedHard, e.Force)
	var wasActive []*member
	for _, lan := range unit {
		if m := h.routers[lan]; m.State() == vrrp.Active {
			wasActive = append(wasActive, m)
		}
	}
	h.demotion++
	number := h.demotion
	for _, lan := range unit {
		s.step(h.Node, lan, e)
	}
	if !e.Force && len(wasActive) > 0 {
		s.at(s.now.Add(max(h.cfgs[unit[0]].HandoverTimeout, 4*h.cfgs[unit[0]].AdvertInterval)+10*ms), func() {
			for _, m := range wasActive {
				a := m.ActiveRouter()
				alone := m.State() == vrrp.Active || !a.Address.IsValid() || a.Priority == 0
				if h.running() && h.demotion == number && h.routers[m.lan] == m && alone {
					s.lift(h, unit, true)
					return
				}
			}
		})
	}
	if s.chance(0.7) {
		s.later(func() {
			if h.running() && h.demotion == number {
				s.lift(h, unit, s.chance(0.3))
			}
		})
	}
}

func (s *scenario) promote(h *host) {
	if h.running() {
		s.lift(h, h.unit(s.lanOf(h)), s.chance(0.5))
	}
}

// lift lifts a demotion.
func (s *scenario) lift(h *host, unit []int, resume bool) {
	s.say(h.Node, "is promoted on %v, resume: %v", unit, resume)
	h.demotion++
	for _, lan := range unit {
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventPromote, Resume: resume})
	}
}

func (s *scenario) reprioritise(h *host) {
	if !h.running() {
		return
	}
	unit := h.unit(s.lanOf(h))
	p := uint8(1 + s.rng.IntN(254))
	if s.chance(0.3) {
		p = s.elsewhere(h).priorities[0]
		p = max(1, min(p, vrrp.PriorityMax))
	}
	s.say(h.Node, "has priority %d on %v", p, unit)
	for _, lan := range unit {
		h.priorities[lan] = p
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventPriority, Priority: p})
	}
}

func (s *scenario) fail(h *host) {
	lan := s.lanOf(h)
	if h.faults[lan] != "" || h.paused {
		return
	}
	h.faults[lan], h.silent[lan], h.atOnce[lan] = "a fault", s.chance(0.4), s.chance(0.2)
	s.say(h.Node, "is at fault on lan %d, interface down: %v", lan, h.silent[lan])
	s.tell(h, lan, (*scenario).tellFault)
	s.later(func() { s.repair(h, lan) })
}

func (s *scenario) repair(h *host, lan int) {
	if h.faults[lan] == "" || h.paused {
		return
	}
	h.faults[lan], h.silent[lan], h.atOnce[lan] = "", false, false
	s.say(h.Node, "is no longer at fault on lan %d", lan)
	s.tell(h, lan, (*scenario).tellFault)
}

// tell tells a host that runs what its surroundings are like.
func (s *scenario) tell(h *host, lan int, what func(*scenario, *host, int)) {
	if h.alive && !h.paused {
		what(s, h, lan)
		s.stopped(h)
	}
}

func (s *scenario) hold(h *host) {
	lan := s.lanOf(h)
	if h.held[lan] || h.paused {
		return
	}
	h.held[lan] = true
	s.say(h.Node, "is held on lan %d", lan)
	s.tell(h, lan, (*scenario).tellHold)
	s.later(func() { s.unhold(h, lan) })
}

func (s *scenario) unhold(h *host, lan int) {
	if !h.held[lan] || h.paused {
		return
	}
	h.held[lan] = false
	s.say(h.Node, "is no longer held on lan %d", lan)
	s.tell(h, lan, (*scenario).tellHold)
}

// reconfigure reloads a changed configuration.
func (s *scenario) reconfigure(h *host) {
	if !h.running() {
		return
	}
	unit := h.unit(s.lanOf(h))
	preempt := h.cfgs[unit[0]].Preempt != s.chance(0.3)
	for _, lan := range unit {
		cfg := h.cfgs[lan]
		cfg.Preempt = preempt
		switch s.rng.IntN(4) {
		case 0:
			cfg.AdvertInterval = s.pick(s.lans[lan].interval, s.longest)
			if cfg.Version == vrrp.V2 {
				cfg.AdvertInterval = s.pick(time.Second, 2*time.Second)
			}
		case 1:
			cfg.Addresses = s.virtual(lan, 1+s.rng.IntN(2))
		case 2:
			cfg.PreemptDelay = s.pick(0, 2*cfg.AdvertInterval)
		case 3:
			cfg.HandoverTimeout = s.pick(0, 4*cfg.AdvertInterval+time.Second)
		}
		s.apply(h, lan, cfg)
	}
}

// apply gives a router another configuration.
func (s *scenario) apply(h *host, lan int, cfg vrrp.Config) {
	h.cfgs[lan] = cfg
	s.bounds(cfg)
	s.say(h.Node, "is reconfigured on lan %d: every %s, preempt %v, delay %s, handover %s", lan, cfg.AdvertInterval, cfg.Preempt, cfg.PreemptDelay, cfg.HandoverTimeout)
	if h.alive {
		h.routers[lan].policy.Interval = cfg.AdvertInterval
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventReconfigure, Config: cfg})
	}
}

// renumber gives a host another address.
func (s *scenario) renumber(h *host) {
	if !h.running() {
		return
	}
	lan := s.lanOf(h)
	source := s.address(lan, h.index)
	s.say(h.Node, "has another address on lan %d: %s", lan, source)
	s.SetSource(h.Node, lan, source)
}
