package netif

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

const insideVariable = "VRRPD_TEST_NETIF_NAMESPACE"

// TestMain runs the tests in a network namespace of their own, so that nothing
// they do reaches the host. Without root a user namespace is made too.
func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		goleak.VerifyTestMain(m)
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
