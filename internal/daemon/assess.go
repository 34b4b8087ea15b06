package daemon

import (
	"net/netip"
	"slices"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/internal/netif"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// assess works out what the checks, the interface and the address to send
// from make of an instance, and tells its router what changed.
func (e *engine) assess(now vrrp.Instant, inst *instance) {
	parts, faults, holds := healthcheck.Assess(e.tracked(inst))
	bondParts, bondFaults, noLink := e.bondEffects(inst)
	// brief: nothing is wrong but that a carrier is missing, which may be back
	// in a moment.
	brief := len(faults) == 0 && noLink
	parts, faults = append(parts, bondParts...), append(bondFaults, faults...)
	source, silent := netip.Addr{}, false
	if p := inst.port; p != nil {
		reason := p.fault(inst)
		if reason == "" {
			source, reason = p.source(inst, func(a netip.Addr) bool { return e.virtual[a] > 0 })
		}
		if reason != "" {
			brief = p.lostCarrier() && (brief || len(faults) == 0)
			faults, silent = append([]string{reason}, faults...), true
		}
	}
	if source.IsValid() && source != inst.router.Source() {
		inst.policy.Source, inst.adverts = source, nil
		e.step(now, inst, vrrp.Event{Kind: vrrp.EventSource, Source: source})
	}
	inst.parts = parts
	if !slices.Equal(faults, inst.faults) {
		inst.faults = faults
		e.step(now, inst, vrrp.Event{Kind: vrrp.EventFault, Reasons: faults, Silent: silent, AtOnce: len(bondFaults) > 0, Brief: brief})
	}
	e.step(now, inst, vrrp.Event{Kind: vrrp.EventPriority, Priority: healthcheck.Effective(inst.cfg.Priority, parts)})
	if !slices.Equal(holds, inst.holds) {
		inst.holds = holds
		e.step(now, inst, vrrp.Event{Kind: vrrp.EventHold, Reasons: holds})
	}
}

// assessAll is assess for every instance.
func (e *engine) assessAll(now vrrp.Instant) {
	for _, inst := range e.instances {
		e.assess(now, inst)
	}
}

// interfaces takes the interfaces as they are now.
func (e *engine) interfaces(now vrrp.Instant, s netif.Snapshot) {
	e.endPlan()
	before := e.ifaces
	e.ifaces = s
	told, same := map[string]bool{}, map[*port]bool{}
	for _, p := range e.ports {
		err := p.err
		e.refreshPort(p)
		same[p] = err == p.err && !e.differs(p, before[p.name])
		if was := before[p.name]; !told[p.name] && (was.Index != p.iface.Index || was.Usable() != p.iface.Usable()) {
			told[p.name] = true // once for both families
			lvl, text := levelInfo, p.name+" is up"
			if reason := p.unusable(); reason != "" {
				lvl, text = levelWarn, reason
			}
			e.tell(note{kind: kindInterface, level: lvl, text: text})
		}
		if was := before[p.name]; !was.Usable() && p.iface.Usable() && was.Index == p.iface.Index {
			e.rejoin(p) // the switch may have forgotten
		}
	}
	for _, inst := range e.instances {
		if !same[inst.port] {
			e.assess(now, inst)
		}
	}
	e.startWaiting(now)
}

// differs reports whether a port's interface was another in what its instances
// depend on. Virtual addresses come by the thousand when a node becomes active,
// and matter to an owner alone.
func (e *engine) differs(p *port, was netif.Interface) bool {
	now := p.iface
	if now.Index != was.Index || now.Up != was.Up || now.Carrier != was.Carrier {
		return true
	}
	all := false
	for _, inst := range p.users {
		all = all || inst.cfg.Owner() || inst.cfg.Unicast != nil && e.virtual[inst.cfg.Unicast.Source] > 0
	}
	own := func(list []netip.Addr) []netip.Addr {
		return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return !all && e.virtual[a] > 0 })
	}
	for _, lists := range [][2][]netip.Addr{{now.IPv4, was.IPv4}, {now.LinkLocal, was.LinkLocal}, {now.Global, was.Global}} {
		if !slices.Equal(lists[0], lists[1]) && !slices.Equal(own(lists[0]), own(lists[1])) {
			return true
		}
	}
	return false
}

// refreshPort follows a port's interface: a new index needs a new socket.
func (e *engine) refreshPort(p *port) {
	was := p.iface
	p.iface = e.ifaces[p.name]
	if was.Index != 0 && was.Index != p.iface.Index {
		e.closePort(p)
	}
	if p.iface.Index != 0 && p.wire == nil {
		e.openPort(p)
	}
}

// openPort opens a port's socket and has it join the group: aside, unless nothing
// runs yet that would have to wait.
func (e *engine) openPort(p *port) {
	p.familiar = transport.NewFamiliar(transport.Family(p.family))
	w, err := e.out.open(p.name, p.iface.Index, p.family)
	if err == nil {
		if err = e.out.watch(w, p.token, p.familiar); err != nil {
			w.Close()
		}
	}
	if err != nil {
		e.portFailed(p, err)
		return
	}
	p.wire, p.deaf = w, true
	if !e.runs {
		e.joined(p, w.Join())
		return
	}
	e.out.aside(func() {
		err := w.Join()
		e.out.again(0, func(now vrrp.Instant) {
			if p.wire != w {
				return // closed by now
			}
			e.joined(p, err)
			e.heed(now, p)
		})
	})
}

// joined takes note of what became of joining the group.
func (e *engine) joined(p *port, err error) {
	if err != nil {
		before := p.err
		e.closePort(p)
		p.err = before
		e.portFailed(p, err)
		return
	}
	p.deaf, p.err = false, nil
}

func (e *engine) portFailed(p *port, err error) {
	if p.err == nil || p.err.Error() != err.Error() { // it is tried every second
		e.tell(note{kind: kindInterface, level: levelError, text: "cannot use " + p.name + ": " + err.Error()})
	}
	p.err = err
}

// heed has the instances of a port go by what it is like now.
func (e *engine) heed(now vrrp.Instant, p *port) {
	for _, inst := range e.instances {
		if inst.port == p {
			e.assess(now, inst)
		}
	}
	e.startWaiting(now)
}

// startWaiting starts the instances that waited for their ports, whether these
// have joined the group or are gone.
func (e *engine) startWaiting(now vrrp.Instant) {
	if e.idle != nil {
		return // everything stops, and the ports may be gone
	}
	for _, inst := range e.instances {
		if inst.waits && !inst.port.deaf {
			e.start(now, inst, past{})
		}
	}
}

func (e *engine) closePort(p *port) {
	e.endPlan()
	p.deaf = false
	if p.wire != nil {
		w := p.wire
		e.out.unwatch(w)
		e.out.aside(func() { w.Close() })
		p.wire = nil
		clear(p.queued) // what had not left is gone with it
		p.queued = p.queued[:0]
	}
	p.err = nil
}

// attach gives an instance its port.
func (e *engine) attach(inst *instance) {
	key := portKey{inst.id.iface, inst.id.family}
	p := e.ports[key]
	if p == nil {
		e.nextToken++
		p = &port{name: key.name, family: key.family, token: e.nextToken, users: map[uint8]*instance{}}
		e.ports[key] = p
		e.byToken[p.token] = p
		e.refreshPort(p)
	}
	p.users[inst.id.vrid] = inst
	inst.port = p
}

// detach takes it back; a port without users goes.
func (e *engine) detach(inst *instance) {
	p := inst.port
	if p.users[inst.id.vrid] == inst { // else it has been configured again
		if old := e.predecessor(inst); old != nil {
			p.users[inst.id.vrid] = old
		} else {
			e.out.free(inst.id)
			delete(p.users, inst.id.vrid)
		}
	}
	inst.port = nil
	if len(p.users) == 0 {
		e.closePort(p)
		delete(e.ports, portKey{p.name, p.family})
		delete(e.byToken, p.token)
	}
}

// countVirtual remembers which addresses are virtual, by adding n for each of
// an instance's. Those of an owner are the node's own (RFC 9568 §1.7), and what
// other instances may send from.
func (e *engine) countVirtual(inst *instance, n int) {
	if inst.cfg.Owner() {
		return
	}
	for _, list := range [][]config.Address{inst.cfg.Addresses, inst.cfg.Extra} {
		for _, a := range list {
			if e.virtual[a.Prefix.Addr()] += n; e.virtual[a.Prefix.Addr()] == 0 {
				delete(e.virtual, a.Prefix.Addr())
			}
		}
	}
}
