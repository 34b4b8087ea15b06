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
	settle time.Time // until when a failure is not believed
}

// Health is the health that counts; zero before the first Step.
func (d *Debounce) Health() Health { return d.health }

// Believe is the verdict to step with: the one given, unless it is a failure
// that the driver is about to put right by itself, see Verdict.Settles. For as
// long as that may take the bond counts as degraded, if it had not failed
// before: a failover of the bond is no reason to move the service.
func (d *Debounce) Believe(now time.Time, v Verdict) Verdict {
	switch {
	case v.Settles == 0, d.health == 0, d.health == Failed:
		d.settle = time.Time{}
		return v
	case d.settle.IsZero():
		d.settle = now.Add(v.Settles)
	}
	if now.Before(d.settle) {
		v.Health = Degraded
	}
	return v
}

// Step tells what is seen now and returns what counts now. The first one
// counts at once: there is nothing to compare it with. Call it for every
// verdict, and with the last one again when Next says so.
func (d *Debounce) Step(now time.Time, seen Health) Health {
	d.seen = seen
	d.note(now, seen)
	switch {
	case d.health == 0, seen == Failed:
		d.decide(now, seen)
	case seen > d.health && !now.Before(d.worse.Add(d.DegradedAfter)):
		d.decide(now, seen)
	case seen < d.health:
		// The best level that has been held or bettered for long enough.
		for h := seen; h < d.health; h++ {
			if !now.Before(d.better[h].Add(d.HealthyAfter)) {
				d.decide(now, h)
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

func (d *Debounce) decide(now time.Time, h Health) {
	d.health = h
	d.worse = time.Time{}
	if d.seen > h {
		d.worse = now
	}
}

// Next is when Believe and Step must be called again with the same verdict for
// a delay to end in time; false if nothing is pending.
func (d *Debounce) Next() (time.Time, bool) {
	next := d.settle
	earlier := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if d.seen > d.health {
		earlier(d.worse.Add(d.DegradedAfter))
	}
	for h := d.seen; h < d.health; h++ {
		earlier(d.better[h].Add(d.HealthyAfter))
	}
	return next, !next.IsZero()
}
