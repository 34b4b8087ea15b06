package convert

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"vrrpd/internal/config"
)

// An instance is what a vrrp_instance became.
type instance struct {
	name string // of vrrpd's table
}

// ownerPriority is that of the router that owns the addresses (RFC 9568,
// section 6.1).
const ownerPriority = 255

var instanceWords = append(append([]string{
	"state", "interface", "virtual_router_id", "priority", "advert_int", "version", "nopreempt", "preempt", "preempt_delay",
	"virtual_ipaddress", "virtual_ipaddress_excluded", "unicast_src_ip", "unicast_peer", "unicast_ttl", "authentication", "strict_mode",
	"v3_checksum_as_v2", "down_timer_adverts", "mcast_dst_ip",
	"garp_master_delay", "garp_master_repeat", "garp_master_refresh", "garp_master_refresh_repeat",
}, trackers...), notifiers...)

// instance converts vrrp_instance.
func (c *converter) instance(s *statement) {
	key, ok := c.named(s, "")
	if !ok {
		return
	}
	if c.instances[s.arg()] != nil {
		c.refuse(s.place, key, "the name is given twice, and keepalived skips the second", "keep one of the two")
		return
	}
	v := c.values(key, s, instanceWords...)
	in := &instance{name: c.name("instance", s.arg(), s.place)}
	c.instances[s.arg()] = in
	t := &c.tables.instances
	t.header(s.place, "instance", in.name)
	if v.arg("interface") == "" {
		c.refuse(s.place, key+".interface", "there is no interface", "write interface eth0")
	} else {
		t.key(v.at("interface"), "interface", config.TOMLString(v.arg("interface")))
	}
	if !v.has("virtual_router_id") {
		c.refuse(s.place, key+".virtual_router_id", "there is none", "write a number from 1 to 255")
	}
	t.key(v.at("virtual_router_id"), "vrid", strconv.Itoa(v.number("virtual_router_id", 1, 1, 255)))

	advertised, extra, ipv6 := v.addresses()
	version := v.version(t, ipv6)
	owner := v.priority(t)
	v.interval(t, version)
	strict, strictAt, strictKey := v.strict()
	v.preemption(t, owner, strict)
	if c.global.startDelay > 0 {
		t.key(c.global.startAt, "start_delay", config.TOMLDuration(c.global.startDelay))
	}
	if version == 3 && !ipv6 && v.flag("v3_checksum_as_v2", c.global.rfcSum) {
		t.key(v.at("v3_checksum_as_v2"), "checksum", `"rfc9568"`)
	}
	if len(advertised) == 0 {
		c.refuse(s.place, key+".virtual_ipaddress", "there is no address", "write at least one")
	}
	t.array(v.at("virtual_ipaddress"), "addresses", advertised)
	if len(extra) > 0 {
		t.array(v.at("virtual_ipaddress_excluded"), "extra_addresses", extra)
	}
	v.track(t)
	v.unicast(t, ipv6)
	if strict && (v.has("unicast_peer") || ipv6 && !v.linkLocal()) {
		c.warn(strictAt, strictKey, "strict does not go together with unicast, nor with a first IPv6 address that is not link-local, so it is left out", "")
	} else if strict {
		t.key(strictAt, "strict", "true")
		c.warnOnce("strict", strictAt, strictKey, "strict does not keep clients away from the addresses here, as keepalived's firewall rules do", "")
	}
	v.password(t, version, strict)
	v.announcements(t)
	if n := v.downTimer(); n != nil {
		c.warn(n.place, key+".down_timer_adverts", "three advertisements have to be missed, as the RFC has it", "set the same on all nodes, or a longer advert_interval")
	}
	if v.has("mcast_dst_ip") && !v.has("unicast_peer") {
		if a, ok := isAddress(v.arg("mcast_dst_ip")); !ok || a.String() != "224.0.0.18" && a.String() != "ff02::12" {
			c.other(key+".mcast_dst_ip", v.last["mcast_dst_ip"])
		}
	}
	c.notify(v, in.name)
}

// version writes the protocol version; keepalived's default is another one.
func (v *values) version(t *lines, ipv6 bool) int {
	version := v.number("version", v.c.global.version, 2, 3)
	switch {
	case ipv6:
		if v.has("version") && version == 2 {
			v.c.refuse(v.at("version"), v.key+".version", "IPv6 has version 3 only", "write version 3 on all nodes")
		}
		return 3
	case version == 3:
		return 3
	}
	t.key(v.at("version"), "version", "2")
	return 2
}

// priority writes the priority and reports whether it is the owner's.
func (v *values) priority(t *lines) (owner bool) {
	c, state := v.c, v.last["state"]
	master := state != nil && state.arg() == "MASTER"
	if state != nil && state.arg() != "MASTER" && state.arg() != "BACKUP" {
		c.refuse(state.place, v.key+".state", "it is "+state.arg(), "write MASTER or BACKUP")
	}
	p := 100
	switch {
	case v.has("priority"):
		p = v.number("priority", 100, 1, ownerPriority)
		t.key(v.at("priority"), "priority", strconv.Itoa(p))
	case master:
		p = ownerPriority
		t.key(state.place, "priority", strconv.Itoa(p))
		c.warn(state.place, v.key+".state", "state MASTER without a priority is priority 255, the owner of the addresses, which never yields", "write a priority of 1 to 254 if it is not meant")
	}
	if state != nil {
		c.warnOnce("state", state.place, v.key+".state", "there is no such key: with either daemon a router starts as a backup, and its priority decides", "")
	}
	return p == ownerPriority
}

// interval writes the interval between advertisements.
func (v *values) interval(t *lines, version int) {
	if !v.has("advert_int") {
		return
	}
	d := v.seconds("advert_int", time.Second)
	if whole := time.Duration(max(1, math.Floor(d.Seconds()+0.5))) * time.Second; version == 2 && whole != d {
		v.c.refuse(v.at("advert_int"), v.key+".advert_int", fmt.Sprintf("version 2 has whole seconds, and keepalived makes it %d", whole/time.Second), "write whole seconds, or version 3 on all nodes")
		return
	}
	t.key(v.at("advert_int"), "advert_interval", config.TOMLDuration(d))
}

// preemption writes whether and when the instance takes over from a lower
// priority. With state MASTER, and as the owner, keepalived does not heed what
// is said of it.
func (v *values) preemption(t *lines, owner, strict bool) {
	no := false
	for _, in := range v.block.block {
		switch in.word() {
		case "nopreempt":
			no = true
		case "preempt":
			if no = false; in.arg() != "" {
				v.c.refuse(in.place, v.key+".preempt", "keepalived takes it for preempt, whatever follows", "write nopreempt, or preempt alone")
			}
		}
	}
	state := v.last["state"]
	master := state != nil && state.arg() == "MASTER"
	if owner || master {
		for _, word := range []string{"nopreempt", "preempt_delay"} {
			if v.has(word) && master {
				v.c.warn(v.at(word), v.key+"."+word, "keepalived does not heed it beside state MASTER, so it is left out", "write "+map[string]string{"nopreempt": "preempt = false", "preempt_delay": "preempt_delay"}[word]+" if it is meant")
			} else if v.has(word) {
				v.c.warn(v.at(word), v.key+"."+word, "the owner of the addresses, priority 255, does not heed it", "")
			}
		}
		return
	}
	if no {
		t.key(v.at("nopreempt"), "preempt", "false")
	}
	if v.has("preempt_delay") {
		if no || strict {
			v.c.warn(v.at("preempt_delay"), v.key+".preempt_delay", "keepalived does not heed it beside nopreempt, or if it is strict, so it is left out", "")
			return
		}
		t.key(v.at("preempt_delay"), "preempt_delay", config.TOMLDuration(v.delay()))
	}
}

// delay is preempt_delay, for which keepalived has a bound.
func (v *values) delay() time.Duration {
	d := v.seconds("preempt_delay", 0)
	if d > 1000*time.Second {
		v.c.refuse(v.at("preempt_delay"), v.key+".preempt_delay", "it is more than 1000, with which keepalived does not delay at all", "write at most 1000")
	}
	return d
}

// array writes an array of literals, one on a line if they are many.
func (l *lines) array(at place, name string, list []item) {
	literals := make([]string, len(list))
	length := len(name)
	for i, a := range list {
		literals[i] = a.word
		length += len(a.word) + 2
	}
	if length <= 100 {
		l.key(at, name, "["+strings.Join(literals, ", ")+"]")
		return
	}
	l.add(at, name+" = [")
	for _, a := range list {
		l.add(a.place, "  "+a.word+",")
	}
	l.add(at, "]")
}

// Addresses that one advertisement can list, as keepalived counts.
const (
	maxIPv4 = 255
	maxIPv6 = 89
)

// addresses are the virtual addresses as literals: those advertised, all of
// one family, and those beside.
func (v *values) addresses() (advertised, extra []item, ipv6 bool) {
	c := v.c
	family := 0
	read := func(word string, one bool) []item {
		block := v.last[word]
		if block == nil {
			return nil
		}
		var out []item
		seen := map[string]bool{}
		for _, in := range block.block {
			a, ok := isAddress(in.word())
			f := 4
			if a.Is6() {
				f = 6
			}
			switch {
			case !ok:
				c.refuse(in.place, v.key+"."+word, in.word()+" is no address", "write one like 192.0.2.1/24")
				continue
			case one && family != 0 && f != family:
				c.refuse(in.place, v.key+"."+word, in.word()+" is of another family than the first address, and keepalived leaves it out", "write it in virtual_ipaddress_excluded, or in an instance of its own")
				continue
			case one:
				family = f
			}
			literal := v.address(in.place, v.key+"."+word, in.words)
			if seen[literal] {
				c.warn(in.place, v.key+"."+word, in.word()+" is there twice", "")
				continue
			}
			seen[literal] = true
			out = append(out, item{in.place, literal})
		}
		return out
	}
	advertised, extra = read("virtual_ipaddress", true), read("virtual_ipaddress_excluded", false)
	most := maxIPv4
	if family == 6 {
		most = maxIPv6
	}
	if len(advertised) > most {
		c.warn(advertised[most].place, v.key+".virtual_ipaddress", fmt.Sprintf("an advertisement has room for %d addresses; the others become extra_addresses, as with keepalived", most), "")
		advertised, extra = advertised[:most], append(advertised[most:len(advertised):len(advertised)], extra...)
	}
	return advertised, extra, family == 6
}

// hasArgument reports whether an option of an address is followed by a value.
func hasArgument(word string) bool {
	switch word {
	case "brd", "broadcast", "dev", "scope", "label", "peer", "preferred_lft":
		return true
	}
	return false
}

// address is an address with its options as a literal.
func (v *values) address(at place, key string, words []string) string {
	literal := config.TOMLString(words[0])
	var more string
	for i := 1; i < len(words); i++ {
		word, arg := words[i], ""
		if hasArgument(word) {
			if i++; i == len(words) {
				v.c.refuse(at, key, word+" has no value", "write one, or remove it")
				break
			}
			arg = words[i]
		}
		switch word {
		case "dev":
			if s := v.last["interface"]; s != nil && s.arg() == arg {
				continue
			}
			more += ", interface = " + config.TOMLString(arg)
		case "label":
			if s := v.last["interface"]; !strings.Contains(more, "interface =") && s != nil && !strings.HasPrefix(arg, s.arg()+":") {
				v.c.warn(at, key, "the label "+arg+" is left out: it has to begin with the name of the interface and a colon", "")
				continue
			}
			more += ", label = " + config.TOMLString(arg)
		case "scope":
			if arg != "global" && arg != "0" {
				v.c.warn(at, key, "the scope "+arg+" is left out: addresses are global", "")
			}
		case "peer", "preferred_lft", "use_vmac":
			v.c.warn(at, key, strings.TrimSpace(word+" "+arg)+" is left out", "stay with keepalived if you need it")
		case "brd", "broadcast", "-nodad", "home", "mngtmpaddr", "noprefixroute", "autojoin", "no_track", "track_group":
			// The kernel does without.
		default:
			if _, ok := isAddress(word); ok {
				v.c.refuse(at, key, "keepalived takes one address on a line, and leaves out "+word, "write it on a line of its own")
				continue
			}
			v.c.warn(at, key, word+" is left out: it is no option of an address that is known here", "")
		}
	}
	if more == "" {
		return literal
	}
	return "{ address = " + literal + more + " }"
}

// unicast writes the peers.
func (v *values) unicast(t *lines, ipv6 bool) {
	c := v.c
	block := v.last["unicast_peer"]
	source := v.last["unicast_src_ip"]
	if block == nil || len(block.block) == 0 {
		if block != nil {
			c.warn(block.place, v.key+".unicast_peer", "it is empty, so that advertisements are multicast, as with keepalived", "")
		}
		if source != nil {
			c.warn(source.place, v.key+"."+source.word(), "multicast advertisements leave from the primary address of the interface", "give the interface that address first")
		}
		return
	}
	key := v.key + ".unicast_peer"
	var peers []string
	least, without := 0, false // of the TTLs that peers must have; some must have none
	for _, in := range block.block {
		a, ok := isAddress(in.word())
		switch {
		case !ok:
			c.refuse(in.place, key, in.word()+" is no address", "write the address of another node")
			continue
		case source != nil && source.arg() == a.String():
			c.warn(in.place, key, a.String()+" is this node itself, and is left out", "")
			continue
		case strings.Contains(in.word(), "/"):
			c.warn(in.place, key, in.word()+" becomes "+a.String(), "")
		}
		peers = append(peers, config.TOMLString(a.String()))
		ttl := 0
		for i := 1; i < len(in.words); i += 2 {
			word, n, err := in.words[i], 0, error(nil)
			if i+1 < len(in.words) {
				n, err = strconv.Atoi(in.words[i+1])
			}
			switch {
			case word != "min_ttl" && word != "max_ttl" || i+1 == len(in.words) || err != nil || n < 0 || n > 255:
				c.refuse(in.place, key, "keepalived does not take "+strings.Join(in.words[i:], " ")+" after it", "write one address on a line, and min_ttl or max_ttl with a number from 0 to 255 after it")
				i = len(in.words)
			case word == "min_ttl":
				ttl = max(n, 1)
			case n < 255:
				c.warn(in.place, key, "max_ttl is left out: the TTL has no upper bound here", "")
			}
		}
		if ttl == 0 {
			without = true
		} else if least == 0 || ttl < least {
			least = ttl
		}
	}
	sent := v.number("unicast_ttl", 255, 1, 255)
	if sent < 255 {
		c.warn(v.at("unicast_ttl"), v.key+".unicast_ttl", "advertisements leave with a TTL of 255", "")
	}
	switch {
	case least > 0 && without:
		c.warn(block.place, key, fmt.Sprintf("all peers must have a TTL of %d or more, also those for which nothing is said", least), "")
	case least > 0:
	case sent < 255: // the others are told to send that, too
		least = sent
		c.warn(block.place, key, fmt.Sprintf("min_ttl is %d, for peers may send that, as this node did", least), "remove it when all nodes have vrrpd")
	case ipv6:
		least = 64 // the kernel's default, which keepalived leaves as it is
		c.warn(block.place, key, "min_ttl is 64, for keepalived sends that, and vrrpd 255", "remove it when all nodes have vrrpd")
	default:
		c.warnOnce("ttl", block.place, key, "only advertisements with a TTL of 255 are accepted, and keepalived does not look at it", "set min_ttl if there are routers between the nodes")
	}
	literal := "{ "
	if source != nil {
		literal += "source = " + config.TOMLString(source.arg()) + ", "
	}
	literal += "peers = [" + strings.Join(peers, ", ") + "]"
	if least > 0 {
		literal += fmt.Sprintf(", min_ttl = %d", least)
	}
	t.key(block.place, "unicast", literal+" }")
}

// password writes the password of version 2.
func (v *values) password(t *lines, version int, strict bool) {
	block := v.last["authentication"]
	if block == nil {
		return
	}
	c, key := v.c, v.key+".authentication"
	kind, pass := block.find("auth_type"), block.find("auth_pass")
	switch {
	case strict:
		c.warn(block.place, key, "strict has keepalived leave it out", "")
	case kind == nil || pass == nil || pass.arg() == "":
		c.refuse(block.place, key, "auth_type or auth_pass is missing, and keepalived leaves the other out", "write both, or remove them")
	case kind.arg() == "AH":
		c.refuse(kind.place, key+".auth_type", "AH is not built, and peers that have it drop what carries none", "remove it on all nodes before any becomes vrrpd: no RFC has had it since 2004")
	case kind.arg() != "PASS":
		c.refuse(kind.place, key+".auth_type", "it is "+kind.arg(), "write PASS, or remove the block")
	case version == 3:
		c.warn(block.place, key, "version 3 has no passwords, and keepalived leaves it out as well", "")
	default:
		word := pass.arg()
		if len(word) > 8 {
			word = word[:8]
			c.warn(pass.place, key+".auth_pass", "only the first eight bytes are sent, by either daemon", "")
		}
		if !utf8.ValidString(word) {
			c.refuse(pass.place, key+".auth_pass", "the first eight bytes end within a character", "write a password that does not, on all nodes")
		}
		t.key(pass.place, "auth", `{ type = "pass", password = `+config.TOMLString(word)+" }")
		c.warnOnce("password", block.place, key, "the password is sent in clear, and keeps nobody out", "remove it on all nodes when all have vrrpd")
	}
}

// strict reports whether keepalived is to be strict, and where it says so.
func (v *values) strict() (on bool, at place, key string) {
	if s := v.last["strict_mode"]; s != nil {
		return v.flag("strict_mode", true), s.place, v.key + ".strict_mode"
	}
	if s := v.c.global.strict; s != nil {
		return true, s.place, "global_defs.vrrp_strict"
	}
	return false, v.block.place, ""
}

// linkLocal reports whether the first address is one of the link.
func (v *values) linkLocal() bool {
	block := v.last["virtual_ipaddress"]
	if block == nil || len(block.block) == 0 {
		return false
	}
	a, ok := isAddress(block.block[0].word())
	return ok && a.IsLinkLocalUnicast()
}

// announcements writes how often the addresses are announced.
func (v *values) announcements(t *lines) {
	a := v.announce("garp_master_", v.c.global.announce)
	if a == defaultAnnounce {
		return
	}
	at := v.block.place
	for _, word := range []string{"garp_master_delay", "garp_master_repeat", "garp_master_refresh"} {
		if v.has(word) {
			at = v.at(word)
		}
	}
	t.key(at, "announce", fmt.Sprintf("{ burst = %d, again = %s, refresh = %s }", a.burst, config.TOMLDuration(a.again), config.TOMLDuration(a.refresh)))
}

// downTimer is what sets another number of missed advertisements than three.
func (v *values) downTimer() *statement {
	s := v.c.global.downTimer
	if own := v.last["down_timer_adverts"]; own != nil {
		s = own
	}
	if s == nil || s.arg() == "3" {
		return nil
	}
	return s
}
