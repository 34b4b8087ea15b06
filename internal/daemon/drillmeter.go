package daemon

import (
	"sync"
	"time"

	"vrrpd/internal/control"
)

// openRequests bounds how many unanswered requests are remembered.
const openRequests = 64

// A meter counts requests and replies, phase by phase. ARP numbers neither, so
// a reply is taken for the answer to the newest request that has none: right as
// long as an answer takes less than the time between two requests, and a second
// answer to one request hides at most one loss.
type meter struct {
	mu       sync.Mutex
	phases   []phaseCount // the first is before anything counts
	open     []request    // without an answer, the newest last
	last     time.Time    // reply
	silentIn int          // requests since the last reply
}

type phaseCount struct {
	sent, answered int
	moved          time.Time     // when the new link was active; zero: none is new
	first          time.Duration // from then to the first reply to a later request
	silence        time.Duration // the longest
}

type request struct {
	at    time.Time
	phase int
}

func newMeter() *meter { return &meter{phases: make([]phaseCount, 1)} }

// begin begins a phase.
func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phases = append(m.phases, phaseCount{})
}

// moved says that the phase's new link is active.
func (m *meter) moved(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phases[len(m.phases)-1].moved = at
}

// asked counts a request; call it before the request is sent.
func (m *meter) asked(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.phases) - 1
	m.phases[n].sent++
	m.silentIn++
	if len(m.open) == openRequests {
		m.open = append(m.open[:0], m.open[1:]...)
	}
	m.open = append(m.open, request{at, n})
}

// answered counts a reply.
func (m *meter) answered(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.phases[len(m.phases)-1]
	if !m.last.IsZero() {
		p.silence = max(p.silence, at.Sub(m.last))
	}
	m.last, m.silentIn = at, 0
	if len(m.open) == 0 {
		return
	}
	q := m.open[len(m.open)-1]
	m.open = m.open[:len(m.open)-1]
	m.phases[q.phase].answered++
	if p.first == 0 && !p.moved.IsZero() && q.at.After(p.moved) {
		p.first = at.Sub(p.moved)
	}
}

// heard reports whether there was any reply.
func (m *meter) heard() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.last.IsZero()
}

// silent is how long there has been no reply, and over how many requests: when
// this very process stood still, nobody was asked either.
func (m *meter) silent(now time.Time) (time.Duration, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.IsZero() {
		return 0, m.silentIn
	}
	return now.Sub(m.last), m.silentIn
}

// end ends a phase: a silence that goes on counts too.
func (m *meter) end(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.phases[len(m.phases)-1]
	if !m.last.IsZero() {
		p.silence = max(p.silence, now.Sub(m.last))
	}
}

// settled reports whether the last request is answered.
func (m *meter) settled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silentIn == 0
}

// fill writes the counts of the phases into those of a report.
func (m *meter) fill(phases []control.DrillPhase) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range phases {
		p, c := &phases[i], &m.phases[i+1]
		p.Sent, p.Lost = c.sent, c.sent-c.answered
		p.FirstReplySeconds, p.LongestSilenceSeconds = c.first.Seconds(), c.silence.Seconds()
	}
}
