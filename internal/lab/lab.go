package lab

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// T is what the lab needs of a test; *testing.T is one. Fatalf and Skipf must
// not return.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// Lab is a set of hosts and switches that live and die together.
type Lab struct {
	t   T
	dir string

	mu        sync.Mutex
	hosts     []*Host
	processes []*Process
	macs      map[string]string // hardware address -> host name
	files     int
	cables    int
}

// New returns an empty lab that is taken down when the test ends. If the test
// has failed by then, the output of every process is logged.
func New(t T) *Lab {
	t.Helper()
	if entered != nil {
		Missing(t, "%v", entered)
	}
	name := strings.NewReplacer("/", "_", " ", "_").Replace(t.Name())
	dir, err := os.MkdirTemp(os.Getenv(dirVar), name+"-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	l := &Lab{t: t, dir: dir, macs: map[string]string{}}
	t.Cleanup(l.close)
	return l
}

// Dir is the lab's own directory, readable by all its hosts. It goes with the
// program unless VRRPD_LAB_KEEP is set.
func (l *Lab) Dir() string { return l.dir }

// WriteFile writes a file into the lab's directory and returns its path.
func (l *Lab) WriteFile(name, content string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return path
}

// Missing ends a test that lacks something of its surroundings: it fails where
// everything is required (VRRPD_REQUIRE_ALL=1) and is skipped elsewhere.
func Missing(t T, format string, args ...any) {
	t.Helper()
	if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
		t.Fatalf("missing: "+format, args...)
	}
	t.Skipf("missing: "+format, args...)
}

// Require ends the test, as [Missing] does, unless the command is there. It
// returns the command's path. pkg is the Debian package to install.
func Require(t T, command, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		Missing(t, "%s (install the package %s)", command, pkg)
	}
	return path
}

// Until polls cond until it holds, and ends the test if it does not within the
// timeout, prolonged as patient does; what completes the sentence "waited 5s for …".
func Until(t T, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	timeout = patient(timeout)
	if !poll(timeout, cond) {
		t.Fatalf("waited %v for %s", timeout, what)
	}
}

// patient is how long a test that asks for a timeout waits before it gives up.
// Timeouts are written for a machine with nothing else to do, and end tests that
// would never end; how long something may take is a test's own to measure. A
// guest has one processor, emulated, for all that its test runs.
func patient(timeout time.Duration) time.Duration {
	if inGuest() {
		return 6 * timeout
	}
	return 3 * timeout
}

// poll asks cond every few milliseconds, once more after the deadline. In a guest
// it asks less often: there each look is dear.
func poll(timeout time.Duration, cond func() bool) bool {
	pause := 5 * time.Millisecond
	if inGuest() {
		pause = 50 * time.Millisecond
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(pause) {
		late := time.Now().After(deadline)
		if cond() {
			return true
		}
		if late {
			return false
		}
	}
}

// owner names the host an interface address belongs to, or returns the address
// itself for one the lab did not hand out.
func (l *Lab) owner(mac net.HardwareAddr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.macs[mac.String()]; ok {
		return name
	}
	return mac.String()
}

// newMAC returns a hardware address of the lab's own and remembers whose it is.
func (l *Lab) newMAC(host string) net.HardwareAddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cables++
	n := l.cables
	mac := net.HardwareAddr{0x02, 0, 0, 0, byte(n >> 8), byte(n)}
	l.macs[mac.String()] = host
	return mac
}

// shareMAC remembers a virtual hardware address as the host's, unless several
// hosts have it and it does not tell them apart.
func (l *Lab) shareMAC(mac, host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, ok := l.macs[mac]; ok && other != host {
		host = mac
	}
	l.macs[mac] = host
}

// path returns a new path in the lab's directory for a file of that kind.
func (l *Lab) path(name, ext string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files++
	return filepath.Join(l.dir, fmt.Sprintf("%02d-%s.%s", l.files, name, ext))
}

// close ends every process of the lab and lets the namespaces go.
func (l *Lab) close() {
	l.mu.Lock()
	hosts, processes := l.hosts, l.processes
	l.mu.Unlock()
	for _, h := range hosts {
		h.Crash()
	}
	if l.t.Failed() {
		for _, p := range processes {
			l.t.Logf("--- %s on %s said:\n%s", p.Name, p.Host.Name, tail(p.Output(), 8<<10))
		}
	}
	for _, h := range hosts {
		h.close()
	}
}

// tail returns the last n bytes of s, whole lines only.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	return "…" + s[strings.IndexByte(s, '\n')+1:]
}
