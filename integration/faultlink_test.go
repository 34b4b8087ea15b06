package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestFaultCut pulls the active node's cable and plugs it in again: the peer
// takes over when the protocol says so, and each way there is one owner.
func TestFaultCut(t *testing.T) {
	t.Parallel()
	duos := duosOf(t, 100*time.Millisecond, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"vrrpd", "keepalived"}, [2]string{"keepalived", "vrrpd"})
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

// TestFaultBlip takes the carrier from the active node for 200 ms: the client
// misses those, the peer does not notice. (keepalived makes a fault and a whole
// down interval of it.)
func TestFaultBlip(t *testing.T) {
	t.Parallel()
	const length = 200 * time.Millisecond
	duos := duosOf(t, time.Second, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"vrrpd", "keepalived"})
	before, since, without := map[*duo]int{}, map[*duo]time.Time{}, map[*duo]time.Duration{}
	began := time.Now()
	for _, p := range duos {
		before[p], since[p] = p.b.moves(), p.a.vrrpd.instance("web").Since
		without[p] = p.sw.Flap(p.a.host, length)
	}
	time.Sleep(duos[0].down() + 500*time.Millisecond) // whoever was to act has done so
	for _, p := range duos {
		p.oneOwner(p.a, 10*time.Second)
		if now := p.b.moves(); now != before[p] {
			t.Errorf("%s: the peer took over", p.name)
		}
		if i := p.a.vrrpd.instance("web"); i.State != "active" || !i.Since.Equal(since[p]) {
			t.Errorf("%s: a is %s since %s, was active since %s\n%s", p.name, i.State, i.Since, since[p], p.a.vrrpd.must("events"))
		}
		p.tell("200 ms without carrier", began)
		if seen := p.echo.Since(began); seen.LongestGap > without[p]+unnoticed {
			t.Errorf("%s: %v without carrier cost %v", p.name, without[p], seen.LongestGap)
		}
	}
}

// TestFaultOneWay: case 68 of the conformance list. Frames are lost in one
// direction between the two, and nowhere else.
func TestFaultOneWay(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"vrrpd", "keepalived"} {
		p := newDuo(t, "vrrpd", kind, 100*time.Millisecond, "")
		a := p.a.vrrpd
		told := filepath.Join(p.lab.Dir(), "told")
		notify := script(t, p.lab, "notify.sh", `echo "$*" >>`+told)
		a.configure(a.config + fmt.Sprintf("[[notify]]\ncommand = [%q]\nconditions = true\n", notify))
		p.begin()

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
		if out := a.must("status", "web"); !strings.Contains(out, "192.0.2.2 (priority 100) stays active beside us") {
			t.Errorf("%s: the status says nothing:\n%s", p.name, out)
		}
		waitTold(t, told, "INSTANCE web CONDITION 150 dual_active on")
		if c := a.instance("web").Conditions; len(c) != 1 || c[0].Name != "dual_active" {
			t.Errorf("%s: conditions %+v", p.name, c)
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
		waitTold(t, told, "INSTANCE web CONDITION 150 dual_active off")
	}
}

// waitTold waits for a line that a notification command wrote.
func waitTold(t *testing.T, file, line string) {
	t.Helper()
	lab.Until(t, 10*time.Second, fmt.Sprintf("%q to be told", line), func() bool {
		b, _ := os.ReadFile(file) // absent before the first
		return strings.Contains(string(b), line+"\n")
	})
}

// TestFaultPartition parts the two without taking a carrier from either (a
// trunk between two switches), until both are active, and heals it. Whichever
// hears the other first, there is one owner, and the client that listened to
// the other one is told at once: not when its ARP cache has run out.
func TestFaultPartition(t *testing.T) {
	t.Parallel()
	duos := duosOf(t, 100*time.Millisecond, "", [2]string{"vrrpd", "vrrpd"}, [2]string{"keepalived", "vrrpd"})
	for range 3 {
		for _, p := range duos {
			cut := time.Now()
			p.sw.Block(p.a.host, p.b.host)
			p.sw.Block(p.b.host, p.a.host)
			p.answered(p.b, cut, 20*time.Second)
			time.Sleep(1500 * time.Millisecond) // b has announced for the last time
			healed := time.Now()
			p.sw.Unblock()
			p.oneOwner(p.a, 10*time.Second)
			p.tell("a partition heals", healed)
			if seen := p.echo.Since(healed); seen.LongestGap > unnoticed {
				t.Errorf("%s: noticed: %s", p.name, seen)
			}
		}
	}
}

// TestFaultOneWayYields is the other half of case 68: the better node is deaf
// to the one that serves. It takes over, and the one that hears it yields.
func TestFaultOneWayYields(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"vrrpd", "keepalived"} {
		p := newDuo(t, "vrrpd", kind, 100*time.Millisecond, "")
		p.b.start()
		p.who = p.watcher.WhoHas(vip, 200)
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
