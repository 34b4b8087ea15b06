package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// benchBusy: does a backup stay one while others use up the processors? All
// contenders, intervals and settings run at the same time, so that each has the
// same neighbours.
func benchBusy(b *bench, s *stage) {
	var all []*takeover
	for _, interval := range []time.Duration{100 * time.Millisecond, 10 * time.Millisecond} {
		for _, realtime := range []bool{false, true} {
			if realtime && b.plain {
				continue
			}
			for _, k := range contenders {
				all = append(all, &takeover{c: newCluster(s, b.terms, 1), kind: k, routers: 1, interval: interval, variant: variant{realtime: realtime}})
			}
		}
	}
	var prepare []func()
	for _, t := range all {
		prepare = append(prepare, t.prepare)
	}
	s.together(prepare...)
	for _, load := range []int{4, 32} {
		b.busy(s, all, load)
	}
	for _, t := range all {
		t.c.reset(t.a, t.b)
	}
}

// busy watches everybody under one load.
func (b *bench) busy(s *stage, all []*takeover, load int) {
	noise := all[0].c.burn(load)
	time.Sleep(500 * time.Millisecond)
	for _, t := range all {
		t.mark = t.c.rec.Mark()
	}
	window := b.window(8*time.Second, 10*time.Minute)
	wakes := b.wakes(all[0].c, window)
	began := time.Now()
	time.Sleep(window)
	ended := time.Now()
	early, longest := map[string]pair{}, map[string]pair{}
	for _, p := range noise {
		p.Kill()
	}
	for _, t := range all {
		t.c.rec.Settle()
		seen := t.c.rec.Since(t.mark)
		gaps, _ := t.intervals(seen, began, ended)
		if len(gaps) == 0 {
			s.Fatalf("%s sent no advertisements under %d busy processes:\n%s", t.kind.name, load, t.a.said())
		}
		name := t.settings(load)
		if early[name] == nil {
			early[name], longest[name] = pair{}, pair{}
		}
		early[name].add(t.kind, float64(t.falseTransitions(seen)))
		longest[name].add(t.kind, figures.Max(gaps))
	}
	wakes.report(b, s, "busy", fmt.Sprintf("%d processes", load))
	for i := 0; i < len(all); i += len(contenders) {
		t := all[i]
		name := t.settings(load)
		none, most := figures.Target{}, figures.Target{}
		if t.interval == 100*time.Millisecond || t.variant.realtime {
			none = figures.Target{Zero: true}
		}
		if t.interval == 10*time.Millisecond && t.variant.realtime && load == 4 {
			most = figures.Target{Most: 11}
		}
		b.row("busy", fmt.Sprintf("%s: false transitions in %s", name, short(ended.Sub(began).Round(time.Second))), "", early[name], figures.Max, none)
		b.row("busy", name+": longest interval", "ms", longest[name], figures.Max, most)
	}
}

func (t *takeover) settings(load int) string {
	name := fmt.Sprintf("%d processes, %s", load, short(t.interval))
	if t.variant.realtime {
		name += ", real-time"
	}
	return name
}

// falseTransitions counts how often the backup took over beside the active host.
func (t *takeover) falseTransitions(seen []lab.Seen) int {
	return falseTransitions(t.c.rec.Host(t.c.b), seen)
}

// falseTransitions is that for a backup of that number.
func falseTransitions(b uint16, seen []lab.Seen) (n int) {
	active := false
	for _, s := range seen {
		if s.Kind != lab.SeenAdvert || s.Priority == 0 {
			continue
		}
		if s.Host == b && !active {
			n++
		}
		active = s.Host == b
	}
	return n
}

// A waking is a thread with real-time priority for each processor that does nothing
// but wake up every 10 ms (cyclictest of the kernel's rt-tests). What the latest of
// them is late, the machine is, whoever runs on it.
type waking struct{ *lab.Process }

// wakes begins one, on a host of the cluster and for a while; nil: there is no
// real-time priority to be had.
func (b *bench) wakes(c *cluster, window time.Duration) *waking {
	if b.plain {
		return nil
	}
	return &waking{c.client.Start("cyclictest", "--quiet", "--default-system", "--smp", "--policy=rr", "--priority=50",
		"--interval=10000", fmt.Sprintf("--duration=%d", int(window.Seconds())))}
}

// report adds the row of what they were late at most; of a waking that is nil, none.
func (w *waking) report(b *bench, s *stage, benchmark, measure string) {
	if w == nil {
		return
	}
	b.row(benchmark, measure+": a real-time thread that only wakes up", "ms late", w.latest(s), figures.Max, figures.Target{})
}

var latestWake = regexp.MustCompile(`Max: *(\d+)`)

// latest is the most that each was late, in milliseconds, for want of a column of
// its own in that of vrrpd.
func (w *waking) latest(s *stage) pair {
	if err := w.Wait(20 * time.Second); err != nil {
		s.Fatalf("cyclictest: %v\n%s", err, w.Output())
	}
	found := latestWake.FindAllStringSubmatch(w.Output(), -1)
	if found == nil {
		s.Fatalf("cyclictest said:\n%s", w.Output())
	}
	late := pair{}
	for _, one := range found {
		us, err := strconv.Atoi(one[1])
		if err != nil {
			s.Fatalf("cyclictest: %v", err)
		}
		late.add(vrrpd, float64(us)/1000)
	}
	return late
}
