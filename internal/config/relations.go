package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"vrrpd/healthcheck"
)

// A group is a [group.NAME] while it is checked.
type group struct {
	Group
	s *section
}

// group takes over one [group.NAME]. Its members are looked at when all
// instances are known.
func (b *builder) group(name string, s *section) {
	b.groups = append(b.groups, &group{Group: Group{Name: name, Instances: s.texts("instances")}, s: s})
}

// notify takes over one [[notify]].
func (b *builder) notify(s *section) {
	b.plan.Notify = append(b.plan.Notify, Notify{
		Command:         s.texts("command"),
		Instances:       s.texts("instances"),
		KeepalivedNames: s.boolean("keepalived_names"),
		Conditions:      s.boolean("conditions"),
	})
	b.notified = append(b.notified, s)
	if s.given("command") {
		if problem := b.vet(s.texts("command"), nil, true); problem != nil {
			problem.report(s)
		}
	}
}

// relations checks what the tables say of each other.
func (b *builder) relations() {
	b.uniqueRouters()
	b.uniqueAddresses()
	checks := slices.Sorted(maps.Keys(b.checks))
	b.plan.Instances = slices.Grow(b.plan.Instances, len(b.order))
	for _, in := range b.order {
		b.track(in, checks)
		b.overBond(in)
		b.plan.Instances = append(b.plan.Instances, in.Instance)
	}
	b.members()
	for _, in := range b.order {
		b.idleWeights(in)
	}
	b.listeners()
	unsure := len(b.order) == 0 || b.src.damagedIn([]string{"instance"}) ||
		slices.ContainsFunc(b.order, func(in *instance) bool { return in.s.there("track") && !in.s.given("track") })
	for _, c := range b.plan.Checks {
		if !b.tracked[c.Name] && !unsure {
			n := b.src.doc.root.field("check").field(c.Name)
			b.report(b.src.doc, n.key, "check."+TOMLKey(c.Name), "no instance tracks this check", fmt.Sprintf("write track = [%q] in an instance, or remove the check", c.Name), true)
		}
	}
	if all, isTable := b.src.values["instance"].(map[string]any); len(all) == 0 && !b.src.damagedIn([]string{"instance"}) && (isTable || b.src.values["instance"] == nil) {
		b.report(b.src.doc, 0, "instance", "there is none, so there is nothing to do", "add [instance.NAME]", false)
	}
}

// uniqueRouters: a VRID means one virtual router per interface and family.
func (b *builder) uniqueRouters() {
	type router struct {
		iface string
		v6    bool
		vrid  uint8
	}
	seen := make(map[router]*instance, len(b.order))
	for _, in := range b.order {
		if in.Interface == "" || in.VRID == 0 || !in.families {
			continue
		}
		r := router{in.Interface, in.IPv6, in.VRID}
		if other := seen[r]; other != nil {
			in.s.fail("vrid", fmt.Sprintf("instance %s has VRID %d on %s over %s already", other.Name, in.VRID, in.Interface, family(in.IPv6)), "choose another")
			continue
		}
		seen[r] = in
	}
}

// uniqueAddresses: an address can be on an interface once.
func (b *builder) uniqueAddresses() {
	type spot struct {
		iface string
		addr  netip.Addr
	}
	seen := make(map[spot]*instance, len(b.order))
	for _, in := range b.order {
		for _, v := range slices.Concat(in.addresses, in.extra) {
			where := spot{v.Interface, v.Prefix.Addr()}
			other := seen[where]
			switch {
			case v.Interface == "":
				continue
			case other == in:
				v.at(where.addr.String()+" is given twice", "remove one", false)
			case other != nil:
				v.at(fmt.Sprintf("instance %s has %s on %s already", other.Name, where.addr, where.iface), "remove one", false)
			}
			seen[where] = in
		}
	}
}

// track resolves the checks an instance follows, out of those there are.
func (b *builder) track(in *instance, known []string) {
	s := in.s
	seen := map[string]bool{}
	for i, e := range s.elements("track") {
		at, shown := s.node.field("track").item(i), fmt.Sprintf("%s[%d]", s.key("track"), i)
		var t Track
		own, ownWarning := false, false // weights of its own
		switch e := e.(type) {
		case string:
			t.Check = e
		case map[string]any:
			n := at
			if n == nil {
				n = s.place("track")
			}
			ts := b.open(trackTable, append(slices.Clone(s.path), "track"), shown, n, e)
			if !ts.sure("check") {
				continue
			}
			t.Check, t.Weight, own = ts.text("check"), ts.integer("weight"), ts.there("weight")
			t.WarningWeight, ownWarning = ts.integer("warning_weight"), ts.there("warning_weight")
			b.ownWeights(ts)
			at, shown = ts.place("check"), ts.key("check")
		default:
			s.at(at, shown, "it is "+typeName(e)+", must be a string or a table", `write "nginx", or { check = "nginx", weight = -20 }`, false)
			continue
		}
		b.tracked[t.Check] = true
		c, ok := b.checks[t.Check]
		if !ok {
			b.missing([]string{"check"}, known, t.Check, func(what, instead string) { s.at(at, shown, what, instead, false) })
			continue
		}
		if seen[t.Check] {
			s.at(at, shown, fmt.Sprintf("check %s is tracked twice", t.Check), "remove one", false)
			continue
		}
		seen[t.Check] = true
		if !own {
			t.Weight = c.Weight
		}
		if !ownWarning {
			t.WarningWeight = c.WarningWeight
		}
		if what := idle(in, t.Weight); what != "" && !c.Number() {
			in.idle = append(in.idle, idleWeight{t, at, shown, what})
		}
		in.Track = append(in.Track, t)
	}
}

// ownWeights judges whether a check can have weights of an instance's own.
func (b *builder) ownWeights(ts *section) {
	c, ok := b.checks[ts.text("check")]
	switch {
	case !ok:
	case c.Number() && ts.there("weight"):
		ts.fail("weight", "the number in the file of check "+c.Name+" is the weight", "remove it")
	case c.Contract != healthcheck.Nagios && ts.there("warning_weight"):
		ts.fail("warning_weight", "check "+c.Name+" knows of no warnings", `write contract = "nagios" in the check, or remove it`)
	}
}

// An idleWeight is one that changes nothing by itself, and where it stands.
type idleWeight struct {
	Track
	at          *node
	shown, what string
}

// idleWeights tells of the weights that change nothing, unless others can move
// the priority away from its limit.
func (b *builder) idleWeights(in *instance) {
	if len(in.idle) == 0 {
		return
	}
	up, down := b.moves(in)
	for _, w := range in.idle {
		if in.Owner() || w.Weight < 0 && !up || w.Weight > 0 && !down {
			in.s.at(w.at, w.shown, fmt.Sprintf("the weight %d of check %s changes nothing: %s", w.Weight, w.Check, w.what), "choose another priority or weight", true)
		}
	}
}

// moves says which way the priority of an instance can be moved: by what it
// and the members of its group track, and by bonds.
func (b *builder) moves(in *instance) (up, down bool) {
	members := []string{in.Name}
	for _, g := range b.groups {
		if slices.Contains(g.Instances, in.Name) {
			members = append(members, g.Instances...)
		}
	}
	for _, name := range members {
		if b.instances[name] == nil {
			continue // told already
		}
		for _, t := range b.instances[name].Track {
			c := b.checks[t.Check]
			up = up || t.Weight > 0 || c.Number()
			down = down || t.Weight < 0 || t.WarningWeight < 0 || c.Number()
		}
	}
	down = down || slices.ContainsFunc(b.plan.Bonds, func(bond Bond) bool { return bond.DegradedWeight < 0 })
	return up, down
}

// idle says why a weight cannot change the priority of an instance by itself.
func idle(in *instance, weight int) string {
	switch {
	case weight == 0 || !in.s.sure("priority"):
		return ""
	case in.Owner():
		return "priority 255 is the address owner's and never moves"
	case weight < 0 && in.Priority == 1:
		return "the priority is 1, the lowest there is"
	case weight > 0 && in.Priority == 254:
		return "the priority is 254, the highest there is"
	}
	return ""
}

// members resolves the instances of the groups.
func (b *builder) members() {
	known := slices.Sorted(maps.Keys(b.instances))
	in := map[string]string{}
	for _, g := range b.groups {
		s := g.s
		if s.given("instances") && len(g.Instances) == 0 {
			s.fail("instances", "there is none", "name the members, or remove the group")
		}
		var first *instance
		for i, name := range g.Instances {
			member := b.instances[name]
			if member == nil {
				b.missing([]string{"instance"}, known, name, func(what, instead string) { s.failItem("instances", i, what, instead) })
				continue
			}
			if other, taken := in[name]; taken {
				where := "group " + other + " already"
				if other == g.Name {
					where = "this group already"
				}
				s.failItem("instances", i, fmt.Sprintf("instance %s is in %s", name, where), "remove it from one: an instance moves with one group")
				continue
			}
			in[name] = g.Name
			if first == nil {
				first = member
			}
			b.alike(s, i, first, member)
		}
		b.plan.Groups = append(b.plan.Groups, g.Group)
	}
}

// alike: members that would win their elections on different nodes can never
// be active together.
func (b *builder) alike(s *section, i int, first, member *instance) {
	switch {
	case !first.s.sure("priority") || !member.s.sure("priority") || !first.s.sure("preempt") || !member.s.sure("preempt"):
	case first.Priority != member.Priority:
		s.failItem("instances", i, fmt.Sprintf("instance %s has priority %d, instance %s has %d: each could win on another node, and the group would never settle",
			member.Name, member.Priority, first.Name, first.Priority), "give all members the same priority")
	case first.Preempt != member.Preempt:
		s.failItem("instances", i, fmt.Sprintf("instance %s has preempt = %t, instance %s has %t: the group would never settle",
			member.Name, member.Preempt, first.Name, first.Preempt), "give all members the same preempt")
	case first.Handover != member.Handover:
		s.failItem("instances", i, fmt.Sprintf("instance %s has handover = %q, instance %s has %q: one would go while the other stays",
			member.Name, member.Handover, first.Name, first.Handover), "give all members the same handover")
	}
}

// listeners resolves whose changes the notify commands are run after.
func (b *builder) listeners() {
	known := slices.Sorted(maps.Keys(b.instances))
	groups := map[string]bool{}
	for _, g := range b.groups {
		known = append(known, g.Name)
		groups[g.Name] = true
	}
	for _, s := range b.notified {
		if s.given("instances") && len(s.texts("instances")) == 0 {
			s.fail("instances", "there is none", "remove it, to mean all")
		}
		seen := map[string]bool{}
		for i, name := range s.texts("instances") {
			fail := func(what, instead string) { s.failItem("instances", i, what, instead) }
			switch {
			case b.instances[name] == nil && !groups[name]:
				b.missing([]string{"instance", "group"}, known, name, fail)
			case seen[name]:
				fail(fmt.Sprintf("%s is named twice", name), "remove one")
			}
			seen[name] = true
		}
	}
}
