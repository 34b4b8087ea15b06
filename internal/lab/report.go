package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is what a client saw of a virtual address.
type Report struct {
	Sent int // requests whose fate is known
	Lost int // of these, not answered within the probe's timeout

	// Gaps are the runs of lost requests in order, and LongestGap is the
	// length of the longest, 0 if nothing was lost.
	Gaps       []Gap
	LongestGap time.Duration

	// Owners says who answered, in order; [Host.WhoHas] alone fills it.
	Owners []Owner
	// Conflicts are the requests that more than one owner answered.
	Conflicts []Conflict
	// Shared are the runs of such requests, in order.
	Shared []Shared
	// LastAnswer is when the last request was sent that each owner answered.
	LastAnswer map[string]time.Time
}

// Gap is an interruption: from sending the first request that was lost to
// sending the next one that was answered, or to the last request of all.
type Gap struct {
	From, To time.Time
	Lost     int
}

// Length is how long the gap lasted.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// Owner is one stretch of time in which the same one answered.
type Owner struct {
	Name     string // the host, or the hardware address if it is no host's own
	From, To time.Time
}

// Conflict is a request answered by several.
type Conflict struct {
	At    time.Time
	Names []string
}

// Shared is a time with several owners: from sending the first request that
// more than one answered to sending the next one that fewer answered, or to the
// last request of all.
type Shared struct {
	From, To time.Time
}

// Length is how long it lasted.
func (s Shared) Length() time.Duration { return s.To.Sub(s.From) }

// Silence is the time without any answer, all gaps together.
func (r Report) Silence() time.Duration {
	var sum time.Duration
	for _, g := range r.Gaps {
		sum += g.Length()
	}
	return sum
}

// TwoOwners is the time in which more than one answered, all of it together.
func (r Report) TwoOwners() time.Duration {
	var sum time.Duration
	for _, s := range r.Shared {
		sum += s.Length()
	}
	return sum
}

// Serving is the last owner seen, or "" if nobody ever answered.
func (r Report) Serving() string {
	if len(r.Owners) == 0 {
		return ""
	}
	return r.Owners[len(r.Owners)-1].Name
}

// String is the report in one line.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sent, %d lost, longest gap %v", r.Sent, r.Lost, r.LongestGap.Round(100*time.Microsecond))
	if len(r.Owners) > 0 {
		var names []string
		for _, o := range r.Owners {
			names = append(names, o.Name)
		}
		fmt.Fprintf(&b, ", answered by %s", strings.Join(names, " then "))
	}
	if len(r.Conflicts) > 0 {
		fmt.Fprintf(&b, ", %d requests answered by more than one, for %v", len(r.Conflicts), r.TwoOwners().Round(100*time.Microsecond))
	}
	return b.String()
}

// sample is one request and what came of it.
type sample struct {
	sent     time.Time
	answered bool
	by       []string // who answered, where that can be told
}

// summarize makes a report of requests in the order they were sent.
func summarize(samples []sample) Report {
	r := Report{Sent: len(samples)}
	inGap, shared := false, false
	var before []string
	for _, s := range samples {
		last := len(r.Gaps) - 1
		switch {
		case !s.answered && !inGap:
			inGap = true
			r.Gaps = append(r.Gaps, Gap{From: s.sent, To: s.sent, Lost: 1})
		case !s.answered:
			r.Gaps[last].Lost++
			r.Gaps[last].To = s.sent
		case inGap:
			inGap = false
			r.Gaps[last].To = s.sent
		}
		shared = r.addShared(s, shared)
		r.addOwners(s, before)
		before = s.by
	}
	for _, g := range r.Gaps {
		r.Lost += g.Lost
		r.LongestGap = max(r.LongestGap, g.Length())
	}
	return r
}

// addShared carries the times with several owners on by one request; open says
// whether the last one goes on, before and after.
func (r *Report) addShared(s sample, open bool) bool {
	several := len(s.by) > 1
	if several && !open {
		r.Shared = append(r.Shared, Shared{From: s.sent})
	}
	if several || open {
		r.Shared[len(r.Shared)-1].To = s.sent
	}
	return several
}

// addOwners carries the owners' timeline on by one request; before are those
// that answered the one before it. Of several that answer, a new one is taken as
// the owner from then on.
func (r *Report) addOwners(s sample, before []string) {
	if len(s.by) > 1 {
		r.Conflicts = append(r.Conflicts, Conflict{At: s.sent, Names: slices.Clone(s.by)})
	}
	for _, name := range s.by {
		if r.LastAnswer == nil {
			r.LastAnswer = map[string]time.Time{}
		}
		r.LastAnswer[name] = s.sent
		switch last := len(r.Owners) - 1; {
		case last >= 0 && r.Owners[last].Name == name:
			r.Owners[last].To = s.sent
		case len(s.by) > 1 && slices.Contains(before, name):
		default:
			r.Owners = append(r.Owners, Owner{Name: name, From: s.sent, To: s.sent})
		}
	}
}
