package main

import (
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// floodRate is packets a second.
const floodRate = 20_000

// benchFlood: somebody sends rubbish, or advertisements that lose, as fast as
// a small machine can.
func benchFlood(b *bench, s *stage) {
	const interval = 100 * time.Millisecond
	c := newCluster(s, b.terms, 1)
	attacker := c.lab.Host("attacker")
	c.switches[0].Attach(attacker, "eth0", "192.0.2.66/24")
	window := b.window(3*time.Second, 20*time.Second)
	floods := []struct {
		name   string
		frames [][]byte
	}{{"malformed", malformed()}, {"lower priority", [][]byte{loses()}}}
	for _, f := range floods {
		early, active, backup, answers, rate := pair{}, pair{}, pair{}, pair{}, pair{}
		for range b.times(1, 3) {
			for _, k := range contenders {
				t := &takeover{c: c, kind: k, routers: 1, interval: interval}
				t.prepare()
				stop := c.flood(attacker, f.frames)
				time.Sleep(500 * time.Millisecond)
				mark := c.rec.Mark()
				before, beforeB, began := t.a.runtime(s), t.b.runtime(s), time.Now()
				time.Sleep(window)
				after, afterB, took := t.a.runtime(s), t.b.runtime(s), time.Since(began)
				sent := stop()
				c.rec.Settle()
				seen := c.rec.Since(mark)
				_, n := t.intervals(seen, began, began.Add(took))
				early.add(k, float64(t.falseTransitions(seen)))
				active.add(k, share(after-before, took))
				backup.add(k, share(afterB-beforeB, took))
				answers.add(k, float64(n)/took.Seconds()*interval.Seconds()-1)
				rate.add(k, sent)
				c.reset(t.a, t.b)
			}
		}
		note("flood: %s: %.0f packets a second", f.name, figures.Median(append(rate[vrrpd], rate[keepalived]...)))
		b.row("flood", f.name+": transitions", "", early, figures.Max, figures.Target{Zero: true})
		b.row("flood", f.name+": active", "% of a core", active, figures.Median, figures.Target{Ratio: 1})
		b.row("flood", f.name+": backup", "% of a core", backup, figures.Median, figures.Target{Ratio: 1})
		if f.name != "malformed" {
			b.row("flood", f.name+": answers per interval", "", answers, figures.Median, figures.Target{Most: 1})
		}
	}
}

// flood sends the frames in turn from a host until stop is called, which returns
// how many a second it sent.
func (c *cluster) flood(h *lab.Host, frames [][]byte) (stop func() (rate float64)) {
	fd := c.raw(h)
	index := h.Link("eth0").Attrs().Index
	source := h.Link("eth0").Attrs().HardwareAddr
	for _, f := range frames {
		copy(f[6:12], source)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	sent, began := 0, time.Now()
	go func() {
		defer close(ended)
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: index}
		for {
			select {
			case <-end:
				return
			default:
			}
			due := int(time.Since(began).Seconds() * floodRate)
			for ; sent < due; sent++ {
				// A full queue is the flood's own limit; the rate tells.
				_ = unix.Sendto(fd, frames[sent%len(frames)], 0, to)
			}
			nap := unix.NsecToTimespec(int64(time.Millisecond))
			_ = unix.Nanosleep(&nap, nil)
		}
	}()
	return func() float64 {
		close(end)
		<-ended
		return float64(sent) / time.Since(began).Seconds()
	}
}

// attackerAddress is where the flood comes from.
var attackerAddress = [4]byte{192, 0, 2, 66}

// loses is an advertisement for the lone router that its active router outbids.
func loses() []byte {
	return advert(lab.Router{VRID: 1, Priority: 50, Interval: 100 * time.Millisecond, Addresses: []string{vip + "/24"}}, attackerAddress)
}

// malformed are frames that no daemon may believe, whatever their priority.
func malformed() [][]byte {
	good := func() []byte {
		return message(lab.Router{VRID: 1, Priority: 250, Interval: 100 * time.Millisecond, Addresses: []string{vip + "/24"}}, attackerAddress)
	}
	change := func(at int, to byte) []byte { m := good(); m[at] = to; return m }
	wrap := func(m []byte, ttl byte) []byte { return frame(m, attackerAddress, ttl) }
	return [][]byte{
		wrap(change(6, good()[6]^0x55), 255), // checksum
		wrap(change(0, 7<<4|1), 255),         // version
		wrap(change(0, 3<<4|2), 255),         // type
		wrap(good()[:6], 255),                // cut short
		wrap(change(3, 9), 255),              // more addresses than there are
		wrap(good(), 64),                     // from another network
	}
}
