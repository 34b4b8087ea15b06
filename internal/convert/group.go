package convert

// A group is a vrrp_sync_group.
type group struct {
	name     string // of vrrpd's table
	s        *statement
	key      string
	v        *values
	members  []item
	weights  bool // sync_group_tracking_weight
	trackers []*statement
	order    int // of the block
}

// syncGroup notes a group. Its table is written when its members are known.
func (c *converter) syncGroup(s *statement) {
	key, ok := c.named(s, "group")
	if !ok {
		return
	}
	c.checks["group "+s.arg()] = &check{} // the name is taken
	v := c.values(key, s, append([]string{"group", "sync_group_tracking_weight", "global_tracking"}, append(trackers, notifiers...)...)...)
	g := &group{name: c.name("group", s.arg(), s.place), s: s, key: key, v: v, order: c.order, weights: v.flag("sync_group_tracking_weight", false) || v.has("global_tracking")}
	if block := v.last["group"]; block != nil {
		g.members = block.list()
		g.members = append(g.members, rest(block)...)
	}
	for _, in := range s.block {
		for _, word := range trackers {
			if in.word() == word {
				g.trackers = append(g.trackers, in)
			}
		}
	}
	for _, m := range g.members {
		if c.groupOf[m.word] != nil {
			c.refuse(m.place, key+".group", m.word+" is in two groups", "keep it in one")
			continue
		}
		c.groupOf[m.word] = g
	}
	c.groupsInOrder = append(c.groupsInOrder, g)
}

// rest is what stands behind a keyword without braces.
func rest(s *statement) (all []item) {
	for _, w := range s.words[1:] {
		all = append(all, item{s.place, w})
	}
	return all
}

// groups writes the groups and whom they notify.
func (c *converter) groups() {
	for _, g := range c.groupsInOrder {
		var names []string
		for _, m := range g.members {
			if in := c.instances[m.word]; in != nil {
				names = append(names, in.name)
			} else {
				c.refuse(m.place, g.key+".group", "there is no vrrp_instance "+m.word, "remove it, or write its name as it is there")
			}
		}
		if len(names) == 0 {
			c.refuse(g.s.place, g.key+".group", "the group has no members", "write them, or remove it")
			continue
		}
		c.tables.groups.header(g.s.place, "group", g.name)
		c.tables.groups.key(g.v.at("group"), "instances", texts(names))
		c.notify(g.v, g.name)
	}
}
