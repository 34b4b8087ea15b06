package vip

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// removeAll removes addresses, those that are secondary first: a primary that
// goes before them would have the kernel promote them, one after the other,
// only to be removed in their turn.
func (w *worker) removeAll(removals []removal) {
	if len(removals) == 0 {
		return
	}
	w.atEase()
	w.verify = true
	before := w.view
	for _, r := range removals {
		if l := before.index[r.entry.index]; r.ours != nil && l != nil && isPrimary(r.entry) {
			w.ensurePromote(l)
		}
	}
	rank := make(map[*entry]int, len(before.list))
	for i, e := range before.list {
		rank[e] = i
	}
	slices.SortFunc(removals, func(a, b removal) int { return rank[b.entry] - rank[a.entry] })
	risk := make(map[place]bool) // subnets that lost their primary without promotion
	for batch := range slices.Chunk(removals, batchLen) {
		var ops []op
		var chosen []removal
		for _, r := range batch {
			if r.goal != nil && !r.goal.hold && r.goal.duty.order.guard.Load() != 0 {
				continue // wanted again since: the next pass knows better
			}
			chosen = append(chosen, r)
			ops = append(ops, op{do: remove, entry: r.entry})
		}
		for i, err := range w.applyAll(ops) {
			r := chosen[i]
			w.removed(r, ops[i], err)
			if l := before.index[r.entry.index]; l != nil && !l.promote && isPrimary(r.entry) {
				risk[subnet(r.entry)] = true
			}
		}
	}
	if len(risk) > 0 {
		w.rescue(before, removals, risk)
	}
}

func isPrimary(e *entry) bool { return e.prefix.Addr().Is4() && !e.secondary }

// subnet returns what the primary and the secondaries of a subnet share.
func subnet(e *entry) place { return place{e.index, e.prefix.Masked()} }

// removed draws the consequences of one removal.
func (w *worker) removed(r removal, o op, err error) {
	now := time.Now()
	name := w.view.interfaceName(r.entry.index)
	switch {
	case !o.done(err) && r.ours != nil:
		r.ours.pace.failed(now)
		w.failed(r.ours.duty, removing, r.ours.addr, &r.ours.err, err)
	case !o.done(err):
		r.goal.pace.failed(now)
		w.failed(r.goal.duty, removing, r.goal.addr, &r.goal.err, err)
	case r.ours != nil:
		r.ours.gone = true
		delete(w.ours, r.entry.place())
		switch {
		case r.goal == nil, !r.goal.hold && !w.standsIn(r.goal):
			r.ours.duty.removed = append(r.ours.duty.removed, r.ours.addr)
		case !r.goal.hold: // else it was only replaced
			r.ours.duty.quieted = append(r.ours.duty.quieted, r.ours.addr)
		}
	default:
		if !r.goal.hold {
			r.goal.pace.succeeded(now)
		}
		r.goal.err = nil
		w.report(Event{
			Kind: Foreign, Owner: r.goal.duty.owner, At: now, Leftover: r.entry.marked,
			Address: Address{Prefix: r.entry.prefix, Interface: name, Label: r.goal.addr.Label},
		})
	}
}

// rescue puts back the neighbours that the kernel took along with the primaries
// of the subnets at risk. Those to be held are not its business: the next pass
// misses them.
func (w *worker) rescue(before *view, removals []removal, risk map[place]bool) {
	now := time.Now()
	if !w.refresh(now) {
		return
	}
	skip := make(map[place]bool)
	for _, r := range removals {
		skip[r.entry.place()] = true
	}
	for _, g := range w.goals {
		if g.hold && g.link != nil {
			skip[g.place()] = true
		}
	}
	var ops []op
	for _, e := range before.list {
		l := w.view.index[e.index]
		if e.secondary && risk[subnet(e)] && !skip[e.place()] && w.view.find(e.place()) == nil && l != nil && !l.promote {
			ops = append(ops, op{do: putBack, entry: e})
		}
	}
	for batch := range slices.Chunk(ops, batchLen) {
		for i, err := range w.kernel.apply(batch) {
			if e := batch[i].entry; !batch[i].done(err) {
				a := Address{Prefix: e.prefix, Interface: w.view.interfaceName(e.index), Label: e.label}
				w.report(Event{Kind: Failed, Address: a, Addresses: []Address{a}, At: now,
					Err: fmt.Errorf("put back %s that went with the primary of its subnet: %w", a, err)})
			}
		}
	}
	w.verify = true
}

func (w *worker) applyAll(ops []op) []error {
	if len(ops) == 0 {
		return nil
	}
	return w.kernel.apply(ops)
}

// ensurePromote makes the kernel keep secondaries when their primary goes. It
// looks once per interface: whoever clears the switch later has a reason, and
// rescue takes over.
func (w *worker) ensurePromote(l *link) {
	if _, tried := w.promoted[l.index]; tried {
		return
	}
	if w.promoted[l.index] = false; l.promote {
		return
	}
	err := w.kernel.setPromote(l.index, true)
	w.promoted[l.index] = err == nil
	if err != nil {
		w.report(Event{Kind: Failed, Interface: l.name, At: time.Now(),
			Err: fmt.Errorf("set promote_secondaries of %s: %w", l.name, err)})
		return
	}
	l.promote = true
	w.report(Event{Kind: PromoteSet, Interface: l.name, At: time.Now()})
}

// restorePromote undoes ensurePromote where no IPv4 address of ours is left.
func (w *worker) restorePromote() error {
	for at := range w.ours {
		if at.prefix.Addr().Is4() {
			delete(w.promoted, at.index)
		}
	}
	var errs []error
	for index, set := range w.promoted {
		if !set {
			continue
		}
		if err := w.kernel.setPromote(index, false); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("clear promote_secondaries of %s: %w", w.view.interfaceName(index), err))
		}
	}
	return errors.Join(errs...)
}
