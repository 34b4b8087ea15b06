package bonding

import (
	"testing"
	"time"
)

func TestDebounce(t *testing.T) {
	type at struct {
		ms   int
		seen Health
		want Health
		next int // ms from the start; -1: nothing pending
	}
	tests := []struct {
		name  string
		steps []at
	}{
		{"the first counts at once", []at{{0, Degraded, Degraded, -1}}},
		{"failed at once", []at{{0, Healthy, Healthy, -1}, {5, Failed, Failed, -1}}},
		{"degraded after a second", []at{{0, Healthy, Healthy, -1}, {100, Degraded, Healthy, 1100}, {1099, Degraded, Healthy, 1100}, {1100, Degraded, Degraded, -1}}},
		{"a short degradation is nothing", []at{{0, Healthy, Healthy, -1}, {100, Degraded, Healthy, 1100}, {900, Healthy, Healthy, -1}, {1200, Degraded, Healthy, 2200}, {2100, Healthy, Healthy, -1}}},
		{"healthy after two seconds", []at{{0, Degraded, Degraded, -1}, {100, Healthy, Degraded, 2100}, {2099, Healthy, Degraded, 2100}, {2100, Healthy, Healthy, -1}}},
		{"a relapse starts the wait again", []at{{0, Degraded, Degraded, -1}, {100, Healthy, Degraded, 2100}, {1000, Degraded, Degraded, -1}, {1500, Healthy, Degraded, 3500}, {3499, Healthy, Degraded, 3500}, {3500, Healthy, Healthy, -1}}},
		{"out of failed after two seconds", []at{{0, Failed, Failed, -1}, {100, Healthy, Failed, 2100}, {2100, Healthy, Healthy, -1}}},
		{"out of failed by way of degraded", []at{{0, Failed, Failed, -1}, {100, Degraded, Failed, 2100}, {1000, Healthy, Failed, 2100}, {2100, Healthy, Degraded, 3000}, {3000, Healthy, Healthy, -1}}},
		{"failed again while waiting", []at{{0, Failed, Failed, -1}, {100, Degraded, Failed, 2100}, {2000, Failed, Failed, -1}, {2100, Degraded, Failed, 4100}}},
		{"failed while degraded is pending", []at{{0, Healthy, Healthy, -1}, {100, Degraded, Healthy, 1100}, {200, Failed, Failed, -1}, {300, Degraded, Failed, 2300}, {2300, Degraded, Degraded, -1}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := Debounce{DegradedAfter: time.Second, HealthyAfter: 2 * time.Second}
			start := time.Unix(1000, 0)
			for _, s := range tt.steps {
				got := d.Step(start.Add(time.Duration(s.ms)*time.Millisecond), s.seen)
				if got != s.want || d.Health() != got {
					t.Fatalf("at %d ms seeing %s: %s, want %s", s.ms, s.seen, got, s.want)
				}
				next, ok := d.Next()
				if ok != (s.next >= 0) || ok && next.Sub(start) != time.Duration(s.next)*time.Millisecond {
					t.Fatalf("at %d ms: next %v after the start (%v), want %d ms", s.ms, next.Sub(start), ok, s.next)
				}
			}
		})
	}
}

func TestDebounceWithoutDelays(t *testing.T) {
	var d Debounce
	now := time.Unix(1000, 0)
	if _, ok := d.Next(); ok {
		t.Error("something is pending before the first step")
	}
	for _, h := range []Health{Healthy, Degraded, Healthy, Failed, Degraded, Healthy} {
		if got := d.Step(now, h); got != h {
			t.Errorf("%s counts, %s is seen", got, h)
		}
	}
}

// One dead switch degrades the bonds of two nodes some milliseconds apart, and
// no time may come when one of them counts as degraded alone for longer.
func TestDebounceOfTwoNodesDiffersByWhatTheyDiffered(t *testing.T) {
	a := Debounce{DegradedAfter: time.Second, HealthyAfter: 2 * time.Second}
	b := a
	start := time.Unix(1000, 0)
	a.Step(start, Healthy)
	b.Step(start, Healthy)
	alone := 0
	for ms := 1; ms < 6000; ms++ {
		now := start.Add(time.Duration(ms) * time.Millisecond)
		seen := func(from int) Health {
			if ms >= from && ms < from+3000 {
				return Degraded
			}
			return Healthy
		}
		if a.Step(now, seen(100)) != b.Step(now, seen(107)) {
			alone++
		}
	}
	if alone != 14 {
		t.Errorf("one node alone was degraded for %d ms, want 14: 7 ms at each edge", alone)
	}
}

func TestBelieve(t *testing.T) {
	const settles = 600 * time.Millisecond
	start := time.Unix(1000, 0)
	ms := func(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }
	healthy, down, moving := Verdict{Health: Healthy}, Verdict{Health: Failed}, Verdict{Health: Failed, Settles: settles}
	type at struct {
		ms   int
		v    Verdict
		want Health
	}
	for name, steps := range map[string][]at{
		"a failover":                {{0, healthy, Healthy}, {100, moving, Degraded}, {500, moving, Degraded}, {600, healthy, Healthy}},
		"it takes too long":         {{0, healthy, Healthy}, {100, moving, Degraded}, {699, moving, Degraded}, {700, moving, Failed}, {900, moving, Failed}},
		"nothing is left after all": {{0, healthy, Healthy}, {100, moving, Degraded}, {200, down, Failed}, {300, moving, Failed}},
		"each failover anew":        {{0, healthy, Healthy}, {100, moving, Degraded}, {600, healthy, Healthy}, {700, moving, Degraded}, {1200, moving, Degraded}},
		"from the beginning":        {{0, moving, Failed}, {100, moving, Failed}, {200, healthy, Healthy}},
	} {
		var d Debounce
		for _, s := range steps {
			now := ms(s.ms)
			if got := d.Step(now, d.Believe(now, s.v).Health); got != s.want {
				t.Errorf("%s: at %d ms %s, want %s", name, s.ms, got, s.want)
			}
			if next, ok := d.Next(); s.want == Degraded && (!ok || next.After(now.Add(settles))) {
				t.Errorf("%s: at %d ms nobody would look again in time", name, s.ms)
			}
		}
	}
}
