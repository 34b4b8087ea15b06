package healthcheck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reapEvery is how often [Reap] looks, and so how long an orphan stays a zombie:
// one time to two.
const reapEvery = time.Second

// children are those that somebody in this process waits for.
var children pidSet

type pidSet struct {
	mu   sync.Mutex
	pids map[int]bool
}

func (s *pidSet) add(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pids == nil {
		s.pids = map[int]bool{}
	}
	s.pids[pid] = true
}

func (s *pidSet) remove(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pids, pid)
}

func (s *pidSet) has(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pids[pid]
}

// Reap reaps, until ctx ends, the orphans that a process gets to be the parent
// of because it is the first of its pid namespace, or a subreaper
// (pid_namespaces(7), PR_SET_CHILD_SUBREAPER). The commands that this package
// runs are left to those who wait for them.
func Reap(ctx context.Context) {
	every := time.NewTicker(reapEvery)
	defer every.Stop()
	seen := map[int]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			seen = reap(seen)
		}
	}
}

// reap reaps the zombies that were seen before, and returns the others. One that
// has just been forked by this process is not known at once.
func reap(before map[int]bool) (seen map[int]bool) {
	seen = map[int]bool{}
	for pid := range zombies() {
		switch {
		case children.has(pid):
		case before[pid]:
			// An error: somebody else was faster.
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		default:
			seen[pid] = true
		}
	}
	return seen
}

// zombies are the children of this process that have ended.
func zombies() map[int]bool {
	found := map[int]bool{}
	// The pattern is well formed. Which thread an orphan is given to is not
	// defined.
	threads, _ := filepath.Glob("/proc/self/task/[0-9]*/children")
	for _, thread := range threads {
		list, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for _, field := range strings.Fields(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil && state(pid) == "Z" {
				found[pid] = true
			}
		}
	}
	if len(threads) > 0 {
		return found
	}
	// A kernel without CONFIG_PROC_CHILDREN.
	all, _ := filepath.Glob("/proc/[0-9]*")
	self := strconv.Itoa(os.Getpid())
	for _, dir := range all {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if f := statFields(pid); len(f) > 1 && f[0] == "Z" && f[1] == self {
			found[pid] = true
		}
	}
	return found
}

// state is the state of a process as in proc_pid_stat(5); "" if it is gone.
func state(pid int) string {
	if f := statFields(pid); len(f) > 0 {
		return f[0]
	}
	return ""
}

// statFields are the fields of /proc/PID/stat from the state on.
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}
