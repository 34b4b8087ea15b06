package probe

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

func TestTCP(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	listener := w.listen(t, there+":80")
	listener6 := w.listen(t, "["+there6+"]:80")
	for range 20 {
		wantPass(t, mustNew(t, TCP{Address: there + ":80"}), "connected to 192.0.2.9:80 in ")
	}
	wantPass(t, mustNew(t, TCP{Address: "[" + there6 + "]:80", Source: netip.MustParseAddr(here6), Device: "eth0"}), "connected")
	wantFail(t, mustNew(t, TCP{Address: there + ":81"}), "connect 192.0.2.9:81: connection refused")
	wantFail(t, mustNew(t, TCP{Address: there + ":80", Source: netip.MustParseAddr("192.0.2.55")}), "cannot assign requested address")
	wantFail(t, mustNew(t, TCP{Address: there + ":80", Device: "eth7"}), "no such device")
	wantFail(t, mustNew(t, TCP{Address: "198.51.100.1:80"}), "network is unreachable")
	if out := onceWithin(t, mustNew(t, TCP{Address: there + ":80", Device: "lo"}), 200e6); out.Passed {
		t.Errorf("connected to %s over lo: %s", there, out.Detail)
	}
	wantTimeout(t, mustNew(t, TCP{Address: nobody + ":80"}), "connect "+nobody+":80: no answer within ")
	listener.Close()
	listener6.Close()
	wantFail(t, mustNew(t, TCP{Address: there + ":80"}), "connection refused")
}

// TestTCPSource: the other side sees the source that was asked for.
func TestTCPSource(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	const second = "192.0.2.2"
	addAddress(t, w, second+"/24")
	listener := w.listen(t, there+":80")
	seen := make(chan string, 2)
	go func() {
		defer close(seen)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			seen <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
			conn.Close()
		}
	}()
	for _, source := range []string{here, second} {
		wantPass(t, mustNew(t, TCP{Address: there + ":80", Source: netip.MustParseAddr(source)}))
		if got := <-seen; got != source {
			t.Errorf("asked from %s, want %s", got, source)
		}
	}
	listener.Close()
	for range seen {
	}
}

// TestTCPFullBacklog: a process that hangs without accepting.
func TestTCPFullBacklog(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	// A service that hangs: the kernel completes connections until the backlog
	// is full, and then drops them.
	var fd int
	must(t, w.peer.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: 80}); err != nil {
			return err
		}
		return unix.Listen(fd, 0)
	}))
	t.Cleanup(func() { unix.Close(fd) })
	p := mustNew(t, TCP{Address: there + ":80"})
	lab.Until(t, 20e9, "the backlog to be full", func() bool { return !onceWithin(t, p, 100e6).Passed })
	wantTimeout(t, p, "no answer within")
}

func TestTCPFields(t *testing.T) {
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{TCP{}, "address"},
		{TCP{Address: "192.0.2.1"}, "address"},
		{TCP{Address: ":80"}, "address"},
		{TCP{Address: "192.0.2.1:0"}, "address"},
		{TCP{Address: "192.0.2.1:65536"}, "address"},
		{TCP{Address: "192.0.2.1:http"}, "address"},
		{TCP{Address: "192.0.2.256:80"}, "address"},
		{TCP{Address: "a b:80"}, "address"},
		{TCP{Address: "-a.example:80"}, "address"},
		{TCP{Address: "192.0.2.1:80", Source: netip.MustParseAddr("::1")}, "source"},
		{TCP{Address: "192.0.2.1:80", Source: netip.IPv4Unspecified()}, "source"},
		{TCP{Address: "192.0.2.1:80", Device: "a/b"}, "device"},
		{TCP{Address: "192.0.2.1:80", Device: "sixteen-is-a-lot"}, "device"},
	})
	for _, address := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "db_1.example:5432", "localhost:1"} {
		if _, err := (TCP{Address: address}).New(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestTCPZone: the interface that is named may be another one by now.
func TestTCPZone(t *testing.T) {
	noLeak(t)
	for range 3 {
		w := newWire(t)
		w.listen(t, "[::]:80")
		address := "[" + w.linkLocal(t).String() + "%eth0]:80"
		source := netip.MustParseAddr("fe80::77")
		addAddress(t, w, source.String()+"/64")
		wantPass(t, mustNew(t, TCP{Address: address}), "connected to "+address)
		wantPass(t, mustNew(t, TCP{Address: address, Source: source.WithZone("eth0")}))
		must(t, netlink.LinkDel(w.own))
	}
}
