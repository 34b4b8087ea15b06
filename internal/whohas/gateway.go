package whohas

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Gateway is the router that a default route over the interface leads to, the
// one of the lowest metric; the zero Addr if there is none. Routes of every
// table count: those over a VRF have one of their own.
func Gateway(iface string, ipv6 bool) (netip.Addr, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("gateway of %s: %w", iface, err)
	}
	h, err := netlink.NewHandleWithOptions(netlink.HandleOptions{RetryInterrupted: true}, unix.NETLINK_ROUTE)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("gateway of %s: %w", iface, err)
	}
	defer h.Close()
	family := netlink.FAMILY_V4
	if ipv6 {
		family = netlink.FAMILY_V6
	}
	var best netip.Addr
	metric := 0
	err = h.RouteListFilteredIter(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		if gw := gatewayOver(&r, ifi.Index); gw.IsValid() && (!best.IsValid() || r.Priority < metric) {
			best, metric = gw, r.Priority
		}
		return true
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("gateway of %s: %w", iface, err)
	}
	return best, nil
}

// gatewayOver is the next hop of a default route, if it is over the interface.
func gatewayOver(r *netlink.Route, index int) netip.Addr {
	if r.Dst != nil {
		if ones, _ := r.Dst.Mask.Size(); ones != 0 {
			return netip.Addr{}
		}
	}
	gw, over := r.Gw, r.LinkIndex
	for _, hop := range r.MultiPath {
		if over != index && hop.LinkIndex == index {
			gw, over = hop.Gw, hop.LinkIndex
		}
	}
	a, ok := netip.AddrFromSlice(gw)
	if !ok || over != index {
		return netip.Addr{}
	}
	return a.Unmap()
}
