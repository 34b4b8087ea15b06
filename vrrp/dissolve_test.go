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

// groupOf ties scripts together and has the first ones be active.
func groupOf(t *testing.T, active int, all ...*script) *groupScript {
	t.Helper()
	var routers []*Router
	var labels []string
	for i, s := range all {
		if i < active {
			s.becomeActive()
		}
		routers, labels = append(routers, s.r), append(labels, string(rune('a'+i)))
	}
	return &groupScript{all[0], NewGroup(routers, labels)}
}

// A router that is added to a group that is active joins it when it would have
// become active by itself. The others neither wait for it nor follow it.
func TestJoinsAnActiveGroup(t *testing.T) {
	join := func(t *testing.T) (*groupScript, *script) {
		fresh := newScript(t, holding)
		g := groupOf(t, 1, newScript(t, holding), fresh)
		if got, want := g.g.JoinWithin(), joinGrace+2*ActiveDownInterval(V3, 1, time.Second); got != want {
			t.Errorf("it joins within %s, not %s", got, want)
		}
		return g, fresh
	}
	t.Run("nobody else is active", func(t *testing.T) {
		g, fresh := join(t)
		g.step(1, Event{Kind: EventFault, Reasons: []string{"eth1 has no address yet"}}, "")
		g.step(1, Event{Kind: EventStartup}, "1:fault(fault)")
		if g.g.State() != Active || !fresh.r.Joining() {
			t.Errorf("the group is %s, joining %v", g.g.State(), fresh.r.Joining())
		}
		g.wait(time.Second)
		g.step(1, Event{Kind: EventFault}, "1:backup(fault_cleared) 1:timer(3609.375)")
		g.wait(3609375 * time.Microsecond)
		g.step(1, Event{Kind: EventTimer}, "1:stop 1:adv(100) 1:hold 1:announce 1:timer(1000.000) 1:active(timeout)")
		if fresh.r.Joining() || g.g.JoinWithin() != 0 {
			t.Error("it goes on joining")
		}
		// From now on what happens to one happens to all.
		g.step(1, Event{Kind: EventFault, Reasons: []string{"eth1 is gone"}, Silent: true}, "1:stop 1:release 1:fault(fault) 0:note(handing_over) 0:adv(0) 0:timer(1000.000)")
	})
	t.Run("the group yields meanwhile", func(t *testing.T) {
		g, fresh := join(t)
		g.step(1, Event{Kind: EventStartup}, "1:backup(startup) 1:timer(3609.375)")
		g.step(0, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 200, Interval: time.Second, At: g.now}},
			"0:adv(100) 0:timer(3609.375) 0:release 0:backup(higher_priority)")
		g.wait(3609375 * time.Microsecond)
		g.step(1, Event{Kind: EventTimer}, "1:stop") // it waits for the others now
		if fresh.r.Joining() || g.g.State() != Backup {
			t.Error("it joins what is not active")
		}
		g.step(0, Event{Kind: EventTimer}, "0:stop 0:adv(100) 0:hold 0:announce 0:timer(1000.000) 0:active(timeout) 1:adv(100) 1:hold 1:announce 1:timer(1000.000) 1:active(timeout)")
	})
	t.Run("the group is about to leave", func(t *testing.T) {
		g, _ := join(t)
		g.step(1, Event{Kind: EventStartup}, "1:backup(startup) 1:timer(3609.375)")
		g.wait(3609375 * time.Microsecond)
		g.step(0, Event{Kind: EventDemote, Demotion: Demoted}, "0:note(handing_over) 0:adv(0) 0:timer(1000.000)")
		g.step(1, Event{Kind: EventTimer}, "1:stop")
		g.step(0, Event{Kind: EventPromote}, "0:note(promoted) 0:timer(1000.000) 0:note(stays) 0:adv(100) 0:timer(1000.000) 1:adv(100) 1:hold 1:announce 1:timer(1000.000) 1:active(timeout)")
	})
	t.Run("it cannot join", func(t *testing.T) {
		g, fresh := join(t)
		g.step(1, Event{Kind: EventFault, Reasons: []string{"eth1 does not exist"}}, "")
		g.step(1, Event{Kind: EventStartup}, "1:fault(fault)")
		g.wait(g.g.JoinWithin())
		var moved bool
		for _, a := range g.g.Settle(g.now) {
			moved = moved || a.Member == 0
		}
		if !moved || fresh.r.Joining() || !g.r.HandingOver() {
			t.Error("the group goes on without it")
		}
	})
	t.Run("another one is active and better", func(t *testing.T) {
		g, fresh := join(t)
		g.step(1, Event{Kind: EventStartup}, "1:backup(startup) 1:timer(3609.375)")
		for range 20 {
			g.wait(time.Second)
			g.g.Step(g.now, 1, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 200, Interval: time.Second, At: g.now}})
			g.g.Step(g.now, 0, Event{Kind: EventTimer})
		}
		if fresh.r.State() != Backup || g.g.State() != Active || g.r.HandingOver() {
			t.Errorf("%s in a group that is %s", fresh.r.State(), g.g.State())
		}
		g.g.Settle(g.now)
		if !g.r.HandingOver() {
			t.Error("the group goes on without it")
		}
	})
}

// A group that is about to leave is none to join.
func TestJoinsNoGroupThatLeaves(t *testing.T) {
	first, fresh := newScript(t, holding), newScript(t, holding)
	first.becomeActive()
	first.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	if g := NewGroup([]*Router{first.r, fresh.r}, []string{"a", "b"}); fresh.r.Joining() || g.JoinWithin() != 0 {
		t.Error("joins")
	}
}
