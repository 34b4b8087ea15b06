package figures

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	for _, test := range []struct {
		values           []float64
		median, p95, max float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 1}, 2.5, 4, 4},
		{[]float64{5, 1, 3}, 3, 5, 5},
		{[]float64{20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 10.5, 19, 20},
		{[]float64{-1, -2}, -1.5, -1, -1},
	} {
		before := test.values[0]
		if m, q, x := Median(test.values), Quantile(test.values, 0.95), Max(test.values); m != test.median || q != test.p95 || x != test.max {
			t.Errorf("%v: median %v, p95 %v, max %v", test.values, m, q, x)
		}
		if test.values[0] != before {
			t.Errorf("the values were put into another order")
		}
	}
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Quantile(nil, 0.5)) || !math.IsNaN(Max(nil)) {
		t.Error("nothing has no figure")
	}
}

// TestFloor: the down intervals of RFC 9568 §6.1, and what is beyond them.
func TestFloor(t *testing.T) {
	for _, test := range []struct {
		interval time.Duration
		priority int
		want     time.Duration
	}{
		{time.Second, 100, 3609375 * time.Microsecond},
		{100 * time.Millisecond, 100, 360937500 * time.Nanosecond},
		{10 * time.Millisecond, 100, 36093750 * time.Nanosecond},
		{time.Second, 255, 3003906250 * time.Nanosecond},
	} {
		if got := DownInterval(test.interval, test.priority); got != test.want {
			t.Errorf("%v at priority %d: %v, want %v", test.interval, test.priority, got, test.want)
		}
	}
	const last = 1_700_000_000_000_000_000
	if got := Overhead(last, last+36_193_750, 10*time.Millisecond, 100); got != 0.1 {
		t.Errorf("overhead %v ms, want 0.1", got)
	}
	if got := Overhead(last, last+36_000_000, 10*time.Millisecond, 100); got >= 0 {
		t.Errorf("a takeover before its time has an overhead of %v ms", got)
	}
}

func TestVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		row   Row
		ratio string
		want  string
	}{
		"no target":          {Row{Ours: 1, Theirs: 2}, "0.500", ""},
		"ratio met":          {Row{Ours: 1, Theirs: 2, Target: Target{Ratio: 0.5}}, "0.500", "met"},
		"ratio missed":       {Row{Ours: 1.1, Theirs: 2, Target: Target{Ratio: 0.5}}, "0.550", "missed"},
		"nothing beats zero": {Row{Ours: 0, Theirs: 0, Target: Target{Ratio: 0.5}}, "-", "met"},
		"no ratio to zero":   {Row{Ours: 1, Theirs: 0, Target: Target{Ratio: 0.5}}, "-", ""},
		"no peer":            {Row{Ours: 1, Theirs: Missing, Target: Target{Ratio: 0.5}}, "-", ""},
		"absolute, no peer":  {Row{Ours: 1, Theirs: Missing, Target: Target{Most: 1}}, "-", "met"},
		"absolute missed":    {Row{Ours: 1.1, Theirs: 9, Target: Target{Ratio: 1, Most: 1}}, "0.122", "missed"},
		"none at all":        {Row{Ours: 0, Theirs: 9, Target: Target{Zero: true}}, "0", "met"},
		"one too many":       {Row{Ours: 1, Theirs: 9, Target: Target{Zero: true}}, "0.111", "missed"},
		"too few":            {Row{Ours: 99, Theirs: 9, Target: Target{Least: 100}}, "11.0", "missed"},
		"not measured":       {Row{Ours: Missing, Theirs: 9, Target: Target{Zero: true}}, "-", ""},
	} {
		if got := test.row.Verdict(); got != test.want || test.row.Ratio().String() != test.ratio {
			t.Errorf("%s: %q, ratio %v; want %q, %v", name, got, test.row.Ratio(), test.want, test.ratio)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	err := WriteTable(&b, []Row{
		{Bench: "crash", Measure: "100 ms", Unit: "ms", Ours: 0.05, Theirs: 0.1, Target: Target{Ratio: 1}},
		{Bench: "memory", Measure: "binary", Unit: "MB", Ours: 12.34, Theirs: Missing, Target: Target{Most: 20}},
	})
	const want = `
| measure            | vrrpd | keepalived | ratio | target |     |
| ------------------ | ----: | ---------: | ----: | ------ | --- |
| crash: 100 ms, ms  | 0.050 |      0.100 | 0.500 | ≤ 1 ×  | met |
| memory: binary, MB |  12.3 |          - |     - | ≤ 20   | met |
`
	if err != nil || b.String() != want[1:] {
		t.Errorf("%v\n%s", err, &b)
	}
	text, err := json.Marshal(Row{Ours: 1, Theirs: Missing})
	if err != nil || !strings.Contains(string(text), `"keepalived":null`) {
		t.Errorf("%v: %s", err, text)
	}
}

// TestPlot: well-formed, a dot for each value, everything within the picture.
func TestPlot(t *testing.T) {
	samples := []Sample{
		{Name: "100 ms & <busy>: overhead", Contender: "vrrpd", Values: []float64{0.05, 0.1, -0.001}, Plot: "overhead"},
		{Name: "100 ms & <busy>: overhead", Contender: "keepalived", Values: []float64{0.2, 0.1, 3.3}, Plot: "overhead"},
		{Name: "stop", Contender: "vrrpd", Values: []float64{0}, Plot: "handover"},
		{Name: "stop", Contender: "keepalived", Values: nil, Plot: "handover"},
		{Name: "not drawn", Contender: "vrrpd", Values: []float64{1}},
	}
	var b strings.Builder
	if err := WritePlot(&b, samples); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	circles, texts := 0, ""
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, &b)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "circle" {
				circles++
				for _, a := range token.Attr {
					if x, err := strconv.ParseFloat(a.Value, 64); a.Name.Local == "cx" && (err != nil || x < plotLabel || x > plotWidth) {
						t.Errorf("a dot at %s", a.Value)
					}
				}
			}
		case xml.CharData:
			texts += string(token)
		}
	}
	if want := 7 + 2*2; circles != want { // the values, and a legend in each panel
		t.Errorf("%d circles, want %d", circles, want)
	}
	if !strings.Contains(texts, "100 ms & <busy>") || strings.Contains(texts, "not drawn") || strings.Contains(texts, ": ") {
		t.Errorf("the labels are %q", texts)
	}
	a := newAxis(0.05, 3.3)
	if a != (axis{-2, 1}) || a.x(0.1) <= a.x(0.05) || a.x(0) >= a.x(0.05) {
		t.Errorf("axis %v puts 0 at %v, 0.05 at %v, 0.1 at %v", a, a.x(0), a.x(0.05), a.x(0.1))
	}
}
