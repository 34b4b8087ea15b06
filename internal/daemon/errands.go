package daemon

import (
	"context"
	"sync"
)

// Errands are done for the loop, in order, by somebody who may wait. In the kernel
// whoever joins or leaves a multicast group, or closes a socket that has joined one,
// waits for the lock under which all interfaces are changed. When twenty of them are
// created or deleted that is held for long, and nobody's advertisements are to wait for it.
type errands struct {
	mu   sync.Mutex
	todo []func()
	more chan struct{}
}

func newErrands() *errands { return &errands{more: make(chan struct{}, 1)} }

// add does not wait. It may be called from any goroutine.
func (e *errands) add(do func()) {
	e.mu.Lock()
	e.todo = append(e.todo, do)
	e.mu.Unlock()
	select {
	case e.more <- struct{}{}:
	default: // it is known already
	}
}

// run does what is added until ctx is done and nothing is left.
func (e *errands) run(ctx context.Context) {
	for {
		e.mu.Lock()
		todo := e.todo
		e.todo = nil
		e.mu.Unlock()
		for _, do := range todo {
			do()
		}
		switch {
		case len(todo) > 0:
		case ctx.Err() != nil:
			return
		default:
			select {
			case <-e.more:
			case <-ctx.Done():
			}
		}
	}
}
