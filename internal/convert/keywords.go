package convert

import "strings"

// A fate is what becomes of a keyword that is not carried over.
type fate struct {
	words   string // separated by blanks; a * at the end stands for any ending
	quiet   bool   // vrrpd does it anyway, or it means nothing to others
	what    string // why it is not carried over
	instead string
}

// fates are all keywords that are known and not converted, in the groups of
// the manual.
var fates = []fate{
	// Of the daemon itself.
	{words: "process_names process_name *_process_name use_pid_dir instance child_wait_time umask random_seed data_use_instance use_symlink_paths " +
		"tmp_config_directory config_save_dir *_dump_file json_version iproute_* reload_* max_auto_priority min_auto_priority_delay " +
		"vrrp_priority vrrp_rt_priority vrrp_cpu_affinity vrrp_no_swap vrrp_rlimit_* bfd_priority bfd_rt_priority bfd_cpu_affinity bfd_no_swap bfd_rlimit_* " +
		"default_interface set_supplementary_groups include_check linkbeat_use_polling linkbeat_interfaces dynamic_interfaces enable_script_security " +
		"rs_init_notifies no_checker_emails vrrp_netlink_* vrrp_rx_bufs_* process_monitor_* kernel_rx_buf_size disable_local_igmp debug", quiet: true},
	{words: "net_namespace net_namespace_ipvs namespace_with_ipsets", what: "a daemon of vrrpd stays in the network namespace that it was started in",
		instead: "start it there: NetworkNamespacePath= in its unit, or ip netns exec"},
	{words: "startup_script shutdown_script startup_script_timeout shutdown_script_timeout", what: "there are no such scripts", instead: "use ExecStartPre= and ExecStopPost= in the unit"},
	{words: "interface_up_down_delays", what: "changes of an interface are not delayed", instead: "short losses of carrier are ridden out for three intervals anyway"},
	{words: "static_ipaddress static_routes static_rules track_group", what: "what does not move with a router is not managed", instead: "have the system's network configuration do it"},
	{words: "garp_group", quiet: true},
	{words: "bfd_instance track_bfd", what: "BFD is not built", instead: "advertisements can be sent every 10 ms; or track a check"},
	// Firewall, SNMP, D-Bus, mail, FIFO.
	{words: "nftables nftables_* vrrp_iptables vrrp_ipsets", quiet: true},
	{words: "enable_snmp* enable_traps snmp_socket", what: "there is no SNMP", instead: "set http.listen and collect /metrics"},
	{words: "enable_dbus dbus_*", what: "there is no D-Bus interface", instead: "use vrrpctl -o json, or the control socket"},
	{words: "notification_email notification_email_from smtp_server smtp_helo_name smtp_connect_timeout smtp_alert smtp_alert_* no_email_faults",
		what: "no mail is sent", instead: "write a [[notify]] command that does, or alert on the metrics"},
	{words: "notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script fifo_write_vrrp_states_on_reload",
		what: "there is no FIFO", instead: "write a [[notify]] command, or read vrrpctl events -f -o json"},
	// The protocol.
	{words: "vrrp_mcast_group4 vrrp_mcast_group6 mcast_dst_ip", what: "advertisements go to the group of the RFC, where peers with another group do not hear them", instead: "let all nodes use 224.0.0.18 and ff02::12"},
	{words: "vrrp_garp_lower_prio_* garp_lower_prio_* vrrp_garp_interval vrrp_gna_interval garp_interval gna_interval garp_extra_if vrrp_garp_extra_if " +
		"vrrp_lower_prio_no_advert lower_prio_no_advert vrrp_higher_prio_send_advert higher_prio_send_advert vrrp_owner_ignore_adverts owner_ignore_adverts " +
		"vrrp_check_unicast_src check_unicast_src vrrp_skip_check_adv_addr skip_check_adv_addr log_unknown_vrids old_unicast_checksum native_ipv6 " +
		"timer_expired_backup promote_secondaries vmac_prefix vmac_addr_prefix", quiet: true},
	{words: "vrrp_delay_after_boot", what: "no delay counts from the boot of the host", instead: "set start_delay, which counts from the start of vrrpd"},
	{words: "use_vmac use_vmac_addr vmac_xmit_base use_ipvlan", what: "virtual MAC addresses are not built: the addresses are served from the interface's own, and announced", instead: "if clients cannot take that, stay with keepalived"},
	{words: "vrf", what: "there is no such key", instead: "an interface in a VRF works as it is; start vrrpd in ip vrf exec if it must not"},
	{words: "unicast_fault_no_peer", quiet: true},
	{words: "auth_hmac", what: "auth_hmac is not built, and peers that have it drop what carries none", instead: "remove it on all nodes, or stay with keepalived"},
	{words: "no_accept", what: "whoever is active answers for the addresses", instead: "drop what is not wanted in the firewall"},
	{words: "accept", quiet: true},
	{words: "virtual_routes virtual_rules", what: "routes and rules do not move with the addresses", instead: "set them in a [[notify]] command, or stay with keepalived"},
	{words: "no_virtual_ipaddress", what: "an instance needs an address", instead: "give it one"},
	{words: "dont_track_primary", what: "an instance is in fault while its own interface is down", instead: ""},
	{words: "track_src_ip", quiet: true},
	{words: "lvs_sync_daemon lvs_sync_daemon_interface", what: "vrrpd does not run the LVS sync daemon", instead: "start it from a [[notify]] command: ipvsadm --start-daemon"},
	// Notifications.
	{words: "notify_master_rx_lower_pri", what: "there is no such notification", instead: "conditions = true in [[notify]] tells of dual_active"},
	{words: "notify_priority_changes vrrp_notify_priority_changes", what: "changes of priority are not notified", instead: "collect the metric vrrpd_instance_priority, or read vrrpctl events"},
	{words: "notify_deleted", what: "an instance that a reload removes is notified as STOP", instead: ""},
	// Scripts and trackers.
	{words: "init_fail", what: "keepalived does not heed it for a script that is tracked", instead: `write initial = "failing" if it is meant`},
	{words: "init_file", quiet: true},
	{words: "delay fork_delay terminate_delay", what: "the end and the start of a process count at once", instead: "set hold_down against flapping"},
	{words: "quorum_max", what: "there is no upper bound", instead: "use a command"},
	// Load balancing.
	{words: "virtual_server virtual_server_group real_server SSL", what: "vrrpd does no load balancing", instead: "keep that part in a keepalived of its own (keepalived -C), or use a load balancer"},
	{words: "lvs_* checker_*", quiet: true},
}

// aliases are keepalived's other words for the same.
var aliases = map[string]string{
	"mcast_src_ip": "unicast_src_ip", "vmac_garp_intvl": "garp_extra_if", "vrrp_vmac_garp_intvl": "vrrp_garp_extra_if",
	"thread_timer_expired": "timer_expired_backup",
}

func alias(word string) string {
	if a := aliases[word]; a != "" {
		return a
	}
	return word
}

// other decides what becomes of a statement that is not converted.
func (c *converter) other(key string, s *statement) {
	word := alias(s.word())
	for _, f := range fates {
		if !f.names(word) {
			continue
		}
		if !f.quiet {
			c.warn(s.place, key, f.what, f.instead)
		}
		return
	}
	c.warn(s.place, key, "the keyword is unknown and left out", "see whether it is spelled right: keepalived leaves out those that it does not know")
}

func (f *fate) names(word string) bool {
	for w := range strings.FieldsSeq(f.words) {
		head, any := strings.CutSuffix(w, "*")
		tail := ""
		if rest, ok := strings.CutPrefix(w, "*"); ok {
			head, tail, any = "", rest, true
		}
		if word == w || any && strings.HasPrefix(word, head) && strings.HasSuffix(word, tail) {
			return true
		}
	}
	return false
}
