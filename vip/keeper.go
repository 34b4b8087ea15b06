package vip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStopped is returned by Settle when Run has returned, and by a second Run.
var ErrStopped = errors.New("the keeper has stopped")

// A Keeper keeps virtual addresses as its orders want them. Its methods may be
// called by several goroutines at once; none of those that give orders waits
// for the kernel.
type Keeper struct {
	kernel kernel
	work   *worker
	wake   chan struct{} // capacity 1
	heed   chan struct{} // likewise, when there is nothing new but claims

	born    time.Time
	beat    atomic.Int64 // when the caller last showed progress (clock); 0: it never said that it would
	starved atomic.Bool  // the worker waits for a Beat

	caller  atomic.Pointer[Caller] // who is about to give orders
	lookout atomic.Int64           // until when they are expected (clock); 0: not
	ordered atomic.Uint64          // serial, for whoever looks out
	bell    bell                   // rung after it

	mu      sync.Mutex
	orders  map[string]*order // by owner
	changed []*order          // not yet taken by the worker; each at most once
	serial  uint64            // of the latest order
	created uint64            // orders ever made, for their sequence
	waiting []waiter
	outcome outcome
	running bool
	ended   chan struct{} // closed when Run returns
}

// An order is what one owner asks for. All fields but guard and installed are
// protected by Keeper.mu. Its identity survives Rename.
type order struct {
	id uint64
	terms
	queued    bool                      // in Keeper.changed
	installed atomic.Pointer[[]Address] // as the worker last saw

	// guard is serial while holding, else 0. The worker compares it before
	// every address it adds and every frame it sends: an order that ended in
	// the meantime stops both at once, in the middle of a burst.
	guard atomic.Uint64
}

// terms are what an order says.
type terms struct {
	owner     string
	want      Want
	serial    uint64    // of the last change of want
	epoch     uint64    // counts the times that Hold was set
	bursts    uint64    // counts calls of Announce
	since     time.Time // of the last change of Hold or Addresses
	until     time.Time // the end of the linger; zero: there is none
	forgotten bool
}

// changed is the terms of an order as they were when the worker took them.
type changed struct {
	order *order
	terms terms
}

// A waiter is a Settle that has not returned.
type waiter struct {
	serial uint64
	done   chan struct{}
}

// An outcome is what the worker last achieved.
type outcome struct {
	serial      uint64 // orders up to this one were looked at
	outstanding error  // nil: everything is as wanted
}

// New opens the sockets a Keeper needs in the network namespace of the calling
// thread: two netlink sockets, two packet sockets and a raw ICMPv6 socket
// (CAP_NET_ADMIN, CAP_NET_RAW).
// report is called from the goroutine of Run and must not block.
func New(report func(Event)) (*Keeper, error) {
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	return newKeeper(k, report), nil
}

func newKeeper(kern kernel, report func(Event)) *Keeper {
	k := &Keeper{
		kernel: kern,
		born:   time.Now(),
		wake:   make(chan struct{}, 1),
		heed:   make(chan struct{}, 1),
		orders: map[string]*order{},
		ended:  make(chan struct{}),
	}
	k.work = newWorker(k, report)
	return k
}

// Run carries out orders until ctx ends, and then returns nil; addresses stay
// as they are, leases run on (those that linger until Close). It can run once.
func (k *Keeper) Run(ctx context.Context) error {
	k.mu.Lock()
	again := k.running
	k.running = true
	k.mu.Unlock()
	if again {
		return ErrStopped
	}
	defer close(k.ended)

	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		watched <- k.kernel.watch(ctx, k.work.notice)
		close(watched)
	}()
	heard := make(chan error, 1)
	go func() { heard <- k.kernel.hear(ctx, k.work.claimed) }()
	err := k.work.run(ctx, watched)
	cancel()
	return errors.Join(err, <-watched, <-heard)
}

// Set tells what owner wants from now on. The latest order wins; addresses that
// an earlier one held and this one does not list are removed. It never blocks.
func (k *Keeper) Set(owner string, w Want) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.orders[owner]
	if o == nil {
		k.created++
		o = &order{id: k.created, terms: terms{owner: owner, since: time.Now()}}
		k.orders[owner] = o
	} else if o.want.same(w) {
		return
	}
	if w.Hold && !o.want.Hold {
		o.epoch++
	}
	if w.Hold != o.want.Hold || !sameAddresses(w.Addresses, o.want.Addresses) {
		o.since = time.Now()
	}
	switch {
	case w.Hold || w.Linger <= 0:
		o.until = time.Time{}
	case o.want.Hold:
		o.until = time.Now().Add(w.Linger)
	}
	o.want = w
	k.order(o)
}

// Forget removes what owner holds and forgets it.
func (k *Keeper) Forget(owner string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(owner)
}

func (k *Keeper) forget(owner string) {
	o := k.orders[owner]
	if o == nil {
		return
	}
	delete(k.orders, owner)
	o.forgotten = true
	o.want.Hold, o.want.Addresses = false, nil
	o.until = time.Time{}
	o.since = time.Now()
	k.order(o)
}

// Announce makes the addresses that owner holds be announced from the first
// burst on again. Limiting the rate is the caller's business.
func (k *Keeper) Announce(owner string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o := k.orders[owner]; o != nil && o.want.Hold {
		o.bursts++
		k.order(o)
	}
}

// Rename gives an owner another name; its addresses are not touched. An owner
// that has the new name already is forgotten.
func (k *Keeper) Rename(from, to string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o := k.orders[from]
	if o == nil || from == to {
		return
	}
	k.forget(to)
	delete(k.orders, from)
	o.owner = to
	k.orders[to] = o
	k.order(o)
}

// order hands o to the worker.
func (k *Keeper) order(o *order) {
	k.progress()
	k.serial++
	o.serial = k.serial
	defer func() {
		k.ordered.Store(k.serial)
		k.bell.ring()
	}()
	if o.want.Hold {
		o.guard.Store(o.serial)
	} else {
		o.guard.Store(0)
	}
	if !o.queued {
		o.queued = true
		k.changed = append(k.changed, o)
	}
	k.poke()
}

// poke wakes the worker.
func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// nudge has the worker look at claims.
func (k *Keeper) nudge() {
	select {
	case k.heed <- struct{}{}:
	default:
	}
}

// Settle returns nil once everything asked so far is as it should be, lingers
// included, or an error that wraps ctx's and names the first thing that is not.
func (k *Keeper) Settle(ctx context.Context) error {
	k.mu.Lock()
	w := waiter{serial: k.serial, done: make(chan struct{})}
	k.waiting = append(k.waiting, w)
	k.mu.Unlock()
	k.poke()
	select {
	case <-w.done:
		return nil
	case <-k.ended:
		return ErrStopped
	case <-ctx.Done():
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = slices.DeleteFunc(k.waiting, func(o waiter) bool { return o == w })
	if k.outcome.outstanding != nil {
		return fmt.Errorf("%w before everything was done: %w", context.Cause(ctx), k.outcome.outstanding)
	}
	return context.Cause(ctx)
}

// achieved records an outcome and lets go those who waited for it.
func (k *Keeper) achieved(o outcome) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.outcome = o
	if o.outstanding != nil {
		return
	}
	k.waiting = slices.DeleteFunc(k.waiting, func(w waiter) bool {
		done := w.serial <= o.serial
		if done {
			close(w.done)
		}
		return done
	})
}

// Installed returns those of owner's addresses that their interfaces had when
// the worker last looked, in the order they were given. One that lingers is not
// among them.
func (k *Keeper) Installed(owner string) []Address {
	k.mu.Lock()
	defer k.mu.Unlock()
	if o := k.orders[owner]; o != nil {
		if installed := o.installed.Load(); installed != nil {
			return slices.Clone(*installed)
		}
	}
	return nil
}

// Close ends lingers, undoes PromoteSet on interfaces where no address of ours
// is left and closes the sockets. It must not be called before Run has returned, unless Run
// was never called.
func (k *Keeper) Close() error {
	k.mu.Lock()
	running := k.running
	k.mu.Unlock()
	if running {
		select {
		case <-k.ended:
		default:
			return errors.New("close while running")
		}
	}
	return errors.Join(k.work.abandonLingers(), k.work.restorePromote(), k.kernel.close())
}
