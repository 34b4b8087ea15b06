package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"vrrpd/internal/lab/bench/figures"
)

// scrapeEvery is how often everything that can be asked for is asked for:
// 150 times as often as Prometheus does.
const scrapeEvery = 100 * time.Millisecond

// scraped is where vrrpd serves it, on the host's own loopback.
const scraped = "127.0.0.1:9112"

// benchScrape: what the metrics, the status page and the garbage they leave to
// the collector do to the advertisements of an active host.
func benchScrape(b *bench, s *stage) {
	for _, n := range b.some([]int{255}, []int{255, 2040}) {
		err := perform(fmt.Sprintf("scrapes with %d routers", n), func(s *stage) { b.scrape(s, n) })
		if err != nil {
			s.Fatalf("%v", err)
		}
	}
}

func (b *bench) scrape(s *stage, routers int) {
	const interval = 100 * time.Millisecond
	c := newCluster(s, b.terms, switchesFor(routers))
	t := &takeover{c: c, kind: vrrpd, routers: routers, interval: interval,
		variant: variant{realtime: !b.plain, global: fmt.Sprintf("[http]\nlisten = %q\n", scraped)}}
	t.prepare()
	window := b.window(5*time.Second, time.Minute)
	name := fmt.Sprintf("%d × %s", routers, short(interval))
	watch := func(how string) []float64 {
		wakes := b.wakes(c, window)
		mark, began := c.rec.Mark(), time.Now()
		time.Sleep(window)
		ended := time.Now()
		c.rec.Settle()
		gaps, _ := t.intervals(c.rec.Since(mark), began, ended)
		wakes.report(b, s, "scrape", name+", "+how)
		return gaps
	}
	alone := watch("alone")
	before, began := t.a.runtime(s), time.Now()
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (conn net.Conn, err error) {
		err = c.a.Do(func() error {
			conn, err = net.Dial("tcp", scraped)
			return err
		})
		return conn, err
	}}}
	stop, done := make(chan struct{}), make(chan error, 1)
	answers := 0
	go func() {
		done <- func() error {
			for tick := time.NewTicker(scrapeEvery); ; {
				for _, path := range []string{"/metrics", "/", "/api/v1/status"} {
					if err := fetch(client, path); err != nil {
						return err
					}
					answers++
				}
				select {
				case <-stop:
					tick.Stop()
					return nil
				case <-tick.C:
				}
			}
		}()
	}()
	gaps := watch("while scraped")
	close(stop)
	if err := <-done; err != nil {
		s.Fatalf("scrape: %v\n%s", err, t.a.said())
	}
	took := time.Since(began)
	used := share(t.a.runtime(s)-before, took)
	c.reset(t.a, t.b)
	one := func(measure, unit string, v float64, target figures.Target) {
		p := pair{}
		p.add(vrrpd, v)
		b.row("scrape", name+measure, unit, p, figures.Median, target)
	}
	one(": interval alone, p99.9", "ms", figures.Quantile(alone, 0.999), figures.Target{})
	one(": interval while scraped, p99.9", "ms", figures.Quantile(gaps, 0.999), figures.Target{Most: 105})
	one(": interval alone, longest", "ms", figures.Max(alone), figures.Target{})
	one(": interval while scraped, longest", "ms", figures.Max(gaps), figures.Target{})
	one(": answers a second", "", float64(answers)/took.Seconds(), figures.Target{})
	one(": active, scraped, % of a core", "", used, figures.Target{})
}

// fetch asks for a page and reads all of it.
func fetch(client *http.Client, path string) error {
	answer, err := client.Get("http://" + scraped + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	return nil
}
