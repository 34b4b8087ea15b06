package vip

import "time"

// spacingMin bounds how fast announcements repeat whatever is configured.
const spacingMin = time.Millisecond

// A schedule says when one address is announced next. It knows nothing of how,
// and takes the time as an argument.
type schedule struct {
	round int       // announcements made since the schedule was started
	next  time.Time // zero: none is due any more
}

// start makes the first announcement due now.
func (s *schedule) start(now time.Time) { *s = schedule{next: now} }

// stop cancels what is outstanding.
func (s *schedule) stop() { *s = schedule{} }

// due reports whether an announcement is due.
func (s *schedule) due(now time.Time) bool { return !s.next.IsZero() && !s.next.After(now) }

// sent counts an announcement. The next one is spaced from this one, not from
// the start: after a delay nothing is caught up with a flood.
func (s *schedule) sent(now time.Time, a Announce) {
	s.round++
	s.next = time.Time{}
	if gap, ok := a.gap(s.round); ok {
		s.next = now.Add(gap)
	}
}

// retime follows a change of pace: never later than the new pace asks for.
func (s *schedule) retime(now time.Time, a Announce) {
	gap, ok := a.gap(s.round)
	switch {
	case s.round == 0: // not begun
	case !ok:
		s.next = time.Time{}
	case s.next.IsZero() || s.next.After(now.Add(gap)):
		s.next = now.Add(gap)
	}
}

// gap returns the time between announcement round-1 and announcement round,
// both counted from 0, and whether there is such a round.
func (a Announce) gap(round int) (time.Duration, bool) {
	burst := max(a.Burst, 1)
	spacing := max(a.Spacing, spacingMin)
	switch {
	case round < burst:
		return spacing, true
	case a.Again > 0 && round == burst:
		return max(a.Again-time.Duration(burst-1)*spacing, spacing), true
	case a.Again > 0 && round < 2*burst:
		return spacing, true
	case a.Refresh > 0:
		return max(a.Refresh, spacing), true
	}
	return 0, false
}
