package vip

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Verbs of failures, with their prepositions.
var (
	adding     = verb{"add", "to"}
	removing   = verb{"remove", "from"}
	announcing = verb{"announce", "on"}
	probing    = verb{"ask for", "on"}
	renewing   = verb{"renew the lease of", "on"}
	serving    = verb{"go on to serve", "after it left"}
)

type verb struct{ name, preposition string }

// A failure is what could not be done to some addresses of one owner, on one
// interface, for one reason.
type failure struct {
	duty      *duty
	verb      verb
	err       error
	addresses []Address
}

// failed notes a failure unless it is the one that was told last.
func (w *worker) failed(d *duty, v verb, a Address, told *error, err error) {
	if *told != nil && (*told).Error() == err.Error() {
		return
	}
	*told = err
	for i := range w.failures {
		f := &w.failures[i]
		if f.duty == d && f.verb == v && f.addresses[0].Interface == a.Interface && f.err.Error() == err.Error() {
			f.addresses = append(f.addresses, a)
			return
		}
	}
	w.failures = append(w.failures, failure{d, v, err, []Address{a}})
}

func (w *worker) tellFailures() {
	now := time.Now()
	for _, f := range w.failures {
		a := f.addresses[0]
		what := a.Prefix.String()
		if n := len(f.addresses) - 1; n > 0 {
			what = fmt.Sprintf("%s and %d more", what, n)
		}
		w.report(Event{
			Kind: Failed, Owner: f.duty.owner, Address: a, Addresses: f.addresses, At: now,
			Err: fmt.Errorf("%s %s %s %s: %w", f.verb.name, what, f.verb.preposition, a.Interface, f.err),
		})
	}
	w.failures = nil
}

// conclude tells what has been achieved and finds out when to go on.
func (w *worker) conclude(p plan, q lingerPlan) {
	now := time.Now()
	var outstanding error
	for _, d := range w.duties {
		d.pending, d.leaving, d.staying = 0, 0, 0
	}
	w.wakeAt(p.later)
	w.wakeAt(q.until)
	w.scheduleAnnouncements()
	kept := 0 // of ours, what is to be held
	for _, g := range w.goals {
		there := g.installed
		switch {
		case !g.hold:
			there = g.link != nil && len(w.view.at[spot{g.link.index, g.addr.Prefix.Addr()}]) > 0
		case !g.installed:
			if outstanding == nil {
				outstanding = fmt.Errorf("%s is not installed: %w", g.addr, g.why())
			}
			// What is due already waits for a Beat.
			if at := g.pace.notYet; g.blocked == nil && (at.After(now) || w.mayInsist(now, beatPatience)) {
				w.wakeAt(at)
			}
		}
		if g.hold && g.ours != nil && !g.ours.gone {
			kept++
		}
		if g.hold && (!g.installed || !g.announced) {
			g.duty.pending++
		}
		by := g.duty
		if !there {
			by = nil
		}
		g.show(by)
	}
	if kept < len(w.ours) {
		outstanding = cmp.Or(outstanding, w.countLeaving())
	}
	for _, s := range w.standIns {
		s.duty.staying++
		if outstanding == nil {
			outstanding = fmt.Errorf("%s lingers", s.addr)
		}
	}
	if w.tidyErr != nil {
		outstanding = cmp.Or(outstanding, w.tidyErr)
		w.wakeAt(w.tidyPace.notYet)
	}
	if len(q.leftover) > 0 {
		outstanding = cmp.Or(outstanding, orPending(w.sweepErr))
		w.wakeAt(w.sweepPace.notYet)
	}
	if outstanding == nil && p.waiting > 0 {
		outstanding = errPending
	}
	w.tellDuties(now)
	w.publishInstalled()
	w.keeper.achieved(outcome{serial: w.taken, outstanding: outstanding})
}

// countLeaving counts what is ours and not to be held, and returns what is in the
// way of the first of them.
func (w *worker) countLeaving() (outstanding error) {
	kept := make(map[*holding]bool, len(w.ours))
	for _, g := range w.goals {
		if g.hold {
			kept[g.ours] = true
		}
	}
	for _, h := range w.ours {
		if kept[h] {
			continue
		}
		h.duty.leaving++
		if outstanding == nil {
			outstanding = fmt.Errorf("%s is still there: %w", h.addr, orPending(h.err))
		}
	}
	return outstanding
}

// errPending stands for a reason where there is none but the pace of attempts.
var errPending = fmt.Errorf("the next attempt is not due yet")

func orPending(err error) error {
	if err == nil {
		return errPending
	}
	return err
}

// why returns what is in the way of a held address.
func (g *goal) why() error {
	if g.blocked != nil {
		return g.blocked
	}
	return orPending(g.err)
}

// wakeAt has the worker go on at t at the latest; the zero time means nothing.
func (w *worker) wakeAt(t time.Time) {
	if !t.IsZero() && (w.next.IsZero() || t.Before(w.next)) {
		w.next = t
	}
}

// tellDuties tells what owners hold now and have let go.
func (w *worker) tellDuties(now time.Time) {
	for _, d := range w.duties {
		if d.oweHeld && d.pending == 0 && d.current() {
			d.oweHeld = false
			at := now
			if d.spoke.After(d.since) { // for those who wait that was it, not what came after
				at = d.spoke
			}
			w.report(Event{Kind: Held, Owner: d.owner, Addresses: d.want.Addresses, At: at, Started: d.since})
		}
		if d.leaving == 0 && len(d.quieted) > 0 {
			w.report(Event{Kind: Quieted, Owner: d.owner, Addresses: d.quieted, At: now, Started: d.since})
			d.quieted = nil
		}
		if d.leaving+d.staying == 0 && (d.oweRelease || len(d.removed) > 0) {
			w.report(Event{Kind: Released, Owner: d.owner, Addresses: d.removed, At: now, Started: d.since})
			d.oweRelease, d.removed = false, nil
		}
	}
	w.duties = slices.DeleteFunc(w.duties, func(d *duty) bool {
		done := d.gone && d.leaving+d.staying == 0
		if done {
			delete(w.byOrder, d.order)
		}
		return done
	})
}

// show notes whose installed address a goal is now; nil: nobody's.
func (g *goal) show(by *duty) {
	if g.shown == by {
		return
	}
	for _, d := range []*duty{g.shown, by} {
		if d != nil {
			d.shows = true
		}
	}
	g.shown = by
}

// publishInstalled updates what Keeper.Installed returns of duties that something
// was noted about.
func (w *worker) publishInstalled() {
	if !slices.ContainsFunc(w.duties, func(d *duty) bool { return d.shows }) {
		return
	}
	installed := make(map[*duty][]Address)
	for _, g := range w.goals {
		if d := g.shown; d != nil && d.shows {
			installed[d] = append(installed[d], g.addr)
		}
	}
	for _, d := range w.duties {
		if d.shows {
			d.shows = false
			now := installed[d]
			d.order.installed.Store(&now)
		}
	}
}
