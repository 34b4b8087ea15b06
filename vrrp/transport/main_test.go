package transport

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// insideVariable marks the test process that has a network namespace of its
// own.
const insideVariable = "VRRPD_TEST_INSIDE_NAMESPACE"

// TestMain runs the tests in a network namespace made for them (and, without
// root, a user namespace), so that nothing they do can reach the host.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) == "" {
		os.Exit(runInside())
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runInside() int {
	runtime.LockOSThread() // Pdeathsig follows the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case os.Getenv("VRRPD_REQUIRE_ALL") != "1":
		fmt.Fprintf(os.Stderr, "skipped: no network namespace: %v; run as root or allow user namespaces\n", err)
		return 0
	}
	fmt.Fprintf(os.Stderr, "no network namespace for the tests: %v\n", err)
	return 1
}
