package probe

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// unitAt makes a probe that asks at some sockets.
func unitAt(t testing.TB, name string, sockets ...dbusSocket) Probe {
	t.Helper()
	p := mustNew(t, Unit{Name: name}).(*unitProbe)
	p.sockets = sockets
	return p
}

// TestUnit asks a real systemd, directly and over a real bus.
func TestUnit(t *testing.T) {
	noLeak(t)
	m := startSystemd(t)
	m.systemctl(t, "start", "dbus.socket", "dbus.service")
	bus := unitAt(t, "dbus", m.bus())
	lab.Until(t, 30*time.Second, "systemd to be on the bus", func() bool { return once(t, bus).Passed })
	direct := m.private(t)
	for _, way := range []struct {
		name    string
		sockets []dbusSocket
	}{
		{"directly", []dbusSocket{direct}},
		{"over the bus", []dbusSocket{{path: m.file("/run/systemd/nothing"), direct: true}, m.bus()}},
	} {
		t.Run(way.name, func(t *testing.T) {
			p := unitAt(t, "sleeper", way.sockets...)
			w := watch(t, p)
			wantFail(t, p, "sleeper.service is inactive (dead)")
			for range 3 {
				m.systemctl(t, "start", "sleeper")
				w.becomes(t, true, "sleeper.service is active (running)")
				if got := m.systemctl(t, "is-active", "sleeper"); got != "active" {
					t.Errorf("systemctl says %q", got)
				}
				m.systemctl(t, "kill", "--signal=KILL", "sleeper")
				w.becomes(t, false, "sleeper.service is failed (failed)")
				if got := m.systemctl(t, "is-active", "sleeper"); got != "failed" {
					t.Errorf("systemctl says %q", got)
				}
				m.systemctl(t, "reset-failed", "sleeper")
			}
			wantFail(t, unitAt(t, "nobody-has-this", way.sockets...), "nobody-has-this.service is inactive: not-found")
			odd := unitAt(t, `failing@a\x2db-7.service`, way.sockets...)
			m.systemctl(t, "start", `failing@a\x2db-7.service`)
			lab.Until(t, 10*time.Second, "the unit to fail", func() bool {
				return strings.Contains(once(t, odd).Detail, `failing@a\x2db-7.service is failed (failed)`)
			})
			wantPass(t, unitAt(t, "lab.target", way.sockets...), "lab.target is active")
		})
	}
}

func TestUnitWithoutSystemd(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	none := unitAt(t, "a", dbusSocket{path: dir + "/private", direct: true}, dbusSocket{path: dir + "/bus"})
	wantFail(t, none, "ask systemd: "+dir+"/bus: no such file or directory")
	if err := none.(Watcher).Watch(t.Context(), func() {}); err == nil || !strings.HasPrefix(err.Error(), "watch a.service: ") {
		t.Error(err)
	}
	for _, c := range []struct {
		name, say string
		serve     func(net.Conn)
	}{
		{"refuses", "authenticate: REJECTED KERBEROS", func(c net.Conn) { _, _ = io.WriteString(c, "REJECTED KERBEROS\r\n") }},
		{"a long line", "authenticate: bufio: buffer full", func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte("x"), 10_000)) }},
		{"another protocol", "a message that is no D-Bus", func(c net.Conn) {
			_, _ = io.WriteString(c, "OK 1234\r\n"+strings.Repeat("x", 100))
		}},
		{"a huge message", "a D-Bus message of ", func(c net.Conn) {
			_, _ = io.WriteString(c, "OK 1234\r\nl\x02\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff")
		}},
		{"closes", "EOF", func(c net.Conn) { c.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, done := unitAgainst(t, c.serve)
			wantFail(t, p, "ask systemd", c.say)
			<-done
		})
	}
	hold := make(chan struct{})
	p, done := unitAgainst(t, func(net.Conn) { <-hold })
	if out := onceWithin(t, p, 100*time.Millisecond); out.Passed || !strings.Contains(out.Detail, "no answer within ") {
		t.Errorf("%+v", out)
	}
	close(hold)
	<-done
}

// unitAgainst makes a probe whose systemd does what serve does, once it has
// been sent something.
func unitAgainst(t testing.TB, serve func(net.Conn)) (p Probe, done chan struct{}) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	must(t, err)
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1000)); err == nil {
			serve(conn)
			_, _ = io.Copy(io.Discard, conn) // or it would be cut off before it has read
		}
	}()
	return unitAt(t, "a", dbusSocket{path: path, direct: true}), done
}

func TestUnitPath(t *testing.T) {
	for name, want := range map[string]string{
		"nginx.service":           "nginx_2eservice",
		"7up.service":             "_37up_2eservice",
		`a@b\x2dc-d_e.service`:    "a_40b_5cx2dc_2dd_5fe_2eservice",
		"system-getty.slice":      "system_2dgetty_2eslice",
		"dev-disk-by:7.device":    "dev_2ddisk_2dby_3a7_2edevice",
		"MiXed9.timer":            "MiXed9_2etimer",
		"org.example.App.service": "org_2eexample_2eApp_2eservice",
	} {
		if got := unitPath(name); got != "/org/freedesktop/systemd1/unit/"+want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for in, want := range map[string]string{
		"nginx": "nginx.service", "a.socket": "a.socket", "org.example.App": "org.example.App.service", "service": "service.service", "a@b": "a@b.service",
	} {
		if p, err := (Unit{Name: in}).New(); err != nil || p.String() != "unit "+want {
			t.Errorf("%s: %v, %v", in, p, err)
		}
	}
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{Unit{}, "name"},
		{Unit{Name: ".service"}, "name"},
		{Unit{Name: "a b"}, "name"},
		{Unit{Name: "a/b"}, "name"},
		{Unit{Name: "@b.service"}, "name"},
		{Unit{Name: "getty@.service"}, "name"},
		{Unit{Name: strings.Repeat("a", 300)}, "name"},
	})
}

// FuzzDBus: whatever comes from a bus is read without harm.
func FuzzDBus(f *testing.F) {
	f.Add(marshalCall(1, "a.b", "/c", "d.e", "f", []string{"g", "hh"}))
	f.Add([]byte("l\x04\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\x10\x00\x00\x00\x01\x01o\x00\x02\x00\x00\x00/a\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &dbusConn{in: bufio.NewReader(bytes.NewReader(b))}
		for {
			m, err := c.receive()
			if err != nil {
				return
			}
			if s, err := m.text(); err == nil && len(s) > len(b) {
				t.Errorf("a text of %d bytes out of %d", len(s), len(b))
			}
		}
	})
}

// TestDBusByteOrder: messages of either byte order are read.
func TestDBusByteOrder(t *testing.T) {
	for _, order := range []interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}{binary.LittleEndian, binary.BigEndian} {
		first := byte('l')
		if order.Uint16([]byte{0, 1}) == 1 {
			first = 'B'
		}
		b := []byte{first, dbusSignal, 0, 1}
		b = order.AppendUint32(b, 15) // body
		b = order.AppendUint32(b, 7)
		b = order.AppendUint32(b, 0) // fields, below
		b = append(b, fieldPath, 1, 'o', 0)
		b = append(order.AppendUint32(b, 2), "/a\x00\x00\x00\x00\x00\x00"...)
		b = append(b[:32], fieldSignature, 1, 'g', 0, 1, 'v', 0, 0)
		b = append(b, fieldMember, 1, 's', 0)
		b = append(order.AppendUint32(b, 6), "member\x00"...)
		b = pad(b, 8)
		fields := uint32(32 + 8 + 8 + 7 - 16)
		order.PutUint32(b[12:], fields)
		b = append(b, 1, 's', 0, 0)
		b = append(order.AppendUint32(b, 6), "active\x00"...)
		c := &dbusConn{in: bufio.NewReader(bytes.NewReader(b))}
		m, err := c.receive()
		must(t, err)
		text, err := m.text()
		if err != nil || m.path != "/a" || m.member != "member" || m.signature != "v" || text != "active" {
			t.Errorf("%c: %+v, %q, %v", first, m, text, err)
		}
	}
}
