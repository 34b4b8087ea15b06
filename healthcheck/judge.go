package healthcheck

import "time"

// Rules say how the results of a check become its verdict.
type Rules struct {
	Rise int // passes in a row that make it passing; 0: 1
	Fall int // failures in a row that make it failing; 0: 1

	// HoldDown damps flapping: once failing by Fall, the check does not become
	// passing before this time is over, and then only if the last Rise runs
	// passed. Failing anew meanwhile starts the time again.
	HoldDown time.Duration

	// UnclearGrace is how long runs that cannot tell, by a plugin's word or
	// because they were lost, leave everything as it is.
	// One that comes after nothing else for that long makes the check failing
	// at once.
	UnclearGrace time.Duration
}

// A Judge turns the results of a check into its verdict. It reads no clock.
type Judge struct {
	rules    Rules
	passes   Counter   // a warning counts as a pass
	ok       Counter   // a warning counts as a failure
	unclear  time.Time // of the first in a row of runs that could not tell
	failedAt time.Time // when passes last became failing
	verdict  Verdict
}

// NewJudge returns a Judge with no verdict yet.
func NewJudge(r Rules) Judge {
	return Judge{rules: r, passes: NewCounter(r.Rise, r.Fall), ok: NewCounter(r.Rise, r.Fall)}
}

// Verdict returns the verdict so far.
func (j *Judge) Verdict() Verdict { return j.verdict }

// Warning reports whether the check passes with a warning. That is subject to
// rise and fall as well: fall runs in a row that were not ok begin it, rise
// that were ok end it.
func (j *Judge) Warning() bool { return j.verdict == Passing && j.ok.Verdict() == Failing }

// Held reports until when a check that would pass by its last results is kept
// failing; the zero time if it is not.
func (j *Judge) Held() time.Time {
	if j.verdict == Failing && j.passes.risen() {
		return j.failedAt.Add(j.rules.HoldDown)
	}
	return time.Time{}
}

// Add counts a result that came at a time, which must not be before that of the
// one before. It reports whether it changed the verdict or the warning.
func (j *Judge) Add(g Grade, at time.Time) (changed bool) {
	verdict, warning := j.verdict, j.Warning()
	switch {
	case g != Unclear:
		j.unclear = time.Time{}
		j.count(g, at)
	case j.unclear.IsZero():
		j.unclear = at
		fallthrough
	default:
		if at.Sub(j.unclear) >= j.rules.UnclearGrace {
			j.condemn(at)
		}
	}
	j.verdict = j.passes.Verdict()
	// A failure that came within the hold, less than fall in a row, is no moment
	// to end it.
	if j.verdict == Passing && verdict == Failing && (at.Sub(j.failedAt) < j.rules.HoldDown || !j.passes.risen()) {
		j.verdict = Failing
	}
	return j.verdict != verdict || j.Warning() != warning
}

func (j *Judge) count(g Grade, at time.Time) {
	if j.passes.Add(g != Bad) && j.passes.Verdict() == Failing {
		j.failedAt = at
	}
	j.ok.Add(g == Good)
}

// condemn makes the check failing without any counting. It stays so until rise
// passes come in a row.
func (j *Judge) condemn(at time.Time) {
	if j.passes.fail() {
		j.failedAt = at
	}
	j.ok.fail()
}
