package config

import (
	"sync"
	"time"

	"vrrpd/bonding"
)

// A kind is the type a key must have.
type kind int

// The zero kind is invalid.
const (
	_ kind = iota
	kindString
	kindInteger
	kindBoolean
	kindDuration  // a string such as "1.5s"
	kindStrings   // an array of strings
	kindTable     // an inline table, or a table of its own
	kindAddresses // an array of strings or tables (address)
	kindTracks    // an array of strings or tables (track)
	kindProbe     // what to look at: a string, or a table that says more
)

func (k kind) String() string {
	switch k {
	case kindString:
		return "a string"
	case kindInteger:
		return "an integer"
	case kindBoolean:
		return "true or false"
	case kindDuration:
		return "a duration"
	case kindStrings:
		return "an array of strings"
	case kindTable:
		return "a table"
	case kindAddresses, kindTracks:
		return "an array of strings or tables"
	case kindProbe:
		return "a string or a table"
	}
	return "nothing"
}

// A key is everything known of one key: this table drives the reading of
// files, the printing of plans, and the reference.
type key struct {
	name     string
	kind     kind
	def      string // the default as TOML; "" if there is none that fits all
	when     string // the default in words, in place of def
	required bool
	min, max int64         // of an integer
	low, top time.Duration // of a duration
	choices  []string      // of a string
	words    []string      // accepted besides a duration
	limits   string        // further limits, in words
	about    string
	sample   string // as TOML, for the reference file; "" shows the default
	shy      bool   // the reference file shows it in a comment only
	numbers  bool   // integers are accepted among strings
	managed  bool   // only with manage = true; left as it is if absent
	// unbuilt: the key is part of the language, but this version cannot do
	// what it says.
	unbuilt bool
	only    string // the one value, as TOML, that describes what this version does
}

// A table is a table of the file, with its keys in the order of the reference.
type table struct {
	name  string // "instance.NAME"; an inline table is "instance.NAME.unicast"
	about string
	keys  []key

	once     sync.Once
	defaults []found // of each key, made once
}

// index is where a key stands in the table, -1 if it has none of that name.
func (t *table) index(name string) int {
	for i := range t.keys {
		if t.keys[i].name == name {
			return i
		}
	}
	return -1
}

func (t *table) find(name string) *key {
	if i := t.index(name); i >= 0 {
		return &t.keys[i]
	}
	return nil
}

const day = 24 * time.Hour

var nodeTable = &table{name: "node", about: "The node itself.", keys: []key{
	{name: "name", kind: kindString, when: "the host name", sample: `"node1"`, limits: "1 to 255 characters",
		about: "What status, logs and notifications call this node."},
	{name: "realtime", kind: kindString, def: `"auto"`, choices: []string{"auto", "off"},
		about: "With auto, the thread that advertises runs before all ordinary ones (SCHED_RR) and the memory of vrrpd is never paged out, each as far as vrrpd is permitted (CAP_SYS_NICE, CAP_IPC_LOCK). Checks and notification commands run as ever. A change takes effect when vrrpd is started again."},
}}

var logTable = &table{name: "log", about: "What is logged, to standard error.", keys: []key{
	{name: "level", kind: kindString, def: `"info"`, choices: []string{"trace", "debug", "info", "warn", "error"},
		about: "The least important messages that are logged."},
	{name: "format", kind: kindString, def: `"text"`, choices: []string{"text", "json"}, about: "Lines for people, or JSON objects. A change takes effect when vrrpd is started again."},
}}

var controlTable = &table{name: "control", about: "The socket that vrrpctl talks to. Lock and state file lie beside it.", keys: []key{
	{name: "socket", kind: kindString, def: `"/run/vrrpd/vrrpd.sock"`, limits: "an absolute path of at most 107 bytes",
		about: "Several daemons on one host need different sockets, and only that. A change takes effect when vrrpd is started again."},
	{name: "group", kind: kindString, def: `"vrrpd"`, limits: `"" is root alone`,
		about: "Members of this group may change state; reading is open to whoever can open the socket. If the group does not exist, only root may. A change takes effect when vrrpd is started again."},
}}

var httpTable = &table{name: "http", about: "A read-only listener: status page, /metrics and API.", keys: []key{
	{name: "listen", kind: kindString, def: `"off"`, sample: `"127.0.0.1:9112"`, limits: `HOST:PORT, or "off"`,
		about: "The address to listen on."},
}}

var bondTable = &table{name: "bond.NAME", keys: []key{
	{name: "mode", kind: kindString, when: "any mode", choices: names(bonding.ModeBalanceRR, bonding.ModeBalanceALB), sample: `"active-backup"`,
		limits: "required with manage", about: "The mode the bond must have. In another it has failed."},
	{name: "min_links", kind: kindInteger, def: "1", min: 1, max: 255,
		about: "Usable links the bond must have. With fewer it has failed, and the instances over it are in fault. With manage, the kernel's min_links follows in mode 802.3ad."},
	{name: "degraded_weight", kind: kindInteger, def: "0", min: -253, max: 0, sample: "-20",
		about: "Added to the priority of the instances over the bond while it is degraded: a link is not usable, or LACP has no partner, but the bond has not failed."},
	{name: "degraded_after", kind: kindDuration, def: `"1s"`, low: 0, top: day,
		about: "How long the bond must have been degraded before the priority follows. A dead switch degrades the bonds of all nodes, though not in the same instant."},
	{name: "healthy_after", kind: kindDuration, def: `"2s"`, low: 0, top: day,
		about: "How long the bond must have been better before that counts."},
	{name: "require_monitor", kind: kindBoolean, def: "false", about: "A bond with neither miimon nor arp_interval has failed: it would not notice a dead link."},
	{name: "manage", kind: kindBoolean, def: "false",
		about: "vrrpd creates the bond if it is absent, attaches links that are missing, and sets options right, as far as no working link goes down for it. The keys below say how the bond is to be."},
	{name: "links", kind: kindStrings, managed: true, when: "required with manage", sample: `["eth0", "eth1"]`, limits: "interface names; each in one bond",
		about: "The interfaces of the bond. Others that are attached stay."},
	{name: "miimon", kind: kindDuration, managed: true, low: time.Millisecond, top: day, sample: `"100ms"`,
		limits: "whole milliseconds; either miimon or arp_interval is required with manage", about: "How often the links are looked at for carrier."},
	{name: "updelay", kind: kindDuration, managed: true, low: 0, top: day, sample: `"200ms"`, limits: "a multiple of miimon",
		about: "How long a link must have had carrier before it is used."},
	{name: "downdelay", kind: kindDuration, managed: true, low: 0, top: day, sample: `"0s"`, limits: "a multiple of miimon",
		about: "How long a link must have lost carrier before it is given up."},
	{name: "arp_interval", kind: kindDuration, managed: true, low: time.Millisecond, top: day, sample: `"200ms"`,
		limits: "whole milliseconds; not together with miimon; not in 802.3ad, balance-tlb, balance-alb", about: "How often the links are tried by ARP."},
	{name: "arp_ip_target", kind: kindStrings, managed: true, sample: `["192.168.1.1"]`, limits: "1 to 16 IPv4 addresses; required with arp_interval",
		about: "Who is asked, such as the gateway."},
	{name: "arp_validate", kind: kindString, managed: true, choices: names(bonding.ARPValidateNone, bonding.ARPValidateFilterBackup), sample: `"all"`,
		limits: "only with arp_interval", about: "On which links only the answers of the targets count as a sign of life."},
	{name: "primary", kind: kindString, managed: true, sample: `"eth0"`, limits: "one of links; active-backup, balance-tlb or balance-alb",
		about: "The link that is preferred as the active one."},
	{name: "primary_reselect", kind: kindString, managed: true, choices: names(bonding.ReselectAlways, bonding.ReselectFailure), sample: `"failure"`,
		limits: "active-backup, balance-tlb or balance-alb", about: "When the primary becomes the active link again: as soon as it is usable, if it is the better one, or only when the active link fails."},
	{name: "fail_over_mac", kind: kindString, managed: true, choices: names(bonding.FailOverMACNone, bonding.FailOverMACFollow), sample: `"active"`,
		limits: "active-backup", about: "Whose MAC address the bond has: one for all links, that of the active link, or one that follows the active link."},
	{name: "num_grat_arp", kind: kindInteger, managed: true, min: 0, max: 255, sample: "1", about: "Gratuitous ARPs and unsolicited neighbour advertisements of the kernel after a failover."},
	{name: "resend_igmp", kind: kindInteger, managed: true, min: 0, max: 255, sample: "1", limits: "balance-rr, active-backup, balance-tlb or balance-alb",
		about: "Membership reports of the kernel after a failover."},
	{name: "all_slaves_active", kind: kindBoolean, managed: true, sample: "false", about: "Deliver the frames that arrive on links which are not active."},
	{name: "lacp_rate", kind: kindString, managed: true, choices: names(bonding.LACPSlow, bonding.LACPFast), sample: `"fast"`, limits: "802.3ad",
		about: "How often the partner is asked to speak: every 30 seconds, or every second."},
	{name: "xmit_hash_policy", kind: kindString, managed: true, choices: names(bonding.HashLayer2, bonding.HashVLANSrcMAC), sample: `"layer3+4"`,
		limits: "balance-xor, 802.3ad or balance-tlb", about: "What the link of a frame is chosen by."},
}, about: "What \"healthy\" means for a bond that instances run over, be it directly or over an interface above it. " +
	"Without the table, and without its keys, an instance is in fault while no link of the bond is usable."}

// names are the kernel's words for the values of an option, from the first of
// them to the last.
func names[E interface {
	~uint8
	String() string
}](first, last E) (out []string) {
	for e := first; e <= last; e++ {
		out = append(out, e.String())
	}
	return out
}

var instanceTable = &table{name: "instance.NAME", about: "One virtual router of one address family.", keys: []key{
	{name: "interface", kind: kindString, required: true, sample: `"bond0"`, limits: "a Linux interface name, at most 15 bytes",
		about: "Where advertisements are sent and received. It need not exist yet: it is waited for."},
	{name: "vrid", kind: kindInteger, required: true, min: 1, max: 255, sample: "51",
		limits: "one instance per interface, address family and VRID", about: "The virtual router's number, the same on all its nodes and unique on the LAN."},
	{name: "version", kind: kindInteger, def: "3", min: 2, max: 3, limits: "3 for IPv6", about: "The protocol version, the same on all nodes: RFC 3768 or RFC 9568."},
	{name: "priority", kind: kindInteger, def: "100", min: 1, max: 255,
		about: "The highest among the living nodes is active. 255 is for the node that owns the addresses: it never changes, checks included."},
	{name: "advert_interval", kind: kindDuration, def: `"1s"`, low: 10 * time.Millisecond, top: 255 * time.Second,
		limits: "version 2: whole seconds, 1s to 255s; version 3: 10ms to 40.95s in steps of 10ms",
		about:  "Between advertisements while active. A backup takes over after three of them and a little more."},
	{name: "checksum", kind: kindString, def: `"auto"`, choices: []string{"auto", "rfc9568", "pseudo_header"}, limits: "version 3 over IPv4",
		about: "The form of the checksum that is sent; both are understood. auto: that of the last valid advertisement heard, until then pseudo_header, which keepalived and FRR accept."},
	{name: "preempt", kind: kindBoolean, def: "true", about: "Take over from an active router of lower priority."},
	{name: "preempt_delay", kind: kindDuration, def: `"0s"`, low: 0, top: day, limits: "only with preempt", about: "How long an active router of lower priority is left alone."},
	{name: "start_delay", kind: kindDuration, def: `"0s"`, low: 0, top: day, about: "After the start of vrrpd, before the instance takes part."},
	{name: "addresses", kind: kindAddresses, required: true, sample: `["192.168.1.100/24"]`,
		limits: "ADDRESS/PREFIXLENGTH or ADDRESS, of one family; at most 255 (IPv4) or 90 (IPv6)",
		about:  "The virtual addresses, as advertised. Also { address = \"…\", interface = \"…\", label = \"…\" }. A bare address means /32 or /128."},
	{name: "extra_addresses", kind: kindAddresses, def: "[]", sample: `["2001:db8::100/64"]`, limits: "of either family",
		about: "Addresses that move with the instance, but are not listed in its advertisements."},
	{name: "track", kind: kindTracks, def: "[]", sample: `["nginx"]`, limits: "names of [check.NAME] tables",
		about: "The checks the instance follows. Also { check = \"…\", weight = … }."},
	{name: "virtual_mac", kind: kindBoolean, def: "false", unbuilt: true, only: "false", about: "Serve the addresses from the virtual router MAC address."},
	{name: "unicast", kind: kindTable, when: "multicast", about: "Send to a list of peers in place of the multicast group.",
		sample: `{ source = "192.168.1.10", peers = ["192.168.1.11"], min_ttl = 255 }`},
	{name: "auth", kind: kindTable, when: "none", shy: true, limits: "version 2", about: "RFC 2338 simple text password, for peers that insist on one.",
		sample: `{ type = "pass", password_file = "/etc/vrrpd/pass" }`},
	{name: "strict", kind: kindBoolean, def: "false", about: "Refuse what RFC 9568 forbids but peers do: a first IPv6 address that is not link-local, passwords, unicast."},
	{name: "lease", kind: kindDuration, def: `"auto"`, words: []string{"auto", "off"}, low: 2 * time.Second, top: day,
		limits: "whole seconds; at least 4 × advert_interval",
		about:  "How long the kernel keeps the addresses without vrrpd: if it is killed or hangs they go away by themselves, rather than answer beside the next active router. auto: 4 × advert_interval + 1s, at least 5s. off: they stay. Never with priority 255."},
	{name: "conflict", kind: kindString, def: `"defend"`, choices: []string{"defend", "report"},
		about: "What to do when another host answers for the addresses although it should not (RFC 5227). Either is told of in events, status and metrics; defend: announce the addresses again as well, at most once in 10 s."},
	{name: "handover", kind: kindString, def: `"hold"`, choices: []string{"hold", "immediate"},
		about: "When a node that leaves on purpose releases the addresses. hold: when its successor has them, so that clients lose nothing. immediate: together with its state, as the RFC has it."},
	{name: "handover_timeout", kind: kindDuration, def: `"auto"`, words: []string{"auto"}, low: 10 * time.Millisecond, top: time.Hour,
		about: "How long a node that leaves on purpose waits for its successor. Nobody heard: a demotion is taken back, anything else releases the addresses. auto: 4 × advert_interval + 1s."},
	{name: "announce", kind: kindTable, when: "as the defaults of its keys", about: "Gratuitous ARP and unsolicited neighbour advertisements.",
		sample: `{ burst = 5, again = "5s", refresh = "0s" }`},
}}

var addressTable = &table{name: "instance.NAME.addresses[]", about: "A virtual address, where the address alone does not say enough.", keys: []key{
	{name: "address", kind: kindString, required: true, sample: `"192.168.1.101/24"`, limits: "ADDRESS/PREFIXLENGTH or ADDRESS",
		about: "The virtual address."},
	{name: "interface", kind: kindString, when: "the instance's", sample: `"bond0.10"`, limits: "a Linux interface name", about: "Where it is put."},
	{name: "label", kind: kindString, def: `""`, sample: `"bond0.10:0"`, limits: "IPv4; at most 15 bytes; the interface's name, a colon, and more",
		about: "The name that ifconfig shows it under."},
}}

var trackTable = &table{name: "instance.NAME.track[]", about: "A check that counts differently here.", keys: []key{
	{name: "check", kind: kindString, required: true, sample: `"nginx"`, limits: "the name of a [check.NAME] table", about: "The check."},
	{name: "weight", kind: kindInteger, when: "the check's", min: -253, max: 253, sample: "-30", about: "In place of the check's own weight."},
	{name: "warning_weight", kind: kindInteger, when: "the check's", min: -253, max: 0, sample: "-10", about: "In place of the check's own warning_weight."},
}}

var unicastTable = &table{name: "instance.NAME.unicast", about: "Peers in place of the multicast group.", keys: []key{
	{name: "source", kind: kindString, when: "the primary (IPv6: link-local) address of the interface", sample: `"192.168.1.10"`,
		limits: "of the family of the addresses", about: "The address to send from."},
	{name: "peers", kind: kindStrings, required: true, sample: `["192.168.1.11"]`, limits: "of the family of the addresses; 1 to 255 of them",
		about: "The other nodes. Advertisements of anybody else are dropped."},
	{name: "min_ttl", kind: kindInteger, def: "255", min: 1, max: 255,
		about: "The least TTL or hop limit of an advertisement that is accepted. keepalived sends IPv6 unicast with 64."},
}}

var authTable = &table{name: "instance.NAME.auth", about: "RFC 2338 authentication.", keys: []key{
	{name: "type", kind: kindString, required: true, choices: []string{"pass"}, sample: `"pass"`, about: "The only type there is."},
	{name: "password_file", kind: kindString, when: "none", sample: `"/etc/vrrpd/pass"`, limits: "an absolute path; 1 to 8 bytes, a newline at the end does not count",
		about: "The file with the password. It should be readable by root alone."},
	{name: "password", kind: kindString, when: "none", limits: "1 to 8 bytes; not together with password_file", about: "The password itself."},
}}

var announceTable = &table{name: "instance.NAME.announce", about: "How the addresses are announced to the LAN.", keys: []key{
	{name: "burst", kind: kindInteger, def: "5", min: 1, max: 20, about: "Announcements of each address on becoming active."},
	{name: "again", kind: kindDuration, def: `"5s"`, low: 0, top: time.Hour, about: "Until a second burst. 0s: there is none."},
	{name: "refresh", kind: kindDuration, def: `"0s"`, low: 0, top: day, limits: "0s, or at least 1s", about: "Between announcements while active. 0s: there are none."},
}}

var groupTable = &table{name: "group.NAME", about: "Instances that move together.", keys: []key{
	{name: "instances", kind: kindStrings, required: true, sample: `["web"]`,
		limits: "instances of the same priority, preempt and handover, in no other group", about: "The members. One that is in fault takes the others along."},
}}

var notifyTable = &table{name: "notify", about: "A command that is run after changes of state.", keys: []key{
	{name: "command", kind: kindStrings, required: true, sample: `["/etc/vrrpd/notify.sh"]`,
		limits: "as the command of a check", about: "It is called with INSTANCE|GROUP NAME ACTIVE|BACKUP|FAULT|STOP PRIORITY appended, one at a time per instance, as vrrpd's own user. It is killed after 60 s, or 5 s when vrrpd stops."},
	{name: "instances", kind: kindStrings, when: "all", sample: `["web"]`, limits: "names of instances and groups", about: "Whose changes it is run after."},
	{name: "keepalived_names", kind: kindBoolean, def: "false", about: "Say MASTER in place of ACTIVE."},
	{name: "conditions", kind: kindBoolean, def: "false",
		about: "Call it also when something is wrong with an instance and lasts, and when that is over: INSTANCE NAME CONDITION PRIORITY dual_active|owner_conflict|same_address|address_conflict|no_carrier on|off."},
}}

// A place is a table at the top of a file.
type place struct {
	table *table
	named bool // one table per name below it
	list  bool // [[…]]
}

// places are the top-level tables in the order of the reference.
var places = []place{
	{table: nodeTable}, {table: logTable}, {table: controlTable}, {table: httpTable},
	{table: bondTable, named: true}, {table: checkTable, named: true}, {table: instanceTable, named: true},
	{table: groupTable, named: true}, {table: notifyTable, list: true},
}

// innerTables are the tables within those at the top, by the key that holds
// them.
var innerTables = []struct {
	of    *table
	key   string
	table *table
}{
	{checkTable, "tcp", tcpTable}, {checkTable, "http", httpCheckTable}, {checkTable, "icmp", icmpTable}, {checkTable, "arp", arpTable}, {checkTable, "file", fileTable}, {checkTable, "process", processTable},
	{checkTable, "interface", interfaceTable}, {checkTable, "route", routeTable}, {checkTable, "bond", bondCheckTable}, {checkTable, "unit", unitTable},
	{checkTable, "grpc", grpcTable},
	{instanceTable, "addresses", addressTable}, {instanceTable, "track", trackTable}, {instanceTable, "unicast", unicastTable},
	{instanceTable, "auth", authTable}, {instanceTable, "announce", announceTable},
}
