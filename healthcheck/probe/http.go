package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// What is read of an answer at most, in bytes.
const (
	bodyLimit   = 64 << 10
	headerLimit = 64 << 10
)

// maxInterim is how many answers of the kind "go on" (RFC 9110 §15.2) may come
// before the real one.
const maxInterim = 5

// HTTP passes if a web server answers a request with one of some statuses and,
// if wanted, a body that matches. It speaks HTTP/1.1 over a connection of its
// own. The whole answer, or its first 64 KiB, has to arrive in time. Redirects
// are an answer like any other, and not followed.
type HTTP struct {
	URL        string            // "http://192.0.2.1:8080/health"; a user and password in it are sent
	UnixSocket string            // connect to this path instead; the URL says what is asked for
	Method     string            // "": GET
	Status     []StatusRange     // those that pass; none: 200 to 299
	Body       string            // regular expression (RE2) that must match in the body's first 64 KiB; "": any body
	Header     map[string]string // sent besides
	Host       string            // for the Host header; "": as in the URL
	TLS        TLS               // of an https URL. Its ServerName is Host, or the URL's host, if not given
	Source     netip.Addr        // connect from this address; zero: as the kernel thinks best
	Device     string            // connect over this interface or VRF; "": as routed
}

// A StatusRange is some statuses of HTTP, both ends included.
type StatusRange struct{ From, To int }

func (r StatusRange) String() string {
	if r.From == r.To {
		return strconv.Itoa(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// ParseStatusRange understands "204", "200-399" and "2xx".
func ParseStatusRange(s string) (StatusRange, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	if len(s) == 3 && strings.HasSuffix(s, "xx") {
		from, to = s[:1]+"00", s[:1]+"99"
	}
	a, errFrom := strconv.Atoi(from)
	b, errTo := strconv.Atoi(to)
	r := StatusRange{a, b}
	if errFrom != nil || errTo != nil || len(from) != 3 || len(to) != 3 || !r.valid() {
		return StatusRange{}, fmt.Errorf(`%q is no status, such as "204", "200-399" or "2xx"`, s)
	}
	return r, nil
}

// valid: statuses have three digits, and those below 200 are not the answer.
func (r StatusRange) valid() bool { return 200 <= r.From && r.From <= r.To && r.To <= 599 }

type httpProbe struct {
	spec    HTTP
	url     *url.URL
	method  string
	host    string
	address string // to connect to: "host:port"
	status  []StatusRange
	body    *regexp.Regexp // nil: any
	tls     *tlsClient     // nil: plain
}

// New judges the spec.
func (s HTTP) New() (Probe, error) {
	p := &httpProbe{spec: s, method: s.Method, status: s.Status, host: s.Host}
	if p.method == "" {
		p.method = http.MethodGet
	}
	if len(p.status) == 0 {
		p.status = []StatusRange{{200, 299}}
	}
	target, err := p.readURL()
	if err != nil {
		return nil, err
	}
	if err := p.checkRequest(); err != nil {
		return nil, err
	}
	if s.UnixSocket != "" {
		if !filepath.IsAbs(s.UnixSocket) || len(s.UnixSocket) > unixPathMax {
			return nil, invalid("unix_socket", "%q is not an absolute path of at most %d bytes", s.UnixSocket, unixPathMax)
		}
		if s.Source.IsValid() {
			return nil, invalid("source", "a unix socket has no address to come from")
		}
		if s.Device != "" {
			return nil, invalid("device", "a unix socket is on no interface")
		}
	}
	if err := checkFrom(s.Source, s.Device, target); err != nil {
		return nil, err
	}
	if s.Body != "" {
		if p.body, err = regexp.Compile(s.Body); err != nil {
			return nil, invalid("body", "%s", err)
		}
	}
	if p.url.Scheme == "https" {
		p.tls, err = s.TLS.client(hostOnly(p.host), "http/1.1")
	} else if s.TLS != (TLS{}) {
		err = invalid("tls", "%s is not an https URL", p.url.Redacted())
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// unixPathMax is what fits into struct sockaddr_un (unix(7)).
const unixPathMax = 107

// readURL takes the URL apart. Its host is not needed where a socket is named.
func (p *httpProbe) readURL() (target netip.Addr, err error) {
	u, err := url.Parse(p.spec.URL)
	switch {
	case err != nil:
		return target, invalid("url", "%q is not a URL", p.spec.URL)
	case u.Scheme != "http" && u.Scheme != "https":
		return target, invalid("url", "%q does not begin with http:// or https://", p.spec.URL)
	case u.Host == "" || u.Opaque != "":
		return target, invalid("url", "%q names no host", p.spec.URL)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p.url, p.address = u, net.JoinHostPort(u.Hostname(), port)
	if p.host == "" {
		p.host = u.Host
	}
	return checkHostPort("url", p.address)
}

// checkRequest judges what is sent and expected.
func (p *httpProbe) checkRequest() error {
	// Servers tell "get" from GET (RFC 9110 §9.1), and refuse it.
	if !httpguts.ValidHeaderFieldName(p.method) || p.method == http.MethodConnect || p.method != strings.ToUpper(p.method) {
		return invalid("method", "%q is not a method to ask with", p.method)
	}
	if !httpguts.ValidHostHeader(p.host) {
		return invalid("host", "%q cannot be a host", p.host)
	}
	for _, r := range p.status {
		if !r.valid() {
			return invalid("status", "%s is not in 200-599", r)
		}
	}
	for name, value := range p.spec.Header {
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return invalid("header", "%q: it or its value cannot be sent", name) // the value may be a secret
		case strings.EqualFold(name, "Host"):
			return invalid("header", "%q is set by host", name)
		case strings.EqualFold(name, "Content-Length"), strings.EqualFold(name, "Transfer-Encoding"), strings.EqualFold(name, "Connection"):
			return invalid("header", "%q is not to be chosen", name)
		}
	}
	return nil
}

// hostOnly is a host without its port.
func hostOnly(host string) string {
	u := url.URL{Host: host}
	return u.Hostname()
}

func (p *httpProbe) String() string {
	s := "http " + p.url.Redacted()
	if p.spec.UnixSocket != "" {
		s += " over " + p.spec.UnixSocket
	}
	return s
}

func (p *httpProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	ask := p.method + " " + p.url.Redacted()
	conn, err := p.connect(ctx)
	if err != nil {
		at := p.address
		if p.spec.UnixSocket != "" {
			at = p.spec.UnixSocket
		}
		return fail("%s: connect %s: %s", ask, at, l.why(err))
	}
	defer conn.Close()
	// Ends every wait below.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if p.tls != nil {
		secured, err := p.tls.handshake(ctx, conn)
		if err != nil {
			return fail("%s: TLS: %s", ask, strings.TrimPrefix(l.why(err), "tls: "))
		}
		conn = secured
	}
	response, err := p.exchange(conn)
	if err != nil {
		return fail("%s: %s", ask, l.why(err))
	}
	took := l.took()
	body, cut, bodyErr := readBody(response)
	out := p.judge(response, body, cut, bodyErr, l)
	out.Detail = oneLine(ask+": "+out.Detail, detailLimit)
	if out.Passed {
		out.Detail = oneLine(fmt.Sprintf("%s in %s", out.Detail, took), detailLimit)
	}
	out.Output = oneLine(string(body), outputLimit)
	return out
}

func (p *httpProbe) connect(ctx context.Context) (net.Conn, error) {
	if p.spec.UnixSocket != "" {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.spec.UnixSocket)
	}
	return dial(ctx, p.spec.Source, p.spec.Device, p.address)
}

// exchange sends the request and reads the head of the answer. It does without
// http.Transport, which is for connections that are used again: here one
// goroutine does everything, and nothing goes on when it returns.
func (p *httpProbe) exchange(conn net.Conn) (*http.Response, error) {
	request := &http.Request{Method: p.method, URL: p.url, Host: p.host, Header: http.Header{}, Close: true,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	request.Header.Set("User-Agent", "vrrpd")
	request.Header.Set("Accept", "*/*")
	if u := p.url.User; u != nil {
		password, _ := u.Password()
		request.SetBasicAuth(u.Username(), password)
	}
	for name, value := range p.spec.Header {
		request.Header.Set(name, value)
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: headerLimit + bodyLimit}
	in := bufio.NewReader(limited)
	for range maxInterim {
		if _, err := in.Peek(1); err == io.EOF {
			return nil, errors.New("the connection was closed without an answer")
		}
		response, err := http.ReadResponse(in, request)
		switch {
		case err != nil && limited.N <= 0:
			return nil, fmt.Errorf("the header of the answer has more than %d bytes", headerLimit)
		case err == io.ErrUnexpectedEOF:
			return nil, errors.New("the connection was closed within the header of the answer")
		case err != nil:
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, fmt.Errorf("there is no answer behind %d interim ones", maxInterim)
}

// readBody reads what of the body is of interest, and says whether it is cut.
func readBody(response *http.Response) (body []byte, cut bool, err error) {
	body, err = io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	return body, len(body) == bodyLimit, err
}

func (p *httpProbe) judge(response *http.Response, body []byte, cut bool, bodyErr error, l look) Outcome {
	status := strconv.Itoa(response.StatusCode)
	if text := http.StatusText(response.StatusCode); text != "" {
		status += " " + text
	}
	wanted := false
	var ranges []string
	for _, r := range p.status {
		wanted = wanted || r.From <= response.StatusCode && response.StatusCode <= r.To
		ranges = append(ranges, r.String())
	}
	if !wanted {
		if to := response.Header.Get("Location"); to != "" {
			status += " to " + to
		}
		return fail("status %s, want %s", status, strings.Join(ranges, ", "))
	}
	if bodyErr != nil {
		return fail("status %s, but of the body: %s", status, l.why(bodyErr))
	}
	if p.body != nil && !p.body.Match(body) {
		within := ""
		if cut {
			within = fmt.Sprintf(" in its first %d bytes", bodyLimit)
		}
		return fail("status %s, but the body does not match %q%s", status, p.spec.Body, within)
	}
	return pass("status %s", status)
}
