package daemon

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/vrrp"
)

// backups is the configuration of as many instances of one interval.
func backups(count int, interval time.Duration) string {
	var toml strings.Builder
	for i := 1; i <= count; i++ {
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface = \"eth0\"\nvrid = %d\naddresses = [\"192.0.2.%d/24\"]\nadvert_interval = \"%s\"\n",
			i, i, 50+i, interval)
	}
	return toml.String()
}

// hearAll has the active routers of instances first to last advertise.
func (s *script) hearAll(first, last int, interval time.Duration) {
	for i := first; i <= last; i++ {
		s.hear(advert{from: peer, vrid: uint8(i), priority: 200, interval: interval, vips: addrs(fmt.Sprintf("192.0.2.%d", 50+i))})
	}
	s.forget()
}

// Garbage is collected once it is seen that the active routers of a crowd are
// gone, once, and never as long as they are heard.
func TestCollectsBeforeACrowdTakesOver(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		s := started(t, backups(crowdFrom, interval))
		s.hearAll(1, crowdFrom, interval)
		for range 30 {
			s.hearAll(1, crowdFrom, interval)
			for range 10 {
				s.wait(interval / 10)
				s.e.collectDue(s.now)
			}
			s.got("")
		}
		s.hearAll(1, crowdFrom, interval)
		takeover, _, _ := s.e.next()
		at, ok := s.e.collectAt()
		if ahead := takeover.Sub(at); !ok || ahead != min(interval*3/2, collectEarly) {
			t.Errorf("every %s: %s before the takeover", interval, ahead)
		}
		s.now = at - 1
		s.e.collectDue(s.now)
		s.got("")
		s.wait(1)
		s.e.collectDue(s.now)
		s.got("collect")
		if _, ok := s.e.collectAt(); ok {
			t.Errorf("every %s: not once", interval)
		}
	}
}

// One that is silent, or few, are none of the collector's business, and are not
// counted again and again.
func TestCollectsForACrowdAlone(t *testing.T) {
	const interval = 100 * time.Millisecond
	s := started(t, backups(crowdFrom-1, interval))
	if _, ok := s.e.collectAt(); ok {
		t.Error("few")
	}
	s = started(t, backups(2*crowdFrom, interval))
	s.hearAll(1, 2*crowdFrom, interval)
	for range 2 {
		s.wait(interval)
		s.hearAll(crowdFrom, 2*crowdFrom, interval) // one fewer than a crowd is silent
	}
	at, ok := s.e.collectAt()
	if !ok {
		t.Fatal("not at all")
	}
	s.now = at
	s.e.collectDue(s.now)
	s.got("")
	if again, ok := s.e.collectAt(); ok && again <= at {
		t.Error("counted again")
	}
	// An active router is no backup.
	s = started(t, backups(crowdFrom, interval))
	for s.e.timers.first().router.State() == vrrp.Backup {
		s.fire()
	}
	if _, ok := s.e.collectAt(); ok {
		t.Error("for active routers")
	}
}

// A few that are about to take over, of a shorter interval or not, do not keep it
// from a crowd that is next.
func TestFewDoNotHideACrowd(t *testing.T) {
	few := strings.NewReplacer("[instance.i", "[instance.few", "100ms", "10ms", `"eth0"`, `"eth1"`).Replace(backups(3, 100*time.Millisecond))
	s := started(t, backups(crowdFrom, 100*time.Millisecond)+few)
	s.hearAll(1, crowdFrom, 100*time.Millisecond)
	collected := false
	for start := s.now; s.now.Sub(start) < time.Second && !collected; s.wait(time.Millisecond) {
		s.do(func() { s.e.expire(s.now, true) })
		for _, inst := range s.e.instances[crowdFrom:] {
			if inst.router.State() == vrrp.Active {
				s.e.timers.stop(inst) // as if it were planned
			}
		}
		s.e.collectDue(s.now)
		collected = slices.Contains(s.lines, "collect")
	}
	for _, inst := range s.e.instances {
		if active, few := inst.router.State() == vrrp.Active, strings.HasPrefix(inst.cfg.Name, "few"); active != few {
			t.Errorf("%s is %s", inst.cfg.Name, inst.router.State())
		}
	}
	if !collected {
		t.Error("nothing was collected")
	}
}

// Who leaves on purpose leaves no time: a collection would only be in the way.
func TestCollectsNotWhenItIsLate(t *testing.T) {
	s := started(t, backups(crowdFrom, 100*time.Millisecond))
	s.hearAll(1, crowdFrom, 100*time.Millisecond)
	at, _, _ := s.e.next()
	s.now = at.Add(-collectTakes + 1)
	for range 3 {
		s.e.collectDue(s.now)
		s.got("")
		s.wait(collectTakes / 4)
	}
}

// The loop wakes up for it.
func TestLoopCollectsInTime(t *testing.T) {
	for range 5 { // a machine may stand still just then
		s, l := newTestLoop(t)
		s.reload(backups(crowdFrom, 100*time.Millisecond))
		s.forget()
		turns(s, l, "garbage is collected", func() bool { return slices.Contains(s.lines, "collect") })
		if !slices.ContainsFunc(s.e.instances, func(inst *instance) bool { return inst.router.State() != vrrp.Backup }) {
			return
		}
	}
	t.Error("only when somebody had taken over")
}

// Afterwards the collector is as it was, or as somebody else wants it.
func TestCollectorIsLeftAsItWas(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for _, c := range []struct{ before, meanwhile, after int }{{150, 0, 150}, {-1, 0, -1}, {200, 80, 80}} {
		synctest.Test(t, func(t *testing.T) {
			debug.SetGCPercent(c.before)
			go collectAhead()
			synctest.Wait()
			if room := debug.SetGCPercent(c.before * roomier); room != max(c.before*roomier, -1) {
				t.Errorf("%d: %d meanwhile", c.before, room)
			}
			if c.meanwhile != 0 {
				debug.SetGCPercent(c.meanwhile)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if got := debug.SetGCPercent(100); got != c.after {
				t.Errorf("%d: %d afterwards, want %d", c.before, got, c.after)
			}
		})
	}
}
