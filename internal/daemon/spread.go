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
// from then on they are spread over most of the interval.

const (
	// crowdFrom is how many instances of one interval are a crowd: more than
	// leave, or are taken over, in one go. To be woken more often than once an
	// interval for fewer costs more than it brings.
	crowdFrom = seriesMost + 1
	// spreadLeast is the least interval that is spread. At shorter ones each of
	// these wake-ups comes so much more often.
	spreadLeast = 50 * time.Millisecond
	// spreadAhead is how far ahead of a plan something may leave early.
	spreadAhead = time.Millisecond
)

// spread finds out how much earlier than they are due the series of a plan leave.
// What cannot be done yet is left to the next plan.
func (p *plan) spread(now vrrp.Instant) {
	p.early = slices.Grow(p.early[:0], len(p.series))[:len(p.series)]
	clear(p.early)
	crowds := map[time.Duration][]int{} // the series, by interval
	for n, members := range p.series {
		interval := members[0].cfg.AdvertInterval
		crowds[interval] = append(crowds[interval], n)
	}
	for interval, crowd := range crowds {
		count := 0
		for _, n := range crowd {
			count += len(p.series[n])
		}
		if count < crowdFrom || interval < spreadLeast {
			continue
		}
		slices.SortStableFunc(crowd, func(a, b int) int { return cmp.Compare(p.series[a][0].deadline, p.series[b][0].deadline) })
		at := p.goes(crowd)
		due := make([]vrrp.Instant, 0, len(at))
		for _, i := range at {
			due = append(due, p.series[crowd[i]][0].deadline)
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
		p.wanted = p.wanted || !done
	}
}

// goes divides series, in the order in which they are due, into what leaves in one
// go, and returns where each begins.
func (p *plan) goes(crowd []int) (at []int) {
	count := 0
	for i, n := range crowd {
		members := p.series[n]
		if i == 0 || count+len(members) > seriesMost || members[0].deadline > p.series[crowd[at[len(at)-1]]][0].deadline.Add(together) {
			at = append(at, i)
			count = 0
		}
		count += len(members)
	}
	return at
}

// stagger returns how much earlier than it is due each of several things has to
// happen, once, so that they are apart by most of the interval divided by their
// number. What would have to happen before from stays as it is. done is false if
// that left some too near to each other. The first is due first.
func stagger(due []vrrp.Instant, from vrrp.Instant, interval time.Duration) (early []time.Duration, done bool) {
	n := len(due)
	early = make([]time.Duration, n)
	next, want := due[n-1], interval*3/4/time.Duration(n)
	gap := min(want, next.Sub(from)/time.Duration(n))
	last := next
	done = true
	for i := n - 2; i >= 0; i-- {
		at := next.Add(-gap)
		if at > due[i] || at < from {
			at = due[i]
		}
		done = done && next.Sub(at) >= want
		early[i], next = due[i].Sub(at), at
	}
	return early, done && next.Add(interval).Sub(last) >= want // the first one's next turn
}
