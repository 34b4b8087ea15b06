package vip

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A worker carries out a Keeper's orders. Everything belongs to the goroutine
// of Run, except what notice touches, and what addAhead says.
type worker struct {
	keeper *Keeper
	kernel kernel
	report func(Event)

	taken   uint64    // serial of the latest order taken
	changes []changed // the orders being taken; reused
	byOrder map[*order]*duty
	duties  []*duty // by age
	stand   *stand  // what lookOut asked of the machine; nil: nothing
	goals   []*goal
	ours    map[place]*holding
	// contested: several duties name an address, so whose it is may change.
	contested bool

	// Of the quiet stage of handovers.
	standIns  map[spot]*standIn
	routes    map[place]netip.Addr // by subnet: the source that ours prefers
	hushed    map[int]hush         // by interface
	tidyPace  pace                 // of removing them
	tidyErr   error
	unswept   bool // goals that are new: an earlier process may have left routes
	sweepPace pace
	sweepErr  error

	view     *view
	verify   bool // read the kernel again before anything is said to be done
	listPace pace
	listErr  error
	promoted map[int]bool // interfaces: promote_secondaries tried; true: set by us
	next     time.Time    // when there is something to do; zero: nothing
	// Of what is done between two passes.
	announceAt    time.Time // when an announcement is due; zero: none
	announcements []*goal   // that are due; reused
	renewAt       time.Time // when a lease is due; zero: none has an end
	unleased      bool      // what has a lease may have changed since renewAt was found
	leases        []leaseOf // near their renewal; reused, as is leaseOps
	leaseOps      []op

	// Of what waits until it is quiet.
	quietAt time.Time // when that is; zero: nothing waits
	quietBy time.Time // at the latest

	// Of claims.
	listening [2][]listened // as told to the kernel, and a spare
	listens   int           // which is which
	heardView *view         // that listening was made from
	heardOf   []netip.Addr
	bySpot    map[spot]*goal
	disputes  map[*goal]*dispute
	heardAt   time.Time // when rumours were last looked at
	attendAt  time.Time // when something is due about claims; zero: nothing
	probeAt   time.Time // of that, asking who has an address
	deaf      error     // why claims are not heard, as told
	attention atomic.Pointer[attention]
	failures  []failure

	stale     atomic.Bool               // something of interest changed since view was read
	hazy      atomic.Bool               // something else may have
	interests atomic.Pointer[interests] // nil until the first order
	mu        sync.Mutex
	rumours   map[claim]rumour
	hearErr   error
	bounced   map[int]bool // interfaces that were down in between
	overrun   bool         // changes were lost
	watchErr  error
}

// interests say which of the kernel's changes are worth waking up for.
type interests struct {
	names   map[string]bool
	indexes map[int]bool
	ips     map[netip.Addr]bool
}

func newWorker(k *Keeper, report func(Event)) *worker {
	return &worker{
		keeper:   k,
		kernel:   k.kernel,
		report:   report,
		byOrder:  map[*order]*duty{},
		ours:     map[place]*holding{},
		standIns: map[spot]*standIn{},
		routes:   map[place]netip.Addr{},
		hushed:   map[int]hush{},
		promoted: map[int]bool{},
		bounced:  map[int]bool{},
		rumours:  map[claim]rumour{},
		bySpot:   map[spot]*goal{},
		disputes: map[*goal]*dispute{},
	}
}

// run works until ctx ends or watching does.
func (w *worker) run(ctx context.Context, watched <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer w.stepBack()
	look := true
	for {
		look = w.round(ctx, look)
		next := earliest(w.next, w.renewAt, w.announceAt, w.quietAt, w.attendAt)
		switch {
		case look:
			timer.Reset(0)
		case next.IsZero():
			timer.Stop()
		default:
			timer.Reset(max(time.Until(next), 0))
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-watched:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch links and addresses: %w", err)
		case <-w.keeper.wake:
			look = true
		case <-w.keeper.heed:
			look = w.lookOut() || look
		case <-timer.C:
		}
	}
}

// round does what is due, and begins with a look at everything if that is asked
// for. It reports whether there has to be such a look at once.
func (w *worker) round(ctx context.Context, look bool) (again bool) {
	// Neither renewals nor repeated announcements are a reason to compare
	// everything.
	for (look || !w.next.IsZero() && !w.next.After(time.Now())) && ctx.Err() == nil {
		look = w.pass(time.Now())
	}
	if w.leasesDue(time.Now()) {
		again = w.renewLeases()
	}
	if now := time.Now(); !w.announceAt.IsZero() && !w.announceAt.After(now) {
		// Orders come first, and news that may be about what is announced.
		again = again || w.ordered() || w.stale.Load() || w.announceAgain(now)
	}
	if !again {
		w.whenQuiet(time.Now())
		w.attend()
		if w.quietAt.IsZero() {
			w.stepBack()
		}
	}
	return again
}

// earliest returns the earliest of times that are not zero.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// pass brings the kernel one step nearer to what is wanted; true: look again
// at once.
func (w *worker) pass(now time.Time) bool {
	w.next, w.announceAt, w.unleased = time.Time{}, time.Time{}, true
	w.take(now)
	// A view that is not stale is trusted: on becoming Active the first address
	// is added without a look at the kernel, and an error says it was wrong. What
	// changed elsewhere does not make it stale, or it would always be: containers
	// come and go on other interfaces.
	if w.hazy.Swap(false) && w.view != nil {
		w.view.exact = false
	}
	if w.stale.Swap(false) || w.verify || w.view == nil {
		if !w.refresh(now) {
			return false
		}
	}
	p := diff(w.goals, w.ours, w.view, now)
	if len(p.remove) > 0 && !w.view.exact {
		if !w.refresh(now) {
			return false
		}
		p = diff(w.goals, w.ours, w.view, now)
	}
	q := w.planLingers(p, now)
	w.acknowledge(now)
	w.beginLingers(&q)
	if len(q.begin) > 0 {
		w.quietBy = now // a successor's announcement ends them
	}
	w.removeAll(p.remove)
	if len(p.remove) > 0 {
		w.keepRoutes(&q)
	}
	w.addAll(p.add)
	w.endLingers(&q)
	w.announceDue(time.Now(), false)
	w.tellFailures()
	if w.verify {
		return true
	}
	w.conclude(p, q)
	w.disturbed(now)
	return false
}

// refresh reads the kernel's links and addresses.
func (w *worker) refresh(now time.Time) bool {
	w.atEase()
	if !w.listPace.ready(now) {
		w.next = w.listPace.notYet
		w.stale.Store(true)
		return false
	}
	w.mu.Lock()
	bounced, overrun, watchErr := w.bounced, w.overrun, w.watchErr
	w.bounced, w.overrun, w.watchErr = map[int]bool{}, false, nil
	w.mu.Unlock()
	if watchErr != nil {
		w.report(Event{Kind: Failed, Err: fmt.Errorf("watch links and addresses: %w", watchErr), At: now})
	}

	v, err := w.kernel.list()
	if err != nil {
		w.mu.Lock() // what was heard is for the next list to explain
		maps.Copy(w.bounced, bounced)
		w.overrun = w.overrun || overrun
		w.mu.Unlock()
		w.stale.Store(true)
		w.listPace.failed(now)
		w.next = w.listPace.notYet
		if w.listErr == nil || w.listErr.Error() != err.Error() {
			w.report(Event{Kind: Failed, Err: err, At: now})
		}
		w.listErr = err
		w.keeper.achieved(outcome{serial: w.taken, outstanding: err})
		return false
	}
	w.listPace, w.listErr, w.verify = pace{}, nil, false
	before := w.view
	w.view = v
	if before != nil {
		w.compareLinks(before, bounced, overrun, now)
	}
	for index := range w.promoted {
		if v.index[index] == nil {
			delete(w.promoted, index)
		}
	}
	w.publishIndexes()
	return true
}

// compareLinks draws the consequences of what happened to interfaces: after a
// change attempts that failed are worth another try at once, and neighbours
// (or a switch) that missed announcements, or know another hardware address,
// hear them again.
func (w *worker) compareLinks(before *view, bounced map[int]bool, overrun bool, now time.Time) {
	for _, g := range w.goals {
		a, b := before.links[g.addr.Interface], w.view.links[g.addr.Interface]
		if b == nil {
			continue
		}
		same := a != nil && a.index == b.index
		if !same || a.up != b.up {
			g.pace = pace{}
		}
		if !same || !bytes.Equal(a.mac, b.mac) {
			w.quietBy = now // whose claims are our own has changed
		}
		unheard := !same || !a.announces() || bounced[b.index] || overrun || !bytes.Equal(a.mac, b.mac)
		if g.hold && g.installed && b.announces() && unheard {
			g.schedule.start(now)
		}
	}
}

// acknowledge notes which held addresses are there without our doing, and
// which ones are gone.
func (w *worker) acknowledge(now time.Time) {
	for _, g := range w.goals {
		switch {
		case !g.hold:
		case g.entry == nil:
			if g.installed {
				g.installed, g.lost = false, true
				g.schedule.stop()
			}
			if g.blocked != nil {
				w.failed(g.duty, adding, g.addr, &g.err, g.blocked)
			}
		default:
			w.claim(g)
			if !g.installed {
				g.installed, g.lost, g.err = true, false, nil
				g.schedule.start(now)
			}
		}
	}
}

// claim makes the entry that serves g ours, unless g is of an owner who had it
// before us.
func (w *worker) claim(g *goal) {
	if g.ours != nil {
		g.ours.duty = g.duty
	} else if !g.owner || g.entry.marked {
		g.ours = &holding{addr: g.addr, duty: g.duty}
		w.ours[g.entry.place()] = g.ours
	}
}

// notice hears of a change. It is called by the goroutine that watches.
func (w *worker) notice(c change) {
	w.hazy.Store(true) // before interests are looked at, see publishInterests
	in := w.interests.Load()
	if in == nil {
		return // nothing is kept yet
	}
	switch {
	case c.index == 0:
		w.mu.Lock()
		w.overrun = true
		if c.err != unix.ENOBUFS { // that one is ordinary, and made good by reading again
			w.watchErr = c.err
		}
		w.mu.Unlock()
	case c.ip.IsValid():
		if !in.ips[c.ip] && !in.indexes[c.index] {
			return
		}
	case !in.names[c.name] && !in.indexes[c.index]:
		return
	case c.down:
		w.mu.Lock()
		w.bounced[c.index] = true
		w.mu.Unlock()
	}
	w.stale.Store(true)
	w.keeper.poke()
}

// publishInterests tells notice what matters now. Whatever happened before it
// did, and was of no interest then, is seen through hazy.
func (w *worker) publishInterests() {
	in := &interests{names: map[string]bool{}, indexes: map[int]bool{}, ips: make(map[netip.Addr]bool, len(w.goals))}
	for _, g := range w.goals {
		in.names[g.addr.Interface] = true
		in.ips[g.addr.Prefix.Addr()] = true
	}
	for at := range w.ours {
		in.ips[at.prefix.Addr()] = true
	}
	if old := w.interests.Load(); old != nil && maps.Equal(old.names, in.names) && maps.Equal(old.ips, in.ips) {
		return
	}
	w.interests.Store(in)
	w.publishIndexes()
	w.verify = w.verify || w.hazy.Load()
}

// publishIndexes tells notice what the interfaces of interest are numbered, so
// that it knows one by its old name when it is renamed.
func (w *worker) publishIndexes() {
	in := w.interests.Load()
	if in == nil || w.view == nil {
		return
	}
	indexes := make(map[int]bool, len(in.names))
	for name := range in.names {
		if l := w.view.links[name]; l != nil {
			indexes[l.index] = true
		}
	}
	if maps.Equal(indexes, in.indexes) {
		return
	}
	w.interests.Store(&interests{names: in.names, indexes: indexes, ips: in.ips})
	w.verify = w.verify || w.hazy.Load() // something notice may have taken for no concern
}
