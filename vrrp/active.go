package vrrp

import (
	"net/netip"
	"time"
)

// releaseAnswers is how many advertisements of priority 0 are answered in an
// interval. Each sends the backups into Skew_Time, so each of a usual series
// must be answered; a flood must not be.
const releaseAnswers = 4

// advertInActive is RFC 9568 §6.4.3 (400..480). Preempt_Mode is not asked
// here: an active router yields to a better one in any case.
func (r *Router) advertInActive(now Instant, a Received) {
	own := r.Priority()
	switch {
	case r.leaving != 0:
		r.advertWhileLeaving(now, a)
	case a.Priority != PriorityRelease && a.Source != r.source && r.wasFrozen(now):
		r.thaw(now, a)
	case a.Priority == PriorityRelease:
		if r.releases.take(now, r.cfg.AdvertInterval, releaseAnswers) {
			r.readvertise(now)
		}
		r.announceAgain(now) // whoever leaves was active, and has announced
	case a.Source == r.source:
		r.noteRival(now, a, CauseSameAddress)
	case a.Priority > own:
		r.yield(a, CauseHigherPriority)
	case a.Priority == own && r.source.Less(a.Source) && !r.waitForLeader(now, a.Interval):
		if own == PriorityOwner {
			r.report(Record{Cause: CauseOwnerConflict, Peer: a.Source, Priority: a.Priority})
		}
		r.yield(a, CauseHigherAddress)
	default:
		r.losingAdvert(now, a)
	}
}

// yield follows a better router. That one may never have heard us: when a
// partition heals, whoever is heard first decides, and if it is the better one
// it learns nothing of the neighbours that were told ours was the address. So
// we advertise once more, which it answers like any that loses: by telling
// everybody again. On the wire this is an advertisement that crossed its own.
func (r *Router) yield(a Received, cause Cause) {
	own := r.Priority()
	if r.mute == 0 {
		r.sendAt(own, a.Interval)
	}
	r.active = ActiveRouter{Address: a.Source, Priority: a.Priority, Interval: a.Interval, Heard: a.At}
	r.becomeBackup(a.At, a.Interval, r.linger(), Record{Cause: cause, Peer: a.Source, Priority: a.Priority, Own: own})
}

// losingAdvert answers a router that should not be active with an
// advertisement at once (RFC 9568 §6.4.3; RFC 3768 is silent, but keepalived
// answers too, and only strict version 2 does not), and tells the neighbours
// again whose the addresses are, for it may have told them otherwise. Both
// are limited, so that nobody can use us to flood the network.
func (r *Router) losingAdvert(now Instant, a Received) {
	if r.mute != 0 {
		return // nobody would hear the answer; everybody is told when the carrier is back
	}
	if (r.cfg.Version == V3 || !r.cfg.Strict) && r.losing.take(now, r.cfg.AdvertInterval, 1) {
		r.send(r.Priority())
	}
	r.announceAgain(now)
	cause := CauseDualActive
	if a.Priority == PriorityOwner {
		cause = CauseOwnerConflict
	}
	r.noteRival(now, a, cause)
}

// announceAgain tells the neighbours once more whose the addresses are, unless
// that was done because of somebody else just before.
func (r *Router) announceAgain(now Instant) {
	if r.mute == 0 && (r.announced == 0 || now.Sub(r.announced) >= announceGap) {
		r.announced = now
		r.do(Action{Kind: ActionAnnounce})
	}
}

// An allowance limits answers to a number in each interval.
type allowance struct {
	since Instant
	used  int
}

func (l *allowance) take(now Instant, interval time.Duration, limit int) bool {
	if l.used == 0 || now.Sub(l.since) >= interval {
		*l = allowance{since: now}
	}
	if l.used >= limit {
		return false
	}
	l.used++
	return true
}

// waitForLeader keeps the tie-break of a group in one hand. With equal
// priorities, the addresses of one family may favour this node and those of
// the other the peer; if each member yielded by itself, both groups would go
// down together, again and again. So a follower gives the group's first
// member one interval to settle it, and yields only if the peer goes on. The
// peer may advertise less often than we do.
func (r *Router) waitForLeader(now Instant, interval time.Duration) bool {
	if !r.follower {
		return false
	}
	if r.tieSince == 0 || now.Sub(r.tieSince) > 3*max(interval, r.cfg.AdvertInterval) {
		r.tieSince = now
	}
	return now.Sub(r.tieSince) < r.cfg.AdvertInterval
}

// A rival is another router that is active beside us although it loses
// against us: it does not hear us (RFC 9568 knows no remedy; an operator does).
type rival struct {
	addr     netip.Addr
	priority uint8
	since    Instant
	last     Instant
	interval time.Duration
	count    int
	reported bool
}

// rivalCount is how many losing advertisements in a row, the first ones being
// usual when a partition heals, make a rival.
const rivalCount = 3

func (r *Router) noteRival(now Instant, a Received, cause Cause) {
	v := &r.rival
	if v.count == 0 || now.Sub(v.last) > v.patience() || v.addr != a.Source {
		reported := v.reported && v.addr == a.Source
		*v = rival{addr: a.Source, since: now, reported: reported}
	}
	v.priority, v.interval, v.last = a.Priority, max(a.Interval, r.cfg.AdvertInterval), now
	v.count++
	if !v.reported && v.count >= rivalCount && now.Sub(v.since) >= 2*r.cfg.AdvertInterval {
		v.reported = true
		r.report(Record{Cause: cause, Peer: a.Source, Priority: a.Priority, Own: r.Priority()})
	}
}

// patience is how long a rival may be silent before it is believed gone.
func (v *rival) patience() time.Duration { return 3*v.interval + v.interval/2 }

// checkRival notices that a rival is gone.
func (r *Router) checkRival(now Instant) {
	if v := &r.rival; v.count > 0 && now.Sub(v.last) > v.patience() {
		if v.reported {
			r.report(Record{Cause: CauseDualResolved, Peer: v.addr, Priority: v.priority})
		}
		*v = rival{}
	}
}
