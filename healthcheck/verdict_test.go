package healthcheck

import (
	"fmt"
	"strings"
	"testing"
)

// verdictOf is the definition of rise and fall put as plainly as possible: the
// last time that rise passes or fall failures ended in a row decides.
func verdictOf(results []bool, rise, fall int) Verdict {
	for end := len(results); end > 0; end-- {
		if allLast(results[:end], rise, true) {
			return Passing
		}
		if allLast(results[:end], fall, false) {
			return Failing
		}
	}
	return Unknown
}

// allLast reports whether there are n results and the last n are all want.
func allLast(results []bool, n int, want bool) bool {
	if len(results) < n {
		return false
	}
	for _, r := range results[len(results)-n:] {
		if r != want {
			return false
		}
	}
	return true
}

func TestCounterAgreesWithItsDefinitionOnEverySequence(t *testing.T) {
	const lengthMax = 8
	for rise := 1; rise <= 4; rise++ {
		for fall := 1; fall <= 4; fall++ {
			for bits := range 1 << lengthMax {
				c := NewCounter(rise, fall)
				var results []bool
				for i := range lengthMax {
					before := c.Verdict()
					results = append(results, bits>>i&1 == 1)
					changed := c.Add(results[i])
					if want := verdictOf(results, rise, fall); c.Verdict() != want {
						t.Fatalf("rise %d, fall %d, %v: %v, want %v", rise, fall, results, c.Verdict(), want)
					}
					if changed != (before != c.Verdict()) {
						t.Fatalf("rise %d, fall %d, %v: changed is %v, from %v to %v", rise, fall, results, changed, before, c.Verdict())
					}
				}
			}
		}
	}
}

func TestCounter(t *testing.T) {
	tests := []struct {
		rise, fall    int
		results, want string // + and -, then the verdict after each: u, p, f
	}{
		{1, 1, "+-+", "pfp"},
		{1, 2, "--", "uf"},         // the first failure alone decides nothing
		{2, 1, "++", "up"},         // nor does the first pass
		{1, 2, "+-+-+-", "pppppp"}, // one pass resets the failures
		{2, 1, "-+-+-", "fffff"},   // one failure resets the passes
		{2, 3, "+--+--+---", "uuuuuuuuuf"},
		{3, 3, "+++--+---", "uuppppppf"},
		{0, -1, "+-", "pf"}, // less than 1 counts as 1
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("rise %d fall %d %s", tt.rise, tt.fall, tt.results), func(t *testing.T) {
			c := NewCounter(tt.rise, tt.fall)
			var got strings.Builder
			for _, r := range tt.results {
				c.Add(r == '+')
				got.WriteString(c.Verdict().String()[:1])
			}
			if got.String() != tt.want {
				t.Errorf("got %s, want %s", got.String(), tt.want)
			}
		})
	}
}

func TestZeroCounter(t *testing.T) {
	var c Counter
	if c.Verdict() != Unknown {
		t.Errorf("at first: %v", c.Verdict())
	}
	if !c.Add(false) || c.Verdict() != Failing || !c.Add(true) || c.Verdict() != Passing {
		t.Errorf("does not count as rise 1, fall 1")
	}
}

func TestVerdictString(t *testing.T) {
	for v, want := range map[Verdict]string{Unknown: "unknown", Passing: "passing", Failing: "failing", 9: "unknown"} {
		if v.String() != want {
			t.Errorf("Verdict(%d): %q, want %q", v, v, want)
		}
	}
}
