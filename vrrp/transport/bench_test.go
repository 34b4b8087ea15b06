package transport

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Per packet, one by one (an interface with one router) and 64 at a time.
// Across a veth, sending includes the kernel's way to the receiving socket.
func BenchmarkSendReceive(b *testing.B) {
	h := newHosts(b)
	for _, test := range []struct {
		name   string
		family Family
		src    string
		size   int
	}{
		{"ipv4/1", IPv4, "192.0.2.1", 1}, {"ipv4/64", IPv4, "192.0.2.1", 64},
		{"ipv6/1", IPv6, "fe80::1", 1}, {"ipv6/64", IPv6, "fe80::1", 64},
	} {
		b.Run(test.name, func(b *testing.B) {
			left, right := h.pair(b, test.family, true)
			src, group, data := addr(test.src), test.family.Group(), make([]byte, 20)
			batch := NewBatch()
			var sending, receiving int64
			packets := 0
			b.ReportAllocs()
			for b.Loop() {
				start := Now()
				for range test.size {
					left.Queue(src, group, data)
				}
				if sent, failed := left.Flush(); sent != test.size {
					b.Fatalf("sent %d, failed %v", sent, failed)
				}
				between := Now()
				for more := true; more; {
					var got []Packet
					var err error
					if got, more, err = right.Receive(batch); err != nil {
						b.Fatal(err)
					}
					packets += len(got)
				}
				sending, receiving = sending+between-start, receiving+Now()-between
			}
			count := float64(b.N * test.size)
			b.ReportMetric(float64(sending)/count, "ns/sent")
			b.ReportMetric(float64(receiving)/count, "ns/received")
			if float64(packets) < count/2 {
				b.Fatalf("only %d of %.0f packets received", packets, count)
			}
		})
	}
}

func BenchmarkNow(b *testing.B) {
	b.Run("Now", func(b *testing.B) {
		for b.Loop() {
			Now()
		}
	})
	b.Run("ClockGettime", func(b *testing.B) {
		var ts unix.Timespec
		for b.Loop() {
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("wallClock", func(b *testing.B) {
		var w wallClock
		for b.Loop() {
			w.read()
		}
	})
}

func BenchmarkPoller(b *testing.B) {
	p := newPoller(b)
	fd := eventfd(b)
	signal(b, fd)
	if err := p.Add(fd, 1); err != nil {
		b.Fatal(err)
	}
	b.Run("ready", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := p.Wait(NoDeadline); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("wake", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Wake()
			if _, _, err := p.Wait(NoDeadline); err != nil {
				b.Fatal(err)
			}
		}
	})
}
