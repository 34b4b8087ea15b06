package healthcheck

import (
	"hash/fnv"
	"time"
)

// startApart is how far the first runs of many checks are apart on average:
// what it takes to start a command on a small machine, twice.
const startApart = 2 * time.Millisecond

// Spread places one of count checks that start together in time, by its name
// alone, so that the same checks always have the same places. It returns how
// long the first run waits, and the offset within the interval that later runs
// keep.
//
// First runs are as close together as the machine can bear, so that verdicts
// are not waited for longer than need be: within 2 ms for each check, and never
// more than an interval. Later runs are spread over the whole interval.
func Spread(name string, interval time.Duration, count int) (first, offset time.Duration) {
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	// FNV hardly mixes the last byte into the upper bits, and names often
	// differ in it alone (the finalizer of splitmix64).
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	place := float64(x>>11) / (1 << 53)

	if count < 2 {
		return 0, 0
	}
	window := min(time.Duration(count)*startApart, interval)
	return time.Duration(place * float64(window)), time.Duration(place * float64(interval))
}
