package daemon

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"vrrpd/internal/netif"
	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// errStopped answers a request that came after the loop had ended.
var errStopped = errors.New("the daemon is stopping")

// A loop runs the engine on a thread of its own.
type loop struct {
	engine   *engine
	poller   *transport.Poller
	lag      func(time.Duration)   // how much later than its timer a turn began
	begin    func() (priority int) // called first, on the loop's thread; returns its real-time priority, 0 for none
	priority int
	look     func() (s netif.Snapshot, ok bool) // the interfaces as they are now, if that can be known soon

	began   vrrp.Instant // the last turn
	heard   vrrp.Instant // the last turn that had packets
	gather  bool         // the next ones are close behind
	ticked  vrrp.Instant // when the engine last looked after everything
	yielded vrrp.Instant // in a crowd

	mu       sync.Mutex
	requests []func(now vrrp.Instant)
	ended    bool

	over chan struct{} // closed when run returns: what is still asked for never happens
}

func newLoop(e *engine, p *transport.Poller, lag func(time.Duration)) *loop {
	return &loop{engine: e, poller: p, lag: lag, look: func() (netif.Snapshot, bool) { return nil, false }, over: make(chan struct{})}
}

// do has the loop run a function between two packets. It does not wait, and
// may be called from any goroutine; after the loop has ended it reports false.
func (l *loop) do(f func(now vrrp.Instant)) bool {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false
	}
	l.requests = append(l.requests, f)
	l.mu.Unlock()
	l.poller.Wake()
	return true
}

// call is do that waits for the function to have run, and for the turn to be
// over: what it sent has left.
func (l *loop) call(ctx context.Context, f func(now vrrp.Instant)) error {
	done := make(chan struct{})
	ok := l.do(func(now vrrp.Instant) {
		f(now)
		l.engine.then(func() { close(done) })
	})
	if !ok {
		return errStopped
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.over:
	}
	select {
	case <-done: // in the last turn
		return nil
	default:
		return errStopped
	}
}

// run runs the loop until stop is called from one of its functions.
func (l *loop) run() error {
	defer close(l.over)
	defer l.end()
	runtime.LockOSThread() // for good: the thread ends with the goroutine, it is like no other
	if err := transport.SetTimerSlack(1); err != nil {
		return err
	}
	if l.begin != nil {
		l.priority = l.begin()
	}
	for {
		stopped, err := l.turn()
		if err != nil {
			return err
		}
		if stopped {
			for !l.engine.report() { // there is no other turn for the rest
			}
			return nil
		}
	}
}

// The engine looks after what has no moment of its own once a second. To be woken
// costs more than to look, so a turn does that comes about from tickFrom on, which
// is a little less than a multiple of most intervals; tickBy one is made.
const (
	tickFrom = 790 * time.Millisecond
	tickBy   = time.Second
)

// turn waits for something to happen and handles it.
func (l *loop) turn() (stopped bool, err error) {
	e := l.engine
	ready, woken, err := l.wait()
	if err != nil {
		return false, err
	}
	now := vrrp.Instant(transport.Now())
	if late := e.followPlan(); late > 0 {
		l.lag(late)
	}
	before := e.packets
	drained := l.readAhead(now)
	at, armed := e.due()
	// A backup that may not take over yet is due all the while.
	late := now.Sub(max(at, l.began))
	l.began = now
	if armed && e.outdated(late) {
		now = l.lookAgain(now, late)
	}
	for _, token := range ready {
		drained = e.receive(now, token) && drained
	}
	// After two turns with packets that close together there is a pause in which more may
	// gather, before any deadline. What they mean does not change with the delay, for
	// they carry the moment they arrived.
	if l.gather = false; e.packets != before {
		l.gather, l.heard = now.Sub(l.heard) < transport.GatherWithin, now
	}
	if armed && at <= now {
		if due, ok := e.firstTimer(); ok && due <= now { // else it is time to read the bonds
			l.lag(now.Sub(due))
		}
		again, err := l.drain(now, &drained)
		if err != nil {
			return false, err
		}
		woken = woken || again
		e.expire(now, drained)
	}
	e.flush(now)
	e.stalled = e.stalled && !drained && now.Sub(e.stalledAt) < stallMost
	if woken {
		stopped = l.runRequests(now)
	}
	if now.Sub(l.ticked) >= tickFrom {
		l.ticked = now
		e.tick(now)
	}
	e.collectDue(now)
	e.flush(now)
	if !e.stalled { // else somebody may have taken over, and it is not read yet
		e.out.addresses.Beat()
	}
	e.makePlan(now)
	return stopped, nil
}

// wait waits for packets, for a request, or for the earliest timer.
func (l *loop) wait() (ready []int32, woken bool, err error) {
	e := l.engine
	at, takeover, armed := e.next()
	deadline := int64(l.ticked.Add(tickBy))
	switch {
	case e.backlog(vrrp.Instant(transport.Now())):
		deadline, takeover = 1, false // long past: without waiting
	case armed && int64(at) <= deadline:
		deadline = max(int64(at), 1) // 0 would be none
	default:
		takeover = false
	}
	if at, ok := e.collectAt(); ok && int64(at) < deadline {
		deadline, takeover = max(int64(at), 1), false
	}
	l.poller.ReadAhead(e.batch)
	until := deadline
	if e.plan.schedule != nil {
		until = min(until, e.plan.schedule.Next())
	}
	if l.gather {
		if err := l.poller.Pause(transport.GatherFor, until); err != nil {
			return nil, false, err
		}
	}
	if takeover {
		if !e.planDue(at.Add(planAfter)) {
			return l.waitForTakeover(deadline)
		}
		deadline -= int64(planClear)
	}
	if e.plan.schedule != nil {
		now := transport.Now()
		return l.poller.WaitSending(now+int64(planFrom), min(deadline, now+int64(planBy)), e.plan.schedule)
	}
	return l.poller.Wait(deadline)
}

// waitForTakeover is Wait for a moment at which addresses are to be held.
func (l *loop) waitForTakeover(deadline int64) (ready []int32, woken bool, err error) {
	ahead := func() {
		l.engine.out.addresses.Ready(lookOut, vip.Caller{CPU: transport.CPU(), Priority: l.priority})
	}
	if now := vrrp.Instant(transport.Now()); now.Sub(l.engine.tookOver) < crowdPause {
		if now.Sub(l.yielded) >= yieldAgain && vrrp.Instant(deadline).Sub(now) >= yieldTakes {
			l.yielded = now
			runtime.Gosched()
		}
		return l.poller.WaitPrecisely(deadline, crowdAwake, ahead, nil)
	}
	awakeFor := transport.AwakeWindow
	if l.priority == 0 {
		awakeFor = ordinaryAwake
	}
	return l.poller.WaitPrecisely(deadline, awakeFor, ahead, func() { rehearse() })
}

// ordinaryAwake is how long the loop stays awake before a takeover where it has no
// real-time priority: on a busy machine a thread that did for longer has had its
// share, and others run when the moment comes.
const ordinaryAwake = 200 * time.Microsecond

// Takeovers within crowdPause are those of a crowd. Between them the loop sleeps but
// for crowdAwake: nothing has to be rehearsed, and whoever is to add their
// addresses may have been woken on this CPU, and would wait until the last of them.
const (
	crowdPause = 5 * time.Millisecond
	crowdAwake = 100 * time.Microsecond
	// The Go runtime has a goroutine yield that has gone on for 10 ms, in the middle
	// of whatever it does, and none of these waits ends that span. So the loop yields
	// by itself before, when there are yieldTakes until the next takeover.
	yieldAgain = 6 * time.Millisecond
	yieldTakes = 300 * time.Microsecond
)

// lookOut is how long the keeper of addresses is asked to be ready for a
// takeover: until the moment comes, and for the turn that follows.
const lookOut = transport.AheadWindow + 300*time.Microsecond

// lookAgain is for a loop that did not run: the watcher of interfaces did not
// run either, so what is known of them is as old, and a router must not go by a
// carrier that is back, or by one that is gone. It returns the time it is then.
func (l *loop) lookAgain(now vrrp.Instant, late time.Duration) vrrp.Instant {
	l.engine.endPlan()
	if late >= stallAfter {
		l.engine.stall(now, late)
	}
	ifaces, ok := l.look()
	now = vrrp.Instant(transport.Now())
	if ok {
		l.engine.interfaces(now, ifaces)
	}
	return now
}

// drainRounds bounds how often drain looks, besides what it takes to see every
// socket once: a Wait reports up to drainSees of them.
const (
	drainRounds = 16
	drainSees   = 64
)

// drain looks again, now that the time is taken, until nothing is waiting: a
// packet that arrived before the timer was due may have come after we looked,
// and with many sockets one look does not show them all. What is in a socket
// counts before the timer. In a flood there is no end to it, and active routers
// are not to wait for one: what could not be emptied before ends it.
func (l *loop) drain(now vrrp.Instant, drained *bool) (woken bool, err error) {
	rounds := drainRounds + len(l.engine.byToken)/drainSees
	for n := 0; n < rounds && *drained; n++ {
		ready, again, err := l.poller.Wait(1) // long past: without waiting
		if err != nil {
			return woken, err
		}
		woken = woken || again
		if len(ready) == 0 {
			return woken, nil
		}
		for _, token := range ready {
			*drained = l.engine.receive(now, token) && *drained
		}
	}
	// A socket that goes on being ready and has nothing to read (an error that
	// does not clear) must not keep this node from taking over.
	return woken, nil
}

func (l *loop) runRequests(now vrrp.Instant) (stopped bool) {
	l.mu.Lock()
	requests := l.requests
	l.requests = nil
	l.mu.Unlock()
	for _, f := range requests {
		f(now)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// end makes the current turn the last. It is called by a function of do.
func (l *loop) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
}
