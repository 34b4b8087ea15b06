package vip

import (
	"net"
	"net/netip"
)

// mark is the address protocol (IFA_PROTO) of addresses added here: the IP
// protocol number of VRRP.
const mark = 112

// A view is the kernel's links and addresses at one moment.
type view struct {
	links    map[string]*link
	index    map[int]*link
	at       map[spot][]*entry
	list     []*entry // in the kernel's order: the primary of a subnet before its secondaries
	loopback *link    // nil: none
	marked   []*entry // on the loopback interface, with the mark
	// exact: straight from the kernel. After own additions the view is still
	// complete, but no longer knows primaries from secondaries.
	exact bool
}

// A spot is an IP address on an interface, whatever its prefix length.
type spot struct {
	index int
	ip    netip.Addr
}

// A place is an address on an interface; several prefix lengths of one IPv4
// address are several places.
type place struct {
	index  int
	prefix netip.Prefix
}

// A link is an interface as far as this package cares.
type link struct {
	name    string
	index   int
	up      bool // administratively up
	running bool // operational: frames can leave
	talks   bool // Ethernet with ARP, no loopback
	mac     net.HardwareAddr
	// permanent is what the hardware came with; nil: unknown, or the same.
	permanent net.HardwareAddr
	router    bool // forwards IPv6
	promote   bool // promotes secondary IPv4 addresses (its own switch, not that of "all")
	arp       arpSwitches
	loops     bool // is a loopback interface
	vrf       bool // belongs to a VRF
}

// arpSwitches are an interface's own net.ipv4.conf.IF.arp_ignore and
// arp_announce (Documentation/networking/ip-sysctl.rst).
type arpSwitches struct{ ignore, announce uint32 }

// announces reports whether announcements can leave through the link.
func (l *link) announces() bool { return l != nil && l.up && l.running && l.talks }

// An entry is an address the kernel has.
type entry struct {
	index     int
	prefix    netip.Prefix // local address and prefix length
	peer      netip.Addr   // invalid unless it differs from the local address
	label     string
	secondary bool
	marked    bool
	expires   bool   // has a lifetime
	flags     uint32 // IFA_F_*
	metric    uint32 // of its prefix route; 0: the usual one
	msg       []byte // RTM_NEWADDR body as dumped, to put the address back as it was; nil if added here

	wanted bool // to be held; written by diff
}

func (e *entry) place() place { return place{e.index, e.prefix} }
func (e *entry) spot() spot   { return spot{e.index, e.prefix.Addr()} }

func newView() *view {
	return &view{links: map[string]*link{}, index: map[int]*link{}, at: map[spot][]*entry{}, exact: true}
}

func (v *view) addLink(l *link) {
	v.links[l.name], v.index[l.index] = l, l
	if l.loops && v.loopback == nil {
		v.loopback = l
	}
}

func (v *view) addEntry(e *entry) {
	v.list = append(v.list, e)
	v.at[e.spot()] = append(v.at[e.spot()], e)
	if e.marked && v.loopback != nil && e.index == v.loopback.index {
		v.marked = append(v.marked, e)
	}
}

// find returns the address at a place, nil if there is none.
func (v *view) find(p place) *entry {
	for _, e := range v.at[spot{p.index, p.prefix.Addr()}] {
		if e.prefix == p.prefix {
			return e
		}
	}
	return nil
}

// interfaceName returns the name for messages and events.
func (v *view) interfaceName(index int) string {
	if l := v.index[index]; l != nil {
		return l.name
	}
	return "?"
}
