package bonding

import "time"

// A Debounce makes the health that decides out of the health that is seen.
// Failed counts at once. Degraded counts after it has lasted DegradedAfter, and
// any improvement after it has lasted HealthyAfter: a dead switch degrades the
// bonds of both nodes within milliseconds of each other, and must not move the
// service from one to the other.
//
// The zero Debounce has no delays. The times come from the caller's clock,
// which must not go back (time.Now's monotonic reading will do).
type Debounce struct {
	DegradedAfter time.Duration
	HealthyAfter  time.Duration

	health Health    // the one that counts; zero before the first
	worse  time.Time // since when seen has been worse than health without a break
	better [Failed]time.Time
	seen   Health
}

// Health is the health that counts; zero before the first Step.
func (d *Debounce) Health() Health { return d.health }

// Step tells what is seen now and returns what counts now. The first one
// counts at once: there is nothing to compare it with. Call it for every
// verdict, and with the last one again when Next says so.
func (d *Debounce) Step(now time.Time, seen Health) Health {
	d.seen = seen
	d.note(now, seen)
	switch {
	case d.health == 0, seen == Failed:
		d.settle(now, seen)
	case seen > d.health && !now.Before(d.worse.Add(d.DegradedAfter)):
		d.settle(now, seen)
	case seen < d.health:
		// The best level that has been held or bettered for long enough.
		for h := seen; h < d.health; h++ {
			if !now.Before(d.better[h].Add(d.HealthyAfter)) {
				d.settle(now, h)
				break
			}
		}
	}
	return d.health
}

// note keeps the times since which each level was reached without a break.
func (d *Debounce) note(now time.Time, seen Health) {
	if seen <= d.health {
		d.worse = time.Time{}
	} else if d.worse.IsZero() {
		d.worse = now
	}
	for h := Healthy; h < Failed; h++ {
		if seen > h {
			d.better[h] = time.Time{}
		} else if d.better[h].IsZero() {
			d.better[h] = now
		}
	}
}

func (d *Debounce) settle(now time.Time, h Health) {
	d.health = h
	d.worse = time.Time{}
	if d.seen > h {
		d.worse = now
	}
}

// Next is when Step must be called again with the same verdict for a delay to
// end in time; false if nothing is pending.
func (d *Debounce) Next() (time.Time, bool) {
	if d.seen > d.health {
		return d.worse.Add(d.DegradedAfter), true
	}
	var next time.Time
	for h := d.seen; h < d.health; h++ {
		at := d.better[h].Add(d.HealthyAfter)
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}
