package config

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefix(s string) netip.Prefix { p, _ := netip.ParsePrefix(s); return p }
func addr(s string) netip.Addr     { a, _ := netip.ParseAddr(s); return a }

// withKey is the minimal file with a line of its own for the instance. A key
// that the file has already is replaced.
func withKey(lines string) string {
	name, _, _ := strings.Cut(lines, " ")
	var out []string
	for line := range strings.SplitSeq(minimal, "\n") {
		if !strings.HasPrefix(line, name+" ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n") + lines + "\n"
}

// TestLimits tries both sides of every limit.
func TestLimits(t *testing.T) {
	many := func(n int, format string) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"`+format+`"`, i/250, i%250+1))
		}
		return "addresses = [" + strings.Join(list, ", ") + "]"
	}
	v2 := "\nversion = 2"
	for _, c := range []struct {
		lines string
		want  string // part of the only error, "" for none
	}{
		{"vrid = 1", ""}, {"vrid = 255", ""}, {"vrid = 0", "0 is out of range"}, {"vrid = 256", "256 is out of range"},
		{"priority = 1", ""}, {"priority = 255", ""}, {"priority = 0", "out of range"}, {"priority = 256", "out of range"}, {"priority = -1", "out of range"},
		{"version = 2", ""}, {"version = 1", "out of range"}, {"version = 4", "out of range"},
		{`advert_interval = "10ms"`, ""}, {`advert_interval = "40.95s"`, ""}, {`advert_interval = "9ms"`, "out of range"},
		{`advert_interval = "40.96s"`, "out of range"}, {`advert_interval = "15ms"`, "not a multiple of 10ms"},
		{`advert_interval = "1s"` + v2, ""}, {`advert_interval = "255s"` + v2, ""}, {`advert_interval = "256s"` + v2, "out of range"},
		{`advert_interval = "1.5s"` + v2, "not whole seconds"}, {`advert_interval = "100ms"` + v2, "not whole seconds"},
		{`advert_interval = 1`, `must be a string with a unit; write "1s"`},
		{`interface = "abcdefghijklmno"`, ""}, {`interface = "abcdefghijklmnop"`, "longer than 15 bytes"}, {`interface = "eth0:1"`, "cannot be the name"},
		{`interface = ""`, "empty"}, {`interface = ".."`, "cannot be the name"},
		{`preempt_delay = "0s"`, ""}, {`preempt_delay = "-1s"`, "out of range"}, {`start_delay = "90s"`, ""},
		{"preempt_delay = \"1s\"\npreempt = false", "preempt is false"},
		{`handover_timeout = "auto"`, ""}, {`handover_timeout = "3s"`, ""}, {`handover_timeout = "0s"`, "out of range"}, {`handover_timeout = 3`, `write "3s"`},
		{`handover = "immediate"`, ""}, {`handover = "hold"`, ""}, {`handover = "later"`, "hold"}, {`lease = "off"`, ""}, {`lease = "auto"`, ""}, {`lease = "8s"`, ""}, {`lease = "4500ms"`, `"5s"`}, {`lease = "3s"`, `at least "4s"`}, {`lease = "1s"`, "2s to"}, {`lease = "on"`, `"off"`},
		{`conflict = "report"`, ""}, {`conflict = "yield"`, "report"},
		{`virtual_mac = false`, ""}, {`virtual_mac = true`, "not built yet"},
		{`checksum = "pseudo_header"`, ""}, {`checksum = "pseudo_header"` + v2, "one form of checksum only"}, {`checksum = "auto"` + v2, ""},
		{many(255, "10.1.%d.%d/8"), ""}, {many(256, "10.1.%d.%d/8"), "put the others in extra_addresses"},
		{many(90, "fe80::%d:%d/64"), ""}, {many(91, "fe80::%d:%d/64"), "put the others in extra_addresses"},
		{`addresses = ["192.0.2.0/31", "192.0.2.3/31", "192.0.2.4/32", "192.0.2.5"]`, ""},
		{`addresses = ["192.0.2.0/30"]`, "the network itself"}, {`addresses = ["192.0.2.3/30"]`, "broadcast"}, {`addresses = ["255.255.255.255"]`, "broadcast"},
		{`addresses = ["fe80::/64"]`, "the network itself"}, {`addresses = ["fe80::/127"]`, ""}, {`addresses = ["fe80::1"]` + v2, "version 2 knows IPv4 only"},
		{`addresses = ["192.0.2.1/24", "fe80::1/64"]`, "the first address is IPv4"},
		{`addresses = ["192.0.2.1/33"]`, "is not an IP address"}, {`addresses = ["192.0.2.01/24"]`, "is not an IP address"},
		{`addresses = [{ address = "192.0.2.1/24", label = "eth0:web" }]`, ""},
		{`addresses = [{ address = "192.0.2.1/24", label = "eth0:0123456789a" }]`, "longer than 15 bytes"},
		{`addresses = [{ address = "192.0.2.1/24", label = "eth00" }]`, "does not start with"},
		{`addresses = [{ address = "192.0.2.1/24", interface = "vlan5", label = "vlan5:0" }]`, ""},
		{`addresses = [{ address = "192.0.2.1/24", interface = "vlan5", label = "eth0:0" }]`, "does not start with"},
		{`addresses = [{ label = "eth0:0" }]`, "it is missing"},
		{`extra_addresses = ["2001:db8::1/64", "192.0.2.9/24"]`, ""}, {`extra_addresses = ["192.0.2.1/24"]`, "given twice"},
		{`auth = { type = "pass", password = "12345678" }` + v2, ""}, {`auth = { type = "pass", password = "123456789" }` + v2, "keepalived silently"},
		{`auth = { type = "pass", password = "" }` + v2, "empty"}, {`auth = { type = "pass" }` + v2, "there is no password"},
		{`auth = { type = "pass", password_file = "/etc/vrrpd/pass" }` + v2, ""}, {`auth = { type = "pass", password = "1" }`, "removed it"},
		{`auth = { password = "1" }` + v2, "it is missing"}, {"strict = true\nauth = { type = \"pass\", password = \"1\" }" + v2, "strict is set"},
		{`unicast = { peers = ["192.0.2.7"] }`, ""}, {`unicast = { source = "192.0.2.8", peers = ["192.0.2.7"], min_ttl = 1 }`, ""},
		{`unicast = { peers = ["192.0.2.7"], min_ttl = 0 }`, "out of range"}, {`unicast = { source = "192.0.2.7", peers = ["192.0.2.7"] }`, "this node"},
		{`unicast = { peers = ["fe80::7"] }`, "same family"}, {`unicast = { peers = ["192.0.2.1"] }`, "one of the virtual addresses"},
		{`unicast = { source = "192.0.2.8" }`, "it is missing"},
		{`announce = { burst = 20, again = "0s", refresh = "1s" }`, ""}, {`announce = { burst = 21 }`, "out of range"}, {`announce = { burst = 0 }`, "out of range"},
		{`announce = { refresh = "999ms" }`, "too often"}, {`announce.burst = 3`, ""},
		{`Priority = 5`, `did you mean "priority"?`},
	} {
		_, problems := Parse("f", []byte(withKey(c.lines)), testEnv())
		errs := problems.Errors()
		switch {
		case c.want == "" && len(errs) > 0:
			t.Errorf("%.60s: %s", c.lines, errs[0])
		case c.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].String(), c.want)):
			t.Errorf("%.60s: got %q, want one error with %q", c.lines, errs.Strings(), c.want)
		}
	}
}

// TestIdleWeights: at a limit of the priority a weight that leads beyond it
// matters once another leads away from it.
func TestIdleWeights(t *testing.T) {
	const checks = `
[check.up]
tcp = "192.0.2.9:1"
weight = 20
[check.down]
tcp = "192.0.2.9:2"
weight = -20
[check.load]
command = ["/bin/true"]
contract = "nagios"
weight = 20
warning_weight = -5
[check.file]
file = { path = "/run/weight", test = "number" }
`
	const other = `
[instance.other]
interface = "eth0"
vrid = 52
priority = 254
addresses = ["192.0.2.2/24"]
track = ["down"]
`
	for _, c := range []struct {
		lines, more string
		want        int // weights that change nothing
	}{
		{`track = ["up"]`, "", 0},
		{"priority = 254\ntrack = [\"up\"]", "", 1},
		{"priority = 254\ntrack = [\"up\", \"down\"]", "", 0},
		{"priority = 254\ntrack = [\"up\", \"file\"]", "", 0},
		{"priority = 254\ntrack = [\"load\"]", "", 0},
		{"priority = 254\ntrack = [\"up\"]", "[bond.bond0]\ndegraded_weight = -5\n", 0},
		{"priority = 254\ntrack = [\"up\"]", other, 1},
		{"priority = 254\ntrack = [\"up\"]", other + "[group.site]\ninstances = [\"web\", \"other\"]\n", 0},
		{"priority = 1\ntrack = [\"down\"]", "", 1},
		{"priority = 1\ntrack = [\"down\", \"up\"]", "", 0},
		{"priority = 255\ntrack = [\"down\", \"up\"]", "", 2},
	} {
		plan, problems := Parse("f", []byte(checks+minimal+c.lines+"\n"+c.more), testEnv())
		if plan == nil {
			t.Fatalf("%s: %q", c.lines, problems.Strings())
		}
		if got := strings.Count(strings.Join(problems.Strings(), "\n"), "changes nothing"); got != c.want {
			t.Errorf("%s\n%s: %q, want %d weights that change nothing", c.lines, c.more, problems.Strings(), c.want)
		}
	}
}

// TestCheckUser: whom a check runs as, and where its complaints point.
func TestCheckUser(t *testing.T) {
	file := "[check.c]\ncommand = [\"/bin/true\"]\n%s\n" + minimal + "track = [\"c\"]\n"
	plan, problems := Parse("f", fmt.Appendf(nil, file, ""), testEnv())
	if len(problems) > 0 || plan.Checks[0].RunAs.User != "nobody" {
		t.Error(problems.Strings())
	}
	plan, _ = Parse("f", fmt.Appendf(nil, file, `user = "www-data"`), testEnv())
	if plan == nil || plan.Checks[0].User != "www-data" || plan.Checks[0].RunAs.User != "www-data" {
		t.Error("user www-data was not taken over")
	}
	_, problems = Parse("f", fmt.Appendf(nil, file, `user = "stranger"`), testEnv())
	want := []string{"f:3:8: check.c.user: this process cannot become user stranger; choose another user, or run as root"}
	if diff := cmp.Diff(want, problems.Strings()); diff != "" {
		t.Error(diff)
	}
	_, problems = Parse("f", fmt.Appendf(nil, file, `user = ""`), testEnv())
	if len(problems) != 1 {
		t.Error(problems.Strings())
	}
}

// TestInlinePassword: a password in a file that others may read is a doubt,
// and never printed.
func TestInlinePassword(t *testing.T) {
	file := []byte(withKey("auth = { type = \"pass\", password = \"hunter2\" }\nversion = 2"))
	for mode, warnings := range map[uint32]int{0o600: 0, 0o640: 1, 0o644: 1} {
		env := testEnv()
		plan, problems := parse("f", file, 0, env)
		if plan == nil || len(problems) != 0 {
			t.Fatal(problems.Strings())
		}
		plan, problems = parse("f", file, modeOf(mode), env)
		if plan == nil || plan.Instances[0].Password != "hunter2" || len(problems) != warnings {
			t.Errorf("mode %o: %q", mode, problems.Strings())
		}
		if strings.Contains(plan.TOML(true)+plan.TOML(false), "hunter2") {
			t.Error("the password is printed")
		}
		if again, _ := Parse("f", []byte(plan.TOML(true)), env); again != nil {
			t.Error("what is printed without the password loads, without authentication")
		}
	}
}

func modeOf(bits uint32) fs.FileMode { return fs.FileMode(bits) }
