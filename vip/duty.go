package vip

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A duty is an order as the worker took it.
type duty struct {
	order  *order
	owner  string
	want   Want
	serial uint64
	epoch  uint64
	bursts uint64
	since  time.Time
	until  time.Time // the end of the linger; zero: there is none
	spoke  time.Time // the last announcement
	gone   bool      // the order was forgotten

	again      bool      // addresses are to be announced anew
	retime     bool      // the pace of announcements changed
	oweHeld    bool      // Held is to be told
	oweRelease bool      // Released is to be told
	quieted    []Address // to be told in Quieted
	removed    []Address // to be told in Released

	// Written by conclude.
	pending int  // addresses that it is to hold and does not, or that were not announced
	leaving int  // … that it held, and are still there
	staying int  // … that linger
	shows   bool // what order.installed says has changed
}

// current reports whether the order still holds what the worker knows of it.
func (d *duty) current() bool { return d.order.guard.Load() == d.serial }

// A goal is one address that must be present or absent.
type goal struct {
	addr Address
	duty *duty
	// What was last assigned.
	follows *duty
	hold    bool
	owner   bool      // Want.Owner
	until   time.Time // duty.until
	epoch   uint64
	lease   time.Duration // that of its address, if held; 0: for ever

	schedule  schedule
	announced bool      // once, in this epoch; or it cannot be
	installed bool      // was present when the worker last acted
	lost      bool      // was installed, is gone
	claimed   time.Time // when another station last said that it has the address
	cut       time.Time // when a linger ends because of that; zero: it does not
	heldAt    time.Time // when claims began to matter; zero: not yet
	probeAt   time.Time // when to ask who has the address; zero: not
	probeErr  error     // why the last probe failed, as told
	err       error     // why the last attempt failed, as told
	sendErr   error     // why the last announcement failed, as told
	pace      pace

	// Written by diff.
	view    *view    // that the rest was found in
	link    *link    // nil: absent
	entry   *entry   // what serves the address, if it is to be held; nil: nothing
	ours    *holding // of the address, if it is to be held; nil: it is not ours
	blocked error    // why nothing can be done now

	shown *duty // whose order.installed lists it; nil: nobody's
}

// A key names a goal: an interface may come back under another index.
type key struct {
	interfaceName string
	prefix        netip.Prefix
}

// A holding is an address in the kernel that is ours: we added it, or found it
// where we were to hold it and had the right to.
type holding struct {
	addr Address
	duty *duty
	pace pace
	err  error
	gone bool // it is none any more

	lease lease
}

// Paces of attempts at one address.
const (
	fightPause = 100 * time.Millisecond // between two corrections of somebody else's changes
	retryFirst = 100 * time.Millisecond // after an error, doubled each time
	retryMax   = 10 * time.Second
)

// A pace bounds how often something is tried.
type pace struct {
	fails  int
	notYet time.Time
}

// failed puts the next attempt off, longer each time.
func (p *pace) failed(now time.Time) {
	p.notYet = now.Add(min(retryFirst<<min(p.fails, 10), retryMax))
	p.fails++
}

// succeeded allows the next correction after a short pause.
func (p *pace) succeeded(now time.Time) { *p = pace{notYet: now.Add(fightPause)} }

func (p *pace) ready(now time.Time) bool { return !p.notYet.After(now) }

// A stage is how much a duty has of its addresses.
type stage int

const (
	holds stage = iota + 1
	lingers
	without
)

func (d *duty) stage(now time.Time) stage {
	switch {
	case d.want.Hold:
		return holds
	case now.Before(d.until):
		return lingers
	}
	return without
}

// changesKept is for how many changed orders there is always room: thousands come
// at the start alone.
const changesKept = 256

// fetch copies the orders that changed. It keeps the lock for nothing else: who
// gives an order never waits for what the worker makes of the last ones.
func (w *worker) fetch() (fresh bool) {
	k := w.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh = w.taken != k.serial
	w.taken = k.serial
	w.changes = slices.Grow(w.changes[:0], len(k.changed))
	for _, o := range k.changed {
		o.queued = false
		w.changes = append(w.changes, changed{o, o.terms})
	}
	k.changed = k.changed[:0]
	return fresh
}

// ordered reports whether there are orders that were not fetched.
func (w *worker) ordered() bool { return w.keeper.ordered.Load() != w.taken }

// take follows the orders that changed.
func (w *worker) take(now time.Time) {
	if !w.fetch() {
		return
	}
	relisted, more := false, false
	for _, c := range w.changes {
		d := w.byOrder[c.order]
		if d == nil {
			d = &duty{order: c.order}
			w.byOrder[c.order] = d
			w.duties = append(w.duties, d)
			more = true
		}
		if !sameAddresses(d.want.Addresses, c.terms.want.Addresses) {
			relisted, d.shows = true, true
		}
		d.follow(c.terms)
	}
	if clear(w.changes); cap(w.changes) > changesKept {
		w.changes = nil
	}

	if more {
		slices.SortFunc(w.duties, func(a, b *duty) int { return cmp.Compare(a.order.id, b.order.id) })
	}
	if relisted || w.contested {
		w.setGoals(now)
	}
	w.assignGoals(now)
}

// follow takes an order over.
func (d *duty) follow(o terms) {
	switch {
	case o.want.Hold:
		if o.epoch != d.epoch {
			d.oweHeld, d.quieted, d.removed = true, nil, nil
		}
		d.oweRelease = false
	case d.want.Hold:
		d.oweHeld, d.oweRelease = false, true
	}
	d.again = o.bursts != d.bursts
	d.retime = o.want.Announce != d.want.Announce
	d.owner, d.want, d.serial, d.epoch = o.owner, o.want, o.serial, o.epoch
	d.bursts, d.since, d.until, d.gone = o.bursts, o.since, o.until, o.forgotten
}

// setGoals lists what must be present, then what must be absent. Of two duties
// that name the same address the one that holds it wins, then the one that lets
// it linger, then the older one.
// As long as no list changes and no address is contested, the goals last.
func (w *worker) setGoals(now time.Time) {
	w.contested = false
	known := make(map[key]*goal, len(w.goals))
	for _, g := range w.goals {
		known[g.key()] = g
	}
	w.goals = w.goals[:0:0]
	listed := make(map[key]bool, len(known))
	fresh := false
	for _, stage := range []stage{holds, lingers, without} {
		for _, d := range w.duties {
			if d.stage(now) != stage {
				continue
			}
			for _, a := range d.want.Addresses {
				k := key{a.Interface, a.Prefix}
				if listed[k] {
					w.contested = true
					continue
				}
				listed[k] = true
				g := known[k]
				if g == nil {
					g = &goal{}
					fresh = true
				}
				g.duty, g.addr = d, a
				w.goals = append(w.goals, g)
			}
		}
	}
	for k, g := range known {
		if listed[k] {
			continue
		}
		g.hold, g.view = false, nil
		g.show(nil)
	}
	if fresh || len(w.goals) != len(known) {
		w.publishInterests()
	}
	w.unswept = w.unswept || fresh
}

// assignGoals has all goals follow their duties.
func (w *worker) assignGoals(now time.Time) {
	for _, g := range w.goals {
		g.assign(now)
		switch {
		case !g.hold || !g.installed:
		case g.duty.again:
			g.schedule.start(now)
		case g.duty.retime:
			g.schedule.retime(now, g.duty.want.Announce)
		}
	}
	w.leaseGoals()
	for _, d := range w.duties {
		d.again, d.retime = false, false
	}
}

// assign has g follow its duty. An address that is installed already, held
// before or by another owner, stays where it is and is announced anew.
func (g *goal) assign(now time.Time) {
	d := g.duty
	g.owner, g.until = d.want.Owner, d.until
	if !g.cut.IsZero() && g.cut.Before(g.until) {
		g.until = g.cut
	}
	if g.follows == d && g.hold == d.want.Hold && g.epoch == d.epoch {
		return
	}
	g.follows, g.hold, g.epoch = d, d.want.Hold, d.epoch
	g.pace, g.err, g.sendErr = pace{}, nil, nil
	g.lost, g.announced = false, false
	g.heldAt, g.probeAt, g.probeErr = time.Time{}, time.Time{}, nil
	g.schedule.stop()
	g.cut = time.Time{}
	switch {
	case !g.hold:
		g.installed = false
		if g.until = d.until; now.Sub(g.claimed) < claimFresh {
			g.endSoon(now) // the successor announced before we heard of it
		}
		return
	case g.installed:
		g.schedule.start(now)
	}
	d.oweHeld = true
}

func (g *goal) key() key { return key{g.addr.Interface, g.addr.Prefix} }

// place is where a goal's address is or would be; its interface must exist.
func (g *goal) place() place { return place{g.link.index, g.addr.Prefix} }
