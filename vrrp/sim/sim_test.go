package sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vrrpd/vrrp"
)

// expect fails with the timeline unless exactly the named nodes hold the
// addresses.
func expect(t *testing.T, n *Network, lan int, names ...string) {
	t.Helper()
	var got []string
	for _, h := range n.Holders(lan) {
		got = append(got, h.Name)
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Fatalf("at %s on lan %d: %v hold the addresses, want %v\n%s", n.Now(), lan, got, names, n.Timeline())
	}
}

// watch runs in small steps and returns when the holders of a LAN changed,
// failing if two ever hold it together for longer than allowed.
func watch(t *testing.T, n *Network, lan int, d, overlap time.Duration) {
	t.Helper()
	const tick = 50 * time.Microsecond
	both := time.Duration(0)
	for end := n.Now() + d; n.Now() < end; {
		n.Run(tick)
		if len(n.Holders(lan)) > 1 {
			both += tick
		} else {
			both = 0
		}
		if both > overlap {
			t.Fatalf("two hold the addresses for %s at %s\n%s", both, n.Now(), n.Timeline())
		}
	}
}

func TestCase64StartTogetherThenCrash(t *testing.T) {
	n := New()
	a, _ := n.AddNode("a", Router(100)), n.AddNode("b", Router(90))
	n.Run(3609 * time.Millisecond)
	expect(t, n, 0)
	n.Run(time.Millisecond)
	expect(t, n, 0, "a")
	watch(t, n, 0, 10*time.Second, 0)
	expect(t, n, 0, "a")
	last := 13609375 * time.Microsecond // a's beat: 3.609375 s and every second after it
	n.Run(last - n.Now() + time.Millisecond)
	n.Crash(a)
	down := vrrp.ActiveDownInterval(vrrp.V3, 90, time.Second)
	n.Run(last + down - n.Now() - time.Millisecond)
	expect(t, n, 0)
	n.Run(2 * time.Millisecond)
	expect(t, n, 0, "b")
}

func TestCase65PlannedStop(t *testing.T) {
	n := New()
	a, _ := n.AddNode("a", Router(100)), n.AddNode("b", Router(90))
	n.Run(5 * time.Second)
	expect(t, n, 0, "a")
	n.Stop(a)
	expect(t, n, 0)
	skew := vrrp.SkewTime(vrrp.V3, 90, time.Second)
	if skew != 648437500 {
		t.Fatalf("skew %s", skew)
	}
	n.Run(skew - time.Millisecond)
	expect(t, n, 0)
	n.Run(2 * time.Millisecond)
	expect(t, n, 0, "b")
}

func TestCase66PartitionHeals(t *testing.T) {
	n := New()
	a, b := n.AddNode("a", Router(100)), n.AddNode("b", Router(90))
	n.Run(5 * time.Second)
	n.Drop = func(_, _ *Node, _ int) bool { return true }
	n.Run(5 * time.Second)
	expect(t, n, 0, "a", "b")
	announced := a.Announced(0)
	n.Drop = nil
	n.Run(1100 * time.Millisecond)
	expect(t, n, 0, "a")
	if a.Announced(0) <= announced {
		t.Errorf("the winner did not announce again\n%s", n.Timeline())
	}
	if b.Router(0).State() != vrrp.Backup {
		t.Errorf("b is %s", b.Router(0).State())
	}
}

func TestCase67EqualPriorities(t *testing.T) {
	n := New()
	n.AddNode("a", Router(100))
	n.AddNode("b", Router(100))
	n.Run(3610 * time.Millisecond)
	expect(t, n, 0, "b") // the higher address
	watch(t, n, 0, 10*time.Second, 0)
	expect(t, n, 0, "b")
}

func TestCase68OneWayLoss(t *testing.T) {
	t.Run("the deaf one is worse: dual active, and it is said", func(t *testing.T) {
		n := New()
		a, b := n.AddNode("a", Router(100)), n.AddNode("b", Router(90))
		n.Drop = func(from, to *Node, _ int) bool { return from == a && to == b }
		n.Run(10 * time.Second)
		expect(t, n, 0, "a", "b")
		if !a.Router(0).DualActive() || !strings.Contains(n.Timeline(), "stays active beside us") {
			t.Fatalf("a did not notice\n%s", n.Timeline())
		}
		n.Drop = nil
		n.Run(10 * time.Second)
		expect(t, n, 0, "a")
		if a.Router(0).DualActive() {
			t.Errorf("still reported after the cure\n%s", n.Timeline())
		}
	})
	t.Run("the deaf one is better: one active", func(t *testing.T) {
		n := New()
		a, b := n.AddNode("a", Router(90)), n.AddNode("b", Router(100))
		n.Drop = func(from, to *Node, _ int) bool { return from == a && to == b }
		n.Run(10 * time.Second)
		expect(t, n, 0, "b")
	})
}

func TestCase69LostAdverts(t *testing.T) {
	n := New()
	n.AddNode("a", Router(100))
	b := n.AddNode("b", Router(90))
	n.Run(5 * time.Second)
	sent := 0
	n.Drop = func(from, _ *Node, _ int) bool {
		if from.Name != "a" {
			return false
		}
		sent++
		return sent%3 != 0 // two of three are lost
	}
	n.Run(time.Minute)
	if b.Router(0).State() != vrrp.Backup || strings.Contains(n.Timeline(), "b/0 backup -> active") {
		t.Fatalf("two of three lost made b take over\n%s", n.Timeline())
	}
	n.Drop = func(from, _ *Node, _ int) bool { return from.Name == "a" }
	n.Run(vrrp.ActiveDownInterval(vrrp.V3, 90, time.Second) + time.Second)
	n.Drop = nil
	n.Run(5 * time.Second)
	if c := strings.Count(n.Timeline(), "b/0 backup -> active"); c != 1 {
		t.Fatalf("%d failovers\n%s", c, n.Timeline())
	}
	expect(t, n, 0, "a")
}

func TestGroupMovesTogether(t *testing.T) {
	two := func(p uint8) []vrrp.Config { return []vrrp.Config{Router(p), Router(p)} }
	n := New()
	a := n.AddGroupNode("a", two(100)...)
	n.AddGroupNode("b", two(90)...)
	n.Run(5 * time.Second)
	expect(t, n, 0, "a")
	expect(t, n, 1, "a")

	n.Step(a, 1, vrrp.Event{Kind: vrrp.EventFault, Reasons: []string{"eth1: no carrier"}, Silent: true})
	if reasons := a.Router(0).Faults(); len(reasons) != 1 || reasons[0] != "group: lan1: eth1: no carrier" {
		t.Errorf("the other member's reasons: %q", reasons)
	}
	n.Run(4 * time.Second)
	expect(t, n, 0, "b")
	expect(t, n, 1, "b")

	n.Step(a, 1, vrrp.Event{Kind: vrrp.EventFault})
	n.Run(5 * time.Second)
	expect(t, n, 0, "a")
	expect(t, n, 1, "a")

	n.Crash(a)
	n.Run(4 * time.Second)
	expect(t, n, 0, "b")
	expect(t, n, 1, "b")
}

func TestGroupsWithCrossedTieBreaksSettle(t *testing.T) {
	// On LAN 0 the addresses favour b, on LAN 1 they favour a.
	n := New()
	a := n.AddGroupNode("a", Router(100), Router(100))
	n.AddGroupNode("b", Router(100), Router(100))
	n.SetSource(a, 1, netip.MustParseAddr("10.1.0.99"))
	n.Run(15 * time.Second)
	expect(t, n, 0, "b")
	expect(t, n, 1, "b")
	if c := strings.Count(n.Timeline(), "-> active"); c > 4 {
		t.Errorf("%d promotions until it settled\n%s", c, n.Timeline())
	}
}

func TestGroupBesideARouterThatIsNone(t *testing.T) {
	// The peer's routers stand alone and win the tie on LAN 1: the group
	// must yield there in the end, however its leader stands.
	n := New()
	n.AddGroupNode("a", Router(100), Router(100))
	n.AddNode("b", Router(90), Router(100))
	n.Run(20 * time.Second)
	expect(t, n, 1, "b")
}

func TestVersion2(t *testing.T) {
	v2 := func(p uint8) vrrp.Config { c := Router(p); c.Version = vrrp.V2; return c }
	n := New()
	a := n.AddNode("a", v2(100))
	n.AddNode("b", v2(90))
	n.Run(10 * time.Second)
	expect(t, n, 0, "a")
	n.Crash(a)
	n.Run(4 * time.Second)
	expect(t, n, 0, "b")
	n.Start(a)
	n.Run(5 * time.Second)
	expect(t, n, 0, "a")
}
