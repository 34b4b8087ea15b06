package bonding

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// linkMsg is what an RTM_NEWLINK or RTM_DELLINK says about one interface.
type linkMsg struct {
	index     int
	flags     uint32
	name      string
	mac       net.HardwareAddr
	carrier   bool
	master    int
	lower     int    // IFLA_LINK: what a VLAN or macvlan sits on, in this namespace
	kind      string // bond, vlan, veth, …
	slaveKind string // bond: a link of one
	data      []byte // IFLA_INFO_DATA
	slaveData []byte // IFLA_INFO_SLAVE_DATA
}

func decodeLink(b []byte) (linkMsg, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return linkMsg{}, errors.New("short link message")
	}
	m := linkMsg{
		index: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		flags: binary.NativeEndian.Uint32(b[8:]),
	}
	abroad := false
	err := eachAttr(b[unix.SizeofIfInfomsg:], func(typ uint16, v []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			m.name = attrString(v)
		case unix.IFLA_ADDRESS:
			m.mac = mac(v)
		case unix.IFLA_CARRIER:
			m.carrier = attrU8(v) != 0
		case unix.IFLA_MASTER:
			m.master = int(attrU32(v))
		case unix.IFLA_LINK:
			m.lower = int(attrU32(v))
		case unix.IFLA_LINK_NETNSID:
			abroad = true // the index is one of another namespace
		case unix.IFLA_LINKINFO:
			// A malformed nest leaves the kind empty: not a bond.
			_ = eachAttr(v, m.linkInfo)
		}
	})
	if abroad || m.kind == "veth" { // a veth names its other end so
		m.lower = 0
	}
	return m, err
}

func (m *linkMsg) linkInfo(typ uint16, v []byte) {
	switch typ {
	case unix.IFLA_INFO_KIND:
		m.kind = attrString(v)
	case unix.IFLA_INFO_DATA:
		m.data = v
	case unix.IFLA_INFO_SLAVE_KIND:
		m.slaveKind = attrString(v)
	case unix.IFLA_INFO_SLAVE_DATA:
		m.slaveData = v
	}
}

func (m *linkMsg) isBond() bool { return m.kind == "bond" }
func (m *linkMsg) isLink() bool { return m.slaveKind == "bond" && m.master != 0 }
func (m *linkMsg) up() bool     { return m.flags&unix.IFF_UP != 0 }

// bondRead is a Bond whose links are still numbers.
type bondRead struct {
	Bond
	active, primary int
}

func (m *linkMsg) bond() (bondRead, error) {
	b := bondRead{Bond: Bond{
		Name: m.name, Index: m.index, MAC: m.mac, Up: m.up(), Carrier: m.carrier,
		LACPActive: true, // what kernels do that do not tell
	}}
	err := eachAttr(m.data, b.attr)
	return b, err
}

func (b *bondRead) attr(typ uint16, v []byte) {
	switch typ {
	case unix.IFLA_BOND_MODE:
		b.Mode = Mode(enumRead(attrU8(v)))
	case unix.IFLA_BOND_ACTIVE_SLAVE:
		b.active = int(attrU32(v))
	case unix.IFLA_BOND_PRIMARY:
		b.primary = int(attrU32(v))
	case unix.IFLA_BOND_PRIMARY_RESELECT:
		b.Reselect = Reselect(enumRead(attrU8(v)))
	case unix.IFLA_BOND_FAIL_OVER_MAC:
		b.FailOverMAC = FailOverMAC(enumRead(attrU8(v)))
	case unix.IFLA_BOND_XMIT_HASH_POLICY:
		b.HashPolicy = HashPolicy(enumRead(attrU8(v)))
	case unix.IFLA_BOND_NUM_PEER_NOTIF:
		b.NumPeerNotif = int(attrU8(v))
	case unix.IFLA_BOND_PEER_NOTIF_DELAY:
		b.PeerNotifDelay = millis(v)
	case unix.IFLA_BOND_RESEND_IGMP:
		b.ResendIGMP = int(attrU32(v))
	case unix.IFLA_BOND_ALL_SLAVES_ACTIVE:
		b.AllLinksActive = attrU8(v) != 0
	case unix.IFLA_BOND_MIN_LINKS:
		b.MinLinks = int(attrU32(v))
	default:
		b.monitorAttr(typ, v)
		b.lacpAttr(typ, v)
	}
}

func (b *bondRead) monitorAttr(typ uint16, v []byte) {
	switch typ {
	case unix.IFLA_BOND_MIIMON:
		b.MIIMon = millis(v)
	case unix.IFLA_BOND_UPDELAY:
		b.UpDelay = millis(v)
	case unix.IFLA_BOND_DOWNDELAY:
		b.DownDelay = millis(v)
	case unix.IFLA_BOND_USE_CARRIER:
		b.UseCarrier = attrU8(v) != 0
	case unix.IFLA_BOND_ARP_INTERVAL:
		b.ARPInterval = millis(v)
	case unix.IFLA_BOND_ARP_IP_TARGET:
		b.ARPTargets = attrAddrs(v)
	case unix.IFLA_BOND_NS_IP6_TARGET:
		b.NSTargets = attrAddrs(v)
	case unix.IFLA_BOND_ARP_VALIDATE:
		b.ARPValidate = ARPValidate(enumRead(uint8(min(attrU32(v), 254))))
	case unix.IFLA_BOND_ARP_ALL_TARGETS:
		b.ARPAll = attrU32(v) != 0
	case unix.IFLA_BOND_MISSED_MAX:
		b.ARPMissedMax = int(attrU8(v))
	}
}

func (b *bondRead) lacpAttr(typ uint16, v []byte) {
	switch typ {
	case unix.IFLA_BOND_AD_LACP_RATE:
		b.LACPRate = LACPRate(enumRead(attrU8(v)))
	case unix.IFLA_BOND_AD_LACP_ACTIVE:
		b.LACPActive = attrU8(v) != 0
	case unix.IFLA_BOND_AD_INFO:
		a := &Aggregator{}
		err := eachAttr(v, func(typ uint16, v []byte) {
			switch typ {
			case unix.IFLA_BOND_AD_INFO_AGGREGATOR:
				a.ID = int(attrU16(v))
			case unix.IFLA_BOND_AD_INFO_NUM_PORTS:
				a.Ports = int(attrU16(v))
			case unix.IFLA_BOND_AD_INFO_ACTOR_KEY:
				a.ActorKey = int(attrU16(v))
			case unix.IFLA_BOND_AD_INFO_PARTNER_KEY:
				a.PartnerKey = int(attrU16(v))
			case unix.IFLA_BOND_AD_INFO_PARTNER_MAC:
				a.Partner = mac(v)
			}
		})
		if err == nil {
			b.Aggregator = a
		}
	}
}

func (m *linkMsg) link() (Link, error) {
	l := Link{Name: m.name, Index: m.index, MAC: m.mac, Up: m.up(), Carrier: m.carrier}
	err := eachAttr(m.slaveData, func(typ uint16, v []byte) {
		switch typ {
		case unix.IFLA_BOND_SLAVE_STATE:
			l.Active = attrU8(v) == 0
		case unix.IFLA_BOND_SLAVE_MII_STATUS:
			l.MII = MIIState(enumRead(attrU8(v)))
		case unix.IFLA_BOND_SLAVE_LINK_FAILURE_COUNT:
			l.Failures = uint64(attrU32(v))
		case unix.IFLA_BOND_SLAVE_PERM_HWADDR:
			l.PermMAC = mac(v)
		case unix.IFLA_BOND_SLAVE_AD_AGGREGATOR_ID:
			l.AggregatorID = int(attrU16(v))
		case unix.IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE:
			l.Actor = PortState(attrU8(v))
		case unix.IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE:
			l.Partner = PortState(attrU16(v)) // 16 bits on the wire, 8 in the standard
		case unix.IFLA_BOND_SLAVE_PRIO:
			l.Priority = int(int32(attrU32(v)))
		}
	})
	return l, err
}

// enumRead turns the kernel's number into ours, which counts from one. 255
// would wrap to "not said"; it stays an unknown value.
func enumRead(n uint8) uint8 { return min(n, 254) + 1 }

func millis(v []byte) time.Duration { return time.Duration(attrU32(v)) * time.Millisecond }

func mac(v []byte) net.HardwareAddr { return append(net.HardwareAddr(nil), v...) }
