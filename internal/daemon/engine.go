package daemon

import (
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"vrrpd/bonding"

	"vrrpd/internal/beats"
	"vrrpd/internal/config"
	"vrrpd/internal/netif"
	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// addresses is what the engine asks of vip.Keeper; none of it waits.
type addresses interface {
	Set(owner string, w vip.Want)
	Forget(owner string)
	Rename(from, to string)
	Announce(owner string)
	Beat()                                       // the loop goes on
	Ready(patience time.Duration, by vip.Caller) // they are about to be held
}

// outside is what the engine needs of the world; none of it waits, but giveWay.
type outside struct {
	open      func(name string, index int, family vrrp.Family) (wire, error)
	watch     func(w wire, token int32, familiar *transport.Familiar) error // have the loop read it
	unwatch   func(w wire)
	addresses addresses
	tell      func(note) // people; see note
	notify    func(notification)
	took      func(time.Duration)
	saved     func() // something of the state file changed
	again     func(after time.Duration, do func(now vrrp.Instant))
	readBonds func()          // read the bonds now; what they are like comes to bondsSeen
	giveWay   func()          // do nothing for a moment, for who was given an order
	collect   func()          // collect garbage, without waiting for it
	aside     func(do func()) // what may wait for the kernel, in order

	boottime func() int64                 // now, on the clock of the beats
	slot     func(identity) *atomic.Int64 // where an instance notes its beats
	free     func(identity)               // it does so no more
}

// The engine owns every virtual router. All its methods belong to the loop's
// goroutine, and all are told the time.
type engine struct {
	out        outside
	instances  []*instance // in the order of the file
	byName     map[string]*instance
	groups     []*group
	departing  []*instance   // dropped by a reload, and still handing over
	departures int           // so far
	idle       chan struct{} // closed when everything has stopped; nil: nobody stops it
	runs       bool          // routers were started, and nothing is to hold them up
	byToken    map[int32]*port
	ports      map[portKey]*port
	nextToken  int32
	ifaces     netif.Snapshot
	node       string // as the checks are told
	checks     map[string]*checkState
	checkOrder []string
	board      *checkBoard
	virtual    map[netip.Addr]int // configured addresses, counted
	bonds      []*bond
	bondUpdate *bonding.Update     // the last reading; nil: none yet
	under      map[string][]string // the bonds that carry an interface's traffic
	timers     timers
	plan       plan

	realtime  string // what the daemon has of it; see privileges
	replaces  bool   // it hands over in place of a daemon that ended without a word
	stalledAt vrrp.Instant
	alone     bool // the program has one CPU, or one processor of the Go scheduler
	crowd     bool // more backups are to take over than one turn has room for
	stalled   bool // the loop was frozen, and what arrived meanwhile is not all read yet

	packets     int              // read so far
	happened    int              // actions carried out so far, but for the setting of timers
	batch       *transport.Batch // nil: nothing was read yet
	advert      vrrp.Advert      // the one being decoded, reused
	dirty       []*port          // to be flushed
	orders      []func()         // to the keeper of addresses, that wait for the flush
	urgent      bool             // among them are addresses to be held
	after       []func()         // reports, that wait for the orders
	heldSince   vrrp.Instant     // they wait for a takeover; 0: they do not
	sent        bool             // that is over, and what waited for it happens now
	unsaved     bool             // the state file is to be written at the end of the turn
	learned     bool             // … or with the next tick: forms of checksums, instance by instance
	tookOver    vrrp.Instant     // when a backup's timer fired last
	collectNext vrrp.Instant     // takeovers before that are no reason to collect garbage; see collectAt
}

// A group is a sync group and its name.
type group struct {
	cfg     config.Group
	machine *vrrp.Group
	members []*instance
	state   vrrp.State
}

func newEngine(out outside) *engine {
	return &engine{out: out, byToken: map[int32]*port{}, ports: map[portKey]*port{},
		checks: map[string]*checkState{}, board: newCheckBoard(), virtual: map[netip.Addr]int{}, alone: min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) < 2}
}

// step feeds an event to an instance and carries out what it asks for.
func (e *engine) step(now vrrp.Instant, inst *instance, ev vrrp.Event) {
	inst.justHeld = false
	if ev.Kind != vrrp.EventAdvert {
		inst.unfamiliar()
	}
	if inst.group == nil {
		for _, a := range inst.router.Step(now, ev) {
			e.carryOut(now, inst, a)
		}
		return
	}
	for _, m := range inst.group.members {
		m.justHeld = false
	}
	e.carryOutGroup(now, inst.group, inst.group.machine.Step(now, inst.member, ev))
}

func (e *engine) carryOutGroup(now vrrp.Instant, g *group, actions []vrrp.MemberAction) {
	for _, a := range actions {
		e.carryOut(now, g.members[a.Member], a.Action)
	}
	e.groupChanged(g)
}

// settle ends the joining of new members of a group, if there still is that
// group.
func (e *engine) settle(now vrrp.Instant, g *group) {
	if slices.Contains(e.groups, g) {
		e.carryOutGroup(now, g, g.machine.Settle(now))
	}
}

func (e *engine) carryOut(now vrrp.Instant, inst *instance, a vrrp.Action) {
	if inst.slot == plannedSlot && e.planCarriesOut(inst, a) {
		return
	}
	if a.Kind != vrrp.ActionSetTimer {
		inst.unfamiliar()
		e.happened++
	}
	switch a.Kind {
	case vrrp.ActionSendAdvert:
		e.send(inst, a.Priority, a.Interval)
	case vrrp.ActionSetTimer:
		e.timers.set(inst, a.At)
		e.plan.wanted = e.plan.wanted || inst.plannable()
	case vrrp.ActionStopTimer:
		e.timers.stop(inst)
	case vrrp.ActionHoldAddresses:
		inst.justHeld, e.urgent = true, true
		name := inst.owner
		e.order(func() { e.out.addresses.Set(name, inst.want(true)) })
		e.succeeds(now, inst, vrrp.Event{Kind: vrrp.EventShutdown, Now: true})
	case vrrp.ActionReleaseAddresses:
		inst.beat.Store(0)
		if e.leavesToLease(inst, a) {
			return
		}
		name, want := inst.owner, inst.want(false)
		want.Linger = a.Linger
		e.order(func() { e.out.addresses.Set(name, want) })
	case vrrp.ActionAnnounce:
		// Addresses that are newly held are announced as they are installed;
		// this is for the times after.
		if !inst.justHeld {
			name := inst.owner
			e.order(func() { e.out.addresses.Announce(name) })
		}
	case vrrp.ActionReport:
		record, at, due := a.Record, time.Now(), time.Time{}
		if inst.dueAt != 0 {
			due = at.Add(-now.Sub(inst.dueAt))
		}
		e.then(func() { e.record(inst, record, at, due) })
		if record.From == vrrp.Active && record.To == vrrp.Backup && inst.port != nil && inst.port.deaf {
			e.out.again(0, func(now vrrp.Instant) { // what does not matter to one that is active
				if inst.port != nil {
					e.assess(now, inst)
				}
			})
		}
	}
}

// order puts an order to the keeper of addresses off until the advertisements
// of this turn have left, however little it costs: in the turn of a takeover
// every microsecond counts.
func (e *engine) order(do func()) { e.orders = append(e.orders, do) }

// then puts something off until they have left and the orders are given.
func (e *engine) then(do func()) {
	if e.sent && len(e.dirty) == 0 && len(e.orders) == 0 {
		do()
		return
	}
	e.after = append(e.after, do)
}

// save has the state file written, once for all that changes in a turn: when
// a thousand instances learn something at a time, it is one state.
func (e *engine) save() {
	if e.unsaved {
		return
	}
	e.unsaved, e.learned = true, false
	e.then(func() {
		e.unsaved = false
		e.out.saved()
	})
}

// saveLearned saves what was learned since the last state. To put a state together
// goes through all instances, and each of thousands may learn in a turn of its own.
func (e *engine) saveLearned() {
	if e.learned {
		e.save()
	}
}

// send queues an advertisement to every destination.
func (e *engine) send(inst *instance, priority uint8, interval time.Duration) {
	p := inst.port
	if p == nil || p.wire == nil || !inst.router.Source().IsValid() {
		return // a fault says so already
	}
	frames := inst.frames(priority, interval)
	for n, dst := range inst.destinations {
		p.wire.Queue(inst.router.Source(), dst, frames[n])
		p.queued = append(p.queued, inst)
	}
	inst.sent++
	if !p.dirty {
		p.dirty = true
		e.dirty = append(e.dirty, p)
	}
}

// flush ends a turn: the advertisements leave, then the addresses are ordered,
// then the rest happens; but first the advertisements of a whole crowd leave.
func (e *engine) flush(now vrrp.Instant) {
	for len(e.dirty) > 0 || len(e.orders) > 0 || len(e.after) > 0 {
		for _, p := range e.dirty {
			e.flushPort(now, p)
		}
		e.dirty = e.dirty[:0]
		if e.crowd = e.crowd && e.timers.firstOverdue() != nil; e.crowd {
			return
		}
		e.giveOrders(!e.hurry(now, nearTakeover))
		if e.holdReports(now) || !e.report() {
			return
		}
	}
	e.checkIdle()
}

const (
	// nearTakeover is how far ahead of a takeover the loop does not give way, and
	// makes no reports if there is no time for them: takeovers of a crowd come within
	// some milliseconds, and what is done for one would delay the next.
	nearTakeover = time.Millisecond
	// reportTakes is what is allowed for a report, and before the takeover.
	reportTakes = 10 * time.Microsecond
	reportClear = 100 * time.Microsecond
	// reportsHeld bounds how long: there may always be somebody about to take over.
	reportsHeld = 50 * time.Millisecond
)

// hurry reports whether there may be a takeover within a time, which nothing is to
// come before. One that is overdue is none: in a flood it may be so for long.
// Where the program has one CPU, who adds addresses needs that one.
func (e *engine) hurry(now vrrp.Instant, within time.Duration) bool {
	at, takeover, ok := e.next()
	return ok && takeover && now < at && at.Sub(now) < within && !e.alone
}

// holdReports reports whether reports are to wait for a takeover.
func (e *engine) holdReports(now vrrp.Instant) bool {
	n := min(len(e.after), reportsAtOnce)
	if n == 0 || !e.hurry(now, min(nearTakeover, reportClear+time.Duration(n)*reportTakes)) {
		return false
	}
	if e.heldSince == 0 {
		e.heldSince = now
	}
	return now.Sub(e.heldSince) < reportsHeld
}

// giveOrders tells the keeper of addresses, and may leave it the processor.
func (e *engine) giveOrders(giveWay bool) {
	these := e.orders
	e.orders = nil
	for _, do := range these {
		do()
	}
	if clear(these); e.orders == nil {
		e.orders = these[:0]
	}
	if e.urgent {
		e.urgent = false
		if giveWay {
			e.out.giveWay()
		}
	}
}

// reportsAtOnce bounds how long reports keep advertisements waiting: each takes
// some microseconds, and thousands are made when thousands take over.
const reportsAtOnce = 64

// report does what was put off, or as much of it as there is room for in one
// turn: backlog is true then. What one of the functions has sent leaves next.
func (e *engine) report() (all bool) {
	these := e.after
	var rest []func()
	if len(these) > reportsAtOnce {
		these, rest = these[:reportsAtOnce], these[reportsAtOnce:]
	}
	e.after, e.sent = nil, true
	for _, do := range these {
		do()
	}
	e.sent, e.heldSince = false, 0
	clear(these)
	switch {
	case len(rest) > 0:
		e.after = append(rest, e.after...)
	case e.after == nil:
		e.after = these[:0]
	}
	return len(rest) == 0
}

// backlog reports whether something waits for the next turn, which is to come
// at once.
func (e *engine) backlog(now vrrp.Instant) bool {
	return len(e.after) > 0 && !e.crowd && !e.holdReports(now)
}

func (e *engine) flushPort(now vrrp.Instant, p *port) {
	p.dirty = false
	if p.wire == nil {
		p.queued = p.queued[:0]
		return
	}
	_, failed := p.wire.Flush()
	for _, inst := range p.queued {
		inst.failing = false
	}
	for _, f := range failed {
		if f.Index < len(p.queued) {
			e.sendFailed(now, p.queued[f.Index], f)
			p.queued[f.Index] = nil
		}
	}
	at := e.out.boottime()
	for _, inst := range p.queued {
		if inst != nil && inst.router.State() == vrrp.Active {
			inst.beat.Store(int64(beats.At(at, inst.router.HandingOver())))
		}
	}
	clear(p.queued)
	p.queued = p.queued[:0]
}

// sendFailed counts, and tells at most once a minute.
func (e *engine) sendFailed(now vrrp.Instant, inst *instance, f transport.SendError) {
	inst.sendFailed++
	inst.failing = true
	if inst.sendTold == 0 || now.Sub(inst.sendTold) >= tellEvery {
		inst.sendTold = now
		e.tell(note{kind: kindWarning, instance: inst.cfg.Name, level: levelWarn, text: f.Error()})
	}
}

// next returns when the engine wants to be called again, and whether every
// microsecond counts then.
func (e *engine) next() (at vrrp.Instant, takeover, ok bool) {
	at, ok = e.timers.next()
	inst := e.timers.first()
	switch {
	case !ok || inst == nil || at < inst.deadline: // none, or some are overdue
		return at, false, ok
	case e.wantsBonds(inst):
		return at.Add(-refreshAhead(inst)), false, true
	}
	return at, inst.router.State() == vrrp.Backup, true
}

// wantsBonds reports whether the bonds are to be read before an instance's
// timer fires: it may take over then, and must know what it takes over on.
func (e *engine) wantsBonds(inst *instance) bool {
	return !inst.bondsRead && len(e.under[inst.id.iface]) > 0 && inst.router.State() == vrrp.Backup
}

// stallAfter is how late a turn must be to be called a stall: far more than a
// busy machine makes of it, and less than any socket's buffer holds.
const stallAfter = 250 * time.Millisecond

// muteStallAfter is the same for a router that has no carrier and is about to
// go to Fault: with short intervals that may be sooner, and nobody waits for it.
const muteStallAfter = 20 * time.Millisecond

// outdated reports whether a turn that is late by as much must not go by what
// it knows of the interfaces.
func (e *engine) outdated(late time.Duration) bool {
	if late >= stallAfter {
		return true
	}
	first := e.timers.first()
	return late >= muteStallAfter && first != nil && first.router.RidesOut()
}

// stallMost bounds how long what was missed is read first: in a flood there is
// no end to it.
const stallMost = time.Second

// stall is told that the loop did not run for a while: the process was stopped,
// the machine suspended or starved. The sockets' buffers may have filled up
// meanwhile, and what is in them is then the oldest; so their advertisements
// count from now, until all have been read. An active router that is alive
// will be heard by then, and one that was not heard at all is gone.
func (e *engine) stall(now vrrp.Instant, late time.Duration) {
	e.stalled, e.stalledAt = true, now
	e.tell(note{kind: kindWarning, level: levelWarn,
		text: "vrrpd did not run for " + vrrp.Seconds(late) + " (stopped, suspended, or starved of CPU); reading what arrived meanwhile first"})
}

// together is how soon after another an advertisement may be due and yet leave
// in the same turn, early by as much. Each turn costs tens of microseconds, and
// this is a twentieth of the shortest interval there is. As an advertisement's
// timer counts from when it was due, the same ones go together the next time,
// and the interval is kept.
const together = 500 * time.Microsecond

// advertsAtOnce is how many routers that are active advertise in one turn, at
// most as many as leave with one system call: thousands that are due together
// would keep others waiting that were active before (see plan).
const advertsAtOnce = transport.QueueSize

// takeoversAtOnce is how many backups take over in one turn, as many as leave
// with one system call. It bounds how long others' advertisements wait.
const takeoversAtOnce = transport.QueueSize

// expire fires the timers that are due, and first those of routers that are
// active already. While packets are still waiting to be read, no backup takes
// over: an advertisement may be among them.
func (e *engine) expire(now vrrp.Instant, drained bool) {
	e.sendPlanned(now)
	first := e.timers.first()
	if first != nil && e.wantsBonds(first) && first.deadline <= now.Add(refreshAhead(first)) {
		first.bondsRead = true
		e.out.readBonds()
	}
	more := false
	if first != nil && first.deadline <= now {
		until := max(now, first.deadline.Add(together))
		fired := 0
		for inst := first; inst != nil && (inst.deadline <= now || inst.deadline <= until && inst.advertisesNext()); inst = e.timers.first() {
			if inst.router.State() == vrrp.Backup {
				e.timers.postpone(inst)
				continue
			}
			if more = fired == advertsAtOnce; more {
				break
			}
			fired++
			e.timers.stop(inst)
			e.fire(now, inst)
		}
	}
	if e.crowd = false; !drained {
		return
	}
	for n := 0; n < takeoversAtOnce && !more; n++ {
		inst := e.timers.takeOverdue()
		if inst == nil {
			break
		}
		e.fire(now, inst)
		e.tookOver = now
	}
	e.crowd = e.timers.firstOverdue() != nil
}

// fire has an instance's timer expire. It may do so early, see together.
func (e *engine) fire(now vrrp.Instant, inst *instance) {
	inst.dueAt = inst.deadline
	e.step(max(now, inst.deadline), inst, vrrp.Event{Kind: vrrp.EventTimer})
	inst.dueAt = 0
}

// leavesToLease reports whether a release in place of a dead daemon leaves the
// addresses alone: nobody has taken over, and the kernel will drop them.
func (e *engine) leavesToLease(inst *instance, a vrrp.Action) bool {
	return e.replaces && a.Linger == 0 && inst.cfg.Lease > 0 && inst.cfg.Handover == "hold"
}
