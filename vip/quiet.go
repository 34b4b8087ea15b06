package vip

import "time"

// This file does what nobody waits for once no more orders come: thousands of
// routers that take over do so within a tenth of a second, some at a time, and
// each of these things goes through all addresses.

const (
	quietFor  = 20 * time.Millisecond  // without a look at everything
	quietMost = 500 * time.Millisecond // since something began to wait
)

// disturbed puts off what can wait.
func (w *worker) disturbed(now time.Time) {
	if w.quietBy.IsZero() {
		w.quietBy = now.Add(quietMost)
	}
	w.quietAt = earliest(now.Add(quietFor), w.quietBy)
}

// whenQuiet does what was put off, if it is time.
func (w *worker) whenQuiet(now time.Time) {
	if w.quietAt.IsZero() || w.quietAt.After(now) {
		return
	}
	w.quietAt, w.quietBy = time.Time{}, time.Time{}
	// It is removing that needs this.
	for _, g := range w.goals {
		if g.hold && g.ours != nil && !g.ours.gone && g.addr.Prefix.Addr().Is4() {
			w.ensurePromote(g.link)
		}
	}
	w.listen()
	w.probeDue(now)
}
