package main

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// A takeover is one crash of the active host, from setting the cluster up to
// the last announcement of the backup.
type takeover struct {
	c        *cluster
	kind     *contender
	routers  int
	interval time.Duration
	variant  variant
	busy     int  // processes that use up the processors meanwhile
	probed   bool // a client asks for the address all the while
	setUp    func(r []lab.Router)

	a, b  *daemon
	echo  *lab.Probe
	steal []*lab.Process
	mark  int // the recording from before the cut
}

// outcome is what one takeover was like.
type outcome struct {
	overhead  []float64 // ms beyond the floor, of each router
	announced []float64 // ms from a router's first advertisement to each address' first announcement
	outage    float64   // ms the client had no answer
	early     int       // routers whose backup took over before the crash
	late      []float64 // ms beyond the nominal interval, of the new active router's later adverts
}

// prepare brings both hosts up and waits until the backup has settled.
func (t *takeover) prepare() {
	s, c := t.c.s, t.c
	mark := c.rec.Mark()
	t.a = c.start(t.kind, c.a, t.list(activePriority), t.variant)
	if !c.waitAdvertised(mark, c.a, t.routers, startLimit) {
		s.Fatalf("%s did not become active:\n%s", t.kind.name, t.a.Output())
	}
	t.b = c.start(t.kind, c.b, t.list(backupPriority), t.variant)
	t.b.waitReady(s)
	t.a.trace()
	t.b.trace()
	if t.probed {
		t.echo = c.client.Echo(vip, 1000)
		t.echo.WaitAnswered(startLimit)
	}
	// The backup must have heard every router, and its start be over.
	time.Sleep(max(500*time.Millisecond, t.interval+100*time.Millisecond))
	if t.busy > 0 {
		t.steal = c.burn(t.busy)
		time.Sleep(500 * time.Millisecond)
	}
	t.mark = c.rec.Mark()
	time.Sleep(3*t.interval + jitter(t.interval))
}

func (t *takeover) list(priority int) []lab.Router {
	list := routers(t.routers, t.interval, priority)
	if t.setUp != nil {
		t.setUp(list)
	}
	return list
}

// crash cuts the active host off, then ends what runs there.
func (t *takeover) crash() {
	t.c.cut()
	t.a.crash()
}

// finish waits for the backup, measures, and puts everything back. It reports
// false if a takeover is missing.
func (t *takeover) finish(expect int) (outcome, bool) {
	c := t.c
	limit := figures.DownInterval(t.interval, backupPriority) + 15*time.Second
	ok := c.waitAdvertised(t.mark, c.b, t.routers, limit) && t.waitAnnounced(expect)
	if t.interval < time.Second {
		time.Sleep(3 * t.interval) // the new active router's next adverts
	}
	c.rec.Settle()
	o := t.measure(c.rec.Since(t.mark))
	if t.echo != nil {
		t.echo.WaitAnswered(startLimit)
		o.outage = figures.Milliseconds(int64(t.echo.Stop().LongestGap))
	}
	for _, p := range t.steal {
		p.Kill()
	}
	c.reset(t.a, t.b)
	return o, ok
}

// waitAnnounced waits until the backup has announced that many addresses.
func (t *takeover) waitAnnounced(n int) bool {
	b, heard := t.c.rec.Host(t.c.b), map[[4]byte]bool{}
	return t.c.rec.Wait(t.mark, 15*time.Second, func(part []lab.Seen) bool {
		for _, s := range part {
			if s.Kind == lab.SeenAnnounced && s.Host == b {
				heard[s.Address] = true
			}
		}
		return len(heard) >= n
	})
}

// measure reads the takeover off what crossed the switches.
func (t *takeover) measure(seen []lab.Seen) outcome {
	var o outcome
	a, b := t.c.rec.Host(t.c.a), t.c.rec.Host(t.c.b)
	last, first, latest := map[routerID]int64{}, map[routerID]int64{}, map[routerID]int64{}
	for _, s := range seen {
		id := routerID{s.Switch, s.VRID}
		switch {
		case s.Kind != lab.SeenAdvert:
		case s.Host == a:
			if first[id] != 0 {
				o.early++
				delete(first, id)
			}
			last[id] = max(last[id], s.At)
		case s.Host == b && s.Priority != 0:
			if first[id] == 0 {
				first[id] = s.At
			} else {
				o.late = append(o.late, figures.Milliseconds(s.At-latest[id]-int64(t.interval)))
			}
			latest[id] = s.At
		}
	}
	start := map[uint8]int64{} // the first takeover of a lone router
	for id, at := range first {
		if last[id] != 0 {
			o.overhead = append(o.overhead, figures.Overhead(last[id], at, t.interval, backupPriority))
		}
		start[id.vrid] = at
	}
	announced := map[[4]byte]bool{}
	for _, s := range seen {
		if s.Kind != lab.SeenAnnounced || s.Host != b || announced[s.Address] {
			continue
		}
		announced[s.Address] = true
		from := start[1]
		if t.routers > 1 {
			from = first[ofAddress(s)]
		}
		if from != 0 {
			o.announced = append(o.announced, figures.Milliseconds(s.At-from))
		}
	}
	slices.Sort(o.overhead)
	return o
}

// ofAddress is the router an address belongs to, by the rule of routers.
func ofAddress(s lab.Seen) routerID {
	if s.Address[0] != 10 {
		return routerID{s.Switch, 1}
	}
	return routerID{s.Switch, s.Address[3]}
}

// trace notes the process tree, for crash.
func (d *daemon) trace() { d.pids = d.Tree() }

// crash ends the whole tree at once, without looking for it first: that takes
// long enough to disturb what is measured.
func (d *daemon) crash() {
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
		for _, pid := range d.pids {
			_ = unix.Kill(pid, sig) // one that ended by itself is as gone
		}
	}
}

// burn starts processes that do nothing but run.
func (c *cluster) burn(n int) (list []*lab.Process) {
	for range n {
		list = append(list, c.client.Start("sh", "-c", "while :; do :; done"))
	}
	return list
}
