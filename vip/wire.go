package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// This file holds rtnetlink messages: what goes into a batch, what is read of
// links and addresses (rtnetlink(7), linux/rtnetlink.h, linux/if_addr.h).

var errShortMessage = errors.New("netlink message too short")

// appendOp appends the request for o to b.
func appendOp(b []byte, o op, flags uint16, seq uint32) []byte {
	kind := uint16(unix.RTM_NEWADDR)
	switch o.do {
	case remove:
		kind = unix.RTM_DELADDR
	case addNote:
		kind = unix.RTM_NEWROUTE
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	case addRoute:
		kind = unix.RTM_NEWROUTE
		flags |= unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	case removeRoute, removeNote:
		kind = unix.RTM_DELROUTE
	case renew:
		flags |= unix.NLM_F_REPLACE
	default:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	if first, ok := o.before(); ok {
		b = appendOp(b, first, unix.NLM_F_REQUEST, unasked)
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0) // length, below
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = append(b, 0, 0, 0, 0) // port: the kernel knows
	switch o.do {
	case add:
		b = appendAdd(b, o, unix.RT_SCOPE_UNIVERSE)
	case addHost:
		b = appendAdd(b, o, unix.RT_SCOPE_HOST)
	case remove:
		b = appendRemove(b, o.entry)
	case renew:
		b = appendRenew(b, o)
	case putBack:
		b = append(b, o.entry.msg...)
	case addNote, removeNote:
		b = appendNote(b, o.index, o.arp)
	case addRoute, removeRoute:
		b = appendRoute(b, o.route)
		if o.do == addRoute && o.lease > 0 && o.route.to.Addr().Is6() {
			b = appendWord(b, unix.RTA_EXPIRES, seconds(o.lease))
		}
	}
	b = pad(b)
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// unasked is the sequence number of requests whose failure nobody asks about.
const unasked = 0

// before returns the request that has to go before o, if there is one. The
// kernel gives IPv6 prefix routes the end of the leases they are of, and
// removes with an address only one that has no end: so the address is made
// permanent first.
func (o op) before() (op, bool) {
	switch {
	case o.do == remove && o.entry.expires && o.entry.prefix.Addr().Is6():
		return op{do: renew, entry: o.entry}, true
	case o.do == renew && o.apart:
		// Its prefix route is another one's first, and then stays as it is.
		return op{do: renew, entry: o.entry, lease: o.lease, plain: o.plain, detach: true}, true
	}
	return op{}, false
}

// appendAdd writes what a virtual address is: no broadcast address, no
// duplicate address detection, the mark.
func appendAdd(b []byte, o op, scope byte) []byte {
	ip := o.addr.Prefix.Addr()
	b = appendIfAddrMsg(b, ip, o.addr.Prefix.Bits(), byte(addFlags(ip)), scope, o.index)
	b = appendIP(b, unix.IFA_LOCAL, ip)
	b = appendIP(b, unix.IFA_ADDRESS, ip)
	if o.addr.Label != "" {
		b = appendAttr(b, unix.IFA_LABEL, append([]byte(o.addr.Label), 0))
	}
	if o.lease > 0 {
		b = appendLifetime(b, o.lease)
	}
	return appendAttr(b, ifaProto, []byte{mark}) // older kernels skip it
}

// addFlags returns the flags of virtual addresses.
func addFlags(ip netip.Addr) uint32 {
	if ip.Is6() {
		return unix.IFA_F_NODAD
	}
	return 0
}

// lifetimeFlags are those that the kernel takes from a request to change the
// lifetime of an IPv6 address; it keeps all others.
const lifetimeFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// impossibleLen is no prefix length (RFC 4291 section 2.3).
const impossibleLen = 255

// appendRenew writes a change of a lifetime. The kernel adds an address that it
// is asked to change and does not have, so the request, unless it is plain, has
// something in it that the kernel looks at only when it adds, and refuses then:
// that it join the multicast group of an IPv4 address that is none, an
// impossible IPv6 prefix length. What it takes over from such a request is
// repeated as it is: flags, metric, protocol.
func appendRenew(b []byte, o op) []byte {
	e := o.entry
	ip, bits, flags := e.prefix.Addr(), e.prefix.Bits(), e.flags&lifetimeFlags
	switch {
	case o.plain:
	case ip.Is4():
		flags |= unix.IFA_F_MCAUTOJOIN
	case flags&unix.IFA_F_MANAGETEMPADDR == 0: // whose prefix length is looked at
		bits = impossibleLen
	}
	if o.detach {
		flags |= unix.IFA_F_NOPREFIXROUTE
	}
	b = appendIfAddrMsg(b, ip, bits, byte(flags), unix.RT_SCOPE_UNIVERSE, e.index)
	b = appendIP(b, unix.IFA_LOCAL, ip)
	b = appendIP(b, unix.IFA_ADDRESS, e.far())
	b = appendWord(b, unix.IFA_FLAGS, flags)
	if e.metric != 0 {
		b = appendWord(b, unix.IFA_RT_PRIORITY, e.metric)
	}
	b = appendLifetime(b, o.lease)
	return appendAttr(b, ifaProto, []byte{mark})
}

// appendLifetime writes struct ifa_cacheinfo; 0 stands for ever.
func appendLifetime(b []byte, d time.Duration) []byte {
	s := seconds(d)
	if d == 0 {
		s = math.MaxUint32 // INFINITY_LIFE_TIME, linux/in6.h
	}
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofRtAttr+16)
	b = binary.NativeEndian.AppendUint16(b, unix.IFA_CACHEINFO)
	b = binary.NativeEndian.AppendUint32(b, s) // preferred
	b = binary.NativeEndian.AppendUint32(b, s) // valid
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0)   // times of creation and change, which the kernel knows
}

func seconds(d time.Duration) uint32 {
	return uint32(min(d/time.Second, math.MaxInt32))
}

func appendRemove(b []byte, e *entry) []byte {
	ip := e.prefix.Addr()
	b = appendIfAddrMsg(b, ip, e.prefix.Bits(), 0, unix.RT_SCOPE_UNIVERSE, e.index)
	b = appendIP(b, unix.IFA_LOCAL, ip)
	return appendIP(b, unix.IFA_ADDRESS, e.far())
}

// far returns what IFA_ADDRESS says: the peer's address, if there is one.
func (e *entry) far() netip.Addr {
	if e.peer.IsValid() {
		return e.peer
	}
	return e.prefix.Addr()
}

func appendIfAddrMsg(b []byte, ip netip.Addr, bits int, flags, scope byte, index int) []byte {
	b = append(b, family(ip), byte(bits), flags, scope)
	return binary.NativeEndian.AppendUint32(b, uint32(index))
}

func family(ip netip.Addr) byte {
	if ip.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// routeMetric is worse than what anybody else has, so that every other route to
// the same subnet is preferred.
const routeMetric = mark << 24

// appendRoute writes struct rtmsg and its attributes (linux/rtnetlink.h).
func appendRoute(b []byte, r route) []byte {
	ip := r.to.Addr()
	table, scope, kind := byte(unix.RT_TABLE_MAIN), byte(unix.RT_SCOPE_LINK), byte(unix.RTN_UNICAST)
	if r.local {
		table, scope, kind = unix.RT_TABLE_LOCAL, unix.RT_SCOPE_HOST, unix.RTN_LOCAL
	}
	b = append(b, family(ip), byte(r.to.Bits()), 0, 0, table, mark, scope, kind, 0, 0, 0, 0)
	b = appendIP(b, unix.RTA_DST, ip)
	if r.from.IsValid() {
		b = appendIP(b, unix.RTA_PREFSRC, r.from)
	}
	b = appendWord(b, unix.RTA_PRIORITY, routeMetric)
	return appendWord(b, unix.RTA_OIF, uint32(r.index))
}

func appendIP(b []byte, kind uint16, ip netip.Addr) []byte {
	if ip.Is4() {
		a := ip.As4()
		return appendAttr(b, kind, a[:])
	}
	a := ip.As16()
	return appendAttr(b, kind, a[:])
}

func appendWord(b []byte, kind uint16, value uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofRtAttr+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.NativeEndian.AppendUint32(b, value)
}

func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return pad(append(b, value...))
}

// pad aligns b to the four bytes of NLMSG_ALIGN and RTA_ALIGN. All messages
// and attributes begin aligned, so the length of b may stand for theirs.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// parseAddress reads an RTM_NEWADDR or RTM_DELADDR body. Addresses of other
// families than IPv4 and IPv6 are nil.
func parseAddress(m []byte) (*entry, error) {
	if len(m) < unix.SizeofIfAddrmsg {
		return nil, errShortMessage
	}
	if m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
		return nil, nil
	}
	e := &entry{index: int(binary.NativeEndian.Uint32(m[4:])), msg: m}
	flags := uint32(m[2])
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfAddrmsg:])
	if err != nil {
		return nil, fmt.Errorf("address attributes: %w", err)
	}
	var local, address netip.Addr
	for _, a := range attrs {
		switch a.Attr.Type & attrTypeMask {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_LABEL:
			e.label = unix.ByteSliceToString(a.Value)
		case unix.IFA_FLAGS:
			if len(a.Value) >= 4 {
				flags = binary.NativeEndian.Uint32(a.Value)
			}
		case unix.IFA_RT_PRIORITY:
			e.metric = word(a.Value, 0)
		case ifaProto:
			e.marked = len(a.Value) > 0 && a.Value[0] == mark
		}
	}
	// IPv6 sends the local address as IFA_ADDRESS unless there is a peer; IPv4
	// sends both, and they differ if there is a peer.
	switch {
	case !local.IsValid():
		local = address
	case address.IsValid() && address != local:
		e.peer = address
	}
	if e.prefix = netip.PrefixFrom(local, int(m[1])); !e.prefix.IsValid() {
		return nil, errors.New("address without an address")
	}
	e.flags, e.expires = flags, flags&unix.IFA_F_PERMANENT == 0
	// In IPv6 the same bit says "temporary" (RFC 8981).
	e.secondary = local.Is4() && flags&unix.IFA_F_SECONDARY != 0
	return e, nil
}

// parseLink reads an RTM_NEWLINK or RTM_DELLINK body.
func parseLink(m []byte) (*link, error) {
	if len(m) < unix.SizeofIfInfomsg {
		return nil, errShortMessage
	}
	info := nl.DeserializeIfInfomsg(m)
	l := &link{
		index:   int(info.Index),
		up:      info.Flags&unix.IFF_UP != 0,
		running: info.Flags&unix.IFF_RUNNING != 0,
		loops:   info.Flags&unix.IFF_LOOPBACK != 0,
	}
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofIfInfomsg:])
	if err != nil {
		return nil, fmt.Errorf("interface attributes: %w", err)
	}
	for _, a := range attrs {
		switch a.Attr.Type & attrTypeMask {
		case unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_ADDRESS:
			l.mac = net.HardwareAddr(a.Value)
		case iflaPermAddress:
			l.permanent = net.HardwareAddr(a.Value)
		case unix.IFLA_AF_SPEC:
			l.parseFamilies(a.Value)
		case unix.IFLA_LINKINFO:
			forEach(a.Value, func(kind uint16, value []byte) {
				if kind == unix.IFLA_INFO_SLAVE_KIND {
					l.vrf = unix.ByteSliceToString(value) == "vrf"
				}
			})
		}
	}
	l.talks = info.Type == unix.ARPHRD_ETHER && len(l.mac) == 6 && info.Flags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0
	return l, nil
}

// parseFamilies reads IFLA_AF_SPEC: the switches that /proc/sys/net/*/conf
// shows. What is not understood leaves them off.
func (l *link) parseFamilies(b []byte) {
	forEach(b, func(family uint16, b []byte) {
		forEach(b, func(kind uint16, conf []byte) {
			switch {
			case family == unix.AF_INET && kind == iflaInetConf:
				l.promote = word(conf, devconfPromote-1) != 0
				l.arp = arpSwitches{ignore: word(conf, devconfIgnore-1), announce: word(conf, devconfAnnounce-1)}
			case family == unix.AF_INET6 && kind == iflaInet6Conf:
				l.router = word(conf, devconf6Forwarding) != 0
			}
		})
	})
}

func forEach(b []byte, f func(kind uint16, value []byte)) {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return
	}
	for _, a := range attrs {
		f(a.Attr.Type&attrTypeMask, a.Value)
	}
}

// word returns the i-th 32-bit value of b, 0 if there is none.
func word(b []byte, i int) uint32 {
	if len(b) < 4*(i+1) {
		return 0
	}
	return binary.NativeEndian.Uint32(b[4*i:])
}

// parseChange reads a notification; false: not about a link or an address.
func parseChange(m syscall.NetlinkMessage) (change, bool) {
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		e, err := parseAddress(m.Data)
		if err != nil || e == nil {
			return change{err: err}, err != nil
		}
		return change{index: e.index, ip: e.prefix.Addr()}, true
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) > 0 && m.Data[0] != unix.AF_UNSPEC {
			return change{}, false // a bridge telling about its port
		}
		l, err := parseLink(m.Data)
		if err != nil {
			return change{err: err}, true
		}
		gone := m.Header.Type == unix.RTM_DELLINK
		return change{index: l.index, name: l.name, down: gone || !l.up || !l.running}, true
	}
	return change{}, false
}
