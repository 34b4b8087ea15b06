package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// A moved check is an executable that keepalived runs on one host and vrrpd on
// another, unchanged.
type moved struct {
	name     string
	command  func(dir, host string) []string
	contract string
	// service makes what the executable looks at, running.
	service func(t *testing.T, dir string, h *lab.Host) (up, down func())
}

// movedScript is as people have them. As another user than was asked for it
// would never pass.
const movedScript = `#!/bin/sh
# Is the service there?
[ "$(id -un)" = nobody ] || exit 3
test -e "$1" || { echo "no $1" >&2; exit 1; }
`

var movedChecks = []moved{
	{"script", func(dir, host string) []string { return []string{dir + "/check.sh", dir + "/" + host} }, "exit",
		func(t *testing.T, dir string, h *lab.Host) (up, down func()) {
			path := filepath.Join(dir, h.Name)
			up = func() { put(t, path, "", 0o644) }
			up()
			return up, func() { must(t, os.Remove(path)) }
		}},
	{"check_tcp", func(_, _ string) []string {
		return []string{pluginDir + "check_tcp", "-H", "127.0.0.1", "-p", "8080", "-t", "1"}
	}, "nagios",
		func(t *testing.T, _ string, h *lab.Host) (up, down func()) {
			var l net.Listener
			up = func() {
				must(t, h.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:8080"); return err }))
			}
			down = func() { must(t, l.Close()) }
			up()
			t.Cleanup(func() { l.Close() })
			return up, down
		}},
	{"check_procs", func(_, host string) []string {
		return []string{pluginDir + "check_procs", "-C", "moved-" + host, "-c", "1:"}
	}, "nagios",
		func(t *testing.T, dir string, h *lab.Host) (up, down func()) {
			sleep, err := os.ReadFile("/bin/sleep")
			must(t, err)
			path := filepath.Join(dir, "moved-"+h.Name)
			put(t, path, string(sleep), 0o755)
			var p *lab.Process
			up = func() { p = h.Start(path, "3600") }
			up()
			return up, func() { p.Kill() }
		}},
}

const pluginDir = "/usr/lib/nagios/plugins/"

// TestMovedChecks: what was a vrrp_script of keepalived's does the same as a
// check of vrrpd, the executable being one and the same.
func TestMovedChecks(t *testing.T) {
	for _, m := range movedChecks {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if m.contract == "nagios" {
				lab.Require(t, pluginDir+m.name, "monitoring-plugins-basic")
			}
			m.play(t)
		})
	}
}

// How both are configured.
const (
	movedWeight = -30
	movedRise   = 2
	movedFall   = 3
	theirs      = 150 // keepalived's priority
	ours        = 140
)

func (m moved) play(t *testing.T) {
	l := lab.New(t)
	sw := l.Switch("lan")
	a, b := sw.Host("a", "192.0.2.1/24"), sw.Host("b", "192.0.2.2/24")
	dir, err := os.MkdirTemp("", "moved")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	put(t, dir+"/check.sh", movedScript, 0o755)
	upA, downA := m.service(t, dir, a)
	upB, downB := m.service(t, dir, b)
	sniff := sw.Sniff()

	r := lab.Router{Interval: 100 * time.Millisecond, Priority: ours, Addresses: []string{"192.0.2.100/24"}}
	n := newNode(t, l, b, r.Vrrpd("web")+fmt.Sprintf("track = [\"service\"]\n[check.service]\ncommand = [%s]\ncontract = %q\ninterval = \"1s\"\nweight = %d\nrise = %d\nfall = %d\nuser = \"nobody\"\n",
		`"`+strings.Join(m.command(dir, "b"), `", "`)+`"`, m.contract, movedWeight, movedRise, movedFall))
	n.start()
	lab.Until(t, 20*time.Second, "the check to pass", func() bool { return n.status().Checks[0].Passing })
	started := time.Now()
	r.Priority = theirs
	instance := strings.TrimSuffix(r.Keepalived("VI_1"), "}\n") + "\ttrack_script {\n\t\tservice\n\t}\n}\n"
	a.KeepalivedConf(fmt.Sprintf("global_defs {\n\trouter_id a\n}\nvrrp_script service {\n\tscript %q\n\tinterval 1\n\tweight %d\n\trise %d\n\tfall %d\n\tuser nobody\n}\n",
		strings.Join(m.command(dir, "a"), " "), movedWeight, movedRise, movedFall) + instance)

	// Each step takes as many runs, a second apart, with either.
	speaks := func(h *lab.Host, priority int, since time.Time, runs int) {
		t.Helper()
		seen := sniff.WaitAdvert(30*time.Second, fmt.Sprintf("%s to be active with priority %d", h.Name, priority), func(a lab.Advert) bool {
			return a.At.After(since) && a.From == h.Addr(false) && a.Priority == priority
		})
		took := seen.At.Sub(since)
		t.Logf("%s active with priority %d after %v", h.Name, priority, took.Round(time.Millisecond))
		if least := time.Duration(runs-1) * time.Second; took < least-200*time.Millisecond {
			t.Errorf("that is less than %d runs", runs)
		}
	}
	step := func(change func()) time.Time { at := time.Now(); change(); return at }
	speaks(a, theirs, started, 0)
	speaks(b, ours, step(downA), movedFall)
	speaks(a, theirs+movedWeight, step(downB), movedFall)
	speaks(b, ours, step(upB), movedRise)
	speaks(a, theirs, step(upA), movedRise)
	for _, check := range n.status().Checks {
		t.Logf("%s: %s, %s", check.Name, check.Verdict, check.Summary)
	}
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), mode))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
