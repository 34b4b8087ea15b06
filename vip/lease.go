package vip

import (
	"time"
)

// This file keeps the lifetimes of addresses in the kernel (IFA_CACHEINFO,
// linux/if_addr.h): leases that end unless they are renewed.

const (
	leaseLen     = 128 // renewals in one send: nobody waits for the first of them
	leaseSlack   = 8   // what is due within this part of a lease is renewed with the others
	leaseDoubted = 2   // times that an address was there although its renewal was refused
	// leaseCrowd is from how many IPv6 leases on an interface on they are longer
	// than wanted: to renew one the kernel goes through all multicast groups of
	// the interface and reports them anew, and every address brings a group of
	// its own. 128 leases of 5s take a third of a percent of a core.
	leaseCrowd = 128
)

// A lease is what the kernel was last told about the lifetime of an address.
type lease struct {
	length  time.Duration // 0: nothing yet, or for ever
	asked   time.Duration // the one it was made of, see leaseCrowd
	renewed time.Time
	doubts  int // renewals refused
	pace    pace
	err     error // why the last one failed, as told
}

// leaseWanted returns the lease that d wants for its addresses, in whole
// seconds; 0: for ever.
func (d *duty) leaseWanted() time.Duration {
	if d.want.Owner || d.want.Lease <= 0 {
		return 0
	}
	return max(d.want.Lease.Truncate(time.Second), time.Second)
}

// leaseGoals notes the leases of goals.
func (w *worker) leaseGoals() {
	crowds := make(map[string]int)
	for _, g := range w.goals {
		if g.lease = 0; g.hold {
			g.lease = g.duty.leaseWanted()
		}
		if g.lease > 0 && g.addr.Prefix.Addr().Is6() {
			crowds[g.addr.Interface]++
		}
	}
	if len(crowds) == 0 {
		return
	}
	for _, g := range w.goals {
		if n := crowds[g.addr.Interface]; n > leaseCrowd && g.addr.Prefix.Addr().Is6() {
			g.lease *= time.Duration((n + leaseCrowd - 1) / leaseCrowd)
		}
	}
}

// lifetime returns what is left of a lease that began with the caller's last
// sign of progress, in whole seconds rounded up. So addresses are gone at most
// the lease and a second after the last progress. 0 stands for ever.
func (w *worker) lifetime(length time.Duration, now time.Time) time.Duration {
	if length == 0 {
		return 0
	}
	return max(wholeSeconds(length-w.keeper.silence(now)), time.Second)
}

// wholeSeconds rounds d up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// A leaseOf is the lease of a held address.
type leaseOf struct {
	goal    *goal
	holding *holding
	want    time.Duration
	due     time.Time
}

// from returns when it is to be set or renewed; the zero time: never.
func (l leaseOf) from(now time.Time) time.Time {
	at, h, expires := now, l.holding.lease, l.goal.entry.expires
	switch {
	case l.want == 0 && !expires:
		return time.Time{}
	case l.want > 0 && expires && h.length > 0 && h.asked == l.goal.duty.leaseWanted():
		// With each 128 IPv6 addresses that come or go all others get another length.
		// That is for their next renewal: who comes is in more of a hurry.
		at = h.renewed.Add(min(h.length, l.want) / 3)
	}
	if at.Before(h.pace.notYet) {
		return h.pace.notYet
	}
	return at
}

// patience returns how long the caller may be silent for a lease to be renewed:
// no longer than that lease.
func (l leaseOf) patience() time.Duration {
	if l.want == 0 {
		return beatPatience
	}
	return l.want - 1
}

// leasesDue reports whether renewLeases has anything to do.
func (w *worker) leasesDue(now time.Time) bool {
	return w.unleased || !w.renewAt.IsZero() && !w.renewAt.After(now)
}

// renewLeases renews what is due, and what is nearly, and notes when to go on.
// It does so without a look at the kernel: the renewal of an address that is
// gone fails. It reports whether that calls for a look now.
func (w *worker) renewLeases() (again bool) {
	now := time.Now()
	w.renewAt, w.unleased = time.Time{}, false
	near := w.leases[:0]
	due := false
	for _, g := range w.goals {
		if !g.hold || !g.installed || g.entry == nil {
			continue
		}
		h := g.ours
		if h == nil || h.gone {
			continue // there before us
		}
		l := leaseOf{goal: g, holding: h, want: g.lease}
		switch l.due = l.from(now); {
		case l.due.IsZero():
		case l.due.After(now.Add(l.want / leaseSlack)):
			w.renewNext(l.due)
		case !l.due.After(now) && !w.mayInsist(now, l.patience()):
			w.unleased = true // the next Beat wakes us
		default:
			near = append(near, l)
			due = due || !l.due.After(now)
		}
	}
	w.leases = near
	for first := true; len(near) > 0; first = false {
		// Orders do not wait for two thousand renewals, nor these for ever.
		if !first && w.ordered() {
			w.unleased = true
			return again
		}
		batch := near[:min(leaseLen, len(near))]
		near = near[len(batch):]
		if due {
			again = w.renewBatch(batch) || again
			continue
		}
		for _, l := range batch {
			w.renewNext(l.due)
		}
	}
	return again
}

func (w *worker) renewNext(at time.Time) {
	if w.renewAt.IsZero() || at.Before(w.renewAt) {
		w.renewAt = at
	}
}

// renewBatch renews, in one send, the leases of those orders that still stand,
// and reports whether the kernel refused one.
func (w *worker) renewBatch(batch []leaseOf) (refused bool) {
	now := time.Now()
	ops := w.leaseOps[:0]
	chosen := batch[:0]
	for _, l := range batch {
		// Else the next pass, for which there is an order, knows better.
		if l.goal.duty.current() {
			chosen = append(chosen, l)
			ops = append(ops, op{do: renew, entry: l.goal.entry, lease: w.lifetime(l.want, now),
				apart: w.sharesPrefixRoute(l), plain: l.holding.lease.doubts >= leaseDoubted})
		}
	}
	w.leaseOps = ops
	for i, err := range w.applyAll(ops) {
		l := chosen[i]
		if w.renewed(l, err, now); err != nil {
			refused = true
		}
		if at := l.from(now); !at.IsZero() {
			w.renewNext(at)
		}
	}
	return refused
}

// renewed draws the consequences of one renewal.
func (w *worker) renewed(l leaseOf, err error, now time.Time) {
	h := l.holding
	if err == nil {
		h.lease = lease{length: l.want, asked: l.goal.duty.leaseWanted(), renewed: now, doubts: h.lease.doubts}
		l.goal.entry.expires = l.want > 0
		return
	}
	// Most likely the address is gone. A look at the kernel has it put back.
	w.stale.Store(true)
	h.lease.pace.failed(now)
	if h.lease.doubts++; h.lease.doubts > leaseDoubted {
		w.failed(l.goal.duty, renewing, l.goal.addr, &h.lease.err, err)
	}
}

// sharesPrefixRoute reports whether a lease for an address that is permanent so
// far would give an end to the prefix route of a permanent neighbour too: the
// kernel has one IPv6 route for all addresses of a subnet, and changes that of
// an address that was permanent without a look at the others.
func (w *worker) sharesPrefixRoute(l leaseOf) bool {
	e := l.goal.entry
	if l.want == 0 || e.expires || e.prefix.Addr().Is4() {
		return false
	}
	for _, o := range w.view.list {
		if o != e && !o.expires && subnet(o) == subnet(e) && o.prefix.Addr() != e.prefix.Addr() {
			return true
		}
	}
	return false
}
