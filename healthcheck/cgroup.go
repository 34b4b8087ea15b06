package healthcheck

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// cgroupPrefix is what the directory of a process's checks is called, before
// its pid.
const cgroupPrefix = "vrrpd-checks."

// Cgroups makes cgroups for commands, below the cgroup of this process. A
// process can leave its process group, but not its cgroup.
type Cgroups struct {
	dir string

	mu      sync.Mutex
	err     error // why none is used any more
	trusted bool  // a process lived in one to its end
	made    int   // so far
}

// OpenCgroups prepares to make cgroups. The error says why that cannot be done
// here: there is no cgroup v2, it is not writable, or the kernel cannot kill
// one whole (before Linux 5.14). Commands run without, then.
//
// What a process of an earlier run left there, because it was killed, is killed
// and removed.
func OpenCgroups() (*Cgroups, error) {
	own, err := ownCgroup("/proc/self/mountinfo", "/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	sweep(own)
	c := &Cgroups{dir: filepath.Join(own, cgroupPrefix+strconv.Itoa(os.Getpid()))}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(c.dir, "cgroup.kill")); err != nil {
		return nil, errors.Join(errors.New("this kernel cannot kill a cgroup: Linux 5.14 is needed"), os.Remove(c.dir))
	}
	return c, nil
}

// ownCgroup finds the directory of this process's cgroup in the unified
// hierarchy (cgroups(7)).
func ownCgroup(mountinfo, cgroup string) (string, error) {
	mounts, err := os.ReadFile(mountinfo)
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile(cgroup)
	if err != nil {
		return "", err
	}
	path, found := "", false
	for line := range strings.Lines(string(groups)) {
		if p, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "0::"); ok {
			path, found = p, true
		}
	}
	dir, err := "", errors.New("no cgroup v2 is mounted")
	for line := range strings.Lines(string(mounts)) {
		// proc_pid_mountinfo(5): the type follows a lone hyphen.
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		if !found {
			return "", errors.New("this process is in no cgroup v2")
		}
		root, mounted := unescapeMount(fields[3]), unescapeMount(fields[4])
		// In a container, what is mounted may be a part of the hierarchy.
		below, rel := filepath.Rel(root, path)
		if rel != nil || below == ".." || strings.HasPrefix(below, "../") {
			err = fmt.Errorf("cgroup %s is not below what is mounted on %s", path, mounted)
			continue
		}
		dir, err = filepath.Join(mounted, below), nil
		if _, hidden := os.Stat(filepath.Join(dir, "cgroup.procs")); hidden == nil {
			return dir, nil // others may be hidden by what is mounted above them
		}
	}
	return dir, err
}

// unescapeMount undoes the octal escapes of /proc/PID/mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// sweep removes what processes that are gone left in a cgroup. What cannot be
// removed is in nobody's way.
func sweep(own string) {
	left, _ := filepath.Glob(filepath.Join(own, cgroupPrefix+"[0-9]*")) // the pattern is well formed
	for _, dir := range left {
		pid := strings.TrimPrefix(filepath.Base(dir), cgroupPrefix)
		if _, err := os.Stat(filepath.Join("/proc", pid)); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
			removeCgroup(dir)
		}
	}
}

// Err says why commands are not put into cgroups any more, or nil.
func (c *Cgroups) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Make makes a cgroup for one command at a time. The name is for people who
// look; it must be one path element, and need not be unique. A nil Cgroups
// makes none, which is no error.
func (c *Cgroups) Make(name string) (*Cgroup, error) {
	if c == nil {
		return nil, nil
	}
	g := &Cgroup{all: c, name: name}
	return g, g.renew()
}

// Close removes the directory of all cgroups, and what is left in it.
func (c *Cgroups) Close() error {
	if c == nil {
		return nil
	}
	return removeCgroup(c.dir)
}

// A Cgroup is where the processes of one command live. A nil Cgroup is none.
//
// A directory is used until something in it had to be killed, and then replaced
// by a fresh one: recent kernels (seen in Linux 6.18) kill a process as it is
// cloned into a cgroup that was ever killed, if that of its parent was not.
type Cgroup struct {
	all  *Cgroups
	name string

	mu    sync.Mutex
	dir   string
	spent []string // directories that are not used any more
}

// renew makes a fresh directory, and removes those before it as far as all that
// was killed in them is gone.
func (g *Cgroup) renew() error {
	g.all.mu.Lock()
	g.all.made++
	dir := filepath.Join(g.all.dir, fmt.Sprintf("check-%s.%d", g.name, g.all.made))
	g.all.mu.Unlock()
	if g.dir != "" {
		g.spent, g.dir = append(g.spent, g.dir), ""
	}
	g.spent = slices.DeleteFunc(g.spent, func(d string) bool { return os.Remove(d) == nil })
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	g.dir = dir
	return nil
}

// start starts a process in the cgroup, and reports whether it is in it. Where
// it cannot be started for the cgroup's sake, it is started without: a service
// manager may forbid clone3(2), or the cgroup was taken away.
func (g *Cgroup) start(argv []string, attr *os.ProcAttr) (p *os.Process, inside bool, err error) {
	attr.Sys.UseCgroupFD = false
	if g == nil || g.all.Err() != nil {
		p, err = os.StartProcess(argv[0], argv, attr)
		return p, false, err
	}
	p, err = g.startInside(argv, attr)
	if err == nil {
		return p, true, nil
	}
	attr.Sys.UseCgroupFD = false
	p, plain := os.StartProcess(argv[0], argv, attr)
	if plain == nil {
		g.all.giveUp(fmt.Errorf("start in a cgroup: %w", startError(err)))
	}
	return p, false, plain
}

func (g *Cgroup) startInside(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir == "" {
		if err := g.renew(); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(g.dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(f.Fd())
	return os.StartProcess(argv[0], argv, attr)
}

func (c *Cgroups) giveUp(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// believes is told how the first process ended that was started in a cgroup and
// that nobody here has killed. A kernel with the fault above kills every one,
// if this process's own cgroup was killed before it came there; then it is to be
// started again, without.
func (c *Cgroups) believes(status syscall.WaitStatus) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	killed := status.Signaled() && status.Signal() == syscall.SIGKILL
	switch {
	case c.trusted:
		return true
	case c.err != nil:
		return !killed
	case killed:
		c.err = errors.New("the kernel kills what is started in a new cgroup, because that of vrrpd was killed once")
		return false
	}
	c.trusted = true
	return true
}

// kill ends every process of the cgroup.
func (g *Cgroup) kill() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir == "" {
		return nil
	}
	if events, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events")); err != nil || !strings.Contains(string(events), "populated 1") {
		if errors.Is(err, os.ErrNotExist) { // somebody removed it, so it was empty
			return nil
		}
		return err
	}
	err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
	g.spent, g.dir = append(g.spent, g.dir), ""
	return err
}

// Close kills what is left in the cgroup and removes it.
func (g *Cgroup) Close() error {
	if g == nil {
		return nil
	}
	err := g.kill()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir != "" {
		g.spent = append(g.spent, g.dir)
	}
	for _, d := range g.spent {
		err = errors.Join(err, removeCgroup(d))
	}
	g.dir, g.spent = "", nil
	return err
}

// removeCgroup removes a cgroup and those in it. Killed processes leave it a
// moment after they are killed; until then it is busy.
func removeCgroup(dir string) error {
	inner, _ := filepath.Glob(filepath.Join(dir, "check-*")) // names hold nothing that is special to Glob
	for deadline := time.Now().Add(deathPatience); ; time.Sleep(time.Millisecond) {
		for _, d := range inner {
			_ = os.Remove(d) // the outer one cannot be removed as long as one is left
		}
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOTEMPTY) || time.Now().After(deadline) {
			return err
		}
	}
}
