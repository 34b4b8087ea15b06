package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// inheritance prints what a check has of vrrpd: capabilities, descriptors,
// signals that are ignored, locked memory, scheduling policy, and how the kernel
// looks at it when memory is short.
const inheritance = `#!/bin/sh
grep -E '^(Cap(Inh|Prm|Eff|Amb)|SigIgn|VmLck|Groups):' /proc/$$/status | tr -s '\t ' ' '
# 10 is the shell's for this script; what it listed them with is closed by then.
for fd in /proc/$$/fd/*; do n=${fd##*/}; test "$n" = 10 || ! test -L "$fd" || echo "fd $n"; done
cut -d' ' -f41 /proc/$$/stat | sed 's/^/policy /'
sed 's/^/oom /' /proc/$$/oom_score_adj
`

// TestChecksInheritNothing: nothing that vrrpd was given, by whoever started it,
// reaches a check, nor what it has opened; also where it is not root, as with
// User= and AmbientCapabilities= of systemd.
func TestChecksInheritNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		uid  int
	}{
		{"root", 0},
		{"another user", 4242},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			dir, err := os.MkdirTemp("", "inherit")
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			must(t, os.Chmod(dir, 0o755))
			script, copied := filepath.Join(dir, "inheritance"), filepath.Join(dir, "vrrpd")
			put(t, script, inheritance, 0o755)
			text, err := os.ReadFile(program(t, "vrrpd"))
			must(t, err)
			put(t, copied, string(text), 0o755)
			r := lab.Router{Interval: 100 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}}
			n := newNode(t, l, l.Switch("lan").Host("a", "192.0.2.1/24"), r.Vrrpd("web")+fmt.Sprintf("track = [\"it\"]\n[check.it]\ncommand = [%q]\n", script))
			n.file = filepath.Join(dir, "vrrpd.toml")
			n.configure(n.config)
			must(t, os.Chown(filepath.Dir(n.socket), tc.uid, tc.uid))
			cmd := exec.Command(copied, "-c", n.file)
			cmd.Dir = "/"
			if tc.uid != 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(tc.uid), Gid: uint32(tc.uid)},
					AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}}
			}
			n.startCmd(cmd)
			n.waitState("web", "active", 20*time.Second)
			if status := statusOf(t, n.proc.Pid); tc.uid != 0 && !strings.Contains(status, "\nCapAmb:\t0000000000003000\n") {
				t.Fatalf("vrrpd has no ambient capabilities, so nothing is tested:\n%s", status)
			}
			lab.Until(t, 20*time.Second, "the check to run", func() bool { return n.status().Checks[0].Runs > 0 })
			want := "SigIgn: 0000000000000000\nCapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapAmb: 0000000000000000\n" +
				"fd 0\nfd 1\nfd 2\npolicy 0\noom 0"
			var got []string
			for line := range strings.Lines(n.status().Checks[0].Output) {
				if groups, ok := strings.CutPrefix(line, "Groups:"); ok {
					if strings.TrimSpace(groups) != "" { // neither nobody nor 4242 has any
						t.Errorf("groups %q", groups)
					}
				} else if locked, ok := strings.CutPrefix(line, "VmLck:"); ok {
					if strings.TrimSpace(locked) != "0 kB" {
						t.Errorf("locked memory: %s", locked)
					}
				} else {
					got = append(got, strings.TrimSpace(line))
				}
			}
			if strings.Join(got, "\n") != want {
				t.Errorf("a check has\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
			n.judgeSpawned()
			// By hand it is the same.
			if out := n.must("check", "run", "it"); !strings.Contains(out, "CapEff: 0000000000000000") || !strings.Contains(out, "CapAmb: 0000000000000000") {
				t.Errorf("by hand:\n%s", out)
			}
		})
	}
}

// judgeSpawned looks at the process that runs commands.
func (n *node) judgeSpawned() {
	t := n.t
	t.Helper()
	pid := n.spawned()
	if pid == 0 {
		t.Fatal("no process runs commands")
	}
	if status := statusOf(t, pid); !strings.Contains(status, "\nVmLck:\t       0 kB\n") {
		t.Errorf("its memory is locked:\n%s", status)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*/stat", pid))
	must(t, err)
	for _, task := range tasks {
		// proc_pid_stat(5): the policy is field 41, the state field 3.
		if text, err := os.ReadFile(task); err == nil {
			if f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])); f[41-3] != "0" {
				t.Errorf("a thread of it has the scheduling policy %s", f[41-3])
			}
		}
	}
	// Its own, but for the pair that joins it to vrrpd: pipes of what it runs
	// come and go.
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	sockets := 0
	for _, link := range links {
		target, _ := os.Readlink(link) // it may be closed by now
		switch {
		case strings.HasPrefix(target, "socket:"):
			sockets++
		case strings.HasSuffix(target, ".toml") || strings.Contains(target, "/run/") || target == "/dev/net/tun":
			t.Errorf("it has %s", target)
		}
	}
	if sockets != 1 {
		t.Errorf("it has %d sockets, want 1", sockets)
	}
}

// spawned is the process that runs commands; 0: there is none.
func (n *node) spawned() int {
	for _, pid := range n.proc.Tree() {
		if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(comm) == "vrrpd-commands\n" {
			return pid
		}
	}
	return 0
}

func statusOf(t testing.TB, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
