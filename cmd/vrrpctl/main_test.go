package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"vrrpd/internal/control"
	"vrrpd/internal/control/controltest"
)

// patience of tests with what should take milliseconds.
const testPatience = 10 * time.Second

var update = flag.Bool("update", false, "write the golden files and the manual's examples anew")

// vrrpctl is the built program.
var vrrpctl string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "vrrpctl")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		vrrpctl = filepath.Join(dir, "vrrpctl")
		if out, err := exec.Command("go", "build", "-o", vrrpctl, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build vrrpctl: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// golden compares got with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; go test -update writes it anew):\n%s", path, d)
	}
}

// daemon serves b until the test ends and returns its socket.
func daemon(t *testing.T, b control.Backend) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, _, err := control.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(b, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		<-done
	})
	return socket
}

// call runs vrrpctl to its end.
func call(t *testing.T, socket string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, vrrpctl, args...)
	cmd.Env = append(os.Environ(), "VRRPD_SOCKET="+socket)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("vrrpctl %q: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// until polls for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", testPatience, what)
		}
	}
}

// now is when every golden file was made.
var now = time.Date(2026, 3, 14, 4, 10, 30, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// night is a cluster's active node with a service and a link in trouble.
func night() *control.Status {
	until := now.Add(8 * time.Minute)
	return &control.Status{
		Node: "node1", Version: "0.1.0", UptimeSeconds: 3*3600 + 12*60 + 7, Realtime: "with real-time priority and locked memory",
		Instances: []control.Instance{
			{
				Name: "web", VRID: 51, Version: 3, Family: "ipv4", Interface: "bond0", State: "active",
				Since: ago(3*time.Minute + 12*time.Second), Cause: "no advertisement from 192.0.2.12 for 3.61s",
				Priority: control.Priority{Configured: 100, Effective: 80, Parts: []control.Part{{Source: "check:nginx", Weight: -20}}},
				Preempt:  true, Track: []string{"nginx", "disk"}, Source: "192.0.2.11",
				Addresses: []string{"192.0.2.100/24", "192.0.2.101/24"}, Extra: []string{"2001:db8::100/64"},
				Installed:    []string{"192.0.2.100/24", "192.0.2.101/24", "2001:db8::100/64"},
				ActiveRouter: &control.ActiveRouter{Address: "192.0.2.11", Priority: 80}, Transitions: 3,
				Adverts:  control.Adverts{Sent: 192, Errors: map[string]uint64{"checksum": 1, "ttl": 2}},
				Warnings: []string{"no advertisement of any other router was ever heard; backups are silent, so that is usual for the first node up, but if another node says it is active too, a firewall drops VRRP (IP protocol 112) between them"},
			},
			{
				Name: "db", VRID: 52, Version: 3, Family: "ipv4", Interface: "bond0", State: "backup",
				Since: ago(49 * time.Hour), Cause: "192.0.2.12 is active with priority 100, higher than 90",
				Priority: control.Priority{Configured: 90, Effective: 1, Parts: []control.Part{{Source: "demoted", Weight: -89}}},
				Demoted:  true, DemotedUntil: &until, Source: "192.0.2.11", Addresses: []string{"192.0.2.110/24"},
				ActiveRouter: &control.ActiveRouter{Address: "192.0.2.12", Priority: 100}, Transitions: 1,
				NextEvent: &control.NextEvent{What: "becomes active unless an advertisement is heard", InSeconds: 3.2},
			},
			{
				Name: "mail6", VRID: 53, Version: 3, Family: "ipv6", Interface: "eth2", State: "fault",
				Since: ago(12400 * time.Millisecond), Cause: "eth2 lost its carrier", Reasons: []string{"interface eth2: no carrier", "check disk is failing"},
				Priority: control.Priority{Configured: 100, Effective: 100}, Preempt: true,
				Addresses: []string{"fe80::53/64", "2001:db8::53/64", "2001:db8::54/64"},
			},
		},
		Groups: []control.Group{{Name: "site", State: "backup", Instances: []string{"web", "db"}}},
		Checks: []control.Check{
			{Name: "nginx", Kind: "http", Target: "http http://127.0.0.1/health", Verdict: "failing", Since: ago(12 * time.Second),
				Grade: "failed", Result: "connect 127.0.0.1:80: connection refused", DurationSeconds: 0.012, LastRun: ago(900 * time.Millisecond), Runs: 4210,
				IntervalSeconds: 1, Instances: []string{"web"}},
			{Name: "disk", Kind: "command", Target: "/usr/lib/nagios/plugins/check_disk -w 10% -c 5% -p /", Passing: true, Verdict: "passing", Warning: true, Since: ago(3 * time.Hour),
				Grade: "warning", Result: "exit status 1", Summary: "DISK WARNING - free space: / 7168 MB (7%);",
				Output:          "DISK WARNING - free space: / 7168 MB (7%);| /=95232MB;92160;97280;0;102400",
				PerfData:        []control.PerfData{{Label: "/", Value: new(95232.0), Unit: "MB", Warn: "92160", Crit: "97280", Min: "0", Max: "102400"}},
				DurationSeconds: 0.003, LastRun: ago(time.Second), Runs: 1080, Overruns: 2, IntervalSeconds: 10, Instances: []string{"web", "mail6"},
				Command: []string{"/usr/lib/nagios/plugins/check_disk", "-w", "10%", "-c", "5%", "-p", "/"}, User: "nobody", Confinement: "cgroup"},
			{Name: "backup", Kind: "command", Target: "/usr/local/bin/check_backup --fast", Verdict: "unknown", Since: ago(3 * time.Hour), IntervalSeconds: 60, Instances: []string{},
				Command: []string{"/usr/local/bin/check_backup", "--fast"}, User: "nobody", Confinement: "cgroup"},
		},
		Bonds: []control.Bond{{Name: "bond0", Mode: "active-backup", Health: "degraded", ActiveLink: "eth1", Reasons: []string{"eth0: down"},
			Links: []control.Link{{Name: "eth0", Failures: 2}, {Name: "eth1", Up: true, Active: true, SpeedMbps: 1000}}}},
		Interfaces: []control.Interface{
			{Name: "bond0", Index: 4, Up: true, Errors: map[string]uint64{"vrid": 17}},
			{Name: "eth2", Index: 3, Errors: map[string]uint64{}},
			{Name: "eth3", Index: 5, Up: true},
		},
	}
}

func explanation() *control.Explanation {
	return &control.Explanation{
		Instance: night().Instances[0],
		Why: []string{
			"It took over at 04:07:18 because no advertisement from 192.0.2.12 was heard for 3.61s.",
			"No other router has been heard since.",
		},
		Changes: []string{
			"An advertisement of a priority above 80 takes the addresses away.",
			"When check nginx passes again, the priority returns to 100.",
		},
		Timeline: journal(),
	}
}

func journal() []control.Event {
	return []control.Event{
		{ID: 40, Time: ago(3*time.Minute + 12*time.Second), Kind: "transition", Instance: "web", From: "backup", To: "active",
			Cause: "timeout", Text: "no advertisement from 192.0.2.12 for 3.61s"},
		{ID: 41, Time: ago(12 * time.Second), Kind: "check", Check: "nginx", From: "passing", To: "failing", Text: "exit status 2: connect: connection refused"},
		{ID: 42, Time: ago(11999 * time.Millisecond), Kind: "reload", Text: "nothing changed"},
	}
}

// handRun is a run by hand that does not pass.
func handRun() control.CheckRun {
	c := night().Checks[1]
	c.Verdict, c.Warning, c.Passing = "failing", false, false
	c.Grade, c.Result, c.Output = "failed", "exit status 2", "DISK CRITICAL - free space: / 3072 MB (3%);| /=99328MB;92160;97280;0;102400"
	c.PerfData = []control.PerfData{{Label: "/", Value: new(99328.0), Unit: "MB", Warn: "92160", Crit: "97280", Min: "0", Max: "102400"}}
	c.Instances = []string{"web"}
	return control.CheckRun{Check: c, Before: "passing", Effects: []control.CheckEffect{{Instance: "web", Fault: true}},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "USER=nobody", "LOGNAME=nobody", "LANG=C",
			"VRRPD_CHECK=disk", "VRRPD_NODE=node1", "VRRPD_INSTANCES=web", "VRRPD_INSTANCE=web", "VRRPD_STATE=active"}}
}

// backend is the night's daemon.
func backend() *controltest.Backend {
	return &controltest.Backend{
		State:        *night(),
		Explanations: map[string]*control.Explanation{"web": explanation()},
		Journal:      journal(),
		BondList:     bonds(),
		Diagnosis:    diagnosis(),
		Progress:     []string{"asking 192.0.2.254 over bond0 every 20ms", "moving the active link to eth1, for 4s"},
		Report:       goodDrill(),
		CheckRun:     handRun(),
		Config:       "[node]\nname = \"node1\"\n\n[instance.web]\nvrid = 51\n",
		Outcome:      control.Outcome{Results: []control.Result{{Instance: "web", OK: true, Text: "demoted; 192.0.2.12 took over after 0.61s", Successor: "192.0.2.12", Seconds: 0.61}}},
	}
}
