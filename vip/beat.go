package vip

import "time"

// beatPatience is how old the last sign of the caller's progress may be for the
// worker to go on by itself. A caller beats at least once a second.
const beatPatience = 2 * time.Second

// Beat tells that the caller makes progress: it has read what its sockets had,
// and acted on it. It takes no lock and allocates nothing, and belongs at the
// end of every turn of the caller's loop, at least once a second.
//
// From the first Beat on the Keeper does by itself what confirms that the node
// holds its addresses (renewing leases, putting back what vanished, announcing
// again) only while the last Beat, or the last order, is younger than two
// seconds: a process that was stopped and continues has to hear first whether
// somebody took over. Removing goes on regardless. A Keeper that is never given
// a Beat does not wait for one.
func (k *Keeper) Beat() {
	k.beat.Store(k.clock(time.Now()))
	if k.starved.Load() && k.starved.CompareAndSwap(true, false) {
		k.poke()
	}
}

// clock returns t as Keeper.beat holds it, never 0.
func (k *Keeper) clock(t time.Time) int64 { return int64(t.Sub(k.born)) + 1 }

// progress notes that the caller gave an order, which is a Beat to a Keeper
// that is given some.
func (k *Keeper) progress() {
	if k.beat.Load() != 0 {
		k.beat.Store(k.clock(time.Now()))
	}
}

// silence returns how long the caller has shown no progress, 0 if it never
// said that it would.
func (k *Keeper) silence(now time.Time) time.Duration {
	last := k.beat.Load()
	if last == 0 {
		return 0
	}
	return max(time.Duration(k.clock(now)-last), 0)
}

// mayInsist reports whether the worker may confirm by itself that addresses
// are held here. If not, the next Beat wakes it.
func (w *worker) mayInsist(now time.Time, patience time.Duration) bool {
	k := w.keeper
	patience = min(patience, beatPatience)
	if k.silence(now) <= patience {
		return true
	}
	k.starved.Store(true)
	// A Beat may have come before it saw that it is waited for.
	// Then it is woken once too often: another goroutine may wait for the next one.
	return k.silence(now) <= patience
}
