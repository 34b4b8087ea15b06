package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoDaemon is what errors.Is finds when nobody listens on the socket. A
// socket that may not be opened is fs.ErrPermission instead.
var ErrNoDaemon = errors.New("no daemon")

const (
	dialTimeout = 5 * time.Second
	maxAnswer   = 64 << 20 // bytes; 64,000 events fit
	maxLine     = 1 << 20  // bytes of one event
)

// A Client asks the daemon behind one control socket. Its methods may be
// called from any goroutine. A refusal or failure of the daemon's is a
// *StatusError, with the HTTP status it answered.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient is a client of the daemon on the socket; it connects when it is
// first asked something.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		// One request after the other is all a tool does.
		MaxIdleConns: 1,
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the state of everything, or of one instance and what
// concerns it.
func (c *Client) Status(ctx context.Context, instance string) (*Status, error) {
	q := url.Values{}
	if instance != "" {
		q.Set("instance", instance)
	}
	var s Status
	return &s, c.get(ctx, "/v1/status", q, &s)
}

// Explain asks why the instance is in its state.
func (c *Client) Explain(ctx context.Context, instance string) (*Explanation, error) {
	var e Explanation
	return &e, c.get(ctx, "/v1/explain", url.Values{"instance": {instance}}, &e)
}

// Events asks for the events since a time, oldest first; the zero time: all
// that the daemon still has.
func (c *Client) Events(ctx context.Context, since time.Time) ([]Event, error) {
	q := url.Values{}
	if !since.IsZero() {
		q.Set("since", since.Format(time.RFC3339Nano))
	}
	var e []Event
	err := c.get(ctx, "/v1/events", q, &e)
	return e, err
}

// Config asks for the running configuration with its defaults, as TOML.
func (c *Client) Config(ctx context.Context) (string, error) {
	var text string
	err := c.get(ctx, "/v1/config", nil, &text)
	return text, err
}

// Demote asks instances to hand over and stay down. Unless NoWait is set it
// returns when the successor has taken over; ctx bounds the wait.
func (c *Client) Demote(ctx context.Context, r DemoteRequest) (*Outcome, error) {
	return c.post(ctx, "/v1/demote", r)
}

// Promote lifts demotions.
func (c *Client) Promote(ctx context.Context, r Names) (*Outcome, error) {
	return c.post(ctx, "/v1/promote", r)
}

// Announce sends the announcements of active instances again.
func (c *Client) Announce(ctx context.Context, r Names) (*Outcome, error) {
	return c.post(ctx, "/v1/announce", r)
}

// Reload makes the daemon read its configuration again. A configuration that
// is refused is a *StatusError of code 422 with its problems.
func (c *Client) Reload(ctx context.Context) (*Outcome, error) {
	return c.post(ctx, "/v1/reload", struct{}{})
}

// RunCheck has a check run once, by hand. It returns when the run is over; ctx
// bounds the wait.
func (c *Client) RunCheck(ctx context.Context, r CheckRunRequest) (*CheckRun, error) {
	var run CheckRun
	return &run, c.postFor(ctx, "/v1/checks/run", r, &run)
}

// Bonds asks for the bonds of the host, or for one.
func (c *Client) Bonds(ctx context.Context, name string) ([]BondDetail, error) {
	var b []BondDetail
	err := c.get(ctx, "/v1/bonds", bondQuery(name), &b)
	return b, err
}

// DiagnoseBonds asks what is misconfigured about them.
func (c *Client) DiagnoseBonds(ctx context.Context, name string) (*Diagnosis, error) {
	var d Diagnosis
	return &d, c.get(ctx, "/v1/bonds/doctor", bondQuery(name), &d)
}

func bondQuery(name string) url.Values {
	if name == "" {
		return nil
	}
	return url.Values{"name": {name}}
}

// Drill has a failure rehearsed and calls progress meanwhile. If ctx ends
// first, the daemon puts back what it changed.
func (c *Client) Drill(ctx context.Context, r DrillRequest, progress func(DrillProgress)) (*DrillReport, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/drill", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 4096), maxLine)
	for lines.Scan() {
		var m DrillMessage
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("the daemon's answer: %w", err)
		}
		switch {
		case m.Report != nil:
			return m.Report, nil
		case m.Error != "":
			return nil, &StatusError{Code: http.StatusInternalServerError, Message: m.Error}
		case m.Progress != nil:
			progress(*m.Progress)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, errors.Join(errors.New("the daemon ended the drill without a report: it is stopping"), lines.Err())
}

// Follow opens the stream of events. Once it returns, no event is missed that
// the stream's queue in the daemon can hold. ctx ends it.
func (c *Client) Follow(ctx context.Context) (*Stream, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/events/follow", nil)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 4096), maxLine)
	return &Stream{body: resp.Body, lines: lines}, nil
}

// A Stream delivers events as they happen.
type Stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

// Next waits for the next event. io.EOF: the daemon has ended the stream.
func (s *Stream) Next() (Event, error) {
	var e Event
	if !s.lines.Scan() {
		err := s.lines.Err()
		if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
			return e, io.EOF
		}
		return e, fmt.Errorf("follow events: %w", err)
	}
	if err := json.Unmarshal(s.lines.Bytes(), &e); err != nil {
		return e, fmt.Errorf("follow events: %w", err)
	}
	return e, nil
}

// Close ends the stream.
func (s *Stream) Close() error { return s.body.Close() }

// get asks path and decodes the answer: JSON, or text into a *string.
func (c *Client) get(ctx context.Context, path string, q url.Values, into any) error {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return read(resp, into)
}

func (c *Client) post(ctx context.Context, path string, body any) (*Outcome, error) {
	var o Outcome
	return &o, c.postFor(ctx, path, body, &o)
}

// postFor asks path for something and decodes the answer.
func (c *Client) postFor(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	return read(resp, into)
}

// do sends a request; the answer is a 2xx one or an error.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://vrrpd"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.dialError(err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return resp, nil
	}
	var f Failure
	if err := read(resp, &f); err != nil || f.Error == "" {
		f.Error = "the daemon answered " + resp.Status
	}
	return nil, &StatusError{Code: resp.StatusCode, Message: f.Error, Problems: f.Problems}
}

// dialError tells an absent daemon from other failures, without the URL that
// net/http puts in front: the socket is what an operator knows.
func (c *Client) dialError(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var oe *net.OpError
	if errors.As(err, &oe) && oe.Op == "dial" {
		err = oe.Err
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("%w answers on %s: %w", ErrNoDaemon, c.socket, err)
	}
	return fmt.Errorf("ask the daemon on %s: %w", c.socket, err)
}

// read decodes the whole answer and frees its connection.
func read(resp *http.Response, into any) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("the daemon's answer: %w", err)
	case len(b) > maxAnswer:
		return fmt.Errorf("the daemon's answer: longer than %d bytes", maxAnswer)
	}
	if text, ok := into.(*string); ok {
		*text = string(b)
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return nil
}
