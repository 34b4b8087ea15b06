package daemon

import (
	"context"
	"sync"
	"time"
)

// A stateWriter writes the state file apart from the loop. The latest state
// wins; a disk that fails is told once and tried again with the next change.
type stateWriter struct {
	path, boot string
	failed     func(error)

	mu      sync.Mutex
	next    *savedState
	wake    chan struct{}
	hurry   chan chan struct{} // closed in answer when what was saved is written
	closing chan struct{}
	done    chan struct{}
}

// stateGap parts two writes: a storm of changes is one, and two peers that
// disagree in the form of the checksum do not keep the disk busy. statePatience
// is how long an operator is kept waiting for a disk.
const (
	stateGap      = 200 * time.Millisecond
	statePatience = time.Second
)

func newStateWriter(path, boot string, failed func(error)) *stateWriter {
	w := &stateWriter{path: path, boot: boot, failed: failed, wake: make(chan struct{}, 1),
		hurry: make(chan chan struct{}), closing: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *stateWriter) save(s savedState) {
	w.mu.Lock()
	w.next = &s
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *stateWriter) run() {
	defer close(w.done)
	told := false
	var gap <-chan time.Time // nil: over
	for {
		wake := w.wake
		if gap != nil {
			wake = nil
		}
		closing := false
		var waiting chan struct{}
		select {
		case <-gap:
			gap = nil
			continue
		case <-wake:
		case waiting = <-w.hurry:
		case <-w.closing:
			closing = true
		}
		w.mu.Lock()
		s := w.next
		w.next = nil
		w.mu.Unlock()
		if s != nil {
			err := writeState(w.path, *s)
			if err != nil && !told {
				w.failed(err)
			}
			told = err != nil
			gap = time.After(stateGap)
		}
		if waiting != nil {
			close(waiting)
		}
		if closing {
			return
		}
	}
}

// flush returns when what was saved before is written, or could not be: what
// an operator was told is done must outlive a daemon that is killed the next
// moment. It gives up on a disk that hangs.
func (w *stateWriter) flush(ctx context.Context) {
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, statePatience)
	defer cancel()
	written := make(chan struct{})
	select {
	case w.hurry <- written:
	case <-w.done:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// close writes what is left and ends the writer. The file stays: it tells the
// next run which form of checksum the peers understand, and which demotions
// are to persist.
func (w *stateWriter) close() {
	if w == nil {
		return
	}
	close(w.closing)
	<-w.done
}
