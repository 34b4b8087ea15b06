package vip

import (
	"net"
	"slices"
	"time"
)

// This file decides what claims mean (RFC 5227 section 2.4).

// Paces of conflicts.
const (
	conflictQuiet  = time.Second             // after becoming holder: the predecessor may not have heard
	conflictDoubt  = time.Second             // after a claim: it may be a successor's, whom we are about to hear
	conflictAgain  = 10 * time.Second        // between two events about one station
	conflictOver   = 30 * time.Second        // without a claim
	defendInterval = 10 * time.Second        // RFC 5227 section 1.1, DEFEND_INTERVAL
	probeFirst     = 1500 * time.Millisecond // after becoming holder
	probeAgain     = 10 * time.Second        // during a conflict
	probePause     = 5 * time.Millisecond    // between two batches of probes
	rivalsMax      = 4                       // stations told about one address; the claims of more count as the last one's
)

// A dispute is about one held address that others claim.
type dispute struct {
	duty     *duty
	epoch    uint64
	rivals   []rival
	told     bool // a Conflict
	last     time.Time
	defended time.Time
}

// A rival is a station that claims an address.
type rival struct {
	mac    mac
	count  int // claims not yet told
	tellAt time.Time
	told   time.Time
}

// contest notes claims to a held address.
func (w *worker) contest(g *goal, from mac, r rumour) {
	if g.heldAt.IsZero() || r.last.Sub(g.heldAt) < conflictQuiet {
		return
	}
	d := w.disputes[g]
	if d == nil {
		d = &dispute{duty: g.duty, epoch: g.epoch}
		w.disputes[g] = d
	}
	d.last = r.last
	i := slices.IndexFunc(d.rivals, func(v rival) bool { return v.mac == from })
	switch {
	case i >= 0:
	case len(d.rivals) < rivalsMax:
		i = len(d.rivals)
		d.rivals = append(d.rivals, rival{mac: from})
	default:
		i = len(d.rivals) - 1
	}
	v := &d.rivals[i]
	v.count += r.count
	if v.tellAt.IsZero() {
		v.tellAt = r.last.Add(conflictDoubt)
		if again := v.told.Add(conflictAgain); v.tellAt.Before(again) {
			v.tellAt = again
		}
	}
}

func (w *worker) attendNext(at time.Time) { w.attendAt = earliest(w.attendAt, at) }

func (w *worker) probeNext(at time.Time) { w.probeAt = earliest(w.probeAt, at) }

// attend does what is due about claims: looks at them, tells, defends, asks.
func (w *worker) attend() {
	now := time.Now()
	w.attendAt = time.Time{}
	w.hearClaims(now)
	for g, d := range w.disputes {
		w.pursue(g, d, now)
	}
	if !w.probeAt.IsZero() && !w.probeAt.After(now) {
		w.probeDue(now)
	}
	w.attendAt = earliest(w.attendAt, w.probeAt)
}

// pursue goes on with a dispute.
func (w *worker) pursue(g *goal, d *dispute, now time.Time) {
	over := d.last.Add(conflictOver)
	if !g.hold || g.duty != d.duty || g.epoch != d.epoch || !now.Before(over) {
		delete(w.disputes, g)
		if d.told {
			w.report(Event{Kind: ConflictOver, Owner: d.duty.owner, Address: g.addr, At: now})
		}
		return
	}
	w.attendNext(over)
	for i := range d.rivals {
		v := &d.rivals[i]
		switch {
		case v.tellAt.IsZero():
		case v.tellAt.After(now):
			w.attendNext(v.tellAt)
		case !w.mayInsist(now, beatPatience) || !g.duty.current():
			// A Beat, or a pass, comes before we may say so.
		default:
			w.report(Event{Kind: Conflict, Owner: g.duty.owner, Address: g.addr, At: d.last,
				MAC: net.HardwareAddr(slices.Clone(v.mac[:])), Claims: v.count})
			if !d.told {
				d.told = true
				g.probeAt = now.Add(probeAgain)
				w.probeNext(g.probeAt)
			}
			v.count, v.tellAt, v.told = 0, time.Time{}, now
			w.defend(g, d, now)
		}
	}
}

// defend answers a claim with one announcement.
func (w *worker) defend(g *goal, d *dispute, now time.Time) {
	l := w.view.links[g.addr.Interface]
	if g.duty.want.Conflicts != DefendConflicts || !g.installed || !l.announces() || now.Sub(d.defended) < defendInterval {
		return
	}
	d.defended = now
	if err := w.kernel.announce(l, g.addr.Prefix.Addr()); err != nil {
		w.failed(g.duty, announcing, g.addr, &g.sendErr, err)
		w.tellFailures()
	}
}

// probeDue asks who has the addresses that are to be asked about, a batch at a
// time. Whoever answers makes a claim.
func (w *worker) probeDue(now time.Time) {
	w.probeAt = time.Time{}
	sent := 0
	for _, g := range w.goals {
		if !g.hold || !g.installed || !g.announced || g.duty.want.Conflicts == IgnoreConflicts {
			continue
		}
		switch {
		case g.probeAt.IsZero():
		case g.probeAt.After(now):
			w.probeNext(g.probeAt)
		case sent == batchLen:
			w.probeNext(now.Add(probePause))
			return
		case !g.duty.current() || !w.mayInsist(now, beatPatience):
			// A pass, or a Beat, comes first.
		default:
			sent++
			g.probeAt = time.Time{}
			if d := w.disputes[g]; d != nil && d.told {
				g.probeAt = now.Add(probeAgain)
				w.probeNext(g.probeAt)
			}
			if l := w.view.links[g.addr.Interface]; l.announces() {
				if err := w.kernel.probe(l, g.addr.Prefix.Addr()); err != nil {
					w.failed(g.duty, probing, g.addr, &g.probeErr, err)
					w.tellFailures()
				}
			}
		}
	}
}
