package daemon

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/whohas"
)

const (
	// recordAsks bounds the requests of one address that are remembered: 11
	// minutes of them, and more than a drill takes.
	recordAsks = 1 << 15
	// answerWithin is how late an answer still belongs to its request.
	answerWithin = time.Second
)

// A record is what was seen of one address: when it was asked for, who
// answered, and when it was on this node. A host does not hear its own answers
// to ARP, so an address that is on this node counts as answered. What is here
// is told later than it happened, so everything is judged in the end.
type record struct {
	addr  netip.Addr
	iface string

	mu      sync.Mutex
	asks    []time.Time
	answers []whohas.Answer // of others
	here    []span          // in order; the last may be open
	last    time.Time       // answer
	waiting int             // requests since then
}

// A span is a time from one moment to another; without an end it goes on.
type span struct{ from, to time.Time }

func (s span) contains(t time.Time) bool {
	return !t.Before(s.from) && (s.to.IsZero() || t.Before(s.to))
}

// asked notes a request; call it before the request is sent. It reports false
// when that is enough.
func (r *record) asked(at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asks) >= recordAsks {
		return false
	}
	r.asks = append(r.asks, at)
	r.waiting++
	return true
}

func (r *record) answered(a whohas.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Ours || len(r.answers) >= 2*recordAsks {
		return
	}
	r.answers = append(r.answers, a)
	r.last, r.waiting = a.At, 0
}

// came and went say that the address is on this node, and no longer.
func (r *record) came(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.here); n == 0 || !r.here[n-1].to.IsZero() {
		r.here = append(r.here, span{from: at})
	}
}

func (r *record) went(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.here); n > 0 && r.here[n-1].to.IsZero() {
		r.here[n-1].to, r.last, r.waiting = at, at, 0
	}
}

// isHere reports whether the address is on this node now, as far as is known.
func (r *record) isHere() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.here)
	return n > 0 && r.here[n-1].to.IsZero()
}

// silent is how long nobody has answered, and over how many requests: when this
// very process stood still, nobody was asked either.
func (r *record) silent(now time.Time) (time.Duration, int) {
	if r.isHere() {
		return 0, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Sub(r.last), r.waiting
}

// firstAnswer is the first answer of another host since a moment.
func (r *record) firstAnswer(since time.Time) (whohas.Answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.answers, func(a whohas.Answer) bool { return !a.At.Before(since) })
	if i < 0 {
		return whohas.Answer{}, false
	}
	return r.answers[i], true
}

// lastAnswer is the last answer of another host.
func (r *record) lastAnswer() (whohas.Answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.answers) == 0 {
		return whohas.Answer{}, false
	}
	return r.answers[len(r.answers)-1], true
}

// firstHere is when the address came to this node, after a moment.
func (r *record) firstHere(since time.Time) (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.here {
		if !s.from.Before(since) {
			return s.from, true
		}
	}
	return time.Time{}, false
}

// firstLeft is when the address left this node first.
func (r *record) firstLeft() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.here) == 0 || r.here[0].to.IsZero() {
		return time.Time{}, false
	}
	return r.here[0].to, true
}

// A tally is what became of the requests in one part of a drill.
type tally struct {
	sent, lost int
	silence    time.Duration // the longest that ended in it
}

// count counts requests, losses and silences of the parts that begin at the
// given moments, up to the end. ARP numbers nothing, so an answer is taken for
// that to the newest request that has none.
func (r *record) count(begins []time.Time, end time.Time) []tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]tally, len(begins))
	part := func(at time.Time) int {
		n := 0
		for n+1 < len(begins) && !at.Before(begins[n+1]) {
			n++
		}
		return n
	}
	var open []time.Time
	next := 0
	answersUntil := func(t time.Time) {
		for ; next < len(r.answers) && (t.IsZero() || r.answers[next].At.Before(t)); next++ {
			if n := len(open); n > 0 && r.answers[next].At.Sub(open[n-1]) <= answerWithin {
				out[part(open[n-1])].lost--
				open = open[:n-1]
			}
		}
	}
	for _, ask := range r.asks {
		answersUntil(ask)
		out[part(ask)].sent++
		if slices.ContainsFunc(r.here, func(s span) bool { return s.contains(ask) }) {
			continue
		}
		out[part(ask)].lost++
		open = append(open, ask)
	}
	answersUntil(time.Time{})
	for _, gap := range r.gaps(end) {
		t := &out[part(gap.to)]
		t.silence = max(t.silence, gap.to.Sub(gap.from))
	}
	return out
}

// gaps are the times without an answer, the address being elsewhere.
func (r *record) gaps(end time.Time) []span {
	seen := slices.Clone(r.here)
	for i := range seen {
		if seen[i].to.IsZero() {
			seen[i].to = end
		}
	}
	for _, a := range r.answers {
		seen = append(seen, span{a.At, a.At})
	}
	slices.SortFunc(seen, func(a, b span) int { return a.from.Compare(b.from) })
	seen = append(seen, span{end, end})
	var out []span
	until := seen[0].from
	for _, s := range seen {
		if s.from.After(until) {
			out = append(out, span{until, s.from})
		}
		if s.to.After(until) {
			until = s.to
		}
	}
	return out
}

// answerers are the hosts that answered, with times that count from a moment.
func (r *record) answerers(zero time.Time) []control.DrillAnswers {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []control.DrillAnswers{}
	for _, a := range r.answers {
		i := slices.IndexFunc(out, func(o control.DrillAnswers) bool { return o.MAC == a.MAC.String() })
		if i < 0 {
			i = len(out)
			out = append(out, control.DrillAnswers{MAC: a.MAC.String(), First: micro(a.At.Sub(zero).Seconds())})
		}
		out[i].Answers++
		out[i].Last = micro(a.At.Sub(zero).Seconds())
	}
	return out
}
