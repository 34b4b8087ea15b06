package figures

import "time"

// DownInterval is the time a backup of that priority waits after an advertisement
// before it takes over: three intervals and Skew_Time (RFC 9568 §6.1). The skew
// is not rounded to centiseconds: at 10 ms that would take it away, and neither
// contender does it.
func DownInterval(interval time.Duration, priority int) time.Duration {
	return 3*interval + interval*time.Duration(256-priority)/256
}

// Overhead is how much later than the protocol allows a backup of that priority
// took over, in milliseconds: from the last advertisement of the active router
// (both as the kernel stamped them, in nanoseconds) to its own first, less the
// down interval.
func Overhead(last, first int64, interval time.Duration, priority int) float64 {
	return Milliseconds(first - last - int64(DownInterval(interval, priority)))
}

// Milliseconds turns nanoseconds into milliseconds.
func Milliseconds(ns int64) float64 { return float64(ns) / 1e6 }
