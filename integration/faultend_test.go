package integration

import (
	"os"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// Unclean ends: whatever way a daemon ends, its addresses must not stay behind
// to answer beside those of its successor.

// TestFaultKill kills the active daemon and does not start it again. The peer
// takes over when the protocol says so, and what was left behind ends with its
// lease. keepalived leaves it behind for ever; it is there to be measured.
func TestFaultKill(t *testing.T) {
	t.Parallel()
	const interval = 100 * time.Millisecond
	duos := duosOf(t, interval, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"vrrpd", "keepalived"},
		[2]string{"keepalived", "vrrpd"}, [2]string{"keepalived", "keepalived"})
	killed := map[*duo]time.Time{}
	for _, p := range duos {
		killed[p] = time.Now()
		p.a.proc().Kill()
	}
	for _, p := range duos {
		took := p.answered(p.b, killed[p], 20*time.Second)
		t.Logf("%s: b answered %v after a was killed", p.name, took.Round(time.Millisecond))
		if took > p.down()+patience || took < p.down()-interval-20*time.Millisecond {
			t.Errorf("%s: took over after %v; the down interval is %v", p.name, took, p.down())
		}
	}
	for _, p := range duos {
		if p.a.vrrpd == nil {
			continue
		}
		p.oneOwner(p.b, leaseAuto(interval)+10*time.Second)
		last := p.lastAnswer(p.a, killed[p])
		t.Logf("%s: a answered until %v after it was killed", p.name, last.Round(time.Millisecond))
		if last > leaseAuto(interval)+patience {
			t.Errorf("%s: a answered for %v after its end, the lease is %v", p.name, last, leaseAuto(interval))
		}
		if p.a.host.Has(vip) {
			t.Errorf("%s: a still has the address", p.name)
		}
	}
	for _, p := range duos {
		p.tell("SIGKILL, not restarted", killed[p])
	}
}

// TestFaultKillRelease: case 72 of the conformance list. After a kill
// `vrrpd release` hands over: the peer takes over at once instead of after its
// down interval, no request is lost, and nothing is left behind.
func TestFaultKillRelease(t *testing.T) {
	t.Parallel()
	const interval = time.Second
	duos := duosOf(t, interval, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"vrrpd", "keepalived"})
	release := func(n *node) (string, error) { return n.host.Try(program(t, "vrrpd"), "-c", n.file, "release") }
	for _, p := range duos {
		n := p.a.vrrpd
		killed := time.Now()
		p.a.kill()
		if out, err := release(n); err != nil {
			t.Fatalf("%s: release: %v\n%s", p.name, err, out)
		}
		if n.host.Has(vip) {
			t.Errorf("%s: the address is there after the release", p.name)
		}
		p.oneOwner(p.b, 10*time.Second)
		// Skew_Time after the news, instead of the down interval after the last advertisement.
		if took := p.answered(p.b, killed, time.Second); took > p.down()-interval {
			t.Errorf("%s: b answered after %v: it was not told", p.name, took)
		}
		p.unnoticed("kill and release", killed)
		p.tell("SIGKILL and release", killed)
		if two := p.who.Since(killed).TwoOwners(); two > patience {
			t.Errorf("%s: two owners for %v", p.name, two)
		}
		if out, err := release(n); err != nil {
			t.Errorf("%s: a second release has nothing to do, and says %v\n%s", p.name, err, out)
		}
		n.start()
		if _, err := release(n); err == nil {
			t.Errorf("%s: release beside a running daemon", p.name)
		}
	}
	for _, p := range duos {
		p.oneOwner(p.a, 20*time.Second)
	}
}

// TestFaultKillRestart kills the active daemon and starts it again within three
// intervals: it goes on, and nobody notices, the peer included.
func TestFaultKillRestart(t *testing.T) {
	t.Parallel()
	duos := duosOf(t, time.Second, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"vrrpd", "keepalived"})
	before, began := map[*duo]int{}, time.Now()
	for _, p := range duos {
		before[p] = p.b.moves()
		for range 3 {
			p.a.kill()
			killed := time.Now()
			p.a.start()
			lab.Until(t, 10*time.Second, "a to be active", func() bool { return p.a.vrrpd.instance("web").State == "active" })
			t.Logf("%s: active again %v after the kill", p.name, time.Since(killed).Round(time.Millisecond))
			if i := p.a.vrrpd.instance("web"); i.Transitions > 1 {
				t.Errorf("%s: %d transitions to come back\n%s", p.name, i.Transitions, p.a.vrrpd.must("events"))
			}
		}
	}
	time.Sleep(duos[0].down() + 500*time.Millisecond) // a backup that was not told acts by then
	for _, p := range duos {
		if now := p.b.moves(); now != before[p] {
			t.Errorf("%s: the peer took over %d times", p.name, now-before[p])
		}
		p.unnoticed("kill and restart", began)
		if r := p.who.Since(began); len(r.Conflicts) > 0 || len(r.Owners) != 1 {
			t.Errorf("%s: %s", p.name, r)
		}
		p.tell("SIGKILL and restart, three times", began)
	}
}

// TestFaultKillRestartLate starts a killed daemon when its peer serves and its
// lease has not run out: what it left is removed before anything else. Its
// addresses are off by then, and it does not preempt.
func TestFaultKillRestartLate(t *testing.T) {
	t.Parallel()
	const interval = 100 * time.Millisecond
	p := newDuo(t, "vrrpd", "vrrpd", interval, "lease = \"60s\"\npreempt_delay = \"10m\"\n").begin()
	n := p.a.vrrpd
	lab.Until(t, 5*time.Second, "the state file", func() bool { _, err := os.Stat(n.socket + ".state"); return err == nil })
	killed := time.Now()
	n.proc.Kill()
	p.answered(p.b, killed, 20*time.Second)
	if !n.host.Has(vip) {
		t.Fatal("nothing was left behind: the test shows nothing")
	}
	sniff := p.sw.Sniff()
	started := time.Now()
	n.start()
	if n.host.Has(vip) {
		t.Error("the daemon answers, and what the last one left is still there")
	}
	p.oneOwner(p.b, 10*time.Second)
	t.Logf("two owners until %v after the start", p.lastAnswer(p.a, started).Round(time.Millisecond))
	for _, a := range sniff.Adverts() {
		if a.From == n.host.Addr(false) {
			t.Errorf("it advertised: %+v", a)
		}
	}
	p.tell("SIGKILL and restart after the takeover", killed)
	p.unnoticed("the end of what was left", started)
}

// TestFaultKillAfterOrder kills a daemon the moment it has answered an order
// that is to outlive it.
func TestFaultKillAfterOrder(t *testing.T) {
	t.Parallel()
	p := newDuo(t, "vrrpd", "vrrpd", 100*time.Millisecond, "").begin()
	b := p.b.vrrpd
	for range 3 {
		for _, c := range []struct {
			order   []string
			demoted bool
		}{{[]string{"demote", "--persist", "web"}, true}, {[]string{"promote", "web"}, false}} {
			b.must(c.order...)
			p.b.kill()
			p.b.start()
			if got := b.instance("web").Demoted; got != c.demoted {
				t.Errorf("%v, SIGKILL and a start: demoted %v", c.order, got)
			}
		}
	}
	p.oneOwner(p.a, 10*time.Second)
}

// TestFaultFreeze stops the active daemon for 10 seconds and lets it go on. Two
// own the address for the lease at most; when it goes on, the two settle.
func TestFaultFreeze(t *testing.T) {
	t.Parallel()
	const interval, length = 100 * time.Millisecond, 10 * time.Second
	duos := duosOf(t, interval, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"vrrpd", "keepalived"}, [2]string{"keepalived", "vrrpd"})
	frozen := map[*duo]time.Time{}
	for _, p := range duos {
		frozen[p] = time.Now()
		p.a.proc().Stop()
	}
	for _, p := range duos {
		if took := p.answered(p.b, frozen[p], 20*time.Second); took > p.down()+patience {
			t.Errorf("%s: took over after %v", p.name, took)
		}
		if p.a.vrrpd == nil {
			continue
		}
		p.oneOwner(p.b, leaseAuto(interval)+10*time.Second)
		if last := p.lastAnswer(p.a, frozen[p]); last > leaseAuto(interval)+patience {
			t.Errorf("%s: a answered for %v while it was frozen, the lease is %v", p.name, last, leaseAuto(interval))
		}
	}
	for _, p := range duos {
		time.Sleep(time.Until(frozen[p].Add(length)))
		p.tell("SIGSTOP for 10 s", frozen[p])
	}
	for _, p := range duos {
		went := time.Now()
		p.a.proc().Cont()
		p.oneOwner(p.a, 10*time.Second)
		p.tell("and SIGCONT", went)
		if two := p.who.Since(went).TwoOwners(); two > patience {
			t.Errorf("%s: two owners for %v after it went on", p.name, two)
		}
	}
}

// TestFaultShortFreeze stops an active daemon for little longer than it takes the
// other to take over. However short that was, it follows the other one first, and
// preempts a down interval after it woke: clients have one gap, not two.
func TestFaultShortFreeze(t *testing.T) {
	t.Parallel()
	const interval = 100 * time.Millisecond
	_, _, a, b, _ := twoNodes(t, interval, "")
	b.start()
	b.waitState("web", "active", 20*time.Second)
	a.start() // and has heard b before
	a.waitState("web", "active", 20*time.Second)
	b.waitState("web", "backup", 20*time.Second)
	time.Sleep(time.Second) // it plans its advertisements by now
	a.status()              // and has just begun to wait
	a.proc.Stop()
	b.waitState("web", "active", 20*time.Second)
	time.Sleep(2 * interval)
	woke := time.Now()
	a.proc.Cont()
	lab.Until(t, 20*time.Second, "a to be active again", func() bool {
		for _, e := range a.events() {
			if e.Time.After(woke) && e.Kind == "transition" && e.To == "active" {
				if away := e.Time.Sub(woke); away < 2*interval {
					t.Errorf("a took over again %v after it woke\n%s", away, a.must("events"))
				}
				return true
			}
		}
		return false
	})
}

// TestFaultFreezeWithoutCarrier stops an active daemon that has just lost its
// carrier for longer than it would ride that out, and gives the carrier back
// meanwhile. On waking it goes by what is true then: nobody has taken over, so
// it never ceases to be active.
func TestFaultFreezeWithoutCarrier(t *testing.T) {
	t.Parallel()
	_, sw, a, _, _ := twoNodes(t, time.Second, "")
	a.start()
	a.waitState("web", "active", 20*time.Second)
	since := a.instance("web").Since
	sw.Cut(a.host)
	lab.Until(t, 2*time.Second, "a to miss its carrier", func() bool { return len(a.instance("web").Conditions) > 0 })
	a.proc.Stop()
	time.Sleep(4 * time.Second) // the last advertisement is more than three intervals ago
	sw.Heal(a.host)
	time.Sleep(100 * time.Millisecond) // the kernel has noticed
	a.proc.Cont()
	sent := a.instance("web").Adverts.Sent
	lab.Until(t, 10*time.Second, "more advertisements", func() bool { return a.instance("web").Adverts.Sent >= sent+2 })
	if i := a.instance("web"); i.State != "active" || !i.Since.Equal(since) {
		t.Errorf("a is %s since %s, was active since %s\n%s", i.State, i.Since, since, a.must("events"))
	}
}
