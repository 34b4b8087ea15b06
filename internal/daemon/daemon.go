package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"vrrpd/healthcheck"
	"vrrpd/internal/beats"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/internal/netif"
	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// settlePatience is how long a stopping daemon waits for its addresses to be
// gone from the kernel.
const settlePatience = 5 * time.Second

// An Observer is told what only statistics care about. It is called from the
// loop and must not wait.
type Observer struct {
	Takeover func(time.Duration) // from the timer that fired to the last announcement
	Lag      func(time.Duration) // how much later than its timer a turn of the loop began
}

// Options are what a Daemon is made of.
type Options struct {
	Plan     *config.Plan    // the configuration to begin with
	Problems config.Problems // what was said when it was loaded
	File     string          // where it is loaded from again
	Env      config.Env      // what it depends on besides
	Log      hclog.Logger
	Version  string
	Observer Observer
	// Handler makes what [http] serves; nil: nothing is served.
	Handler func(*Daemon) http.Handler
	// Exec runs the commands of checks and notifications; nil: this process does.
	Exec healthcheck.Executor
	// Ready is called once the daemon takes part in the election.
	Ready func()
}

// A Daemon is vrrpd.
type Daemon struct {
	opts    Options
	log     hclog.Logger
	started time.Time

	loop     *loop
	engine   *engine // the loop's: to be touched by functions given to it only
	keeper   *vip.Keeper
	journal  *journal
	scribe   *scribe
	notifier *notifier
	checks   *checkRunner
	exec     healthcheck.Executor
	bonds    *bondWatch
	desk     bondDesk
	web      *web
	lock     *lock
	state    *stateWriter
	beats    *beats.Page
	errands  *errands

	privileges privileges // the loop's until it has begun, then the daemon's

	mu       sync.Mutex // reloads, and the plan
	plan     *config.Plan
	warnings []string // what status should always say
	stopping bool

	collecting atomic.Bool // garbage, see collectAhead

	ctx    context.Context // until the daemon stops
	cancel context.CancelFunc

	background sync.WaitGroup // goroutines that end with ctx
}

// New returns a daemon that does nothing yet.
func New(opts Options) *Daemon {
	d := &Daemon{opts: opts, log: opts.Log, plan: opts.Plan, started: time.Now(), journal: newJournal(), errands: newErrands()}
	if d.exec = opts.Exec; d.exec == nil {
		d.exec = inProcess{}
	}
	d.notifier = newNotifier(d.exec, func(text string) {
		d.scribe.tell(note{at: time.Now(), kind: kindWarning, level: levelWarn, text: text})
	})
	d.scribe = newScribe(opts.Log, d.journal, d.notifier)
	d.watchLosses()
	if d.opts.Observer.Takeover == nil {
		d.opts.Observer.Takeover = func(time.Duration) {}
	}
	if d.opts.Observer.Lag == nil {
		d.opts.Observer.Lag = func(time.Duration) {}
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Run runs the daemon until stop is done, and then takes it down in order:
// priority 0, addresses removed, people told. Once hurry is done it waits for
// the addresses alone.
func (d *Daemon) Run(stop, hurry context.Context) error {
	defer d.scribe.close()
	defer d.cancel()
	plan := d.plan
	d.log.SetLevel(hclog.LevelFromString(plan.Log.Level))
	for _, p := range d.opts.Problems {
		d.say(levelWarn, kindWarning, p.String())
	}
	before, err := d.claim(plan.Control.Socket)
	if err != nil {
		return err
	}
	defer d.lock.release()
	defer d.beats.Close()
	if err := d.open(); err != nil {
		return err
	}
	return d.serve(stop, hurry, before)
}

// claim takes the lock and reads what the last run left. Where neither can be
// done, the daemon runs without and says so.
func (d *Daemon) claim(socket string) (past, error) {
	d.beats = beats.None()
	l, err := takeLock(socket + ".lock")
	if errors.Is(err, errRunning) {
		return past{}, err
	}
	if err != nil {
		d.warn("running without a lock: " + err.Error())
	}
	d.lock = l
	boot, err := bootID()
	if err != nil {
		d.warn("running without a state file: " + err.Error())
		return past{}, nil
	}
	before := past{}
	if l != nil {
		if d.beats, before.beats, err = beats.Open(socket+".beats", boot); err != nil {
			d.warn("an active instance will not go on where it was if vrrpd is killed and started again: " + err.Error())
		}
	}
	before.state, err = readState(socket+".state", boot)
	if err != nil {
		d.warn("the state of the last run is not known: " + err.Error())
	}
	d.state = newStateWriter(socket+".state", boot, func(err error) { d.warn("the state file cannot be written: " + err.Error()) })
	return before, nil
}

// open makes everything that needs the kernel.
func (d *Daemon) open() error {
	poller, err := transport.NewPoller()
	if err != nil {
		return err
	}
	if d.keeper, err = vip.New(d.addressEvent); err != nil {
		return err
	}
	d.engine = newEngine(outside{
		open: func(name string, index int, family vrrp.Family) (wire, error) {
			return transport.Open(transport.Config{Interface: name, Index: index, Family: transport.Family(family)})
		},
		watch: func(w wire, token int32, familiar *transport.Familiar) error {
			return poller.Listen(w.FD(), token, familiar)
		},
		unwatch:   func(w wire) { _ = poller.Remove(w.FD()) }, // it is closed next, which removes it too
		addresses: d.keeper,
		tell:      d.scribe.tell,
		notify:    d.notifier.tell,
		took:      d.opts.Observer.Takeover,
		saved:     d.saveState,
		again: func(after time.Duration, do func(vrrp.Instant)) {
			time.AfterFunc(after, func() { d.loop.do(do) })
		},
		readBonds: func() { d.bonds.watcher.Refresh() },
		collect: func() {
			if !d.collecting.CompareAndSwap(false, true) {
				return
			}
			go func() {
				defer d.collecting.Store(false)
				collectAhead()
			}()
		},
		aside: d.errands.add,
		giveWay: func() {
			if err := poller.Pause(headStart, transport.NoDeadline); err != nil {
				d.say(levelWarn, kindWarning, err.Error())
			}
		},
		boottime: beats.Now,
		slot:     func(id identity) *atomic.Int64 { return d.beats.Slot(id.key()) },
		free:     func(id identity) { d.beats.Free(id.key()) },
	})
	d.loop = newLoop(d.engine, poller, d.opts.Observer.Lag)
	d.loop.begin = func() (priority int) {
		priority = d.privileges.raise(d.plan)
		rehearse()
		return priority
	}
	d.checks = d.newChecks()
	d.web = newWeb(d.log)
	d.bonds, err = newBondWatch(d)
	return err
}

// An operation is the part of a daemon's life that needs the kernel: the loop,
// the keeper of addresses, and those who watch interfaces and bonds.
type operation struct {
	d           *Daemon
	failed      chan error
	kept        chan struct{} // closed when the keeper is over
	stopKeeping context.CancelFunc
}

// operate starts all of it, with the interfaces as they are.
func (d *Daemon) operate() (*operation, netif.Snapshot, error) {
	var latest atomic.Pointer[netif.Snapshot]
	watcher, ifaces, err := netif.New(func(s netif.Snapshot) {
		latest.Store(&s)
		// Not s: the loop may have looked by then, and not go back.
		d.loop.do(func(now vrrp.Instant) { d.engine.interfaces(now, *latest.Load()) })
		d.bonds.again() // a VLAN above a bond may be new
	}, func(err error) { d.say(levelWarn, kindInterface, err.Error()) })
	if err != nil {
		return nil, nil, errors.Join(err, d.keeper.Close(), d.loop.poller.Close())
	}
	latest.Store(&ifaces)
	d.relax()
	d.loop.look = func() (netif.Snapshot, bool) { return lookAt(watcher, &latest) }
	d.background.Go(func() { watcher.Run(d.ctx) })
	d.background.Go(func() { d.errands.run(d.ctx) })
	keeping, stop := context.WithCancel(context.Background())
	o := &operation{d: d, failed: make(chan error, 2), kept: make(chan struct{}), stopKeeping: stop}
	go func() {
		defer close(o.kept)
		if err := d.keeper.Run(keeping); err != nil {
			o.failed <- fmt.Errorf("addresses: %w", err)
		}
	}()
	go func() {
		if err := d.loop.run(); err != nil {
			o.failed <- fmt.Errorf("loop: %w", err)
		}
	}()
	return o, ifaces, nil
}

// relax saves tenths of a percent of a processor. Where it may not be done,
// that is not worth a word.
func (d *Daemon) relax() {
	err := transport.RelaxMonitor(time.Millisecond)
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		d.say(levelWarn, kindWarning, "timer slack of the runtime's monitor: "+err.Error())
	}
}

// headStart is about what the keeper of addresses needs to add and announce the
// first one. Reports wake other goroutines, which then want its processor.
const headStart = 200 * time.Microsecond

// lookPatience bounds how long the loop waits to know the interfaces as they
// are, once it did not run. It takes a millisecond, but the kernel's lock may
// be held by whoever changes something in the meantime.
const lookPatience = 50 * time.Millisecond

// lookAt has a watcher read the interfaces now and waits for that.
func lookAt(w *netif.Watcher, latest *atomic.Pointer[netif.Snapshot]) (netif.Snapshot, bool) {
	read := make(chan struct{})
	if !w.Read(func() { close(read) }) {
		return nil, false
	}
	select {
	case <-read:
		return *latest.Load(), true
	case <-time.After(lookPatience):
		return nil, false
	}
}

// end ends it: the routers hand over, and the addresses are taken away.
func (o *operation) end(hurry context.Context) error {
	d := o.d
	d.finish(hurry)
	d.cancel()
	// Taking the addresses away is never hurried, only bounded: they would
	// answer beside the next active router.
	settling, done := context.WithTimeout(context.Background(), settlePatience)
	defer done()
	err := d.keeper.Settle(settling)
	if err != nil {
		err = fmt.Errorf("addresses may be left behind: %w", err)
	}
	o.stopKeeping()
	<-o.kept
	return errors.Join(err, d.keeper.Close())
}

// serve is the daemon's life.
func (d *Daemon) serve(stop, hurry context.Context, before past) error {
	defer d.background.Wait()
	defer d.cancel()
	o, ifaces, err := d.operate()
	if err != nil {
		return err
	}
	defer o.stopKeeping()
	d.begin(ifaces, before)
	d.background.Go(func() { d.bonds.run(d.ctx) })
	listening := d.listen()
	if d.opts.Ready != nil {
		d.opts.Ready()
	}
	select {
	case <-stop.Done():
	case err = <-o.failed:
		d.say(levelError, kindDaemon, err.Error())
	}

	d.say(levelInfo, kindDaemon, "stopping")
	ended := o.end(hurry)
	if err == nil {
		err = ended
	}
	patience, patient := context.WithTimeout(hurry, settlePatience)
	defer patient()
	d.checks.stop()
	d.notifier.close(patience.Done())
	if left := d.exec.Close(); left != nil {
		d.say(levelWarn, kindCheck, left.Error())
	}
	listening.close(patience)
	d.web.close()
	d.background.Wait()
	d.desk.close()
	d.state.close()
	if ended == nil && d.state != nil {
		if err := forgetAddresses(d.state.path, d.state.boot); err != nil {
			d.say(levelWarn, kindWarning, "the state file: "+err.Error())
		}
	}
	return errors.Join(err, d.loop.poller.Close())
}

// finish stops the routers and the loop: what is active serves until somebody
// has taken over, unless there is a hurry. From then on nothing is reloaded.
// If the loop has failed, the routers are stopped all the same.
func (d *Daemon) finish(hurry context.Context) {
	d.mu.Lock()
	d.stopping = true
	d.mu.Unlock()
	stop := func(atOnce bool) (idle <-chan struct{}) {
		// An error is that of a loop that is over, and seen below.
		_ = d.loop.call(context.Background(), func(now vrrp.Instant) {
			d.engine.stop(now, atOnce)
			idle = d.engine.idle
		})
		return idle
	}
	idle := stop(false)
	select {
	case <-idle:
	case <-hurry.Done():
		stop(true)
	case <-d.loop.over:
	}
	closed := false
	if err := d.loop.call(context.Background(), func(vrrp.Instant) {
		closed = true
		d.engine.closePorts()
		d.loop.end()
	}); err != nil && !closed {
		d.engine.stop(vrrp.Instant(transport.Now()), true) // the loop's goroutine is over
		for !d.engine.report() {
		}
		d.engine.closePorts()
	}
	<-d.loop.over
}

// begin makes the plan the one in force.
func (d *Daemon) begin(ifaces netif.Snapshot, before past) {
	plan := d.plan
	d.notifier.configure(plan.Notify)
	d.bonds.configure(plan)
	bonds, under := d.bonds.read()
	var leftover vip.Want
	_ = d.loop.call(d.ctx, func(now vrrp.Instant) { // an error is told as the loop's own
		if d.engine.ifaces == nil {
			d.engine.ifaces = ifaces
		}
		d.engine.bondUpdate, d.engine.under = bonds, under // nobody else reads them yet
		d.engine.setChecks(plan.Checks, plan.Node)
		d.engine.apply(now, plan, before)
		d.engine.publish()
		leftover = before.state.leftovers(d.engine)
	})
	if len(leftover.Addresses) > 0 {
		d.keeper.Set(leftoverOwner, leftover)
		d.background.Go(d.forgetLeftovers)
	}
	d.checks.apply(plan.Checks, plan.Node)
	d.serveHTTP(plan)
	d.privileges.lockMemory(plan)
	running := d.privileges.String()
	d.loop.do(func(vrrp.Instant) { d.engine.realtime = running })
	d.say(levelInfo, kindDaemon, fmt.Sprintf("started from %s: %s, %s", d.opts.File, plural(len(plan.Instances), "instance"), plural(len(plan.Checks), "check"))+", "+running)
}

// leftoverOwner is in whose name addresses of an earlier run are removed.
const leftoverOwner = "\x00leftover"

// forgetLeftovers ends the watch over addresses of an earlier run once they are
// gone: nothing of this plan speaks of them, and whoever adds one later may.
func (d *Daemon) forgetLeftovers() {
	ctx, cancel := context.WithTimeout(d.ctx, settlePatience)
	defer cancel()
	_ = d.keeper.Settle(ctx) // what could not be removed has been told
	d.keeper.Forget(leftoverOwner)
}

// keepUntilRestart has a new plan say what goes on being so until vrrpd is started
// again, and returns what to say of it.
func keepUntilRestart(plan, old *config.Plan) (warnings []string) {
	keep := func(same bool, what string, undo func()) {
		if !same {
			undo()
			warnings = append(warnings, what+" takes effect when vrrpd is started again")
		}
	}
	keep(plan.Control == old.Control, "control.*: what is changed", func() { plan.Control = old.Control })
	keep(plan.Log.Format == old.Log.Format, "log.format: a change", func() { plan.Log.Format = old.Log.Format })
	keep(plan.Realtime == old.Realtime, "node.realtime: a change", func() { plan.Realtime = old.Realtime })
	return warnings
}

// Reload reads the configuration again and changes what differs. A bad file
// changes nothing; its problems are in the error.
//
// Once the file is found good it is not abandoned half-way, whoever asked: the
// parts of the daemon must agree on the plan.
func (d *Daemon) Reload(context.Context) (*control.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return nil, errStopped
	}
	plan, problems := config.Load(d.opts.File, d.opts.Env)
	if plan == nil {
		for _, p := range problems {
			d.say(levelError, kindReload, p.String())
		}
		d.say(levelError, kindReload, "the configuration was not reloaded; the one before stays in force")
		return nil, &control.StatusError{Code: http.StatusUnprocessableEntity, Message: "the configuration has problems; the one before stays in force", Problems: problems.Strings()}
	}
	old := d.plan
	out := &control.Outcome{Warnings: problems.Warnings().Strings()}
	out.Warnings = append(out.Warnings, keepUntilRestart(plan, old)...)
	d.notifier.configure(plan.Notify)
	d.log.SetLevel(hclog.LevelFromString(plan.Log.Level))
	d.bonds.configure(plan)
	under := d.bonds.under()
	var changes []string
	if err := d.loop.call(d.ctx, func(now vrrp.Instant) {
		d.engine.under = under
		d.engine.setChecks(plan.Checks, plan.Node)
		changes = d.engine.apply(now, plan, past{})
		d.engine.publish()
	}); err != nil {
		return nil, err
	}
	d.plan = plan
	changes = append(changes, d.checks.apply(plan.Checks, plan.Node)...)
	d.serveHTTP(plan)
	for _, w := range out.Warnings {
		d.say(levelWarn, kindReload, w)
	}
	if len(changes) == 0 {
		changes = []string{"nothing changed"}
	}
	for _, c := range changes {
		d.say(levelInfo, kindReload, c)
		out.Results = append(out.Results, control.Result{OK: true, Text: c})
	}
	return out, nil
}

// addressEvent brings the news of the addresses to the loop, and after its end
// to people at least.
func (d *Daemon) addressEvent(ev vip.Event) {
	if !d.loop.do(func(vrrp.Instant) { d.engine.addressEvent(ev) }) {
		d.scribe.tell(addressNote(ev))
	}
}

// Alive reports whether the loop makes progress within a time.
func (d *Daemon) Alive(within time.Duration) bool {
	ctx, cancel := context.WithTimeout(d.ctx, within)
	defer cancel()
	return d.loop.call(ctx, func(vrrp.Instant) {}) == nil
}

// say tells people something that is not about one instance.
func (d *Daemon) say(l level, kind, text string) {
	d.scribe.tell(note{at: time.Now(), kind: kind, level: l, text: text})
}

// warn says something that status should go on saying.
func (d *Daemon) warn(text string) {
	d.mu.Lock()
	if !slices.Contains(d.warnings, text) {
		d.warnings = append(d.warnings, text)
	}
	d.mu.Unlock()
	d.say(levelWarn, kindWarning, text)
}

// saveState has the state file written with what the engine knows now. It is
// called on the loop.
func (d *Daemon) saveState() {
	if d.state != nil {
		d.state.save(d.engine.state(d.state.boot))
	}
}
