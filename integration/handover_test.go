package integration

import (
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// unnoticed is the longest a client may be without an answer when nothing was
// to be lost: far less than the Skew_Time (0.6 s at 1 s intervals) that a
// release with priority 0 costs, and more than a busy machine makes of it.
const unnoticed = 100 * time.Millisecond

// TestHandoverLosesNothing: demotion, promotion, stop and return of a node,
// with vrrpd and with keepalived as the successor, are not noticed by a client
// that asks 500 times a second.
func TestHandoverLosesNothing(t *testing.T) {
	for _, peerKind := range []string{"vrrpd", "keepalived"} {
		for _, version := range []int{2, 3} {
			t.Run(peerKind+map[int]string{2: " v2", 3: " v3"}[version], func(t *testing.T) {
				t.Parallel()
				l := lab.New(t)
				sw := l.Switch("lan")
				r := lab.Router{Version: version, Priority: 150, Addresses: []string{"192.0.2.100/24"}}
				a := newNode(t, l, sw.Host("a", "192.0.2.1/24"), r.Vrrpd("web")).start()
				other := sw.Host("b", "192.0.2.2/24")
				client := sw.Host("client", "192.0.2.9/24")
				a.waitState("web", "active", 10*time.Second)
				r.Priority = 100
				if peerKind == "keepalived" {
					other.Keepalived(r)
				} else {
					newNode(t, l, other, r.Vrrpd("web")).start()
				}
				who, echo := client.WhoHas("192.0.2.100", 50), client.Echo("192.0.2.100", 500)
				who.WaitOwner(a.host, 10*time.Second)
				echo.WaitAnswered(5 * time.Second)
				time.Sleep(time.Second) // the peer has heard us

				a.must("demote", "web")
				who.WaitOwner(other, 10*time.Second)
				a.must("promote", "web")
				who.WaitOwner(a.host, 15*time.Second)
				time.Sleep(3 * time.Second) // time to ask whether anybody else has it
				if n := a.instance("web").Conflicts; n != 0 {
					t.Errorf("a handover passes for %d claims of another host", n)
				}
				a.stop()
				who.WaitOwner(other, 10*time.Second)
				a.start()
				who.WaitOwner(a.host, 15*time.Second)

				seen, owners := echo.Stop(), who.Stop()
				t.Logf("%s; %d answered by both", seen, len(owners.Conflicts))
				if seen.LongestGap > unnoticed {
					t.Errorf("four planned moves were noticed: %s, gaps %v", seen, seen.Gaps)
				}
			})
		}
	}
}

// TestStopAloneLetsGo: with nobody to take over, a stopped daemon gives up
// after its handover timeout and leaves nothing behind.
func TestStopAloneLetsGo(t *testing.T) {
	t.Parallel()
	_, _, a, _, _ := twoNodes(t, 100*time.Millisecond, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	a.host.WaitHas("192.0.2.100", 5*time.Second)
	a.stop()
	if a.host.Has("192.0.2.100") {
		t.Error("the address was left behind")
	}
}

// TestDroppedInstanceHandsOver: an instance that a reload drops is served
// until the peer has it.
func TestDroppedInstanceHandsOver(t *testing.T) {
	t.Parallel()
	other := lab.Router{VRID: 77, Interval: time.Second, Addresses: []string{"192.0.2.177/24"}}
	_, _, a, b, client := twoNodes(t, time.Second, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	b.start()
	b.waitState("web", "backup", 10*time.Second)
	time.Sleep(time.Second)
	who, echo := client.WhoHas("192.0.2.100", 50), client.Echo("192.0.2.100", 500)
	who.WaitOwner(a.host, 5*time.Second)
	echo.WaitAnswered(5 * time.Second)
	a.configure(other.Vrrpd("other"))
	a.must("reload")
	who.WaitOwner(b.host, 10*time.Second)
	a.host.WaitHasNot("192.0.2.100", 5*time.Second)
	if seen := echo.Stop(); seen.LongestGap > unnoticed {
		t.Errorf("noticed: %s", seen)
	}
}
