package bonding

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Errors of a reading.
var (
	// ErrAbsent: no interface has that name.
	ErrAbsent = errors.New("no such interface")
	// ErrNotBond: the interface is something else.
	ErrNotBond = errors.New("not a bond")
)

// A Bond is one reading of a bond and its links. It is a value: nothing in it
// changes when the kernel's bond does.
type Bond struct {
	Name    string
	Index   int  // changes when a bond is deleted and made again
	Up      bool // administratively up
	Carrier bool // what is above the bond may send; see min_links in bonding.rst
	MAC     net.HardwareAddr

	Mode       Mode
	ActiveLink string // "" in a mode without one, and while there is none
	Primary    string // "" also while the primary is not attached
	Reselect   Reselect

	// The MII monitor; MIIMon 0 is off. The kernel keeps the delays as a number
	// of polls, so they always read as multiples of MIIMon.
	MIIMon     time.Duration
	UpDelay    time.Duration
	DownDelay  time.Duration
	UseCarrier bool

	// The ARP monitor; ARPInterval 0 is off. The kernel runs one monitor or the
	// other, never both, but keeps the targets of one that is off.
	ARPInterval  time.Duration
	ARPTargets   []netip.Addr
	NSTargets    []netip.Addr // ns_ip6_target, Linux 5.18
	ARPValidate  ARPValidate
	ARPAll       bool // every target must answer (arp_all_targets)
	ARPMissedMax int  // Linux 5.17; 0: not told

	FailOverMAC    FailOverMAC
	MinLinks       int           // the kernel's own, 802.3ad only
	NumPeerNotif   int           // gratuitous ARP and unsolicited NA after a failover
	PeerNotifDelay time.Duration // between them, Linux 5.3; 0: every MIIMon
	ResendIGMP     int
	AllLinksActive bool // frames that arrive on backup links are not dropped
	HashPolicy     HashPolicy

	LACPRate   LACPRate
	LACPActive bool        // true also where the kernel (before 5.16) has no choice
	Aggregator *Aggregator // the active one; nil while there is none, and in other modes

	Links []Link // in the order of their index
}

// An Aggregator is the group of links that LACP has chosen to use.
type Aggregator struct {
	ID         int
	Ports      int
	ActorKey   int
	PartnerKey int
	Partner    net.HardwareAddr // all zero: nobody on the other side speaks LACP
}

// A Link is one interface of a bond.
type Link struct {
	Name     string
	Index    int
	Up       bool // administratively up
	Carrier  bool
	MAC      net.HardwareAddr
	PermMAC  net.HardwareAddr // its own, from before it was attached
	MII      MIIState
	Active   bool   // carries traffic: the active link, or in modes without one any link the bond sends over
	Failures uint64 // times the monitor saw it fail, since it was attached
	Priority int    // order among candidates for the active link, Linux 6.0
	Speed    int    // Mbit/s; 0: unknown
	Duplex   Duplex
	Driver   string // of the network card, "" if unknown
	Bus      string // where the card is, e.g. 0000:03:00.1; "" if unknown

	AggregatorID int       // 802.3ad
	Actor        PortState // 802.3ad: ours
	Partner      PortState // 802.3ad: the other side's, as it last told us
}

// Monitored reports whether the bond notices that a link fails.
func (b *Bond) Monitored() bool { return b.MIIMon > 0 || b.ARPInterval > 0 }

// Link finds a link by name; nil if it is not attached.
func (b *Bond) Link(name string) *Link {
	i := slices.IndexFunc(b.Links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &b.Links[i]
}

// Usable reports whether the bond could send over the link now, or would as
// soon as it became the active one: it is up, has carrier, the monitor agrees,
// and under LACP it is in the aggregator that is in use.
//
// Carrier is asked for as well as the monitor's word, because without a monitor
// the kernel believes every link to be up for ever (seen on 6.1: MII status up
// with the cable pulled), and with one it is a poll late.
func (b *Bond) Usable(l *Link) bool {
	if !l.Up || !l.Carrier || l.MII != MIIUp {
		return false
	}
	if b.Mode == Mode8023AD {
		return b.Aggregator != nil && l.Active && l.AggregatorID == b.Aggregator.ID
	}
	return true
}

// UsableLinks counts the usable links.
func (b *Bond) UsableLinks() int {
	n := 0
	for i := range b.Links {
		if b.Usable(&b.Links[i]) {
			n++
		}
	}
	return n
}

// HasPartner reports whether LACP was negotiated with anybody.
func (a *Aggregator) HasPartner() bool {
	return slices.ContainsFunc(a.Partner, func(b byte) bool { return b != 0 })
}
