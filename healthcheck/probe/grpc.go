package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// What is read of an answer at most, in bytes.
const (
	grpcMessageLimit = 16 << 10
	grpcHeaderLimit  = 16 << 10
)

// GRPC passes if a gRPC server says that it, or one of its services, is serving
// (grpc.health.v1.Health/Check of the gRPC health checking protocol).
type GRPC struct {
	Address string // "192.0.2.1:50051"
	Service string // "": the server as a whole
	Secure  bool   // over TLS; otherwise in plain text
	TLS     TLS    // with Secure. Its ServerName is the host of Address, if not given
	Source  netip.Addr
	Device  string
}

type grpcProbe struct {
	spec GRPC
	tls  *tlsClient // nil: plain
}

// New judges the spec.
func (s GRPC) New() (Probe, error) {
	target, err := checkHostPort("address", s.Address)
	if err != nil {
		return nil, err
	}
	if err := checkFrom(s.Source, s.Device, target); err != nil {
		return nil, err
	}
	if len(s.Service) > 1000 || !utf8.ValidString(s.Service) {
		return nil, invalid("service", "%.40q cannot be the name of a service", s.Service)
	}
	p := &grpcProbe{spec: s}
	if s.Secure {
		host, _, _ := net.SplitHostPort(s.Address) // it was split above
		p.tls, err = s.TLS.client(host, "h2")
	} else if s.TLS != (TLS{}) {
		err = invalid("tls", "it is asked in plain text")
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *grpcProbe) String() string {
	if p.spec.Service != "" {
		return "grpc " + p.spec.Address + " " + p.spec.Service
	}
	return "grpc " + p.spec.Address
}

func (p *grpcProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	conn, err := dial(ctx, p.spec.Source, p.spec.Device, p.spec.Address)
	if err != nil {
		return fail("connect %s: %s", p.spec.Address, l.why(err))
	}
	defer conn.Close()
	// Ends every wait below.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if p.tls != nil {
		secured, err := p.tls.handshake(ctx, conn)
		if err == nil && secured.ConnectionState().NegotiatedProtocol != "h2" {
			err = errNoHTTP2
		}
		if err != nil {
			return fail("%s: TLS: %s", p.what(), strings.TrimPrefix(l.why(err), "tls: "))
		}
		conn = secured
	}
	return p.ask(ctx, l, conn)
}

// ask is the look once there is a connection.
func (p *grpcProbe) ask(ctx context.Context, l look, conn net.Conn) Outcome {
	status, err := p.check(ctx, conn)
	var broken http2Error
	switch {
	case errors.As(err, &broken):
		return fail("%s: HTTP/2: %s", p.what(), l.why(broken.error))
	case err != nil:
		return fail("%s: %s", p.what(), l.why(err))
	case status != grpcServing:
		return fail("%s: %s", p.what(), servingStatus(status))
	}
	return pass("%s is serving, answered in %s", p.what(), l.took())
}

func (p *grpcProbe) what() string {
	if p.spec.Service != "" {
		return fmt.Sprintf("%s of %s", p.spec.Service, p.spec.Address)
	}
	return p.spec.Address
}

// http2Error is what ends a conversation before gRPC has a say in it. It has a
// type because the words around an error do not outlive [look.why].
type http2Error struct{ error }

func (e http2Error) Unwrap() error { return e.error }

// check asks over a connection that is there. net/http speaks HTTP/2 over it,
// with buffers that a server cannot fill without end.
func (p *grpcProbe) check(ctx context.Context, conn net.Conn) (status uint64, err error) {
	use := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{
		DialContext:            use,
		DialTLSContext:         use,
		DisableCompression:     true,
		MaxResponseHeaderBytes: grpcHeaderLimit,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10},
	}
	scheme := "http"
	if p.tls != nil {
		scheme = "https"
		transport.Protocols.SetHTTP2(true)
	} else {
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	client, err := transport.NewClientConn(ctx, scheme, p.spec.Address) // writes the preface
	if err != nil {
		return 0, http2Error{err}
	}
	defer client.Close()
	response, err := client.RoundTrip(p.request(ctx, scheme))
	if err != nil {
		return 0, http2Error{err}
	}
	defer response.Body.Close()
	return grpcAnswer(response)
}

// request is a unary call with one message.
func (p *grpcProbe) request(ctx context.Context, scheme string) *http.Request {
	message := grpcFrame(healthRequest(p.spec.Service))
	r := &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Scheme: scheme, Host: p.spec.Address, Path: "/grpc.health.v1.Health/Check"},
		Header: http.Header{
			"Content-Type": {"application/grpc"},
			"Te":           {"trailers"},
			"User-Agent":   {"vrrpd"},
		},
		Body:          io.NopCloser(bytes.NewReader(message)),
		ContentLength: int64(len(message)),
	}
	if deadline, ok := ctx.Deadline(); ok {
		ms := max(time.Until(deadline).Milliseconds(), 1)
		r.Header.Set("Grpc-Timeout", strconv.FormatInt(min(ms, 99999999), 10)+"m")
	}
	return r.WithContext(ctx)
}

// grpcFrame puts the header of an uncompressed message in front of it.
func grpcFrame(message []byte) []byte {
	b := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(b[1:], uint32(len(message)))
	return append(b, message...)
}

// grpcAnswer reads the answer and the status in its trailer.
func grpcAnswer(response *http.Response) (status uint64, err error) {
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("it answers with HTTP status %d, so it is no gRPC server", response.StatusCode)
	}
	if kind := response.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/grpc") {
		return 0, fmt.Errorf("it answers with %.60q, so it is no gRPC server", kind)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, grpcMessageLimit+1))
	if err != nil {
		return 0, err
	}
	if len(body) > grpcMessageLimit {
		return 0, fmt.Errorf("the answer is longer than %d bytes", grpcMessageLimit)
	}
	// An answer without a message has its trailer among the headers.
	trailer := response.Trailer
	if trailer.Get("Grpc-Status") == "" {
		trailer = response.Header
	}
	code, err := strconv.Atoi(trailer.Get("Grpc-Status"))
	if err != nil {
		return 0, errors.New("the answer ended without a gRPC status")
	}
	if code != 0 {
		text := trailer.Get("Grpc-Message")
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		return 0, errors.New(strings.TrimSuffix(fmt.Sprintf("%s: %s", grpcCode(code), text), ": "))
	}
	if len(body) < 5 || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-5 {
		return 0, errors.New("the answer is not one uncompressed message")
	}
	return healthResponse(body[5:])
}

// grpcCode is the status of a call in words: those that a health check meets
// have a reason of their own.
func grpcCode(code int) string {
	switch code {
	case 4:
		return "DEADLINE_EXCEEDED"
	case 5:
		return "NOT_FOUND: the server does not know the service"
	case 7:
		return "PERMISSION_DENIED"
	case 12:
		return "UNIMPLEMENTED: the server has no health service"
	case 14:
		return "UNAVAILABLE"
	case 16:
		return "UNAUTHENTICATED"
	}
	return "gRPC status " + strconv.Itoa(code)
}

// Values of HealthCheckResponse.ServingStatus.
const grpcServing = 1

func servingStatus(s uint64) string {
	switch s {
	case 0:
		return "it says UNKNOWN"
	case 2:
		return "it says NOT_SERVING"
	case 3:
		return "it says SERVICE_UNKNOWN"
	}
	return fmt.Sprintf("it says %d, which is no known status", s)
}

// healthRequest is a HealthCheckRequest: field 1, the service.
func healthRequest(service string) []byte {
	if service == "" {
		return nil
	}
	b := binary.AppendUvarint([]byte{1<<3 | wireBytes}, uint64(len(service)))
	return append(b, service...)
}

// Wire types of Protocol Buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errNoHTTP2 = errors.New("the server does not speak HTTP/2")

var errProtobuf = errors.New("the answer is not a health check response")

// healthResponse reads a HealthCheckResponse: field 1, the status, 0 if absent.
// Fields that are unknown are skipped.
func healthResponse(b []byte) (status uint64, err error) {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 {
			return 0, errProtobuf
		}
		b = b[n:]
		var skip uint64
		switch key & 7 {
		case wireVarint:
			value, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, errProtobuf
			}
			if key>>3 == 1 {
				status = value
			}
			skip = uint64(n)
		case wireFixed64:
			skip = 8
		case wireFixed32:
			skip = 4
		case wireBytes:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)) {
				return 0, errProtobuf
			}
			skip = uint64(n) + length
		default:
			return 0, errProtobuf
		}
		if skip > uint64(len(b)) || key>>3 == 1 && key&7 != wireVarint {
			return 0, errProtobuf
		}
		b = b[skip:]
	}
	return status, nil
}
