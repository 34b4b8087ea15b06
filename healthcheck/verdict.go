package healthcheck

// A Verdict is what a check says after rise and fall have been applied.
type Verdict uint8

const (
	// Unknown is the verdict until rise passes, or fall failures, came in a
	// row. It is the zero value on purpose: what never ran is unknown.
	Unknown Verdict = iota
	Passing
	Failing
)

// String returns "unknown", "passing" or "failing".
func (v Verdict) String() string {
	switch v {
	case Passing:
		return "passing"
	case Failing:
		return "failing"
	default:
		return "unknown"
	}
}

// A Counter turns single results into a verdict. It passes after rise passes
// in a row and fails after fall failures in a row, from the first result on: a
// lone first result decides nothing unless rise or fall is 1. One result to the
// contrary starts the count again. The zero Counter counts as rise 1, fall 1.
type Counter struct {
	rise, fall int
	verdict    Verdict
	last       bool
	streak     int // results equal to last, in a row; stops at the larger of rise and fall
}

// NewCounter returns a Counter with no verdict yet. A rise or fall below 1
// counts as 1.
func NewCounter(rise, fall int) Counter {
	return Counter{rise: max(rise, 1), fall: max(fall, 1)}
}

// Verdict returns the verdict so far.
func (c *Counter) Verdict() Verdict { return c.verdict }

// Add counts one result and reports whether it changed the verdict.
func (c *Counter) Add(passed bool) (changed bool) {
	if passed != c.last {
		c.last, c.streak = passed, 0
	}
	need, verdict := c.fall, Failing
	if passed {
		need, verdict = c.rise, Passing
	}
	if c.streak < max(c.rise, c.fall, 1) {
		c.streak++
	}
	if c.streak < need || c.verdict == verdict {
		return false
	}
	c.verdict = verdict
	return true
}

// risen reports whether the last rise results were passes.
func (c *Counter) risen() bool { return c.last && c.streak >= c.rise }

// fail sets the verdict to failing as though enough failures had come in a row,
// and reports whether that changed it.
func (c *Counter) fail() (changed bool) {
	changed = c.verdict != Failing
	c.verdict, c.last, c.streak = Failing, false, max(c.rise, c.fall, 1)
	return changed
}
