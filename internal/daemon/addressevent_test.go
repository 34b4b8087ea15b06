package daemon

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/vip"
)

func TestAddressNews(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	address := func(n byte) vip.Address {
		return vip.Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 24), Interface: "eth0"}
	}
	list := []vip.Address{address(1), address(2), address(3), address(4), address(5), address(6)}
	for _, c := range []struct {
		event vip.Event
		want  string
	}{
		{vip.Event{Kind: vip.Held, Owner: "web", Addresses: list[:1]}, "web: holds 192.0.2.1/24"},
		{vip.Event{Kind: vip.Held, Owner: "web", Addresses: list}, "web: holds 192.0.2.1/24, 192.0.2.2/24, 192.0.2.3/24, 192.0.2.4/24 and 2 more"},
		{vip.Event{Kind: vip.Released, Owner: "web", Addresses: list[:2]}, "web: released 192.0.2.1/24, 192.0.2.2/24"},
		{vip.Event{Kind: vip.Released, Owner: "web"}, "web: had no addresses left to release"},
		{vip.Event{Kind: vip.Restored, Owner: "web", Address: list[0]}, "web: 192.0.2.1/24 on eth0 was removed by somebody else and has been put back"},
		{vip.Event{Kind: vip.Foreign, Owner: leftoverOwner, Address: list[0]}, "address: 192.0.2.1/24 on eth0 was here although this node is not active; removed"},
		{vip.Event{Kind: vip.Failed, Owner: "web", Address: list[0], Addresses: list[:1], Err: errTest}, "web: no way"},
		{vip.Event{Kind: vip.Failed, Owner: "web", Address: list[0], Addresses: list, Err: errTest}, "web: no way (and 5 more addresses)"},
		{vip.Event{Kind: vip.PromoteSet, Interface: "eth0"}, "address: set net.ipv4.conf.eth0.promote_secondaries = 1, so that removing one address does not take others along"},
	} {
		s := started(t, oneInstance)
		c.event.At = at
		s.do(func() { s.e.addressEvent(c.event) })
		s.got(c.want)
	}
}

// A takeover is over with the last announcement, and counts from the moment the
// timer was due. It is measured once.
func TestTakeoverIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t, oneInstance)
		due, _, _ := s.e.next()
		s.now = due.Add(2 * time.Millisecond) // the loop was late
		s.do(func() { s.e.expire(s.now, true) })
		s.forget()
		held := vip.Event{Kind: vip.Held, Owner: "web", At: time.Now().Add(5 * time.Millisecond), Addresses: s.inst("web").want(true).Addresses}
		s.do(func() { s.e.addressEvent(held) })
		s.got("took 7ms\nweb: holds 192.0.2.100/24, announced 7.0ms after the timer")
		s.do(func() { s.e.addressEvent(held) })
		s.got("web: holds 192.0.2.100/24")
	})
}
