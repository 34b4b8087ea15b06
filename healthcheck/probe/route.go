package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route passes while the kernel has a route. With a Prefix there must be a
// route of exactly that prefix in the table. With an Address, the kernel is
// asked which route it would take there itself, rules and all; it must lead
// somewhere. A next hop counts unless its interface is down or has no carrier.
//
// The prefix is looked for in a listing of all routes, about 1 ms for each
// thousand of them. A change is noticed at once (rtnetlink).
type Route struct {
	Prefix  netip.Prefix // exactly one of Prefix and Address
	Address netip.Addr
	Via     netip.Addr // the gateway must be this one; zero: any, or none
	Device  string     // it must lead over this interface; "": any
	Table   int        // of a Prefix; 0: the main table
}

// maxCandidates bounds the routes of one prefix that are looked at: they differ
// in metric.
const maxCandidates = 64

type routeProbe struct{ spec Route }

// New judges the spec.
func (s Route) New() (Probe, error) {
	var is4 bool
	switch {
	case s.Prefix.IsValid() == s.Address.IsValid():
		return nil, invalid("prefix", "there must be either a prefix or an address")
	case s.Prefix.IsValid() && s.Prefix != s.Prefix.Masked():
		return nil, invalid("prefix", "%s has bits set behind its length; %s is a prefix", s.Prefix, s.Prefix.Masked())
	case s.Address.IsValid() && (s.Address.IsUnspecified() || s.Address.IsMulticast() || s.Address.Zone() != ""):
		return nil, invalid("address", "%s is not an address that a route could lead to", s.Address)
	case s.Prefix.IsValid():
		is4 = s.Prefix.Addr().Is4()
	default:
		s.Address = s.Address.Unmap()
		is4 = s.Address.Is4()
	}
	switch {
	case s.Via.IsValid() && (s.Via.IsUnspecified() || s.Via.Zone() != ""):
		return nil, invalid("via", "%s is not a gateway", s.Via)
	case s.Via.IsValid() && !is4 && s.Via.Is4():
		return nil, invalid("via", "%s is not of the same family", s.Via)
	case s.Table < 0 || int64(s.Table) > 1<<32-1:
		return nil, invalid("table", "%d is not the number of a table", s.Table)
	case s.Table != 0 && s.Address.IsValid():
		return nil, invalid("table", "rules decide which table an address is looked up in; name a prefix")
	}
	if s.Device != "" {
		if err := checkInterface("device", s.Device); err != nil {
			return nil, err
		}
	}
	return &routeProbe{spec: s}, nil
}

// what is the route in words.
func (p *routeProbe) what() string {
	var b strings.Builder
	b.WriteString("to ")
	if p.spec.Prefix.IsValid() {
		b.WriteString(p.spec.Prefix.String())
	} else {
		b.WriteString(p.spec.Address.String())
	}
	if p.spec.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", p.spec.Via)
	}
	if p.spec.Device != "" {
		fmt.Fprintf(&b, " over %s", p.spec.Device)
	}
	if p.spec.Table != 0 {
		fmt.Fprintf(&b, " in table %d", p.spec.Table)
	}
	return b.String()
}

func (p *routeProbe) String() string { return "route " + p.what() }

func (p *routeProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	if ctx.Err() != nil {
		return fail("route %s: %s", p.what(), l.why(ctx.Err()))
	}
	h, err := dialKernel(l)
	if err != nil {
		return fail("ask for the route %s: %s", p.what(), l.why(err))
	}
	defer h.Close()
	device := 0
	if p.spec.Device != "" {
		link, err := h.LinkByName(p.spec.Device)
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
			return fail("no route %s: there is no %s", p.what(), p.spec.Device)
		} else if err != nil {
			return fail("ask for %s: %s", p.spec.Device, l.why(err))
		}
		device = link.Attrs().Index
	}
	if p.spec.Address.IsValid() {
		return p.lookup(l, h, device)
	}
	return p.list(l, h, device)
}

// lookup asks for the route to an address. The entry of the table is wanted
// rather than the answer, which does not say whether a next hop is dead.
func (p *routeProbe) lookup(l look, h *netlink.Handle, device int) Outcome {
	routes, err := h.RouteGetWithOptions(p.spec.Address.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil {
		return fail("no route %s: %s", p.what(), l.why(err))
	}
	other := ""
	for i := range routes {
		if why := p.unfit(h, &routes[i], device); why != "" {
			other = why
			continue
		}
		return pass("%s", describe(h, &routes[i]))
	}
	return fail("no route %s: it is %s", p.what(), other)
}

// list looks for the prefix among all routes.
func (p *routeProbe) list(l look, h *netlink.Handle, device int) Outcome {
	family := netlink.FAMILY_V6
	if p.spec.Prefix.Addr().Is4() {
		family = netlink.FAMILY_V4
	}
	table := p.spec.Table
	if table == 0 {
		table = unix.RT_TABLE_MAIN
	}
	// The handle is busy until the listing is over, so they are judged afterwards.
	var found []netlink.Route
	err := h.RouteListFilteredIter(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		if prefixOf(r.Dst, family) == p.spec.Prefix && len(found) < maxCandidates {
			found = append(found, r)
		}
		return !gone(l.ctx)
	})
	if l.ctx.Err() != nil {
		return fail("list the routes: %s", l.why(l.ctx.Err()))
	}
	other := ""
	for i := range found {
		why := p.unfit(h, &found[i], device)
		if why == "" {
			return pass("%s", describe(h, &found[i]))
		}
		other = ": it is " + why
	}
	if err != nil {
		return fail("list the routes: %s", l.why(err))
	}
	return fail("no route %s%s", p.what(), other)
}

func prefixOf(n *net.IPNet, family int) netip.Prefix {
	if n == nil {
		if family == netlink.FAMILY_V4 {
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if size == 32 {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, bits)
}

// A hop is one way a route leads.
type hop struct {
	link int
	via  netip.Addr
	dead bool
}

func hopsOf(r *netlink.Route) (hops []hop) {
	of := func(link int, gw net.IP, via netlink.Destination, flags int) {
		if v, ok := via.(*netlink.Via); ok && v != nil {
			gw = v.Addr // an IPv4 route via an IPv6 gateway
		}
		addr, _ := netip.AddrFromSlice(gw)
		hops = append(hops, hop{link, addr.Unmap(), flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0})
	}
	if len(r.MultiPath) == 0 {
		of(r.LinkIndex, r.Gw, r.Via, r.Flags)
	}
	for _, m := range r.MultiPath {
		of(m.LinkIndex, m.Gw, m.Via, m.Flags)
	}
	return hops
}

// unfit says why a route is not the one that is wanted; "" if it is.
func (p *routeProbe) unfit(h *netlink.Handle, r *netlink.Route, device int) string {
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return describe(h, r)
	}
	dead := false
	if slices.ContainsFunc(hopsOf(r), func(x hop) bool {
		if p.spec.Via.IsValid() && x.via != p.spec.Via.Unmap() || device != 0 && x.link != device {
			return false
		}
		dead = dead || x.dead
		return !x.dead
	}) {
		return ""
	}
	if dead {
		return describe(h, r) + ", and that is down"
	}
	return describe(h, r)
}

// describe is a route as a person knows it.
func describe(h *netlink.Handle, r *netlink.Route) string {
	family := netlink.FAMILY_V4
	if r.Family == netlink.FAMILY_V6 {
		family = netlink.FAMILY_V6
	}
	var b strings.Builder
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW, unix.RTN_LOCAL:
		kinds := map[int]string{unix.RTN_BLACKHOLE: "blackhole ", unix.RTN_UNREACHABLE: "unreachable ",
			unix.RTN_PROHIBIT: "prohibit ", unix.RTN_THROW: "throw ", unix.RTN_LOCAL: "local "}
		b.WriteString(kinds[r.Type])
	}
	b.WriteString(prefixOf(r.Dst, family).String())
	for i, x := range hopsOf(r) {
		if i == 4 {
			b.WriteString(", …")
			break
		}
		if x.via.IsValid() {
			fmt.Fprintf(&b, " via %s", x.via)
		}
		if link, err := h.LinkByIndex(x.link); err == nil && x.link != 0 {
			fmt.Fprintf(&b, " over %s", link.Attrs().Name)
		}
	}
	return b.String()
}

// Watch notices changes of routes that have to do with the destination, and of
// interfaces: with them routes go without a word (IPv4).
func (p *routeProbe) Watch(ctx context.Context, wake func()) error {
	groups := []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE}
	want := p.spec.Prefix
	if p.spec.Address.IsValid() {
		want = netip.PrefixFrom(p.spec.Address, p.spec.Address.BitLen())
	}
	if want.Addr().Is6() {
		groups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE}
	}
	return followKernel(ctx, groups, func(m syscall.NetlinkMessage) bool {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			return true
		case unix.RTM_NEWRULE, unix.RTM_DELRULE:
			return p.spec.Address.IsValid()
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			return p.concerns(m, want)
		}
		return false
	}, wake)
}

// concerns reports whether a route that changed is the one of the prefix, or
// one that covers the address.
func (p *routeProbe) concerns(m syscall.NetlinkMessage, want netip.Prefix) bool {
	if len(m.Data) < unix.SizeofRtMsg {
		return false
	}
	bits := int(m.Data[1]) // struct rtmsg, rtm_dst_len
	table := uint32(m.Data[4])
	changed := netip.PrefixFrom(netip.IPv6Unspecified(), bits)
	if want.Addr().Is4() {
		changed = netip.PrefixFrom(netip.IPv4Unspecified(), bits)
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return true
	}
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_DST:
			if addr, ok := netip.AddrFromSlice(a.Value); ok {
				changed = netip.PrefixFrom(addr, bits)
			}
		case unix.RTA_TABLE:
			if len(a.Value) == 4 {
				table = binary.NativeEndian.Uint32(a.Value)
			}
		}
	}
	if p.spec.Address.IsValid() {
		return changed.Contains(p.spec.Address)
	}
	wantTable := uint32(p.spec.Table)
	if wantTable == 0 {
		wantTable = unix.RT_TABLE_MAIN
	}
	return changed == want && table == wantTable
}
