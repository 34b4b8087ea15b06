package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// runGuest is process 1 of a User-Mode Linux guest: it makes the machine's files
// into a system of its own, runs the job, and turns the guest off.
func runGuest() int {
	status, err := guest()
	if err != nil {
		status = complain(err)
	}
	fmt.Printf("\nlab: guest ended with status %d\n", status)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		complain(fmt.Errorf("power off: %w", err))
	}
	return status
}

func guest() (status int, err error) {
	b, err := os.ReadFile(os.Getenv(jobVar))
	if err != nil {
		return 0, err
	}
	var job guestJob
	if err := json.Unmarshal(b, &job); err != nil {
		return 0, fmt.Errorf("%s: %w", os.Getenv(jobVar), err)
	}
	os.Clearenv()
	for _, kv := range job.Env {
		key, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(key, value); err != nil {
			return 0, fmt.Errorf("environment: %w", err)
		}
	}
	if err := mountGuest(job); err != nil {
		return 0, err
	}
	if err := modprobe(job.Root, job.Modules...); err != nil {
		return 0, err
	}
	// Where nothing is kept the lab's directory is a tmpfs: it takes sockets and
	// shared mappings, which files of the machine may not.
	dir := job.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("/tmp", "vrrpd-lab-"); err != nil {
			return 0, err
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			return 0, err
		}
	}
	cmd := exec.Command(job.Program, job.Args...)
	cmd.Dir = job.Dir
	cmd.Env = append(job.Env, stageVar+"="+stageInside, guestVar+"=1", dirVar+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stdout
	fmt.Print(guestBegin)
	return runProgram(cmd), nil
}

// mountGuest makes /run and /tmp writable over the machine's files, and the kernel
// visible.
func mountGuest(job guestJob) error {
	mounts := []struct{ source, target, kind, data string }{
		{"proc", "/proc", "proc", ""},
		{"sysfs", "/sys", "sysfs", ""},
		{"tmpfs", "/run", "tmpfs", "mode=755"},
	}
	for _, m := range mounts {
		if err := unix.Mount(m.source, m.target, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	// What the job needs may lie in /tmp, so that is not hidden but laid over.
	if err := modprobe(job.Root, "overlay"); err != nil {
		return err
	}
	for _, dir := range []string{"/run/.upper", "/run/.work"} {
		if err := os.Mkdir(dir, 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	const layers = "lowerdir=/tmp,upperdir=/run/.upper,workdir=/run/.work"
	if err := unix.Mount("overlay", "/tmp", "overlay", 0, layers); err != nil {
		return fmt.Errorf("mount /tmp: %w", err)
	}
	if job.Keep == "" {
		return nil
	}
	if err := unix.Mount("none", job.Keep, "hostfs", 0, job.Keep); err != nil {
		return fmt.Errorf("mount %s: %w", job.Keep, err)
	}
	return nil
}

// modprobe loads modules of the guest's kernel; what is built in counts.
func modprobe(root string, modules ...string) error {
	for _, name := range modules {
		out, err := exec.Command("modprobe", "-d", root, name).CombinedOutput()
		if err != nil {
			return fmt.Errorf("load %s: %w: %s", name, err, out)
		}
	}
	return nil
}
