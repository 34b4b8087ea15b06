package daemon

import "vrrpd/vrrp"

// An advertisement that did nothing to a backup but put its timer off will do no
// more the next time, unless something else happens to that router in between. So
// the loop need not be woken for each (transport.Familiar): it reads a few of them
// together, with the moments they arrived, before the earliest timer fires. As soon
// as anything does happen to a router, or somebody listens, it hears each at once.

// advertise gives a valid advertisement to its router.
func (e *engine) advertise(now vrrp.Instant, inst *instance, ev vrrp.Event, message []byte) {
	deadline, happened := inst.deadline, e.happened
	e.step(now, inst, ev)
	e.succeeds(now, inst, ev)
	if inst.port == nil {
		return
	}
	later := inst.slot != noSlot && inst.deadline > deadline
	if inst.router.State() != vrrp.Backup || e.happened != happened || !later || inst.ear != nil {
		inst.unfamiliar()
		return
	}
	inst.port.familiar.Add(ev.Advert.Source, message)
	inst.familiar = true
}

// unfamiliar has the next advertisement for a router heard at once.
func (i *instance) unfamiliar() {
	if i.familiar && i.port != nil {
		i.port.familiar.Remove(i.id.vrid)
	}
	i.familiar = false
}

// listen has an ear hear of every advertisement, when it arrives; nil: nobody does.
func (i *instance) listen(e *ear) {
	i.ear = e
	i.unfamiliar()
}

// readAhead takes what the last wait has read by itself. It comes before anything
// that looks at a timer, or at how late it is: that has arrived before the loop was
// kept from running, if it was.
func (l *loop) readAhead(now vrrp.Instant) (drained bool) {
	token, ok := l.poller.Ahead()
	return !ok || l.engine.receive(now, token)
}
