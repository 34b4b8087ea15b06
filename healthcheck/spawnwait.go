package healthcheck

import (
	"context"
	"time"
)

// A spawnWait waits for what becomes of one order.
type spawnWait struct {
	link *spawnLink
	id   uint64
	spec *ExecSpec
	at   time.Time
	told bool // that it is overdue

	patience, silence time.Duration
}

func (w *spawnWait) wait(ctx context.Context, reports <-chan report) (out Outcome, lost bool) {
	var silent, deaf, hopeless <-chan time.Time
	if w.spec.Timeout > 0 {
		t := time.NewTimer(w.spec.Timeout + w.silence)
		defer t.Stop()
		silent = t.C
		h := time.NewTimer(w.spec.Timeout + w.spec.Grace + w.patience)
		defer h.Stop()
		hopeless = h.C
	}
	cancelled := ctx.Done()
	for {
		select {
		case r := <-reports:
			out = r.Outcome.outcome(w.at, w.spec.Timeout)
			if r.Overdue {
				silent, deaf = nil, nil
				w.tell(out)
				continue
			}
			if r.Outcome.Stuck {
				w.link.mu.Lock()
				if gone := w.link.stuck[w.id]; gone != nil {
					out.Gone = gone
				}
				w.link.mu.Unlock()
			}
			return out, false
		case <-silent:
			silent = nil
			// It may have been this process that did not get to run; then word
			// is on its way.
			final := time.NewTimer(w.silence / 4)
			defer final.Stop()
			deaf = final.C
		case <-deaf:
			w.link.giveUp(errSpawnerDeaf)
			return out, true
		case <-cancelled:
			cancelled, silent, deaf = nil, nil, nil
			h := time.NewTimer(w.patience)
			defer h.Stop()
			hopeless = h.C
			if err := w.link.wire.send(order{ID: w.id, Cancel: true}); err != nil {
				w.link.giveUp(err)
			}
		case <-w.link.over:
			if ctx.Err() != nil {
				return Outcome{Ending: Cancelled, At: w.at, Duration: time.Since(w.at)}, false
			}
			return w.late(), !w.told
		case <-hopeless:
			w.link.giveUp(errSpawnerDeaf)
			if ctx.Err() != nil {
				return Outcome{Ending: Cancelled, At: w.at, Duration: time.Since(w.at)}, false
			}
			return w.late(), !w.told
		}
	}
}

// late is what is known of a command that came to its timeout, and of no more.
func (w *spawnWait) late() Outcome {
	return Outcome{Ending: TimedOut, At: w.at, Timeout: w.spec.Timeout, Duration: time.Since(w.at)}
}

func (w *spawnWait) tell(out Outcome) {
	if w.told {
		return
	}
	w.told = true
	if w.spec.Overdue != nil {
		w.spec.Overdue(out)
	}
}
