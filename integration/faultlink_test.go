package integration

import (
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestFaultCut pulls the active node's cable and plugs it in again: the peer
// takes over when the protocol says so, and each way there is one owner.
func TestFaultCut(t *testing.T) {
	t.Parallel()
	var duos []*duo
	for _, kinds := range [][2]string{{"vrrpd", "vrrpd"}, {"vrrpd", "keepalived"}, {"keepalived", "vrrpd"}} {
		duos = append(duos, newDuo(t, kinds[0], kinds[1], 100*time.Millisecond, "").begin())
	}
	for _, p := range duos {
		cut := time.Now()
		p.sw.Cut(p.a.host)
		if took := p.answered(p.b, cut, 20*time.Second); took > p.down()+patience {
			t.Errorf("%s: b answered after %v", p.name, took)
		}
		p.a.host.WaitHasNot(vip, 10*time.Second)
		p.oneOwner(p.b, 10*time.Second)
		p.tell("link cut", cut)
		healed := time.Now()
		p.sw.Heal(p.a.host)
		p.oneOwner(p.a, 10*time.Second)
		p.tell("link healed", healed)
		if two := p.who.Since(cut).TwoOwners(); two > time.Second {
			t.Errorf("%s: two owners for %v", p.name, two)
		}
	}
}

// TestFaultOneWay: case 68 of the conformance list. Frames are lost in one
// direction between the two, and nowhere else.
func TestFaultOneWay(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"vrrpd", "keepalived"} {
		p := newDuo(t, "vrrpd", kind, 100*time.Millisecond, "").begin()
		a := p.a.vrrpd

		// The active node deaf to its backup: it has nothing to hear.
		began := time.Now()
		moves := a.instance("web").Transitions
		p.sw.Block(p.b.host, p.a.host)
		time.Sleep(2 * p.down())
		p.unnoticed("an active node that hears nothing", began)
		if i := a.instance("web"); i.Transitions != moves || i.DualActive {
			t.Errorf("%s: %+v", p.name, i)
		}
		p.sw.Unblock()

		// The backup deaf: it takes over, and the better one, which hears it,
		// stays and says so. Nothing can be done about the two but to tell.
		cut := time.Now()
		p.sw.Block(p.a.host, p.b.host)
		if took := p.answered(p.b, cut, 20*time.Second); took > p.down()+patience {
			t.Errorf("%s: the deaf backup took over after %v", p.name, took)
		}
		lab.Until(t, 10*time.Second, "a to notice that there are two", func() bool { return a.instance("web").DualActive })
		if i := a.instance("web"); i.State != "active" || i.Transitions != moves {
			t.Errorf("%s: a is %s", p.name, i.State)
		}
		if out := a.must("status", "web"); !strings.Contains(out, "another router stays active beside this one") {
			t.Errorf("%s: the status says nothing:\n%s", p.name, out)
		}
		if out := a.must("events"); !strings.Contains(out, "192.0.2.2 (priority 100) stays active beside us") {
			t.Errorf("%s: the events say nothing:\n%s", p.name, out)
		}
		p.tell("one way cut", cut)
		healed := time.Now()
		p.sw.Unblock()
		p.oneOwner(p.a, 10*time.Second)
		p.tell("one way healed", healed)
		if two := p.who.Since(healed).TwoOwners(); two > p.router.Interval+patience {
			t.Errorf("%s: two owners for %v after they could hear each other", p.name, two)
		}
		lab.Until(t, 10*time.Second, "a to notice that it is alone", func() bool { return !a.instance("web").DualActive })
	}
}

// TestFaultOneWayYields is the other half of case 68: the better node is deaf
// to the one that serves. It takes over, and the one that hears it yields.
func TestFaultOneWayYields(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"vrrpd", "keepalived"} {
		p := newDuo(t, "vrrpd", kind, 100*time.Millisecond, "")
		p.b.start()
		p.who = p.client.WhoHas(vip, 200)
		p.who.WaitOwner(p.b.host, 10*time.Second)
		p.echo = p.client.Echo(vip, 500)
		p.echo.WaitAnswered(5 * time.Second)
		p.sw.Block(p.b.host, p.a.host)
		began := time.Now()
		p.a.start()
		p.oneOwner(p.a, 10*time.Second)
		p.tell("a deaf node takes over", began)
		if two := p.who.Since(began).TwoOwners(); two > p.router.Interval+patience {
			t.Errorf("%s: two owners for %v", p.name, two)
		}
		if p.b.vrrpd != nil {
			p.b.vrrpd.waitState("web", "backup", 5*time.Second)
		}
	}
}
