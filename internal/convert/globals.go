package convert

import (
	"fmt"
	"time"

	"vrrpd/internal/config"
)

// globals are the defaults of global_defs that instances and scripts inherit.
type globals struct {
	version    int
	startDelay time.Duration
	startAt    place
	strict     *statement
	rfcSum     bool // v3_checksum_as_v2
	downTimer  *statement
	scriptUser string
	announce   announce
}

// An announce is how often addresses are announced.
type announce struct {
	burst          int
	again, refresh time.Duration
}

// keepalived's own defaults, which are vrrpd's, too.
var defaultAnnounce = announce{burst: 5, again: 5 * time.Second}

// globalDefs reads the blocks global_defs, of which there may be several.
func (c *converter) globalDefs(s *statement) {
	g := &c.global
	v := c.values("global_defs", s, "router_id", "script_user", "vrrp_version", "vrrp_startup_delay", "vrrp_strict",
		"vrrp_garp_master_delay", "vrrp_garp_master_repeat", "vrrp_garp_master_refresh", "vrrp_garp_master_refresh_repeat", "vrrp_min_garp",
		"vrrp_down_timer_adverts", "v3_checksum_as_v2", "vrrp_mcast_group4", "vrrp_mcast_group6")
	if id := v.last["router_id"]; id != nil && v.arg("router_id") != "" && len(c.tables.head.list) == 0 {
		c.tables.head.header(id.place, "node", "")
		c.tables.head.key(id.place, "name", config.TOMLString(id.arg()))
	}
	if user := v.arg("script_user"); user != "" {
		g.scriptUser = user
		if len(v.last["script_user"].words) > 2 {
			c.warn(v.at("script_user"), "global_defs.script_user", "the group is left out: scripts run with all groups of their user", "")
		}
	}
	g.version = v.number("vrrp_version", g.version, 2, 3)
	if v.has("vrrp_startup_delay") {
		g.startDelay, g.startAt = v.seconds("vrrp_startup_delay", 0), v.at("vrrp_startup_delay")
	}
	if v.flag("vrrp_strict", false) {
		g.strict = v.last["vrrp_strict"]
	}
	g.rfcSum = v.flag("v3_checksum_as_v2", g.rfcSum)
	if v.has("vrrp_down_timer_adverts") {
		g.downTimer = v.last["vrrp_down_timer_adverts"]
	}
	for word, group := range map[string]string{"vrrp_mcast_group4": "224.0.0.18", "vrrp_mcast_group6": "ff02::12"} {
		if v.has(word) && v.arg(word) != group {
			c.other("global_defs."+word, v.last[word])
		}
	}
	g.announce = v.announce("vrrp_garp_master_", g.announce)
	if v.flag("vrrp_min_garp", false) {
		g.announce.burst, g.announce.again = 1, 0
	}
}

// announce reads how often addresses are announced, from keywords that begin
// so, over what is inherited.
func (v *values) announce(prefix string, inherited announce) announce {
	a := inherited
	a.burst = v.number(prefix+"repeat", a.burst, 1, 1000)
	a.again = time.Duration(v.number(prefix+"delay", int(a.again/time.Second), 0, 3600)) * time.Second
	a.refresh = time.Duration(v.number(prefix+"refresh", int(a.refresh/time.Second), 0, 86_400)) * time.Second
	if word := prefix + "refresh_repeat"; v.has(word) && v.number(word, 1, 1, 1000) > 1 {
		v.c.warn(v.at(word), v.key+"."+word, "what is refreshed is announced once", "")
	}
	const most = 20
	if a.burst > most {
		v.c.warn(v.at(prefix+"repeat"), v.key+"."+prefix+"repeat", fmt.Sprintf("at most %d announcements are sent in a row", most), "")
		a.burst = most
	}
	return a
}
