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

// diff compares. It writes what it found into the goals and entries, forgets
// holdings that the kernel no longer has, and touches nothing else.
func diff(goals []*goal, ours map[place]*holding, v *view, now time.Time) plan {
	var p plan
	for _, e := range v.list {
		e.wanted = false
	}
	for _, g := range goals {
		g.locate(v, ours)
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
	serving := 0 // how many of ours are as they should be
	for _, g := range goals {
		if !g.hold {
			absent(g, ours, v, drop)
			continue
		}
		if g.entry != nil && g.ours != nil {
			serving++
		}
		p.present(g, ours, v, now, drop)
	}
	if serving == len(ours) {
		return p // there are no others, as nearly always
	}
	for at, h := range ours {
		e := v.find(at)
		switch {
		case e == nil:
			h.gone = true
			delete(ours, at)
		case !e.wanted:
			drop(removal{entry: e, ours: h}, &h.pace)
		}
	}
	return p
}

// locate finds the place of a goal in a view, and what is there if it is to be held.
// What was found last is still there if the view is the same, for that is
// only added to.
func (g *goal) locate(v *view, ours map[place]*holding) {
	g.blocked = nil
	if g.view != v {
		g.view, g.link, g.entry, g.ours = v, v.links[g.addr.Interface], nil, nil
	}
	if !g.hold || g.link == nil {
		g.entry, g.ours = nil, nil
		return
	}
	if g.entry == nil || g.entry.prefix != g.addr.Prefix { // an owner's may be of another length
		g.entry = v.find(g.place())
	}
	if g.ours == nil || g.ours.gone {
		g.ours = ours[g.place()]
	}
	if g.entry != nil {
		g.entry.wanted = true
	}
}

// present plans for an address that must be there.
func (p *plan) present(g *goal, ours map[place]*holding, v *view, now time.Time, drop func(removal, *pace) bool) {
	if g.blocked = g.addr.check(); g.blocked == nil && g.link == nil {
		g.blocked = ErrNoInterface
	}
	if g.blocked != nil {
		g.entry = nil
		return
	}
	at := g.place()
	if h := g.ours; g.entry != nil && h != nil && h.addr.Label != g.addr.Label {
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
func absent(g *goal, ours map[place]*holding, v *view, drop func(removal, *pace) bool) {
	if g.link == nil {
		return
	}
	for _, e := range v.at[spot{g.link.index, g.addr.Prefix.Addr()}] {
		h := ours[e.place()]
		if e.wanted || g.owner && h == nil && !e.marked {
			continue
		}
		if h != nil {
			drop(removal{e, g, h}, &h.pace)
		} else {
			drop(removal{e, g, nil}, &g.pace)
		}
	}
}
