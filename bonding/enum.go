package bonding

import (
	"fmt"
	"strings"
)

// The enumerations count from one, so that a zero is "not said" and never one
// of the kernel's choices by accident; the kernel's own number is one less.

// A Mode is how a bond uses its links.
type Mode uint8

// The seven modes of the driver.
const (
	_ Mode = iota
	ModeBalanceRR
	ModeActiveBackup
	ModeBalanceXOR
	ModeBroadcast
	Mode8023AD
	ModeBalanceTLB
	ModeBalanceALB
)

var modeNames = []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}

// String is the kernel's name of the mode.
func (m Mode) String() string { return enumName("mode", modeNames, uint8(m)) }

// ParseMode finds a mode by the kernel's name.
func ParseMode(s string) (Mode, error) {
	n, err := enumParse("mode", modeNames, s)
	return Mode(n), err
}

// HasActiveLink reports whether one link of the mode is the active one.
// Only these modes know a primary.
func (m Mode) HasActiveLink() bool {
	return m == ModeActiveBackup || m == ModeBalanceTLB || m == ModeBalanceALB
}

// TakesARPMonitor reports whether the mode can be monitored by ARP.
func (m Mode) TakesARPMonitor() bool {
	return m != Mode8023AD && m != ModeBalanceTLB && m != ModeBalanceALB
}

// An MIIState is what the bond's monitor makes of a link.
type MIIState uint8

// The monitor's states. GoingDown waits for downdelay, GoingBack for updelay.
const (
	_ MIIState = iota
	MIIUp
	MIIGoingDown
	MIIDown
	MIIGoingBack
)

var miiNames = []string{"up", "going down", "down", "going back"}

// String is the kernel's name of the state.
func (s MIIState) String() string { return enumName("MII state", miiNames, uint8(s)) }

// A Reselect says when the primary becomes the active link again.
type Reselect uint8

// The kernel's primary_reselect.
const (
	_ Reselect = iota
	ReselectAlways
	ReselectBetter
	ReselectFailure
)

var reselectNames = []string{"always", "better", "failure"}

// String is the kernel's name of the policy.
func (r Reselect) String() string { return enumName("primary_reselect", reselectNames, uint8(r)) }

// ParseReselect finds a policy by the kernel's name.
func ParseReselect(s string) (Reselect, error) {
	n, err := enumParse("primary_reselect", reselectNames, s)
	return Reselect(n), err
}

// A FailOverMAC says which addresses an active-backup bond and its links have.
type FailOverMAC uint8

// The kernel's fail_over_mac. None: every link has the bond's address. Active:
// the bond takes the address of the active link. Follow: a link takes the
// bond's address when it becomes active.
const (
	_ FailOverMAC = iota
	FailOverMACNone
	FailOverMACActive
	FailOverMACFollow
)

var failOverMACNames = []string{"none", "active", "follow"}

// String is the kernel's name of the policy.
func (f FailOverMAC) String() string { return enumName("fail_over_mac", failOverMACNames, uint8(f)) }

// ParseFailOverMAC finds a policy by the kernel's name.
func ParseFailOverMAC(s string) (FailOverMAC, error) {
	n, err := enumParse("fail_over_mac", failOverMACNames, s)
	return FailOverMAC(n), err
}

// An ARPValidate says which frames the ARP monitor believes.
type ARPValidate uint8

// The kernel's arp_validate.
const (
	_ ARPValidate = iota
	ARPValidateNone
	ARPValidateActive
	ARPValidateBackup
	ARPValidateAll
	ARPValidateFilter
	ARPValidateFilterActive
	ARPValidateFilterBackup
)

var arpValidateNames = []string{"none", "active", "backup", "all", "filter", "filter_active", "filter_backup"}

// String is the kernel's name of the policy.
func (a ARPValidate) String() string { return enumName("arp_validate", arpValidateNames, uint8(a)) }

// ParseARPValidate finds a policy by the kernel's name.
func ParseARPValidate(s string) (ARPValidate, error) {
	n, err := enumParse("arp_validate", arpValidateNames, s)
	return ARPValidate(n), err
}

// A LACPRate is how often LACPDUs are asked for.
type LACPRate uint8

// Slow is one LACPDU in 30 seconds, and 90 seconds until a silent partner is
// noticed; fast is one a second, and 3 seconds.
const (
	_ LACPRate = iota
	LACPSlow
	LACPFast
)

var lacpRateNames = []string{"slow", "fast"}

// String is the kernel's name of the rate.
func (r LACPRate) String() string { return enumName("lacp_rate", lacpRateNames, uint8(r)) }

// ParseLACPRate finds a rate by the kernel's name.
func ParseLACPRate(s string) (LACPRate, error) {
	n, err := enumParse("lacp_rate", lacpRateNames, s)
	return LACPRate(n), err
}

// A HashPolicy chooses the link of a frame in the balancing modes.
type HashPolicy uint8

// The kernel's xmit_hash_policy.
const (
	_ HashPolicy = iota
	HashLayer2
	HashLayer34
	HashLayer23
	HashEncap23
	HashEncap34
	HashVLANSrcMAC
)

var hashNames = []string{"layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"}

// String is the kernel's name of the policy.
func (p HashPolicy) String() string { return enumName("xmit_hash_policy", hashNames, uint8(p)) }

// ParseHashPolicy finds a policy by the kernel's name.
func ParseHashPolicy(s string) (HashPolicy, error) {
	n, err := enumParse("xmit_hash_policy", hashNames, s)
	return HashPolicy(n), err
}

// A Duplex is whether a link can send and receive at once.
type Duplex uint8

// The zero Duplex is unknown: a link without carrier has none.
const (
	DuplexUnknown Duplex = iota
	DuplexHalf
	DuplexFull
)

// String is half, full or unknown.
func (d Duplex) String() string {
	switch d {
	case DuplexHalf:
		return "half"
	case DuplexFull:
		return "full"
	default:
		return "unknown"
	}
}

// A PortState is the state octet of a LACPDU (IEEE 802.1AX §6.4.2.3).
type PortState uint8

// The bits of the state octet.
const (
	PortActive PortState = 1 << iota // sends LACPDUs unasked
	PortShortTimeout
	PortAggregation
	PortSync
	PortCollecting   // takes frames in
	PortDistributing // sends frames
	PortDefaulted    // never heard a partner
	PortExpired      // hears the partner no more
)

var portNames = []string{"active", "short_timeout", "aggregating", "in_sync", "collecting", "distributing", "defaulted", "expired"}

// Has reports whether all bits of want are set.
func (p PortState) Has(want PortState) bool { return p&want == want }

// String lists the bits that are set, as iproute2 does.
func (p PortState) String() string {
	var set []string
	for i, name := range portNames {
		if p&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	return "<" + strings.Join(set, ",") + ">"
}

func enumName(what string, names []string, n uint8) string {
	if n == 0 {
		return "unset"
	}
	if int(n) > len(names) {
		return fmt.Sprintf("unknown %s %d", what, n-1)
	}
	return names[n-1]
}

func enumParse(what string, names []string, s string) (uint8, error) {
	for i, name := range names {
		if s == name {
			return uint8(i + 1), nil
		}
	}
	return 0, fmt.Errorf("%s %q: not one of %s", what, s, strings.Join(names, ", "))
}
