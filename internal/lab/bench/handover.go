package main

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// A happening is something that befalls a cluster whose host a is active.
type happening struct {
	name string
	// absent: a is not running before, and b is active.
	absent bool
	do     func(x *exchange)
	// after is how long clients are watched once it is over, besides the time
	// in which a backup takes over.
	after func(interval time.Duration) time.Duration
	// silence and shared are the targets of the time without an answer and of
	// the time with two that answer.
	silence, shared figures.Target
}

// frozen is how long a hang lasts, and uncared how long a node whose daemon
// died is watched: longer than any lease.
const (
	frozen  = 10 * time.Second
	uncared = 9 * time.Second
)

func shortly(interval time.Duration) time.Duration { return max(time.Second, 2*interval) }

var none = figures.Target{Zero: true}

var happenings = []happening{
	{name: "planned stop", after: shortly, silence: none,
		do: func(x *exchange) { x.a.Term() }},
	{name: "preemption by the returning node", absent: true, after: shortly, silence: none,
		do: func(x *exchange) {
			mark := x.c.rec.Mark()
			x.a = x.c.start(x.kind, x.c.a, x.list(x.c.a), x.variant)
			x.c.waitAdvertised(mark, x.c.a, 1, startLimit)
		}},
	{name: "crash of the process, restarted after 0.2 s", after: shortly, silence: none,
		do: func(x *exchange) {
			x.a.die(x.c.s)
			time.Sleep(200 * time.Millisecond)
			x.a.run(x.c.s, x.c.a)
		}},
	{name: "crash of the process, not restarted", shared: figures.Target{Most: 50}, after: func(time.Duration) time.Duration { return uncared },
		do: func(x *exchange) {
			x.a.die(x.c.s)
			x.abandon()
		}},
	{name: "crash of the host", after: shortly,
		do: func(x *exchange) {
			x.c.cut()
			x.a.crash()
		}},
	{name: "hang of 10 s", after: shortly, shared: figures.Target{Most: 5000},
		do: func(x *exchange) {
			x.signal(unix.SIGSTOP)
			time.Sleep(frozen)
			x.signal(unix.SIGCONT)
		}},
	{name: "200 ms without carrier", after: shortly, silence: figures.Target{Most: 230},
		do: func(x *exchange) {
			x.c.cut()
			time.Sleep(200 * time.Millisecond)
			x.c.switches[0].Heal(x.c.a)
		}},
	{name: "reload with an unrelated change", after: shortly, silence: none, shared: none,
		do: func(x *exchange) {
			more := lab.Router{VRID: 77, Interval: x.interval, Priority: activePriority, Addresses: []string{"10.98.0.1/32"}}
			x.a.configure(x.c.s, x.c.a, append(x.list(x.c.a), more))
			x.a.Signal(unix.SIGHUP)
		}},
}

// An exchange is one happening on one cluster.
type exchange struct {
	takeover
	happening
}

// abandon does what a service manager does after its service died.
func (x *exchange) abandon() {
	args := x.kind.abandoned(x.c.terms, x.a.file)
	if args == nil {
		return
	}
	if out, err := x.c.a.Try(args[0], args[1:]...); err != nil {
		note("%s: %v: %v: %s", x.name, args, err, out)
	}
}

// signal sends to the whole process tree.
func (x *exchange) signal(sig unix.Signal) {
	for _, pid := range x.a.pids {
		_ = unix.Kill(pid, sig) // one that ended by itself needs none
	}
}

// run lets it happen and returns, in milliseconds, how long the client had no
// answer and how long two hosts claimed the address.
func (x *exchange) run() (silence, shared float64) {
	c := x.c
	if x.absent {
		mark := c.rec.Mark()
		x.b = c.start(x.kind, c.b, x.list(c.b), x.variant)
		if !c.waitAdvertised(mark, c.b, 1, startLimit) {
			c.s.Fatalf("%s: %s did not become active:\n%s", x.name, x.kind.name, x.b.said())
		}
		time.Sleep(500 * time.Millisecond)
	} else {
		x.prepare()
	}
	echo, who := c.client.Echo(vip, 1000), c.client.WhoHas(vip, 500)
	echo.WaitAnswered(startLimit)
	time.Sleep(200*time.Millisecond + jitter(x.interval))
	from := time.Now()
	x.do(x)
	time.Sleep(figures.DownInterval(x.interval, backupPriority) + x.after(x.interval))
	seen, owners := echo.Since(from), who.Since(from)
	echo.Stop()
	who.Stop()
	if owners.Serving() == "" {
		c.s.Fatalf("%s: nobody answers for %s any more:\n%s", x.name, vip, x.b.said())
	}
	c.reset(x.a, x.b)
	return figures.Milliseconds(int64(seen.Silence())), figures.Milliseconds(int64(owners.TwoOwners()))
}

// benchHandover: what clients notice of everything that happens to a cluster.
// Most of it is waiting, so many clusters are at it at once.
func benchHandover(b *bench, s *stage) {
	type cell struct {
		h        *happening
		interval time.Duration
	}
	type job struct {
		cell
		kind *contender
	}
	intervals := []time.Duration{time.Second, 100 * time.Millisecond}
	silence, shared := map[cell]pair{}, map[cell]pair{}
	var jobs []job
	for _, interval := range intervals {
		for i := range happenings {
			for range b.fewer() {
				for _, k := range contenders {
					jobs = append(jobs, job{cell{&happenings[i], interval}, k})
				}
			}
			c := cell{&happenings[i], interval}
			silence[c], shared[c] = pair{}, pair{}
		}
	}
	// The longest first, so that none is left over at the end.
	queue := make(chan job, len(jobs))
	for _, long := range []bool{true, false} {
		for _, j := range jobs {
			if (j.h.name == "hang of 10 s" || j.h.name == "crash of the process, not restarted") == long {
				queue <- j
			}
		}
	}
	close(queue)
	var mu sync.Mutex
	var lanes []func()
	for range handoverLanes {
		lanes = append(lanes, func() {
			c := newCluster(s, b.terms, 1)
			for j := range queue {
				x := &exchange{takeover{c: c, kind: j.kind, routers: 1, interval: j.interval}, *j.h}
				without, two := x.run()
				mu.Lock()
				silence[j.cell].add(j.kind, without)
				shared[j.cell].add(j.kind, two)
				mu.Unlock()
			}
		})
	}
	s.together(lanes...)
	for _, interval := range intervals {
		for i := range happenings {
			h := &happenings[i]
			c := cell{h, interval}
			name := fmt.Sprintf("%s, %s", h.name, short(interval))
			b.sample("handover", name, "ms", silence[c], "handover: ms without an answer")
			b.sample("handover", name+": two answer", "ms", shared[c], "handover: ms with two hosts answering")
			b.row("handover", name+": without an answer, median", "ms", silence[c], figures.Median, h.silence)
			if b.fewer() > 2 {
				b.row("handover", name+": without an answer, p95", "ms", silence[c], p95, h.silence)
			}
			b.row("handover", name+": without an answer, max", "ms", silence[c], figures.Max, h.silence)
			b.row("handover", name+": two answer, max", "ms", shared[c], figures.Max, h.shared)
		}
	}
}

// handoverLanes is how many clusters are watched at once. Their clients alone
// use half a core then.
const handoverLanes = 14
