package healthcheck

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCase79_WeightsAddUpWithinBounds(t *testing.T) {
	tests := []struct {
		name    string
		base    uint8
		weights []int
		want    uint8
	}{
		{"none", 100, nil, 100},
		{"-20 three times on 100", 100, []int{-20, -20, -20}, 40},
		{"both ways", 100, []int{-20, 5}, 85},
		{"never below 1", 100, []int{-253, -253}, 1},
		{"exactly 1", 100, []int{-99}, 1},
		{"0 becomes 1", 100, []int{-100}, 1},
		{"exactly 254", 100, []int{154}, 254},
		{"never the owner's", 100, []int{155}, 254},
		{"far above", 254, []int{253, 253}, 254},
		{"clamped once, at the end", 100, []int{-253, 253}, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var parts []Part
			for _, w := range tt.weights {
				parts = append(parts, Part{Source: "check:x", Weight: w})
			}
			if got := Effective(tt.base, parts); got != tt.want {
				t.Errorf("Effective(%d, %v) = %d, want %d", tt.base, tt.weights, got, tt.want)
			}
		})
	}
}

func TestCase79_FailingWeightZeroMeansFault(t *testing.T) {
	parts, faults, holds := Assess([]Tracked{
		{Name: "a", Weight: -20, Verdict: Failing},
		{Name: "b", Weight: -20, Verdict: Failing},
		{Name: "c", Weight: -20, Verdict: Failing},
		{Name: "disk", Weight: 0, Verdict: Failing},
	})
	if got := Effective(100, parts); got != 40 {
		t.Errorf("priority %d, want 40: the weight-0 check is no part of the sum", got)
	}
	if diff := cmp.Diff([]string{"check disk is failing"}, faults); diff != "" || holds != nil {
		t.Errorf("faults (-want +got):\n%sholds: %v", diff, holds)
	}
}

func TestCase80_WeightsDoNotApplyToTheOwner(t *testing.T) {
	for _, w := range []int{-253, -1, 1, 253} {
		if got := Effective(255, []Part{{Source: "check:x", Weight: w}}); got != 255 {
			t.Errorf("weight %d: %d, want 255", w, got)
		}
	}
	_, faults, _ := Assess([]Tracked{{Name: "x", Weight: 0, Verdict: Failing}})
	if len(faults) != 1 {
		t.Errorf("faults %v: the owner goes into fault like any other", faults)
	}
}

func TestContribution(t *testing.T) {
	tests := []struct {
		weight                    int
		unknown, passing, failing int
	}{
		{-20, 0, 0, -20},
		{20, 0, 20, 0},
		{0, 0, 0, 0},
		{-253, 0, 0, -253},
		{253, 0, 253, 0},
	}
	for _, tt := range tests {
		for v, want := range map[Verdict]int{Unknown: tt.unknown, Passing: tt.passing, Failing: tt.failing} {
			if got := Contribution(tt.weight, v); got != want {
				t.Errorf("weight %d while %v: %d, want %d", tt.weight, v, got, want)
			}
		}
	}
}

func TestAssess(t *testing.T) {
	of := func(name string, weight int, v Verdict) Tracked {
		return Tracked{Name: name, Weight: weight, Verdict: v}
	}
	parts, faults, holds := Assess([]Tracked{
		of("down", -20, Failing), of("fine", -30, Passing), of("new", -40, Unknown),
		of("bonus", 10, Passing), of("lost", 11, Failing), of("later", 12, Unknown),
		of("bad", 0, Failing), of("good", 0, Passing), of("open", 0, Unknown), of("worse", 0, Failing),
		{Name: "presumed bad", Initial: Failing}, {Name: "presumed good", Initial: Passing},
		{Name: "number", Number: true, Verdict: Failing, Value: 3},
		{Name: "another's", Spared: true, Verdict: Failing}, {Name: "another's new one", Spared: true},
	})
	if diff := cmp.Diff([]Part{{"check:down", -20}, {"check:bonus", 10}}, parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	bad := []string{"check bad is failing", "check worse is failing", "check presumed bad has no verdict yet, which counts as failing"}
	if diff := cmp.Diff(bad, faults); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"check open has no verdict yet"}, holds); diff != "" {
		t.Errorf("holds (-want +got):\n%s", diff)
	}
}

func TestAdds(t *testing.T) {
	tests := []struct {
		name string
		t    Tracked
		want int
	}{
		{"no verdict counts for nothing", Tracked{Weight: -20}, 0},
		{"or as failing", Tracked{Weight: -20, Initial: Failing}, -20},
		{"or as passing", Tracked{Weight: 20, Initial: Passing}, 20},
		{"the verdict counts as soon as there is one", Tracked{Weight: -20, Initial: Failing, Verdict: Passing}, 0},
		{"a warning", Tracked{Weight: -20, WarningWeight: -5, Verdict: Passing, Warning: true}, -5},
		{"a warning beside a weight that is added while passing", Tracked{Weight: 20, WarningWeight: -5, Verdict: Passing, Warning: true}, 15},
		{"no warning", Tracked{Weight: -20, WarningWeight: -5, Verdict: Passing}, 0},
		{"failing outranks a warning", Tracked{Weight: -20, WarningWeight: -5, Verdict: Failing, Warning: true}, -20},
		{"a warning of a check that can fault", Tracked{WarningWeight: -5, Verdict: Passing, Warning: true}, -5},
		{"also of one that faults elsewhere", Tracked{WarningWeight: -5, Verdict: Passing, Warning: true, Spared: true}, -5},
		{"a number", Tracked{Number: true, Value: -7, Verdict: Passing}, -7},
		{"a number outranks the weights", Tracked{Number: true, Weight: 20, Value: 7, Verdict: Passing}, 7},
		{"a number that cannot be read", Tracked{Number: true, Weight: -20, Value: 7, Verdict: Failing}, 0},
		{"a number too great", Tracked{Number: true, Value: 1000, Verdict: Passing}, 253},
		{"a number too small", Tracked{Number: true, Value: -1000, Verdict: Passing}, -253},
	}
	for _, tt := range tests {
		if got := tt.t.Adds(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
