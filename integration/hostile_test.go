package integration

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
	"vrrpd/vrrp"
)

// twoNodes is the usual cluster: vrrpd on a (150) and b (100).
func twoNodes(t *testing.T, interval time.Duration, more string) (l *lab.Lab, sw *lab.Switch, a, b *node, client *lab.Host) {
	t.Helper()
	l = lab.New(t)
	sw = l.Switch("lan")
	r := lab.Router{Interval: interval, Priority: 150, Addresses: []string{"192.0.2.100/24"}}
	a = newNode(t, l, sw.Host("a", "192.0.2.1/24", "2001:db8::1/64"), r.Vrrpd("web")+more)
	r.Priority = 100
	b = newNode(t, l, sw.Host("b", "192.0.2.2/24", "2001:db8::2/64"), r.Vrrpd("web")+more)
	client = sw.Host("client", "192.0.2.9/24", "2001:db8::9/64")
	return l, sw, a, b, client
}

// A forgery is one bad packet and the counter it must show up in.
type forgery struct {
	reason string
	src    netip.Addr
	ttl    byte
	body   []byte
}

// forgeries are packets that no router may act on. Each claims priority 255
// or 0, so that acting on one would show.
func forgeries(own netip.Addr) []forgery {
	group := netip.MustParseAddr("224.0.0.18")
	stranger := netip.MustParseAddr("192.0.2.66")
	advert := func(src netip.Addr, priority uint8) []byte {
		a := vrrp.Advert{Version: vrrp.V3, VRID: 51, Priority: priority, Interval: 100 * time.Millisecond,
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.100")}}
		return a.Append(nil, src, group)
	}
	good := advert(stranger, 255)
	edit := func(at int, value byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = value
		return b
	}
	v2 := vrrp.Advert{Version: vrrp.V2, VRID: 51, Priority: 255, Interval: time.Second, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.100")}}
	carp := append([]byte{0x21, 51, 0, 7, 0, 1, 0, 0}, make([]byte, 28)...)
	return []forgery{
		{"checksum", stranger, 255, edit(2, 0)},
		{"ttl", stranger, 254, good},
		{"version", stranger, 255, edit(0, 0x41)},
		{"version", stranger, 255, v2.Append(nil, stranger, group)},
		{"type", stranger, 255, edit(0, 0x32)},
		{"length", stranger, 255, good[:10]},
		{"length", stranger, 255, append(append([]byte(nil), good...), make([]byte, 8)...)},
		{"length", stranger, 255, carp},
		{"own", own, 255, advert(own, 255)},
		{"truncated", stranger, 255, append(append([]byte(nil), good...), make([]byte, 1400)...)},
	}
}

// inject sends packets with headers of our own making, round after round, at
// about rate a second for a while.
func inject(list []forgery, rate int, d time.Duration) func() error {
	return func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrInet4{Addr: [4]byte{224, 0, 0, 18}}
		start, sent := time.Now(), 0
		for time.Since(start) < d {
			due := int(time.Since(start).Seconds() * float64(rate))
			for ; sent < due; sent++ {
				f := list[sent%len(list)]
				h := make([]byte, 20, 20+len(f.body))
				h[0], h[8], h[9] = 0x45, f.ttl, vrrp.Protocol
				binary.BigEndian.PutUint16(h[2:], uint16(20+len(f.body)))
				src := f.src.As4()
				copy(h[12:], src[:])
				copy(h[16:], to.Addr[:])
				if err := unix.Sendto(fd, append(h, f.body...), 0, to); err != nil {
					return fmt.Errorf("send: %w", err)
				}
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}
}

// TestFloodOfBadPackets: 20,000 bad packets a second of every kind, to both
// nodes, change nothing and are counted by reason.
func TestFloodOfBadPackets(t *testing.T) {
	t.Parallel()
	_, sw, a, b, client := twoNodes(t, 100*time.Millisecond, "")
	attacker := sw.Host("attacker", "192.0.2.66/24")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	b.start()
	who := client.WhoHas("192.0.2.100", 100)
	who.WaitOwner(a.host, 5*time.Second)
	before := []uint64{a.instance("web").Transitions, b.instance("web").Transitions}

	attacker.Run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
	// The kernel by itself drops packets that come from one of its own
	// addresses; some networks make people turn that off.
	a.host.Sysctl("net/ipv4/conf/eth0/accept_local", "1")
	a.host.Sysctl("net/ipv4/conf/eth0/rp_filter", "0")
	a.host.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	list := forgeries(a.host.Addr(false))
	if err := attacker.Do(inject(list, 20_000, 3*time.Second)); err != nil {
		t.Fatal(err)
	}
	for i, n := range []*node{a, b} {
		inst := n.instance("web")
		if inst.Transitions != before[i] {
			t.Errorf("%s: %d transitions during the flood\n%s", n.host.Name, inst.Transitions-before[i], n.must("events"))
		}
		for _, f := range list {
			if f.reason == "own" && n == b {
				continue // a's address is a stranger's to b
			}
			if inst.Adverts.Errors[f.reason] == 0 {
				t.Errorf("%s: nothing counted as %s: %v", n.host.Name, f.reason, inst.Adverts.Errors)
			}
		}
		if lines := strings.Count(n.proc.Output(), "dropped an advertisement"); lines > len(list) {
			t.Errorf("%s: %d lines in the log for one flood", n.host.Name, lines)
		}
		t.Logf("%s counted %v", n.host.Name, inst.Adverts.Errors)
	}
	if r := who.Stop(); r.Serving() != "a" || len(r.Conflicts) > 0 || len(r.Owners) != 1 {
		t.Errorf("seen by the client: %s", r)
	}
}

// TestFloodOfLosingAdverts: valid advertisements of lower priority are
// answered at most once an interval, and announced at most once a second.
func TestFloodOfLosingAdverts(t *testing.T) {
	t.Parallel()
	_, sw, a, _, _ := twoNodes(t, 100*time.Millisecond, "")
	attacker := sw.Host("attacker", "192.0.2.66/24")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	time.Sleep(100 * time.Millisecond)
	attacker.Run("ip", "route", "add", "224.0.0.0/4", "dev", "eth0")
	stranger := netip.MustParseAddr("192.0.2.66")
	loser := vrrp.Advert{Version: vrrp.V3, VRID: 51, Priority: 1, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.100")}}
	body := loser.Append(nil, stranger, netip.MustParseAddr("224.0.0.18"))
	sent := a.instance("web").Adverts.Sent
	const length = 2 * time.Second
	start := time.Now()
	if err := attacker.Do(inject([]forgery{{src: stranger, ttl: 255, body: body}}, 20_000, length)); err != nil {
		t.Fatal(err)
	}
	inst := a.instance("web")
	intervals := uint64(time.Since(start)/(100*time.Millisecond)) + 2
	if got := inst.Adverts.Sent - sent; got > 2*intervals {
		t.Errorf("%d advertisements in %d intervals: more than one of its own and one answer each", got, intervals)
	}
	if inst.State != "active" || !inst.DualActive {
		t.Errorf("state %s, dual active %v: somebody else advertises all the time", inst.State, inst.DualActive)
	}
}
