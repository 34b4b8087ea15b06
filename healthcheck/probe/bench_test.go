package probe

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// BenchmarkProbe is what a look of each kind takes, in time and in processor
// time of this process. Servers are other processes where the name says so.
//
//	go test -run - -bench Probe ./healthcheck/probe
func BenchmarkProbe(b *testing.B) {
	w := newWire(b)
	n := startNginx(b, w)
	serve(b, w.listen(b, there+":50051"), health{map[string]byte{"": 1}}, nil)
	dir := b.TempDir()
	put(b, filepath.Join(dir, "weight"), "-20")
	child := start(b, program(b, "measured"), "300")
	put(b, filepath.Join(dir, "pid"), strconv.Itoa(child.pid()))
	m := startSystemd(b)
	for _, c := range []struct {
		name string
		p    Probe
		hold bool // with a watch
	}{
		{"tcp/nginx", mustNew(b, TCP{Address: there + ":80"}), false},
		{"http/nginx", mustNew(b, HTTP{URL: web("/health"), Body: "healthy"}), false},
		{"https/nginx", mustNew(b, HTTP{URL: "https://192.0.2.9/health", TLS: TLS{CAFile: n.caFile}}), false},
		{"http-unix/nginx", mustNew(b, HTTP{URL: "http://localhost/health", UnixSocket: n.socket()}), false},
		{"grpc/server-included", mustNew(b, GRPC{Address: there + ":50051"}), false},
		{"icmp", mustNew(b, ICMP{Address: netip.MustParseAddr(there)}), false},
		{"arp", mustNew(b, ARP{Address: netip.MustParseAddr(there), Device: "eth0"}), false},
		{"nd", mustNew(b, ARP{Address: netip.MustParseAddr(there6), Device: "eth0"}), false},
		{"process/by-name", mustNew(b, Process{Name: "measured"}), false},
		{"process/held", mustNew(b, Process{Name: "measured"}), true},
		{"process/pid-file", mustNew(b, Process{PIDFile: filepath.Join(dir, "pid")}), false},
		{"file/exists", mustNew(b, File{Path: dir, Test: FileExists}), false},
		{"file/number", mustNew(b, File{Path: filepath.Join(dir, "weight"), Test: FileNumber}), false},
		{"interface", mustNew(b, Interface{Name: "eth0"}), false},
		{"route/prefix", mustNew(b, Route{Prefix: netip.MustParsePrefix("192.0.2.0/24")}), false},
		{"route/address", mustNew(b, Route{Address: netip.MustParseAddr(there)}), false},
		{"unit/direct", unitAt(b, "lab.target", m.private(b)), false},
	} {
		b.Run(c.name, func(b *testing.B) {
			if c.hold {
				watch(b, c.p)
			}
			if out := once(b, c.p); !out.Passed {
				b.Fatal(out.Detail)
			}
			before := processorTime(b)
			runs := 0
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), time.Second)
				c.p.Probe(ctx)
				cancel()
				runs++
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(runs)/1e3, "cpu-µs/op")
		})
	}
}

// processorTime is what this process has used so far.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	must(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkNotice is how long it takes from a change to a look that found it.
//
//	go test -run - -bench Notice -benchtime 50x ./healthcheck/probe
func BenchmarkNotice(b *testing.B) {
	w := newWire(b)
	peer := w.peer.Link("eth0")
	for _, kind := range []struct {
		name string
		make func(testing.TB, Probe) Probe
	}{{"pidfd", asIs}, {"without-pidfd", poorly}} {
		path := program(b, "mortal")
		b.Run("process/"+kind.name, func(b *testing.B) {
			p := kind.make(b, mustNew(b, Process{Name: "mortal"}))
			notice(b, p, func() { start(b, path, "300") }, func() {
				must(b, eachProcess(func(pid int) bool {
					if commOf(pid) == "mortal" {
						_ = unix.Kill(pid, unix.SIGKILL)
					}
					return true
				}))
			})
		})
	}
	file := filepath.Join(b.TempDir(), "mark")
	b.Run("file", func(b *testing.B) {
		notice(b, mustNew(b, File{Path: file, Test: FileExists}), func() { put(b, file, "") }, func() { must(b, os.Remove(file)) })
	})
	b.Run("interface/carrier", func(b *testing.B) {
		// The kernel tells of a lost carrier at most once a second
		// (net/core/link_watch.c): here it has been quiet for longer.
		notice(b, mustNew(b, Interface{Name: "eth0"}), func() { must(b, w.peer.Netlink().LinkSetUp(peer)); time.Sleep(2 * time.Second) },
			func() { must(b, w.peer.Netlink().LinkSetDown(peer)) })
	})
	must(b, w.peer.Netlink().LinkSetUp(peer))
	_, dst, err := net.ParseCIDR("198.51.100.0/24")
	must(b, err)
	route := &netlink.Route{Dst: dst, LinkIndex: w.own.Attrs().Index, Scope: netlink.SCOPE_LINK}
	b.Run("route", func(b *testing.B) {
		notice(b, mustNew(b, Route{Prefix: netip.MustParsePrefix("198.51.100.0/24")}),
			func() { must(b, netlink.RouteAdd(route)) }, func() { must(b, netlink.RouteDel(route)) })
	})
	m := startSystemd(b)
	b.Run("unit", func(b *testing.B) {
		find := func(f func(pid int)) {
			must(b, eachProcess(func(pid int) bool {
				if slices.Equal(argumentsOf(pid), []string{"/bin/sleep", "300"}) {
					f(pid)
				}
				return true
			}))
		}
		notice(b, unitAt(b, "sleeper", m.private(b)), func() {
			m.systemctl(b, "reset-failed", "sleeper")
			m.systemctl(b, "start", "sleeper")
			// It is active as soon as it is forked.
			lab.Until(b, 10*time.Second, "the unit to run", func() (runs bool) {
				find(func(int) { runs = true })
				return runs
			})
		}, func() { find(func(pid int) { _ = unix.Kill(pid, unix.SIGKILL) }) })
	})
}

// notice makes a probe pass and fail, and reports how long the latter took.
func notice(b *testing.B, p Probe, makePass, makeFail func()) {
	var took []time.Duration
	w := watch(b, p)
	for b.Loop() {
		makePass()
		for deadline := time.Now().Add(20 * time.Second); !once(b, p).Passed; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				b.Fatal("it does not pass")
			}
		}
		for len(w.wakes) > 0 {
			<-w.wakes
		}
		began := time.Now()
		makeFail()
		w.becomes(b, false, "")
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for _, percent := range []int{50, 95, 100} {
		at := took[min(len(took)*percent/100, len(took)-1)]
		b.ReportMetric(float64(at)/1e6, "p"+strconv.Itoa(percent)+"-ms")
	}
}
