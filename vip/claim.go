package vip

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// This file hears of claims: that another station says an address of ours is
// its own.

const (
	claimsMax   = 256                   // different claims not yet looked at; more are not counted
	claimPause  = 10 * time.Millisecond // between two looks at them
	lingerGrace = 50 * time.Millisecond // from a successor's announcement to the end of a linger
	claimFresh  = time.Second           // how long before the order to linger an announcement may have come
)

type mac [6]byte

// A claim is what another station said about an address: that it is its own.
type claim struct {
	at  spot
	mac mac
	err error // nothing was said: hearing failed
}

// An attention says whose claims matter.
type attention struct {
	spots map[spot]bool
	own   map[mac]bool // this host's
}

// A rumour is how often a claim was heard, and when last.
type rumour struct {
	count int
	last  time.Time
}

// A listened is a goal whose claims matter, and where.
type listened struct {
	at   spot
	goal *goal
}

// claimed hears of a claim. It is called by the goroutines that listen.
func (w *worker) claimed(c claim) {
	if c.err != nil {
		w.mu.Lock()
		w.hearErr = c.err
		w.mu.Unlock()
		w.keeper.nudge()
		return
	}
	in := w.attention.Load()
	// Without a hardware address nobody is named.
	if in == nil || !in.spots[c.at] || in.own[c.mac] || c.mac == (mac{}) {
		return
	}
	w.mu.Lock()
	r, known := w.rumours[c]
	if known || len(w.rumours) < claimsMax {
		w.rumours[c] = rumour{r.count + 1, time.Now()}
	}
	w.mu.Unlock()
	if !known {
		w.keeper.nudge()
	}
}

// listen has the kernel tell of claims to what is held or lingers. It is called
// when nothing else is to be done, so that no takeover waits for it.
func (w *worker) listen() {
	if w.view == nil {
		return
	}
	now := time.Now()
	next := w.listening[1-w.listens][:0]
	for _, g := range w.goals {
		if g.link == nil || !g.link.talks || !g.lingers(now) && !(g.hold && g.installed && g.announced) {
			continue
		}
		next = append(next, listened{spot{g.link.index, g.addr.Prefix.Addr()}, g})
	}
	w.listening[1-w.listens] = next
	if slices.Equal(next, w.listening[w.listens]) && w.heardView == w.view {
		return
	}
	w.listens, w.heardView = 1-w.listens, w.view
	clear(w.bySpot)
	in := &attention{spots: make(map[spot]bool, len(next)), own: make(map[mac]bool, len(w.view.links))}
	ips := make([]netip.Addr, 0, len(next))
	for _, l := range next {
		if !in.spots[l.at] {
			ips = append(ips, l.at.ip)
		}
		in.spots[l.at] = true
		w.bySpot[l.at] = l.goal
	}
	for _, l := range w.view.links {
		for _, hw := range []net.HardwareAddr{l.mac, l.permanent} {
			if len(hw) == len(mac{}) {
				in.own[mac(hw)] = true
			}
		}
	}
	w.attention.Store(in)
	slices.SortFunc(ips, netip.Addr.Compare)
	ips = slices.Compact(ips)
	if slices.Equal(ips, w.heardOf) {
		return
	}
	w.heardOf = ips
	if err := w.kernel.listen(ips); err != nil {
		w.tellHearing(err, now)
	}
}

// tellHearing tells that claims are not heard, once per cause.
func (w *worker) tellHearing(err error, now time.Time) {
	if w.deaf == nil || w.deaf.Error() != err.Error() {
		w.report(Event{Kind: Failed, Err: err, At: now})
	}
	w.deaf = err
}

// hearClaims looks at what was heard.
func (w *worker) hearClaims(now time.Time) {
	w.mu.Lock()
	if len(w.rumours) == 0 && w.hearErr == nil {
		w.mu.Unlock()
		return
	}
	if at := w.heardAt.Add(claimPause); now.Before(at) {
		w.mu.Unlock()
		w.attendNext(at)
		return
	}
	w.heardAt = now
	rumours, err := w.rumours, w.hearErr
	w.rumours, w.hearErr = make(map[claim]rumour), nil
	w.mu.Unlock()
	if err != nil {
		w.tellHearing(err, now)
	}
	for c, r := range rumours {
		g := w.bySpot[c.at]
		if g == nil {
			continue
		}
		g.claimed = r.last
		switch {
		case g.lingers(now):
			g.endSoon(r.last)
			w.wakeAt(g.until)
		case g.hold && g.duty.want.Conflicts != IgnoreConflicts:
			w.contest(g, c.mac, r)
		}
	}
}

// endSoon has a linger end a grace after from, if it does not end before.
func (g *goal) endSoon(from time.Time) {
	if end := from.Add(lingerGrace); g.cut.IsZero() || end.Before(g.cut) {
		g.cut = end
	}
	if g.cut.Before(g.until) {
		g.until = g.cut
	}
}
