package config

import (
	"fmt"
	"slices"
	"strings"
)

// A foreign word, above all of keepalived's language, and what to write here. If it starts with a
// key name and nothing else, it is that key under another name.
var keepalivedWords = map[string]map[string]string{
	"": {
		"vrrp_instance":      "instance",
		"vrrp_script":        "check",
		"vrrp_sync_group":    "group",
		"global_defs":        "node",
		"router_id":          "=write name in [node]",
		"script_user":        "=write user in each [check.NAME]",
		"vrrp_version":       "=write version in each [instance.NAME]",
		"vrrp_strict":        "=write strict = true in each [instance.NAME]",
		"vrrp_track_process": "=write a [check.NAME] with process",
		"vrrp_track_file":    "=write a [check.NAME] with file",
		"track_file":         "=write a [check.NAME] with file",
		"instances":          "instance",
		"checks":             "check",
		"groups":             "group",
	},
	"check.NAME": {
		"script":      "command",
		"init_fail":   `initial=write initial = "failing"`,
		"disk":        "=write a command, such as the plugin check_disk",
		"systemd":     "unit",
		"gateway":     "arp",
		"ping":        "icmp",
		"https":       "http",
		"script_user": "user",
		"group":       "=remove it: the command runs with the groups of its user",
	},
	"instance.NAME": {
		"virtual_router_id":          "vrid",
		"advert_int":                 "advert_interval",
		"state":                      "=it has no counterpart: every node starts as backup and the priority decides; remove it",
		"nopreempt":                  "preempt=write preempt = false",
		"virtual_ipaddress":          "addresses",
		"virtual_ipaddress_excluded": "extra_addresses",
		"track_script":               "track",
		"track_interface":            "=remove it: the instance's own interface is followed anyway",
		"track_process":              "track",
		"track_file":                 "track",
		"track_bfd":                  "=it has no counterpart; remove it",
		"authentication":             "auth",
		"auth_type":                  `auth=write auth = { type = "pass", password_file = "/etc/vrrpd/pass" }`,
		"auth_pass":                  `auth=write auth = { type = "pass", password_file = "/etc/vrrpd/pass" }`,
		"unicast_src_ip":             `unicast=write unicast = { source = "…", peers = ["…"] }`,
		"unicast_peer":               `unicast=write unicast = { peers = ["…"] }`,
		"mcast_src_ip":               "=it has no counterpart: adverts come from the interface's primary address; remove it",
		"use_vmac":                   "virtual_mac",
		"strict_mode":                "strict",
		"garp_master_repeat":         "announce=write announce = { burst = 5 }",
		"garp_master_delay":          `announce=write announce = { again = "5s" }`,
		"garp_master_refresh":        `announce=write announce = { refresh = "60s" }`,
		"notify":                     "=write a [[notify]] table with a command",
		"notify_master":              "=write a [[notify]] table with a command",
		"notify_backup":              "=write a [[notify]] table with a command",
		"notify_fault":               "=write a [[notify]] table with a command",
		"notify_stop":                "=write a [[notify]] table with a command",
		"smtp_alert":                 "=write a [[notify]] table with a command that sends mail",
		"virtual_routes":             "=it is not built yet in this version; remove it",
		"virtual_rules":              "=it is not built yet in this version; remove it",
		"dont_track_primary":         "=it has no counterpart; remove it",
		"native_ipv6":                "=remove it: the addresses tell the family",
		"accept":                     "=remove it: the addresses are always served",
		"no_accept":                  "=it has no counterpart: the addresses are always served; remove it",
		"family":                     "=remove it: the addresses tell the family",
	},
	// The words of network managers, for lack of keepalived's.
	"bond.NAME": {
		"slaves":               "links",
		"ports":                "links",
		"interfaces":           "links",
		"mii-monitor-interval": "miimon",
		"bond-miimon":          "miimon",
		"bond-mode":            "mode",
		"transmit-hash-policy": "xmit_hash_policy",
		"gratuitous-arp":       "num_grat_arp",
		"num_unsol_na":         "num_grat_arp",
		"weight":               "degraded_weight",
	},
	"group.NAME": {"group": "instances", "members": "instances"},
}

// suggestion is what to write in place of an unknown key, and which key of the
// table was meant, if it was one.
func suggestion(spec *table, name string) (instead, meant string) {
	if word, ok := keepalivedWords[spec.name][name]; ok {
		meant, instead, _ = strings.Cut(word, "=")
		if instead == "" {
			instead = fmt.Sprintf("did you mean %q?", meant)
		}
		return instead, meant
	}
	var known []string
	for _, k := range spec.keys {
		known = append(known, k.name)
	}
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near), near
	}
	for _, in := range innerTables {
		if spec == in.of && in.table.find(name) != nil {
			return "it belongs in " + in.key + " = { … }", ""
		}
	}
	for _, p := range places {
		if p.table.find(name) != nil {
			return "it belongs in " + p.header("NAME"), ""
		}
	}
	return "remove it, or see the reference for what there is", ""
}

// header is the header that opens a table of this place.
func (p place) header(name string) string {
	base := strings.TrimSuffix(p.table.name, ".NAME")
	switch {
	case p.list:
		return "[[" + base + "]]"
	case p.named:
		if name != "NAME" {
			name = TOMLKey(name)
		}
		return "[" + base + "." + name + "]"
	}
	return "[" + base + "]"
}

// unknown reports a key that the table does not have.
func (s *section) unknown(name string) {
	n := s.node.field(name)
	instead, meant := suggestion(s.spec, name)
	if i := s.spec.index(meant); i >= 0 {
		s.found[i].there = true // one complaint is enough
	}
	if _, isTable := s.raw[name].(map[string]any); isTable && strings.HasSuffix(s.spec.name, ".NAME") && n != nil && n.header && meant == "" {
		kind, own, _ := strings.Cut(s.shown, ".")
		instead = fmt.Sprintf("write [%s.%q] if the name has a dot in it", kind, strings.Trim(own, `"`)+"."+name)
	}
	offset := 0
	if n != nil {
		offset = n.key
	}
	s.r.report(s.r.src.doc, offset, s.key(name), "there is no such key", instead, false)
}

// nearest is the candidate most like a word, "" if none is like it.
func nearest(word string, candidates []string) string {
	best, least := "", max(1, min(3, len(word)/3))+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < least {
			best, least = c, d
		}
	}
	if best == "" && len(word) >= 4 {
		i := slices.IndexFunc(candidates, func(c string) bool {
			return strings.HasPrefix(c, strings.ToLower(word)) || len(c) >= 4 && strings.HasPrefix(strings.ToLower(word), c)
		})
		if i >= 0 {
			best = candidates[i]
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
