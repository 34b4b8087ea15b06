package daemon

import (
	"sync"
	"time"
)

// A stateWriter writes the state file apart from the loop. The latest state
// wins; a disk that fails is told once and tried again with the next change.
type stateWriter struct {
	path, boot string
	failed     func(error)

	mu     sync.Mutex
	next   *savedState
	wake   chan struct{}
	done   chan struct{}
	closed bool
}

func newStateWriter(path, boot string, failed func(error)) *stateWriter {
	w := &stateWriter{path: path, boot: boot, failed: failed, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *stateWriter) save(s savedState) {
	w.mu.Lock()
	w.next = &s
	w.mu.Unlock()
	w.poke()
}

func (w *stateWriter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *stateWriter) run() {
	defer close(w.done)
	told := false
	for range w.wake {
		w.mu.Lock()
		s, closed := w.next, w.closed
		w.next = nil
		w.mu.Unlock()
		if s != nil {
			err := writeState(w.path, *s)
			if err != nil && !told {
				w.failed(err)
			}
			told = err != nil
		}
		if closed {
			return
		}
		// A storm of changes is one write.
		time.Sleep(50 * time.Millisecond)
	}
}

// close writes what is left and ends the writer. The file stays: it tells the
// next run which form of checksum the peers understand, and which demotions
// are to persist.
func (w *stateWriter) close() {
	if w == nil {
		return
	}
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.poke()
	<-w.done
}
