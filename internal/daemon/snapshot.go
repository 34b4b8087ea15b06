package daemon

import (
	"slices"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/control"
	"vrrpd/vip"
	"vrrpd/vrrp"
)

// A Snapshot is the daemon as it is: the status that operators see, and what
// only metrics show. Of very many instances, each part is of a moment of its
// own.
type Snapshot struct {
	Status      control.Status
	Transitions []Transitions
	Perf        []PerfSample
	Losses      uint64 // processes that ran commands and had to be replaced
}

// A PerfSample is one value of a plugin's performance data that metrics show.
type PerfSample struct {
	Check, Label, Unit string
	Value              float64
}

// Transitions counts how often an instance went to a state for a cause.
type Transitions struct {
	Instance, To, Cause string
	Count               uint64
}

// describedAtOnce is how many instances are described in one turn of the loop:
// each takes a few microseconds, in which no advertisement leaves.
const describedAtOnce = 16

// snapshot describes everything, in as many turns as that takes; each runs a
// function on the loop. The node, the version, the uptime and the addresses
// installed are for the caller to add.
func (e *engine) snapshot(turn func(func(now vrrp.Instant)) error) (s Snapshot, err error) {
	var list []*instance
	err = turn(func(vrrp.Instant) {
		s, list = e.overview(), slices.Clone(e.instances)
	})
	for part := range slices.Chunk(list, describedAtOnce) {
		if err != nil {
			return s, err
		}
		err = turn(func(now vrrp.Instant) {
			for _, inst := range part {
				s.Status.Instances = append(s.Status.Instances, e.describe(now, inst))
				for key, count := range inst.transitions {
					s.Transitions = append(s.Transitions, Transitions{inst.cfg.Name, key.to.String(), key.cause.String(), count})
				}
			}
		})
	}
	return s, err
}

// overview is the part of a snapshot that is not about instances.
func (e *engine) overview() Snapshot {
	s := Snapshot{Status: control.Status{Instances: make([]control.Instance, 0, len(e.instances)), Checks: []control.Check{},
		Bonds: []control.Bond{}, Interfaces: []control.Interface{}}}
	for _, g := range e.groups {
		s.Status.Groups = append(s.Status.Groups, control.Group{Name: g.cfg.Name, State: g.machine.State().String(), Instances: g.cfg.Instances})
	}
	for _, name := range e.checkOrder {
		c := e.checks[name]
		s.Status.Checks = append(s.Status.Checks, e.describeCheck(c))
		s.Perf = append(s.Perf, c.perfSamples()...)
	}
	s.Status.Realtime = e.realtime
	s.Status.Interfaces = e.describePorts()
	s.Status.Bonds = e.describeBonds()
	return s
}

// describePorts is every interface in use, in the order of the file. The ports
// of both families count as one.
func (e *engine) describePorts() []control.Interface {
	out := []control.Interface{}
	place, done := map[string]int{}, map[*port]bool{}
	for _, inst := range e.instances {
		p := inst.port
		if p == nil || done[p] {
			continue
		}
		done[p] = true
		n, ok := place[p.name]
		if !ok {
			n = len(out)
			place[p.name] = n
			out = append(out, control.Interface{Name: p.name, Index: p.iface.Index, Up: p.iface.Usable(), Errors: map[string]uint64{}})
		}
		countErrors(out[n].Errors, &p.errors)
	}
	return out
}

func countErrors(into map[string]uint64, errors *[32]uint64) {
	for _, r := range vrrp.Reasons() {
		if errors[r] > 0 {
			into[r.String()] += errors[r]
		}
	}
}

// describe is one instance as status shows it.
func (e *engine) describe(now vrrp.Instant, inst *instance) control.Instance {
	r, c := inst.router, inst.cfg
	i := control.Instance{Name: c.Name, VRID: c.VRID, Version: c.Version, Family: inst.id.family.String(), Interface: c.Interface,
		State: r.State().String(), Since: inst.since, Cause: inst.cause, Preempt: c.Preempt,
		Priority:  control.Priority{Configured: int(c.Priority), Effective: int(r.Priority()), Parts: []control.Part{}},
		Addresses: []string{}, Installed: []string{}, Adverts: control.Adverts{Sent: inst.sent, Received: inst.received, Errors: map[string]uint64{}},
		Demoted: r.Demotion() != vrrp.NotDemoted, Hard: r.Demotion() == vrrp.DemotedHard, DualActive: r.DualActive(), HandingOver: r.HandingOver()}
	i.Transitions = inst.transitioned
	if inst.dropped != nil {
		countErrors(i.Adverts.Errors, &inst.dropped.counts)
	}
	if inst.sendFailed > 0 {
		i.Adverts.Errors["send"] = inst.sendFailed
	}
	for _, p := range inst.parts {
		i.Priority.Parts = append(i.Priority.Parts, control.Part{Source: p.Source, Weight: p.Weight})
	}
	if i.Demoted {
		others := healthcheck.Effective(c.Priority, inst.parts)
		i.Priority.Parts = append(i.Priority.Parts, control.Part{Source: "demoted", Weight: int(vrrp.PriorityDemoted) - int(others)})
	}
	i.Track = []string{}
	for _, t := range c.Track {
		i.Track = append(i.Track, t.Check)
	}
	for _, a := range c.Addresses {
		i.Addresses = append(i.Addresses, a.Prefix.String())
	}
	for _, a := range c.Extra {
		i.Extra = append(i.Extra, a.Prefix.String())
	}
	if inst.group != nil {
		i.Group = inst.group.cfg.Name
	}
	if !inst.until.IsZero() {
		until := inst.until
		i.DemotedUntil = &until
	}
	if r.Source().IsValid() {
		i.Source = r.Source().String()
	}
	if a := r.ActiveRouter(); a.Address.IsValid() {
		i.ActiveRouter = &control.ActiveRouter{Address: a.Address.String(), Priority: int(a.Priority)}
	}
	switch r.State() {
	case vrrp.Fault:
		i.Reasons = r.Faults()
	case vrrp.Backup, vrrp.Initialize:
		i.Reasons = r.Holds()
	}
	i.Conditions, i.Conflicts = slices.Clone(inst.conditions), inst.conflicts
	i.NextEvent = nextEvent(now, r)
	i.Warnings = append(warnings(now, inst), e.bondWarnings(inst)...)
	return i
}

// nextEvent says what an instance waits for.
func nextEvent(now vrrp.Instant, r *vrrp.Router) *control.NextEvent {
	at, armed := r.Deadline()
	if !armed {
		return nil
	}
	next := &control.NextEvent{InSeconds: max(0, at.Sub(now).Seconds())}
	switch r.State() {
	case vrrp.Initialize:
		next.What = "the start delay ends"
	case vrrp.Active:
		next.What = "sends an advertisement"
		switch {
		case r.HandingOver():
			next.What = "says again that it hands over"
		case r.RidesOut():
			next.What = "goes to fault unless the carrier is back"
		}
	case vrrp.Backup:
		switch preemptAt, delayed := r.PreemptAt(); {
		case delayed:
			next.What = "becomes active: the preempt delay ends"
			next.InSeconds = max(0, preemptAt.Sub(now).Seconds())
		case r.Preempting():
			next.What = "becomes active: it preempts the active router"
		default:
			next.What = "becomes active unless an advertisement is heard"
		}
	}
	return next
}

// aloneAfter is how long a router is active before it wonders whether its
// peer can be heard at all.
const aloneAfter = 10 * time.Second

func warnings(now vrrp.Instant, inst *instance) []string {
	var out []string
	if inst.router.State() == vrrp.Active && !inst.heard && time.Since(inst.since) >= aloneAfter {
		out = append(out, "no advertisement of any other router was ever heard; backups are silent, so that is usual for the first node up, "+
			"but if another node says it is active too, a firewall drops VRRP (IP protocol 112) between them")
	}
	for _, c := range inst.conditions {
		out = append(out, c.Text)
	}
	return out
}

// addressNames prints addresses as the status does.
func addressNames(list []vip.Address) []string {
	out := make([]string, 0, len(list))
	for _, a := range list {
		out = append(out, a.Prefix.String())
	}
	return out
}
