package probe

import "context"

// An aside does work that has no timeout of its own: reading a file may wait
// for a server that is gone. One run at a time; one that is stuck is waited for
// by those that come later, up to their own end, so that nothing piles up.
type aside struct{ turn chan struct{} }

func newAside() aside { return aside{turn: make(chan struct{}, 1)} }

// do runs f, and returns without it when the look's time is over. f goes on
// then, and its outcome is lost.
func (a aside) do(l look, f func() Outcome) Outcome {
	select {
	case a.turn <- struct{}{}:
	case <-l.ctx.Done():
		return fail("an earlier look has not come back: %s", l.why(l.ctx.Err()))
	}
	done := make(chan Outcome, 1)
	go func() {
		out := f()
		<-a.turn
		done <- out
	}()
	select {
	case out := <-done:
		return out
	case <-l.ctx.Done():
		return fail("%s", l.why(l.ctx.Err()))
	}
}

// gone is how the work inside learns that nobody waits for it any more.
func gone(ctx context.Context) bool { return ctx.Err() != nil }
