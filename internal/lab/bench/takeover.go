package main

import (
	"fmt"
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
	extra    int  // addresses of a lone router besides the first
	played   bool // the active host is played by the harness, the same for everybody
	others   bool // on a switch of their own, the last: routers that the backup is active for already

	a, b  *daemon // a is nil if it is played
	play  *player
	echo  *lab.Probe
	steal []*lab.Process
	begun int // the recording from before the start
	mark  int // and from before the cut
}

// outcome is what one takeover was like.
type outcome struct {
	overhead  []float64 // ms beyond the floor, of each router
	announced []float64 // ms from a router's first advertisement to each address' first announcement
	served    []float64 // ms beyond the floor to each address' first announcement
	spread    float64   // ms between the first and the last of the active host's last advertisements
	outage    float64   // ms the client had no answer
	start     float64   // ms from exec to the last router's first advertisement, less the floor
	early     int       // routers whose backup took over before the crash
	late      []float64 // ms beyond the nominal interval: the others' adverts, or those of the new active router
}

// prepare brings both hosts up and waits until the backup has settled.
func (t *takeover) prepare() {
	s, c := t.c.s, t.c
	mark := c.rec.Mark()
	if t.played {
		t.play = c.play(t.list(c.a), t.interval)
	} else {
		t.a = c.start(t.kind, c.a, t.list(c.a), t.variant)
	}
	if !c.waitAdvertised(mark, c.a, t.routers, startLimit) {
		s.Fatalf("%s did not become active:\n%s", t.kind.name, t.a.said())
	}
	t.begun = mark
	t.b = c.start(t.kind, c.b, t.list(c.b), t.variant)
	t.b.waitReady(s)
	if t.others && !c.waitAdvertised(mark, c.b, others, startLimit) {
		s.Fatalf("%s did not become active for the other routers:\n%s", t.kind.name, t.b.said())
	}
	for _, d := range []*daemon{t.a, t.b} {
		if d != nil {
			d.trace()
		}
	}
	if t.probed {
		t.echo = c.client.Echo(vip, 1000)
		t.echo.WaitAnswered(startLimit)
	}
	// The backup must have heard every router, and its start be over.
	time.Sleep(max(300*time.Millisecond, t.interval+100*time.Millisecond))
	if t.busy > 0 {
		t.steal = c.burn(t.busy)
		time.Sleep(500 * time.Millisecond)
	}
	t.mark = c.rec.Mark()
	time.Sleep(3*t.interval + jitter(t.interval))
}

// others is how many routers the backup is active for besides.
const others = 10

// list configures the routers of a host.
func (t *takeover) list(h *lab.Host) []lab.Router {
	priority, otherwise := activePriority, backupPriority
	if h == t.c.b {
		priority, otherwise = backupPriority, activePriority
	}
	list := routers(t.routers, t.interval, priority)
	for i := range t.extra {
		list[0].Extra = append(list[0].Extra, fmt.Sprintf("10.99.%d.%d/32", i/200, i%200+1))
	}
	if t.others {
		last := len(t.c.switches) - 1
		for i := range others {
			list = append(list, lab.Router{VRID: i + 1, Interval: t.interval, Priority: otherwise, Interface: ifname(last),
				Addresses: []string{fmt.Sprintf("10.100.%d.%d/32", last, i+1)}})
		}
	}
	return list
}

// crash cuts the active host off, then ends what runs there.
func (t *takeover) crash() {
	if t.played {
		t.play.halt()
		return
	}
	t.c.cut()
	t.a.crash()
}

// finish waits for the backup, measures, and puts everything back. It reports
// false if a takeover or an announcement is missing.
func (t *takeover) finish() (outcome, bool) {
	c := t.c
	limit := figures.DownInterval(t.interval, backupPriority) + 15*time.Second
	ok := c.waitAdvertised(t.mark, c.b, t.routers, limit) && t.waitAnnounced(t.routers+t.extra)
	if t.others || t.extra > 0 {
		time.Sleep(3 * t.interval) // the next adverts
	}
	c.rec.Settle()
	o := t.measure(c.rec.Since(t.begun))
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
			if s.Kind == lab.SeenAnnounced && s.Host == b && !t.other(s) {
				heard[s.Address] = true
			}
		}
		return len(heard) >= n
	})
}

// other reports whether a frame belongs to the other routers.
func (t *takeover) other(s lab.Seen) bool { return t.others && int(s.Switch) == len(t.c.switches)-1 }

// measure reads the takeover off what crossed the switches since the start.
func (t *takeover) measure(seen []lab.Seen) outcome {
	return t.read(t.c.rec.Host(t.c.a), t.c.rec.Host(t.c.b), seen, t.mark-t.begun)
}

// read is measure for hosts of these numbers; the crash comes after the first
// so many frames.
func (t *takeover) read(a, b uint16, seen []lab.Seen, before int) outcome {
	var o outcome
	last, first := map[routerID]int64{}, map[routerID]int64{}
	latest := map[routerID]int64{} // of the backup's, from the cut on
	begun := map[routerID]bool{}
	for i, s := range seen {
		id := routerID{s.Switch, s.VRID}
		if s.Kind != lab.SeenAdvert || s.Priority == 0 {
			continue
		}
		if s.Host == a && !t.other(s) {
			if !begun[id] && t.a != nil {
				begun[id] = true
				floor := t.a.started.UnixNano() + int64(figures.DownInterval(t.interval, activePriority))
				o.start = max(o.start, figures.Milliseconds(s.At-floor))
			}
			if first[id] != 0 {
				o.early++
				delete(first, id)
			}
			last[id] = s.At
		}
		if s.Host != b {
			continue
		}
		if first[id] == 0 && !t.other(s) {
			first[id] = s.At
		}
		if i < before {
			continue
		}
		if latest[id] != 0 {
			o.late = append(o.late, figures.Milliseconds(s.At-latest[id]-int64(t.interval)))
		}
		latest[id] = s.At
	}
	var earliest, newest int64
	for id, at := range first {
		l := last[id]
		if l == 0 {
			continue
		}
		o.overhead = append(o.overhead, figures.Overhead(l, at, t.interval, backupPriority))
		if earliest == 0 || l < earliest {
			earliest = l
		}
		newest = max(newest, l)
	}
	o.spread = figures.Milliseconds(newest - earliest)
	announced := map[[4]byte]bool{}
	for _, s := range seen {
		if s.Kind != lab.SeenAnnounced || s.Host != b || announced[s.Address] || t.other(s) {
			continue
		}
		announced[s.Address] = true
		if id := t.ofAddress(s); first[id] != 0 && last[id] != 0 {
			o.announced = append(o.announced, figures.Milliseconds(s.At-first[id]))
			o.served = append(o.served, figures.Overhead(last[id], s.At, t.interval, backupPriority))
		}
	}
	return o
}

// ofAddress is the router an address belongs to, by the rule of routers.
func (t *takeover) ofAddress(s lab.Seen) routerID {
	if t.routers == 1 || s.Address[0] != 10 {
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

// die is crash, until the process is gone: its service manager knows then.
func (d *daemon) die(s *stage) {
	d.crash()
	lab.Until(s, startLimit, d.kind.name+" to be gone", d.Exited)
}

// burn starts processes that do nothing but run.
func (c *cluster) burn(n int) (list []*lab.Process) {
	for range n {
		list = append(list, c.client.Start("sh", "-c", "while :; do :; done"))
	}
	return list
}
