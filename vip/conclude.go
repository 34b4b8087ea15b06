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
	leaving := make(map[*duty]int)
	staying := make(map[*duty]int)
	pending := make(map[*duty]int)
	installed := make(map[*duty][]Address)
	wanted := make(map[place]bool, len(w.goals))
	w.wakeAt(p.later)
	w.wakeAt(q.until)
	w.scheduleAnnouncements()
	for _, g := range w.goals {
		if g.hold && g.link != nil {
			wanted[g.place()] = true
		}
		switch {
		case !g.hold:
			if g.link != nil && len(w.view.at[spot{g.link.index, g.addr.Prefix.Addr()}]) > 0 {
				installed[g.duty] = append(installed[g.duty], g.addr)
			}
			continue
		case g.installed:
			installed[g.duty] = append(installed[g.duty], g.addr)
		default:
			if outstanding == nil {
				outstanding = fmt.Errorf("%s is not installed: %w", g.addr, g.why())
			}
			// What is due already waits for a Beat.
			if at := g.pace.notYet; g.blocked == nil && (at.After(now) || w.mayInsist(now, beatPatience)) {
				w.wakeAt(at)
			}
		}
		if !g.installed || !g.announced {
			pending[g.duty]++
		}
	}
	for at, h := range w.ours {
		if !wanted[at] {
			leaving[h.duty]++
			if outstanding == nil {
				outstanding = fmt.Errorf("%s is still there: %w", h.addr, orPending(h.err))
			}
		}
	}
	for _, s := range w.standIns {
		staying[s.duty]++
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
	w.tellDuties(pending, leaving, staying, now)
	w.publishInstalled(installed)
	w.keeper.achieved(outcome{serial: w.taken, outstanding: outstanding})
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
func (w *worker) tellDuties(pending, leaving, staying map[*duty]int, now time.Time) {
	for _, d := range w.duties {
		if d.oweHeld && pending[d] == 0 && d.current() {
			d.oweHeld = false
			at := now
			if d.spoke.After(d.since) { // for those who wait that was it, not what came after
				at = d.spoke
			}
			w.report(Event{Kind: Held, Owner: d.owner, Addresses: d.want.Addresses, At: at, Started: d.since})
		}
		if leaving[d] == 0 && len(d.quieted) > 0 {
			w.report(Event{Kind: Quieted, Owner: d.owner, Addresses: d.quieted, At: now, Started: d.since})
			d.quieted = nil
		}
		if leaving[d]+staying[d] == 0 && (d.oweRelease || len(d.removed) > 0) {
			w.report(Event{Kind: Released, Owner: d.owner, Addresses: d.removed, At: now, Started: d.since})
			d.oweRelease, d.removed = false, nil
		}
	}
	w.duties = slices.DeleteFunc(w.duties, func(d *duty) bool {
		done := d.gone && leaving[d]+staying[d] == 0
		if done {
			delete(w.byOrder, d.order)
		}
		return done
	})
}

// publishInstalled updates what Keeper.Installed returns.
func (w *worker) publishInstalled(installed map[*duty][]Address) {
	for _, d := range w.duties {
		before := d.order.installed.Load()
		if before == nil || !slices.Equal(*before, installed[d]) {
			now := installed[d]
			d.order.installed.Store(&now)
		}
	}
}
