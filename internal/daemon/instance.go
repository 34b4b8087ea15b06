package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/beats"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// An identity is what makes a virtual router the same over a reload, whatever
// it is called: RFC 9568 §5.2.3 makes VRIDs unique per LAN and family.
type identity struct {
	iface  string
	family vrrp.Family
	vrid   uint8
}

func identityOf(c *config.Instance) identity {
	family := vrrp.IPv4
	if c.IPv6 {
		family = vrrp.IPv6
	}
	return identity{iface: c.Interface, family: family, vrid: c.VRID}
}

// key is the identity in one number.
func (id identity) key() uint64 {
	return beats.Key(fmt.Sprintf("%s %s %d", id.iface, id.family, id.vrid))
}

// An instance is one virtual router with all that belongs to it. It is the
// engine's alone.
type instance struct {
	cfg    *config.Instance // in the plan it is from, which never changes
	owner  string           // in whose name the keeper of addresses knows it
	id     identity
	router *vrrp.Router
	policy vrrp.Policy
	beat   *atomic.Int64 // see internal/beats
	group  *group        // nil: alone
	member int           // its place in the group
	port   *port
	waits  bool // to be started, until its port has joined the group

	slot     int  // in the timers
	inRow    bool // of those overdue
	rank     int  // among timers due at the same moment; 0: none was set yet
	deadline vrrp.Instant
	// bondsRead: the bonds underneath were read in view of this deadline.
	bondsRead bool

	destinations []netip.Addr
	adverts      [][]byte          // the encoded advertisement for each destination, nil: encode anew
	advertPrio   uint8             // its priority
	form         vrrp.ChecksumForm // in use for version 3 over IPv4
	learned      bool              // form was heard from a peer

	parts  []healthcheck.Part // what moves the priority now
	faults []string
	holds  []string

	justHeld     bool         // the addresses were asked for in this very step
	since        time.Time    // of the state
	cause        string       // why it is in it
	promotedAt   time.Time    // when its timer fired, while the takeover is not complete
	dueAt        vrrp.Instant // when the timer that fires now was due; 0: no timer fires
	transitions  map[transitionKey]uint64
	transitioned uint64 // their sum
	sent         uint64
	sendFailed   uint64
	received     uint64
	dropped      *dropped // nil: nothing was, which is the rule
	sendTold     vrrp.Instant
	failing      bool         // not all of its last advertisement has left
	mismatch     mismatch     // what a peer's advertisement differed in, as last told
	mismatched   vrrp.Instant // when
	familiar     bool         // the next advertisement like the last one may be heard later
	heard        bool         // any valid advertisement, since the daemon started

	conditions []control.Condition // in force, the oldest first
	conflicts  uint64              // claims of other hosts to the addresses, so far
	contested  []vip.Address       // those claimed now

	until     time.Time // a demotion by --for ends
	persist   bool      // a demotion survives a restart
	demotion  int       // counts demotions, so that a stale end is not taken for this one's
	successor chan struct{}
	ear       *ear // of a drill; nil: nobody listens
}

// A dropped is what was rejected of the packets for an instance.
type dropped struct {
	counts [32]uint64       // by vrrp.Reason
	told   [32]vrrp.Instant // when people last heard of it
}

type transitionKey struct {
	to    vrrp.State
	cause vrrp.Cause
}

func newInstance(c *config.Instance, form vrrp.ChecksumForm, beat *atomic.Int64) *instance {
	inst := &instance{id: identityOf(c), beat: beat, slot: noSlot, since: time.Now(), cause: "not started yet",
		transitions: map[transitionKey]uint64{}}
	inst.form, inst.learned = form, form != 0
	inst.cfg = c
	inst.router = vrrp.NewRouter(inst.routerConfig())
	inst.configure(c)
	return inst
}

// configure takes a configuration over, the router's own part excepted.
func (i *instance) configure(c *config.Instance) {
	i.cfg, i.owner = c, c.Name
	i.policy = vrrp.Policy{Version: vrrp.Version(c.Version), Interval: c.AdvertInterval, Password: c.Password,
		Strict: c.Strict, Source: i.router.Source(), MinTTL: 255}
	switch {
	case c.Unicast != nil:
		i.policy.Peers, i.policy.MinTTL = c.Unicast.Peers, c.Unicast.MinTTL
		i.destinations = c.Unicast.Peers
	case c.IPv6:
		i.destinations = []netip.Addr{transport.GroupIPv6}
	default:
		i.destinations = []netip.Addr{transport.GroupIPv4}
	}
	switch c.Checksum {
	case "rfc9568":
		i.form, i.learned = vrrp.ChecksumMessage, false
	case "pseudo_header":
		i.form, i.learned = vrrp.ChecksumPseudoHeader, false
	default:
		if !i.learned {
			i.form = vrrp.ChecksumPseudoHeader
		}
	}
	i.adverts = nil
}

func (i *instance) routerConfig() vrrp.Config {
	c := i.cfg
	rc := vrrp.Config{VRID: c.VRID, Version: vrrp.Version(c.Version), Family: i.id.family, Priority: c.Priority,
		AdvertInterval: c.AdvertInterval, Preempt: c.Preempt, PreemptDelay: c.PreemptDelay, StartDelay: c.StartDelay, Strict: c.Strict}
	if c.Handover == "hold" {
		rc.HandoverTimeout = c.HandoverTimeout
	}
	for _, a := range c.Addresses {
		rc.Addresses = append(rc.Addresses, a.Prefix.Addr())
	}
	return rc
}

// want is what the addresses should be.
func (i *instance) want(hold bool) vip.Want {
	w := vip.Want{Hold: hold, Owner: i.cfg.Owner(), Lease: i.cfg.Lease, Conflicts: conflictPolicies[i.cfg.Conflict], Announce: vip.Announce{
		Burst: i.cfg.Announce.Burst, Spacing: announceSpacing, Again: i.cfg.Announce.Again, Refresh: i.cfg.Announce.Refresh}}
	for _, list := range [][]config.Address{i.cfg.Addresses, i.cfg.Extra} {
		for _, a := range list {
			w.Addresses = append(w.Addresses, vip.Address{Prefix: a.Prefix, Interface: a.Interface, Label: a.Label})
		}
	}
	return w
}

var conflictPolicies = map[string]vip.Conflicts{"report": vip.WatchConflicts, "defend": vip.DefendConflicts}

// announceSpacing parts the announcements of a burst. One second is what
// Linux waits before it believes a second change (locktime); the second burst
// (announce.again) is there for that.
const announceSpacing = 200 * time.Millisecond

// advertisesNext reports whether all that the timer will do is to advertise
// once more.
func (i *instance) advertisesNext() bool {
	return i.router.State() == vrrp.Active && !i.router.HandingOver() && !i.router.RidesOut()
}

// frames returns the advertisement of a priority, encoded once for each
// destination, since the checksum covers it in most forms. The bytes are
// never changed once made, so that they may wait in a queue.
func (i *instance) frames(priority uint8, interval time.Duration) [][]byte {
	rc := i.router.Config()
	usual := interval == rc.AdvertInterval
	if usual && i.adverts != nil && i.advertPrio == priority {
		return i.adverts
	}
	a := vrrp.Advert{Version: rc.Version, VRID: rc.VRID, Priority: priority, Interval: interval, Addresses: rc.Addresses, Checksum: i.form}
	if i.cfg.Password != "" {
		a.AuthType, a.AuthData = vrrp.AuthPass, vrrp.PasswordData(i.cfg.Password)
	}
	frames := make([][]byte, len(i.destinations))
	for n, dst := range i.destinations {
		frames[n] = a.Append(nil, i.router.Source(), dst)
	}
	if usual && priority != vrrp.PriorityRelease { // which is sent once, between two that are sent often
		i.adverts, i.advertPrio = frames, priority
	}
	return frames
}

// A mismatch is what a peer's advertisement does not agree in; the zero
// mismatch is none.
type mismatch struct {
	interval  time.Duration // the peer's, if it is another
	addresses bool
}

// compare tells, once for each difference and at most once a minute, what a
// peer's advertisement does not agree in. RFC 9568 §7.1 has it logged and
// accepted. With two peers that differ, one would follow the other for ever;
// so a difference that is gone is remembered for that minute too.
func (i *instance) compare(now vrrp.Instant, a *vrrp.Advert, from netip.Addr) string {
	rc := i.router.Config()
	var m mismatch
	switch {
	case a.Interval != rc.AdvertInterval:
		m.interval = a.Interval
	case !sameAddresses(a.Addresses, rc.Addresses):
		m.addresses = true
	}
	if m == i.mismatch || i.mismatched != 0 && now.Sub(i.mismatched) < tellEvery {
		return ""
	}
	i.mismatch = m
	switch {
	case m.interval != 0:
		i.mismatched = now
		return from.String() + " advertises every " + m.interval.String() + ", this node every " + rc.AdvertInterval.String()
	case m.addresses:
		i.mismatched = now
		return from.String() + " advertises other addresses than are configured here"
	}
	return ""
}

// sameAddresses compares two lists whatever their order.
func sameAddresses(a, b []netip.Addr) bool {
	if slices.Equal(a, b) {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}
