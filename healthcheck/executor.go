package healthcheck

import (
	"context"
	"sync"
)

// An Executor runs commands. It may be used by several goroutines, but not for
// two commands of the same cell at the same time.
type Executor interface {
	// Execute is as the function of that name; ExecSpec.Cell says which
	// cgroup the command gets, if it can have one.
	Execute(ctx context.Context, spec ExecSpec) Outcome
	// Release removes the cgroup of a cell, which is not used any more.
	Release(cell string)
	// Confinement says why commands have no cgroups of their own, or nil.
	Confinement() error
	// Close ends what runs, and removes all cgroups. No command is run after.
	Close() error
}

// Local is an Executor that runs commands as children of this process.
//
// While a Go program forks, it cannot stop for its garbage collector, and one
// processor of its scheduler is taken, until the child has found the time to
// call exec(2). On a busy machine that takes long, and for ever where the
// program is on a file system that hangs. A program that must be on time has a
// [Spawner] fork for it.
type Local struct {
	cgroups *Cgroups
	none    error // why there are no cgroups at all

	mu    sync.Mutex
	cells map[string]*Cgroup
}

// NewLocal returns an Executor of this process.
func NewLocal() *Local {
	l := &Local{cells: map[string]*Cgroup{}}
	l.cgroups, l.none = OpenCgroups()
	return l
}

// Execute runs a command.
func (l *Local) Execute(ctx context.Context, spec ExecSpec) Outcome {
	spec.cgroup = l.cell(spec.Cell)
	return Execute(ctx, spec)
}

// cell returns the cgroup of a cell; nil if there is none.
func (l *Local) cell(name string) *Cgroup {
	if name == "" || l.cgroups == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g, ok := l.cells[name]
	if !ok {
		var err error
		if g, err = l.cgroups.Make(name); err != nil {
			l.cgroups.giveUp(err)
			g = nil
		}
		l.cells[name] = g
	}
	return g
}

// Release removes the cgroup of a cell. What cannot be removed now goes with
// Close.
func (l *Local) Release(name string) {
	l.mu.Lock()
	g := l.cells[name]
	delete(l.cells, name)
	l.mu.Unlock()
	_ = g.Close()
}

// Confinement says why commands have no cgroups, or nil.
func (l *Local) Confinement() error {
	if l.cgroups == nil {
		return l.none
	}
	return l.cgroups.Err()
}

// Close removes all cgroups.
func (l *Local) Close() error {
	l.mu.Lock()
	cells := l.cells
	l.cells = map[string]*Cgroup{}
	l.mu.Unlock()
	for _, g := range cells {
		_ = g.Close() // what is left is told of all of them
	}
	return l.cgroups.Close()
}
