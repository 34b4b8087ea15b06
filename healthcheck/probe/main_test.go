package probe

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// The tests run in namespaces of their own: network, mounts, processes.
func TestMain(m *testing.M) {
	if to := os.Getenv(relayVar); to != "" {
		relay(os.Getenv(relayVar+"_AT"), to)
		return
	}
	lab.Main(leakChecked{m})
}

// leakChecked fails the tests if goroutines are left after them.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	status := l.m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// The two ends of the wire that the tests look along.
const (
	here, there   = "192.0.2.1", "192.0.2.9"
	here6, there6 = "2001:db8::1", "2001:db8::9"
	nobody        = "192.0.2.77" // nobody has this address
)

// A wire joins eth0 of the tests' own network to eth0 of another host.
type wire struct {
	peer *lab.Host
	own  netlink.Link
}

func newWire(t testing.TB) *wire {
	t.Helper()
	l := lab.New(t)
	w := &wire{peer: l.Host("peer")}
	for _, key := range []string{"accept_dad", "accept_ra", "router_solicitations"} {
		must(t, os.WriteFile("/proc/sys/net/ipv6/conf/default/"+key, []byte("0"), 0o644))
	}
	// The namespace of the peer is known on its threads only.
	must(t, w.peer.Do(func() error {
		peer, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		defer peer.Close()
		own, err := os.Open("/proc/1/ns/net")
		if err != nil {
			return err
		}
		defer own.Close()
		return w.peer.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"},
			PeerName: "eth0", PeerNamespace: netlink.NsFd(int(own.Fd()))})
	}))
	must(t, w.peer.Configure("eth0", there+"/24", there6+"/64"))
	own, err := netlink.LinkByName("eth0")
	must(t, err)
	w.own = own
	t.Cleanup(func() { _ = netlink.LinkDel(own) }) // it may have gone with the peer
	for _, address := range []string{here + "/24", here6 + "/64"} {
		a, err := netlink.ParseAddr(address)
		must(t, err)
		if strings.Contains(address, ":") {
			a.Flags = unix.IFA_F_NODAD
		}
		must(t, netlink.AddrAdd(own, a))
	}
	must(t, netlink.LinkSetUp(own))
	lab.Until(t, 10*time.Second, "carrier and a link-local address", func() bool {
		link, err := netlink.LinkByName("eth0")
		must(t, err)
		addrs, err := netlink.AddrList(link, unix.AF_INET6)
		must(t, err)
		usable := false
		for _, a := range addrs {
			usable = usable || a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
		}
		return usable && link.Attrs().OperState == netlink.OperUp
	})
	return w
}

// listen opens a listener on the peer.
func (w *wire) listen(t testing.TB, address string) (listener net.Listener) {
	t.Helper()
	must(t, w.peer.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	}))
	t.Cleanup(func() { listener.Close() })
	return listener
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustNew(t testing.TB, s Spec) Probe {
	t.Helper()
	p, err := s.New()
	must(t, err)
	return p
}

// once looks once with a generous timeout.
func once(t testing.TB, p Probe) Outcome {
	t.Helper()
	return onceWithin(t, p, 10*time.Second)
}

func onceWithin(t testing.TB, p Probe, timeout time.Duration) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	out := p.Probe(ctx)
	if strings.ContainsAny(out.Detail, "\r\n") || out.Detail == "" {
		t.Errorf("%s: the detail is not one line: %q", p, out.Detail)
	}
	return out
}

// wantPass and wantFail look once and compare the detail, in which every text
// of say must occur.
func wantPass(t testing.TB, p Probe, say ...string) Outcome {
	t.Helper()
	return expect(t, p, once(t, p), true, say)
}

func wantFail(t testing.TB, p Probe, say ...string) Outcome {
	t.Helper()
	return expect(t, p, once(t, p), false, say)
}

func expect(t testing.TB, p Probe, out Outcome, passed bool, say []string) Outcome {
	t.Helper()
	if out.Passed != passed {
		t.Errorf("%s: passed %t, want %t: %s", p, out.Passed, passed, out.Detail)
	}
	for _, s := range say {
		if !strings.Contains(out.Detail, s) {
			t.Errorf("%s: the detail %q lacks %q", p, out.Detail, s)
		}
	}
	return out
}

// wantTimeout looks with a short timeout at something that does not answer. How
// late it may come back depends on the machine; that it does not hang matters.
func wantTimeout(t testing.TB, p Probe, say ...string) {
	t.Helper()
	began := time.Now()
	out := onceWithin(t, p, 200*time.Millisecond)
	took := time.Since(began)
	expect(t, p, out, false, say)
	if took < 150*time.Millisecond || took > 5*time.Second {
		t.Errorf("%s: gave up after %s, want 200ms: %s", p, took, out.Detail)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began = time.Now()
	out = p.Probe(ctx)
	if took := time.Since(began); out.Passed || took > 5*time.Second || !strings.Contains(out.Detail, "cancelled") {
		t.Errorf("%s: cancelled after 50ms, returned after %s: %+v", p, took, out)
	}
}

// wantFieldError makes specs that are wrong in one field.
func wantFieldErrors(t *testing.T, cases []struct {
	spec  Spec
	field string
}) {
	t.Helper()
	for _, c := range cases {
		_, err := c.spec.New()
		fe, ok := err.(*FieldError)
		if !ok || fe.Field != c.field || !strings.HasPrefix(err.Error(), c.field+": ") {
			t.Errorf("%+v: error %v, want one of the field %s", c.spec, err, c.field)
		}
	}
}

// noLeak fails the test if descriptors or goroutines are left when it ends.
// What the test itself opens has to be closed by cleanups registered later.
func noLeak(t *testing.T) {
	t.Helper()
	before := descriptors(t)
	t.Cleanup(func() {
		var now []string
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if now = descriptors(t); len(now) <= len(before) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%d descriptors before, %d after:\n%s", len(before), len(now), strings.Join(now, "\n"))
				break
			}
		}
		goleak.VerifyNone(t)
	})
}

func descriptors(t testing.TB) (open []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "/proc/") {
			continue // the directory that is being read
		}
		open = append(open, e.Name()+" "+target)
	}
	return open
}

// addAddress gives the tests' end of the wire another address.
func addAddress(t testing.TB, w *wire, address string) {
	t.Helper()
	a, err := netlink.ParseAddr(address)
	must(t, err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	}
	must(t, netlink.AddrAdd(w.own, a))
}
