package daemon

import (
	"slices"
	"strings"
	"time"

	"vrrpd/bonding"
	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// refreshAhead is how long before a takeover over a bond the bond is read
// once more, so that the verdict is current when the timer fires: time enough
// for the reading, and not so much that it is done while advertisements come
// in.
func refreshAhead(inst *instance) time.Duration {
	return min(50*time.Millisecond, inst.router.ActiveInterval()/2)
}

// partnerOpens is when, after a move under LACP, everything is said again: the
// switch opens its port in its own time, drops what comes before, and the
// kernel repeats a report up to ten seconds later (RFC 2236 §8.10, 2710 §7.10).
var partnerOpens = [...]time.Duration{300 * time.Millisecond, time.Second}

// A bond is one bond that instances run over, or that the configuration
// names, as the engine judges it.
type bond struct {
	cfg     config.Bond // of its [bond.NAME], or the defaults
	seen    *bonding.Bond
	verdict bonding.Verdict
	counts  bonding.Debounce // the health that decides
	health  bonding.Health
	moves   int // counts the times frames began to leave by another port
}

// bondsSeen takes a reading of the bonds, and which of them carry the traffic
// of each interface.
func (e *engine) bondsSeen(now vrrp.Instant, u *bonding.Update, under map[string][]string) {
	known := len(e.bonds)
	e.bondUpdate, e.under = u, under
	for i, b := range e.bondList() {
		before := b.seen
		b.seen = u.Bond(b.cfg.Name)
		if i >= known {
			continue // it was not looked at before
		}
		for _, c := range bonding.Compare(before, b.seen) {
			e.bondChanged(b, c)
		}
	}
	e.judgeBonds(now)
}

// bondList is every bond that matters, those of the configuration first. A
// bond that an instance is found to run over, or that a check asks for, is
// added with the defaults.
func (e *engine) bondList() []*bond {
	for _, inst := range e.instances {
		for _, name := range e.under[inst.id.iface] {
			if e.bondNamed(name) == nil {
				e.bonds = append(e.bonds, e.newBond(config.Bond{Name: name, MinLinks: 1}))
			}
		}
	}
	for _, check := range e.checkOrder {
		if b := e.checks[check].cfg.Bond; b != nil && e.bondNamed(b.Name) == nil {
			e.bonds = append(e.bonds, e.newBond(config.Bond{Name: b.Name, MinLinks: 1}))
		}
	}
	return e.bonds
}

func (e *engine) newBond(cfg config.Bond) *bond {
	b := &bond{cfg: cfg}
	if e.bondUpdate != nil {
		b.seen = e.bondUpdate.Bond(cfg.Name)
	}
	return b
}

func (e *engine) bondNamed(name string) *bond {
	i := slices.IndexFunc(e.bonds, func(b *bond) bool { return b.cfg.Name == name })
	if i < 0 {
		return nil
	}
	return e.bonds[i]
}

// setBonds takes the [bond.NAME] tables of a plan. What is known of a bond
// stays; only the judgement may change.
func (e *engine) setBonds(tables []config.Bond) {
	before := e.bonds
	e.bonds = nil
	for _, cfg := range tables {
		b := e.newBond(cfg)
		if i := slices.IndexFunc(before, func(o *bond) bool { return o.cfg.Name == cfg.Name }); i >= 0 {
			b = before[i]
		}
		b.cfg = cfg
		b.counts.DegradedAfter, b.counts.HealthyAfter = cfg.DegradedAfter, cfg.HealthyAfter
		e.bonds = append(e.bonds, b)
	}
	for _, b := range before {
		if e.bondNamed(b.cfg.Name) == nil {
			b.cfg = config.Bond{Name: b.cfg.Name, MinLinks: 1}
			b.counts.DegradedAfter, b.counts.HealthyAfter = 0, 0
			e.bonds = append(e.bonds, b)
		}
	}
	// One that no instance runs over any more, and no table or check names, is
	// dropped.
	e.bonds = slices.DeleteFunc(e.bonds, func(b *bond) bool {
		named := slices.ContainsFunc(tables, func(c config.Bond) bool { return c.Name == b.cfg.Name })
		return !named && len(e.over(b.cfg.Name)) == 0 && !e.checksBond(b.cfg.Name)
	})
}

// over lists the instances that run over a bond.
func (e *engine) over(name string) []*instance {
	var out []*instance
	for _, inst := range e.instances {
		if slices.Contains(e.under[inst.id.iface], name) {
			out = append(out, inst)
		}
	}
	return out
}

// judgeBonds judges every bond anew, and the instances with them.
func (e *engine) judgeBonds(now vrrp.Instant) {
	wall := time.Now()
	var next time.Time
	for _, b := range e.bondList() {
		if e.bondUpdate == nil {
			break // nothing was read yet
		}
		b.verdict = b.counts.Believe(wall, bonding.Judge(b.seen, b.policy()))
		health := b.counts.Step(wall, b.verdict.Health)
		if health != b.health {
			e.tellHealth(b, health)
			b.health = health
			e.board.bondTurned(b.cfg.Name)
		}
		if at, pending := b.counts.Next(); pending && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if !next.IsZero() {
		e.out.again(time.Until(next), e.judgeBonds)
	}
	e.assessAll(now)
}

func (b *bond) policy() bonding.Policy {
	p := bonding.Policy{MinLinks: b.cfg.MinLinks, RequireMonitor: b.cfg.RequireMonitor}
	if b.cfg.Mode != "" {
		p.Mode, _ = bonding.ParseMode(b.cfg.Mode) // the configuration was checked
	}
	if b.cfg.Managed != nil {
		p.Links = b.cfg.Managed.Links
	}
	return p
}

// tellHealth says that the health that decides has changed. The first verdict
// is news only if it is a bad one.
func (e *engine) tellHealth(b *bond, health bonding.Health) {
	lvl, text := levelInfo, "bond "+b.cfg.Name+" is "+health.String()
	if health != bonding.Healthy {
		lvl = levelWarn
		text += ": " + strings.Join(b.verdict.Reasons, "; ")
	} else if b.health == 0 {
		return
	}
	e.tell(note{kind: kindBond, level: lvl, text: text})
}

// bondChanged tells of one change and, where frames now leave by another port
// or under another MAC, has the neighbours and switches told again.
func (e *engine) bondChanged(b *bond, c bonding.Change) {
	e.tell(note{kind: kindBond, level: levelInfo, text: c.Text})
	if !c.Announce() {
		return
	}
	e.speakUp(b)
	b.moves++
	if b.seen.Mode != bonding.Mode8023AD {
		return
	}
	for _, after := range partnerOpens {
		moves := b.moves
		e.out.again(after, func(vrrp.Instant) {
			if b.moves == moves {
				e.speakUp(b)
			}
		})
	}
}

// speakUp has everybody told where this node now is.
func (e *engine) speakUp(b *bond) {
	var joined []*port
	for _, inst := range e.over(b.cfg.Name) {
		if !slices.Contains(joined, inst.port) { // once, however many share it
			joined = append(joined, inst.port)
			e.rejoin(inst.port)
		}
		if inst.router.State() == vrrp.Active {
			owner := inst.owner
			e.order(func() { e.out.addresses.Announce(owner) })
		}
	}
}

// rejoin joins a port's multicast group again, so that the switch behind the
// link that is now active learns where the group is wanted. The driver asks
// the kernel for it in some modes (resend_igmp), never in 802.3ad.
func (e *engine) rejoin(p *port) {
	if p == nil {
		return // everything stops
	}
	type joiner interface{ Rejoin() error }
	if w, ok := p.wire.(joiner); ok {
		e.out.aside(func() {
			err := w.Rejoin()
			if err == nil {
				return
			}
			text := "join the VRRP group on " + p.name + " again: " + err.Error()
			e.out.again(0, func(vrrp.Instant) { e.tell(note{kind: kindInterface, level: levelWarn, text: text}) })
		})
	}
}

// bondEffects is what the bonds under an instance, and under the other
// members of its group, do to it: faults of its own, and parts of the
// priority that the group shares. noLink: no fault but that no link works now.
func (e *engine) bondEffects(inst *instance) (parts []healthcheck.Part, faults []string, noLink bool) {
	noLink = true
	members := []*instance{inst}
	if inst.group != nil {
		members = inst.group.members
	}
	var seen []string
	for _, m := range members {
		for _, name := range e.under[m.id.iface] {
			b := e.bondNamed(name)
			if b == nil || b.verdict.Health == 0 || slices.Contains(seen, name) {
				continue
			}
			seen = append(seen, name)
			switch {
			case b.verdict.Health == bonding.Failed || b.health == bonding.Failed:
				// One that has not lasted healthy_after again is no fault of a
				// router that rode the loss out: it is to keep others off it.
				if m == inst && (b.verdict.Health == bonding.Failed || inst.router.State() != vrrp.Active) {
					faults = append(faults, "bond "+name+": "+b.reasons())
					noLink = noLink && b.noLink()
				}
			case b.health == bonding.Degraded && b.cfg.DegradedWeight != 0:
				parts = append(parts, healthcheck.Part{Source: "bond:" + name, Weight: b.cfg.DegradedWeight})
			}
		}
	}
	return parts, faults, noLink && len(faults) > 0
}

// noLink reports whether a bond has failed because none of its links works.
func (b *bond) noLink() bool {
	return b.seen != nil && b.seen.Up && len(b.seen.Links) > 0 && b.verdict.Usable == 0
}

// reasons is why a bond has failed; while it recovers, that it must last.
func (b *bond) reasons() string {
	if b.verdict.Health == bonding.Failed {
		return strings.Join(b.verdict.Reasons, "; ")
	}
	return "it is usable again, for less than healthy_after"
}

// describeBonds is every bond as status shows it.
func (e *engine) describeBonds() []control.Bond {
	out := []control.Bond{}
	for _, b := range e.bonds {
		c := control.Bond{Name: b.cfg.Name, Health: b.health.String(), Reasons: []string{}, Links: []control.Link{}}
		if b.health == 0 {
			continue // nothing was read yet
		}
		c.Reasons = append(c.Reasons, b.verdict.Reasons...)
		if b.seen != nil {
			c.Mode, c.ActiveLink = b.seen.Mode.String(), b.seen.ActiveLink
			for i := range b.seen.Links {
				l := &b.seen.Links[i]
				c.Links = append(c.Links, control.Link{Name: l.Name, Up: b.seen.Usable(l), Active: l.Active, Failures: l.Failures, SpeedMbps: l.Speed})
			}
		}
		out = append(out, c)
	}
	return out
}

// bondWarnings says where an instance cannot ride out a failover of its bond.
func (e *engine) bondWarnings(inst *instance) []string {
	var out []string
	for _, name := range e.under[inst.id.iface] {
		b := e.bondNamed(name)
		if b == nil || b.seen == nil {
			continue
		}
		if least := b.seen.MinAdvertInterval(); least > inst.cfg.AdvertInterval {
			out = append(out, "advert_interval "+inst.cfg.AdvertInterval.String()+" is too short for "+name+
				": a failover of its links may cause a transition; use at least "+least.String()+", or a faster monitor")
		}
	}
	return out
}
