package daemon

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// What is staggered is never late, never before it may, apart in the end, and
// then left alone.
func TestStagger(t *testing.T) {
	const interval = 100 * time.Millisecond
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rnd.IntN(40)
		now, due := vrrp.Instant(time.Hour), make([]vrrp.Instant, n)
		within := time.Duration(1 + rnd.Int64N(int64(interval)))
		for i := range due {
			due[i] = now.Add(time.Duration(rnd.Int64N(int64(within))))
		}
		want := min(crowdGap, interval*3/4/time.Duration(n))
		for round := 0; ; round++ {
			slices.Sort(due)
			before, from := slices.Clone(due), now.Add(spreadAhead)
			early, done := stagger(due, from, interval, crowdGap)
			if !slices.Equal(before, due) {
				t.Fatalf("seed %d: changed what it was given", seed)
			}
			for i, e := range early {
				if e < 0 || e > interval {
					t.Fatalf("seed %d: early by %s", seed, e)
				}
				if due[i] = due[i].Add(-e); e > 0 && due[i] < from {
					t.Fatalf("seed %d: %s before it may be", seed, from.Sub(due[i]))
				}
				if i > 0 && done && due[i].Sub(due[i-1]) < want {
					t.Fatalf("seed %d: done, and %s apart, not %s", seed, due[i].Sub(due[i-1]), want)
				}
			}
			if done {
				break
			}
			if round == 20 {
				t.Fatalf("seed %d: not done after %d rounds", seed, round)
			}
			// The next plan is made after a sending.
			now = due[rnd.IntN(n)]
			for i := range due {
				for due[i] <= now {
					due[i] = due[i].Add(interval)
				}
			}
		}
		// Whoever was sent last comes last: it stays as it is.
		for range n {
			now = due[0]
			due = append(due[1:], due[0].Add(interval))
			if early, done := stagger(due, now.Add(spreadAhead), interval, crowdGap); !done || slices.ContainsFunc(early, func(e time.Duration) bool { return e != 0 }) {
				t.Fatalf("seed %d: spread, and moved again: %v", seed, early)
			}
		}
	}
}

// moments are when the next advertisements are due, those that leave together
// counted as one.
func moments(s *script) (n int) {
	var at []vrrp.Instant
	for _, inst := range s.e.instances {
		at = append(at, inst.deadline)
	}
	slices.Sort(at)
	var last vrrp.Instant
	for i := range at {
		if i == 0 || at[i].Sub(last) > together {
			n++
			last = at[i]
		}
	}
	return n
}

// How many leave in one go depends on how many there are of an interval, those
// aside that are not spread.
func TestGoes(t *testing.T) {
	for _, c := range []struct{ crowd, want int }{{1, seriesMost}, {crowdFrom - 1, seriesMost}, {crowdFrom, goLeast},
		{goLeast*goesMost - 1, goLeast}, {goLeast*goesMost + 1, goLeast + 1}, {2040, 32}, {seriesMost*goesMost + 1, seriesMost}} {
		var p plan
		of := func(interval time.Duration, g *group) *instance {
			return &instance{cfg: &config.Instance{AdvertInterval: interval}, group: g}
		}
		for range c.crowd {
			p.taken = append(p.taken, of(time.Second, nil))
		}
		for range crowdFrom {
			p.taken = append(p.taken, of(10*time.Millisecond, nil), of(time.Second, &group{}))
		}
		p.sizeGoes()
		if got := p.atOnce(p.taken[0]); got != c.want {
			t.Errorf("of %d in one go: %d, want %d", c.crowd, got, c.want)
		}
		for _, inst := range p.taken[c.crowd:] {
			if got := p.atOnce(inst); got != seriesMost {
				t.Fatalf("beside %d: in one go %d every %s, in a group %t", c.crowd, got, inst.cfg.AdvertInterval, inst.group != nil)
			}
		}
	}
}

// Routers that became active together advertise some at a time after a while,
// and none of them has been silent for longer than its interval.
func TestCrowdIsSpread(t *testing.T) {
	const interval, crowd, goes = 100 * time.Millisecond, 2*seriesMost + 1, 2*seriesMost/goLeast + 1
	s, l, far := planned(t, "", slices.Repeat([]time.Duration{interval}, crowd)...)
	// There is room for two rounds at the far end, so somebody has to read there.
	var mu sync.Mutex
	var all []string
	ended := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			more := far.received()
			mu.Lock()
			all = append(all, more...)
			mu.Unlock()
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	stop := sync.OnceFunc(func() {
		close(ended)
		reading.Wait()
	})
	t.Cleanup(stop)
	turns(s, l, "they are spread", func() bool { return moments(s) == goes })
	mu.Lock()
	all = nil
	mu.Unlock()
	sent, began := map[*instance]uint64{}, time.Now()
	for _, inst := range s.e.instances {
		sent[inst] = inst.sent
	}
	turns(s, l, "a second", func() bool { return time.Since(began) > time.Second })
	// A machine that stood still for an interval has them begin anew.
	turns(s, l, "they are spread still", func() bool { return moments(s) == goes })
	took := time.Since(began)
	stop()
	all = append(all, far.received()...)
	for i, inst := range s.e.instances {
		told, arrived := int(inst.sent-sent[inst]), count(all, fmt.Sprintf("%d:200", i+1))
		if least := int(took/interval) / 2; told < least || arrived < told {
			t.Errorf("%s: %d advertisements in %s, %d of them arrived", inst.cfg.Name, told, took, arrived)
		}
	}
}

// Few routers wake the host once an interval, and so do those whose interval is
// so short that more often is too often; members of a group stay together.
func TestWhoIsNotSpread(t *testing.T) {
	names := make([]string, crowdFrom)
	for i := range names {
		names[i] = fmt.Sprintf("%q", fmt.Sprintf("i%d", i+1))
	}
	for _, c := range []struct {
		count    int
		interval time.Duration
		more     string
	}{
		{crowdFrom - 1, spreadLeast, ""},
		{crowdFrom, spreadLeast - 10*time.Millisecond, ""},
		{crowdFrom, spreadLeast, "[group.all]\ninstances = [" + strings.Join(names, ", ") + "]\n"},
	} {
		s, _, _ := planned(t, c.more, slices.Repeat([]time.Duration{c.interval}, c.count)...)
		p := &s.e.plan
		if p.spread(p.made); slices.ContainsFunc(p.early, func(e time.Duration) bool { return e != 0 }) {
			t.Errorf("%d every %s: early by %v", c.count, c.interval, p.early)
		}
	}
}
