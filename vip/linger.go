package vip

import (
	"net/netip"
	"time"
)

// This file plans the quiet stage of a handover: what a linger needs, and what
// is left over from those that ended.

// A standIn serves packets for an address that left its interface: the address
// on the loopback interface or, link-local ones being local only to their own
// interface, a local route.
type standIn struct {
	addr Address
	duty *duty
	at   spot
}

func (s *standIn) prefix() netip.Prefix { return hostPrefix(s.at.ip) }

// route returns the local route of a link-local address.
func (s *standIn) route() route { return route{index: s.at.index, to: s.prefix(), local: true} }

func (s *standIn) isRoute() bool { return localRouted(s.at.ip) }

// localRouted reports whether ip is served by a local route.
func localRouted(ip netip.Addr) bool { return ip.Is6() && ip.IsLinkLocalUnicast() }

func hostPrefix(ip netip.Addr) netip.Prefix { return netip.PrefixFrom(ip, ip.BitLen()) }

// standInSpot returns where a goal's stand-in is or would be.
func standInSpot(g *goal, v *view) (spot, bool) {
	ip := g.addr.Prefix.Addr()
	switch {
	case localRouted(ip) && g.link != nil:
		return spot{g.link.index, ip}, true
	case !localRouted(ip) && v.loopback != nil:
		return spot{v.loopback.index, ip}, true
	}
	return spot{}, false
}

// A lingerPlan is what lingers want, and what is there beyond that.
type lingerPlan struct {
	begin  []*goal // leave their interface in this pass and need a stand-in
	refuse []*goal // would need one, but there is no place for it
	wanted map[spot]bool
	// routes, by subnet: the source address that a route for the neighbours is
	// to prefer. The kernel's own went with the last address of the subnet.
	routes map[place]netip.Addr
	hushed map[int]bool // interfaces that must not answer ARP for stand-ins
	until  time.Time    // when the first linger ends
	last   time.Time    // when the last one does

	end      []*standIn
	leftover []leftover
}

// A leftover is a stand-in of an earlier process.
type leftover struct {
	entry *entry
	goal  *goal
}

// planLingers compares like diff, whose plan p it starts from: the removals of
// addresses that are to linger are in it.
func (w *worker) planLingers(p plan, now time.Time) lingerPlan {
	q := lingerPlan{wanted: map[spot]bool{}, routes: map[place]netip.Addr{}, hushed: map[int]bool{}}
	w.forgetStandIns()
	for _, r := range p.remove {
		g := r.goal
		if g == nil || r.ours == nil || !g.lingers(now) || r.entry.prefix != g.addr.Prefix || !g.link.up || g.link.loops {
			continue
		}
		switch at, ok := standInSpot(g, w.view); {
		case !ok || !w.view.loopback.isUp() || g.link.vrf:
			q.refuse = append(q.refuse, g)
		case w.standIns[at] == nil:
			q.begin = append(q.begin, g)
			q.wanted[at] = true
		}
	}
	if len(w.standIns)+len(q.begin) > 0 {
		w.planStay(p, &q, now)
	}
	for at, s := range w.standIns {
		if !q.wanted[at] {
			q.end = append(q.end, s)
		}
	}
	if len(w.view.marked) > 0 {
		q.leftover = w.findLeftovers()
	}
	return q
}

func (l *link) isUp() bool { return l != nil && l.up }

// lingers reports whether g's address is to be served off its interface.
func (g *goal) lingers(now time.Time) bool { return !g.hold && now.Before(g.until) }

// planStay plans what goes with the stand-ins there are and will be.
func (w *worker) planStay(p plan, q *lingerPlan, now time.Time) {
	var stay []*goal
	for _, g := range w.goals {
		if !g.lingers(now) || g.link == nil {
			continue
		}
		at, ok := standInSpot(g, w.view)
		if !ok || w.standIns[at] == nil && !q.wanted[at] {
			continue
		}
		q.wanted[at] = true
		stay = append(stay, g)
		if q.until.IsZero() || g.until.Before(q.until) {
			q.until = g.until
		}
		if g.until.After(q.last) {
			q.last = g.until
		}
		if g.addr.Prefix.Addr().Is4() {
			q.hushed[g.link.index] = true
		}
	}
	if len(stay) == 0 {
		return
	}
	connected := w.connected(p)
	for _, g := range stay {
		sub := place{g.link.index, g.addr.Prefix.Masked()}
		if g.addr.Prefix.IsSingleIP() || connected[sub] {
			continue
		}
		if _, planned := q.routes[sub]; !planned {
			q.routes[sub] = g.source()
			// The one that is there serves as well as any.
			if from, there := w.routes[sub]; there && from.IsValid() && q.wanted[spot{w.view.loopback.index, from}] {
				q.routes[sub] = from
			}
		}
	}
}

// source returns what a route to the subnet of g prefers, as the kernel's did.
// IPv6 chooses by other rules (RFC 6724).
func (g *goal) source() netip.Addr {
	if ip := g.addr.Prefix.Addr(); ip.Is4() {
		return ip
	}
	return netip.Addr{}
}

// connected returns the subnets in which an interface keeps an address when p
// is done: the kernel has a route to their neighbours.
func (w *worker) connected(p plan) map[place]bool {
	leaving := make(map[*entry]bool, len(p.remove))
	for _, r := range p.remove {
		leaving[r.entry] = true
	}
	connected := make(map[place]bool)
	for _, e := range w.view.list {
		if !leaving[e] {
			connected[subnet(e)] = true
		}
	}
	return connected
}

// forgetStandIns forgets those that somebody else removed.
func (w *worker) forgetStandIns() {
	for at, s := range w.standIns {
		if !s.isRoute() && w.view.find(place{at.index, s.prefix()}) == nil {
			delete(w.standIns, at)
		}
	}
}

// findLeftovers finds the loopback addresses of earlier processes: those that
// carry the mark, are configured for another interface, and are not stand-ins.
// Other people put virtual addresses there on purpose; theirs have no mark.
func (w *worker) findLeftovers() []leftover {
	var found []leftover
	var byIP map[netip.Addr]*goal
	for _, e := range w.view.marked {
		if !e.prefix.IsSingleIP() || w.standIns[e.spot()] != nil || w.ours[e.place()] != nil {
			continue
		}
		if byIP == nil {
			byIP = make(map[netip.Addr]*goal, len(w.goals))
			for _, g := range w.goals {
				ip := g.addr.Prefix.Addr()
				if other := byIP[ip]; other == nil || g.link == w.view.loopback {
					byIP[ip] = g
				}
			}
		}
		if g := byIP[e.prefix.Addr()]; g != nil && g.addr.Interface != w.view.loopback.name {
			found = append(found, leftover{e, g})
		}
	}
	return found
}
