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
	// Of a crowd at least goLeast leave in one go, and as many as it takes to leave
	// in goesMost goes: in a takeover the last of a go waits for the others, and
	// each go is a wake-up an interval.
	goLeast  = 16
	goesMost = 64
	// crowdGap is about what it takes to take over seriesMost of them.
	crowdGap = 2500 * time.Microsecond
	// spreadLeast is the least interval that is spread. At shorter ones each of
	// these wake-ups comes so much more often.
	spreadLeast = 50 * time.Millisecond
	// spreadAhead is how far ahead of a plan something may leave early.
	spreadAhead = time.Millisecond
)

// sizeGoes finds out how many instances of a crowd leave in one go, by interval.
func (p *plan) sizeGoes() {
	clear(p.goes)
	if len(p.taken) < crowdFrom {
		return
	}
	if p.goes == nil {
		p.goes = map[time.Duration]int{}
	}
	for _, inst := range p.taken {
		if inst.spreads() {
			p.goes[inst.cfg.AdvertInterval]++
		}
	}
	for interval, n := range p.goes {
		if p.goes[interval] = min(max((n+goesMost-1)/goesMost, goLeast), seriesMost); n < crowdFrom {
			delete(p.goes, interval)
		}
	}
}

// atOnce returns how many instances like one leave in one go.
func (p *plan) atOnce(inst *instance) int {
	if n, ok := p.goes[inst.cfg.AdvertInterval]; ok && inst.spreads() {
		return n
	}
	return seriesMost
}

// spreads reports whether an instance is spread if it is one of a crowd. The members
// of a sync group wait for each other on the next host.
func (i *instance) spreads() bool { return i.group == nil && i.cfg.AdvertInterval >= spreadLeast }

// spread finds out how much earlier than they are due the series of a plan leave.
// What cannot be done yet is left to another plan.
func (p *plan) spread(now vrrp.Instant) {
	p.early = slices.Grow(p.early[:0], len(p.series))[:len(p.series)]
	clear(p.early)
	p.unspread = false
	crowds := map[time.Duration][]int{} // the series, by interval
	for n, members := range p.series {
		if first := members[0]; first.spreads() && p.goes[first.cfg.AdvertInterval] > 0 {
			crowds[first.cfg.AdvertInterval] = append(crowds[first.cfg.AdvertInterval], n)
		}
	}
	for interval, crowd := range crowds {
		slices.SortStableFunc(crowd, func(a, b int) int { return cmp.Compare(p.series[a][0].deadline, p.series[b][0].deadline) })
		at := p.divide(crowd)
		due := make([]vrrp.Instant, len(at))
		for g, i := range at {
			due[g] = p.series[crowd[i]][0].deadline
		}
		gap := crowdGap * time.Duration(p.goes[interval]) / seriesMost
		early, done := stagger(due, now.Add(spreadAhead), interval, gap)
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

// divide divides series, in the order in which they are due, into what leaves in one
// go. It returns where each of these begins.
func (p *plan) divide(crowd []int) (at []int) {
	members := 0
	for i, n := range crowd {
		s := p.series[n]
		if i == 0 || members+len(s) > p.atOnce(s[0]) || s[0].deadline > p.series[crowd[at[len(at)-1]]][0].deadline.Add(together) {
			at = append(at, i)
			members = 0
		}
		members += len(s)
	}
	return at
}

// stagger returns how much earlier than it is due each of several things has to
// happen, once, so that they are apart: by gap, or what most of the interval
// has room for. What would have to happen before from stays as it is; done is
// false if that left some too near to each other. The first is due first.
func stagger(due []vrrp.Instant, from vrrp.Instant, interval, gap time.Duration) (early []time.Duration, done bool) {
	n := len(due)
	early = make([]time.Duration, n)
	gap = min(gap, interval*3/4/time.Duration(n))
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
