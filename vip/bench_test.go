package vip

import (
	"fmt"
	"net/netip"
	"testing"
)

// A readyKernel does at once whatever it is asked for.
type readyKernel struct{ *fakeKernel }

func (readyKernel) apply(ops []op) []error              { return make([]error, len(ops)) }
func (readyKernel) announce(*link, netip.Addr) error    { return nil }
func (readyKernel) probe(*link, netip.Addr) error       { return nil }
func (readyKernel) listen(ips []netip.Addr) error       { return nil }
func (readyKernel) setPromote(index int, on bool) error { return nil }

// BenchmarkCrowd takes 2,040 addresses over, of as many routers on eight
// interfaces, 64 at a time. What the kernel does is not in it.
func BenchmarkCrowd(b *testing.B) {
	const routers, atOnce = 2040, 64
	for b.Loop() {
		b.StopTimer()
		f := newFakeKernel("eth0", "eth1", "eth2", "eth3", "eth4", "eth5", "eth6", "eth7")
		for _, l := range f.links {
			l.promote = false
		}
		held := 0
		k := newKeeper(readyKernel{f}, func(e Event) {
			if e.Kind == Held {
				held++
			}
		})
		wants := make([]Want, routers)
		for i := range wants {
			wants[i].Addresses = []Address{{Interface: fmt.Sprintf("eth%d", i/255),
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i / 255), 0, byte(i%255 + 1)}), 32)}}
			k.Set(fmt.Sprint(i), wants[i])
		}
		work := func() {
			for again := true; again; again = k.work.round(b.Context(), again) {
			}
		}
		work()
		b.StartTimer()
		for i := range wants {
			wants[i].Hold = true
			if k.Set(fmt.Sprint(i), wants[i]); i%atOnce == atOnce-1 || i == routers-1 {
				work()
			}
		}
		if held != routers {
			b.Fatalf("%d of %d held", held, routers)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/routers, "ns/address")
}
