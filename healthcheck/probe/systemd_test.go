package probe

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// systemdScript makes a place for systemd to be the first process of: a cgroup
// of its own, and nothing of the machine that it could write to. Its
// generators would read the machine's configuration, so they are hidden.
const systemdScript = `set -e
echo $$ >"$CGROUP/cgroup.procs"
exec unshare --cgroup sh -ec '
	mount --make-rprivate /
	mount -o remount,bind,ro /
	mount -t proc proc /proc
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	for dir in /run /tmp /var/log /etc/systemd/system /usr/lib/systemd/system-generators; do mount -t tmpfs tmpfs $dir; done
	mkdir -p /run/systemd/system /run/dbus
	cat >/run/systemd/system/lab.target <<X
[Unit]
DefaultDependencies=no
X
	cat >/run/systemd/system/sleeper.service <<X
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sleep 300
X
	cat >/run/systemd/system/failing@.service <<X
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/false
X
	cat >/run/systemd/system/dbus.socket <<X
[Unit]
DefaultDependencies=no
[Socket]
ListenStream=/run/dbus/system_bus_socket
X
	cat >/run/systemd/system/dbus.service <<X
[Unit]
DefaultDependencies=no
Requires=dbus.socket
[Service]
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
X
	exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no
'
`

// A manager is a systemd of the test's own.
type manager struct{ pid int }

func startSystemd(t testing.TB) *manager {
	t.Helper()
	lab.Require(t, "/lib/systemd/systemd", "systemd")
	lab.Require(t, "dbus-daemon", "dbus-daemon")
	root := unifiedCgroup(t)
	if root == "" {
		lab.Missing(t, "a cgroup v2 that can be written to")
	}
	cgroup := filepath.Join(root, "probe-test-"+strconv.Itoa(os.Getpid())+"-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		lab.Missing(t, "a cgroup v2 that can be written to: %v", err)
	}
	t.Cleanup(func() { removeCgroup(t, cgroup) })
	var output bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", systemdScript)
	cmd.Env = append(os.Environ(), "CGROUP="+cgroup)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Setsid:     true,
	}
	must(t, cmd.Start())
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it its whole namespace
		<-done
		if t.Failed() {
			t.Logf("systemd said:\n%s", output.String())
		}
	})
	m := &manager{cmd.Process.Pid}
	lab.Until(t, 30*time.Second, "systemd to answer", func() bool {
		select {
		case <-done:
			t.Fatalf("systemd ended:\n%s", output.String())
		default:
		}
		_, err := os.Stat(m.file(privatePath))
		return err == nil
	})
	return m
}

// unifiedCgroup is where a cgroup v2 is mounted.
func unifiedCgroup(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1]
		}
	}
	return ""
}

// removeCgroup removes the cgroup and those that systemd made in it.
func removeCgroup(t testing.TB, dir string) {
	lab.Until(t, 10*time.Second, "the cgroup to go", func() bool {
		var dirs []string
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		must(t, err)
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = unix.Rmdir(dirs[i]) // its processes may not be gone yet
		}
		_, err = os.Stat(dir)
		return os.IsNotExist(err)
	})
}

// Its files are seen through /proc, from outside.
func (m *manager) file(path string) string { return "/proc/" + strconv.Itoa(m.pid) + "/root" + path }

// private is where systemd listens directly. It talks to processes only that it
// can see, so a relay in its pid namespace stands between.
func (m *manager) private(t testing.TB) dbusSocket {
	t.Helper()
	at := filepath.Join(t.TempDir(), "private")
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(m.pid), "-p", self)
	cmd.Env = append(os.Environ(), relayVar+"="+m.file(privatePath), relayVar+"_AT="+at)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close() // ends it
		_ = cmd.Wait()
	})
	lab.Until(t, 10*time.Second, "the relay", func() bool { _, err := os.Stat(at); return err == nil })
	return dbusSocket{path: at, direct: true}
}

// relayVar makes the test binary a relay to the socket that it names.
const relayVar = "PROBE_TEST_RELAY"

// relay passes everything between connections to a socket and another one,
// until its input ends.
func relay(at, to string) {
	l, err := net.Listen("unix", at+".new")
	if err == nil {
		err = os.Rename(at+".new", at) // when it is there, somebody listens
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", to)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				in.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from) // either end may close at any time
				to.Close()
				from.Close()
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

const privatePath = "/run/systemd/private"

func (m *manager) bus() dbusSocket { return dbusSocket{path: m.file("/run/dbus/system_bus_socket")} }

// systemctl runs systemctl beside this systemd.
func (m *manager) systemctl(t testing.TB, args ...string) string {
	t.Helper()
	nsenter := []string{"-t", strconv.Itoa(m.pid), "-m", "-p", "systemctl"}
	out, err := exec.Command("nsenter", append(nsenter, args...)...).CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
