package integration

import (
	"strings"
	"testing"
	"time"
)

// TestBondLinks loses links in every way: the active one, the other one, both,
// and the switch behind those of both nodes.
func TestBondLinks(t *testing.T) {
	inGuest(t,
		bondPart{"Case82NoWeight", bondNoWeight},
		bondPart{"Case82Weighted", bondWeighted})
}

// bondNoWeight: without a [bond.NAME] table the loss of one link is the
// bond's own business, and the loss of all is a fault by name.
func bondNoWeight(t *testing.T) {
	r := newBondRig(t)
	r.pair(quietBond, "")
	a, b := r.a.host, r.b.host

	r.unmoved(r.scenario("active link of the active node down", func() {
		cut := time.Now()
		r.cut(a, "eth0")
		r.waitLink(a, "eth1")
		r.waitAnnounced(vip, macOf(a, "bond0"), cut)
		time.Sleep(bondQuiet)
		if bond := r.a.status().Bonds[0]; bond.Health != "degraded" || bond.ActiveLink != "eth1" || !strings.HasPrefix(bond.Reasons[0], "eth0: ") {
			t.Errorf("bond of a: %+v", bond)
		}
	}))
	r.heal(a, "eth0")
	r.waitHealth(r.a, "healthy")

	r.unmoved(r.scenario("other link of the active node down", func() {
		r.cut(a, "eth0") // eth1 is the active one now
		r.waitHealth(r.a, "degraded")
		time.Sleep(bondQuiet)
		r.heal(a, "eth0")
		r.waitHealth(r.a, "healthy")
	}))

	r.unmoved(r.scenario("Case84 active link of the backup node down", func() {
		r.cut(b, "eth0")
		r.waitLink(b, "eth1")
		before := r.b.instance("web").Adverts.Received
		r.wait("advertisements over the other link", func() bool { return r.b.instance("web").Adverts.Received >= before+5 })
		r.heal(b, "eth0")
	}))

	r.unmoved(r.scenario("active link flapping 10 times", func() {
		flap(r, 10, 300*time.Millisecond)
		time.Sleep(bondQuiet)
	}))

	moved := r.scenario("both links of the active node down", func() {
		r.cut(a, "eth0")
		r.cut(a, "eth1")
		r.waitState(r.a, "fault")
		if !hasReason(r.a, "web", "bond bond0: no usable link") {
			t.Errorf("reasons %q", r.a.instance("web").Reasons)
		}
		r.waitState(r.b, "active")
		r.wait("a to release the address", func() bool { return !a.Has(vip) })
	})
	if moved["a"] != 1 || moved["b"] != 1 {
		t.Errorf("transitions %v, want one each", moved)
	}
	r.scenario("both links of the former active node back", func() {
		r.heal(a, "eth0")
		r.heal(a, "eth1")
		r.settled()
	})
}

// flap cuts and heals whichever link of a is the active one.
func flap(r *bondRig, times int, half time.Duration) {
	r.t.Helper()
	for range times {
		link := activeLink(r.a.host)
		r.cut(r.a.host, link)
		time.Sleep(half)
		r.heal(r.a.host, link)
		time.Sleep(half)
	}
}

const weightedTable = "[bond.bond0]\nmode = \"active-backup\"\ndegraded_weight = -60\ndegraded_after = \"1s\"\nhealthy_after = \"1s\"\n"

// bondWeighted: with degraded_weight the node with the full redundancy serves,
// and what degrades both moves nothing.
func bondWeighted(t *testing.T) {
	r := newBondRig(t)
	r.pair(quietBond, weightedTable)
	a := r.a.host

	r.unmoved(r.scenario("dead switch", func() {
		r.cut(r.a.host, "eth0")
		r.cut(r.b.host, "eth0")
		r.wait("both priorities to follow", func() bool {
			return r.a.instance("web").Priority.Effective == 90 && r.b.instance("web").Priority.Effective == 40
		})
		time.Sleep(bondQuiet)
		r.heal(r.a.host, "eth0")
		r.heal(r.b.host, "eth0")
		r.waitHealth(r.a, "healthy")
		r.waitHealth(r.b, "healthy")
		time.Sleep(bondQuiet)
	}))

	down := activeLink(a)
	moved := r.scenario("degraded node yields", func() {
		r.cut(a, down)
		r.waitState(r.b, "active")
		r.waitState(r.a, "backup")
		i := r.a.instance("web")
		if i.Priority.Effective != 90 || len(i.Priority.Parts) != 1 || i.Priority.Parts[0].Source != "bond:bond0" {
			t.Errorf("priority of a: %+v", i.Priority)
		}
	})
	if moved["a"] != 1 || moved["b"] != 1 {
		t.Errorf("transitions %v, want one each", moved)
	}
	moved = r.scenario("healthy again, takes back", func() {
		r.heal(a, down)
		r.settled()
	})
	if moved["a"] != 1 || moved["b"] != 1 {
		t.Errorf("transitions %v, want one each", moved)
	}

	moved = r.scenario("active link flapping 10 times, weighted", func() {
		flap(r, 10, 400*time.Millisecond)
		r.waitHealth(r.a, "healthy")
		r.settled()
	})
	if moved["a"] > 2 || moved["b"] > 2 {
		t.Errorf("flapping made the transitions %v", moved)
	}

	slowReturn(r)
}

// slowReturn: a link that updelay holds back is not counted on.
func slowReturn(r *bondRig) {
	t, a := r.t, r.a.host
	t.Helper()
	a.Run("ip", "link", "set", "bond0", "type", "bond", "updelay", "3000")
	down := activeLink(a)
	r.cut(a, down)
	r.waitState(r.b, "active")
	moved := r.scenario("slow return (updelay 3 s)", func() {
		r.heal(a, down)
		r.wait("the link to be held back", func() bool {
			_, why := r.health(r.a, "bond0")
			return strings.Contains(why, "updelay")
		})
		if i := r.a.instance("web"); i.State != "backup" || i.Priority.Effective != 90 {
			t.Errorf("while the link is held back a is %s with priority %d", i.State, i.Priority.Effective)
		}
		r.settled()
		if health, why := r.health(r.a, "bond0"); health != "healthy" {
			t.Errorf("a took back over a bond that is %s: %s", health, why)
		}
	})
	if moved["a"] != 1 || moved["b"] != 1 {
		t.Errorf("transitions %v, want one each", moved)
	}
}
