package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/healthcheck/probe"
)

// A fake is a command that takes as long, and ends as, a test says.
type fake struct {
	takes  []time.Duration // of each run; the last one repeats
	passes func(run int) bool
	starts []time.Duration // since begin
	begin  time.Time
	active int
	most   int
}

func (f *fake) execute(ctx context.Context, spec ExecSpec) Outcome {
	f.active++
	f.most = max(f.most, f.active)
	defer func() { f.active-- }()
	run := len(f.starts)
	f.starts = append(f.starts, time.Since(f.begin))
	out := Outcome{At: time.Now(), Ending: Exited, Timeout: spec.Timeout}
	if f.passes != nil && !f.passes(run) {
		out.Status = 2
	}
	d := f.takes[min(run, len(f.takes)-1)]
	if d > spec.Timeout {
		d, out.Ending = spec.Timeout, TimedOut
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		out.Ending = Cancelled
	}
	out.Duration = time.Since(out.At)
	return out
}

// runFor runs a check with a fake command for a while and returns its results.
func runFor(t *testing.T, d time.Duration, spec Spec, f *fake) []Result {
	t.Helper()
	var results []Result
	c := New(spec, func(r Result) { results = append(results, r) })
	f.begin = time.Now()
	c.execute = f.execute
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	c.Run(ctx)
	return results
}

func TestRunStartsAtOnceAndEveryIntervalFromStartToStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: []time.Duration{300 * time.Millisecond, 900 * time.Millisecond, 0}}
		results := runFor(t, 4500*time.Millisecond, Spec{Name: "x", Interval: time.Second}, f)
		for i, at := range f.starts {
			if want := time.Duration(i) * time.Second; at != want {
				t.Errorf("run %d at %v, want %v", i, at, want)
			}
		}
		if len(results) != 5 {
			t.Fatalf("%d results, want 5", len(results))
		}
		last := results[4]
		if last.Runs != 5 || last.Overruns != 0 || last.Check != "x" || last.Detail != "exit status 0" {
			t.Errorf("last result: %+v", last)
		}
		if results[1].Duration != 900*time.Millisecond {
			t.Errorf("duration %v, want 900ms", results[1].Duration)
		}
	})
}

func TestRunNeverOverlapsAndCountsOverruns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: []time.Duration{2500 * time.Millisecond, time.Second, 0}}
		results := runFor(t, 5500*time.Millisecond, Spec{Interval: time.Second, Timeout: 10 * time.Second}, f)
		// The first run skips the ones at 1 s and 2 s. The second takes exactly
		// an interval, which skips none.
		want := []float64{0, 3, 4, 5}
		if len(f.starts) != len(want) {
			t.Fatalf("starts %v, want %v", f.starts, want)
		}
		for i, at := range f.starts {
			if at.Seconds() != want[i] {
				t.Errorf("starts %v, want %v", f.starts, want)
				break
			}
		}
		if f.most != 1 {
			t.Errorf("%d runs at once", f.most)
		}
		for i, r := range results {
			if r.Overruns != 2 || r.Runs != uint64(i+1) {
				t.Errorf("result %d: %d overruns, %d runs", i, r.Overruns, r.Runs)
			}
		}
	})
}

// A run that takes its whole timeout ends a moment after the next one is due.
func TestRunThatEndsAMomentLateSkipsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 1005 * time.Millisecond
		f := &fake{takes: []time.Duration{late, late, late, 0, 0, 1105 * time.Millisecond, 0}}
		results := runFor(t, 8500*time.Millisecond, Spec{Interval: time.Second, Timeout: 2 * time.Second}, f)
		want := []time.Duration{0, late, 2 * late, 3 * late, 4 * time.Second, 5 * time.Second, 7 * time.Second, 8 * time.Second}
		if diff := cmp.Diff(want, f.starts); diff != "" {
			t.Errorf("starts (-want +got):\n%s", diff)
		}
		if last := results[len(results)-1]; last.Overruns != 1 {
			t.Errorf("%d overruns, want that of the last long run alone", last.Overruns)
		}
	})
}

func TestRunReportsNothingOfACancelledRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: []time.Duration{0, time.Hour}}
		results := runFor(t, 1500*time.Millisecond, Spec{Interval: time.Second, Timeout: time.Hour}, f)
		if len(results) != 1 || !results[0].Passed {
			t.Errorf("results %+v, want the first run alone", results)
		}
	})
}

func TestRunBringsItsOwnDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: []time.Duration{time.Hour}}
		results := runFor(t, 2500*time.Millisecond, Spec{}, f)
		if len(results) != 2 || results[0].Detail != "killed at the timeout of 1s" || results[0].Verdict != Failing {
			t.Errorf("results %+v, want two killed after a second", results)
		}
	})
}

func TestCase81_NoTransitionBelowRiseAndFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		//         0123456789
		script := "-+-++-+--+-++"
		f := &fake{takes: []time.Duration{0}, passes: func(run int) bool { return script[run] == '+' }}
		results := runFor(t, 12500*time.Millisecond, Spec{Interval: time.Second, Rise: 2, Fall: 2}, f)
		if len(results) != len(script) {
			t.Fatalf("%d results, want %d", len(results), len(script))
		}
		want := []Verdict{0, 0, 0, 0, Passing, Passing, Passing, Passing, Failing, Failing, Failing, Failing, Passing}
		changes := map[int]bool{4: true, 8: true, 12: true}
		since := results[0].At
		for i, r := range results {
			if changes[i] {
				since = r.At
			}
			if r.Verdict != want[i] || r.Changed != changes[i] || !r.Since.Equal(since) {
				t.Errorf("run %d: %v, changed %v, since %v; want %v, %v, %v", i, r.Verdict, r.Changed, r.Since, want[i], changes[i], since)
			}
		}
	})
}

func TestCase81_HangIsKilledAtTheTimeout(t *testing.T) {
	results := make(chan Result)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := New(Spec{
		Name:     "hang",
		Command:  sh("trap '' TERM; echo waiting; while :; do sleep 100; done"),
		Interval: 200 * time.Millisecond,
		Timeout:  100 * time.Millisecond,
		Fall:     2,
	}, func(r Result) {
		select {
		case results <- r:
		case <-ctx.Done():
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()

	early, first, second := <-results, <-results, <-results
	cancel()
	<-done
	if early.Runs != 1 || early.Duration > first.Duration {
		t.Errorf("at the timeout: %+v", early)
	}
	if early.Verdict != first.Verdict || first.Runs != 1 || second.Runs != 2 {
		t.Errorf("told twice of a run, but not the same: %+v, %+v, then %+v", early, first, second)
	}
	if first.Verdict != Unknown || first.Changed || second.Verdict != Failing || !second.Changed {
		t.Errorf("verdicts %v, %v; want unknown, then failing with the second", first.Verdict, second.Verdict)
	}
	if first.Detail != "killed at the timeout of 100ms" || first.Output != "waiting" {
		t.Errorf("detail %q, output %q", first.Detail, first.Output)
	}
	if first.Duration < 100*time.Millisecond || first.Duration > 5*time.Second {
		t.Errorf("took %v", first.Duration)
	}
}

// A process in uninterruptible sleep cannot be made at will; the fake stands
// for one here.
func TestRunDoesNotPileUpCommandsThatDoNotDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		starts := 0
		var results []Result
		c := New(Spec{Interval: time.Second}, func(r Result) { results = append(results, r) })
		c.execute = func(context.Context, ExecSpec) Outcome {
			if starts++; starts == 1 {
				return Outcome{Ending: TimedOut, Timeout: time.Second, Gone: gone}
			}
			return Outcome{Ending: Exited}
		}
		time.AfterFunc(2500*time.Millisecond, func() { close(gone) })
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		c.Run(ctx)

		if len(results) != 4 || starts != 2 {
			t.Fatalf("%d results of %d commands, want 4 of 2", len(results), starts)
		}
		if got, want := results[0].Detail, "killed at the timeout of 1s, but does not die"; got != want {
			t.Errorf("first: %q, want %q", got, want)
		}
		if r := results[1]; r.Passed || r.Runs != 1 || r.Detail != "cannot start: "+errStuck.Error() {
			t.Errorf("second: %+v", r)
		}
		if !results[3].Passed || results[3].Runs != 2 {
			t.Errorf("after it was gone: %+v", results[3])
		}
	})
}

// A sight is a probe that a test controls.
type sight struct {
	looks  atomic.Int32
	look   func(ctx context.Context, n int) probe.Outcome
	follow func(ctx context.Context, wake func()) error
}

func (s *sight) String() string { return "a sight" }
func (s *sight) Probe(ctx context.Context) probe.Outcome {
	return s.look(ctx, int(s.looks.Add(1)))
}
func (s *sight) Watch(ctx context.Context, wake func()) error { return s.follow(ctx, wake) }

func TestRunLooksAtOnceWhenTheProbeNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := make(chan struct{})
		s := &sight{
			look: func(context.Context, int) probe.Outcome {
				select {
				case <-down:
					return probe.Outcome{Detail: "gone"}
				default:
					return probe.Outcome{Passed: true, Value: 7, HasValue: true, Output: "7"}
				}
			},
			follow: func(ctx context.Context, wake func()) error {
				wake()
				<-down
				for range 100 { // a burst
					wake()
					time.Sleep(time.Millisecond)
				}
				<-ctx.Done()
				return nil
			},
		}
		var results []Result
		c := New(Spec{Name: "x", Probe: s, Interval: time.Minute, Fall: 3}, func(r Result) { results = append(results, r) })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute-time.Second)
		defer cancel()
		begin := time.Now()
		time.AfterFunc(10*time.Second, func() { close(down) })
		c.Run(ctx)

		if r := results[0]; !r.Passed || r.Value != 7 || !r.HasValue || r.Summary != "7" || r.Unwatched != "" {
			t.Errorf("first: %+v", r)
		}
		// Of the runs that the burst asks for, one differs from the run before
		// and counts. The interval makes the other two, at 1 and 2 minutes.
		var at []time.Duration
		failed := 0
		for _, r := range results {
			if !r.Passed {
				failed++
				if failed == 1 {
					at = append(at, r.At.Sub(begin))
				}
			}
			if r.Changed && r.Verdict == Failing {
				at = append(at, r.At.Sub(begin))
			}
		}
		if len(at) != 2 || at[0] != 10*time.Second || at[1] != 2*time.Minute {
			t.Errorf("noticed and failing at %v, want 10s and 2m", at)
		}
		if failed < 5 || failed > 14 {
			t.Errorf("%d runs for a burst of 100 in 100ms and two intervals", failed)
		}
	})
}

// A number counts as long as its check passes, also in a run that finds none but
// does not make the check failing yet.
func TestNumberOutlivesFailuresBelowFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sight{
			look: func(_ context.Context, n int) probe.Outcome {
				if n == 1 {
					return probe.Outcome{Passed: true, Value: -30, HasValue: true}
				}
				return probe.Outcome{Detail: "empty"}
			},
			follow: func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil },
		}
		var got []string
		c := New(Spec{Probe: s, Interval: time.Second, Fall: 2}, func(r Result) {
			got = append(got, fmt.Sprintf("%v %d %t", r.Verdict, r.Value, r.HasValue))
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		go func() {
			time.Sleep(500 * time.Millisecond)
			if r, err := c.Once(ctx, nil); err != nil || r.Verdict != Passing || r.Value != -30 || r.HasValue {
				t.Errorf("by hand: %+v, %v", r, err)
			}
		}()
		c.Run(ctx)
		if diff := cmp.Diff([]string{"passing -30 true", "passing -30 false", "failing -30 false"}, got); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

func TestRunLivesByTheIntervalWhereItCannotWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := &sight{
			look: func(context.Context, int) probe.Outcome { return probe.Outcome{Passed: true} },
			follow: func(ctx context.Context, wake func()) error {
				if tries++; tries < 3 {
					return errors.New("too many watches")
				}
				wake()
				<-ctx.Done()
				return nil
			},
		}
		var results []Result
		c := New(Spec{Probe: s, Interval: time.Second}, func(r Result) { results = append(results, r) })
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		c.Run(ctx)
		last := results[len(results)-1]
		if results[1].Unwatched != "too many watches" || last.Unwatched != "" || tries != 3 || len(results) < 5 {
			t.Errorf("%d tries, %d results, %+v, then %+v", tries, len(results), results[1], last)
		}
	})
}

func TestProbeTimeoutAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sight{
			look: func(ctx context.Context, _ int) probe.Outcome {
				<-ctx.Done()
				return probe.Outcome{Detail: "no answer"}
			},
			follow: func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil },
		}
		var results []Result
		c := New(Spec{Probe: s, Interval: time.Second, Timeout: 300 * time.Millisecond}, func(r Result) { results = append(results, r) })
		ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
		defer cancel()
		c.Run(ctx)
		if len(results) != 1 || results[0].Passed || results[0].Duration != 300*time.Millisecond || results[0].Detail != "no answer" {
			t.Errorf("results %+v, want one, and none of the run that was cancelled", results)
		}
	})
}

func TestOnceCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{takes: []time.Duration{300 * time.Millisecond}, passes: func(run int) bool { return run != 1 }, begin: time.Now()}
		var env [][]string
		var results []Result
		c := New(Spec{Name: "x", Interval: time.Second, Fall: 1, Env: []string{"A=1"}, Environ: func() []string { return []string{"B=2"} }},
			func(r Result) { results = append(results, r) })
		c.execute = func(ctx context.Context, spec ExecSpec) Outcome {
			env = append(env, spec.Env)
			return f.execute(ctx, spec)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		go func() {
			time.Sleep(100 * time.Millisecond) // while the first run is under way
			r, err := c.Once(ctx, []string{"B=3"})
			if err != nil || r.Verdict != Failing || r.Passed || r.Runs != 1 || r.Changed {
				t.Errorf("by hand: %+v, %v", r, err)
			}
		}()
		c.Run(ctx)
		if f.most != 1 {
			t.Errorf("%d runs at once", f.most)
		}
		if len(results) != 3 || results[2].Runs != 3 || results[2].Verdict != Passing || results[2].Overruns != 0 {
			t.Errorf("results %+v", results)
		}
		for _, r := range results {
			if r.Verdict != Passing {
				t.Errorf("the run by hand counts: %+v", r)
			}
		}
		if diff := cmp.Diff([][]string{{"A=1", "B=2"}, {"A=1", "B=3"}, {"A=1", "B=2"}, {"A=1", "B=2"}}, env); diff != "" {
			t.Errorf("environments (-want +got):\n%s", diff)
		}
	})
}

func TestRunKeepsItsPlaceInTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			first, offset time.Duration
			want          []float64
		}{
			{0, 0, []float64{0, 10, 20}},
			{100 * time.Millisecond, time.Second, []float64{.1, 11, 21}},
			{100 * time.Millisecond, 7 * time.Second, []float64{.1, 7, 17}},
			{900 * time.Millisecond, 9 * time.Second, []float64{.9, 9, 19}},
		} {
			f := &fake{takes: []time.Duration{0}}
			runFor(t, tt.offset+20500*time.Millisecond, Spec{Interval: 10 * time.Second, First: tt.first, Offset: tt.offset}, f)
			for i, want := range tt.want {
				if i >= len(f.starts) || f.starts[i].Seconds() != want {
					t.Errorf("%v, %v: runs at %v, want %v", tt.first, tt.offset, f.starts, tt.want)
					break
				}
			}
		}
	})
}

func TestNagiosCheck(t *testing.T) {
	results := make(chan Result, 100)
	c := New(Spec{Command: sh("echo 'perl: locale missing' >&2; echo 'LOAD WARNING - 7 |load1=7;5;10;0'; exit 1"), Contract: Nagios, Interval: time.Hour, Timeout: 20 * time.Second},
		func(r Result) { results <- r })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	r := <-results
	cancel()
	<-done
	if r.Grade != Warned || !r.Passed || r.Verdict != Passing || !r.Warning || r.Summary != "LOAD WARNING - 7" || r.Output != "LOAD WARNING - 7 |load1=7;5;10;0" {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff([]Perf{{Label: "load1", Value: 7, Warn: "5", Crit: "10", Min: "0"}}, r.Perf); diff != "" {
		t.Errorf("performance data (-want +got):\n%s", diff)
	}
}

// Where output is cut, the value at its end may be a part of one.
func TestNagiosOutputThatIsCut(t *testing.T) {
	c := New(Spec{Contract: Nagios}, nil)
	for _, tt := range []struct {
		cut  bool
		want []Perf
	}{
		{true, []Perf{{Label: "a", Value: 1}}},
		{false, []Perf{{Label: "a", Value: 1}, {Label: "b", Value: 12}}},
	} {
		a := c.judged(Outcome{Ending: Exited, Output: "OK | a=1 b=12", Cut: tt.cut})
		if diff := cmp.Diff(tt.want, a.found.Perf); diff != "" || a.found.PerfBad != 0 || a.found.Summary != "OK" {
			t.Errorf("cut %t: %q, %d bad, performance data (-want +got):\n%s", tt.cut, a.found.Summary, a.found.PerfBad, diff)
		}
	}
}
