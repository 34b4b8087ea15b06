package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"vrrpd/internal/build"
)

const (
	insideVariable = "VRRPD_TEST_VRRPD_NAMESPACE" // the tests, in their namespace
	daemonVariable = "VRRPD_TEST_VRRPD_DAEMON"    // a process that is vrrpd itself
)

// TestMain runs the tests in a network namespace of their own, so that all
// threads and every daemon they start are in it and nothing reaches the host.
// Without root a user namespace is made too.
func TestMain(m *testing.M) {
	if os.Getenv(daemonVariable) != "" || os.Args[0] == commandsName {
		main()
		return
	}
	if os.Getenv(insideVariable) != "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // Pdeathsig follows the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1))
	case os.Getenv("VRRPD_REQUIRE_ALL") != "1":
		fmt.Fprintf(os.Stderr, "skipped: no network namespace: %v; run as root or allow unprivileged user namespaces\n", err)
		os.Exit(0)
	}
	fmt.Fprintf(os.Stderr, "no network namespace for the tests: %v\n", err)
	os.Exit(1)
}

// The scheduler has processors to spare, unless the operator has said how many.
func TestSpareProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []struct {
		set       string
		have, get int
	}{{"", 1, leastProcessors}, {"", 2, leastProcessors}, {"", leastProcessors + 1, leastProcessors + 1}, {"2", 2, 2}} {
		t.Setenv("GOMAXPROCS", c.set) // restores it
		if c.set == "" {
			os.Unsetenv("GOMAXPROCS")
		}
		runtime.GOMAXPROCS(c.have)
		spareProcessors()
		if got := runtime.GOMAXPROCS(0); got != c.get {
			t.Errorf("GOMAXPROCS=%q, %d: %d, want %d", c.set, c.have, got, c.get)
		}
	}
}

// called runs the command in this process.
func called(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlags(t *testing.T) {
	code, stdout, stderr := called("--version")
	if code != 0 || stdout != "vrrpd "+build.Version+"\n" || stderr != "" {
		t.Errorf("--version: %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = called("-h")
	if code != 0 || !strings.HasPrefix(stderr, "usage: vrrpd [-c FILE] ") || !strings.Contains(stderr, "SIGHUP reloads") {
		t.Errorf("-h: %d, %q, %q", code, stdout, stderr)
	}
	for _, c := range []struct{ args, want string }{
		{"--nonsense", "flag provided but not defined: -nonsense\n"},
		{"-c", "flag needs an argument: -c\n"},
		{"web.toml", "vrrpd: unexpected argument \"web.toml\"; did you mean -c web.toml?\n"},
		{"-c a.toml --check b.toml", "vrrpd: unexpected argument \"b.toml\"; did you mean -c b.toml?\n"},
	} {
		if code, stdout, stderr := called(strings.Fields(c.args)...); code != 2 || stdout != "" || !strings.HasPrefix(stderr, c.want) {
			t.Errorf("%s: %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	fine := "[instance.web]\ninterface = \"lo\"\nvrid = 51\naddresses = [\"192.0.2.100/32\"]\n"
	for name, c := range map[string]struct {
		text string
		code int
		want string // one line for each, FILE in place of the name
	}{
		"fine":    {fine, 0, ""},
		"warning": {strings.Replace(fine, `"lo"`, `"absent0"`, 1), 0, "FILE:2:13: instance.web.interface: this host has no interface \"absent0\" now; "},
		"empty":   {"", 2, "FILE:1:1: instance: there is none, so there is nothing to do; add [instance.NAME]"},
		"mistake and warning": {strings.Replace(fine, `"lo"`, `"absent0"`, 1) + "priority = 300\n", 2,
			"FILE:5:12: instance.web.priority: 300 is out of range; write a number from 1 to 255"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, filepath.Join(dir, "check.toml"), c.text)
			code, stdout, stderr := called("-c", file, "--check")
			got := strings.TrimSuffix(strings.ReplaceAll(stderr, file, "FILE"), "\n")
			if code != c.code || stdout != "" || !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "\n") {
				t.Errorf("%d, %q, %q", code, stdout, got)
			}
		})
	}
	t.Run("ten mistakes", func(t *testing.T) {
		const file = "../../internal/config/testdata/bad-ten.toml"
		code, stdout, stderr := called("-c", file, "--check")
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		if code != 2 || stdout != "" || len(lines) != 10 {
			t.Errorf("%d, %q, %d lines:\n%s", code, stdout, len(lines), stderr)
		}
		for _, l := range lines {
			if !strings.HasPrefix(l, file+":") {
				t.Errorf("without a position: %s", l)
			}
		}
		// Without --check the daemon says the same and does not start.
		again, _, same := called("-c", file)
		if again != 2 || same != stderr {
			t.Errorf("started with it: %d\n%s", again, same)
		}
	})
	t.Run("no file", func(t *testing.T) {
		file := filepath.Join(dir, "absent.toml")
		want := file + ":1:1: the file cannot be read: no such file or directory; name a file that can, with -c\n"
		if code, _, stderr := called("-c", file, "--check"); code != 2 || stderr != want {
			t.Errorf("%d, %q", code, stderr)
		}
	})
}
