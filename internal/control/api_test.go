package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/control"
	"vrrpd/internal/control/controltest"
)

func TestEveryCall(t *testing.T) {
	b := backend()
	c := client(t, serve(t, b, ""))
	ctx := t.Context()

	s, err := c.Status(ctx, "")
	if err != nil || s.Node != "node1" || len(s.Instances) != 2 || s.Instances[1].Name != "db" {
		t.Errorf("status: %+v, %v", s, err)
	}
	if e, err := c.Explain(ctx, "web"); err != nil || !cmp.Equal(e.Why, []string{"because"}) {
		t.Errorf("explain: %+v, %v", e, err)
	}
	if e, err := c.Events(ctx, time.Time{}); err != nil || !cmp.Equal(e, b.Journal) {
		t.Errorf("all events: %+v, %v", e, err)
	}
	if e, err := c.Events(ctx, b.Journal[1].Time); err != nil || len(e) != 1 || e[0].ID != 2 {
		t.Errorf("events since the second: %+v, %v", e, err)
	}
	if text, err := c.Config(ctx); err != nil || text != b.Config {
		t.Errorf("config: %q, %v", text, err)
	}
	demotion := control.DemoteRequest{Instances: []string{"web"}, For: 10 * time.Minute, Force: true, Hard: true, Persist: true, NoWait: true}
	for name, ask := range map[string]func() (*control.Outcome, error){
		"demote":   func() (*control.Outcome, error) { return c.Demote(ctx, demotion) },
		"promote":  func() (*control.Outcome, error) { return c.Promote(ctx, control.Names{Instances: []string{"web"}}) },
		"announce": func() (*control.Outcome, error) { return c.Announce(ctx, control.Names{}) },
		"reload":   func() (*control.Outcome, error) { return c.Reload(ctx) },
	} {
		if o, err := ask(); err != nil || !cmp.Equal(*o, b.Outcome) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	if n := len(b.Asked()); n != 4 {
		t.Errorf("the daemon was asked %d times: %v", n, b.Asked())
	}
	found := false
	for _, a := range b.Asked() {
		found = found || cmp.Equal(a, demotion)
	}
	if !found {
		t.Errorf("the demotion did not arrive whole: %+v", b.Asked())
	}
}

func TestStatusOfOneInstance(t *testing.T) {
	b := backend()
	c := client(t, serve(t, b, ""))
	s, err := c.Status(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	want := control.Status{Node: "node1", Version: "0.1.0", UptimeSeconds: 12.5,
		Checks:     []control.Check{{Name: "nginx", Instances: []string{}}},
		Bonds:      []control.Bond{{Name: "bond0"}},
		Interfaces: []control.Interface{{Name: "bond0.10", Errors: map[string]uint64{}}},
	}
	s.Instances, want.Instances = s.Instances[:1:1], s.Instances[:1:1]
	if s.Instances[0].Name != "web" {
		t.Errorf("instance %q", s.Instances[0].Name)
	}
	if d := cmp.Diff(want, *s); d != "" {
		t.Error(d)
	}
	// What db follows is not told: every check stays.
	if s, err = c.Status(t.Context(), "db"); err != nil || len(s.Checks) != 2 || len(s.Groups) != 1 {
		t.Errorf("db: %+v, %v", s, err)
	}
	if len(b.State.Instances) != 2 || b.State.Instances[1].Addresses != nil {
		t.Error("the daemon's own status was changed")
	}
	var se *control.StatusError
	if _, err = c.Status(t.Context(), "wbe"); !errors.As(err, &se) || se.Code != http.StatusNotFound {
		t.Errorf("unknown instance: %v", err)
	}
}

// Scripts read lists and maps without a look at null first.
func TestNoNull(t *testing.T) {
	b := &controltest.Backend{State: control.Status{Instances: []control.Instance{{Name: "web", ActiveRouter: &control.ActiveRouter{}}}}}
	api := http.StripPrefix("/api", control.Handler(b, true)) // as the daemon mounts it
	for _, path := range []string{"/api/v1/status", "/api/v1/events"} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || strings.Contains(w.Body.String(), "null") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if o, err := client(t, serve(t, b, "")).Reload(t.Context()); err != nil || o.Results == nil {
		t.Errorf("results are null: %+v, %v", o, err)
	}
}

func TestFailures(t *testing.T) {
	plain := errors.New("netlink: no buffer space available")
	for _, tc := range []struct {
		name string
		err  error
		want control.StatusError
	}{
		{"typed", &control.StatusError{Code: 409, Message: "not now"}, control.StatusError{Code: 409, Message: "not now"}},
		{"wrapped", errors.Join(&control.StatusError{Code: 422, Message: "2 problems", Problems: []string{"a", "b"}}),
			control.StatusError{Code: 422, Message: "2 problems", Problems: []string{"a", "b"}}},
		{"untyped", plain, control.StatusError{Code: 500, Message: plain.Error()}},
		{"success as an error", &control.StatusError{Code: 200, Message: "odd"}, control.StatusError{Code: 500, Message: "odd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := backend()
			b.Err = tc.err
			_, err := client(t, serve(t, b, "")).Reload(t.Context())
			var se *control.StatusError
			if !errors.As(err, &se) {
				t.Fatalf("got %v", err)
			}
			if d := cmp.Diff(tc.want, *se); d != "" {
				t.Error(d)
			}
		})
	}
}

// raw sends a request as it stands over the socket.
func raw(t *testing.T, socket, method, path, body string) (int, http.Header, control.Failure) {
	t.Helper()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var f control.Failure
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(b, &f); err != nil || f.Error == "" {
			t.Errorf("%s %s: the answer is no Failure: %q", method, path, b)
		}
	}
	return resp.StatusCode, resp.Header, f
}

func TestBadRequests(t *testing.T) {
	b := backend()
	socket := serve(t, b, "")
	for _, tc := range []struct {
		name, method, path, body string
		code                     int
		says                     string
	}{
		{"unknown path", "GET", "/v2/status", "", 404, "/v2/status"},
		{"not under /api here", "GET", "/api/v1/status", "", 404, "/api/v1/status"},
		{"GET of a command", "GET", "/v1/demote", "", 405, "takes POST"},
		{"POST to a question", "POST", "/v1/status", "{}", 405, "takes GET"},
		{"explain what", "GET", "/v1/explain", "", 400, "instance=NAME"},
		{"explain unknown", "GET", "/v1/explain?instance=x", "", 404, `"x"`},
		{"bad since", "GET", "/v1/events?since=1h", "", 400, "RFC 3339"},
		{"no body", "POST", "/v1/demote", "", 400, "empty"},
		{"not JSON", "POST", "/v1/demote", "web", 400, "request body"},
		{"two objects", "POST", "/v1/promote", "{}{}", 400, "more than one"},
		{"option unknown here", "POST", "/v1/demote", `{"gently":true}`, 400, "gently"},
		{"into the past", "POST", "/v1/demote", `{"for":-1}`, 400, "past"},
		{"too long", "POST", "/v1/announce", `{"instances":["` + strings.Repeat("a", 1<<20) + `"]}`, 413, "longer than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, h, f := raw(t, socket, tc.method, tc.path, tc.body)
			if code != tc.code || !strings.Contains(f.Error, tc.says) {
				t.Errorf("%d %q, want %d and %q", code, f.Error, tc.code, tc.says)
			}
			if tc.code == 405 && h.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
	if n := b.Asked(); len(n) != 0 {
		t.Errorf("a bad request reached the daemon: %v", n)
	}
}

func TestReadOnly(t *testing.T) {
	b := backend()
	api := http.StripPrefix("/api", control.Handler(b, true)) // as the daemon mounts it
	for _, tc := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/api/v1/status", 200},
		{"GET", "/api/v1/status?instance=web", 200},
		{"HEAD", "/api/v1/status", 200},
		{"GET", "/api/v1/explain?instance=web", 200},
		{"GET", "/api/v1/events", 200},
		{"GET", "/api/v1/config", 200},
		{"GET", "/v1/status", 404},
		{"POST", "/api/v1/status", 405},
		{"POST", "/api/v1/demote", 404},
		{"POST", "/api/v1/promote", 404},
		{"POST", "/api/v1/announce", 404},
		{"POST", "/api/v1/reload", 404},
	} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader("{}")))
		if w.Code != tc.code {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, w.Code, tc.code)
		}
	}
	if n := b.Asked(); len(n) != 0 {
		t.Errorf("a read-only API reached the daemon: %v", n)
	}
}

// The full API behind a listener that cannot tell who is there refuses.
func TestUnknownPeer(t *testing.T) {
	b := backend()
	w := httptest.NewRecorder()
	control.Handler(b, false).ServeHTTP(w, httptest.NewRequest("POST", "/v1/reload", strings.NewReader("{}")))
	if w.Code != http.StatusForbidden || len(b.Asked()) != 0 {
		t.Errorf("status %d, asked %v", w.Code, b.Asked())
	}
}
