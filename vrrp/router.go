package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// announceGap is the least time between two announcements caused by losing
// advertisements: with thousands of addresses behind each, more would let a
// stranger use us as an amplifier.
const announceGap = time.Second

// A Config is a virtual router's configuration.
type Config struct {
	VRID     uint8
	Version  Version
	Family   Family
	Priority uint8 // as configured, 1..255
	// AdvertInterval is Advertisement_Interval.
	AdvertInterval time.Duration
	Preempt        bool          // Preempt_Mode
	PreemptDelay   time.Duration // from the first lower advertisement heard
	StartDelay     time.Duration // from EventStartup until the router takes part
	Addresses      []netip.Addr  // for the receiver's comparison and to see a change
	Strict         bool          // version 2: do not answer losing advertisements
	// HandoverTimeout is how long a router that leaves on purpose goes on
	// serving while nobody takes over; 0 releases the addresses with the
	// first advertisement of priority 0, as the RFC has it.
	HandoverTimeout time.Duration
}

// An ActiveRouter is the router that is active, as far as its advertisements
// tell.
type ActiveRouter struct {
	Address  netip.Addr
	Priority uint8
	Interval time.Duration // its Max Advertise Interval
	Heard    Instant       // its last advertisement
}

// A Router is the election of one virtual router on one node: the state
// machine of RFC 9568 §6.4 with that of RFC 3768 §6.4 where version 2 differs.
// It is not safe for concurrent use.
type Router struct {
	cfg       Config
	state     State
	started   bool
	startAt   Instant // the start delay ends
	source    netip.Addr
	effective uint8
	demotion  Demotion
	forced    bool // demoted even if nobody takes over

	faults      []string // our own
	groupFaults []string // of the other members of the group
	silent      bool     // no advertisement can leave
	atOnce      bool     // nothing is served any more
	brief       bool     // nothing but the carrier is missing
	holds       []string

	now      Instant // of the step
	deadline Instant
	armed    bool

	// Backup.
	active         ActiveRouter  // zero: nobody known
	activeInterval time.Duration // Active_Adver_Interval
	base           Instant       // the down timer counts from here
	left           bool          // the active router said priority 0: wait for Skew_Time only
	preempting     bool          // the last advertisement heard was below ours
	preemptAt      Instant       // with a preempt delay: when it ends; 0: it does not run
	expired        bool          // the down timer fired, but something held us back
	gaveUp         bool          // we were active, left to nobody, and have heard nobody since
	resuming       bool          // we go on where an earlier process ended, when the group can

	// Active.
	spoke     Instant   // the last advertisement
	losing    allowance // answers to losing advertisements
	releases  allowance // answers to priority 0
	announced Instant   // last announcement for a losing advertisement
	rival     rival
	mute      Instant // no carrier: active until then all the same; 0: there is one

	leaving    purpose // it has said priority 0 and serves until somebody takes over
	leaveUntil Instant

	group    bool // a member of a Group
	follower bool // … and not its first
	joining  bool // … which was active before, and does not count this one yet
	tieSince Instant

	actions []Action // reused by every Step
}

// NewRouter returns a router in Initialize.
func NewRouter(cfg Config) *Router {
	return &Router{cfg: cfg, state: Initialize, effective: cfg.Priority, activeInterval: cfg.AdvertInterval}
}

// usualActions is how many there are when nothing happens: an active router
// sends and sets its timer, a backup sets its timer.
const usualActions = 2

// Step tells the router what happened at now and returns what to do, in
// order. The slice is good until the next call.
func (r *Router) Step(now Instant, e Event) []Action {
	if cap(r.actions) > usualActions { // a change of state had more; they are large, and routers many
		r.actions = make([]Action, 0, usualActions)
	}
	r.actions, r.now = r.actions[:0], now
	switch e.Kind {
	case EventStartup:
		r.startup(now, e)
	case EventShutdown:
		r.shutdown(now, e.Now)
	case EventTimer:
		r.timer(now)
	case EventAdvertised:
		r.advertised(now, e.Times, e.Early)
	case EventAdvert:
		r.advert(now, e.Advert)
	case EventPriority:
		r.setPriority(now, e.Priority)
	case EventFault:
		r.faults, r.silent, r.atOnce, r.brief = slices.Clone(e.Reasons), e.Silent, e.AtOnce, e.Brief
		r.faultsChanged(now)
	case eventGroupFault:
		r.groupFaults = slices.Clone(e.Reasons)
		r.faultsChanged(now)
	case EventHold:
		r.holds = slices.Clone(e.Reasons)
		r.retry(now)
	case EventDemote:
		r.demote(now, e.Demotion, e.Force)
	case EventPromote:
		r.promote(now, e.Resume)
	case EventReconfigure:
		r.reconfigure(now, e.Config)
	case EventSource:
		r.setSource(now, e.Source)
	case EventAlone:
		r.groupFaults = nil
		r.faultsChanged(now)
		r.retry(now)
	case eventGroupPromote:
		if r.Ready() {
			r.becomeActive(now, r.takeoverRecord(now))
		}
	case eventGroupYield:
		if r.state == Active && !r.leave(now, leaveGroup) {
			r.send(PriorityRelease)
			r.becomeBackup(now, r.cfg.AdvertInterval, 0, Record{Cause: CauseGroup})
		}
	case eventGroupStay:
		r.stay(now, leaveGroup)
	}
	return r.actions
}

// startup is RFC 9568 §6.4.1.
func (r *Router) startup(now Instant, e Event) {
	if r.started {
		return
	}
	r.started = true
	switch {
	case e.Leave:
		r.takeLeave(now)
		return
	case e.Resume && r.resume(now):
		return
	}
	r.startAt = now.Add(r.cfg.StartDelay)
	if r.faulty() {
		r.transition(Fault, Record{Cause: CauseFault, Reasons: r.Faults()})
		return
	}
	r.begin(now, CauseStartup)
}

// begin leaves Initialize or Fault. The start delay counts from the start,
// whatever was at fault meanwhile.
func (r *Router) begin(now Instant, cause Cause) {
	if now < r.startAt {
		r.transition(Initialize, Record{Cause: cause})
		r.setTimer(r.startAt)
		return
	}
	r.active, r.gaveUp = ActiveRouter{}, false
	r.activeInterval = r.cfg.AdvertInterval
	r.left, r.preempting, r.preemptAt, r.expired, r.resuming = false, false, 0, false, false
	r.base = now
	if r.Priority() == PriorityOwner && !r.group && !r.blocked() {
		r.becomeActive(now, Record{Cause: CauseOwner})
		return
	}
	r.transition(Backup, Record{Cause: cause})
	r.armDown()
}

// shutdown stops the router: an active one when somebody has taken over, or
// at once.
func (r *Router) shutdown(now Instant, atOnce bool) {
	if !r.started || !atOnce && r.leave(now, leaveShutdown) {
		return
	}
	r.stopTimer()
	if r.state == Active && r.leaving == 0 {
		r.send(PriorityRelease)
	}
	r.end(0)
}

// end is the end of a shutdown.
func (r *Router) end(linger time.Duration) {
	r.started = false
	r.stopTimer()
	if r.state == Active {
		r.do(Action{Kind: ActionReleaseAddresses, Linger: linger})
	}
	r.leaving, r.mute = 0, 0
	r.transition(Initialize, Record{Cause: CauseShutdown})
}

// timer handles the one timer a router has: the start delay in Initialize,
// Active_Down_Timer in Backup, Adver_Timer in Active. One that was set anew
// or stopped meanwhile is ignored.
func (r *Router) timer(now Instant) {
	if !r.armed || now < r.deadline {
		return
	}
	switch r.state {
	case Initialize:
		r.begin(now, CauseStartup)
	case Backup:
		r.armed, r.expired, r.resuming = false, true, false
		r.retry(now)
		if r.state == Active {
			return
		}
		r.do(Action{Kind: ActionStopTimer})
		if r.blocked() {
			r.report(Record{Cause: CauseHeld, Reasons: r.Holds()})
		}
	case Active:
		switch {
		case r.leaving != 0:
			r.leavingTimer(now)
			return
		case r.mute != 0:
			r.muteEnds(now)
			return
		}
		r.send(r.Priority())
		// Counted from the deadline, not from now, so that a late wake-up
		// does not add up; unless it was later than a whole interval.
		next := r.deadline.Add(r.cfg.AdvertInterval)
		if next <= now {
			next = now.Add(r.cfg.AdvertInterval)
		}
		r.setTimer(next)
		r.checkRival(now)
	}
}

// advertised is timer for what has happened already.
func (r *Router) advertised(now Instant, times int, early time.Duration) {
	if r.state != Active || r.leaving != 0 || r.mute != 0 || !r.armed || times <= 0 {
		return
	}
	r.spoke = r.deadline.Add(time.Duration(times-1)*r.cfg.AdvertInterval - early)
	r.setTimer(r.spoke.Add(r.cfg.AdvertInterval))
	r.checkRival(now)
}

// retry takes over if the down timer fired and nothing holds us back any
// more. A member of a group waits for the others.
func (r *Router) retry(now Instant) {
	if !r.group && r.Ready() {
		r.becomeActive(now, r.takeoverRecord(now))
	}
}

// becomeActive is RFC 9568 §6.4.2 (115..165) and the owner's part of §6.4.1.
// The order of the actions is the RFC's: the advertisement leaves first.
func (r *Router) becomeActive(now Instant, why Record) {
	r.expired, r.left, r.preempting, r.preemptAt = false, false, false, 0
	r.losing, r.releases, r.announced, r.tieSince, r.rival = allowance{}, allowance{}, 0, 0, rival{}
	r.leaving, r.mute, r.resuming = 0, 0, false
	r.send(r.Priority())
	r.do(Action{Kind: ActionHoldAddresses})
	r.do(Action{Kind: ActionAnnounce})
	r.setTimer(now.Add(r.cfg.AdvertInterval))
	r.transition(Active, why)
}

// becomeBackup is the way from Active to Backup (RFC 9568 §6.4.3). The
// addresses leave in an action of their own; with a linger they are
// served on, unannounced, for that long.
func (r *Router) becomeBackup(base Instant, interval, linger time.Duration, why Record) {
	if r.mute != 0 && r.faulty() { // it has no carrier: not Backup either
		r.fail(linger)
		return
	}
	r.mute = 0
	r.leaving, r.gaveUp = 0, !why.Peer.IsValid()
	r.learn(interval)
	r.base, r.left, r.preempting, r.preemptAt, r.expired, r.resuming = base, false, false, 0, false, false
	r.armDown()
	r.do(Action{Kind: ActionReleaseAddresses, Linger: linger})
	r.transition(Backup, why)
}

// faultsChanged follows a change of what keeps the router from running.
func (r *Router) faultsChanged(now Instant) {
	faulty := r.faulty()
	switch {
	case !r.started:
	case faulty && r.state == Active && r.rideOut(now):
	case faulty && r.state == Active && r.leave(now, leaveFault):
	case faulty && r.state != Fault:
		r.stopTimer()
		if r.state == Active && r.leaving == 0 && !r.silent {
			r.send(PriorityRelease)
		}
		r.fail(0)
	case !faulty && r.state == Active && r.mute != 0:
		if now < r.mute {
			r.speakAgain(now)
		} // else somebody may have taken over: what has arrived counts before the timer
	case !faulty && r.state == Active:
		r.stay(now, leaveFault)
	case !faulty && r.state == Fault:
		r.begin(now, CauseFaultCleared)
	}
}

// fail goes to Fault.
func (r *Router) fail(linger time.Duration) {
	r.stopTimer()
	if r.state == Active {
		r.do(Action{Kind: ActionReleaseAddresses, Linger: linger})
	}
	r.active, r.leaving, r.mute = ActiveRouter{}, 0, 0
	r.transition(Fault, Record{Cause: CauseFault, Reasons: r.Faults()})
}

func (r *Router) setPriority(now Instant, p uint8) {
	before := r.Priority()
	r.effective = p
	r.priorityChanged(now, before)
}

// priorityChanged advertises a new priority at once while active; a backup's
// down timer moves with its skew, counted from where it was counted before.
func (r *Router) priorityChanged(now Instant, before uint8) {
	if r.Priority() == before {
		return
	}
	switch r.state {
	case Active:
		r.readvertise(now)
	case Backup:
		r.rearmDown(now)
	}
}

// readvertise tells the others at once that something about us changed.
func (r *Router) readvertise(now Instant) {
	if r.leaving != 0 || r.mute != 0 {
		return // it has said that it leaves, or cannot say anything
	}
	r.send(r.Priority())
	r.setTimer(now.Add(r.cfg.AdvertInterval))
}

func (r *Router) setSource(now Instant, source netip.Addr) {
	if source == r.source {
		return
	}
	r.source = source
	if r.state == Active && source.IsValid() {
		r.readvertise(now)
	}
}

func (r *Router) demote(now Instant, d Demotion, force bool) {
	if d == r.demotion || d == NotDemoted {
		return
	}
	first := r.demotion == NotDemoted
	r.demotion = d
	r.forced = force
	if r.state == Active && (first || d == DemotedHard) {
		if r.leave(now, leaveDemotion) {
			return
		}
		r.send(PriorityRelease)
		r.becomeBackup(now, r.cfg.AdvertInterval, 0, Record{Cause: CauseDemoted})
		return
	}
	r.report(Record{Cause: CauseDemoted})
	if r.state == Backup {
		// The last to take over: an owner that was held back, for one, has
		// not listened to anybody yet.
		r.expired = r.expired && r.downDeadline() <= now
		r.rearmDown(now)
	}
}

func (r *Router) promote(now Instant, resume bool) {
	if r.demotion == NotDemoted {
		return
	}
	before := r.Priority()
	// Silence tells something only to the router that was the active one.
	alone := r.state == Backup && r.gaveUp
	r.demotion = NotDemoted
	if resume && alone && !r.blocked() && !r.group {
		r.becomeActive(now, Record{Cause: CausePromoted})
		return
	}
	r.report(Record{Cause: CausePromoted})
	switch {
	case r.leaving == leaveDemotion:
		r.stay(now, leaveDemotion)
	case resume && alone:
		r.stopTimer()
		r.expired = true
	case r.state == Backup:
		r.rearmDown(now)
	default:
		r.priorityChanged(now, before)
	}
	r.retry(now)
}

// reconfigure takes a new configuration over without leaving the state.
func (r *Router) reconfigure(now Instant, cfg Config) {
	old, before := r.cfg, r.Priority()
	r.cfg = cfg
	addresses := !slices.Equal(old.Addresses, cfg.Addresses)
	interval := old.AdvertInterval != cfg.AdvertInterval
	switch r.state {
	case Active:
		r.do(Action{Kind: ActionHoldAddresses})
		if addresses || interval || r.Priority() != before {
			r.readvertise(now)
		}
	case Backup:
		if interval && (cfg.Version == V2 || !r.active.Address.IsValid()) {
			r.activeInterval = cfg.AdvertInterval
		}
		r.rearmDown(now)
	}
}
