package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"vrrpd/internal/control"
)

const (
	journalSize  = 10_000 // entries kept at least
	chunkSize    = 500    // entries in a chunk
	followerSize = 256    // entries a follower may be behind before it loses some
)

// A journal keeps what happened, the last entries of it, and gives it to
// those who follow. It is kept in chunks that are only appended to, so that a
// reader holds the lock, which the loop may want, only while it takes their
// headers.
type journal struct {
	mu        sync.Mutex
	chunks    [][]control.Event // each of the capacity chunkSize, all but the last full
	lastID    uint64
	followers map[chan control.Event]struct{}
}

func newJournal() *journal {
	return &journal{followers: map[chan control.Event]struct{}{}}
}

// add numbers an entry, keeps it and hands it out.
func (j *journal) add(e control.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastID++
	e.ID = j.lastID
	last := len(j.chunks) - 1
	if last < 0 || len(j.chunks[last]) == chunkSize {
		if len(j.chunks) > journalSize/chunkSize {
			j.chunks = append(j.chunks[:0], j.chunks[1:]...)
		}
		j.chunks = append(j.chunks, make([]control.Event, 0, chunkSize))
		last = len(j.chunks) - 1
	}
	j.chunks[last] = append(j.chunks[last], e)
	for f := range j.followers {
		select {
		case f <- e:
		default: // it is told by the gap in the numbers
		}
	}
}

// read returns the chunks as they are. What is in them does not change.
func (j *journal) read() [][]control.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.chunks)
}

// since returns the entries not older than t, oldest first. The clock may
// have been set meanwhile: everything after the first such entry counts.
func (j *journal) since(t time.Time) []control.Event {
	all := slices.Concat(j.read()...)
	i := slices.IndexFunc(all, func(e control.Event) bool { return !e.Time.Before(t) })
	if i < 0 {
		return []control.Event{}
	}
	return all[i:]
}

// about returns the last n entries of an instance, oldest first.
func (j *journal) about(instance string, n int) []control.Event {
	var out []control.Event
	for _, chunk := range slices.Backward(j.read()) {
		for _, e := range slices.Backward(chunk) {
			if len(out) < n && e.Instance == instance {
				out = append(out, e)
			}
		}
	}
	slices.Reverse(out)
	return out
}

// follow delivers entries until ctx ends.
func (j *journal) follow(ctx context.Context) <-chan control.Event {
	f := make(chan control.Event, followerSize)
	j.mu.Lock()
	j.followers[f] = struct{}{}
	j.mu.Unlock()
	context.AfterFunc(ctx, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.followers, f)
		close(f)
	})
	return f
}
