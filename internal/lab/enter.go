package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The program runs three times over, told apart by stageVar: as started by the
// user (no stage), as process 1 of the lab's pid namespace, and, as a child of
// that, as itself.
const (
	stageVar    = "VRRPD_LAB_STAGE"
	stageInit   = "init"   // process 1 of a pid namespace
	stageGuest  = "guest"  // process 1 of a User-Mode Linux guest
	stageInside = "inside" // the program proper
	dirVar      = "VRRPD_LAB_DIR"
)

// errNotEntered is what New reports in a program that never entered the lab.
var errNotEntered = errors.New("not inside the lab: call lab.Main from TestMain")

// entered is nil once the program runs inside the lab.
var entered = errNotEntered

// Main is a TestMain: it enters the lab and runs the tests there. Where the
// machine does not allow namespaces the tests still run, and those that ask
// for a lab are skipped, or fail if VRRPD_REQUIRE_ALL=1. What before does is
// described with Enter.
func Main(m interface{ Run() int }, before ...func(dir string) error) {
	if err := Enter(before...); err != nil {
		entered = err
	}
	os.Exit(m.Run())
}

// Enter moves the program into the lab. It returns nil inside the lab; outside
// it returns only if the lab could not be made, and otherwise exits with the
// status of the program inside. Call it before anything else: the
// program starts again from the top.
//
// What must happen once and outside, where the real network is (building
// programs, say), goes into before: it gets a directory that stays for as long
// as the lab does, and what it puts into the environment is there inside. If it
// fails the program ends.
func Enter(before ...func(dir string) error) error {
	switch os.Getenv(stageVar) {
	case stageInside:
		entered = nil
		return nil
	case stageInit:
		os.Exit(runInit())
	case stageGuest:
		os.Exit(runGuest())
	}
	// Users other than root often lack these in their path.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	dir, err := os.MkdirTemp("", "vrrpd-lab-")
	if err != nil {
		return fmt.Errorf("make the lab's directory: %w", err)
	}
	// Daemons that drop to a user of their own read their configuration here.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("make the lab's directory: %w", err)
	}
	status, err := 1, error(nil)
	if setUp(dir, before) {
		status, err = runOuter(dir)
	}
	if os.Getenv("VRRPD_LAB_KEEP") != "" {
		fmt.Fprintln(os.Stderr, "lab: logs and captures are in", dir)
	} else if rmErr := os.RemoveAll(dir); rmErr != nil {
		fmt.Fprintln(os.Stderr, "lab:", rmErr)
	}
	if err != nil {
		return err
	}
	os.Exit(status)
	return nil
}

// setUp does what comes before the lab and reports whether it went well.
func setUp(dir string, before []func(dir string) error) bool {
	for _, f := range before {
		if err := f(dir); err != nil {
			complain(err)
			return false
		}
	}
	return true
}

// runOuter runs the program as process 1 of new namespaces and returns its exit
// status. The death signal ties it to this process, and process 1 takes
// everything in the pid namespace with it.
func runOuter(dir string) (int, error) {
	runtime.LockOSThread() // the death signal is the thread's, not the process's
	defer runtime.UnlockOSThread()
	cmd := self(stageInit)
	cmd.Env = append(cmd.Env, dirVar+"="+dir)
	const flags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("make the lab's namespaces (unprivileged user namespaces may be "+
			"turned off here: try as root): %w", err)
	}
	defer forwardSignals(cmd.Process.Pid)()
	return exitStatus(cmd.Wait())
}

// runInit is process 1 of the pid namespace: it gives the namespace a /proc and
// a loopback of its own, starts the program, and reaps orphans until that ends.
func runInit() int {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return complain(fmt.Errorf("make the mounts private: %w", err))
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return complain(fmt.Errorf("mount /proc: %w", err))
	}
	return runProgram(self(stageInside))
}

// runProgram starts the program as the child of a process 1 and returns its
// exit status, reaping whatever else ends meanwhile.
func runProgram(cmd *exec.Cmd) int {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return complain(fmt.Errorf("set up lo: %w", err))
	}
	if err := cmd.Start(); err != nil {
		return complain(fmt.Errorf("start %s: %w", os.Args[0], err))
	}
	defer forwardSignals(cmd.Process.Pid)()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return complain(fmt.Errorf("wait for %s: %w", os.Args[0], err))
		case pid == cmd.Process.Pid && status.Signaled():
			return 128 + int(status.Signal())
		case pid == cmd.Process.Pid:
			return status.ExitStatus()
		}
	}
}

// self is this program again, with the same arguments and files, at the given
// stage.
func self(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(withoutStage(os.Environ()), stageVar+"="+stage)
	return cmd
}

// withoutStage returns an environment for a program that is no stage of the lab.
func withoutStage(env []string) []string {
	var kept []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, stageVar+"=") {
			kept = append(kept, kv)
		}
	}
	return kept
}

// forwardSignals passes on what `go test` and terminals send, until the
// returned function is called.
func forwardSignals(pid int) (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				// The child may have ended at this very moment; its wait tells.
				_ = unix.Kill(pid, s.(syscall.Signal))
			}
		}
	}()
	return func() { signal.Stop(signals); close(done) }
}

// exitStatus turns what Wait returned into the status a shell would report.
func exitStatus(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}

// complain prints why a stage could not do its part.
func complain(err error) int {
	fmt.Fprintln(os.Stderr, "lab:", err)
	return 1
}
