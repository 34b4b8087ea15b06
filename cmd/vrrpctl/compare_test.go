package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/healthcheck/probe"
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
		{"one priority, told apart by weights", func(in *config.Instance) { in.Track = []config.Track{{Check: "c", Weight: 20}} },
			func(in *config.Instance) {
				in.Priority, in.Track = 100, []config.Track{{Check: "c", Weight: -10}, {Check: "d", Weight: 15}}
			}, nil},
		{"one priority by weights", nil, func(in *config.Instance) { in.Track[0].Weight = 10 },
			[]string{web + "both have priority 100 while every check passes: the higher address decides who is active"}},
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
	p := pair{contender{Instance: &config.Instance{}}, contender{Instance: &config.Instance{}}}
	if w := winner(p, 0, [2]standing{{Fault: true}, {Fault: true}}); w != nobody {
		t.Errorf("both in fault: %d", w)
	}
}

// A check that means fault for one member of a group does so for all, whatever
// weight the first member has for it.
func TestElectionOfAGroupWithAFault(t *testing.T) {
	p := node("n", 100, func(in *config.Instance) { in.Track = []config.Track{{Check: "nginx", Weight: 20}} })
	db := p.Instances[0]
	db.Name, db.VRID, db.Track = "db", 52, []config.Track{{Check: "nginx"}}
	p.Instances = append(p.Instances, db)
	p.Groups = []config.Group{{Name: "site", Instances: []string{"web", "db"}}}
	var got []string
	for _, r := range priorityTable(p) {
		got = append(got, fmt.Sprintf("%s %s: %s", r.Instance, r.Failing, r.Nodes[0]))
	}
	if d := cmp.Diff([]string{"web : 120", "web nginx: FAULT", "db : 120", "db nginx: FAULT"}, got); d != "" {
		t.Error(d)
	}
}

// What the whole group tracks counts for each of its members, and a bond that
// an instance runs over counts as well.
func TestElectionOfGroupsAndBonds(t *testing.T) {
	plan := func(priority uint8) *config.Plan {
		p := node("n", priority)
		db := p.Instances[0]
		db.Name, db.VRID, db.Track = "db", 52, []config.Track{{Check: "pg", Weight: -30}, {Check: "nginx", Weight: -1}, {Check: "disk"}, {Check: "drain"}}
		db.Interface = "bond0.10"
		p.Instances = append(p.Instances, db)
		p.Groups = []config.Group{{Name: "site", Instances: []string{"web", "db"}}}
		p.Bonds = []config.Bond{{Name: "bond0", DegradedWeight: -7}, {Name: "bond1", DegradedWeight: -7}}
		p.Checks = []config.Check{{Name: "drain", Probe: probe.File{Path: "/x", Test: probe.FileNumber}}}
		return p
	}
	var got []string
	for _, r := range priorityTable(plan(100)) {
		got = append(got, fmt.Sprintf("%s %s: %s", r.Instance, r.Failing, r.Nodes[0]))
	}
	want := []string{
		"web : 100", "web nginx: 80", "web pg: 70", "web disk: FAULT", "web bond bond0 degraded: 93",
		"db : 100", "db nginx: 80", "db pg: 70", "db disk: FAULT", "db bond bond0 degraded: 93",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if w := compare(plan(100), plan(90), "n1", "n2"); len(w) > 0 {
		t.Errorf("a number can add anything, so no weight is idle: %q", w)
	}
}

// A weight that never makes the other node take over is warned of.
func TestIdleWeights(t *testing.T) {
	tracks := func(list ...config.Track) func(*config.Instance) {
		return func(in *config.Instance) { in.Track = list }
	}
	weight := func(name string, w int) config.Track { return config.Track{Check: name, Weight: w} }
	warning := func(name string, w, warn int) config.Track {
		return config.Track{Check: name, Weight: w, WarningWeight: warn}
	}
	noPreempt := func(in *config.Instance) { in.Preempt = false }
	for _, tc := range []struct {
		name string
		a, b *config.Plan
		want []string // of "when check NAME fails on n1, …"; without "fails"
	}{
		{"enough", node("n1", 100), node("n2", 90), nil},
		{"too small", node("n1", 100, tracks(weight("c", -5))), node("n2", 90, tracks()), []string{"c n1 small"}},
		{"exactly the difference", node("n1", 100, tracks(weight("c", -10))), node("n2", 90, tracks()), []string{"c n1 small"}},
		{"one more", node("n1", 100, tracks(weight("c", -11))), node("n2", 90, tracks()), nil},
		{"together they are enough", node("n1", 100, tracks(weight("c", -6), weight("d", -6))), node("n2", 90, tracks()), nil},
		{"of three, one is too small even then", node("n1", 100, tracks(weight("c", -10), weight("d", -10), weight("e", -1))), node("n2", 75, tracks()),
			[]string{"c n1 small", "d n1 small", "e n1 small"}},
		{"the lower node's counts when the higher one fails", node("n1", 100, tracks(weight("c", -20))), node("n2", 90, tracks(weight("c", -20))), nil},
		{"and not if that cannot be", node("n1", 100, tracks()), node("n2", 90, tracks(weight("c", -20))), []string{"c n2 small"}},
		{"positive", node("n1", 90, tracks(weight("c", 20))), node("n2", 100, tracks()), nil},
		{"positive, too small", node("n1", 90, tracks(weight("c", 5))), node("n2", 100, tracks()), []string{"c n1 small"}},
		{"the limits", node("n1", 254, tracks(weight("c", 20))), node("n2", 100, tracks()), []string{"c n1 small"}},
		{"no preemption", node("n1", 100, tracks(weight("c", -50))), node("n2", 90, tracks(), noPreempt), []string{"c n1 preempt"}},
		{"fault needs none", node("n1", 100, tracks(weight("c", 0))), node("n2", 90, tracks(), noPreempt), nil},
		{"a warning", node("n1", 100, tracks(warning("c", -20, -11))), node("n2", 90, tracks()), nil},
		{"a warning, too small", node("n1", 100, tracks(warning("c", -20, -5))), node("n2", 90, tracks()), []string{"c warns n1 small"}},
		{"a warning of what else is a fault", node("n1", 100, tracks(warning("c", 0, -5))), node("n2", 90, tracks()), []string{"c warns n1 small"}},
		{"together with the warning of another", node("n1", 100, tracks(weight("c", -6), warning("d", -50, -5))), node("n2", 90, tracks()), nil},
		{"owner", node("n1", 255, tracks(weight("c", -50))), node("n2", 90, tracks()), nil}, // config.Load tells
	} {
		t.Run(tc.name, func(t *testing.T) {
			both, _, _ := pairs(tc.a, tc.b)
			var got []string
			for _, w := range both[0].idle("n1", "n2") {
				var check, does, on string
				if _, err := fmt.Sscanf(w, "when check %s %s on %s", &check, &does, &on); err != nil {
					t.Fatalf("%q: %v", w, err)
				}
				why := "small"
				if strings.Contains(w, "preempt = false") {
					why = "preempt"
				}
				got = append(got, strings.Replace(check+" "+does+" "+strings.TrimSuffix(on, ",")+" "+why, " fails", "", 1))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// The verdict on weights agrees with trying every case.
func TestIdleAgreesWithEveryCase(t *testing.T) {
	weights := []int{-30, -10, -3, 5, 12}
	tracks := func(bits int) (list []config.Track) {
		for i, w := range weights {
			if bits>>i&1 == 1 {
				list = append(list, config.Track{Check: fmt.Sprint("c", i), Weight: w})
			}
		}
		return list
	}
	// priority is that of a contender with the checks of a mask failing.
	priority := func(c contender, failing int) int {
		sum := 0
		for i, t := range c.tracks {
			if failing>>i&1 == 1 {
				sum += t.bad
			} else {
				sum += t.good
			}
		}
		return effective(c, sum)
	}
	for a := range 1 << len(weights) {
		for b := range 1 << len(weights) {
			both, _, _ := pairs(node("n1", 100, func(in *config.Instance) { in.Track = tracks(a) }), node("n2", 91, func(in *config.Instance) { in.Track = tracks(b) }))
			p := both[0]
			for i, check := range p.a.tracks {
				want := false
				for ours := range 1 << len(p.a.tracks) {
					for theirs := range 1 << len(p.b.tracks) {
						their := priority(p.b, theirs)
						want = want || ours>>i&1 == 0 && priority(p.a, ours) >= their && their > priority(p.a, ours|1<<i)
					}
				}
				if got := p.moves(p.a, i, check.bad, p.b); got != want {
					t.Fatalf("%v and %v, %s: %v, want %v", tracks(a), tracks(b), check.name, got, want)
				}
			}
		}
	}
}
