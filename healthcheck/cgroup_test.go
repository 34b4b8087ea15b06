package healthcheck

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cgroups are real ones.
func cgroups(t *testing.T) *Cgroups {
	t.Helper()
	all, err := OpenCgroups()
	need(t, err == nil, fmt.Sprintf("a writable cgroup v2, and Linux 5.14: %v", err))
	t.Cleanup(func() {
		if err := all.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(all.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", all.dir, err)
		}
	})
	return all
}

// escape starts something that leaves the process group, and waits until it
// says so: its pid.
const escape = `mark=$(mktemp); setsid sh -c 'trap "" TERM HUP; echo $$; echo > "$0"; exec sleep 300' "$mark" & until [ -s "$mark" ]; do sleep 0.01; done; rm "$mark"; `

func TestCgroupKillsWhatLeavesTheProcessGroup(t *testing.T) {
	_, err := exec.LookPath("setsid")
	need(t, err == nil, "setsid (package util-linux)")
	all := cgroups(t)
	g, err := all.Make("x")
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"at its end": escape + "exit 4", "at the timeout": escape + "sleep 300"} {
		out := run(t, ExecSpec{Command: sh(script), Timeout: 2 * time.Second, Grace: 10 * time.Millisecond, cgroup: g})
		pid, err := strconv.Atoi(strings.TrimSpace(out.Output))
		if err != nil {
			t.Fatalf("%s: %s, output %q", name, out.Detail(), out.Output)
		}
		eventually(t, "rid of it "+name, func() bool {
			for _, p := range processes(t) {
				if p.pid == pid && p.state != "Z" && p.state != "X" {
					return false
				}
			}
			return true
		})
	}
	if err := all.Err(); err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(all.dir + "/check-*"); err != nil || len(left) > 0 {
		t.Errorf("%s are left: %v", left, err)
	}
}

// A kernel may kill what is started in a cgroup, see Cgroup.
func TestCommandsOutliveAKernelThatKillsThemAtTheirStart(t *testing.T) {
	all := cgroups(t)
	g, err := all.Make("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	out := run(t, ExecSpec{Command: sh("echo fine"), cgroup: g})
	if out.Output != "fine" || out.Detail() != "exit status 0" {
		t.Errorf("%s, %q", out.Detail(), out.Output)
	}
	t.Logf("this kernel: %v", all.Err())

	// One that is believed in is not doubted for a SIGKILL of somebody else's.
	all = &Cgroups{}
	if !all.believes(0) || !all.believes(syscall.WaitStatus(syscall.SIGKILL)) || all.Err() != nil {
		t.Error("a cgroup that worked is doubted")
	}
}

func TestCgroupOfAnotherUser(t *testing.T) {
	need(t, os.Geteuid() == 0, "root")
	g, err := cgroups(t).Make("x")
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, ExecSpec{Command: sh("id -u; cat /proc/self/cgroup"), RunAs: &Credential{UID: 4242, GID: 4242}, cgroup: g})
	if !strings.HasPrefix(out.Output, "4242\n") || !strings.HasSuffix(out.Output, "/"+filepath.Base(g.dir)) {
		t.Errorf("%s: %q", out.Detail(), out.Output)
	}
}

// What takes cgroups away from under the daemon does not take checks along.
func TestCommandsRunWithoutACgroupWhereThereIsNone(t *testing.T) {
	all := cgroups(t)
	g, err := all.Make("x")
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, ExecSpec{Command: []string{"/nonexistent"}, cgroup: g}); out.Detail() != "cannot start: no such file or directory" || all.Err() != nil {
		t.Errorf("a command that is not there: %s, cgroups %v", out.Detail(), all.Err())
	}
	if err := os.Remove(g.dir); err != nil {
		t.Fatal(err)
	}
	out := run(t, ExecSpec{Command: sh("echo fine"), cgroup: g})
	if out.Output != "fine" || all.Err() == nil {
		t.Errorf("%s %q, and cgroups are said to be in order: %v", out.Detail(), out.Output, all.Err())
	}
	var none *Cgroups
	if g, err := none.Make("x"); g != nil || err != nil || none.Close() != nil || g.Close() != nil {
		t.Errorf("no cgroups at all: %v, %v", g, err)
	}
}

// What a daemon that was killed left behind is killed with its cgroup, as long
// as no process has its pid.
func TestOpenCgroupsSweeps(t *testing.T) {
	all := cgroups(t)
	dead := exec.Command("/bin/true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	dirs := map[string]int{"left": dead.Process.Pid, "in use": os.Getppid()}
	for _, pid := range dirs {
		dir := filepath.Join(filepath.Dir(all.dir), cgroupPrefix+strconv.Itoa(pid))
		for _, d := range []string{dir, filepath.Join(dir, "check-x.1")} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		defer removeCgroup(dir)
	}
	left := &Cgroup{all: &Cgroups{}, dir: filepath.Join(filepath.Dir(all.dir), cgroupPrefix+strconv.Itoa(dirs["left"]), "check-x.1")}
	attr := &os.ProcAttr{Sys: &syscall.SysProcAttr{Setpgid: true}}
	p, inside, err := left.start([]string{"/bin/sleep", "300"}, attr)
	if err != nil || !inside {
		t.Fatal(err, left.all.err)
	}
	again, err := OpenCgroups()
	if err != nil || again.dir != all.dir {
		t.Fatalf("opened again: %v", err)
	}
	if state, err := p.Wait(); err != nil || state.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("what was left in it: %v, %v", state, err)
	}
	for name, want := range map[string]bool{"left": false, "in use": true} {
		_, err := os.Stat(filepath.Join(filepath.Dir(all.dir), cgroupPrefix+strconv.Itoa(dirs[name])))
		if (err == nil) != want {
			t.Errorf("the one that is %s: %v", name, err)
		}
	}
}

func TestOwnCgroup(t *testing.T) {
	mounts := "24 1 0:21 / /sys rw - sysfs sysfs rw\n30 24 0:26 %s /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
	for _, tt := range []struct{ name, mountinfo, cgroup, want, err string }{
		{"systemd", fmt.Sprintf(mounts, "/"), "0::/system.slice/vrrpd.service\n", "/sys/fs/cgroup/system.slice/vrrpd.service", ""},
		{"the root", fmt.Sprintf(mounts, "/"), "0::/\n", "/sys/fs/cgroup", ""},
		{"hybrid", fmt.Sprintf(mounts, "/"), "3:cpu:/a\n0::/b\n", "/sys/fs/cgroup/b", ""},
		{"a part is mounted", fmt.Sprintf(mounts, "/a"), "0::/a/b\n", "/sys/fs/cgroup/b", ""},
		{"another part is mounted", fmt.Sprintf(mounts, "/a"), "0::/b\n", "", "cgroup /b is not below what is mounted on /sys/fs/cgroup"},
		{"version 1 alone", "30 24 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "3:cpu:/a\n", "", "no cgroup v2 is mounted"},
		{"not in it", fmt.Sprintf(mounts, "/"), "3:cpu:/a\n", "", "this process is in no cgroup v2"},
		{"a space", "30 24 0:26 / /cgroup\\040v2 rw - cgroup2 cgroup2 rw\n", "0::/a\n", "/cgroup v2/a", ""},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"mountinfo": tt.mountinfo, "cgroup": tt.cgroup} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ownCgroup(filepath.Join(dir, "mountinfo"), filepath.Join(dir, "cgroup"))
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: %q, %v; want %q, %s", tt.name, got, err, tt.want, tt.err)
		}
	}
}
