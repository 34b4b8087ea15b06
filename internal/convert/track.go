package convert

import (
	"fmt"
	"strings"

	"vrrpd/internal/config"
)

// trackers are the blocks of what an instance or a group follows.
var trackers = []string{"track_script", "track_file", "track_process", "track_interface"}

// track writes what an instance follows: its own, and what its group does.
func (v *values) track(t *lines) {
	c := v.c
	var list []item
	at, seen := place{}, map[*check]bool{}
	g := c.groupOf[v.block.arg()]
	add := func(s *statement, key string, order int, own bool) {
		for _, tr := range c.tracked(s, key, order) {
			if tr.check.link != "" && tr.check.link == v.arg("interface") { // followed anyway
				if tr.weighs() {
					c.warn(tr.place, key+"."+tr.word, "keepalived does not heed the weight of an instance's own interface, so it is left out", "")
				}
				continue
			}
			if own && g != nil && !g.weights && tr.weighs() {
				c.warn(tr.place, key+"."+tr.word, "keepalived does not heed what weighs on a member of a vrrp_sync_group, so it is left out", "add it to track if it is meant")
				continue
			}
			if seen[tr.check] {
				c.warn(tr.place, key+"."+tr.word, "it is tracked twice", "")
				continue
			}
			seen[tr.check] = true
			c.follow(&tr)
			if len(list) == 0 {
				at = s.place
			}
			list = append(list, item{tr.place, tr.literal()})
		}
	}
	for _, s := range v.block.block {
		for _, word := range trackers {
			if s.word() == word {
				add(s, v.key+"."+word, c.order, true)
			}
		}
	}
	if g != nil {
		for _, s := range g.trackers {
			add(s, g.key+"."+s.word(), g.order, false)
		}
	}
	if len(list) > 0 {
		t.array(at, "track", list)
	}
}

// A tracked is one entry of a block that says what is followed.
type tracked struct {
	item
	check  *check
	weight *int // in place of the check's own
}

func (tr *tracked) weighs() bool {
	if tr.check.number {
		return true
	}
	if tr.weight != nil {
		return *tr.weight != 0
	}
	return tr.check.weight != 0
}

func (tr *tracked) literal() string {
	name := config.TOMLString(tr.check.name)
	if tr.weight == nil || *tr.weight == tr.check.weight {
		return name
	}
	return fmt.Sprintf("{ check = %s, weight = %d }", name, *tr.weight)
}

// tracked reads a block of NAME [weight N [reverse]], one on a line, within the
// block of that order.
func (c *converter) tracked(s *statement, key string, order int) []tracked {
	kind := strings.TrimPrefix(s.word(), "track_")
	var out []tracked
	for _, in := range s.block {
		name, options := in.word(), in.words[1:]
		tr := tracked{item: item{in.place, name}}
		reverse := false
		if len(options) > 0 && options[0] == "weight" {
			n, back := c.weightOf(options[1:], tr.place, key+"."+name)
			tr.weight, reverse = &n, back
			options = options[min(2, len(options)):]
		}
		for len(options) > 0 && (options[0] == "reverse" || options[0] == "noreverse") {
			reverse = options[0] == "reverse"
			options = options[1:]
		}
		if len(options) > 0 {
			c.refuse(tr.place, key+"."+name, "keepalived does not take "+strings.Join(options, " ")+" after it", "write one name on a line, and weight N or reverse after it")
			continue
		}
		if kind == "interface" {
			tr.check = c.link(name)
		} else {
			tr.check = c.checks[kind+" "+name]
		}
		switch {
		case tr.check == nil:
			c.refuse(tr.place, key+"."+name, "there is no "+map[string]string{"script": "vrrp_script", "file": "track_file", "process": "vrrp_track_process"}[kind]+" "+name+", and keepalived does not track it", "define it, or remove it here")
			continue
		case tr.check.broken:
			continue
		case reverse || tr.weight == nil && tr.check.reverse:
			c.warn(tr.place, key+"."+name, "reverse has no counterpart, so that it is not tracked", "turn the exit status round in the script, and track that")
			continue
		case tr.check.number && tr.weight != nil && *tr.weight != 1:
			c.warn(tr.place, key+"."+name, "only the number in the file itself can be added, so that it is not tracked", "write the number as it is to be added")
			continue
		case kind != "interface" && tr.check.order > order:
			c.refuse(tr.place, key+"."+name, "it is defined further down, where keepalived does not find it and goes on without", "move the definition up, or remove it here")
		}
		if tr.check.number {
			tr.weight = nil
		}
		out = append(out, tr)
	}
	return out
}

// link is the check of an interface.
func (c *converter) link(name string) *check {
	if ck := c.checks["interface "+name]; ck != nil {
		return ck
	}
	ck := &check{link: name}
	c.checks["interface "+name] = ck
	return ck
}

// follow makes sure that what is tracked has a table: that of an interface is
// made when it is first needed.
func (c *converter) follow(tr *tracked) {
	ck := tr.check
	if ck.link == "" || ck.name != "" {
		return
	}
	ck.name = c.name("check", ck.link, tr.place)
	c.tables.checks.header(tr.place, "check", ck.name)
	c.tables.checks.key(tr.place, "interface", config.TOMLString(ck.link))
}
