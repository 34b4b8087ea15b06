package vip

import "time"

// A plan is the difference between what is wanted and what the kernel has.
type plan struct {
	remove []removal
	add    []*goal
	// What must wait for its pace: when the first is due, and how many.
	later   time.Time
	waiting int
}

// A removal is an address to be removed.
type removal struct {
	entry *entry
	goal  *goal    // that it is in the way of; nil: no longer listed by anybody
	ours  *holding // nil: somebody else put it there
}

func (p *plan) postpone(until time.Time) {
	p.waiting++
	if p.later.IsZero() || until.Before(p.later) {
		p.later = until
	}
}

// diff compares. It writes what it found into the goals, forgets holdings that
// the kernel no longer has, and touches nothing else.
func diff(goals []*goal, ours map[place]*holding, v *view, now time.Time) plan {
	var p plan
	wanted := make(map[place]bool, len(goals))
	for _, g := range goals {
		g.link, g.entry, g.blocked = v.links[g.addr.Interface], nil, nil
		if g.hold && g.link != nil {
			wanted[g.place()] = true
		}
	}
	marked := make(map[*entry]bool)
	drop := func(r removal, pc *pace) bool {
		switch {
		case marked[r.entry]:
		case !pc.ready(now):
			p.postpone(pc.notYet)
			return false
		default:
			marked[r.entry] = true
			p.remove = append(p.remove, r)
		}
		return true
	}
	for _, g := range goals {
		if g.hold {
			p.present(g, ours, v, now, drop)
		} else {
			absent(g, ours, v, wanted, drop)
		}
	}
	for at, h := range ours {
		e := v.find(at)
		switch {
		case e == nil:
			delete(ours, at)
		case !wanted[at]:
			drop(removal{entry: e, ours: h}, &h.pace)
		}
	}
	return p
}

// present plans for an address that must be there.
func (p *plan) present(g *goal, ours map[place]*holding, v *view, now time.Time, drop func(removal, *pace) bool) {
	if g.blocked = g.addr.check(); g.blocked == nil && g.link == nil {
		g.blocked = ErrNoInterface
	}
	if g.blocked != nil {
		return
	}
	at := g.place()
	g.entry = v.find(at)
	if h := ours[at]; g.entry != nil && h != nil && h.addr.Label != g.addr.Label {
		// A label cannot be changed in place.
		if !drop(removal{g.entry, g, h}, &h.pace) {
			return
		}
		g.entry = nil
	}
	if g.entry == nil && g.addr.Prefix.Addr().Is6() {
		// An interface has an IPv6 address only once, whatever the length.
		for _, e := range v.at[spot{at.index, at.prefix.Addr()}] {
			h := ours[e.place()]
			if g.owner && h == nil && !e.marked {
				g.entry = e
				return
			}
			if !drop(removal{e, g, h}, &g.pace) {
				return
			}
		}
	}
	switch {
	case g.entry != nil:
	case g.addr.Prefix.Addr().Is6() && !g.link.up:
		// The kernel drops IPv6 addresses when an interface goes down; one
		// added meanwhile would be in an odd state when it comes up.
		g.blocked = ErrInterfaceDown
	case !g.pace.ready(now):
		p.postpone(g.pace.notYet)
	default:
		p.add = append(p.add, g)
	}
}

// absent plans for an address that must not be there, whoever put it there and
// with whatever prefix length, except that an owner's address must be ours.
func absent(g *goal, ours map[place]*holding, v *view, wanted map[place]bool, drop func(removal, *pace) bool) {
	if g.link == nil {
		return
	}
	for _, e := range v.at[spot{g.link.index, g.addr.Prefix.Addr()}] {
		h := ours[e.place()]
		if wanted[e.place()] || g.owner && h == nil && !e.marked {
			continue
		}
		if h != nil {
			drop(removal{e, g, h}, &h.pace)
		} else {
			drop(removal{e, g, nil}, &g.pace)
		}
	}
}
