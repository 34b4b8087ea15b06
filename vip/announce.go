package vip

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// jamPause is how long an interface whose queue is full is left alone.
const jamPause = 100 * time.Millisecond

// A jam is the set of interfaces whose queue was found full.
type jam map[int]bool

// announceDue sends what is due: of all addresses the first announcement, then
// the second ones, if repeats are wanted. It reports whether an address is
// announced now that was not.
func (w *worker) announceDue(now time.Time, repeats bool) (fresh bool) {
	due := w.announcements[:0]
	for _, g := range w.goals {
		if g.hold && g.installed && g.schedule.due(now) && (repeats || !g.announced) {
			due = append(due, g)
		}
	}
	w.announcements = due
	defer clear(due)
	if len(due) == 0 || !w.mayInsist(now, beatPatience) {
		return false
	}
	slices.SortStableFunc(due, func(a, b *goal) int { return cmp.Compare(a.schedule.round, b.schedule.round) })
	var jam jam
	for _, g := range due {
		before := g.announced
		if before && w.ordered() {
			break // repeats of thousands take their time, and can wait
		}
		w.announce(g, time.Now(), &jam)
		fresh = fresh || g.announced != before
	}
	return fresh
}

// announceAgain sends what is due between two passes, repeats above all: of
// thousands of addresses one or the other always is, and to compare everything
// each time costs several times as much as to announce. It reports whether
// somebody is to be told, which takes a pass.
func (w *worker) announceAgain(now time.Time) (look bool) {
	look = w.announceDue(now, true)
	w.tellFailures()
	w.scheduleAnnouncements()
	return look
}

// scheduleAnnouncements finds out when the next announcement is due.
func (w *worker) scheduleAnnouncements() {
	now := time.Now()
	w.announceAt = time.Time{}
	for _, g := range w.goals {
		at := g.schedule.next
		if !g.hold || !g.installed || at.IsZero() || !g.link.announces() {
			continue
		}
		// What is due already waits for a Beat.
		if at.After(now) || w.mayInsist(now, beatPatience) {
			w.announceAt = earliest(w.announceAt, at)
		}
	}
}

// announce sends one announcement of an installed address, if its order still
// stands. Where none can leave, compareLinks starts over when that changes.
func (w *worker) announce(g *goal, now time.Time, j *jam) {
	l := w.view.links[g.addr.Interface]
	if !l.announces() {
		g.spokenFor(now)
		return
	}
	if !g.duty.current() || !w.mayInsist(time.Now(), beatPatience) {
		return
	}
	if (*j)[l.index] {
		g.schedule.next = now.Add(jamPause)
		return
	}
	err := w.kernel.announce(l, g.addr.Prefix.Addr())
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		if *j == nil {
			*j = jam{}
		}
		(*j)[l.index] = true
		g.schedule.next = now.Add(jamPause)
		w.failed(g.duty, announcing, g.addr, &g.sendErr, err)
		return
	case err != nil:
		w.failed(g.duty, announcing, g.addr, &g.sendErr, err)
	default:
		g.sendErr = nil
		g.duty.spoke = time.Now()
	}
	g.spokenFor(now)
	g.schedule.sent(now, g.duty.want.Announce)
}

// spokenFor notes that neighbours were told of an address, or cannot be. From then
// on it matters if another station claims it.
func (g *goal) spokenFor(now time.Time) {
	g.announced = true
	if g.heldAt.IsZero() {
		g.heldAt, g.probeAt = now, now.Add(probeFirst)
	}
}
