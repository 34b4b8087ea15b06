package main

import (
	"fmt"
	"strings"
	"time"

	"vrrpd/internal/lab/bench/figures"
)

// benchScale: the host that is active for very many routers loses power, and
// the other has to take over all of them at once.
func benchScale(b *bench, s *stage) {
	for _, n := range b.some([]int{255, 2040}, []int{255, 1020, 2040}) {
		err := perform(fmt.Sprintf("scale of %d", n), func(s *stage) {
			c := newCluster(s, b.terms, switchesFor(n)+1)
			b.scale(s, c, n, true, false)
			if !b.plain {
				b.scale(s, c, n, true, true)
			}
			if b.full || n > perSwitch {
				b.scale(s, c, n, false, false)
			}
			if b.full && !b.plain {
				b.scale(s, c, n, false, true)
			}
		})
		if err != nil {
			s.Fatalf("%v", err)
		}
	}
}

// scale measures takeovers of n routers. played says who was active: the
// harness, or a daemon of the same kind.
func (b *bench) scale(s *stage, c *cluster, n int, played, realtime bool) {
	name, target := fmt.Sprintf("%d routers", n), figures.Target{Ratio: 0.6}
	if played {
		name += " at one moment"
	}
	if realtime {
		name, target = name+", vrrpd real-time", figures.Target{Ratio: 0.2}
	}
	if !strings.Contains(name, b.only) {
		return
	}
	const interval = 100 * time.Millisecond
	var p50, p95th, last, served, start, late, spread = pair{}, pair{}, pair{}, pair{}, pair{}, pair{}, pair{}
	for range b.fewer() {
		for _, k := range contenders {
			t := &takeover{c: c, kind: k, routers: n, interval: interval, played: played, others: true,
				variant: variant{realtime: realtime && k == vrrpd}}
			t.prepare()
			t.crash()
			o, ok := t.finish()
			if !ok || len(o.overhead) != n {
				s.Fatalf("%s took over %d of %d routers:\n%s", k.name, len(o.overhead), n, t.b.said())
			}
			p50.add(k, figures.Median(o.overhead))
			p95th.add(k, p95(o.overhead))
			last.add(k, figures.Max(o.overhead))
			served.add(k, figures.Max(o.served))
			start.add(k, o.start)
			late.add(k, figures.Max(o.late))
			spread.add(k, o.spread)
		}
	}
	b.sample("scale", name+": overhead of the last", "ms", last, "")
	b.row("scale", name+": overhead of the median", "ms", p50, figures.Median, figures.Target{})
	b.row("scale", name+": overhead of the p95", "ms", p95th, figures.Median, figures.Target{})
	b.row("scale", name+": overhead of the last", "ms", last, figures.Median, target)
	b.row("scale", name+": floor to the last announcement", "ms", served, figures.Median, figures.Target{})
	b.row("scale", name+": other routers' latest advert meanwhile", "ms late", late, figures.Median, figures.Target{Most: 5})
	if !played {
		b.row("scale", name+": adverts of the crashed host within", "ms", spread, figures.Median, figures.Target{})
		b.row("scale", name+": start, the last beyond the floor", "ms", start, figures.Median, target)
	}
}

// benchAddresses: one router with a thousand addresses.
func benchAddresses(b *bench, s *stage) {
	const addresses, interval = 1000, 100 * time.Millisecond
	c := newCluster(s, b.terms, 1)
	first, middle, last, late := pair{}, pair{}, pair{}, pair{}
	for range b.runs {
		for _, k := range contenders {
			t := &takeover{c: c, kind: k, routers: 1, interval: interval, extra: addresses - 1}
			t.prepare()
			t.crash()
			o, ok := t.finish()
			if !ok || len(o.announced) != addresses {
				s.Fatalf("%s announced %d of %d addresses:\n%s", k.name, len(o.announced), addresses, t.b.said())
			}
			first.add(k, figures.Quantile(o.announced, 0))
			middle.add(k, figures.Median(o.announced))
			last.add(k, figures.Max(o.announced))
			late.add(k, figures.Max(o.late))
		}
	}
	const name = "1,000 addresses, advert to "
	b.sample("addresses", name+"last announcement", "ms", last, "")
	b.row("addresses", name+"first announcement", "ms", first, figures.Median, figures.Target{})
	b.row("addresses", name+"median announcement", "ms", middle, figures.Median, figures.Target{Ratio: 0.35})
	b.row("addresses", name+"last announcement", "ms", last, figures.Median, figures.Target{Ratio: 0.8})
	b.row("addresses", "latest advert meanwhile", "ms late", late, figures.Max, figures.Target{Most: 5})
	b.leases(s, c)
}

// burstsOver is when a router that became active has announced its addresses
// for the second time, by default after 5 s.
const burstsOver = 7 * time.Second

// leases measures what it costs to renew the lifetimes of a thousand addresses,
// if this vrrpd can: the processor time of an active router with leases, less
// that of one without, at the same time.
func (b *bench) leases(s *stage, c *cluster) {
	off := b.leaseholder(c, "off")
	auto := b.leaseholder(newCluster(s, b.terms, 1), "auto")
	if refused := b.refused(s, c, auto.list(c.a), auto.variant); refused != "" {
		note("addresses: no leases: %s", refused)
		return
	}
	s.together(off.prepare, auto.prepare)
	time.Sleep(burstsOver) // else who started a little later pays for them in the window
	var with, without float64
	window := b.window(6*time.Second, time.Minute)
	s.together(
		func() { without = off.a.cpu(s, window) },
		func() { with = auto.a.cpu(s, window) },
	)
	for _, t := range []*takeover{off, auto} {
		t.c.reset(t.a, t.b)
	}
	cost := pair{}
	cost.add(vrrpd, with-without)
	b.row("addresses", "renewing the leases of 1,000", "% of a core", cost, figures.Median, figures.Target{Most: 0.5})
}

// leaseholder is a router with a thousand addresses and little else to do.
func (b *bench) leaseholder(c *cluster, lease string) *takeover {
	return &takeover{c: c, kind: vrrpd, routers: 1, interval: time.Second, extra: 999,
		variant: variant{instance: fmt.Sprintf("lease = %q\n", lease)}}
}
