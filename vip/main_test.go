package vip

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

const insideVariable = "VRRPD_TEST_VIP_NAMESPACE"

// TestMain runs the tests in a network namespace of their own, so that all
// threads are in it and nothing reaches the host. Without root a user namespace
// is made too.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		goleak.VerifyTestMain(m)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1))
	case err != nil:
		fmt.Fprintf(os.Stderr, "vip: no network namespace for the tests (root or unprivileged user namespaces needed): %v\n", err)
		if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
			os.Exit(1)
		}
		// What needs no kernel runs all the same; the rest is skipped.
		os.Exit(m.Run())
	}
}

// needNamespace skips a test that would otherwise touch the host. Where nothing
// may be skipped, TestMain has ended the run by then.
func needNamespace(t testing.TB) {
	t.Helper()
	if os.Getenv(insideVariable) == "" {
		t.Skip("no network namespace: run as root or allow unprivileged user namespaces")
	}
}
