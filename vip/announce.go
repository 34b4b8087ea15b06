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
// the second ones.
func (w *worker) announceDue(now time.Time) {
	var due []*goal
	for _, g := range w.goals {
		if g.hold && g.installed && g.schedule.due(now) {
			due = append(due, g)
		}
	}
	if len(due) == 0 || !w.mayInsist(now, beatPatience) {
		return
	}
	slices.SortStableFunc(due, func(a, b *goal) int { return cmp.Compare(a.schedule.round, b.schedule.round) })
	var jam jam
	for _, g := range due {
		w.announce(g, time.Now(), &jam)
	}
}

// announce sends one announcement of an installed address, if its order still
// stands. Where none can leave, compareLinks starts over when that changes.
func (w *worker) announce(g *goal, now time.Time, j *jam) {
	l := w.view.links[g.addr.Interface]
	if !l.announces() {
		g.announced = true
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
	}
	g.announced = true
	g.schedule.sent(now, g.duty.want.Announce)
}
