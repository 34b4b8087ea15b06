package vip

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// This file carries out the quiet stage of a handover. Its order is that an
// address is local at every moment: the stand-in comes before the address
// leaves its interface, and goes after it is back.

// A hush is what an interface's ARP switches were, and what they were set to.
type hush struct{ before, during arpSwitches }

// beginLingers prepares the removals of addresses that are to linger.
func (w *worker) beginLingers(q *lingerPlan) {
	for _, g := range q.refuse {
		var told error
		w.failed(g.duty, serving, g.addr, &told, w.refusal(g))
	}
	loud := w.hush(q)
	var ops []op
	var made []*standIn
	for _, g := range q.begin {
		at, _ := standInSpot(g, w.view)
		if g.duty.order.guard.Load() != 0 || g.addr.Prefix.Addr().Is4() && loud[g.link.index] {
			continue // wanted again since, or the kernel would answer
		}
		s := &standIn{addr: g.addr, duty: g.duty, at: at}
		// An end of its own, should nobody be here to end it.
		o := op{do: addHost, index: at.index, addr: Address{Prefix: s.prefix()}, lease: lingerLifetime(g.until)}
		if s.isRoute() {
			o = op{do: addRoute, route: s.route(), lease: o.lease}
		}
		ops, made = append(ops, o), append(made, s)
	}
	for i, err := range w.applyBatches(ops) {
		s := made[i]
		switch {
		case err == nil:
			w.standIns[s.at] = s
			w.verify = true
			if !s.isRoute() {
				w.view.addEntry(&entry{index: s.at.index, prefix: s.prefix(), marked: true, expires: true})
			}
		case err != unix.EEXIST: // that one: somebody else serves it, for as long as he likes
			var told error
			w.failed(s.duty, serving, s.addr, &told, err)
		}
	}
	w.addRoutes(q)
}

// lingerLifetime returns the lifetime of what serves a linger.
func lingerLifetime(until time.Time) time.Duration {
	return wholeSeconds(max(time.Until(until), 0)) + time.Second
}

// refusal says why g cannot linger.
func (w *worker) refusal(g *goal) error {
	if g.link.vrf {
		return errors.New("it belongs to a VRF, which the loopback interface does not")
	}
	return ErrNoLoopback
}

// applyBatches applies any number of operations.
func (w *worker) applyBatches(ops []op) []error {
	var errs []error
	for batch := range slices.Chunk(ops, batchLen) {
		errs = append(errs, w.kernel.apply(batch)...)
	}
	return errs
}

// hush has interfaces answer ARP only for addresses of their own (arp_ignore),
// and ask in the name of none but those (arp_announce: a request teaches the
// neighbours its sender's address as an announcement does). It returns those
// that would not have it.
func (w *worker) hush(q *lingerPlan) map[int]bool {
	var loud map[int]bool
	for index := range q.hushed {
		l := w.view.index[index]
		if _, done := w.hushed[index]; done || l == nil {
			continue
		}
		during := l.arp.hushed()
		if during == l.arp {
			continue
		}
		w.note(addNote, index, l.arp)
		if err := w.kernel.setARP(index, during); err != nil {
			if loud == nil {
				loud = map[int]bool{}
			}
			loud[index] = true
			w.note(removeNote, index, l.arp)
			w.report(Event{Kind: Failed, Interface: l.name, At: time.Now(),
				Err: fmt.Errorf("set arp_ignore and arp_announce of %s: %w", l.name, err)})
			continue
		}
		w.hushed[index] = hush{l.arp, during}
		l.arp = during
	}
	return loud
}

// addRoutes adds the routes that neighbours of lingering addresses need.
func (w *worker) addRoutes(q *lingerPlan) {
	var ops []op
	for sub, from := range q.routes {
		if have, there := w.routes[sub]; !there || have != from {
			ops = append(ops, op{do: addRoute, route: route{index: sub.index, to: sub.prefix, from: from}, lease: lingerLifetime(q.last)})
		}
	}
	for i, err := range w.applyBatches(ops) {
		r := ops[i].route
		w.routes[place{r.index, r.to}] = r.from // failed or not: it is tried once
		if err != nil {
			w.report(Event{Kind: Failed, Interface: w.view.interfaceName(r.index), At: time.Now(),
				Err: fmt.Errorf("add a route to %s on %s: %w", r.to, w.view.interfaceName(r.index), err)})
		}
	}
}

// keepRoutes adds the IPv4 routes once more: with the last IPv4 address of an
// interface the kernel drops all IPv4 routes over it.
func (w *worker) keepRoutes(q *lingerPlan) {
	for sub := range q.routes {
		if sub.prefix.Addr().Is4() {
			delete(w.routes, sub)
		}
	}
	w.addRoutes(q)
}

// endLingers removes what no linger needs any more.
func (w *worker) endLingers(q *lingerPlan) {
	now := time.Now()
	if w.tidyPace.ready(now) {
		err := errors.Join(w.dismiss(q.end), w.removeRoutes(q), w.unhush(q))
		if err == nil {
			w.tidyPace, w.tidyErr = pace{}, nil
		} else {
			w.tidyPace.failed(now)
			if w.tidyErr == nil || w.tidyErr.Error() != err.Error() {
				w.report(Event{Kind: Failed, At: now, Err: err})
			}
			w.tidyErr = err
		}
	}
	w.sweep(q, now)
}

// dismiss removes stand-ins.
func (w *worker) dismiss(ended []*standIn) error {
	if len(ended) == 0 {
		return nil
	}
	held := make(map[key]bool)
	for _, g := range w.goals {
		if g.hold {
			held[g.key()] = true
		}
	}
	var ops []op
	for _, s := range ended {
		o := op{do: remove, entry: &entry{index: s.at.index, prefix: s.prefix()}}
		if s.isRoute() {
			o = op{do: removeRoute, route: s.route()}
		}
		ops = append(ops, o)
	}
	var errs []error
	for i, err := range w.applyBatches(ops) {
		s := ended[i]
		if !ops[i].done(err) {
			errs = append(errs, fmt.Errorf("remove %s that stands in for %s: %w", s.prefix(), s.addr, err))
			continue
		}
		delete(w.standIns, s.at)
		w.verify = true
		if !held[key{s.addr.Interface, s.addr.Prefix}] {
			s.duty.removed = append(s.duty.removed, s.addr)
		}
	}
	return errors.Join(errs...)
}

// removeRoutes removes the routes of subnets where nothing lingers any more.
func (w *worker) removeRoutes(q *lingerPlan) error {
	var ops []op
	for sub := range w.routes {
		if _, wanted := q.routes[sub]; !wanted {
			ops = append(ops, op{do: removeRoute, route: route{index: sub.index, to: sub.prefix}})
		}
	}
	var errs []error
	for i, err := range w.applyBatches(ops) {
		r := ops[i].route
		if !ops[i].done(err) {
			errs = append(errs, fmt.Errorf("remove the route to %s on %s: %w", r.to, w.view.interfaceName(r.index), err))
			continue
		}
		delete(w.routes, place{r.index, r.to})
	}
	return errors.Join(errs...)
}

// unhush gives interfaces their ARP switches back when their last stand-in is
// gone, unless somebody else has set them meanwhile.
func (w *worker) unhush(q *lingerPlan) error {
	if len(w.hushed) == 0 || w.verify {
		return nil // what the switches are now is seen in the next pass
	}
	var errs []error
	for index, h := range w.hushed {
		if q.hushed[index] {
			continue
		}
		if l := w.view.index[index]; l != nil && l.arp == h.during {
			if err := w.kernel.setARP(index, h.before); err != nil && !errors.Is(err, unix.ENODEV) {
				errs = append(errs, fmt.Errorf("restore arp_ignore and arp_announce of %s: %w", l.name, err))
				continue
			}
			l.arp = h.before
		}
		delete(w.hushed, index)
		w.note(removeNote, index, h.before)
	}
	return errors.Join(errs...)
}

// sweep removes what an earlier process left. Routes are not listed; once per
// list of goals those that it may have left are deleted on the chance.
func (w *worker) sweep(q *lingerPlan, now time.Time) {
	var ops []op
	if len(q.leftover) > 0 && w.sweepPace.ready(now) {
		for _, l := range q.leftover {
			ops = append(ops, op{do: remove, entry: l.entry})
		}
		w.sweepPace.succeeded(now)
		w.verify = true
	}
	n := len(ops)
	if w.unswept {
		ops = append(ops, w.sweepRoutes()...)
		w.unswept = false
		defer w.unhushLeftovers()
	}
	for i, err := range w.applyBatches(ops) {
		switch {
		case i >= n && ops[i].done(err):
		case i >= n:
			r := ops[i].route
			w.report(Event{Kind: Failed, Interface: w.view.interfaceName(r.index), At: now,
				Err: fmt.Errorf("look for a route to %s left on %s: %w", r.to, w.view.interfaceName(r.index), err)})
		default:
			l := q.leftover[i]
			a := Address{Prefix: l.entry.prefix, Interface: w.view.interfaceName(l.entry.index)}
			if !ops[i].done(err) {
				w.sweepPace.failed(now)
				w.failed(l.goal.duty, removing, a, &w.sweepErr, err)
				continue
			}
			w.sweepErr = nil
			w.report(Event{Kind: Foreign, Owner: l.goal.duty.owner, Address: a, Leftover: true, At: now})
		}
	}
}

// sweepRoutes returns the removals of all routes that a linger of our goals may
// have left.
func (w *worker) sweepRoutes() []op {
	var ops []op
	done := make(map[place]bool)
	for _, g := range w.goals {
		if g.link == nil {
			continue // no route without an interface
		}
		ip := g.addr.Prefix.Addr()
		if at := (spot{g.link.index, ip}); localRouted(ip) && w.standIns[at] == nil {
			ops = append(ops, op{do: removeRoute, route: route{index: at.index, to: hostPrefix(ip), local: true}})
		}
		sub := place{g.link.index, g.addr.Prefix.Masked()}
		if _, ours := w.routes[sub]; !ours && !done[sub] && !sub.prefix.IsSingleIP() {
			done[sub] = true
			ops = append(ops, op{do: removeRoute, route: route{index: sub.index, to: sub.prefix}})
		}
	}
	return ops
}

// abandonLingers ends all lingers when nobody runs the worker any more.
func (w *worker) abandonLingers() error {
	if len(w.standIns)+len(w.routes)+len(w.hushed) == 0 {
		return nil
	}
	var q lingerPlan
	for _, s := range w.standIns {
		q.end = append(q.end, s)
	}
	errs := []error{w.dismiss(q.end), w.removeRoutes(&q)}
	v, err := w.kernel.list()
	if err == nil {
		w.view = v
	}
	w.verify = false
	return errors.Join(append(errs, err, w.unhush(&q))...)
}

// standsIn reports whether something stands in for g's address.
func (w *worker) standsIn(g *goal) bool {
	at, ok := standInSpot(g, w.view)
	return ok && w.standIns[at] != nil
}
