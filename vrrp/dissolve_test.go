package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// A dissolved group leaves its members as they are; only a member that is told
// that it is alone follows its own faults, and becomes active if it waited for
// nothing but the others.
func TestDissolvedGroup(t *testing.T) {
	first, second := newScript(t), newScript(t, func(c *Config) { c.VRID = 52 })
	g := NewGroup([]*Router{first.r, second.r}, []string{"first", "second"})
	now := first.now
	g.Step(now, 0, Event{Kind: EventStartup})
	g.Step(now, 1, Event{Kind: EventStartup})
	g.Step(now, 1, Event{Kind: EventHold, Reasons: []string{"a check has no verdict yet"}})
	now = now.Add(4 * time.Second)
	g.Step(now, 0, Event{Kind: EventTimer})
	if first.r.State() != Backup || !first.r.Ready() {
		t.Fatalf("the first member is %s, not a backup that waits for the second", first.r.State())
	}

	g.Dissolve()
	first.now, second.now = now, now
	first.state(Backup)
	t.Run("joined to another group, it goes on waiting", func(t *testing.T) {
		again := NewGroup([]*Router{first.r, second.r}, []string{"first", "second"})
		if got := again.Step(now, 0, Event{Kind: EventPriority, Priority: 100}); len(got) != 0 {
			t.Errorf("got %d actions: %+v", len(got), got)
		}
		again.Dissolve()
	})
	first.step(Event{Kind: EventAlone}, "adv(100) hold announce timer(1000.000) active(timeout)")
	second.step(Event{Kind: EventAlone}, "")
}

func TestAloneForgetsTheFaultsOfOthers(t *testing.T) {
	first, second := newScript(t), newScript(t, func(c *Config) { c.VRID = 52 })
	g := NewGroup([]*Router{first.r, second.r}, []string{"first", "second"})
	g.Step(first.now, 0, Event{Kind: EventStartup})
	g.Step(first.now, 1, Event{Kind: EventStartup})
	g.Step(first.now, 1, Event{Kind: EventFault, Reasons: []string{"eth1 is down"}})
	first.state(Fault)
	g.Dissolve()
	first.state(Fault)
	first.step(Event{Kind: EventAlone}, "backup(fault_cleared) timer(3609.375)")
	second.step(Event{Kind: EventAlone}, "")
	second.state(Fault)
	first.hear(peer, 200, "timer(3609.375)")
	if got, want := first.r.ActiveRouter().Address, netip.MustParseAddr(peer); got != want {
		t.Errorf("the active router is %s, not %s", got, want)
	}
}
