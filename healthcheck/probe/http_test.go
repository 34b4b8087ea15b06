package probe

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func TestHTTP(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	n := startNginx(t, w)
	second := netip.MustParseAddr("192.0.2.2")
	addAddress(t, w, second.String()+"/24")
	for _, c := range []struct {
		name   string
		spec   HTTP
		pass   bool
		detail string
		output string
	}{
		{"plain", HTTP{URL: web("/health")}, true, "GET http://192.0.2.9/health: status 200 OK in ", "healthy"},
		{"ipv6", HTTP{URL: "http://[2001:db8::9]/health"}, true, "GET http://[2001:db8::9]/health: status 200 OK", "healthy"},
		{"status", HTTP{URL: web("/down")}, false, "status 503 Service Unavailable, want 200-299", "the database is away"},
		{"status wanted", HTTP{URL: web("/down"), Status: []StatusRange{{200, 204}, {503, 503}}}, true, "status 503", "the database is away"},
		{"redirect", HTTP{URL: web("/moved")}, false, "status 301 Moved Permanently to http://192.0.2.9/health, want 200-299", "<html>"},
		{"redirect wanted", HTTP{URL: web("/moved"), Status: []StatusRange{{200, 399}}}, true, "status 301", "<html>"},
		{"no body", HTTP{URL: web("/nothing")}, true, "status 204 No Content", ""},
		{"no answer", HTTP{URL: web("/shut")}, false, "the connection was closed without an answer", ""},
		{"body", HTTP{URL: web("/health"), Body: `(?m)^since \w+$`}, true, "status 200", "healthy"},
		{"body missing", HTTP{URL: web("/health"), Body: "^sick"}, false, `status 200 OK, but the body does not match "^sick"`, "healthy"},
		{"body far behind", HTTP{URL: web("/big"), Body: "x"}, false, `does not match "x" in its first 65536 bytes`, "0123456789abcde"},
		{"big body", HTTP{URL: web("/big")}, true, "status 200", "0123456789abcde"},
		{"head", HTTP{URL: web("/big"), Method: "HEAD"}, true, "HEAD http://192.0.2.9/big: status 200 OK", ""},
		{"method", HTTP{URL: web("/method"), Method: "OPTIONS"}, true, "OPTIONS ", "OPTIONS"},
		{"host", HTTP{URL: web("/host"), Host: "web.example:81", Header: map[string]string{"X-Test": "7"}}, true, "", "host web.example:81 agent vrrpd test 7 from 192.0.2.1"},
		{"source", HTTP{URL: web("/host"), Source: second, Device: "eth0"}, true, "", "host 192.0.2.9 agent vrrpd test  from 192.0.2.2"},
		{"password", HTTP{URL: "http://user:secret@192.0.2.9/private"}, true, "http://user:xxxxx@192.0.2.9/private: status 200", "in"},
		{"no password", HTTP{URL: web("/private")}, false, "status 401 Unauthorized", "<html>"},
		{"refused", HTTP{URL: "http://192.0.2.9:81/"}, false, "GET http://192.0.2.9:81/: connect 192.0.2.9:81: connection refused", ""},
		{"unix socket", HTTP{URL: "http://localhost/host", UnixSocket: n.socket()}, true, "status 200", "host localhost agent vrrpd test  from unix:"},
		{"no unix socket", HTTP{URL: "http://localhost/host", UnixSocket: n.socket() + "2"}, false, "socket2: no such file or directory", ""},
		{"tls", HTTP{URL: "https://192.0.2.9/name", TLS: TLS{CAFile: n.caFile, ServerName: "web.example"}}, true, "status 200", "name web.example"},
		{"tls by address", HTTP{URL: "https://[2001:db8::9]/health", TLS: TLS{CAFile: n.caFile}}, true, "status 200", "healthy"},
		{"tls by host", HTTP{URL: "https://192.0.2.9/name", Host: "web.example", TLS: TLS{CAFile: n.caFile}}, true, "status 200", "name web.example"},
		{"tls of another", HTTP{URL: "https://192.0.2.9/name", Host: "db.example", TLS: TLS{CAFile: n.caFile}}, false, "TLS: ", ""},
		{"tls unknown", HTTP{URL: "https://192.0.2.9/health"}, false, "TLS: failed to verify certificate", ""},
		{"tls unverified", HTTP{URL: "https://192.0.2.9/health", TLS: TLS{Insecure: true}}, true, "status 200", "healthy"},
		{"tls no file", HTTP{URL: "https://192.0.2.9/health", TLS: TLS{CAFile: n.caFile + "2"}}, false, "TLS: ", ""},
		{"tls to plain", HTTP{URL: "https://192.0.2.9:80/health"}, false, "TLS: ", ""},
		{"plain to tls", HTTP{URL: "http://192.0.2.9:443/health"}, false, "status 400", "<html>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustNew(t, c.spec)
			out := once(t, p)
			expect(t, p, out, c.pass, []string{c.detail})
			if !strings.HasPrefix(out.Output, c.output) || c.output == "" && out.Output != "" {
				t.Errorf("output %q, want %q", out.Output, c.output)
			}
			if strings.Contains(p.String()+out.Detail, "secret") {
				t.Errorf("the password is shown: %s: %s", p, out.Detail)
			}
		})
	}

	// A process that is stopped: its kernel still completes connections.
	n.Stop()
	wantTimeout(t, mustNew(t, HTTP{URL: web("/health")}), "GET http://192.0.2.9/health: no answer within ")
	wantTimeout(t, mustNew(t, HTTP{URL: "https://192.0.2.9/health", TLS: TLS{Insecure: true}}), "TLS: no answer within ")
	wantTimeout(t, mustNew(t, HTTP{URL: "http://" + nobody + "/"}), "connect 192.0.2.77:80: no answer within ")
	n.Cont()
	wantPass(t, mustNew(t, HTTP{URL: web("/health")}))
	n.Kill()
	wantFail(t, mustNew(t, HTTP{URL: web("/health")}), "connection refused")
}

// TestHTTPCAFile: authorities that change are read again.
func TestHTTPCAFile(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	n := startNginx(t, w)
	file := n.dir + "/changing.pem"
	p := mustNew(t, HTTP{URL: "https://192.0.2.9/health", TLS: TLS{CAFile: file}})
	good, err := os.ReadFile(n.caFile)
	must(t, err)
	put(t, file, "no certificate")
	wantFail(t, p, "changing.pem holds no certificate")
	replace(t, file, string(good))
	wantPass(t, p)
	other := certificate(t, t.TempDir())
	must(t, os.Rename(other, file))
	wantFail(t, p, "failed to verify certificate")
}

// TestHTTPHostile: servers that do what they should not.
func TestHTTPHostile(t *testing.T) {
	noLeak(t)
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		say   string
	}{
		{"headers without end", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X-Header: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, "more than 65536 bytes"},
		{"body without end", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 Oh\r\n\r\n")
			for {
				if _, err := io.WriteString(c, strings.Repeat("\x00\x1b[31m", 1000)); err != nil {
					return
				}
			}
		}, "status 500"},
		{"another protocol", func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") }, "read the answer: "},
		{"interim answers for ever", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		}, "no answer behind 5 interim ones"},
		{"half a body", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") }, "status 200 OK, but of the body: unexpected EOF"},
		{"half a header", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-") }, "read the answer: "},
		{"a header that stops", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b\r\n") }, "within the header"},
		{"bad chunks", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		}, "but of the body: "},
		{"upgrade", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n") }, "status 101"},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					c.serve(conn)
				}
			}()
			wantFail(t, mustNew(t, HTTP{URL: "http://" + listener.Addr().String()}), c.say)
			listener.Close()
			<-done
		})
	}
}

// TestHTTPSlow: a body that drips ends at the timeout.
func TestHTTPSlow(t *testing.T) {
	noLeak(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			for err == nil {
				_, err = io.WriteString(conn, "drip\n")
				time.Sleep(5 * time.Millisecond)
			}
			conn.Close()
		}
	}()
	wantTimeout(t, mustNew(t, HTTP{URL: "http://" + listener.Addr().String()}), "status 200 OK, but of the body: no answer within ")
	listener.Close()
	<-done
}

func TestHTTPFields(t *testing.T) {
	const ok = "http://192.0.2.1/"
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{HTTP{}, "url"},
		{HTTP{URL: "192.0.2.1"}, "url"},
		{HTTP{URL: "ftp://192.0.2.1/"}, "url"},
		{HTTP{URL: "http:///path"}, "url"},
		{HTTP{URL: "http://192.0.2.1:99999/"}, "url"},
		{HTTP{URL: "http://a b/"}, "url"},
		{HTTP{URL: ok, Method: "GET IT"}, "method"},
		{HTTP{URL: ok, Method: "CONNECT"}, "method"},
		{HTTP{URL: ok, Method: "get"}, "method"},
		{HTTP{URL: ok, Status: []StatusRange{{100, 200}}}, "status"},
		{HTTP{URL: ok, Status: []StatusRange{{300, 200}}}, "status"},
		{HTTP{URL: ok, Body: "("}, "body"},
		{HTTP{URL: ok, Header: map[string]string{"A:": ""}}, "header"},
		{HTTP{URL: ok, Header: map[string]string{"A": "x\r\nB: y"}}, "header"},
		{HTTP{URL: ok, Header: map[string]string{"host": "a"}}, "header"},
		{HTTP{URL: ok, Header: map[string]string{"Content-Length": "5"}}, "header"},
		{HTTP{URL: ok, Host: "a\nb"}, "host"},
		{HTTP{URL: ok, UnixSocket: "relative"}, "unix_socket"},
		{HTTP{URL: ok, UnixSocket: "/" + strings.Repeat("x", 200)}, "unix_socket"},
		{HTTP{URL: ok, UnixSocket: "/a", Source: netip.MustParseAddr(here)}, "source"},
		{HTTP{URL: ok, UnixSocket: "/a", Device: "eth0"}, "device"},
		{HTTP{URL: ok, Source: netip.MustParseAddr(here6)}, "source"},
		{HTTP{URL: ok, TLS: TLS{Insecure: true}}, "tls"},
		{HTTP{URL: "https://a/", TLS: TLS{CAFile: "x"}}, "ca_file"},
		{HTTP{URL: "https://a/", TLS: TLS{CAFile: "/x", Insecure: true}}, "insecure"},
		{HTTP{URL: "https://a/", TLS: TLS{ServerName: "a b"}}, "server_name"},
	})
}

func TestParseStatusRange(t *testing.T) {
	for in, want := range map[string]StatusRange{"200": {200, 200}, "2xx": {200, 299}, "200-399": {200, 399}} {
		if got, err := ParseStatusRange(in); err != nil || got != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "20", "2000", "1xx", "xxx", "6xx", "300-200", "200-", "-200", "200-600", "2x", "+20", "200-2xx"} {
		if got, err := ParseStatusRange(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}
