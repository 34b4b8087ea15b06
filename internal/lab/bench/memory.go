package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vrrpd/internal/lab/bench/figures"
)

// benchMemory: what an active router occupies, and how soon it is there.
func benchMemory(b *bench, s *stage) {
	counts := b.some([]int{1, 255, 2040}, []int{1, 255, 1020, 2040})
	rss, pss := map[int]pair{}, map[int]pair{}
	c := newCluster(s, b.terms, switchesFor(counts[len(counts)-1]))
	for _, n := range counts {
		rss[n], pss[n] = pair{}, pair{}
		for _, k := range contenders {
			mark := c.rec.Mark()
			d := c.start(k, c.a, routers(n, 100*time.Millisecond, activePriority), variant{})
			if !c.waitAdvertised(mark, c.a, n, startLimit) {
				s.Fatalf("%s did not become active:\n%s", k.name, d.said())
			}
			time.Sleep(time.Second) // announcements and the like
			d.trace()
			r, p := d.memory(s)
			rss[n].add(k, r)
			pss[n].add(k, p)
			c.reset(d)
		}
		target := figures.Target{}
		if n == 1 {
			target.Ratio = 1.25
		}
		b.row("memory", fmt.Sprintf("RSS, %d routers", n), "MiB", rss[n], figures.Median, target)
		b.row("memory", fmt.Sprintf("PSS, %d routers", n), "MiB", pss[n], figures.Median, figures.Target{})
	}
	each, most := pair{}, counts[len(counts)-1]
	for _, k := range contenders {
		each.add(k, (rss[most][k][0]-rss[1][k][0])*1024/float64(most-1))
	}
	b.row("memory", "RSS for each router added", "KiB", each, figures.Median, figures.Target{Most: 16})
	size := pair{}
	info, err := os.Stat(filepath.Join(b.terms.programs, "vrrpd"))
	if err != nil {
		s.Fatalf("%v", err)
	}
	size.add(vrrpd, float64(info.Size())/1e6)
	b.row("memory", "size of the program", "MB", size, figures.Median, figures.Target{Most: 20})
	b.ready(s, c)
}

// ready measures how soon after its start a daemon is ready.
func (b *bench) ready(s *stage, c *cluster) {
	took := pair{}
	for range b.runs {
		for _, k := range contenders {
			d := c.start(k, c.a, routers(255, 100*time.Millisecond, activePriority), variant{})
			took.add(k, figures.Milliseconds(int64(d.waitReady(s))))
			c.reset(d)
		}
	}
	b.row("memory", "from exec to ready, 255 routers", "ms", took, figures.Median, figures.Target{Most: 50})
}

// memory is the resident and the proportional set size of the process tree, in
// MiB (/proc/PID/smaps_rollup).
func (d *daemon) memory(s *stage) (rss, pss float64) {
	for _, pid := range d.pids {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			s.Fatalf("memory of %s: %v", d.kind.name, err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 2 {
				continue
			}
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				continue // the line with the range
			}
			switch fields[0] {
			case "Rss:":
				rss += kib / 1024
			case "Pss:":
				pss += kib / 1024
			}
		}
		f.Close()
	}
	return rss, pss
}
