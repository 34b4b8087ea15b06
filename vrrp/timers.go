package vrrp

import "time"

// SkewTime is Skew_Time: how much longer a router of lower priority waits, so
// that the one of highest priority is first. Version 3 scales it with the
// active router's interval (RFC 9568 §6.1), version 2 does not (RFC 3768
// §6.1). It is computed in nanoseconds: with 10 ms advertisements it is less
// than the centisecond that the wire format counts in.
func SkewTime(v Version, priority uint8, interval time.Duration) time.Duration {
	if v == V2 {
		interval = time.Second
	}
	return time.Duration(256-int(priority)) * interval / 256
}

// ActiveDownInterval is Active_Down_Interval (version 2: Master_Down_Interval):
// how long a backup hears nothing before it takes over (RFC 9568 §6.1).
func ActiveDownInterval(v Version, priority uint8, interval time.Duration) time.Duration {
	return 3*interval + SkewTime(v, priority, interval)
}
