package integration

import (
	"fmt"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// A successor is another way to have somebody take over.
type successor struct {
	name  string
	ours  func(r *lab.Router) // changes what both nodes have
	start func(t *testing.T, l *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host
}

func keepalivedHost(_ *testing.T, _ *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host {
	h := sw.Host("b", "192.0.2.2/24")
	h.Keepalived(r)
	return h
}

var successors = []successor{
	{"keepalived that does not preempt", nil, func(t *testing.T, l *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host {
		r.NoPreempt = true
		return keepalivedHost(t, l, sw, r)
	}},
	{"keepalived by unicast", func(r *lab.Router) { r.Source, r.Unicast = "192.0.2.1", []string{"192.0.2.2"} },
		func(t *testing.T, l *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host {
			r.Source, r.Unicast = "192.0.2.2", []string{"192.0.2.1"}
			return keepalivedHost(t, l, sw, r)
		}},
	{"keepalived at 100 ms", func(r *lab.Router) { r.Interval = 100 * time.Millisecond }, keepalivedHost},
	{"keepalived, IPv6", func(r *lab.Router) { r.Addresses = []string{"fe80::100/64", "2001:db8::100/64"} },
		func(_ *testing.T, _ *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host {
			h := sw.Host("b", "2001:db8::2/64")
			h.Keepalived(r)
			return h
		}},
	{"FRR", nil, func(_ *testing.T, _ *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host {
		h := sw.Host("b", "192.0.2.2/24")
		h.FRR(r)
		return h
	}},
	{"the best of several", nil, func(t *testing.T, l *lab.Lab, sw *lab.Switch, r lab.Router) *lab.Host {
		third := r
		third.Priority = 50
		sw.Host("d", "192.0.2.4/24").Keepalived(third)
		third.Priority = 80
		newNode(t, l, sw.Host("c", "192.0.2.3/24"), third.Vrrpd("web")).start()
		return keepalivedHost(t, l, sw, r)
	}},
}

// TestHandoverToAnySuccessor: whoever takes over, and however it preempts, a
// client notices neither the demotion of a node nor that it comes back.
func TestHandoverToAnySuccessor(t *testing.T) {
	for _, next := range successors {
		t.Run(next.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			r := lab.Router{Priority: 150, Addresses: []string{"192.0.2.100/24"}}
			if next.ours != nil {
				next.ours(&r)
			}
			ours, clients, address := "192.0.2.1/24", "192.0.2.9/24", "192.0.2.100"
			if r.IPv6() {
				ours, clients, address = "2001:db8::1/64", "2001:db8::9/64", "2001:db8::100"
			}
			a := newNode(t, l, sw.Host("a", ours), r.Vrrpd("web")).start()
			client := sw.Host("client", clients)
			a.waitState("web", "active", 10*time.Second)
			r.Priority = 100
			other := next.start(t, l, sw, r)
			who, echo := client.WhoHas(address, 50), client.Echo(address, 500)
			who.WaitOwner(a.host, 10*time.Second)
			echo.WaitAnswered(5 * time.Second)
			time.Sleep(2 * time.Second) // the others have heard us

			a.must("demote", "web")
			who.WaitOwner(other, 10*time.Second)
			a.must("promote", "web")
			who.WaitOwner(a.host, 15*time.Second)
			seen := echo.Stop()
			t.Logf("%s", seen)
			if seen.LongestGap > unnoticed {
				t.Errorf("noticed: %s, gaps %v", seen, seen.Gaps)
			}
		})
	}
}

// TestGroupHandsOver: the members of a group, in two networks, with a group of
// keepalived's as the successor. No client of either network notices.
func TestGroupHandsOver(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	out, in := l.Switch("outside"), l.Switch("inside")
	var hosts []*lab.Host
	for i, name := range []string{"a", "b"} {
		h := out.Host(name, fmt.Sprintf("192.0.2.%d/24", i+1))
		in.Attach(h, "eth1", fmt.Sprintf("198.51.100.%d/24", i+1))
		hosts = append(hosts, h)
	}
	r := lab.Router{Priority: 150, Addresses: []string{"192.0.2.100/24"}}
	s := lab.Router{Priority: 150, VRID: 52, Interface: "eth1", Addresses: []string{"198.51.100.100/24"}}
	a := newNode(t, l, hosts[0], r.Vrrpd("out")+s.Vrrpd("in")+"[group.site]\ninstances = [\"out\", \"in\"]\n").start()
	a.waitState("in", "active", 10*time.Second)
	r.Priority, s.Priority = 100, 100
	hosts[1].KeepalivedConf("global_defs {\n\trouter_id b\n\tscript_user root\n}\nvrrp_sync_group site {\n\tgroup {\n\t\tout\n\t\tin\n\t}\n}\n" +
		r.Keepalived("out") + s.Keepalived("in"))
	outside, inside := out.Host("client", "192.0.2.9/24"), in.Host("inner", "198.51.100.9/24")
	whos := []*lab.Probe{outside.WhoHas("192.0.2.100", 50), inside.WhoHas("198.51.100.100", 50)}
	echos := []*lab.Probe{outside.Echo("192.0.2.100", 500), inside.Echo("198.51.100.100", 500)}
	owned := func(h *lab.Host) {
		t.Helper()
		for _, w := range whos {
			w.WaitOwner(h, 15*time.Second)
		}
	}
	owned(a.host)
	for _, e := range echos {
		e.WaitAnswered(5 * time.Second)
	}
	time.Sleep(2 * time.Second) // the other has heard us
	a.must("demote", "in")
	owned(hosts[1])
	a.must("promote", "out")
	owned(a.host)
	for i, e := range echos {
		seen := e.Stop()
		t.Logf("%s: %s", []string{"outside", "inside"}[i], seen)
		if seen.LongestGap > unnoticed {
			t.Errorf("noticed: %s, gaps %v", seen, seen.Gaps)
		}
	}
}
