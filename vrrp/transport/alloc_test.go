//go:build !race

package transport

import "testing"

// The race detector allocates, so these are not built with it: `make test` runs
// this package without it, too.

func TestPollerNoAllocations(t *testing.T) {
	eachPoller(t, func(t *testing.T, p *Poller, wait func(int64) ([]int32, bool, error)) {
		fd := eventfd(t)
		if err := p.Add(fd, 3); err != nil {
			t.Fatal(err)
		}
		signal(t, fd)
		if n := testing.AllocsPerRun(100, func() {
			p.Wake()
			wait(NoDeadline)
			wait(Now() - 1)
		}); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family Family
		src    string
	}{{IPv4, "192.0.2.1"}, {IPv6, "fe80::1"}} {
		left, right := h.pair(t, test.family, true)
		b, data := NewBatch(), make([]byte, 40)
		src, group, absent := addr(test.src), test.family.Group(), addr("192.0.2.99")
		if test.family == IPv6 {
			absent = addr("fe80::99")
		}
		got := 0
		send := testing.AllocsPerRun(200, func() {
			for range 3 {
				left.Queue(src, group, data)
			}
			left.Queue(absent, group, data)
			if sent, failed := left.Flush(); sent != 3 || len(failed) != 1 {
				t.Errorf("sent %d, failed %v", sent, failed)
			}
			packets, _, _ := right.Receive(b)
			got += len(packets)
		})
		if send != 0 {
			t.Errorf("%s: %v allocations for Queue, Flush and Receive, want 0", test.family, send)
		}
		if got < 100 {
			t.Errorf("%s: only %d packets received: the test proves nothing", test.family, got)
		}
		if empty := testing.AllocsPerRun(100, func() { right.Receive(b) }); empty != 0 {
			t.Errorf("%s: %v allocations to find nothing, want 0", test.family, empty)
		}
	}
	if now := testing.AllocsPerRun(100, func() { Now() }); now != 0 {
		t.Errorf("%v allocations for Now, want 0", now)
	}
}

// A backup makes what it hears familiar each time.
func TestFamiliarNoAllocations(t *testing.T) {
	for _, test := range []struct {
		family Family
		src    string
	}{{IPv4, "192.0.2.1"}, {IPv6, "fe80::1"}} {
		f, src, message := NewFamiliar(test.family), addr(test.src), []byte("1z again")
		f.Add(src, message)
		if n := testing.AllocsPerRun(100, func() {
			f.Remove(message[1])
			f.Add(src, message)
			if !f.Knows(src, message) {
				t.Fatal("it is not familiar")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", test.family, n)
		}
	}
}
