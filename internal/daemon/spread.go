package daemon

import (
	"cmp"
	"slices"
	"time"

	"vrrpd/vrrp"
)

// This file has the advertisements of a crowd leave some at a time. Routers that
// became active together would advertise together ever after; if their host dies
// all of them are due at the same moment on the next one, and the address of the
// last of two thousand is announced 30 ms after that of the first. Nobody minds an
// advertisement that is early. So each comes earlier than it is due, once, and
// from then on they are as far apart as a takeover of so many takes. No farther:
// who waits for all of them waits for the last one.

const (
	// crowdFrom is how many instances of one interval are a crowd: more than
	// leave, or are taken over, in one go. To be woken more often than once an
	// interval for fewer costs more than it brings.
	crowdFrom = seriesMost + 1
	// crowdGap is about what it takes to take over as many as leave in one go.
	crowdGap = 2500 * time.Microsecond
	// spreadLeast is the least interval that is spread. At shorter ones each of
	// these wake-ups comes so much more often.
	spreadLeast = 50 * time.Millisecond
	// spreadAhead is how far ahead of a plan something may leave early.
	spreadAhead = time.Millisecond
)

// spread finds out how much earlier than they are due the series of a plan leave.
// What cannot be done yet is left to another plan.
func (p *plan) spread(now vrrp.Instant) {
	p.early = slices.Grow(p.early[:0], len(p.series))[:len(p.series)]
	clear(p.early)
	if p.unspread = false; len(p.taken) < crowdFrom {
		return
	}
	crowds := map[time.Duration][]int{} // the series, by interval
	for n, members := range p.series {
		// The members of a sync group wait for each other on the next host.
		if first := members[0]; first.group == nil && first.cfg.AdvertInterval >= spreadLeast {
			crowds[first.cfg.AdvertInterval] = append(crowds[first.cfg.AdvertInterval], n)
		}
	}
	for interval, crowd := range crowds {
		slices.SortStableFunc(crowd, func(a, b int) int { return cmp.Compare(p.series[a][0].deadline, p.series[b][0].deadline) })
		at, count := p.goes(crowd)
		if count < crowdFrom {
			continue
		}
		due := make([]vrrp.Instant, len(at))
		for g, i := range at {
			due[g] = p.series[crowd[i]][0].deadline
		}
		early, done := stagger(due, now.Add(spreadAhead), interval)
		for g, i := range at {
			end := len(crowd)
			if g+1 < len(at) {
				end = at[g+1]
			}
			for _, n := range crowd[i:end] {
				p.early[n] = early[g]
			}
		}
		p.unspread = p.unspread || !done
	}
}

// goes divides series, in the order in which they are due, into what leaves in one
// go. It returns where each of these begins, and how many instances there are.
func (p *plan) goes(crowd []int) (at []int, count int) {
	members := 0
	for i, n := range crowd {
		s := p.series[n]
		if i == 0 || members+len(s) > seriesMost || s[0].deadline > p.series[crowd[at[len(at)-1]]][0].deadline.Add(together) {
			at = append(at, i)
			members = 0
		}
		members += len(s)
		count += len(s)
	}
	return at, count
}

// stagger returns how much earlier than it is due each of several things has to
// happen, once, so that they are apart: by crowdGap, or what most of the interval
// has room for. What would have to happen before from stays as it is; done is
// false if that left some too near to each other. The first is due first.
func stagger(due []vrrp.Instant, from vrrp.Instant, interval time.Duration) (early []time.Duration, done bool) {
	n := len(due)
	early = make([]time.Duration, n)
	gap := min(crowdGap, interval*3/4/time.Duration(n))
	last := due[n-1]
	next := last
	for i := n - 2; i >= 0; i-- {
		at := min(due[i], next.Add(-gap))
		if at < due[i] && at < from {
			return early, false
		}
		early[i], next = due[i].Sub(at), at
	}
	return early, next.Add(interval).Sub(last) >= gap // the first one's next turn
}
