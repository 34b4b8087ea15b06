package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/bonding"
)

func ptr[T any](v T) *T { return &v }

// TestBond: what a table says of a bond is what the plan says.
func TestBond(t *testing.T) {
	plan, problems := Parse("f", []byte(`
[bond.bond0]
[bond."bond0.1"]
mode = "balance-alb"
min_links = 2
degraded_weight = -253
degraded_after = "0s"
healthy_after = "1m"
require_monitor = true
[bond.ab]
mode = "active-backup"
manage = true
links = ["eth1", "eth2"]
miimon = "100ms"
updelay = "200ms"
downdelay = "0s"
primary = "eth2"
primary_reselect = "better"
fail_over_mac = "follow"
num_grat_arp = 0
resend_igmp = 255
all_slaves_active = false
[bond.arp]
mode = "balance-rr"
manage = true
links = ["eth3"]
arp_interval = "250ms"
arp_ip_target = ["192.0.2.254", "192.0.2.253"]
arp_validate = "filter_active"
[bond.lacp]
mode = "802.3ad"
min_links = 2
manage = true
links = ["eth4", "eth5"]
miimon = "50ms"
lacp_rate = "fast"
xmit_hash_policy = "vlan+srcmac"
`+minimal), testEnv())
	if len(problems) > 0 {
		t.Fatal(problems.Strings())
	}
	def := Bond{MinLinks: 1, DegradedAfter: time.Second, HealthyAfter: 2 * time.Second}
	with := func(change func(*Bond)) Bond { b := def; change(&b); return b }
	want := []Bond{
		with(func(b *Bond) { b.Name = "bond0" }),
		{Name: "bond0.1", Mode: "balance-alb", MinLinks: 2, DegradedWeight: -253, HealthyAfter: time.Minute, RequireMonitor: true},
		with(func(b *Bond) {
			b.Name, b.Mode = "ab", "active-backup"
			b.Managed = &bonding.Managed{Name: "ab", Mode: bonding.ModeActiveBackup, Links: []string{"eth1", "eth2"},
				MIIMon: ptr(100 * time.Millisecond), UpDelay: ptr(200 * time.Millisecond), DownDelay: ptr(time.Duration(0)),
				Primary: "eth2", Reselect: bonding.ReselectBetter, FailOverMAC: bonding.FailOverMACFollow,
				NumPeerNotif: ptr(0), ResendIGMP: ptr(255), AllLinksActive: ptr(false)}
		}),
		with(func(b *Bond) {
			b.Name, b.Mode = "arp", "balance-rr"
			b.Managed = &bonding.Managed{Name: "arp", Mode: bonding.ModeBalanceRR, Links: []string{"eth3"},
				ARPInterval: ptr(250 * time.Millisecond), ARPTargets: []netip.Addr{addr("192.0.2.254"), addr("192.0.2.253")},
				ARPValidate: bonding.ARPValidateFilterActive}
		}),
		with(func(b *Bond) {
			b.Name, b.Mode, b.MinLinks = "lacp", "802.3ad", 2
			b.Managed = &bonding.Managed{Name: "lacp", Mode: bonding.Mode8023AD, Links: []string{"eth4", "eth5"},
				MIIMon: ptr(50 * time.Millisecond), LACPRate: bonding.LACPFast, HashPolicy: bonding.HashVLANSrcMAC, MinLinks: ptr(2)}
		}),
	}
	if diff := cmp.Diff(want, plan.Bonds, comparePlans); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	roundTrip(t, plan)
}

// TestBondLimits tries both sides of what is asked of a bond, in every mode.
func TestBondLimits(t *testing.T) {
	mii := "miimon = \"100ms\"\n"
	arp := "arp_interval = \"1s\"\narp_ip_target = [\"192.0.2.254\"]\n"
	active := []string{"active-backup", "balance-tlb", "balance-alb"}
	lacp := []string{"802.3ad"}
	all := names(bonding.ModeBalanceRR, bonding.ModeBalanceALB)
	for _, c := range []struct {
		lines string
		modes []string // in which nothing is wrong with them
		want  string   // part of the one problem in the others
	}{
		{mii, all, ""},
		{arp, []string{"balance-rr", "active-backup", "balance-xor", "broadcast"}, "cannot be monitored by ARP"},
		{mii + arp, nil, "arp"},
		{"", nil, "there is no monitor"},
		{`miimon = "0s"`, nil, "out of range"},
		{`miimon = "1ms"`, all, ""},
		{`miimon = "1500us"`, nil, `not whole milliseconds; write "2ms"`},
		{`miimon = 100`, nil, "with a unit"},
		{mii + `updelay = "0s"`, all, ""},
		{mii + `updelay = "300ms"`, all, ""},
		{mii + `updelay = "350ms"`, nil, `the kernel makes it 300ms; write "300ms" or "400ms"`},
		{mii + `downdelay = "50ms"`, nil, `the kernel makes it 0s; write "0s" or "100ms"`},
		{mii + `downdelay = "100500us"`, nil, "not whole milliseconds"},
		{mii + `primary = "eth1"`, active, "does not exist in mode"},
		{mii + `primary_reselect = "always"`, active, "does not exist in mode"},
		{mii + `lacp_rate = "slow"`, lacp, "does not exist in mode"},
		{mii + `fail_over_mac = "active"`, active[:1], "has no effect in mode"},
		{mii + `resend_igmp = 0`, append([]string{"balance-rr"}, active...), "has no effect in mode"},
		{mii + `xmit_hash_policy = "layer3+4"`, []string{"balance-xor", "802.3ad", "balance-tlb"}, "has no effect in mode"},
		{mii + `num_grat_arp = 255`, all, ""},
		{mii + `num_grat_arp = 256`, nil, "out of range"},
		{mii + `all_slaves_active = true`, all, ""},
		{mii + `arp_validate = "all"`, nil, "without arp_interval"},
		{mii + `min_links = 2`, all, ""},
		{mii + `min_links = 3`, nil, "never be good enough"},
		{mii + `min_links = 0`, nil, "out of range"},
		{mii + `degraded_weight = -253`, all, ""},
		{mii + `degraded_weight = -254`, nil, "write a number from -253 to 0"},
		{mii + `degraded_weight = 1`, nil, "write a number from -253 to 0"},
		{mii + `xmit-hash-policy = "layer2"`, nil, `did you mean "xmit_hash_policy"?`},
	} {
		for _, mode := range all {
			text := fmt.Sprintf("[bond.bond0]\nmanage = true\nmode = %q\nlinks = [\"eth1\", \"eth2\"]\n%s\n%s", mode, c.lines, minimal)
			plan, problems := Parse("f", []byte(text), testEnv())
			good := strings.Contains(strings.Join(c.modes, " "), mode)
			switch {
			case good && len(problems) > 0:
				t.Errorf("%s, %q: %s", mode, c.lines, problems.Strings())
			case !good && (len(problems) != 1 || !strings.Contains(problems[0].String(), c.want)):
				t.Errorf("%s, %q: got %q, want one problem with %q", mode, c.lines, problems.Strings(), c.want)
			}
			if plan != nil {
				roundTrip(t, plan)
			}
		}
	}
	targets := make([]string, 17)
	for i := range targets {
		targets[i] = fmt.Sprintf("%q", fmt.Sprintf("192.0.2.%d", i+1))
	}
	for n, errors := range map[int]int{0: 1, 1: 0, 16: 0, 17: 1} {
		text := "[bond.b]\nmanage = true\nmode = \"balance-rr\"\nlinks = [\"eth1\"]\narp_interval = \"1s\"\narp_ip_target = [" + strings.Join(targets[:n], ", ") + "]\n" + minimal
		if _, problems := Parse("f", []byte(text), testEnv()); len(problems) != errors {
			t.Errorf("%d targets: %q", n, problems.Strings())
		}
	}
}

// TestBondDamaged: a mistake in the syntax is not followed by complaints about
// what is missing for it.
func TestBondDamaged(t *testing.T) {
	whole := []string{`manage = true`, `mode = "active-backup"`, `links = ["eth1"]`, `miimon = "100ms"`}
	for i, line := range whole {
		lines := append([]string{}, whole...)
		lines[i] = strings.Replace(line, " =", "", 1)
		_, problems := Parse("f", []byte("[bond.bond0]\n"+strings.Join(lines, "\n")+"\n"+minimal), testEnv())
		if len(problems) != 1 || problems[0].Line != i+2 {
			t.Errorf("%s: %q", lines[i], problems.Strings())
		}
	}
}

// TestBondInterval: an interval that the monitor of a bond makes impossible is
// a doubt, one that is just long enough is none.
func TestBondInterval(t *testing.T) {
	env := testEnv()
	bond0 := bonding.Bond{Name: "bond0", Mode: bonding.ModeActiveBackup, MIIMon: 100 * time.Millisecond, DownDelay: 200 * time.Millisecond}
	bond1 := bonding.Bond{Name: "bond1", Mode: bonding.Mode8023AD, MIIMon: 10 * time.Millisecond}
	blind := bonding.Bond{Name: "blind", Mode: bonding.ModeActiveBackup}
	under := map[string][]bonding.Bond{"bond0": {bond0}, "vlan10": {bond0}, "br0": {blind, bond0, bond1}, "blind": {blind}}
	env.BondsUnder = func(iface string) []bonding.Bond { return slices.Clone(under[iface]) }
	managed := "[bond.bond0]\nmanage = true\nmode = \"active-backup\"\nlinks = [\"eth1\"]\nmiimon = \"10ms\"\ndowndelay = \"19ms\"\n"
	for _, c := range []struct {
		table, iface, interval string
		warnings               int
	}{
		{"", "bond0", "250ms", 0}, {"", "bond0", "240ms", 1}, {"", "vlan10", "240ms", 1}, {"", "br0", "240ms", 1}, {"", "br0", "250ms", 0},
		{"", "eth0", "10ms", 0}, {"", "blind", "10ms", 0}, {"[bond.bond0]\n", "bond0", "240ms", 1},
		// What vrrpd will make of the bond counts; downdelay as the kernel rounds it.
		{managed, "bond0", "20ms", 1}, {managed, "bond0", "10ms", 2}, {managed, "br0", "20ms", 1}, {managed, "br0", "10ms", 2},
		{managed, "bond0.7", "10ms", 2}, {managed, "bond00", "10ms", 1},
	} {
		text := c.table + strings.Replace(minimal, `"eth0"`, fmt.Sprintf("%q\nadvert_interval = %q", c.iface, c.interval), 1)
		plan, problems := Parse("f", []byte(text), env)
		if plan == nil || len(problems) != c.warnings {
			t.Errorf("%s%s every %s: %q, want %d warnings", c.table, c.iface, c.interval, problems.Strings(), c.warnings)
		}
	}
}

// TestBondsAskedOnce: the host is asked once for an interface, however many
// instances are on it.
func TestBondsAskedOnce(t *testing.T) {
	env, asked := testEnv(), map[string]int{}
	env.BondsUnder = func(iface string) []bonding.Bond { asked[iface]++; return nil }
	if plan, problems := Parse("f", routers(600), env); plan == nil || asked["v0"] != 1 || len(asked) != 3 {
		t.Errorf("asked for %v: %q", asked, problems.Strings())
	}
}

// TestManagedBondAbsent: an interface that vrrpd will make is not missed.
func TestManagedBondAbsent(t *testing.T) {
	text := "[bond.eth7]\n%s\n" + strings.Replace(minimal, "eth0", "eth7", 1)
	if _, problems := Parse("f", fmt.Appendf(nil, text, ""), testEnv()); len(problems) != 1 {
		t.Errorf("left alone: %q", problems.Strings())
	}
	managed := "manage = true\nmode = \"active-backup\"\nlinks = [\"eth1\"]\nmiimon = \"100ms\""
	if _, problems := Parse("f", fmt.Appendf(nil, text, managed), testEnv()); len(problems) != 0 {
		t.Errorf("managed: %q", problems.Strings())
	}
}

// TestHostBonds: the loopback interface runs over no bond, on any host.
func TestHostBonds(t *testing.T) {
	for _, name := range []string{"lo", "no such one"} {
		if bonds := BondsUnder(name); len(bonds) > 0 {
			t.Errorf("%s: %+v", name, bonds)
		}
	}
}
