// Package bonding knows Linux bonds: what the kernel's bonding driver is doing,
// whether that is good enough to serve on, what is misconfigured, and how to
// put it right.
//
// A [Handle] is a netlink conversation in one network namespace. It reads:
//
//	h, err := bonding.Open()
//	b, err := h.Bond("bond0")
//	v := bonding.Judge(&b, bonding.Policy{MinLinks: 1})
//	fmt.Println(v.Health, v.Reasons) // degraded [eth0: down]
//
// [Handle.BondsUnder] finds the bonds that a VLAN, bridge, macvlan or VRF runs
// over. A [Watcher] follows every bond of the namespace and reports each change;
// [Compare] names what changed between two readings. [Judge], [Debounce],
// [Diagnose], [Plan] and [Compare] are pure: they read no clock, no file and no
// kernel, and so are tested by tables. [Handle.Apply] carries out a plan, and
// [Handle.SetActive] moves the active link of an active-backup bond.
//
// The words are the kernel's (Documentation/networking/bonding.rst), with one
// exception: what the driver calls a slave is a link here. Attributes are those
// of include/uapi/linux/if_link.h (IFLA_BOND_*). They are read straight from
// the netlink messages: /proc/net/bonding is no stable interface, and sysfs
// shows the namespace it was mounted in rather than the one asked about. LACP
// is IEEE 802.1AX; what a bond must do for a virtual router (announce again
// after a failover, no election because of one) follows from RFC 9568 §6.4.
//
// Linux 4.18 or newer. Nothing here logs, and nothing but a Watcher starts a
// goroutine.
package bonding
