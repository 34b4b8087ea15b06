package lab

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestRecorder sends more than the ring holds: everything must be recorded, in
// order, with its host and a time between sending and now.
func TestRecorder(t *testing.T) {
	t.Parallel()
	l := New(t)
	one, two := l.Switch("one"), l.Switch("two")
	a := one.Host("a", "192.0.2.1/24")
	two.Attach(a, "eth1", "198.51.100.1/24")
	r := record(2<<20, []*Switch{one, two})

	const rounds = 20_000 // of about 150 bytes in each ring
	links := []*netlink.LinkAttrs{a.Link("eth0").Attrs(), a.Link("eth1").Attrs()}
	f := wire(t, etherIPv4+ipv4To20+"3133c801000aa1cb c0000264").Data
	start := time.Now()
	err := a.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for i := range rounds {
			for _, link := range links {
				copy(f[6:], link.HardwareAddr)
				f[14+20+1] = byte(i)
				if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
					return err
				}
			}
			if i%100 == 99 {
				time.Sleep(time.Millisecond) // no faster than a reader can be expected to be
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	Until(t, 10*time.Second, "all to be recorded", func() bool {
		seen = len(r.Since(0))
		return seen >= 2*rounds
	})
	next, last := [2]byte{}, [2]int64{start.UnixNano(), start.UnixNano()}
	for _, s := range r.Since(0) {
		if s.Kind != SeenAdvert || s.Host != r.Host(a) || s.Priority != 200 || s.Address != [4]byte{192, 0, 2, 1} {
			t.Fatalf("recorded %+v", s)
		}
		if s.VRID != next[s.Switch] || s.At < last[s.Switch] {
			t.Fatalf("switch %d: VRID %d at %d after %d, want %d", s.Switch, s.VRID, s.At, last[s.Switch], next[s.Switch])
		}
		next[s.Switch]++
		last[s.Switch] = s.At
	}
	if seen != 2*rounds || max(last[0], last[1]) > time.Now().UnixNano() {
		t.Errorf("recorded %d of %d", seen, 2*rounds)
	}
	r.Forget()
	a.Run("arping", "-q", "-U", "-c", "1", "-I", "eth1", "198.51.100.1")
	if !r.Wait(0, 10*time.Second, func(part []Seen) bool {
		return len(part) > 0 && part[0].Kind == SeenAnnounced && part[0].Switch == 1 && part[0].Address == [4]byte{198, 51, 100, 1}
	}) {
		t.Errorf("of a gratuitous ARP: %+v", r.Since(0))
	}
}
