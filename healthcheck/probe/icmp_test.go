package probe

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrrpd/internal/lab"
)

// pingGroups admits groups to ping sockets, or nobody.
func pingGroups(t testing.TB, groups string) {
	t.Helper()
	const key = "/proc/sys/net/ipv4/ping_group_range"
	before, err := os.ReadFile(key)
	must(t, err)
	must(t, os.WriteFile(key, []byte(groups), 0o644))
	t.Cleanup(func() { must(t, os.WriteFile(key, before, 0o644)) })
}

func TestICMP(t *testing.T) {
	for _, kind := range []struct{ name, groups string }{{"raw", "1 0"}, {"ping socket", "0 0"}} {
		t.Run(kind.name, func(t *testing.T) {
			noLeak(t)
			w := newWire(t)
			pingGroups(t, kind.groups)
			addAddress(t, w, "192.0.2.2/24")
			linkLocal := w.linkLocal(t)
			for _, spec := range []ICMP{
				{Address: netip.MustParseAddr(there)},
				{Address: netip.MustParseAddr(there), Source: netip.MustParseAddr("192.0.2.2"), Device: "eth0", Count: 3},
				{Address: netip.MustParseAddr(there6)},
				{Address: netip.MustParseAddr(there6), Source: netip.MustParseAddr(here6), Device: "eth0"},
				{Address: linkLocal.WithZone("eth0")},
				{Address: linkLocal, Device: "eth0"},
				{Address: netip.MustParseAddr("127.0.0.1")},
				{Address: netip.MustParseAddr("::1")},
			} {
				p := mustNew(t, spec)
				if e, err := p.(*icmpProbe).open(); err != nil || e.raw != (kind.name == "raw") {
					t.Fatalf("%s: %+v, %v", p, e, err)
				} else {
					e.file.Close()
				}
				for range 5 {
					wantPass(t, p, spec.Address.String(), " answered in ")
				}
			}
			target := netip.MustParseAddr(there)
			wantFail(t, mustNew(t, ICMP{Address: target, Source: netip.MustParseAddr("192.0.2.55")}), "cannot assign requested address")
			wantFail(t, mustNew(t, ICMP{Address: target, Device: "eth7"}), "no such device")
			wantFail(t, mustNew(t, ICMP{Address: netip.MustParseAddr("198.51.100.1")}), "network is unreachable")
			wantFail(t, mustNew(t, ICMP{Address: netip.MustParseAddr("fe80::1%eth7")}), "there is no interface eth7")
			wantTimeout(t, mustNew(t, ICMP{Address: netip.MustParseAddr(nobody)}), "ping "+nobody+": no answer within ")
			wantTimeout(t, mustNew(t, ICMP{Address: netip.MustParseAddr(nobody), Count: 4}), "no answer within ", " to 4 requests")

			// A router that knows no way says so.
			w.peer.Sysctl("net/ipv4/ip_forward", "1")
			dst, err := netlink.ParseIPNet("198.51.100.0/24")
			must(t, err)
			must(t, netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: target.AsSlice()}))
			wantFail(t, mustNew(t, ICMP{Address: netip.MustParseAddr("198.51.100.1")}), "ping 198.51.100.1: network is unreachable")

			// One of several requests is enough.
			w.peer.Sysctl("net/ipv4/icmp_echo_ignore_all", "1")
			wantTimeout(t, mustNew(t, ICMP{Address: target}), "no answer within ")
			time.AfterFunc(100*time.Millisecond, func() { w.peer.Sysctl("net/ipv4/icmp_echo_ignore_all", "0") })
			if out := once(t, mustNew(t, ICMP{Address: target, Count: 10})); !out.Passed {
				t.Errorf("lost requests: %+v", out)
			}
		})
	}
}

// linkLocal is the peer's.
func (w *wire) linkLocal(t testing.TB) (found netip.Addr) {
	t.Helper()
	lab.Until(t, 10*time.Second, "the peer's link-local address", func() bool {
		addrs, err := w.peer.Netlink().AddrList(w.peer.Link("eth0"), netlink.FAMILY_V6)
		must(t, err)
		for _, a := range addrs {
			if addr, ok := netip.AddrFromSlice(a.IP); ok && addr.IsLinkLocalUnicast() {
				found = addr
			}
		}
		return found.IsValid()
	})
	return found
}

// TestICMPForeign: answers to others count for nothing. Two look at once, one
// of them at an address that does not answer.
func TestICMPForeign(t *testing.T) {
	noLeak(t)
	newWire(t)
	pingGroups(t, "1 0")
	e, err := mustNew(t, ICMP{Address: netip.MustParseAddr(there)}).(*icmpProbe).open()
	must(t, err)
	defer e.file.Close()
	answer := func(change func([]byte)) []byte {
		b := append([]byte{echoReply4, 0, 0, 0, byte(e.id >> 8), byte(e.id), 0, 0}, e.nonce[:]...)
		change(b)
		return append(append([]byte{0x45}, make([]byte, 19)...), b...)
	}
	if !e.answers(answer(func([]byte) {})) {
		t.Error("the right answer is refused")
	}
	for name, change := range map[string]func([]byte){
		"type":       func(b []byte) { b[0] = 3 },
		"code":       func(b []byte) { b[1] = 1 },
		"identifier": func(b []byte) { b[4]++ },
		"data":       func(b []byte) { b[20]++ },
	} {
		if e.answers(answer(change)) {
			t.Errorf("an answer with another %s is accepted", name)
		}
	}
	whole := answer(func([]byte) {})
	for n := range whole {
		if e.answers(whole[:n]) {
			t.Errorf("%d bytes of an answer are accepted", n)
		}
	}
	if e.answers(append([]byte{0x4f}, whole[1:]...)) || e.answers([]byte(strings.Repeat("\x4f", 30))) {
		t.Error("a header of another length is accepted")
	}
}

func TestICMPFields(t *testing.T) {
	target := netip.MustParseAddr(there)
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{ICMP{}, "address"},
		{ICMP{Address: netip.IPv4Unspecified()}, "address"},
		{ICMP{Address: netip.MustParseAddr("224.0.0.1")}, "address"},
		{ICMP{Address: netip.MustParseAddr("fe80::1")}, "address"},
		{ICMP{Address: target, Count: 11}, "count"},
		{ICMP{Address: target, Count: -1}, "count"},
		{ICMP{Address: target, Source: netip.MustParseAddr(here6)}, "source"},
		{ICMP{Address: target, Device: "a b"}, "device"},
	})
}
