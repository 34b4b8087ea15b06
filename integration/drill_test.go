package integration

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/lab"
)

// drill runs a drill and returns its report.
func (n *node) drill(args ...string) (rep control.DrillReport, errs string, status int) {
	n.t.Helper()
	out, errs, status := n.ctl(append([]string{"drill", "--yes", "-o", "json"}, args...)...)
	if out != "" {
		if err := json.Unmarshal([]byte(out), &rep); err != nil {
			n.t.Fatalf("%v: %s", err, out)
		}
	}
	return rep, errs, status
}

// activePair are two nodes, a active, and b running as well.
func activePair(t *testing.T, interval time.Duration, more string) (a, b *node, client *lab.Host) {
	t.Helper()
	_, _, a, b, client = twoNodes(t, interval, more)
	a.start()
	a.waitState("web", "active", 10*time.Second)
	b.start()
	lab.Until(t, 10*time.Second, "b to know the active router", func() bool { return b.instance("web").ActiveRouter != nil })
	a.host.WaitHas("192.0.2.100", 5*time.Second)
	return a, b, client
}

// TestDrill: the loss of a node is rehearsed with vrrpd and with keepalived as
// the successor. The report is what a client and a third host saw.
func TestDrill(t *testing.T) {
	for _, tc := range []struct {
		name, peer string
		version    int
		addresses  []string
	}{
		{"vrrpd", "vrrpd", 3, []string{"192.0.2.100/24", "192.0.2.101/24"}},
		{"keepalived v2", "keepalived", 2, []string{"192.0.2.100/24"}},
		{"vrrpd IPv6", "vrrpd", 3, []string{"fe80::64/64", "2001:db8::64/64"}},
		{"keepalived IPv6", "keepalived", 3, []string{"fe80::64/64", "2001:db8::64/64"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			r := lab.Router{Version: tc.version, Priority: 150, Addresses: tc.addresses}
			a := newNode(t, l, sw.Host("a", "192.0.2.1/24", "2001:db8::1/64"), r.Vrrpd("web")).start()
			other := sw.Host("b", "192.0.2.2/24", "2001:db8::2/64")
			client := sw.Host("client", "192.0.2.9/24", "2001:db8::9/64")
			a.waitState("web", "active", 10*time.Second)
			r.Priority = 100
			if tc.peer == "keepalived" {
				other.Keepalived(r)
			} else {
				newNode(t, l, other, r.Vrrpd("web")).start()
			}
			target, _, _ := strings.Cut(tc.addresses[len(tc.addresses)-1], "/")
			who, echo := client.WhoHas(target, 50), client.Echo(target, 500)
			who.WaitOwner(a.host, 10*time.Second)
			echo.WaitAnswered(5 * time.Second)
			time.Sleep(time.Second) // the peer has heard us

			rep, errs, status := a.drill("web")
			seen, owners := echo.Stop(), who.Stop()
			t.Logf("client: %s; %s", seen, owners)
			if status != 0 || !rep.Held || !rep.Restored {
				t.Fatalf("exit status %d, %s%+v", status, errs, rep)
			}
			if seen.LongestGap > unnoticed {
				t.Errorf("the client noticed: %s, gaps %v", seen, seen.Gaps)
			}
			if len(rep.Phases) != 3 || len(rep.Addresses) != len(tc.addresses) || rep.Instances[0].Successor == nil {
				t.Fatalf("%+v", rep)
			}
			there, back := rep.Phases[1], rep.Phases[2]
			t.Logf("there %+v\nback %+v", there, back)
			// Skew_Time of priority 100 is 0.6 s; it is measured by another clock's ticks than ours.
			if s := rep.Instances[0].Successor; s.Priority != 100 || s.Seconds < 0.5 || s.Address != rep.Other {
				t.Errorf("successor %+v", s)
			}
			if there.FirstReplySeconds < there.MoveSeconds-0.1 || back.FirstReplySeconds < back.MoveSeconds || back.MoveSeconds == 0 {
				t.Errorf("there %+v, back %+v", there, back)
			}
			for _, ad := range rep.Addresses {
				if len(ad.Answered) != 1 || ad.Answered[0].MAC != macOf(other, "eth0").String() {
					t.Errorf("%s is answered for by %+v, not %s alone", ad.Address, ad.Answered, macOf(other, "eth0"))
				}
			}
			var active []string
			for _, m := range rep.Timeline {
				if m.Active != "" {
					active = append(active, m.Active)
				}
			}
			if got, want := strings.Join(active, " "), strings.Join([]string{rep.Found, rep.Other, rep.Found}, " "); got != want {
				t.Errorf("active were %s, want %s", got, want)
			}
			if i := a.instance("web"); i.Demoted || i.State != "active" {
				t.Errorf("in the end it is %s, demoted: %t", i.State, i.Demoted)
			}
		})
	}
}

// TestDrillAlone: nobody takes over, the service is resumed, and nobody goes
// without an answer.
func TestDrillAlone(t *testing.T) {
	t.Parallel()
	_, _, a, _, client := twoNodes(t, 200*time.Millisecond, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	echo := client.Echo("192.0.2.100", 500)
	echo.WaitAnswered(5 * time.Second)
	rep, errs, status := a.drill()
	if seen := echo.Stop(); seen.LongestGap > unnoticed {
		t.Errorf("noticed: %s", seen)
	}
	if status != 4 || !rep.Refused || rep.Held || !rep.Restored || !strings.Contains(errs, "nobody took over within") {
		t.Errorf("exit status %d, %s%+v", status, errs, rep)
	}
	if i := a.instance("web"); i.Demoted || i.State != "active" || i.HandingOver {
		t.Errorf("%+v", i)
	}
}

// TestDrillGroup: a group moves as one, over both families.
func TestDrillGroup(t *testing.T) {
	t.Parallel()
	six := lab.Router{VRID: 52, Interval: 200 * time.Millisecond, Addresses: []string{"fe80::64/64", "2001:db8::64/64"}}
	group := "[group.site]\ninstances = [\"web\", \"six\"]\n"
	_, _, a, b, client := twoNodes(t, 200*time.Millisecond, "")
	four := lab.Router{Interval: 200 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}}
	for n, priority := range map[*node]int{a: 150, b: 100} {
		four.Priority, six.Priority = priority, priority
		n.configure(four.Vrrpd("web") + six.Vrrpd("six") + group)
	}
	a.start()
	a.waitState("six", "active", 10*time.Second)
	b.start()
	lab.Until(t, 10*time.Second, "b to know the active routers", func() bool { return b.instance("web").ActiveRouter != nil && b.instance("six").ActiveRouter != nil })
	echo := client.Echo("2001:db8::64", 500)
	echo.WaitAnswered(5 * time.Second)
	rep, errs, status := a.drill("six")
	if seen := echo.Stop(); seen.LongestGap > unnoticed {
		t.Errorf("noticed: %s", seen)
	}
	if status != 0 || len(rep.Instances) != 2 || len(rep.Addresses) != 3 {
		t.Fatalf("exit status %d, %s%+v", status, errs, rep)
	}
	for _, in := range rep.Instances {
		if in.Successor == nil || in.After != "active" || in.Transitions != 2 {
			t.Errorf("%+v", in)
		}
	}
	if rep, errs, status := a.drill("nowhere"); status != 1 || !strings.Contains(errs, "nowhere") {
		t.Errorf("exit status %d, %s%+v", status, errs, rep)
	}
}

// TestDrillDoesNotPreempt: a node that does not return says so before, and is
// done when the other one serves.
func TestDrillDoesNotPreempt(t *testing.T) {
	t.Parallel()
	a, b, _ := activePair(t, 200*time.Millisecond, "")
	calm := lab.Router{Interval: 200 * time.Millisecond, Priority: 150, NoPreempt: true, Addresses: []string{"192.0.2.100/24"}}
	a.configure(calm.Vrrpd("web"))
	a.must("reload")
	rep, errs, status := a.drill()
	if status != 0 || !rep.Held || rep.Restored || !strings.Contains(rep.Stays, "preempt = false") || len(rep.Warnings) != 1 {
		t.Errorf("exit status %d, %s%+v", status, errs, rep)
	}
	b.waitState("web", "active", time.Second)
	if i := a.instance("web"); i.Demoted || i.State != "backup" {
		t.Errorf("%s, demoted: %t", i.State, i.Demoted)
	}
	// It is the other one's turn to be drilled, and a says so. It has the lower
	// priority, so it does not come back.
	if _, errs, status := a.drill(); status != 1 || !strings.Contains(errs, "192.0.2.2 (priority 100) is active: drill there") {
		t.Errorf("exit status %d, %s", status, errs)
	}
	rep, errs, status = b.drill()
	if status != 1 || rep.Held || rep.Restored || !strings.Contains(errs, "(100 here, 150 there): the service stays with 192.0.2.1") {
		t.Errorf("exit status %d, %s%+v", status, errs, rep)
	}
	a.waitState("web", "active", time.Second)
}

// TestDrillInterrupted: whoever ends a drill early, it leaves no demotion.
func TestDrillInterrupted(t *testing.T) {
	t.Parallel()
	a, b, client := activePair(t, 200*time.Millisecond, "")
	echo := client.Echo("192.0.2.100", 500)
	echo.WaitAnswered(5 * time.Second)
	// begin begins a drill and waits until b has taken over.
	begin := func() *lab.Process {
		t.Helper()
		drill := a.host.Start(program(t, "vrrpctl"), "--socket", a.socket, "drill", "--yes")
		b.waitState("web", "active", 10*time.Second)
		if i := a.instance("web"); !i.Demoted {
			t.Errorf("b is active, but a is not demoted: %s", drill.Output())
		}
		return drill
	}
	returned := func(how string) {
		t.Helper()
		lab.Until(t, 10*time.Second, how+": a to be active again", func() bool {
			i := a.instance("web")
			return i.State == "active" && !i.Demoted && !i.HandingOver
		})
		a.host.WaitHas("192.0.2.100", 5*time.Second)
		b.waitState("web", "backup", 5*time.Second)
	}

	drill := begin()
	if _, errs, status := a.drill(); status != 1 || !strings.Contains(errs, "under way") {
		t.Errorf("a second drill: exit status %d, %s", status, errs)
	}
	drill.Kill()
	returned("vrrpctl was killed")
	lab.Until(t, 10*time.Second, "the drill to be in the journal", func() bool {
		for _, e := range a.events() {
			if e.Kind == "drill" && strings.Contains(e.Text, "vrrpctl has gone away") {
				return true
			}
		}
		return false
	})

	drill = begin()
	drill.Signal(2)
	if err := drill.Wait(10 * time.Second); err == nil || !strings.Contains(drill.Output(), "the daemon lifts the demotion") {
		t.Errorf("Ctrl-C: %v, %s", err, drill.Output())
	}
	returned("Ctrl-C")

	// An operator who promotes has the last word.
	drill = begin()
	a.must("promote", "web")
	if err := drill.Wait(10 * time.Second); err == nil || !strings.Contains(drill.Output(), "an operator promoted or demoted web") {
		t.Errorf("promoted meanwhile: %v, %s", err, drill.Output())
	}
	returned("promoted meanwhile")
	if seen := echo.Stop(); seen.LongestGap > unnoticed {
		t.Errorf("noticed: %s, gaps %v", seen, seen.Gaps)
	}

	// The daemon stops, and starts without a demotion.
	drill = begin()
	a.stop()
	drill.Wait(10 * time.Second)
	a.start()
	returned("stopped and started")
}
