package probe

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// health is a gRPC server with the health service, as little as can be: what
// its services say is in statuses, by name.
type health struct{ statuses map[string]byte }

func (h health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ProtoMajor != 2 || r.Method != "POST" || r.Header.Get("Te") != "trailers" ||
		r.Header.Get("Content-Type") != "application/grpc" {
		http.Error(w, "not gRPC", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/grpc")
	service := ""
	if len(body) > 7 {
		service = string(body[7:]) // prefix, key, length
	}
	status, known := h.statuses[service]
	switch {
	case r.URL.Path != "/grpc.health.v1.Health/Check":
		w.Header().Set("Grpc-Status", "12")
	case service == "slow":
		select {
		case <-r.Context().Done():
		case <-time.After(30 * time.Second):
		}
	case service == "cut":
		_, _ = w.Write(grpcFrame([]byte{8, 1}))
	case service == "flood":
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	case service == "headers":
		for i := range 1000 {
			w.Header().Set("X-"+strings.Repeat("x", 50)+string(rune('a'+i%26))+strings.Repeat("y", i/26), strings.Repeat("z", 200))
		}
	case service == "unimplemented":
		w.Header().Set("Grpc-Status", "12")
	case !known:
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "unknown%20service")
	default:
		w.Header().Set("Trailer", "Grpc-Status")
		message := []byte{8, status}
		if status == 0 {
			message = nil // as Protocol Buffers have it
		}
		_, _ = w.Write(grpcFrame(message))
		w.Header().Set("Grpc-Status", "0")
	}
}

// serve runs a server on a listener until the test ends.
func serve(t testing.TB, l net.Listener, h http.Handler, config *tls.Config) {
	t.Helper()
	server := &http.Server{Handler: h, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols)}
	done := make(chan error, 1)
	if config == nil {
		server.Protocols.SetUnencryptedHTTP2(true)
		server.Protocols.SetHTTP1(true)
		go func() { done <- server.Serve(l) }()
	} else {
		server.Protocols.SetHTTP2(true)
		go func() { done <- server.ServeTLS(l, "", "") }()
	}
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

func TestGRPC(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	dir := t.TempDir()
	ca := certificate(t, dir)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	must(t, err)
	server := health{map[string]byte{"": 1, "web": 1, "db": 2, "cache": 0, "queue": 3, "odd": 77, strings.Repeat("long", 50): 1}}
	serve(t, w.listen(t, there+":50051"), server, nil)
	serve(t, w.listen(t, there+":50052"), server, &tls.Config{Certificates: []tls.Certificate{pair}})
	serve(t, w.listen(t, there+":50053"), http.NotFoundHandler(), nil)
	serve(t, w.listen(t, there+":50054"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), nil)
	const plain, secure = there + ":50051", there + ":50052"
	for _, c := range []struct {
		name string
		spec GRPC
		pass bool
		say  string
	}{
		{"server", GRPC{Address: plain}, true, "192.0.2.9:50051 is serving, answered in "},
		{"service", GRPC{Address: plain, Service: "web"}, true, "web of 192.0.2.9:50051 is serving"},
		{"source", GRPC{Address: plain, Source: netip.MustParseAddr(here), Device: "eth0"}, true, "serving"},
		{"not serving", GRPC{Address: plain, Service: "db"}, false, "db of 192.0.2.9:50051: it says NOT_SERVING"},
		{"unknown", GRPC{Address: plain, Service: "cache"}, false, "it says UNKNOWN"},
		{"service unknown", GRPC{Address: plain, Service: "queue"}, false, "it says SERVICE_UNKNOWN"},
		{"odd", GRPC{Address: plain, Service: "odd"}, false, "it says 77"},
		{"no such service", GRPC{Address: plain, Service: "mail"}, false, "NOT_FOUND: the server does not know the service: unknown service"},
		{"no health service", GRPC{Address: plain, Service: "unimplemented"}, false, "UNIMPLEMENTED: the server has no health service"},
		{"no trailer", GRPC{Address: plain, Service: "cut"}, false, "without a gRPC status"},
		{"flood", GRPC{Address: plain, Service: "flood"}, false, "longer than 16384 bytes"},
		{"tls", GRPC{Address: secure, Secure: true, TLS: TLS{CAFile: ca}}, true, "serving"},
		{"tls by name", GRPC{Address: secure, Secure: true, TLS: TLS{CAFile: ca, ServerName: "web.example"}}, true, "serving"},
		{"tls of another", GRPC{Address: secure, Secure: true, TLS: TLS{CAFile: ca, ServerName: "db.example"}}, false, "failed to verify certificate"},
		{"tls unknown", GRPC{Address: secure, Secure: true}, false, "failed to verify certificate"},
		{"tls unverified", GRPC{Address: secure, Secure: true, TLS: TLS{Insecure: true}}, true, "serving"},
		{"tls to plain", GRPC{Address: plain, Secure: true}, false, "TLS: "},
		{"plain to tls", GRPC{Address: secure}, false, "HTTP/2: "},
		{"no gRPC", GRPC{Address: there + ":50053"}, false, "HTTP status 404, so it is no gRPC server"},
		{"no gRPC either", GRPC{Address: there + ":50054"}, false, `"text/plain; charset=utf-8", so it is no gRPC server`},
		{"refused", GRPC{Address: there + ":50055"}, false, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustNew(t, c.spec)
			expect(t, p, once(t, p), c.pass, []string{c.say})
		})
	}
	wantFail(t, mustNew(t, GRPC{Address: plain, Service: "headers"}), "HTTP/2: ")
	wantTimeout(t, mustNew(t, GRPC{Address: plain, Service: "slow"}), "no answer within ")
	wantTimeout(t, mustNew(t, GRPC{Address: nobody + ":50051"}), "no answer within ")

	// A server that accepts and says nothing.
	silent := w.listen(t, there+":50056")
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	wantTimeout(t, mustNew(t, GRPC{Address: there + ":50056"}), "no answer within ")
	wantTimeout(t, mustNew(t, GRPC{Address: there + ":50056", Secure: true}), "no answer within ")
	silent.Close()
	<-accepted
}

// TestGRPCHTTP1: a server that speaks HTTP/1.1 only.
func TestGRPCHTTP1(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	startNginx(t, w)
	wantFail(t, mustNew(t, GRPC{Address: there + ":80"}))
	wantFail(t, mustNew(t, GRPC{Address: there + ":443", Secure: true, TLS: TLS{Insecure: true}}), "TLS: ")
}

func TestHealthResponse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want uint64
		ok   bool
	}{
		{"", 0, true},
		{"\x08\x01", 1, true},
		{"\x08\x00", 0, true},
		{"\x08\x82\x01", 130, true},
		{"\x12\x03abc\x08\x01", 1, true},
		{"\x11abcdefgh\x1dabcd\x08\x02", 2, true},
		{"\x08\x01\x20\x07", 1, true},
		{"\x08", 0, false},
		{"\x08\x80", 0, false},
		{"\x0a\x01a", 0, false},
		{"\x12\x05abc", 0, false},
		{"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, false},
		{"\x11abc", 0, false},
		{"\x0b", 0, false},
		{"\x00\x01", 0, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 0, false},
	} {
		got, err := healthResponse([]byte(c.in))
		if got != c.want && c.ok || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v; want %d, %t", c.in, got, err, c.want, c.ok)
		}
	}
}

func FuzzHealthResponse(f *testing.F) {
	f.Add([]byte("\x12\x03abc\x08\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := healthResponse(b); err != nil && s != 0 {
			t.Error(s, err)
		}
	})
}

func TestGRPCFields(t *testing.T) {
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{GRPC{}, "address"},
		{GRPC{Address: "a"}, "address"},
		{GRPC{Address: "a:1", Service: "\xff"}, "service"},
		{GRPC{Address: "a:1", Service: strings.Repeat("x", 1001)}, "service"},
		{GRPC{Address: "a:1", TLS: TLS{Insecure: true}}, "tls"},
		{GRPC{Address: "a:1", Secure: true, TLS: TLS{CAFile: "x"}}, "ca_file"},
		{GRPC{Address: "192.0.2.1:1", Source: netip.MustParseAddr("::1")}, "source"},
		{GRPC{Address: "a:1", Device: "a b"}, "device"},
	})
}

// Whatever ends the conversation at whichever moment, it is told as the end of
// HTTP/2: here the first write already fails, as it does when a server that
// speaks something else hangs up at once.
func TestGRPCHungUp(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Close(pair[1]))
	f := os.NewFile(uintptr(pair[0]), "hung up")
	conn, err := net.FileConn(f)
	must(t, err)
	must(t, f.Close())
	defer conn.Close()
	p, ok := mustNew(t, GRPC{Address: there + ":50051"}).(*grpcProbe)
	if !ok {
		t.Fatal("not a gRPC probe")
	}
	if out := p.ask(t.Context(), begin(t.Context()), conn); out.Passed || out.Detail != "192.0.2.9:50051: HTTP/2: broken pipe" {
		t.Errorf("%+v", out)
	}
}
