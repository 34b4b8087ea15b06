package transport

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	second = int64(time.Second)
	hour   = int64(time.Hour)
)

func TestNowIsMonotonicClock(t *testing.T) {
	for range 100 {
		before := Now()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		after := Now()
		// The clocks were paired once, each reading some tens of ns apart.
		const pairing = int64(100 * time.Microsecond)
		if kernel := ts.Nano(); kernel < before-pairing || kernel > after+pairing {
			t.Fatalf("CLOCK_MONOTONIC %d, Now %d before and %d after", kernel, before, after)
		}
		if after < before {
			t.Fatalf("Now went from %d to %d", before, after)
		}
	}
}

// Facts: the wall clock is seen at start (monotonic 1,000 s), and then when
// the packets are read; in between it may be set.
func TestTimestampConversion(t *testing.T) {
	const (
		start  = 1000 * second
		offset = 1_700_000_000 * second // REALTIME - MONOTONIC at start
		now    = start + 100*second
	)
	for _, test := range []struct {
		name    string
		age     int64 // of the packet when it is read
		stepped int64 // how far the clock has been set by then
		stamped int64 // of which before the packet was stamped
		drained int64 // how long before now the queue was last empty
		want    int64 // age that comes out
	}{
		{"fresh", 50_000, 0, 0, second, 50_000},
		{"no age", 0, 0, 0, second, 0},
		{"process stopped for 10 s", 9 * second, 0, 0, 10 * second, 9 * second},
		{"process stopped for 90 s", 90 * second, 0, 0, 90 * second, 90 * second},
		{"on its way while the queue was empty", second + inFlight, 0, 0, second, second + inFlight},

		{"case 71: set +1 h after arrival", second, hour, 0, 2 * second, 0},
		{"case 71: set -1 h after arrival", second, -hour, 0, 2 * second, 0},
		{"case 71: set +1 h before arrival", second, hour, hour, 2 * second, 0},
		{"case 71: set -1 h before arrival", second, -hour, -hour, 2 * second, 0},
		{"case 71: set +1 h and back unnoticed, stamped between", second, 0, hour, 2 * second, 0},
		{"case 71: set -1 h and back unnoticed, stamped between", second, 0, -hour, 2 * second, 0},
		{"set -30 s and back unnoticed, stamped between", second, 0, -30 * second, 2 * second, 0},
		{"set +1 s after arrival", second, second, 0, 20 * second, 0},
		{"set -1 s after arrival", 3 * second, -second, 0, 20 * second, 0},
		{"set +20 µs after arrival", second, 20_000, 0, 20 * second, 0},
		{"stamped in the future", -second, 0, 0, second, 0},
	} {
		var w wallClock
		w.observe(start, start+offset, start)
		w.observe(now-100, now+offset+test.stepped-50, now)
		stamp := now - test.age + offset + test.stamped
		at := w.monotonic(stamp, now-test.drained-inFlight, now)
		if got := now - at; got != test.want {
			t.Errorf("%s: age %v, want %v", test.name, time.Duration(got), time.Duration(test.want))
		}
	}
}

// After a step is noticed, the new distance serves packets that come later.
func TestConversionAfterStep(t *testing.T) {
	for _, step := range []int64{hour, -hour, 50 * int64(time.Microsecond)} {
		var w wallClock
		offset := 5 * hour
		w.observe(0, offset, 0)
		w.observe(10*second, 10*second+offset+step, 10*second)
		for _, test := range []struct{ arrived, want int64 }{
			{10*second - 1, 20 * second}, // before it was noticed: unknown
			{10 * second, 10 * second},
			{15 * second, 15 * second},
		} {
			stamp := test.arrived + offset + step
			if got := w.monotonic(stamp, 0, 20*second); got != test.want {
				t.Errorf("step %v, arrived %d: %d, want %d", time.Duration(step), test.arrived, got, test.want)
			}
		}
	}
}

func TestConversionOfDisturbedReadings(t *testing.T) {
	var w wallClock
	if got := w.monotonic(123, 0, second); got != second {
		t.Errorf("before any reading: %d, want now", got)
	}
	const offset = 5 * hour
	w.observe(0, offset, 0)
	// 4 ms without processor: the wall clock was read at one end or the other.
	for _, real := range []int64{second + offset, second + 4_000_000 + offset} {
		w.observe(second, real, second+4_000_000)
		if w.offset != offset || w.since != 0 {
			t.Errorf("a slow reading passed for a step: %+v", w)
		}
	}
	if got := w.monotonic(0, 0, second); got != second {
		t.Errorf("without timestamp: %d, want now", got)
	}
}

func TestTimestampsOfPackets(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family Family
		src    string
	}{{IPv4, "192.0.2.1"}, {IPv6, "fe80::1"}} {
		left, right := h.pair(t, test.family, true)
		b, last := NewBatch(), int64(0)
		for i := range 50 {
			before := Now()
			send(t, left, addr(test.src), test.family.Group(), fmt.Sprint(i))
			sent := Now()
			// On a veth sending includes receiving, but for softirq under load.
			p := receiveInto(t, right, b)
			after := Now()
			if p.At < before-int64(time.Millisecond) || p.At > after {
				t.Errorf("%s: received %d ns after sending began, read after %d", test.family, p.At-before, after-before)
			}
			if p.At < last {
				t.Errorf("%s: packet %d received %d ns before the last", test.family, i, last-p.At)
			}
			if i == 0 && p.At == after {
				t.Errorf("%s: the time is that of reading (sent %d)", test.family, sent)
			}
			last = p.At
		}
	}
}

// Case 71 with packets of the kernel's: what Receive believes of the wall
// clock is made an hour wrong, as if it had been set since.
func TestWallClockSet(t *testing.T) {
	h := newHosts(t)
	left, right := h.pair(t, IPv4, true)
	for _, step := range []int64{hour, -hour, 0} {
		b := NewBatch()
		before := Now()
		send(t, left, addr("192.0.2.1"), GroupIPv4, "x")
		b.clock.offset -= step
		wait := newPoller(t)
		if _, _, err := wait.Wait(Now() + 20_000_000); err != nil { // it ages in the queue
			t.Fatal(err)
		}
		p := receiveInto(t, right, b)
		after := Now()
		if p.At < before-int64(time.Millisecond) || p.At > after {
			t.Errorf("step %v: received at %d, sent at %d, read by %d", time.Duration(step), p.At, before, after)
		}
		if fresh := after-p.At < 10_000_000; fresh != (step != 0) {
			t.Errorf("step %v: age %v", time.Duration(step), time.Duration(after-p.At))
		}
	}
}

// receiveInto waits for one packet.
func receiveInto(t *testing.T, s *Socket, b *Batch) Packet {
	t.Helper()
	for deadline := Now() + 5*second; ; {
		packets, _, err := s.Receive(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(packets) > 0 {
			return received(packets[0])
		}
		if Now() > deadline {
			t.Fatal("nothing received")
		}
	}
}
