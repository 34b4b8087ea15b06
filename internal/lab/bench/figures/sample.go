package figures

import (
	"math"
	"slices"
)

// Sample is the values of one measure of one contender, in the order measured.
type Sample struct {
	Bench     string    `json:"bench"`
	Name      string    `json:"name"`
	Contender string    `json:"contender"`
	Unit      string    `json:"unit"`
	Values    []float64 `json:"values"`
	// Plot has the sample drawn, in the panel of that name; "" does not.
	Plot string `json:"plot,omitempty"`
}

// Median is the value half of the others are below, between the two middle ones
// if there are two. It is NaN for no values.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// Quantile is the smallest value that at least the share q of all values do not
// exceed (the nearest rank, so it is always one that was measured): with fewer
// than twenty values the quantile 0.95 is the largest. It is NaN for no values.
func Quantile(values []float64, q float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(max(int(math.Ceil(q*float64(n)-1e-9)), 1), n)-1]
}

// Max is the largest value, NaN for no values.
func Max(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return slices.Max(values)
}
