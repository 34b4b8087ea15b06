package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"vrrpd/internal/lab/bench/figures"
)

// A condition is one way to measure the crash of a lone active router. Idle,
// vrrpd with its real-time settings is compared with keepalived as it comes:
// both were idle in any case. Under load both have them.
type condition struct {
	interval time.Duration
	realtime bool
	busy     int
	lanes    int            // clusters at once: one second is long
	full     bool           // measured in the full profile alone
	target   figures.Target // of median and p95 alike
}

func (c condition) String() string {
	load := "idle"
	if c.busy > 0 {
		load = fmt.Sprintf("%d busy", c.busy)
	}
	switch {
	case c.realtime && c.busy > 0:
		load += ", real-time"
	case c.realtime:
		load += ", vrrpd real-time"
	}
	return fmt.Sprintf("%s, %s", short(c.interval), load)
}

var conditions = []condition{
	{interval: time.Second, lanes: 6, target: figures.Target{Ratio: 1}},
	{interval: 100 * time.Millisecond, target: figures.Target{Ratio: 1}},
	{interval: 10 * time.Millisecond, target: figures.Target{Ratio: 1}},
	{interval: 100 * time.Millisecond, realtime: true, target: figures.Target{Ratio: 0.7}},
	{interval: 10 * time.Millisecond, realtime: true, target: figures.Target{Ratio: 0.7}},
	{interval: 100 * time.Millisecond, busy: 4, full: true},
	{interval: 10 * time.Millisecond, busy: 4, full: true},
	{interval: 100 * time.Millisecond, realtime: true, busy: 4, target: figures.Target{Ratio: 0.7}},
	{interval: 10 * time.Millisecond, realtime: true, busy: 4, target: figures.Target{Ratio: 0.7}},
}

// benchCrash: the active host loses power. How much longer than the protocol
// asks for does it take until the backup advertises, and announces?
func benchCrash(b *bench, s *stage) {
	lanes := 1
	for _, cond := range conditions {
		lanes = max(lanes, cond.lanes)
	}
	clusters := make([]*cluster, lanes)
	for i := range clusters {
		clusters[i] = newCluster(s, b.terms, 1)
	}
	for _, cond := range conditions {
		if cond.full && !b.full || cond.realtime && b.plain || !strings.Contains(cond.String(), b.only) {
			continue
		}
		overhead, announced, outage := pair{}, pair{}, pair{}
		for _, o := range b.crashes(s, clusters[:max(cond.lanes, 1)], cond) {
			overhead.add(o.kind, o.overhead...)
			announced.add(o.kind, o.announced...)
			outage.add(o.kind, o.outage)
		}
		name := cond.String()
		b.sample("crash", name+": overhead", "ms", overhead, "crash: beyond the protocol's floor")
		b.sample("crash", name+": advert to announcement", "ms", announced, "")
		b.sample("crash", name+": without an answer", "ms", outage, "")
		b.row("crash", name+": overhead, median", "ms", overhead, figures.Median, cond.target)
		b.row("crash", name+": overhead, p95", "ms", overhead, p95, cond.target)
		b.row("crash", name+": advert to first announcement, median", "ms", announced, figures.Median, figures.Target{Most: 0.2})
	}
}

// crashed is an outcome and whose.
type crashed struct {
	kind *contender
	outcome
}

// crashes measures one condition: both contenders in turns, on as many clusters
// at once as there are, which start together and crash apart.
func (b *bench) crashes(s *stage, clusters []*cluster, cond condition) (all []crashed) {
	var queue []*contender
	for range b.runs {
		queue = append(queue, contenders...)
	}
	var mu sync.Mutex
	for again := 0; len(queue) > 0; {
		n := min(len(queue), len(clusters))
		var takeovers []*takeover
		var prepare, finish []func()
		for i, kind := range queue[:n] {
			t := &takeover{c: clusters[i], kind: kind, routers: 1, interval: cond.interval,
				variant: variant{realtime: cond.realtime && (cond.busy > 0 || kind == vrrpd)}, busy: cond.busy, probed: true}
			takeovers = append(takeovers, t)
			prepare = append(prepare, t.prepare)
			finish = append(finish, func() {
				o, ok := t.finish()
				if !ok {
					s.Fatalf("%s: %s did not take over:\n%s", cond, kind.name, t.b.said())
				}
				mu.Lock()
				defer mu.Unlock()
				if o.early > 0 || len(o.overhead) != 1 {
					note("%s: %s took over before the crash; once more", cond, kind.name)
					queue = append(queue, kind)
					again++
					return
				}
				all = append(all, crashed{kind, o})
			})
		}
		queue = queue[n:]
		s.together(prepare...)
		for _, t := range takeovers {
			time.Sleep(100 * time.Millisecond)
			t.crash()
		}
		s.together(finish...)
		if again > 5*b.runs {
			s.Fatalf("%s: too many takeovers before the crash", cond)
		}
	}
	return all
}
