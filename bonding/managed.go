package bonding

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Managed is what a bond should be. What is not said (nil, zero, "") is left
// as it is.
type Managed struct {
	Name  string
	Mode  Mode     // required to create the bond
	Links []string // at least these

	MIIMon    *time.Duration // whole milliseconds; 0 is off
	UpDelay   *time.Duration // rounded down to whole MIIMon, as the kernel does
	DownDelay *time.Duration // likewise

	ARPInterval *time.Duration // whole milliseconds; 0 is off
	ARPTargets  []netip.Addr   // IPv4, at most 16
	ARPValidate ARPValidate

	Primary     string
	Reselect    Reselect
	FailOverMAC FailOverMAC
	HashPolicy  HashPolicy
	LACPRate    LACPRate

	MinLinks       *int // the driver's own, 802.3ad
	NumPeerNotif   *int // 0..255
	ResendIGMP     *int // 0..255
	AllLinksActive *bool
}

// What an option needs of the bond before the driver lets it be set
// (BOND_OPTFLAG_* in drivers/net/bonding/bond_options.c).
type need uint8

const (
	needNothing need = iota
	needDown         // the bond set down
	needEmpty        // no links attached
)

// setting is one option of Managed beside the same option of a Bond.
type setting struct {
	option string // the kernel's name
	want   string // "" if not said
	have   string
	attr   uint16
	value  []byte // the attribute's payload; for primary none, it is an index to be found
	need   need
	modes  func(Mode) bool // nil: all
}

func only8023AD(m Mode) bool { return m == Mode8023AD }

// settings lists every option in the order in which they must be set: mode
// first, and a monitor before the delays that count in its polls.
func (m *Managed) settings(b *Bond) []setting {
	var all []setting
	add := func(s setting) {
		if s.want != "" {
			all = append(all, s)
		}
	}
	add(choice("mode", unix.IFLA_BOND_MODE, m.Mode, b.Mode, needEmpty, nil))
	add(choice("fail_over_mac", unix.IFLA_BOND_FAIL_OVER_MAC, m.FailOverMAC, b.FailOverMAC, needEmpty, nil))
	add(choice("lacp_rate", unix.IFLA_BOND_AD_LACP_RATE, m.LACPRate, b.LACPRate, needDown, only8023AD))
	add(choice("xmit_hash_policy", unix.IFLA_BOND_XMIT_HASH_POLICY, m.HashPolicy, b.HashPolicy, needNothing, nil))
	m.monitorSettings(b, add)
	add(number32("min_links", unix.IFLA_BOND_MIN_LINKS, m.MinLinks, b.MinLinks))
	if n := m.NumPeerNotif; n != nil {
		add(setting{option: "num_grat_arp", want: strconv.Itoa(*n), have: strconv.Itoa(b.NumPeerNotif), attr: unix.IFLA_BOND_NUM_PEER_NOTIF, value: []byte{uint8(*n)}})
	}
	add(number32("resend_igmp", unix.IFLA_BOND_RESEND_IGMP, m.ResendIGMP, b.ResendIGMP))
	if on := m.AllLinksActive; on != nil {
		add(setting{option: "all_slaves_active", want: bit(*on), have: bit(b.AllLinksActive), attr: unix.IFLA_BOND_ALL_SLAVES_ACTIVE, value: []byte{bit(*on)[0] - '0'}})
	}
	add(choice("primary_reselect", unix.IFLA_BOND_PRIMARY_RESELECT, m.Reselect, b.Reselect, needNothing, Mode.HasActiveLink))
	add(setting{option: "primary", want: m.Primary, have: b.Primary, attr: unix.IFLA_BOND_PRIMARY, modes: Mode.HasActiveLink})
	return all
}

func (m *Managed) monitorSettings(b *Bond, add func(setting)) {
	mii := b.MIIMon
	if m.MIIMon != nil {
		mii = *m.MIIMon
	}
	delay := func(d *time.Duration) *time.Duration {
		if d == nil || mii <= 0 {
			return nil // the driver refuses a delay without polls to count
		}
		rounded := *d - *d%mii
		return &rounded
	}
	// Turning one monitor on turns the other off. The one that is to run goes
	// first, so that the bond is never without.
	arp := func() {
		if len(m.ARPTargets) > 0 {
			var list attrs
			for i, a := range m.ARPTargets {
				list.bytes(uint16(i), a.Unmap().AsSlice())
			}
			add(setting{option: "arp_ip_target", want: addrList(m.ARPTargets), have: addrList(b.ARPTargets), attr: unix.IFLA_BOND_ARP_IP_TARGET | unix.NLA_F_NESTED, value: list, modes: Mode.TakesARPMonitor})
		}
		if v := m.ARPValidate; v != 0 {
			add(setting{option: "arp_validate", want: v.String(), have: b.ARPValidate.String(), attr: unix.IFLA_BOND_ARP_VALIDATE, value: u32(uint32(v - 1)), modes: Mode.TakesARPMonitor})
		}
		s := millis32("arp_interval", unix.IFLA_BOND_ARP_INTERVAL, m.ARPInterval, b.ARPInterval)
		s.modes = Mode.TakesARPMonitor
		add(s)
	}
	if m.ARPInterval != nil && *m.ARPInterval > 0 {
		arp()
		add(millis32("miimon", unix.IFLA_BOND_MIIMON, m.MIIMon, b.MIIMon))
		return
	}
	add(millis32("miimon", unix.IFLA_BOND_MIIMON, m.MIIMon, b.MIIMon))
	add(millis32("updelay", unix.IFLA_BOND_UPDELAY, delay(m.UpDelay), b.UpDelay))
	add(millis32("downdelay", unix.IFLA_BOND_DOWNDELAY, delay(m.DownDelay), b.DownDelay))
	arp()
}

// choice is an option of the kernel's small enumerations.
func choice[E interface {
	~uint8
	fmt.Stringer
}](option string, attr uint16, want, have E, n need, modes func(Mode) bool) setting {
	if want == 0 {
		return setting{}
	}
	return setting{option, want.String(), have.String(), attr, []byte{uint8(want) - 1}, n, modes}
}

func millis32(option string, attr uint16, want *time.Duration, have time.Duration) setting {
	if want == nil {
		return setting{}
	}
	return setting{option: option, want: want.String(), have: have.String(), attr: attr, value: u32(uint32(*want / time.Millisecond))}
}

func number32(option string, attr uint16, want *int, have int) setting {
	if want == nil {
		return setting{}
	}
	return setting{option: option, want: strconv.Itoa(*want), have: strconv.Itoa(have), attr: attr, value: u32(uint32(*want))}
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func bit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// addrList is the targets in an order of their own: the driver keeps them in
// slots, and which slot means nothing.
func addrList(addrs []netip.Addr) string {
	s := make([]string, 0, len(addrs))
	for _, a := range slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare) {
		s = append(s, a.String())
	}
	return strings.Join(s, ",")
}

// Check says what the driver would refuse, one sentence each, without asking
// it: for a configuration that is only being looked at.
func (m *Managed) Check() []string {
	var bad []string
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if m.Mode == 0 {
		say("mode: not said")
	}
	on := func(d *time.Duration) bool { return d != nil && *d > 0 }
	if on(m.MIIMon) && on(m.ARPInterval) {
		say("miimon and arp_interval: the kernel runs one monitor, set the other to 0")
	}
	if on(m.ARPInterval) && len(m.ARPTargets) == 0 {
		say("arp_interval: no arp_ip_target to ask")
	}
	if (on(m.UpDelay) || on(m.DownDelay)) && !on(m.MIIMon) {
		say("updelay and downdelay: counted in polls of miimon, which is not set")
	}
	if len(m.ARPTargets) > 16 {
		say("arp_ip_target: %d targets, the kernel takes 16", len(m.ARPTargets))
	}
	for _, a := range m.ARPTargets {
		if !a.Unmap().Is4() {
			say("arp_ip_target: %s is no IPv4 address", a)
		}
	}
	if m.Primary != "" && !slices.Contains(m.Links, m.Primary) {
		say("primary: %s is not among the links", m.Primary)
	}
	m.checkNumbers(say)
	if m.Mode == 0 {
		return bad
	}
	for _, s := range m.settings(&Bond{}) {
		if s.modes != nil && !s.modes(m.Mode) && s.want != "0s" {
			say("%s: does not exist in mode %s", s.option, m.Mode)
		}
	}
	return bad
}

func (m *Managed) checkNumbers(say func(string, ...any)) {
	for _, d := range []struct {
		option string
		value  *time.Duration
	}{{"miimon", m.MIIMon}, {"updelay", m.UpDelay}, {"downdelay", m.DownDelay}, {"arp_interval", m.ARPInterval}} {
		if d.value != nil && (*d.value < 0 || *d.value%time.Millisecond != 0 || *d.value > 24*time.Hour) {
			say("%s: %s is not a number of whole milliseconds up to a day", d.option, *d.value)
		}
	}
	for _, n := range []struct {
		option string
		value  *int
		most   int
	}{{"min_links", m.MinLinks, 1 << 16}, {"num_grat_arp", m.NumPeerNotif, 255}, {"resend_igmp", m.ResendIGMP, 255}} {
		if n.value != nil && (*n.value < 0 || *n.value > n.most) {
			say("%s: %d is not in 0..%d", n.option, *n.value, n.most)
		}
	}
}
