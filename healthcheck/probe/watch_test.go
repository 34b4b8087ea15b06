package probe

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A watching is a Watch that runs until the test ends.
type watching struct {
	p     Watcher
	wakes chan time.Time
}

// watch watches, and returns once the watch stands.
func watch(t testing.TB, p Probe) *watching {
	t.Helper()
	w := &watching{p: p.(Watcher), wakes: make(chan time.Time, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- w.p.Watch(ctx, func() {
			select {
			case w.wakes <- time.Now():
			default:
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("watch %s: %v", p, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("watch %s: it does not end", p)
		}
	})
	w.wait(t, 10*time.Second)
	return w
}

func (w *watching) wait(t testing.TB, timeout time.Duration) time.Time {
	t.Helper()
	select {
	case at := <-w.wakes:
		return at
	case <-time.After(timeout):
		t.Fatalf("watch %s: not woken within %s", w.p, timeout)
		return time.Time{}
	}
}

// becomes looks each time the watch wakes, and at no other, until the outcome
// is the one that is wanted.
func (w *watching) becomes(t testing.TB, passed bool, say string) time.Time {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	var out Outcome
	for {
		select {
		case <-w.wakes:
		case <-time.After(time.Until(deadline)):
			t.Fatalf("watch %s: no wake led to passed %t, %q; the last look: %+v", w.p, passed, say, out)
		}
		at := time.Now()
		if out = once(t, w.p); out.Passed == passed && strings.Contains(out.Detail, say) {
			return at
		}
	}
}

// count is how many wakes are there.
func (w *watching) count() int { return len(w.wakes) }
