package vip

import (
	"slices"
	"time"
)

// aheadMax is how many batches may wait to be announced, besides the one that
// is being added.
const aheadMax = 1

// A batch is what the kernel is asked to add in one send.
type batch struct {
	goals []*goal
	ops   []op      // one for each
	errs  []error   // likewise: what the kernel answered
	at    time.Time // when it had
}

// addAll adds addresses, batch by batch, and announces each batch while the
// kernel adds the next one.
func (w *worker) addAll(goals []*goal) {
	if len(goals) == 0 || !w.mayInsist(time.Now(), beatPatience) {
		return
	}
	n := min(len(goals), batchLen)
	first := w.addBatch(goals[:n]) // here: anybody else would have to be woken first
	var jam jam
	if n == len(goals) {
		w.announceBatch(first, &jam)
		w.atEase()
	} else {
		ahead := w.addAhead(goals[n:])
		w.announceBatch(first, &jam)
		w.atEase()
		for b := range ahead {
			w.announceBatch(b, &jam)
		}
	}
}

// addAhead adds addresses in a goroutine of its own. The batches come in order;
// until the channel is closed, which has to be waited for, the goals that have
// not come yet, and kernel.apply, belong to that goroutine.
func (w *worker) addAhead(goals []*goal) <-chan batch {
	added := make(chan batch, aheadMax)
	go func() {
		defer close(added)
		for some := range slices.Chunk(goals, batchLen) {
			added <- w.addBatch(some)
		}
	}()
	return added
}

// addBatch adds those addresses whose orders still stand, and returns what the
// kernel answered. It changes nothing of the worker's. It adds none if the caller
// has shown no sign of progress meanwhile: the Beat that is waited for then has a pass
// look after the rest.
func (w *worker) addBatch(goals []*goal) (b batch) {
	now := time.Now()
	if !w.mayInsist(now, beatPatience) {
		return b
	}
	for _, g := range goals {
		if g.duty.current() { // else the next pass knows better
			b.goals = append(b.goals, g)
			b.ops = append(b.ops, op{do: add, index: g.link.index, addr: g.addr, lease: w.lifetime(g.lease, now)})
		}
	}
	b.errs = w.applyAll(b.ops)
	b.at = time.Now()
	return b
}

// announceBatch draws the consequences of a batch and announces what is there.
func (w *worker) announceBatch(b batch, j *jam) {
	now := time.Now()
	for i, g := range b.goals {
		if w.added(g, b.ops[i], b.errs[i], b.at); g.installed {
			w.announce(g, now, j)
		}
	}
}

// added draws the consequences of one addition.
func (w *worker) added(g *goal, o op, err error, now time.Time) {
	if !o.done(err) {
		g.pace.failed(now)
		w.stale.Store(true)
		w.failed(g.duty, adding, g.addr, &g.err, err)
		return
	}
	if err == nil {
		g.entry = &entry{index: g.link.index, prefix: g.addr.Prefix, label: g.addr.Label, marked: true,
			expires: o.lease > 0, flags: addFlags(g.addr.Prefix.Addr())}
		w.view.addEntry(g.entry)
		w.view.exact = false
		g.ours = &holding{addr: g.addr, duty: g.duty, lease: lease{length: g.lease, asked: g.duty.leaseWanted(), renewed: now}}
		w.ours[g.place()] = g.ours
	} else {
		w.verify = true // there, but the view did not know it
	}
	g.pace.succeeded(now)
	g.installed, g.err = true, nil
	g.schedule.start(now)
	if g.lost {
		g.lost = false
		w.report(Event{Kind: Restored, Owner: g.duty.owner, Address: g.addr, At: now})
	}
}
