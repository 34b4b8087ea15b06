package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupMount is where a host has its cgroups.
const cgroupMount = "/sys/fs/cgroup"

// A Cgroup is one of a host's, for a daemon and all that it starts: nothing can
// leave it (cgroups(7)).
type Cgroup struct {
	host *Host
	path string // on the host
}

// Cgroup makes a cgroup, which ends with the lab, and all in it with it.
func (h *Host) Cgroup() (*Cgroup, error) {
	c := &Cgroup{host: h, path: filepath.Join(cgroupMount, fmt.Sprintf("vrrpd-lab.%s.%d", h.Name, time.Now().UnixNano()))}
	err := h.Do(func() error {
		if _, err := os.Stat(filepath.Join(cgroupMount, "cgroup.procs")); err != nil {
			if err := unix.Mount("cgroup2", cgroupMount, "cgroup2", 0, ""); err != nil {
				return fmt.Errorf("mount a cgroup v2: %w", err)
			}
		}
		return os.Mkdir(c.path, 0o755)
	})
	if err != nil {
		return nil, err
	}
	h.lab.t.Cleanup(c.remove)
	return c, nil
}

// Command makes a command start in the cgroup.
func (c *Cgroup) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("sh", append([]string{"-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, c.path, name}, args...)...)
}

// Processes lists what is in the cgroup and those below it, zombies left out.
func (c *Cgroup) Processes() (pids []int) {
	c.each(func(dir string) {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return // it has gone
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	})
	return pids
}

// Processor is the processor time of all that was ever in it.
func (c *Cgroup) Processor() (sum time.Duration) {
	err := c.host.Do(func() error {
		text, err := os.ReadFile(filepath.Join(c.path, "cpu.stat"))
		if err != nil {
			return err
		}
		_, err = fmt.Sscanf(string(text), "usage_usec %d", &sum)
		return err
	})
	if err != nil {
		c.host.lab.t.Fatalf("processor time of %s: %v", c.path, err)
	}
	return sum * time.Microsecond
}

// each calls f with every directory, the deepest last.
func (c *Cgroup) each(f func(dir string)) {
	_ = c.host.Do(func() error { // what vanishes meanwhile is not missed
		return filepath.WalkDir(c.path, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				f(path)
			}
			return nil
		})
	})
}

// remove ends what is left in the cgroup, and removes it.
func (c *Cgroup) remove() {
	poll(5*time.Second, func() bool {
		var dirs []string
		c.each(func(dir string) { dirs = append(dirs, dir) })
		_ = c.host.Do(func() error {
			for i := len(dirs) - 1; i >= 0; i-- {
				if os.Remove(dirs[i]) != nil {
					_ = os.WriteFile(filepath.Join(dirs[i], "cgroup.kill"), []byte("1"), 0)
				}
			}
			return nil
		})
		return len(dirs) == 0
	})
}
