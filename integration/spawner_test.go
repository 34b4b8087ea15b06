package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// checkedNode is a lone router with a check that takes a while.
func checkedNode(t *testing.T, command string) *node {
	t.Helper()
	l := lab.New(t)
	r := lab.Router{Interval: 100 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}}
	return newNode(t, l, l.Switch("lan").Host("a", "192.0.2.1/24"),
		r.Vrrpd("web")+fmt.Sprintf("track = [\"it\"]\n[check.it]\ncommand = [\"/bin/sh\", \"-c\", %q]\ninterval = \"200ms\"\ntimeout = \"3s\"\n", command))
}

// TestCommandsSurviveTheirProcess: the process that runs commands is killed, or
// hangs. That says nothing of what is checked, so no verdict changes; people are
// told, and another one runs them.
func TestCommandsSurviveTheirProcess(t *testing.T) {
	t.Parallel()
	n := checkedNode(t, "sleep 0.1").start()
	n.waitState("web", "active", 20*time.Second)
	lab.Until(t, 20*time.Second, "the check to pass", func() bool { return n.status().Checks[0].Passing })
	for _, what := range []struct {
		sig  unix.Signal
		says string
	}{{unix.SIGKILL, "signal: killed"}, {unix.SIGSTOP, "it hangs, and was killed"}, {unix.SIGKILL, "signal: killed"}} {
		pid := n.spawned()
		if pid == 0 {
			t.Fatal("no process runs commands")
		}
		must(t, unix.Kill(pid, what.sig))
		n.proc.WaitOutput(fmt.Sprintf("the process that runs commands (pid %d: %s) is replaced; what it ran is run again", pid, what.says), 30*time.Second)
		runs := n.status().Checks[0].Runs
		lab.Until(t, 20*time.Second, "the check to run again", func() bool { return n.status().Checks[0].Runs > runs+2 })
		if again := n.spawned(); again == pid || again == 0 {
			t.Errorf("commands are run by process %d, after %d", again, pid)
		}
	}
	if out := n.must("events"); strings.Contains(out, "failing") || strings.Contains(out, "active -> ") {
		t.Errorf("something came of it:\n%s", out)
	}
	n.proc.Term()
	if err := n.proc.Wait(20 * time.Second); err != nil {
		t.Errorf("vrrpd ended with %v", err)
	}
}

// TestFirstOfAContainer: as process 1 of a pid namespace vrrpd, or the process
// that runs commands, is the parent of every orphan, and reaps them all.
func TestFirstOfAContainer(t *testing.T) {
	t.Parallel()
	n := checkedNode(t, "setsid sleep 2 </dev/null >/dev/null 2>&1 &")
	n.startCommand("unshare", "--pid", "--fork", "--mount-proc", program(t, "vrrpd"), "-c", n.file)
	lab.Until(t, 20*time.Second, "ten runs", func() bool { return n.status().Checks[0].Runs >= 10 })
	pid := n.spawned()
	orphans := childrenOf(n, pid)
	if len(orphans) == 0 {
		t.Fatal("the process that runs commands has no orphans, so nothing is tested")
	}
	must(t, unix.Kill(pid, unix.SIGKILL)) // they go to process 1
	lab.Until(t, 20*time.Second, "another one", func() bool { again := n.spawned(); return again != 0 && again != pid })
	lab.Until(t, 20*time.Second, "orphans to be reaped", func() bool {
		for _, orphan := range orphans {
			if procStat(orphan) != nil {
				return false
			}
		}
		return true
	})
	n.configure(strings.Replace(n.config, "setsid", "true; exit; :", 1))
	n.must("reload")
	lab.Until(t, 20*time.Second, "nothing but vrrpd to be left", func() bool { return len(childrenOf(n, n.spawned())) <= 1 })
}

// childrenOf are the children of a process of a node's.
func childrenOf(n *node, parent int) (pids []int) {
	for _, pid := range n.proc.Tree() {
		if s := procStat(pid); len(s) > 1 && s[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestOperatorsBreakChecks: what happens to programs while they run as checks.
func TestOperatorsBreakChecks(t *testing.T) {
	t.Parallel()
	n := checkedNode(t, "true")
	dir, err := os.MkdirTemp("", "broken")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	script := filepath.Join(dir, "check")
	rewrite(t, script, "#!/bin/sh\nexit 0\n", 0o755)
	n.configure(strings.Replace(n.config, `["/bin/sh", "-c", "true"]`, fmt.Sprintf("[%q]", script), 1))
	n.start()
	passes := func(want bool, says string) {
		t.Helper()
		what := map[bool]string{true: "passing", false: "failing"}[want]
		lab.Until(t, 20*time.Second, fmt.Sprintf("the check to be %s by %q", what, says), func() bool {
			c := n.status().Checks[0]
			return c.Verdict == what && strings.Contains(c.Result, says)
		})
	}
	passes(true, "exit status 0")
	must(t, os.Remove(script))
	passes(false, "cannot start: no such file or directory")
	rewrite(t, script, "#!/bin/sh\nexit 0\n", 0o644)
	passes(false, "cannot start: permission denied")
	must(t, os.Chmod(script, 0o755))
	passes(true, "exit status 0")
	must(t, os.Chmod(script, 0o711)) // a shell has to read it
	passes(false, "exit status 2")   // says dash
	rewrite(t, script, "no program at all\n", 0o755)
	must(t, os.Chmod(script, 0o755))
	passes(false, "cannot start: exec format error")
	rewrite(t, script, "#!"+dir+"/interpreter\n", 0o755)
	passes(false, "cannot start: no such file or directory")
	// Written over in place, again and again, it is never found half open.
	rewrite(t, script, "#!/bin/sh\nexit 0\n", 0o755)
	passes(true, "exit status 0")
	failed := n.status().Checks[0].Since
	for range 150 {
		f, err := os.OpenFile(script, os.O_WRONLY, 0)
		if errors.Is(err, unix.ETXTBSY) { // it begins to run just now
			continue
		}
		must(t, err)
		time.Sleep(2 * time.Millisecond) // as long as a copy takes
		must(t, f.Close())
		time.Sleep(8 * time.Millisecond)
	}
	passes(true, "exit status 0")
	if since := n.status().Checks[0].Since; !since.Equal(failed) {
		t.Errorf("while it was written over the verdict changed:\n%s", n.must("events"))
	}
	// The next load names what is wrong, and nothing is changed.
	must(t, os.Remove(script))
	if _, errs, status := n.ctl("reload"); status == 0 || !strings.Contains(errs, script) {
		t.Errorf("reload: %d, %s", status, errs)
	}
}

// rewrite is put for a file that may begin to run at that moment.
func rewrite(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	lab.Until(t, 5*time.Second, path+" to be written", func() bool {
		err := os.WriteFile(path, []byte(text), mode)
		if !errors.Is(err, unix.ETXTBSY) {
			must(t, err)
		}
		return err == nil
	})
}
