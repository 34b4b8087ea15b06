package control

import (
	"context"
	"encoding/json"
	"net/http"
)

// drill streams what happens, one JSON object a line, each flushed, and the
// report at the end. What is refused before anything was done is an answer like
// any other. A client that has left, or does not take a line in time, ends the
// drill: the backend puts back what it changed.
func (a *API) drill(w http.ResponseWriter, r *http.Request) {
	var q DrillRequest
	if err := a.decode(w, r, &q); err != nil {
		a.fail(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out, lines, begun := http.NewResponseController(w), json.NewEncoder(w), false
	send := func(m DrillMessage) {
		a.limitWrite(w)
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
			w.WriteHeader(http.StatusOK)
			begun = true
		}
		if lines.Encode(m) != nil || out.Flush() != nil {
			cancel()
		}
	}
	report, err := a.b.Drill(ctx, q, func(p DrillProgress) { send(DrillMessage{Progress: &p}) })
	switch {
	case err != nil && !begun:
		a.fail(w, err)
	case err != nil:
		send(DrillMessage{Error: err.Error()})
	default:
		c := *report
		c.Phases, c.Instances, c.Reasons = list(c.Phases), list(c.Instances), list(c.Reasons)
		send(DrillMessage{Report: &c})
	}
}
