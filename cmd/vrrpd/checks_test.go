package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrrpd/internal/control"
)

// priorityIs waits until the only instance has a priority.
func (h *host) priorityIs(want int) *control.Status {
	h.t.Helper()
	return h.until(fmt.Sprintf("priority %d", want), func(s *control.Status) bool { return s.Instances[0].Priority.Effective == want })
}

// Every kind that needs no network follows the real thing, without waiting for
// its interval where it can notice by itself.
func TestKindsOfChecks(t *testing.T) {
	h := newHost(t)
	lo, err := netlink.LinkByName("lo") // of the namespace of the tests
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	server, err := net.Listen("tcp4", "192.0.2.1:0")
	must(t, err)
	defer server.Close()
	mark, weight := filepath.Join(h.dir, "mark"), filepath.Join(h.dir, "weight")
	write(t, mark, "")
	write(t, weight, "-1")
	service := exec.Command("/bin/sleep", "300")
	must(t, service.Start())
	defer service.Process.Kill()
	pid := filepath.Join(h.dir, "pid")
	write(t, pid, fmt.Sprint(service.Process.Pid))
	checks := ""
	for name, kind := range map[string]string{
		"tcp":       fmt.Sprintf("tcp = %q\ninterval = \"100ms\"", server.Addr()),
		"file":      fmt.Sprintf("file = %q", mark),
		"process":   fmt.Sprintf("process = { pid_file = %q }", pid),
		"interface": fmt.Sprintf("interface = %q", h.name),
		"route":     fmt.Sprintf("route = { to = \"192.0.2.0/24\", device = %q }", h.name),
	} {
		checks += fmt.Sprintf("[check.%s]\n%s\nweight = -10\n", name, kind)
		if !strings.Contains(kind, "interval") {
			checks += "interval = \"1h\"\ntimeout = \"5s\"\n"
		}
	}
	h.configure(oneAddress, fmt.Sprintf(`track = ["tcp", "file", "number", "process", "interface", "route"]
[check.number]
file = { path = %q, test = "number" }
interval = "1h"
%s`, weight, checks))
	h.ready()
	h.priorityIs(99)
	for _, c := range h.status().Checks {
		if c.Kind != c.Name && c.Name != "number" || c.Target == "" || c.Command != nil || !slices.Equal(c.Instances, []string{"web"}) {
			t.Errorf("status: %+v", c)
		}
	}
	write(t, weight+".new", "-2")
	must(t, os.Rename(weight+".new", weight))
	h.priorityIs(98)
	must(t, os.Remove(mark))
	h.priorityIs(88)
	must(t, service.Process.Kill())
	_ = service.Wait() // it was killed
	h.priorityIs(78)
	must(t, server.Close())
	h.priorityIs(68)
	write(t, mark, "")
	h.priorityIs(78)
	must(t, os.Remove(weight)) // no number: no weight
	s := h.priorityIs(80)
	for _, c := range s.Checks {
		if c.Unwatched != "" {
			t.Errorf("%s: %s", c.Name, c.Unwatched)
		}
	}
}

// A plugin is told who tracks it, keeps its verdict over a reload, and runs by
// hand as ever.
func TestPluginByHandAndOverReload(t *testing.T) {
	h := newHost(t)
	must(t, os.Chmod(h.dir, 0o755))
	must(t, os.Chmod(filepath.Dir(h.dir), 0o755))
	plugin := filepath.Join(h.dir, "plugin")
	must(t, os.WriteFile(plugin, []byte(`#!/bin/sh
echo "STATE WARNING - $VRRPD_CHECK of $VRRPD_NODE for $VRRPD_INSTANCES ($VRRPD_INSTANCE) is $VRRPD_STATE, $(id -un) | runs=1c;2;3 broken"
exit 1
`), 0o755))
	toml := func(more string) string {
		return fmt.Sprintf(`track = ["state"]
[node]
name = "node1"
[check.state]
command = [%q]
contract = "nagios"
interval = "200ms"
weight = -20
warning_weight = -7
%s
[instance.other]
interface = %q
vrid = 52
advert_interval = "50ms"
addresses = ["192.0.2.101/24"]
`, plugin, more, h.name)
	}
	h.configure(oneAddress, toml(""))
	p := h.ready()
	s := h.until("the check has run while active", func(s *control.Status) bool {
		return strings.Contains(s.Checks[0].Summary, " is active, ")
	})
	c := s.Checks[0]
	if want := "STATE WARNING - state of node1 for web (web) is active, nobody"; c.Summary != want {
		t.Errorf("summary %q, want %q", c.Summary, want)
	}
	if !c.Passing || !c.Warning || c.Grade != "warning" || len(c.PerfData) != 1 || c.PerfData[0].Label != "runs" || *c.PerfData[0].Value != 1 || c.PerfData[0].Unit != "c" || c.PerfDropped != 1 {
		t.Errorf("status: %+v", c)
	}
	if s.Instances[0].Priority.Effective != 93 {
		t.Errorf("priority: %+v", s.Instances[0].Priority)
	}
	if !strings.Contains(p.log.String(), "check state is passing with a warning: STATE WARNING") {
		t.Errorf("the log:\n%s", p.log.String())
	}
	t.Logf("commands are killed by: %s", c.Confinement)

	// By hand.
	run, err := h.client.RunCheck(t.Context(), control.CheckRunRequest{Check: "state", AsInstance: "other"})
	must(t, err)
	if !run.Passed || run.Before != "passing" || !strings.Contains(run.Check.Summary, "for other (other) is ") || !slices.Contains(run.Env, "VRRPD_INSTANCE=other") ||
		len(run.Effects) != 1 || run.Effects[0].Instance != "other" || run.Effects[0].Weight != -7 {
		t.Errorf("by hand: %+v", run)
	}
	var refused *control.StatusError
	for _, q := range []control.CheckRunRequest{{Check: "stat"}, {Check: "state", AsInstance: "nobody"}} {
		if _, err := h.client.RunCheck(t.Context(), q); !errors.As(err, &refused) || refused.Code != 404 {
			t.Errorf("%+v: %v", q, err)
		}
	}

	// Over a reload that changes something else the verdict stays, and so does
	// the count of runs.
	before := h.status().Checks[0]
	h.configure(oneAddress, strings.Replace(toml(""), "warning_weight = -7", "warning_weight = -9", 1))
	_, err = h.client.Reload(t.Context())
	must(t, err)
	after := h.status().Checks[0]
	if after.Since != before.Since || after.Runs < before.Runs || !after.Passing {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	h.priorityIs(91)
	// Changed, it begins anew.
	h.configure(oneAddress, toml("fall = 2\ninitial = \"passing\""))
	_, err = h.client.Reload(t.Context())
	must(t, err)
	if c := h.status().Checks[0]; c.Initial != "passing" || c.Since == before.Since {
		t.Errorf("changed: %+v", c)
	}
	h.priorityIs(93)
	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// A check by hand of a command that hangs is bounded by its timeout, and ends
// with the daemon.
func TestCheckByHandThatHangs(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, `track = [{ check = "hang", weight = -1 }, { check = "stuck", weight = -1 }]
[check.stuck]
command = ["/bin/sleep", "3600"]
interval = "1h"
[check.hang]
command = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 100; done"]
interval = "1h"
timeout = "300ms"
kill_grace = "100ms"
`)
	p := h.ready()
	h.until("failing", func(s *control.Status) bool { return s.Checks[1].Verdict == "failing" })
	run, err := h.client.RunCheck(t.Context(), control.CheckRunRequest{Check: "hang"})
	must(t, err)
	if run.Passed || run.Check.Result != "killed at the timeout of 300ms" || run.Check.DurationSeconds < 0.3 {
		t.Errorf("%+v", run.Check)
	}
	ended := make(chan error)
	go func() {
		_, err := h.client.RunCheck(t.Context(), control.CheckRunRequest{Check: "stuck"})
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond) // whether it waits for its turn by then or not
	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if err := <-ended; err == nil {
		t.Error("a run that hangs for an hour ended well")
	}
}
