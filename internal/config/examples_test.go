package config

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// skip skips a test that lacks what it needs, unless nothing may be skipped.
func skip(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// examples are the files below examples/ with a suffix. Those in examples/bond
// are about bonds, and tested where bonds are.
func examples(t *testing.T, suffix string) (files []string) {
	t.Helper()
	err := filepath.WalkDir("../../examples", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, suffix) && filepath.Base(filepath.Dir(path)) != "bond" {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples/**/*%s: %v", suffix, err)
	}
	return files
}

// TestExamples: every example loads without a doubt on a host that has what it
// refers to.
func TestExamples(t *testing.T) {
	for _, file := range examples(t, ".toml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		plan, problems := Parse(file, data, testEnv())
		if len(problems) > 0 {
			t.Error(strings.Join(problems.Strings(), "\n"))
			continue
		}
		roundTrip(t, plan)
	}
}

// TestTutorial: the pair of every keepalived tutorial says what it is to say.
func TestTutorial(t *testing.T) {
	for name, priority := range map[string]uint8{"master": 100, "backup": 90} {
		data, err := os.ReadFile("../../examples/tutorial/" + name + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		plan, problems := Parse(name, data, testEnv())
		if plan == nil {
			t.Fatal(problems.Strings())
		}
		c, in := plan.Checks[0], plan.Instances[0]
		if c.Name != "nginx" || c.Weight != -20 || c.Fall != 2 || c.Rise != 1 || c.Interval != 2*time.Second || c.User != "nobody" {
			t.Errorf("%s: check %+v", name, c)
		}
		want := Address{Prefix: prefix("192.168.1.100/24"), Interface: "bond0", Label: "bond0:0"}
		if in.Interface != "bond0" || in.VRID != 51 || in.Version != 2 || in.Priority != priority || in.Password != "secret" || in.Addresses[0] != want {
			t.Errorf("%s: instance %+v", name, in)
		}
	}
}

// TestExamplePairs: the two files of a pair agree on the virtual routers and
// differ in the priority.
func TestExamplePairs(t *testing.T) {
	for _, file := range examples(t, "node1.toml") {
		var plans [2]*Plan
		for i, name := range []string{file, strings.TrimSuffix(file, "1.toml") + "2.toml"} {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if plans[i], _ = Parse(name, data, testEnv()); plans[i] == nil {
				t.Fatal(name, "does not load")
			}
		}
		for i, a := range plans[0].Instances {
			b := plans[1].Instances[i]
			if a.Interface != b.Interface || a.VRID != b.VRID || a.Version != b.Version || a.Addresses[0] != b.Addresses[0] || a.Priority <= b.Priority {
				t.Errorf("%s and its peer do not make a pair", file)
			}
			if a.Unicast != nil && (a.Unicast.Source != b.Unicast.Peers[0] || b.Unicast.Source != a.Unicast.Peers[0]) {
				t.Errorf("%s and its peer do not hear each other", file)
			}
		}
	}
}

// TestCheckNginx runs the example script with commands that play nginx.
func TestCheckNginx(t *testing.T) {
	script, err := filepath.Abs("../../examples/check_nginx.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, pgrep, curl string
		wget              string // in place of curl, which is missing then
		args              []string
		want              int
		output            string
	}{
		{name: "fast", pgrep: "exit 0", args: []string{"--fast"}},
		{name: "down", pgrep: "exit 1", curl: "echo 200", want: 1, output: "no nginx master process\n"},
		{name: "down fast", pgrep: "exit 1", args: []string{"--fast"}, want: 1, output: "no nginx master process\n"},
		{name: "page", pgrep: "exit 0", curl: "printf 200"},
		{name: "not found", pgrep: "exit 0", curl: "printf 404"},
		{name: "broken", pgrep: "exit 0", curl: "printf 502", want: 1, output: "http://127.0.0.1/ answers 502\n"},
		{name: "refused", pgrep: "exit 0", curl: "printf 000; exit 7", want: 1, output: "http://127.0.0.1/ answers 000\n"},
		{name: "url", pgrep: "exit 0", curl: `for u in "$@"; do :; done; [ "$u" = http://x/ ] && printf 200`, args: []string{"http://x/"}},
		{name: "wget", pgrep: "exit 0", wget: "echo '  HTTP/1.1 301 Moved' >&2; echo '  HTTP/1.1 200 OK' >&2"},
		{name: "wget broken", pgrep: "exit 0", wget: "echo '  HTTP/1.1 500 Oops' >&2; exit 8", want: 1, output: "http://127.0.0.1/ answers 500\n"},
		{name: "wget refused", pgrep: "exit 0", wget: "echo 'connection refused' >&2; exit 4", want: 1, output: "http://127.0.0.1/ answers nothing\n"},
		{name: "neither", pgrep: "exit 0", want: 1, output: "neither curl nor wget is installed; use --fast\n"},
	} {
		dir := t.TempDir()
		for name, body := range map[string]string{"pgrep": c.pgrep, "curl": c.curl, "wget": c.wget, "awk": `exec /usr/bin/awk "$@"`} {
			if body == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(script, c.args...)
		cmd.Env = []string{"PATH=" + dir}
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != c.want || string(out) != c.output {
			t.Errorf("%s: exit status %d, want %d; output %q, want %q", c.name, got, c.want, out, c.output)
		}
	}
}

// TestUnit: systemd reads the unit without a complaint. The program need not
// be installed for that, so another stands in for it.
func TestUnit(t *testing.T) {
	data, err := os.ReadFile("../../examples/vrrpd.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Type=notify", "ExecStart=/usr/local/sbin/vrrpd -c /etc/vrrpd.toml", "ExecReload=/bin/kill -HUP $MAINPID", "RuntimeDirectory=vrrpd", "RuntimeDirectoryPreserve=yes"} {
		if !strings.Contains(string(data), "\n"+line+"\n") {
			t.Errorf("the unit has no line %s", line)
		}
	}
	for _, set := range []string{"CapabilityBoundingSet", "AmbientCapabilities"} {
		line := regexp.MustCompile(`(?m)^` + set + `=.*$`).FindString(string(data))
		for _, c := range []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"} {
			if !strings.Contains(line, c) {
				t.Errorf("%s lacks %s", set, c)
			}
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		skip(t, "systemd-analyze is missing; install the package systemd")
	}
	unit := filepath.Join(t.TempDir(), "vrrpd.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(data), "/usr/local/sbin/vrrpd", "/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
