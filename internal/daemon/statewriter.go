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

	mu      sync.Mutex
	next    *savedState
	wake    chan struct{}
	closing chan struct{}
	done    chan struct{}
}

// stateGap parts two writes: a storm of changes is one, and two peers that
// disagree in the form of the checksum do not keep the disk busy.
const stateGap = 200 * time.Millisecond

func newStateWriter(path, boot string, failed func(error)) *stateWriter {
	w := &stateWriter{path: path, boot: boot, failed: failed, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
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
	for {
		closing := false
		select {
		case <-w.wake:
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
		}
		if closing {
			return
		}
		select {
		case <-time.After(stateGap):
		case <-w.closing:
		}
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
