package sim

import (
	"net/netip"

	"vrrpd/vrrp"
)

// What the judge knows of routers that are active beside each other.

// better is the order of active routers (RFC 9568 §6.4.3).
func better(p uint8, a netip.Addr, q uint8, b netip.Addr) bool {
	return p > q || p == q && b.Less(a)
}

// putsUp: an active router that hears a better one gives way, at once; the
// followers of a group may leave a tie to its first member for a while.
func (j *judge) putsUp(m *member, a vrrp.Received) {
	now, v := j.s.now, &m.notes
	if a.Priority == vrrp.PriorityRelease || !better(a.Priority, a.Source, m.Priority(), m.Source()) {
		return
	}
	if a.Priority > m.Priority() || !m.node.grouped || m.lan == 0 {
		j.fail(m, "with priority %d stays active beside %s with %d", m.Priority(), a.Source, a.Priority)
		return
	}
	if v.tieLast < v.activeSince || now.Sub(v.tieLast) > j.s.atMost(a.Interval)+slack {
		v.tieSince = now
	}
	v.tieLast = now
	if d := now.Sub(v.tieSince); d > j.s.atMost(m.Config().AdvertInterval+a.Interval)+slack {
		j.fail(m, "leaves a tie to its group for %s", d)
	}
}

// rivals: two active routers do not last where messages get through.
func (j *judge) rivals(lan int) {
	var active [8]*member
	n := 0
	for _, node := range j.s.nodes {
		if node.alive && !node.paused && lan < len(node.routers) && node.routers[lan].State() == vrrp.Active {
			active[n] = node.routers[lan]
			n++
		}
	}
	for i, a := range active[:n] {
		for _, b := range active[:i] {
			if a.HandingOver() || !b.HandingOver() && better(b.Priority(), b.Source(), a.Priority(), a.Source()) {
				j.rival(b, a)
			} else {
				j.rival(a, b)
			}
		}
	}
}

func (j *judge) rival(winner, loser *member) {
	if winner.HandingOver() || winner.RidesOut() || loser.RidesOut() {
		return
	}
	w, l := &winner.notes, &loser.notes
	link := j.s.links[way{winner.node.index, loser.node.index, winner.lan}]
	since := max(w.activeSince, w.changed, l.activeSince, l.changed, link.lost)
	bound := winner.lasts(winner.Config().AdvertInterval) + slack
	if winner.Priority() == loser.Priority() && loser.node.grouped && loser.lan > 0 {
		bound += j.s.atMost(loser.Config().AdvertInterval + winner.Config().AdvertInterval)
	}
	if both := j.s.now.Sub(since); both > bound {
		j.fail(loser, "is active beside %s, which is better, for %s", winner.node.Name, both)
	}
}
