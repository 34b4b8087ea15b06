package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"vrrpd/internal/control"
)

const (
	journalSize  = 10_000 // entries kept
	followerSize = 256    // entries a follower may be behind before it loses some
)

// A journal keeps what happened, the last entries of it, and gives it to
// those who follow.
type journal struct {
	mu        sync.Mutex
	entries   []control.Event // a ring once it is full
	next      int
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
	if len(j.entries) < journalSize {
		j.entries = append(j.entries, e)
	} else {
		j.entries[j.next] = e
		j.next = (j.next + 1) % journalSize
	}
	for f := range j.followers {
		select {
		case f <- e:
		default: // it is told by the gap in the numbers
		}
	}
}

// since returns the entries not older than t, oldest first.
func (j *journal) since(t time.Time) []control.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := slices.Concat(j.entries[j.next:], j.entries[:j.next])
	i := slices.IndexFunc(all, func(e control.Event) bool { return !e.Time.Before(t) })
	if i < 0 {
		return []control.Event{}
	}
	return all[i:]
}

// about returns the last n entries of an instance, oldest first.
func (j *journal) about(instance string, n int) []control.Event {
	var out []control.Event
	all := j.since(time.Time{})
	for i := len(all) - 1; i >= 0 && len(out) < n; i-- {
		if all[i].Instance == instance {
			out = append(out, all[i])
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
