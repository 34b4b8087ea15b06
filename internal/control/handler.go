package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	maxBody      = 64 << 10         // bytes of a request: a thousand names and more
	askTimeout   = 10 * time.Second // for the backend to answer a question
	bodyTimeout  = 10 * time.Second // for a client to send a request's body
	writeTimeout = 10 * time.Second // for a client to take one write
)

// An API serves a backend over HTTP. Make one with [Handler].
type API struct {
	b      Backend
	routes map[string]route // by path

	bodyTimeout, writeTimeout time.Duration

	followers chan struct{} // a place for each
	closed    chan struct{}
	close     sync.Once
}

// A route is what one path does.
type route struct {
	method string
	serve  func(http.ResponseWriter, *http.Request)
}

// Handler is the API under /v1/. With readOnly it is what may be seen over the
// network: nothing in it changes state. Otherwise changes are taken on
// connections of a [Listen] listener only (see [Server]).
func Handler(b Backend, readOnly bool) *API {
	a := &API{
		b:            b,
		bodyTimeout:  bodyTimeout,
		writeTimeout: writeTimeout,
		followers:    make(chan struct{}, maxFollowers),
		closed:       make(chan struct{}),
	}
	a.routes = map[string]route{
		"/v1/status":        {http.MethodGet, a.status},
		"/v1/explain":       {http.MethodGet, a.explain},
		"/v1/events":        {http.MethodGet, a.events},
		"/v1/events/follow": {http.MethodGet, a.follow},
		"/v1/config":        {http.MethodGet, a.config},
		"/v1/bonds":         {http.MethodGet, a.bonds},
	}
	if !readOnly {
		// It changes nothing, but it sends packets: nothing for the network to ask for.
		a.routes["/v1/bonds/doctor"] = route{http.MethodGet, a.doctor}
		a.routes["/v1/demote"] = route{http.MethodPost, a.demote}
		a.routes["/v1/promote"] = route{http.MethodPost, a.named(b.Promote)}
		a.routes["/v1/announce"] = route{http.MethodPost, a.named(b.Announce)}
		a.routes["/v1/reload"] = route{http.MethodPost, a.reload}
		a.routes["/v1/checks/run"] = route{http.MethodPost, a.runCheck}
		a.routes["/v1/drill"] = route{http.MethodPost, a.drill}
	}
	return a
}

// Close ends the followers, and new ones at once. Call it before the
// Shutdown of the http.Server that serves the API, which would wait for them.
func (a *API) Close() { a.close.Do(func() { close(a.closed) }) }

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	rt, ok := a.routes[r.URL.Path]
	switch {
	case !ok:
		a.fail(w, &StatusError{Code: http.StatusNotFound, Message: fmt.Sprintf("there is no %s here", r.URL.Path)})
		return
	case r.Method != rt.method && !(r.Method == http.MethodHead && rt.method == http.MethodGet):
		w.Header().Set("Allow", rt.method)
		a.fail(w, &StatusError{Code: http.StatusMethodNotAllowed, Message: fmt.Sprintf("%s takes %s, not %s", r.URL.Path, rt.method, r.Method)})
		return
	}
	if rt.method == http.MethodPost {
		// It stays until the body is read: also when the request is refused,
		// net/http reads on before it answers.
		a.limitRead(w, a.bodyTimeout)
		acc, ok := r.Context().Value(accessKey{}).(*access)
		if !ok { // not a connection of ours: who is there cannot be told
			acc = &access{refusal: "state is changed over the control socket only"}
		}
		if acc.refusal != "" {
			a.fail(w, &StatusError{Code: http.StatusForbidden, Message: acc.refusal})
			return
		}
	}
	rt.serve(w, r)
}

func (a *API) status(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	s, err := a.b.Status(ctx)
	if err == nil {
		s, err = tidy(s, r.URL.Query().Get("instance"))
	}
	a.answer(w, s, err)
}

func (a *API) explain(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("instance")
	if name == "" {
		a.fail(w, &StatusError{Code: http.StatusBadRequest, Message: "which instance? ?instance=NAME is missing"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	e, err := a.b.Explain(ctx, name)
	a.answer(w, e, err)
}

func (a *API) events(w http.ResponseWriter, r *http.Request) {
	var since time.Time
	if v := r.URL.Query().Get("since"); v != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, v); err != nil {
			a.fail(w, &StatusError{Code: http.StatusBadRequest, Message: fmt.Sprintf("since=%q: not a time of RFC 3339, such as 2026-01-31T04:05:06Z", v)})
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	events, err := a.b.Events(ctx, since)
	if events == nil {
		events = []Event{}
	}
	a.answer(w, events, err)
}

func (a *API) config(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	text, err := a.b.ConfigText(ctx)
	if err != nil {
		a.fail(w, err)
		return
	}
	a.write(w, http.StatusOK, "application/toml", []byte(text))
}

func (a *API) demote(w http.ResponseWriter, r *http.Request) {
	var q DemoteRequest
	if err := a.decode(w, r, &q); err != nil {
		a.fail(w, err)
		return
	}
	if q.For < 0 {
		a.fail(w, &StatusError{Code: http.StatusBadRequest, Message: "for: a demotion cannot end in the past"})
		return
	}
	o, err := a.b.Demote(r.Context(), q)
	a.outcome(w, o, err)
}

// runCheck runs a command of the configuration, at somebody's request: that is
// for those who may change state.
func (a *API) runCheck(w http.ResponseWriter, r *http.Request) {
	var q CheckRunRequest
	if err := a.decode(w, r, &q); err != nil {
		a.fail(w, err)
		return
	}
	if q.Check == "" {
		a.fail(w, &StatusError{Code: http.StatusBadRequest, Message: "which check? its name is missing"})
		return
	}
	run, err := a.b.RunCheck(r.Context(), q)
	a.answer(w, run, err)
}

// named serves a command that takes nothing but names.
func (a *API) named(do func(context.Context, Names) (*Outcome, error)) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Names
		if err := a.decode(w, r, &q); err != nil {
			a.fail(w, err)
			return
		}
		o, err := do(r.Context(), q)
		a.outcome(w, o, err)
	}
}

func (a *API) reload(w http.ResponseWriter, r *http.Request) {
	// Nothing is asked for, but what is sent has to be out of the way.
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		a.fail(w, &StatusError{Code: http.StatusBadRequest, Message: "request body: " + err.Error()})
		return
	}
	a.limitRead(w, 0)
	o, err := a.b.Reload(r.Context())
	a.outcome(w, o, err)
}

// decode reads the one JSON object of a request. Unknown fields are refused:
// an option that this daemon does not know must not be left out silently, and
// so is an empty body, which would mean every instance.
func (a *API) decode(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one JSON object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case err == nil:
		a.limitRead(w, 0)
		return nil
	case errors.As(err, &large):
		return &StatusError{Code: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("request body: longer than %d bytes", large.Limit)}
	case errors.Is(err, io.EOF):
		err = errors.New("empty; {} stands for every instance")
	}
	return &StatusError{Code: http.StatusBadRequest, Message: "request body: " + err.Error()}
}

// outcome writes what a command did, lists never null.
func (a *API) outcome(w http.ResponseWriter, o *Outcome, err error) {
	if err == nil && o.Results == nil {
		c := *o
		c.Results = []Result{}
		o = &c
	}
	a.answer(w, o, err)
}

// answer writes v, or the error.
func (a *API) answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		a.fail(w, err)
		return
	}
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(v); err != nil {
		a.fail(w, fmt.Errorf("answer: %w", err))
		return
	}
	a.write(w, http.StatusOK, "application/json", buf.Bytes())
}

// fail writes the error as a Failure.
func (a *API) fail(w http.ResponseWriter, err error) {
	code, f := http.StatusInternalServerError, Failure{Error: err.Error()}
	var se *StatusError
	switch {
	case errors.As(err, &se):
		f.Problems = se.Problems
		// A code that is no failure would be read as success.
		if se.Code >= 400 && se.Code <= 599 {
			code = se.Code
		}
	case errors.Is(err, context.DeadlineExceeded):
		code, f.Error = http.StatusGatewayTimeout, "the daemon did not answer in time: "+err.Error()
	}
	body, err := json.Marshal(f)
	if err != nil { // strings only: cannot be
		body = []byte(`{"error":"internal error"}`)
	}
	a.write(w, code, "application/json", append(body, '\n'))
}

// write sends a whole answer. That the client is gone, or does not take it in
// time, concerns nobody but the client.
func (a *API) write(w http.ResponseWriter, code int, kind string, body []byte) {
	a.limitWrite(w)
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(code)
	w.Write(body)
}

// limitWrite gives the client writeTimeout to take what is written next. A
// writer that knows no deadlines (a test's recorder) cannot be slow either.
func (a *API) limitWrite(w http.ResponseWriter) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.writeTimeout))
}

// limitRead gives the client that long to send the rest of its request; 0
// lifts the limit, as what follows may take longer (see the limits of a
// Server).
func (a *API) limitRead(w http.ResponseWriter, d time.Duration) {
	var end time.Time
	if d > 0 {
		end = time.Now().Add(d)
	}
	http.NewResponseController(w).SetReadDeadline(end)
}
