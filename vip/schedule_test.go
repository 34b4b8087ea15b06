package vip

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSchedule(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name     string
		announce Announce
		want     []time.Duration // of the first announcements, at most 8
	}{
		{"zero value announces once", Announce{}, []time.Duration{0}},
		{"burst", Announce{Burst: 3, Spacing: 200 * ms}, []time.Duration{0, 200 * ms, 400 * ms}},
		{"second burst counts from the first announcement", Announce{Burst: 2, Spacing: 200 * ms, Again: 5 * time.Second},
			[]time.Duration{0, 200 * ms, 5000 * ms, 5200 * ms}},
		{"second burst never overlaps the first", Announce{Burst: 3, Spacing: 200 * ms, Again: 100 * ms},
			[]time.Duration{0, 200 * ms, 400 * ms, 600 * ms, 800 * ms, 1000 * ms}},
		{"refresh after the bursts", Announce{Burst: 1, Again: time.Second, Refresh: 10 * time.Second},
			[]time.Duration{0, 1 * time.Second, 11 * time.Second, 21 * time.Second, 31 * time.Second, 41 * time.Second, 51 * time.Second, 61 * time.Second}},
		{"spacing has a floor", Announce{Burst: 3}, []time.Duration{0, 1 * ms, 2 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			var s schedule
			s.start(start)
			var got []time.Duration
			for !s.next.IsZero() && len(got) < 8 {
				if !s.due(s.next) || s.due(s.next.Add(-1)) {
					t.Fatalf("round %d: not due exactly at its time", s.round)
				}
				got = append(got, s.next.Sub(start))
				s.sent(s.next, tt.announce)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("times of announcements (-want +got):\n%s", d)
			}
		})
	}
}

func TestScheduleDoesNotCatchUp(t *testing.T) {
	a := Announce{Burst: 1, Refresh: time.Second}
	var s schedule
	start := time.Now()
	s.start(start)
	s.sent(start, a)
	late := start.Add(time.Hour)
	if !s.due(late) {
		t.Fatal("refresh not due")
	}
	if s.sent(late, a); s.due(late) {
		t.Error("a second refresh is due at once after a delay")
	}
}

func TestScheduleRetime(t *testing.T) {
	slow, quick := Announce{Refresh: time.Hour}, Announce{Refresh: time.Second}
	start := time.Now()
	var s schedule
	s.start(start)
	s.sent(start, Announce{})
	if !s.next.IsZero() {
		t.Fatal("something due without a refresh")
	}
	s.retime(start, slow)
	if got := s.next.Sub(start); got != time.Hour {
		t.Errorf("after asking for a refresh: next in %v, want 1h", got)
	}
	s.retime(start, quick)
	if got := s.next.Sub(start); got != time.Second {
		t.Errorf("after asking for a quicker refresh: next in %v, want 1s", got)
	}
	s.retime(start, Announce{})
	if !s.next.IsZero() {
		t.Error("a refresh is due after it was switched off")
	}
}
