package vrrp

import (
	"net/netip"
	"time"
)

// An EventKind says what happened to a router.
type EventKind uint8

const (
	// EventStartup starts a router (RFC 9568 §6.4.1). Starting twice changes nothing.
	EventStartup EventKind = iota + 1
	// EventShutdown stops it: priority 0, addresses released.
	EventShutdown
	// EventTimer says that the time set by ActionSetTimer has come.
	EventTimer
	// EventAdvertised says that this has happened Times times to an active router,
	// and that the advertisement it would have asked for has left each time; the
	// first of them, and with it all others, earlier than that time by Early.
	EventAdvertised
	// EventAdvert brings an advertisement that passed Decode and Policy.
	EventAdvert
	// EventPriority sets the effective priority (1..254; an owner keeps 255).
	EventPriority
	// EventFault sets what keeps the router from running; none lets it run again.
	EventFault
	// EventHold sets what keeps a backup from becoming active; none lifts it.
	EventHold
	// EventDemote makes the router hand over and stay down.
	EventDemote
	// EventPromote lifts a demotion.
	EventPromote
	// EventReconfigure replaces the configuration. VRID, version and family
	// make another router and do not change here.
	EventReconfigure
	// EventSource sets the address our advertisements come from.
	EventSource
	// EventAlone says that the router belongs to no group any more: the
	// faults of the other members are not its own now.
	EventAlone

	// The remaining events come from the router's Group.
	eventGroupPromote // every member is ready: become active
	eventGroupYield   // another member stopped being active, or is about to
	eventGroupStay    // … and no longer is
	eventGroupFault   // sets the faults of the other members
)

// A Demotion says how far an operator took a router down.
type Demotion uint8

const (
	NotDemoted  Demotion = iota
	Demoted              // a backup of priority 1 that never preempts
	DemotedHard          // never active
)

// An Event is what happened to a router. Which fields count is said at each.
type Event struct {
	Kind     EventKind
	Times    int           // EventAdvertised
	Early    time.Duration // EventAdvertised: less than an interval
	Advert   Received      // EventAdvert
	Priority uint8         // EventPriority
	Reasons  []string      // EventFault, EventHold: one for each cause, for a person to read
	Silent   bool          // EventFault: no advertisement can leave (the interface is down or gone)
	AtOnce   bool          // EventFault: nothing is served any more, so there is nothing to hand over
	Brief    bool          // EventFault: nothing but the carrier is missing, and may be back in a moment
	Resume   bool          // EventStartup: an earlier process was active less than ResumeWithin ago; a group goes on if all its members are started so at the same instant. EventPromote: become active at once if nobody else has
	Leave    bool          // EventStartup: an earlier process was active and ended without a word; hand over in its place
	Demotion Demotion      // EventDemote: Demoted or DemotedHard
	Force    bool          // EventDemote: stay down even if nobody takes over
	Now      bool          // EventShutdown: do not wait for anybody to take over
	Config   Config        // EventReconfigure
	Source   netip.Addr    // EventSource
}

// Received is what the election needs of an advertisement.
type Received struct {
	Source   netip.Addr
	Priority uint8
	Interval time.Duration
	At       Instant // when it arrived; the timers count from here, not from when it was read
}

// An ActionKind says what a router asks for.
type ActionKind uint8

const (
	// ActionSendAdvert: send an advertisement of the action's priority, that
	// says the action's interval.
	ActionSendAdvert ActionKind = iota + 1
	// ActionSetTimer: send EventTimer at the action's instant. It replaces the timer set before.
	ActionSetTimer
	// ActionStopTimer: there is no timer any more.
	ActionStopTimer
	// ActionHoldAddresses: the addresses must be on this node. Also asked
	// again when the configuration changed while active.
	ActionHoldAddresses
	// ActionReleaseAddresses: the addresses must leave this node. For the
	// action's linger they are served on, unannounced and without answering
	// for them: somebody else does both by now.
	ActionReleaseAddresses
	// ActionAnnounce: tell the neighbours by gratuitous ARP or unsolicited
	// neighbour advertisement where the addresses are.
	ActionAnnounce
	// ActionReport: tell people; the record says what.
	ActionReport
)

// An Action is one thing that a router asks for. Actions are carried out in
// the order given.
type Action struct {
	Kind     ActionKind
	Priority uint8         // ActionSendAdvert
	Interval time.Duration // ActionSendAdvert
	At       Instant       // ActionSetTimer
	Linger   time.Duration // ActionReleaseAddresses
	Record   Record        // ActionReport
}
