package healthcheck

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParsePerf(t *testing.T) {
	tests := []struct {
		name, output string
		want         []Perf
		bad          int
	}{
		{"none", "OK - fine", nil, 0},
		{"empty", "OK |", nil, 0},
		{"check_load", "OK - load average: 0.10, 0.20, 0.30|load1=0.100;5.000;10.000;0; load5=0.200;4.000;6.000;0;",
			[]Perf{{Label: "load1", Value: 0.1, Warn: "5.000", Crit: "10.000", Min: "0"}, {Label: "load5", Value: 0.2, Warn: "4.000", Crit: "6.000", Min: "0"}}, 0},
		{"unit, all fields", "PING OK |rta=0.5ms;100.0;500.0;0.0;60.0 pl=0%;20;60;0;100",
			[]Perf{{"rta", 0.5, "ms", "100.0", "500.0", "0.0", "60.0"}, {"pl", 0, "%", "20", "60", "0", "100"}}, 0},
		{"quoted labels", `DISK OK | '/a dir'=12MB;1;2 'it''s'=1 '|;='=2c`,
			[]Perf{{Label: "/a dir", Value: 12, Unit: "MB", Warn: "1", Crit: "2"}, {Label: "it's", Value: 1}, {Label: "|;=", Value: 2, Unit: "c"}}, 0},
		{"ranges", "OK | a=5;~:10;@1:2", []Perf{{Label: "a", Value: 5, Warn: "~:10", Crit: "@1:2"}}, 0},
		{"more lines", "OK | a=1\nlong text\nmore | b=2\nc=3 d=4", []Perf{{Label: "a", Value: 1}, {Label: "b", Value: 2}, {Label: "c", Value: 3}, {Label: "d", Value: 4}}, 0},
		{"on later lines alone", "OK\nlong text | b=2", []Perf{{Label: "b", Value: 2}}, 0},
		{"unknown value", "OK | a=U", []Perf{{Label: "a", Value: math.NaN()}}, 0},
		{"signs, fractions, exponents", "OK | a=-1.5 b=+2 c=.5 d=1e-3s e=1,5", []Perf{{Label: "a", Value: -1.5}, {Label: "b", Value: 2}, {Label: "c", Value: .5},
			{Label: "d", Value: .001, Unit: "s"}, {Label: "e", Value: 1.5}}, 0},
		{"a unit that begins with E", "OK | a=1EB", []Perf{{Label: "a", Value: 1, Unit: "EB"}}, 0},
		{"bad ones in between", "OK | a=1 nonsense b= =3 c=x 'open=4 d=5", []Perf{{Label: "a", Value: 1}, {Label: "d", Value: 5}}, 5},
		{"an endless quote", "OK | 'a=1", nil, 1},
		{"a quote in the middle", "OK | a'b=1 c=2", []Perf{{Label: "c", Value: 2}}, 1},
		{"a label too long", "OK | " + strings.Repeat("x", 101) + "=1", nil, 1},
		{"no number that can be", "OK | a=1e999 b=1.2.3 c=--1", nil, 3},
		{"fields without end", "OK | a=1;2;3;4;5;6;7", []Perf{{"a", 1, "", "2", "3", "4", "5"}}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, bad := ParsePerf(tt.output)
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs()); diff != "" || bad != tt.bad {
				t.Errorf("%d bad, want %d; (-want +got):\n%s", bad, tt.bad, diff)
			}
		})
	}
}

func TestParsePerfIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("OK |")
	for i := range 1000 {
		fmt.Fprintf(&b, " v%d=%d", i, i)
	}
	got, bad := ParsePerf(b.String())
	if len(got) != perfValuesMax || bad != 1000-perfValuesMax || got[31].Label != "v31" {
		t.Errorf("%d values, %d left out", len(got), bad)
	}
}

func FuzzParsePerf(f *testing.F) {
	f.Add("DISK OK | '/a dir'=12MB;1;2 'it''s'=1\nlong | x=U")
	f.Add("|'=''='")
	f.Fuzz(func(t *testing.T, output string) {
		values, bad := ParsePerf(output)
		if len(values) > perfValuesMax || bad < 0 || len(values)+bad > len(output) {
			t.Errorf("%d values, %d bad of %d bytes", len(values), bad, len(output))
		}
		for _, v := range values {
			if v.Label == "" || math.IsInf(v.Value, 0) || strings.ContainsAny(v.Unit, " \n") {
				t.Errorf("%q: %+v", output, v)
			}
		}
	})
}
