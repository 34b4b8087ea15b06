package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestCase70Frozen stops the daemons of many routers for longer than any
// buffer holds (SIGSTOP, as a suspended machine does it). A backup that goes
// on reads before it believes its timers; an active node that goes on settles
// with the one that took over.
func TestCase70Frozen(t *testing.T) {
	t.Parallel()
	const routers = 255
	l := lab.New(t)
	sw := l.Switch("lan")
	configs := map[int]*strings.Builder{150: {}, 100: {}}
	for priority, config := range configs {
		for i := range routers {
			r := lab.Router{VRID: i + 1, Interval: 100 * time.Millisecond, Priority: priority, Addresses: []string{fmt.Sprintf("198.51.100.%d/32", i)}}
			if i == 0 {
				r.Addresses = []string{"192.0.2.100/24"}
			}
			config.WriteString(r.Vrrpd(fmt.Sprintf("i%d", i+1)))
		}
	}
	a := newNode(t, l, sw.Host("a", "192.0.2.1/24"), configs[150].String()).start()
	a.waitAll("active", 10*time.Second)
	b := newNode(t, l, sw.Host("b", "192.0.2.2/24"), configs[100].String()).start()
	b.waitAll("backup", 10*time.Second)
	time.Sleep(500 * time.Millisecond) // a down interval and more beside a

	b.proc.Stop()
	time.Sleep(5 * time.Second)
	b.proc.Cont()
	time.Sleep(time.Second)
	for _, i := range b.status().Instances {
		if i.State != "backup" || i.Transitions != 1 {
			t.Fatalf("a backup took over beside an active router after it was frozen:\n%s", b.must("status", i.Name))
		}
	}
	if out := b.must("events"); !strings.Contains(out, "vrrpd did not run for") {
		t.Error("the stall was not told")
	}

	a.proc.Stop()
	b.waitAll("active", 10*time.Second)
	a.proc.Cont()
	a.waitAll("active", 10*time.Second)
	b.waitAll("backup", 10*time.Second)
}

// waitAll waits until every instance is in a state.
func (n *node) waitAll(state string, timeout time.Duration) {
	n.t.Helper()
	lab.Until(n.t, timeout, "every instance on "+n.host.Name+" to be "+state, func() bool {
		for _, i := range n.status().Instances {
			if i.State != state {
				return false
			}
		}
		return true
	})
}
