package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// maxProcesses bounds Process.Min, and so how many processes are held.
const maxProcesses = 64

// Process passes while a process runs: one of that name, or the one whose
// number is in a file. A zombie does not run.
//
// The name is what the kernel calls the process (/proc/PID/comm): the base name
// of the file that was executed, also that of a script with "#!", unless the
// process renamed itself. Where somebody calls an interpreter ("python3
// app.py") it is the interpreter's; then CommandLine tells them apart. The
// kernel keeps 15 bytes; of a longer name these must agree, and the base name
// of the first or second argument with all of it.
//
// Processes are those in /proc, with those of containers where it shows them.
// It is gone through only until enough have been found, and not again as long
// as these live: their death is noticed at once (pidfd_open(2), Linux 5.3;
// before that, each is looked at 20 times a second).
type Process struct {
	Name        string // at least one of Name, CommandLine and PIDFile
	CommandLine string // regular expression (RE2) that must match the arguments, joined by blanks
	PIDFile     string // absolute; with the others it must be such a process
	Min         int    // so many must run; 0: 1. Not with PIDFile
}

type processProbe struct {
	spec    Process
	pattern *regexp.Regexp // nil: any
	aside   aside          // reading the arguments of a process can hang with it
	open    func(pid int) (*process, error)

	mu   sync.Mutex
	held []*process // alive when last looked at; only while watching
	wake func()     // nil: nobody is watching
	wait sync.WaitGroup
}

// New judges the spec.
func (s Process) New() (Probe, error) {
	p := &processProbe{spec: s, aside: newAside(), open: openProcess}
	switch {
	case s.Name == "" && s.CommandLine == "" && s.PIDFile == "":
		return nil, invalid("name", "it names no process")
	case strings.ContainsAny(s.Name, "/\x00\n"):
		return nil, invalid("name", "%q cannot be the name of a process: it is without a directory", s.Name)
	case s.PIDFile != "" && (!filepath.IsAbs(s.PIDFile) || strings.ContainsRune(s.PIDFile, 0)):
		return nil, invalid("pid_file", "%q is not an absolute path", s.PIDFile)
	case s.Min < 0 || s.Min > maxProcesses:
		return nil, invalid("min", "%d is not a number from 1 to %d", s.Min, maxProcesses)
	case s.Min > 1 && s.PIDFile != "":
		return nil, invalid("min", "a file names one process")
	}
	if s.CommandLine != "" {
		var err error
		if p.pattern, err = regexp.Compile(s.CommandLine); err != nil {
			return nil, invalid("command_line", "%s", err)
		}
	}
	p.spec.Min = max(s.Min, 1)
	return p, nil
}

func (p *processProbe) String() string {
	switch {
	case p.spec.PIDFile != "":
		return "process of " + p.spec.PIDFile
	case p.spec.Name != "":
		return "process " + p.spec.Name
	}
	return "process with " + strconv.Quote(p.spec.CommandLine)
}

// wanted is the kind of process in words: "named nginx".
func (p *processProbe) wanted() string {
	var b []string
	if p.spec.Name != "" {
		b = append(b, "named "+p.spec.Name)
	}
	if p.spec.CommandLine != "" {
		b = append(b, "with arguments like "+strconv.Quote(p.spec.CommandLine))
	}
	return strings.Join(b, " ")
}

func (p *processProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	return p.aside.do(l, func() Outcome {
		alive, problem := p.find(l)
		if problem != "" {
			return fail("%s", problem)
		}
		switch n := len(alive); {
		case p.spec.PIDFile != "":
			return pass("process %d of %s is running", alive[0], p.spec.PIDFile)
		case n < p.spec.Min && n == 0:
			return fail("no process %s is running", p.wanted())
		case n < p.spec.Min:
			return fail("%d of at least %d processes %s are running", n, p.spec.Min, p.wanted())
		case p.spec.Min > 1:
			return pass("at least %d processes %s are running", n, p.wanted())
		}
		return pass("process %d %s is running", alive[0], p.wanted())
	})
}

// find returns the numbers of processes that fit, up to as many as are needed.
// It is called once at a time, but Watch may begin or end meanwhile.
func (p *processProbe) find(l look) (alive []int, problem string) {
	p.mu.Lock()
	held := slices.Clone(p.held)
	p.mu.Unlock()
	var found []*process
	if p.spec.PIDFile != "" {
		held, found, problem = p.ofFile(l, held)
	} else {
		held = slices.DeleteFunc(held, func(h *process) bool { return h.dead() || !p.fits(h.pid) })
		if len(held) < p.spec.Min {
			found, problem = p.scan(l, held)
		}
	}
	for _, h := range append(slices.Clone(held), found...) {
		alive = append(alive, h.pid)
	}
	p.keep(held, found)
	return alive, problem
}

// ofFile finds the process that the file names.
func (p *processProbe) ofFile(l look, held []*process) (still, found []*process, problem string) {
	text, err := readBeginning(p.spec.PIDFile, fileRead)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, p.spec.PIDFile + " does not exist"
	} else if err != nil {
		return nil, nil, p.spec.PIDFile + ": " + l.why(err)
	}
	line := oneLine(text, outputLimit)
	pid, err := strconv.Atoi(line)
	if err != nil || pid < 1 {
		return nil, nil, fmt.Sprintf("%s: %q is not the number of a process", p.spec.PIDFile, line)
	}
	h := &process{}
	if i := slices.IndexFunc(held, func(h *process) bool { return h.pid == pid && !h.dead() }); i >= 0 {
		h = held[i]
		still = []*process{h}
	} else if h, err = p.open(pid); err != nil || h.dead() {
		if err == nil {
			h.close()
		}
		if err == nil || errors.Is(err, syscall.ESRCH) {
			return nil, nil, fmt.Sprintf("process %d of %s is not running", pid, p.spec.PIDFile)
		}
		return nil, nil, fmt.Sprintf("process %d of %s: %s", pid, p.spec.PIDFile, l.why(err))
	} else {
		found = []*process{h}
	}
	if !p.fits(pid) {
		h.close()
		return nil, nil, fmt.Sprintf("process %d of %s is %q, and not one %s", pid, p.spec.PIDFile, commOf(pid), p.wanted())
	}
	return still, found, ""
}

// scan goes through /proc for processes that are not held yet.
func (p *processProbe) scan(l look, held []*process) (found []*process, problem string) {
	err := eachProcess(func(pid int) bool {
		if !p.fits(pid) || slices.ContainsFunc(held, func(h *process) bool { return h.pid == pid }) {
			return !gone(l.ctx)
		}
		h, err := p.open(pid)
		if err != nil {
			return true // it is gone already
		}
		// Once more: until it was held the number could become another's.
		if h.dead() || !p.fits(pid) {
			h.close()
		} else {
			found = append(found, h)
		}
		return len(held)+len(found) < p.spec.Min && !gone(l.ctx)
	})
	if err != nil {
		problem = "list the processes: " + l.why(err)
	}
	return found, problem
}

// fits reports whether a process is one that is wanted.
func (p *processProbe) fits(pid int) bool {
	if name := p.spec.Name; name != "" {
		comm := commOf(pid)
		if comm != name[:min(len(name), commLen)] {
			return false
		}
		if len(name) > commLen {
			args := argumentsOf(pid)
			if !slices.ContainsFunc(args[:min(len(args), 2)], func(a string) bool { return filepath.Base(a) == name }) {
				return false
			}
		}
	}
	if p.pattern == nil {
		return true
	}
	args := argumentsOf(pid)
	return len(args) > 0 && p.pattern.MatchString(strings.Join(args, " "))
}

// keep takes over what a look found: while somebody watches, the processes
// remain held.
func (p *processProbe) keep(still, found []*process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wake == nil {
		for _, h := range found {
			h.close()
		}
		return
	}
	for _, h := range p.held {
		if !slices.Contains(still, h) {
			h.close()
		}
	}
	p.held = append(still, found...)
	for _, h := range found {
		wake := p.wake
		p.wait.Go(func() {
			if h.awaitDeath() {
				wake()
			}
		})
	}
}

// Watch notices the death of the processes that Probe found. That others come
// into being is found by the interval.
func (p *processProbe) Watch(ctx context.Context, wake func()) error {
	p.mu.Lock()
	if p.wake != nil {
		p.mu.Unlock()
		return errors.New("watch " + p.String() + ": it is being watched already")
	}
	p.wake = wake
	p.mu.Unlock()
	wake() // Probe finds what there is to hold
	<-ctx.Done()
	p.mu.Lock()
	for _, h := range p.held {
		h.close()
	}
	p.held, p.wake = nil, nil
	p.mu.Unlock()
	p.wait.Wait()
	return nil
}
