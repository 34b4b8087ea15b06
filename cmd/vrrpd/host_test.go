package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrrpd/internal/control"
)

const patience = 20 * time.Second

// A host is what one daemon runs on: an interface, a directory, and somebody
// who listens to what it says to its service manager.
type host struct {
	t       *testing.T
	name    string // of the interface
	dir     string
	config  string
	client  *control.Client
	manager *net.UnixConn
}

var hosts atomic.Int32

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, name: fmt.Sprintf("t%dv0", hosts.Add(1)), dir: t.TempDir()}
	peer := strings.Replace(h.name, "v0", "v1", 1)
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: h.name}, PeerName: peer}))
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(h.name); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
	for _, name := range []string{h.name, peer} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(l))
	}
	h.addAddress("192.0.2.1/24")
	h.config = filepath.Join(h.dir, "vrrpd.toml")
	h.client = control.NewClient(h.socket())
	t.Cleanup(h.client.Close)
	var err error
	h.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(h.dir, "notify"), Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { h.manager.Close() })
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) socket() string { return filepath.Join(h.dir, "vrrpd.sock") }

func (h *host) link() netlink.Link {
	h.t.Helper()
	l, err := netlink.LinkByName(h.name)
	must(h.t, err)
	return l
}

func (h *host) addAddress(prefix string) {
	h.t.Helper()
	a, err := netlink.ParseAddr(prefix)
	must(h.t, err)
	must(h.t, netlink.AddrAdd(h.link(), a))
}

// configure writes a configuration with one instance and whatever is given.
func (h *host) configure(addresses, more string) {
	h.t.Helper()
	h.configureEvery("50ms", addresses, more)
}

// configureEvery is configure with another advertisement interval.
func (h *host) configureEvery(interval, addresses, more string) {
	h.t.Helper()
	write(h.t, h.config, fmt.Sprintf(`
[control]
socket = %q
group = "root"
[instance.web]
interface = %q
vrid = 51
advert_interval = %q
addresses = [%s]
%s`, h.socket(), h.name, interval, addresses, more))
}

const oneAddress = `"192.0.2.100/24"`

// has waits until the interface has exactly these addresses besides its own.
func (h *host) has(want ...string) {
	h.t.Helper()
	var got []string
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		got = got[:0]
		list, err := netlink.AddrList(h.link(), netlink.FAMILY_V4)
		must(h.t, err)
		for _, a := range list {
			if p := a.IPNet.String(); p != "192.0.2.1/24" {
				got = append(got, p)
			}
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s has %q, want %q", h.name, got, want)
		}
	}
}

// told waits for a message to the service manager that holds all the words.
func (h *host) told(words ...string) string {
	h.t.Helper()
	must(h.t, h.manager.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 4096)
	for {
		n, err := h.manager.Read(b)
		if err != nil {
			h.t.Fatalf("waiting for %q: %v", words, err)
		}
		text := string(b[:n])
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return text
		}
	}
}

func (h *host) status() *control.Status {
	h.t.Helper()
	s, err := h.client.Status(h.t.Context(), "")
	must(h.t, err)
	return s
}

// until waits until the status is as wanted.
func (h *host) until(what string, holds func(*control.Status) bool) *control.Status {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s := h.status()
		if holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("not seen: %s; %+v", what, s)
		}
	}
}

// A process is a vrrpd that runs.
type process struct {
	*host
	cmd  *exec.Cmd
	log  *log
	done chan error
}

// A log keeps what a process writes.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (h *host) command() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-c", h.config)
	cmd.Env = append(os.Environ(), daemonVariable+"=1", "NOTIFY_SOCKET="+h.manager.LocalAddr().String(), "GOCOVERDIR="+h.dir)
	return cmd
}

// start runs a daemon, which is killed at the end of the test if it is not
// over by then.
func (h *host) start(change ...func(*exec.Cmd)) *process {
	h.t.Helper()
	p := &process{host: h, cmd: h.command(), log: &log{}, done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	for _, f := range change {
		f(p.cmd)
	}
	must(h.t, p.cmd.Start())
	go func() { p.done <- p.cmd.Wait() }()
	h.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if h.t.Failed() {
			h.t.Logf("the daemon wrote:\n%s", p.log)
		}
	})
	return p
}

func (h *host) ready(change ...func(*exec.Cmd)) *process {
	h.t.Helper()
	p := h.start(change...)
	h.told("READY=1")
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	must(p.t, p.cmd.Process.Signal(s))
}

// ends waits for the process and returns its exit status, -1 for a signal.
func (p *process) ends(within time.Duration) int {
	p.t.Helper()
	select {
	case err := <-p.done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			p.t.Fatal(err)
		}
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // where is it?
		<-p.done
		p.t.Fatalf("it did not end within %s", within)
	}
	return 0
}
