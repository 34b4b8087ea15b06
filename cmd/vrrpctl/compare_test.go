package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/config"
)

// node is a plan of one instance that fits its twin.
func node(name string, priority uint8, edit ...func(*config.Instance)) *config.Plan {
	p := &config.Plan{Node: name, Instances: []config.Instance{{
		Name: "web", Interface: "eth0", VRID: 51, Version: 3, Priority: priority, AdvertInterval: time.Second, Preempt: true,
		Addresses: []config.Address{{Prefix: netip.MustParsePrefix("192.0.2.100/24"), Interface: "eth0"}},
		Track:     []config.Track{{Check: "nginx", Weight: -20}},
	}}}
	for _, e := range edit {
		e(&p.Instances[0])
	}
	return p
}

func unicast(source string, peers ...string) func(*config.Instance) {
	return func(in *config.Instance) {
		u := &config.Unicast{}
		if source != "" {
			u.Source = netip.MustParseAddr(source)
		}
		for _, p := range peers {
			u.Peers = append(u.Peers, netip.MustParseAddr(p))
		}
		in.Unicast = u
	}
}

func TestCompare(t *testing.T) {
	const web = "web (VRID 51, ipv4): "
	for _, tc := range []struct {
		name string
		a, b func(*config.Instance)
		want []string
	}{
		{"alike", nil, nil, nil},
		{"other names and interfaces do not matter", nil, func(in *config.Instance) { in.Name, in.Interface = "www", "bond0" }, nil},
		{"version", nil, func(in *config.Instance) { in.Version = 2 },
			[]string{web + "version 3 on n1, 2 on n2: neither understands the other, and both become active"}},
		{"interval, version 3", nil, func(in *config.Instance) { in.AdvertInterval = 100 * time.Millisecond },
			[]string{web + "advert_interval 1s on n1, 100ms on n2: a backup follows the active router's, so failover takes longer or shorter depending on who is active"}},
		{"interval, version 2", func(in *config.Instance) { in.Version = 2 },
			func(in *config.Instance) { in.Version, in.AdvertInterval = 2, 2*time.Second },
			[]string{web + "advert_interval 1s on n1, 2s on n2: version 2 drops the other's advertisements, and both become active"}},
		{"password", func(in *config.Instance) { in.Password = "secret" }, nil,
			[]string{web + "the passwords of n1 and n2 differ: each drops the other's advertisements, and both become active"}},
		{"addresses", nil, func(in *config.Instance) { in.Addresses[0].Prefix = netip.MustParsePrefix("192.0.2.101/24") },
			[]string{web + "the addresses differ: only n1 has 192.0.2.100/24, only n2 has 192.0.2.101/24"}},
		{"prefix length", nil, func(in *config.Instance) { in.Addresses[0].Prefix = netip.MustParsePrefix("192.0.2.100/32") },
			[]string{web + "the addresses differ: only n1 has 192.0.2.100/24, only n2 has 192.0.2.100/32"}},
		{"extra addresses", func(in *config.Instance) { in.Extra = in.Addresses }, nil,
			[]string{web + "the extra_addresses differ: only n1 has 192.0.2.100/24"}},
		{"priority", nil, func(in *config.Instance) { in.Priority = 100 },
			[]string{web + "both have priority 100: the higher address decides who is active"}},
		{"VRID", nil, func(in *config.Instance) { in.VRID = 52 },
			[]string{web + "only n1 has it; nobody takes over for it", "web (VRID 52, ipv4): only n2 has it; nobody takes over for it"}},
		{"family", nil, func(in *config.Instance) { in.IPv6 = true },
			[]string{web + "only n1 has it; nobody takes over for it", "web (VRID 51, ipv6): only n2 has it; nobody takes over for it"}},
		{"unicast", unicast("192.0.2.1", "192.0.2.2"), unicast("192.0.2.2", "192.0.2.1"), nil},
		{"unicast without sources", unicast("", "192.0.2.2"), unicast("", "192.0.2.1"), nil},
		{"unicast, one way", unicast("192.0.2.1", "192.0.2.3"), unicast("192.0.2.2", "192.0.2.1"),
			[]string{web + "unicast.peers of n1 lacks 192.0.2.2, the source of n2: it neither sends there nor listens to it"}},
		{"unicast and multicast", unicast("192.0.2.1", "192.0.2.2"), nil, []string{web + "n1 sends unicast, n2 multicast: both become active"}},
		{"multicast and unicast", nil, unicast("192.0.2.2", "192.0.2.1"), []string{web + "n1 sends multicast, n2 unicast: both become active"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := node("n1", 100), node("n2", 90)
			if tc.a != nil {
				tc.a(&a.Instances[0])
			}
			if tc.b != nil {
				tc.b(&b.Instances[0])
			}
			if d := cmp.Diff(tc.want, compare(a, b, "n1", "n2")); d != "" {
				t.Error(d)
			}
		})
	}
}

// Of several instances with one VRID, on different interfaces, those of one
// name belong together.
func TestPairs(t *testing.T) {
	plan := func(names ...string) *config.Plan {
		p := &config.Plan{}
		for _, n := range names {
			name, iface, _ := strings.Cut(n, "@")
			p.Instances = append(p.Instances, config.Instance{Name: name, Interface: iface, VRID: 51})
		}
		return p
	}
	for _, tc := range []struct{ a, b, want string }{
		{"in@eth0 out@eth1", "out@eth0 in@eth1", "in-in out-out"},
		{"x@eth0 y@eth1", "p@eth1 q@eth0", "x-q y-p"},
		{"x@eth0 y@eth1", "p@a q@b", "x-p y-q"},
		{"x@eth0 y@eth1", "y@a", "y-y"},
	} {
		both, _, _ := pairs(plan(strings.Fields(tc.a)...), plan(strings.Fields(tc.b)...))
		var got []string
		for _, p := range both {
			got = append(got, p.a.Name+"-"+p.b.Name)
		}
		if g := strings.Join(got, " "); g != tc.want {
			t.Errorf("%s, %s: %s, want %s", tc.a, tc.b, g, tc.want)
		}
	}
}

func TestElection(t *testing.T) {
	weight := func(w int) func(*config.Instance) {
		return func(in *config.Instance) { in.Track[0].Weight = w }
	}
	noPreempt := func(in *config.Instance) { in.Preempt = false }
	none := func(in *config.Instance) { in.Track = nil }
	for _, tc := range []struct {
		name string
		a, b *config.Plan
		want []string // failing: priorities: active
	}{
		{"weight moves it", node("n1", 100), node("n2", 90),
			[]string{": 100 90: n1", "nginx@n1: 80 90: n2", "nginx@n2: 100 70: n1"}},
		{"weight too small", node("n1", 100, weight(-5)), node("n2", 90, weight(-5)),
			[]string{": 100 90: n1", "nginx@n1: 95 90: n1", "nginx@n2: 100 85: n1"}},
		{"weight of the exact difference leaves it", node("n1", 100, weight(-10)), node("n2", 90, none),
			[]string{": 100 90: n1", "nginx@n1: 90 90: n1"}},
		{"positive weight", node("n1", 90, weight(20)), node("n2", 100, none),
			[]string{": 110 100: n1", "nginx@n1: 90 100: n2"}},
		{"weight 0 is fault", node("n1", 100, weight(0)), node("n2", 90, none),
			[]string{": 100 90: n1", "nginx@n1: FAULT 90: n2"}},
		{"backup does not preempt", node("n1", 100), node("n2", 90, noPreempt, none),
			[]string{": 100 90: n1", "nginx@n1: 80 90: n1 (n2 has preempt = false)"}},
		{"backup that does not preempt takes over a fault", node("n1", 100, weight(0)), node("n2", 90, noPreempt, none),
			[]string{": 100 90: n1", "nginx@n1: FAULT 90: n2"}},
		{"owner", node("n1", 255), node("n2", 254, none), []string{": 255 254: n1", "nginx@n1: 255 254: n1"}},
		{"limits", node("n1", 10), node("n2", 1, none), []string{": 10 1: n1", "nginx@n1: 1 1: n1"}},
		{"equal", node("n1", 100, none), node("n2", 100, none), []string{": 100 100: the higher address"}},
		{"equal, then not", node("n1", 100), node("n2", 100, none), []string{": 100 100: the higher address", "nginx@n1: 80 100: n2"}},
		{"equal, addresses known", node("n1", 100, none, unicast("192.0.2.1", "192.0.2.2")), node("n2", 100, none, unicast("192.0.2.2", "192.0.2.1")),
			[]string{": 100 100: n2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			both, _, _ := pairs(tc.a, tc.b)
			var got []string
			for _, r := range electionTable(both, "n1", "n2") {
				on := r.Failing
				if r.On != "" {
					on += "@" + r.On
				}
				got = append(got, fmt.Sprintf("%s: %s %s: %s", on, r.Nodes[0], r.Nodes[1], r.Active))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	p := pair{&config.Instance{}, &config.Instance{}}
	if w := winner(p, 0, [2]standing{{Fault: true}, {Fault: true}}); w != nobody {
		t.Errorf("both in fault: %d", w)
	}
}
