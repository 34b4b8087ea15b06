package integration

import (
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestFaultClock: case 71 of the conformance list. The wall clock is set an hour
// forward and two hours back, in a guest: no timer of the election, no demotion
// and no lease notices.
func TestFaultClock(t *testing.T) {
	t.Parallel()
	if !lab.InUML(t, "bridge", "veth", "af_packet") {
		return
	}
	_, _, a, b, _ := twoNodes(t, time.Second, "")
	a.start()
	a.waitState("web", "active", 20*time.Second)
	b.start()
	b.waitState("web", "backup", 20*time.Second)
	for _, by := range []time.Duration{time.Hour, -2 * time.Hour} {
		moves := []uint64{a.instance("web").Transitions, b.instance("web").Transitions}
		before := time.Now()
		lab.StepClock(t, by)
		if jumped := time.Now().Round(0).Sub(before.Round(0)); jumped < by-time.Minute || jumped > by+time.Minute {
			t.Fatalf("the clock went by %v instead of %v: the test shows nothing", jumped, by)
		}
		sent := a.instance("web").Adverts.Sent
		// Longer than a lease and than any timer of the two.
		lab.Until(t, 30*time.Second, "more advertisements", func() bool { return a.instance("web").Adverts.Sent >= sent+6 })
		for i, n := range []*node{a, b} {
			inst := n.instance("web")
			if inst.Transitions != moves[i] || inst.State != []string{"active", "backup"}[i] {
				t.Errorf("the clock set by %v: %s is %s after %d transitions, had %d\n%s",
					by, n.host.Name, inst.State, inst.Transitions, moves[i], n.must("events"))
			}
		}
		if !a.host.Has("192.0.2.100") {
			t.Errorf("the clock set by %v: the address is gone", by)
		}
	}

	a.must("demote", "--for", "10m", "web")
	lab.StepClock(t, time.Hour)
	sent := b.instance("web").Adverts.Sent
	lab.Until(t, 20*time.Second, "advertisements of b", func() bool { return b.instance("web").Adverts.Sent >= sent+2 })
	if i := a.instance("web"); !i.Demoted || i.State != "backup" {
		t.Errorf("ten minutes ended when the clock was set: demoted %v, %s", i.Demoted, i.State)
	}
	a.must("promote", "web")
	a.waitState("web", "active", 20*time.Second)

	a.proc.Kill()
	lab.StepClock(t, -time.Hour)
	b.waitState("web", "active", 20*time.Second)
	a.start()
	a.waitState("web", "active", 20*time.Second)
	b.waitState("web", "backup", 20*time.Second)
}
