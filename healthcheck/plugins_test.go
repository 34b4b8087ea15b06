package healthcheck

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

const plugins = "/usr/lib/nagios/plugins/"

// TestMonitoringPlugins runs check plugins as Debian ships them, unchanged, as
// the user that checks run as by default.
func TestMonitoringPlugins(t *testing.T) {
	_, err := os.Stat(plugins + "check_dummy")
	need(t, err == nil, "package monitoring-plugins-basic")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, "welcome\n")
	}))
	defer site.Close()
	web := strings.TrimPrefix(site.URL, "http://127.0.0.1:")
	ssh := serveSSH(t)
	closed := closedPort(t)

	tests := []struct {
		command string
		grade   Grade
		summary string // its beginning
		perf    string // labels
	}{
		{"check_dummy 0 fine", Good, "OK: fine", ""},
		{"check_dummy 1 hm", Warned, "WARNING: hm", ""},
		{"check_dummy 2 broken", Bad, "CRITICAL: broken", ""},
		{"check_dummy 3", Unclear, "UNKNOWN", ""},
		{"check_tcp -H 127.0.0.1 -p " + web, Good, "TCP OK - ", "time"},
		{"check_tcp -H 127.0.0.1 -p " + closed, Bad, "connect to address 127.0.0.1 and port " + closed + ": Connection refused", ""},
		{"check_http -I 127.0.0.1 -p " + web + " -s welcome", Good, "HTTP OK: HTTP/1.0 200 OK", "time size"},
		{"check_http -I 127.0.0.1 -p " + web + " -u /down", Bad, "HTTP CRITICAL: HTTP/1.0 503", "time size"},
		{"check_http -I 127.0.0.1 -p " + web + " -u /down -e 503", Good, "HTTP OK: ", "time size"},
		{"check_ssh -p " + ssh + " 127.0.0.1", Good, "SSH OK - OpenSSH_test", "time"},
		{"check_procs -c 1:", Good, "PROCS OK: ", "procs"},
		{"check_procs -c 1: -C no-such-command", Bad, "PROCS CRITICAL: 0 processes", "procs"},
		{"check_load -w 9999,9999,9999 -c 9999,9999,9999", Good, "LOAD OK - ", "load1 load5 load15"},
		{"check_load -w 0,0,0 -c 9999,9999,9999", Warned, "LOAD WARNING - ", "load1 load5 load15"},
		{"check_users -w 9999 -c 9999", Good, "USERS OK - ", "users"},
		{"check_disk -w 0% -c 0% -p /", Good, "DISK OK", "/"},
		{"check_ping -H 127.0.0.1 -w 9000,100% -c 9000,100% -p 1", Good, "PING OK - Packet loss = 0%", "rta pl"},
		{"check_file_age -f /etc/passwd -w 9999999999 -c 9999999999", Good, "FILE_AGE OK: /etc/passwd", "age size"},
		{"check_cluster -s -l node -d 0,0,2 -w 0 -c 2", Warned, "CLUSTER WARNING: node: 2 ok, 0 warning, 0 unknown, 1 critical", ""},
		{"negate /usr/lib/nagios/plugins/check_dummy 2", Good, "CRITICAL", ""},
		{"check_tcp --no-such-option", Unclear, "", ""},
	}
	used := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			words := strings.Fields(plugins + tt.command)
			used[words[0]] = true
			user := DefaultUser()
			if err := Vet(words, user); err != nil {
				t.Fatal(err)
			}
			c := New(Spec{Name: "x", Command: words, RunAs: user, Contract: Nagios, Interval: time.Minute}, nil)
			r, err := c.Once(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var labels []string
			for _, p := range r.Perf {
				labels = append(labels, p.Label)
			}
			if r.Grade != tt.grade || !strings.HasPrefix(r.Summary, tt.summary) || strings.Join(labels, " ") != tt.perf {
				t.Errorf("%s (%s), %q, performance data %q, %d bad; want %s, %q, %q",
					r.Grade, r.Detail, r.Output, labels, r.PerfBad, tt.grade, tt.summary, tt.perf)
			}
		})
	}
	if len(used) < 8 {
		t.Errorf("%d plugins ran", len(used))
	}
}

// serveSSH is a server that does no more than say that it is one.
func serveSSH(t *testing.T) (port string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "SSH-2.0-OpenSSH_test\r\n")
			// Until the other end has read that and said who it is.
			conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			io.CopyN(io.Discard, conn, 8)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// closedPort is one that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
