package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// A workload is a number of routers and their interval.
type workload struct {
	routers        int
	interval       time.Duration
	active, backup figures.Target
}

var workloads = []workload{
	{255, 10 * time.Millisecond, figures.Target{Ratio: 0.15}, figures.Target{Ratio: 0.7}},
	{255, 100 * time.Millisecond, figures.Target{}, figures.Target{}},
	{2040, 100 * time.Millisecond, figures.Target{Ratio: 0.3}, figures.Target{Ratio: 0.9}},
	{1, 100 * time.Millisecond, figures.Target{Most: 0.2}, figures.Target{Most: 0.2}},
}

// benchCPU: what it costs to be active, and to be a backup, while nothing
// happens.
func benchCPU(b *bench, s *stage) {
	for _, w := range workloads {
		if w.active == (figures.Target{}) && !b.full {
			continue
		}
		err := perform(fmt.Sprintf("cpu of %d", w.routers), func(s *stage) {
			b.cpu(s, w, false)
			if w.routers > 1 && !b.plain {
				b.cpu(s, w, true)
			}
			if w.routers > 1 {
				b.apart(s, w)
			}
		})
		if err != nil {
			s.Fatalf("%v", err)
		}
	}
}

// cpu measures one workload. What real-time priority changes is the intervals.
func (b *bench) cpu(s *stage, w workload, realtime bool) {
	c := newCluster(s, b.terms, switchesFor(w.routers))
	active, backup, sent, p99, worst := pair{}, pair{}, pair{}, pair{}, pair{}
	window := b.window(3*time.Second, 10*time.Second)
	for range b.times(1, 3) {
		for _, k := range contenders {
			t := &takeover{c: c, kind: k, routers: w.routers, interval: w.interval, variant: variant{realtime: realtime && k == vrrpd}}
			t.prepare()
			mark := c.rec.Mark()
			before, beforeB, began := t.a.runtime(s), t.b.runtime(s), time.Now()
			time.Sleep(window)
			after, afterB, took := t.a.runtime(s), t.b.runtime(s), time.Since(began)
			c.rec.Settle()
			gaps, n := t.intervals(c.rec.Since(mark), began, began.Add(took))
			c.reset(t.a, t.b)
			active.add(k, share(after-before, took))
			backup.add(k, share(afterB-beforeB, took))
			sent.add(k, float64(n)/took.Seconds())
			p99.add(k, figures.Quantile(gaps, 0.99))
			worst.add(k, figures.Max(gaps))
		}
	}
	name := fmt.Sprintf("%d × %s", w.routers, short(w.interval))
	nominal := float64(w.routers) / w.interval.Seconds()
	ms := figures.Milliseconds(int64(w.interval))
	if realtime {
		name += ", vrrpd real-time"
		b.row("cpu", name+": active", "% of a core", active, figures.Median, w.active)
		b.row("cpu", name+": interval, p99", "ms", p99, figures.Median, figures.Target{Most: 1.05 * ms})
		b.row("cpu", name+": interval, longest", "ms", worst, figures.Max, figures.Target{})
		return
	}
	floor := pair{}
	if w.routers > 1 {
		floor.add(vrrpd, b.bareSending(c, w, window))
	}
	b.row("cpu", name+": active", "% of a core", active, figures.Median, w.active)
	if w.routers > 1 {
		b.floor(name, active, floor)
	}
	b.row("cpu", name+": backup", "% of a core", backup, figures.Median, w.backup)
	b.row("cpu", name+": adverts a second", "", sent, figures.Median, figures.Target{Least: 0.998 * nominal})
	b.row("cpu", name+": interval, p99", "ms", p99, figures.Median, figures.Target{Most: 1.05 * ms})
	b.row("cpu", name+": interval, longest", "ms", worst, figures.Max, figures.Target{})
}

// apart measures an active host that does not do the work of the receivers, as
// it is where they are other machines. Otherwise delivering an advertisement to
// everybody on the switch costs the sender more than to send it, whoever sends.
func (b *bench) apart(s *stage, w workload) {
	c := newCluster(s, b.terms, switchesFor(w.routers))
	for i, sw := range c.switches {
		sw.DeliverApart(c.a, ifname(i))
	}
	active, floor := pair{}, pair{}
	window := b.window(3*time.Second, 10*time.Second)
	for range b.times(1, 3) {
		for _, k := range contenders {
			t := &takeover{c: c, kind: k, routers: w.routers, interval: w.interval}
			t.prepare()
			active.add(k, t.a.cpu(s, window))
			c.reset(t.a, t.b)
		}
	}
	floor.add(vrrpd, b.bareSending(c, w, window))
	name := fmt.Sprintf("%d × %s, delivered apart", w.routers, short(w.interval))
	b.row("cpu", name+": active", "% of a core", active, figures.Median, w.active)
	b.floor(name, active, floor)
}

// floor records what sending alone uses, and how many times that a daemon does
// that is active: unlike the ratio of the two daemons that says how much there
// was to be saved.
func (b *bench) floor(name string, active, floor pair) {
	times := pair{}
	for k, values := range active {
		for _, v := range values {
			times.add(k, v/figures.Median(floor[vrrpd]))
		}
	}
	b.row("cpu", name+": sending alone (the floor for active)", "% of a core", floor, figures.Median, figures.Target{})
	b.row("cpu", name+": active", "times sending alone", times, figures.Median, figures.Target{})
}

// bareSending is what it costs to hand the same advertisements to the kernel
// and to do nothing else: on this topology that includes their delivery. The
// backup is there to receive them.
func (b *bench) bareSending(c *cluster, w workload, window time.Duration) float64 {
	t := &takeover{c: c, kind: vrrpd, routers: w.routers, interval: w.interval, played: true}
	t.prepare()
	time.Sleep(window)
	used := t.play.halt()
	c.reset(t.b)
	return used
}

// intervals lists, in milliseconds, the times between the active host's
// advertisements of each router, and counts the advertisements, between two
// moments.
func (t *takeover) intervals(seen []lab.Seen, from, to time.Time) (gaps []float64, n int) {
	a := t.c.rec.Host(t.c.a)
	last := map[routerID]int64{}
	for _, s := range seen {
		if s.Kind != lab.SeenAdvert || s.Host != a || s.At < from.UnixNano() || s.At > to.UnixNano() {
			continue
		}
		id := routerID{s.Switch, s.VRID}
		if before := last[id]; before != 0 {
			gaps = append(gaps, figures.Milliseconds(s.At-before))
		}
		last[id] = s.At
		n++
	}
	return gaps, n
}

// share is processor time as a percentage of one core.
func share(used, of time.Duration) float64 { return 100 * used.Seconds() / of.Seconds() }

// cpu watches the daemon for a while and returns its percentage of a core.
func (d *daemon) cpu(s *stage, window time.Duration) float64 {
	before, began := d.runtime(s), time.Now()
	time.Sleep(window)
	return share(d.runtime(s)-before, time.Since(began))
}

// runtime is the processor time that all threads of the process tree have used,
// to the nanosecond (Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat).
func (d *daemon) runtime(s *stage) (sum time.Duration) {
	var files []string
	for _, pid := range d.pids {
		list, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			s.Fatalf("%v", err) // only a malformed pattern
		}
		files = append(files, list...)
	}
	if len(files) == 0 || d.Exited() {
		s.Fatalf("%s on %s is gone:\n%s", d.kind.name, d.Host.Name, d.said())
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			s.Fatalf("%s: %v", file, err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// refused asks vrrpd whether it takes a configuration and returns what it says
// against it.
func (b *bench) refused(s *stage, c *cluster, routers []lab.Router, v variant) string {
	d := &daemon{kind: vrrpd, terms: b.terms, variant: v, socket: "/nowhere/s", file: filepath.Join(c.lab.Dir(), "asked.toml")}
	d.configure(s, c.a, routers)
	out, err := exec.Command(filepath.Join(b.terms.programs, "vrrpd"), "-c", d.file, "--check").CombinedOutput()
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// some chooses by profile.
func (b *bench) some(short, full []int) []int {
	if b.full {
		return slices.Clone(full)
	}
	return slices.Clone(short)
}

// times chooses a number by profile.
func (b *bench) times(short, full int) int {
	if b.full {
		return full
	}
	return short
}

// window chooses a duration by profile.
func (b *bench) window(short, full time.Duration) time.Duration {
	if b.full {
		return full
	}
	return short
}
