package control

import (
	"context"
	"encoding/json"
	"net/http"
)

// maxFollowers bounds the event streams of one API.
const maxFollowers = 32

// follow streams events as they happen, one JSON object a line, each flushed.
// The header goes out once the subscription stands, so that a client that has
// it and then asks for the events so far misses none. A follower that does not
// read loses events in the backend's queue, and its connection when one write
// has waited for writeTimeout.
func (a *API) follow(w http.ResponseWriter, r *http.Request) {
	select {
	case a.followers <- struct{}{}:
		defer func() { <-a.followers }()
	default:
		a.fail(w, &StatusError{Code: http.StatusServiceUnavailable, Message: "too many followers of events"})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	events := a.b.Follow(ctx)

	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	out := http.NewResponseController(w)
	a.limitWrite(w)
	w.WriteHeader(http.StatusOK)
	if out.Flush() != nil || r.Method == http.MethodHead {
		return
	}
	lines := json.NewEncoder(w)
	for {
		select {
		case <-a.closed:
			return
		case <-ctx.Done():
			return
		case e, ok := <-events:
			if !ok {
				return
			}
			a.limitWrite(w)
			if lines.Encode(e) != nil || out.Flush() != nil {
				return
			}
		}
	}
}
