package lab

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	// One letter a request, a millisecond apart: who answered, '.' nobody, '+'
	// a and b both.
	samples := func(pattern string) []sample {
		var list []sample
		for i, c := range pattern {
			s := sample{sent: at(i), answered: c != '.'}
			switch c {
			case '.':
			case '+':
				s.by = []string{"a", "b"}
			default:
				s.by = []string{string(c)}
			}
			list = append(list, s)
		}
		return list
	}
	for pattern, want := range map[string]Report{
		"":    {},
		"aaa": {Sent: 3, Owners: []Owner{{"a", at(0), at(2)}}, LastAnswer: map[string]time.Time{"a": at(2)}},
		"...": {Sent: 3, Lost: 3, Gaps: []Gap{{at(0), at(2), 3}}, LongestGap: 2 * time.Millisecond},
		"a..b.b": {
			Sent: 6, Lost: 3, LongestGap: 2 * time.Millisecond,
			Gaps:   []Gap{{at(1), at(3), 2}, {at(4), at(5), 1}},
			Owners: []Owner{{"a", at(0), at(0)}, {"b", at(3), at(5)}},

			LastAnswer: map[string]time.Time{"a": at(0), "b": at(5)},
		},
		"a+b": {
			Sent:      3,
			Owners:    []Owner{{"a", at(0), at(1)}, {"b", at(1), at(2)}},
			Conflicts: []Conflict{{at(1), []string{"a", "b"}}},
			Shared:    []Shared{{at(1), at(2)}},

			LastAnswer: map[string]time.Time{"a": at(1), "b": at(2)},
		},
		"++.+": {
			Sent: 4, Lost: 1, LongestGap: time.Millisecond, Gaps: []Gap{{at(2), at(3), 1}},
			Owners: []Owner{{"a", at(0), at(0)}, {"b", at(0), at(1)}, {"a", at(3), at(3)}, {"b", at(3), at(3)}},
			Conflicts: []Conflict{
				{at(0), []string{"a", "b"}}, {at(1), []string{"a", "b"}}, {at(3), []string{"a", "b"}},
			},
			Shared: []Shared{{at(0), at(2)}, {at(3), at(3)}},

			LastAnswer: map[string]time.Time{"a": at(3), "b": at(3)},
		},
	} {
		if diff := cmp.Diff(want, summarize(samples(pattern))); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", pattern, diff)
		}
	}
}

func TestReportSums(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	r := Report{Gaps: []Gap{{at(0), at(5), 5}, {at(9), at(12), 3}}, Shared: []Shared{{at(20), at(30)}, {at(40), at(41)}}}
	if r.Silence() != 8*time.Millisecond || r.TwoOwners() != 11*time.Millisecond {
		t.Errorf("silence %v, two owners %v", r.Silence(), r.TwoOwners())
	}
}

// TestSince: a report of what was asked from a moment on.
func TestSince(t *testing.T) {
	now := time.Now()
	p := &Probe{lab: &Lab{t: t}, samples: []sample{
		{sent: now.Add(-time.Hour)}, {sent: now.Add(-time.Minute), answered: true, by: []string{"a"}},
	}}
	if r := p.Since(now.Add(-30 * time.Minute)); r.Sent != 1 || r.Lost != 0 || r.Serving() != "a" {
		t.Errorf("the last half hour: %v", r)
	}
	if r := p.Since(now); r.Sent != 0 {
		t.Errorf("from now on: %v", r)
	}
}

func TestProbeWithoutHost(t *testing.T) {
	l := New(t)
	sw := l.Switch("lan")
	client := sw.Host("client", "192.0.2.9/24")
	echo := client.Echo("192.0.2.100", 200)
	Until(t, 5*time.Second, "requests", func() bool { return echo.Report().Sent >= 50 })
	if r := echo.Stop(); r.Lost != r.Sent || r.LongestGap < 200*time.Millisecond || len(r.Gaps) != 1 {
		t.Errorf("nobody there: %v", r)
	}
}

// TestLateAnswer: an answer counts for the request it belongs to, in time.
func TestLateAnswer(t *testing.T) {
	now := time.Now()
	p := &Probe{lab: &Lab{t: t}, samples: []sample{{sent: now.Add(-time.Hour)}, {sent: now.Add(-time.Minute)}}}
	p.answer(0, p.samples[0].sent.Add(probeTimeout/2).Round(0), "a")
	p.answer(1, p.samples[1].sent.Add(2*probeTimeout).Round(0), "a")
	p.answer(7, now, "a")
	if r := p.Report(); r.Sent != 2 || r.Lost != 1 {
		t.Errorf("%v", r)
	}
}
