package daemon

import (
	"slices"
	"time"

	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// This file has the advertisements of active routers leave by themselves, while
// the loop waits (transport.Schedule). As long as nothing else happens they are
// all the same, and what the routers would do is known beforehand; they are told
// afterwards, before anything else is done. So a plan is about the waiting
// alone: whatever happens to a planned router ends it, and for a moment there is
// none.

const (
	// planAgain is how long a plan is not made anew, since that goes through
	// all instances.
	planAgain = 10 * time.Millisecond
	// planMore is the same for a plan that there is, when there is more to be
	// planned.
	planMore = 50 * time.Millisecond
	// Others go by the loop's turns: if they come less than a second apart, the
	// lease of an address is as long as it should be (Beat). So with a plan
	// there is one after the first sending from planFrom on, when the thread is
	// awake, or at planBy.
	planFrom = tickFrom
	planBy   = 850 * time.Millisecond
	// planClear is how far ahead of a takeover a plan ends of which something
	// is due before, or within planAfter: a takeover is waited for in a way of
	// its own.
	planClear = 5 * time.Millisecond
	planAfter = time.Millisecond
)

// seriesMost bounds how long a series keeps others waiting.
const seriesMost = advertsAtOnce

// A plan is the instances whose advertisements leave by themselves. Their
// timers are not among those of the engine meanwhile.
type plan struct {
	schedule *transport.Schedule   // nil: there is no plan
	series   [][]*instance         // by series, in the order of the messages
	goes     map[time.Duration]int // of the intervals of crowds: how many instances leave in one go
	early    []time.Duration       // by series: how much earlier than it is due it leaves, the next time

	all      []*transport.Series // of the schedule, or of the last one, to be used again
	taken    []*instance         // in series, likewise
	messages []transport.Message // likewise

	wanted   bool // there is an instance that could be planned, and is not
	unspread bool // a crowd is not spread as it should be: another plan may have more time for that
	made     vrrp.Instant
	telling  *instance // is told now what has left
	stale    bool      // one of them did more than set its timer
}

// plannable reports whether all that an instance will do at its timer is to
// advertise once more, and it can. One that could not the last time would end
// the plan of all, and send to some of its peers twice.
func (i *instance) plannable() bool {
	return i.advertisesNext() && !i.failing && i.port != nil && i.port.wire != nil && i.router.Source().IsValid()
}

// makePlan plans the advertisements of routers that are active, unless there
// is something better to do soon.
func (e *engine) makePlan(now vrrp.Instant) {
	p := &e.plan
	if at, soon := e.takeoverSoon(now); soon {
		if e.planDue(at.Add(planAfter)) {
			e.endPlan()
		}
		return
	}
	switch again := now.Sub(p.made); {
	case !p.wanted || again < planAgain || e.crowd || e.stalled || len(e.after) > 0:
		return
	case p.schedule != nil && again < planMore:
		return
	}
	e.endPlan()
	p.made, p.wanted = now, false
	type key struct {
		port     *port
		interval time.Duration
		grouped  bool
	}
	open := map[key]int{} // the series that more may be added to
	if p.taken = e.timers.takeAll(p.taken[:0], (*instance).plannable); len(p.taken) == 0 {
		return // until one sets its timer
	}
	p.sizeGoes()
	for _, inst := range p.taken {
		k := key{inst.port, inst.cfg.AdvertInterval, inst.group != nil}
		n, ok := open[k]
		if !ok || len(p.series[n]) == p.atOnce(inst) || inst.deadline > p.series[n][0].deadline.Add(together) {
			n = p.grow()
			open[k] = n
		}
		p.series[n] = append(p.series[n], inst)
		inst.slot = plannedSlot
	}
	// Those that have been active for longest keep their pace when thousands
	// join them: what is first goes first.
	slices.SortStableFunc(p.series, func(a, b []*instance) int { return longest(a).Compare(longest(b)) })
	p.spread(now)
	able := true
	for i, members := range p.series {
		if i == len(p.all) {
			p.all = append(p.all, nil)
		}
		v := e.seriesOf(p.all[i], members, p.early[i])
		able = able && v != nil
		p.all[i] = v
	}
	p.schedule = transport.NewSchedule(together, stallAfter, p.all[:len(p.series)]...)
	if !able {
		e.endPlan()
	}
}

// grow begins a series, with what is left of an earlier one.
func (p *plan) grow() (n int) {
	n = len(p.series)
	if n == cap(p.series) {
		p.series = append(p.series, nil)
	} else {
		p.series = p.series[:n+1]
	}
	p.series[n] = p.series[n][:0]
	return n
}

// longest is since when the one is active that has been for longest.
func longest(members []*instance) time.Time {
	return slices.MinFunc(members, func(a, b *instance) int { return a.since.Compare(b.since) }).since
}

// seriesOf makes a series of instances of one port that leaves early by so much, of
// one that is not used any more; nil if that cannot be.
func (e *engine) seriesOf(of *transport.Series, members []*instance, early time.Duration) *transport.Series {
	first := members[0]
	messages := e.plan.messages[:0]
	for _, inst := range members {
		frames := inst.frames(inst.router.Priority(), inst.cfg.AdvertInterval)
		for n, dst := range inst.destinations {
			messages = append(messages, transport.Message{Src: inst.router.Source(), Dst: dst, Data: frames[n], Mark: inst.beat})
		}
	}
	e.plan.messages = messages
	return first.port.wire.Series(of, int64(first.deadline.Add(-early)), first.cfg.AdvertInterval, messages)
}

// endPlan has the engine's own timers count again.
func (e *engine) endPlan() {
	p := &e.plan
	if p.schedule == nil {
		return
	}
	for _, members := range p.series {
		for _, inst := range members {
			if inst.slot == plannedSlot {
				inst.slot = noSlot
				e.timers.set(inst, inst.deadline)
			}
		}
	}
	for _, members := range p.series {
		clear(members) // they may be dropped by a reload
	}
	clear(p.taken)
	p.schedule, p.series, p.wanted = nil, p.series[:0], true
}

// followPlan tells the routers what has left. It returns how late something
// was at most.
func (e *engine) followPlan() (late time.Duration) {
	p := &e.plan
	if p.schedule == nil {
		return 0
	}
	late, stopped := p.schedule.Take(func(series, times, partial int) {
		for _, inst := range p.series[series] {
			left := times
			// Of a round that was cut short, those whose messages have left.
			if partial -= len(inst.destinations); partial >= 0 {
				left++
			}
			e.advertised(inst, left, p.early[series])
		}
		p.early[series] = 0
	})
	if stopped || p.stale {
		p.stale = false
		e.endPlan()
	}
	return late
}

// advertised tells a router what has left, the first of it early by so much.
func (e *engine) advertised(inst *instance, times int, early time.Duration) {
	if times == 0 {
		return
	}
	inst.sent += uint64(times)
	e.plan.telling = inst
	last := inst.deadline.Add(time.Duration(times-1)*inst.cfg.AdvertInterval - early)
	e.step(last, inst, vrrp.Event{Kind: vrrp.EventAdvertised, Times: times, Early: early})
	e.plan.telling = nil
}

// planCarriesOut carries an action of a planned instance out, if it belongs to
// the plan, and otherwise ends the plan: a router that is to say something else
// from now on says it at once, which is an action.
func (e *engine) planCarriesOut(inst *instance, a vrrp.Action) bool {
	p := &e.plan
	switch {
	case p.telling == inst && a.Kind == vrrp.ActionSetTimer:
		inst.deadline = a.At
		return true
	case p.telling != nil:
		p.stale = p.stale || a.Kind != vrrp.ActionReport
	default:
		e.endPlan()
	}
	return false
}

// sendPlanned sends what is due of the plan, when packets that came first have
// been read.
func (e *engine) sendPlanned(now vrrp.Instant) {
	if e.planDue(now) {
		e.plan.schedule.SendDue()
		e.followPlan()
	}
}

// planDue reports whether something of the plan is due.
func (e *engine) planDue(now vrrp.Instant) bool {
	return e.plan.schedule != nil && e.plan.schedule.Next() <= int64(now)
}

// firstTimer returns when the first timer fires, planned or not.
func (e *engine) firstTimer() (at vrrp.Instant, ok bool) {
	at, ok = e.timers.next()
	return e.orPlanned(at, ok)
}

// due is firstTimer, or a moment before: see next.
func (e *engine) due() (at vrrp.Instant, ok bool) {
	at, _, ok = e.next()
	return e.orPlanned(at, ok)
}

func (e *engine) orPlanned(at vrrp.Instant, ok bool) (vrrp.Instant, bool) {
	if e.plan.schedule == nil {
		return at, ok
	}
	if next := vrrp.Instant(e.plan.schedule.Next()); !ok || next < at {
		return next, true
	}
	return at, true
}

// takeoverSoon reports whether, and when, there may be a takeover so near that
// the loop waits for little else.
func (e *engine) takeoverSoon(now vrrp.Instant) (at vrrp.Instant, soon bool) {
	at, takeover, ok := e.next()
	return at, ok && takeover && at.Sub(now) < planClear
}
