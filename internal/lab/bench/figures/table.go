package figures

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// Contenders are the columns of the table. The ratio is the first over the second.
var Contenders = [2]string{"vrrpd", "keepalived"}

// Target is what a measure is to reach. The zero Target is none.
type Target struct {
	// Ratio is the most that the first contender's figure may be of the second's.
	Ratio float64 `json:"ratio,omitempty"`
	// Most is the most it may be in itself; 0 with Zero set.
	Most float64 `json:"most,omitempty"`
	Zero bool    `json:"zero,omitempty"`
	// Least is the least it may be.
	Least float64 `json:"least,omitempty"`
}

// Row is one measure.
type Row struct {
	Bench   string `json:"bench"`
	Measure string `json:"measure"`
	Unit    string `json:"unit"`
	Ours    Figure `json:"vrrpd"`
	Theirs  Figure `json:"keepalived"`
	Target  Target `json:"target"`
	Note    string `json:"note,omitempty"`
}

// Figure is a number that may be missing (NaN).
type Figure float64

// Missing is the figure of a contender that has none.
var Missing = Figure(math.NaN())

// Known reports whether there is a number.
func (f Figure) Known() bool { return !math.IsNaN(float64(f)) }

// MarshalJSON writes null for a figure that is missing.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.Known() || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// String is the figure with three significant digits, or a dash.
func (f Figure) String() string {
	v := math.Abs(float64(f))
	switch {
	case !f.Known():
		return "-"
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", float64(f))
	case v >= 10:
		return fmt.Sprintf("%.1f", float64(f))
	case v >= 1:
		return fmt.Sprintf("%.2f", float64(f))
	}
	return fmt.Sprintf("%.3f", float64(f))
}

// Ratio is ours over theirs, missing if either is or theirs is not positive.
func (r Row) Ratio() Figure {
	if !r.Ours.Known() || !r.Theirs.Known() || r.Theirs <= 0 {
		return Missing
	}
	return r.Ours / r.Theirs
}

// Verdict says whether the target was met: "met", "missed", or "" where there is
// no target or nothing to compare. Ours at zero meets every ratio.
func (r Row) Verdict() string {
	t := r.Target
	if t == (Target{}) || !r.Ours.Known() {
		return ""
	}
	met := true
	if t.Ratio > 0 && r.Ours > 0 {
		if !r.Ratio().Known() {
			return ""
		}
		met = float64(r.Ratio()) <= t.Ratio
	}
	if t.Most > 0 || t.Zero {
		met = met && float64(r.Ours) <= t.Most
	}
	if t.Least > 0 {
		met = met && float64(r.Ours) >= t.Least
	}
	if met {
		return "met"
	}
	return "missed"
}

// String is the target as the table prints it.
func (t Target) String() string {
	var parts []string
	if t.Ratio > 0 {
		parts = append(parts, fmt.Sprintf("≤ %.3g ×", t.Ratio))
	}
	if t.Most > 0 {
		parts = append(parts, "≤ "+plain(t.Most))
	}
	if t.Zero {
		parts = append(parts, "0")
	}
	if t.Least > 0 {
		parts = append(parts, "≥ "+plain(t.Least))
	}
	return strings.Join(parts, ", ")
}

func plain(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.4g", v), ".0") }

// header is the first line of the table.
var header = []string{"measure", Contenders[0], Contenders[1], "ratio", "target", ""}

// cells are a row's, in the order of the header.
func (r Row) cells() []string {
	name := r.Bench + ": " + r.Measure
	if r.Unit != "" {
		name += ", " + r.Unit
	}
	return []string{name, r.Ours.String(), r.Theirs.String(), r.Ratio().String(), r.Target.String(), r.Verdict()}
}

// WriteTable prints the rows as a table that is Markdown and reads well as it is.
func WriteTable(w io.Writer, rows []Row) error {
	lines := [][]string{header}
	for _, r := range rows {
		lines = append(lines, r.cells())
	}
	width := make([]int, len(header))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], utf8.RuneCountInString(cell), 3)
		}
	}
	var b strings.Builder
	for n, l := range lines {
		for i, cell := range l {
			fill := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 || i > 3 {
				b.WriteString("| " + cell + fill + " ")
			} else {
				b.WriteString("| " + fill + cell + " ")
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i := range l {
			rule := strings.Repeat("-", width[i])
			if i > 0 && i <= 3 {
				rule = rule[1:] + ":"
			}
			b.WriteString("| " + rule + " ")
		}
		b.WriteString("|\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
