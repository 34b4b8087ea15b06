package probe

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestRoute(t *testing.T) {
	for _, c := range []struct {
		name, prefix, via, other, address, outside string
	}{
		{"ipv4", "198.51.100.0/24", there, "192.0.2.8", "198.51.100.7", "203.0.113.1"},
		{"ipv6", "2001:db8:1::/48", there6, "2001:db8::8", "2001:db8:1::7", "2001:db8:2::7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeak(t)
			w := newWire(t)
			prefix, via := netip.MustParsePrefix(c.prefix), netip.MustParseAddr(c.via)
			of := func(gateway string, table int) *netlink.Route {
				dst, err := netlink.ParseIPNet(c.prefix)
				must(t, err)
				return &netlink.Route{Dst: dst, Gw: netip.MustParseAddr(gateway).AsSlice(), LinkIndex: w.own.Attrs().Index, Table: table}
			}
			byPrefix := mustNew(t, Route{Prefix: prefix, Via: via, Device: "eth0"})
			byAddress := mustNew(t, Route{Address: netip.MustParseAddr(c.address), Via: via})
			inTable := mustNew(t, Route{Prefix: prefix, Table: 1000})
			prefixWatch, addressWatch, tableWatch := watch(t, byPrefix), watch(t, byAddress), watch(t, inTable)

			wantFail(t, byPrefix, "no route to "+c.prefix+" via "+c.via+" over eth0")
			wantFail(t, byAddress, "no route to "+c.address)
			must(t, netlink.RouteAdd(of(c.via, 0)))
			prefixWatch.becomes(t, true, c.prefix+" via "+c.via+" over eth0")
			addressWatch.becomes(t, true, c.prefix+" via "+c.via+" over eth0")
			wantPass(t, mustNew(t, Route{Prefix: prefix}))
			wantFail(t, mustNew(t, Route{Prefix: prefix, Device: "lo"}), "it is "+c.prefix+" via ")
			wantFail(t, mustNew(t, Route{Prefix: prefix, Device: "eth7"}), "there is no eth7")
			wantFail(t, mustNew(t, Route{Prefix: netip.PrefixFrom(prefix.Addr(), prefix.Bits()+1)}), "no route to ")
			wantFail(t, mustNew(t, Route{Address: netip.MustParseAddr(c.outside)}), "network is unreachable")
			wantPass(t, mustNew(t, Route{Address: w.addr(c.name == "ipv6")}), "local ")

			// Another gateway.
			must(t, netlink.RouteReplace(of(c.other, 0)))
			prefixWatch.becomes(t, false, "it is "+c.prefix+" via "+c.other)
			addressWatch.becomes(t, false, "via "+c.other)

			// Another table.
			wantFail(t, inTable, "in table 1000")
			must(t, netlink.RouteAdd(of(c.via, 1000)))
			tableWatch.becomes(t, true, c.prefix+" via "+c.via)

			// The interface loses its carrier: the route stays, but leads nowhere.
			peer := w.peer.Link("eth0")
			must(t, netlink.RouteReplace(of(c.via, 0)))
			prefixWatch.becomes(t, true, "")
			must(t, w.peer.Netlink().LinkSetDown(peer))
			prefixWatch.becomes(t, false, "and that is down")
			wantFail(t, byAddress, "no route to "+c.address)
			must(t, w.peer.Netlink().LinkSetUp(peer))
			prefixWatch.becomes(t, true, "")

			// And is set down, which takes its routes along, for IPv4 without a word.
			must(t, netlink.LinkSetDown(w.own))
			prefixWatch.becomes(t, false, "no route to")
			tableWatch.becomes(t, false, "no route to")
		})
	}
}

func (w *wire) addr(six bool) netip.Addr {
	if six {
		return netip.MustParseAddr(here6)
	}
	return netip.MustParseAddr(here)
}

func TestRouteUnreachable(t *testing.T) {
	noLeak(t)
	newWire(t)
	for _, c := range []struct {
		kind int
		word string
	}{{unix.RTN_UNREACHABLE, "unreachable"}, {unix.RTN_BLACKHOLE, "blackhole"}, {unix.RTN_PROHIBIT, "prohibit"}} {
		for _, text := range []string{"198.51.100.0/24", "2001:db8:1::/48"} {
			dst, err := netlink.ParseIPNet(text)
			must(t, err)
			r := &netlink.Route{Dst: dst, Type: c.kind}
			must(t, netlink.RouteAdd(r))
			prefix := netip.MustParsePrefix(text)
			wantFail(t, mustNew(t, Route{Prefix: prefix}), "it is "+c.word+" "+text)
			wantFail(t, mustNew(t, Route{Address: prefix.Addr().Next()}), "no route to ")
			must(t, netlink.RouteDel(r))
		}
	}
}

// TestRouteDefault, with several next hops, one of which is not there.
func TestRouteDefault(t *testing.T) {
	noLeak(t)
	w := newWire(t)
	p := mustNew(t, Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(there)})
	woken := watch(t, p)
	wantFail(t, p, "no route to 0.0.0.0/0 via 192.0.2.9")
	hop := func(gateway string) *netlink.NexthopInfo {
		return &netlink.NexthopInfo{LinkIndex: w.own.Attrs().Index, Gw: netip.MustParseAddr(gateway).AsSlice()}
	}
	all, err := netlink.ParseIPNet("0.0.0.0/0")
	must(t, err)
	must(t, netlink.RouteAdd(&netlink.Route{Dst: all, MultiPath: []*netlink.NexthopInfo{hop("192.0.2.8"), hop(there)}}))
	woken.becomes(t, true, "0.0.0.0/0 via 192.0.2.8 over eth0 via 192.0.2.9 over eth0")
	wantFail(t, mustNew(t, Route{Prefix: netip.MustParsePrefix("::/0")}), "no route to ::/0")
	wantFail(t, mustNew(t, Route{Address: netip.MustParseAddr("203.0.113.9"), Via: netip.MustParseAddr("192.0.2.7")}), "no route to 203.0.113.9 via 192.0.2.7: it is 0.0.0.0/0")
}

func TestRouteFields(t *testing.T) {
	prefix, address := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("192.0.2.1")
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{Route{}, "prefix"},
		{Route{Prefix: prefix, Address: address}, "prefix"},
		{Route{Prefix: netip.MustParsePrefix("192.0.2.1/24")}, "prefix"},
		{Route{Address: netip.MustParseAddr("224.0.0.18")}, "address"},
		{Route{Address: netip.MustParseAddr("fe80::1%eth0")}, "address"},
		{Route{Prefix: netip.MustParsePrefix("::/0"), Via: address}, "via"},
		{Route{Prefix: prefix, Via: netip.IPv4Unspecified()}, "via"},
		{Route{Prefix: prefix, Table: -1}, "table"},
		{Route{Address: address, Table: 7}, "table"},
		{Route{Prefix: prefix, Device: "a/b"}, "device"},
	})
}
