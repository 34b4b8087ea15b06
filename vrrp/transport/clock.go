package transport

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// epoch ties Go's monotonic clock to CLOCK_MONOTONIC: goTime and monotonic
// were read at the same moment.
var epoch = sampleEpoch()

type clockEpoch struct {
	goTime    time.Time
	monotonic int64 // CLOCK_MONOTONIC, ns
}

// sampleEpoch reads both clocks three times and keeps the pair that was read
// with the least time between, so that losing the processor in the middle
// does not offset every Now of the process.
func sampleEpoch() clockEpoch {
	var best clockEpoch
	least := time.Duration(math.MaxInt64)
	for range 3 {
		before := time.Now()
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			continue // impossible on Linux; Now then counts from process start
		}
		between := time.Since(before)
		if between < least {
			least = between
			best = clockEpoch{before.Add(between / 2), ts.Nano()}
		}
	}
	if best.goTime.IsZero() {
		best.goTime = time.Now()
	}
	return best
}

// Now returns CLOCK_MONOTONIC in nanoseconds.
//
// Go's monotonic clock is CLOCK_MONOTONIC on Linux, read through the vDSO, so
// the time since a moment whose CLOCK_MONOTONIC is known gives it without a
// system call: unix.ClockGettime always makes one and costs several times as
// much. The two may differ by a constant fraction of a microsecond, which no
// caller can notice as long as all its times come from here.
func Now() int64 {
	return epoch.monotonic + int64(time.Since(epoch.goTime))
}

const (
	// stepTolerance is how far two readings of the distance between the
	// clocks may differ, beyond their own uncertainty, without the wall clock
	// having been set. A step below it moves a timestamp by no more than it.
	stepTolerance = int64(10 * time.Microsecond)

	// tightReading is an uncertainty (time between the readings that bracket
	// the wall clock) good enough to stop at; reading takes about 0.1 µs.
	tightReading = int64(2 * time.Microsecond)

	// inFlight is how long before it could be read a packet may have been
	// stamped: the kernel stamps on arrival, and under load delivers to the
	// socket later, from ksoftirqd.
	inFlight = int64(100 * time.Millisecond)
)

// wallClock converts the kernel's receive timestamps, which are
// CLOCK_REALTIME, to CLOCK_MONOTONIC.
//
// The distance between the two changes only when the wall clock is set, the
// system was suspended or a leap second comes: slewing (adjtime, NTP, PTP)
// runs both alike. So the distance measured now holds for every packet
// stamped since the last change was seen, however long that packet lay in the
// queue, for example because the process was stopped for ten seconds. Of a
// packet stamped before that moment nothing is known but that it has arrived
// by now.
type wallClock struct {
	offset int64 // CLOCK_REALTIME - CLOCK_MONOTONIC, ns
	since  int64 // CLOCK_MONOTONIC since when offset is known to have held, ns
	known  bool
}

// observe takes note of the wall clock having read real between the moments
// before and after of CLOCK_MONOTONIC.
func (w *wallClock) observe(before, real, after int64) {
	uncertainty := after - before
	offset := real - before - uncertainty/2
	if w.known {
		change := offset - w.offset
		if change < 0 {
			change = -change
		}
		if change <= stepTolerance+uncertainty {
			return
		}
	}
	w.offset, w.since, w.known = offset, after, true
}

// monotonic converts the receive timestamp stamp (CLOCK_REALTIME, ns; 0 is
// none). The result lies between earliest, before which the packet cannot
// have arrived, and now; a stamp that contradicts this, or that is from
// before the clock was last set, counts as received now.
func (w *wallClock) monotonic(stamp, earliest, now int64) int64 {
	if stamp == 0 || !w.known {
		return now
	}
	at := stamp - w.offset
	if at < max(earliest, w.since) || at > now {
		return now
	}
	return at
}

// read observes the wall clock as it is, with up to three attempts to be
// undisturbed between its readings.
func (w *wallClock) read() {
	var before, real, after int64
	least := int64(math.MaxInt64)
	for range 3 {
		b := Now()
		t := time.Now()
		a := Now()
		if a-b < least {
			before, real, after, least = b, t.UnixNano(), a, a-b
		}
		if least <= tightReading {
			break
		}
	}
	w.observe(before, real, after)
}
