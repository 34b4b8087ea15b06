package whohas

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"go.uber.org/goleak"

	"vrrpd/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(leaktight{m}) }

// leaktight is a test run that fails if it leaves goroutines behind.
type leaktight struct{ m *testing.M }

func (l leaktight) Run() int {
	status := l.m.Run()
	if err := goleak.Find(); status == 0 && err != nil {
		os.Stderr.WriteString("goroutines left behind: " + err.Error() + "\n")
		return 1
	}
	return status
}

// asked are the replies to questions put inside a host.
func asked(t *testing.T, h *lab.Host, q Question) (p Prober, replies chan Answer) {
	t.Helper()
	if err := h.Do(func() (err error) { p, err = Open(q); return err }); err != nil {
		t.Fatal(err)
	}
	replies = make(chan Answer, 1000)
	over := make(chan error, 1)
	go func() { over <- p.Receive(func(a Answer) { replies <- a }) }()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := <-over; err != nil {
			t.Errorf("receive: %v", err)
		}
	})
	return p, replies
}

func ask(t *testing.T, h *lab.Host, p Prober) {
	t.Helper()
	if err := h.Do(p.Ask); err != nil {
		t.Fatal(err)
	}
}

// TestAsk: every question has a reply, also when the asker's MAC changes.
func TestAsk(t *testing.T) {
	t.Parallel()
	const theirs = "02:00:00:00:00:b2"
	for name, target := range map[string]string{"ARP": "192.0.2.2", "ND": "2001:db8::2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			h := sw.Host("a", "192.0.2.1/24", "2001:db8::1/64")
			b := sw.Host("b", "192.0.2.2/24", "2001:db8::2/64")
			b.Run("ip", "link", "set", "eth0", "address", theirs)
			p, replies := asked(t, h, Question{Interface: "eth0", Target: netip.MustParseAddr(target)})
			for range 3 {
				began := time.Now()
				ask(t, h, p)
				select {
				case a := <-replies:
					if a.At.Before(began) {
						t.Errorf("answered %v before it was asked", began.Sub(a.At))
					}
					if a.MAC.String() != theirs || a.Ours {
						t.Errorf("answered by %s, ours: %t", a.MAC, a.Ours)
					}
				case <-time.After(5 * time.Second):
					t.Fatal("no reply")
				}
			}
			// The MAC changes while it asks, as that of a bond may.
			h.Run("ip", "link", "set", "eth0", "address", "02:00:00:00:99:99")
			lab.Until(t, 10*time.Second, "a reply to the new MAC", func() bool {
				for len(replies) > 0 {
					<-replies
				}
				ask(t, h, p)
				select {
				case <-replies:
					return true
				case <-time.After(50 * time.Millisecond):
					return false
				}
			})
		})
	}
}

// TestInterfaceMadeAnew: an interface of the same name has another number, which
// package net would not notice for a minute.
func TestInterfaceMadeAnew(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	h := sw.Host("a", "192.0.2.1/24", "2001:db8::1/64")
	sw.Host("b", "192.0.2.2/24", "2001:db8::2/64")
	for range 3 {
		h.Run("sh", "-ec", `ip link add link eth0 name again type macvlan mode bridge
			ip link set again up
			ip addr add 192.0.2.9/24 dev again
			ip addr add fe80::9/64 dev again nodad`)
		for _, target := range []string{"192.0.2.2", "2001:db8::2"} {
			p, replies := asked(t, h, Question{Interface: "again", Target: netip.MustParseAddr(target)})
			lab.Until(t, 10*time.Second, "a reply of "+target, func() bool {
				ask(t, h, p)
				select {
				case <-replies:
					return true
				case <-time.After(50 * time.Millisecond):
					return false
				}
			})
		}
		h.Run("ip", "link", "del", "again")
	}
}

// What others are told, or everybody, is no reply to us.
func TestIsAnswer(t *testing.T) {
	ours, theirs := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	us, them := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	p := &arpProber{source: us, target: them, mac: ours}
	for _, tc := range []struct {
		name   string
		op     arp.Operation
		from   netip.Addr
		toMAC  net.HardwareAddr
		answer bool
	}{
		{"a reply", arp.OperationReply, them, ours, true},
		{"a question", arp.OperationRequest, them, ours, false},
		{"somebody else's reply", arp.OperationReply, us, ours, false},
		{"a reply to somebody else", arp.OperationReply, them, theirs, false},
		{"an announcement", arp.OperationReply, them, ethernet.Broadcast, false},
	} {
		reply, err := arp.NewPacket(tc.op, theirs, tc.from, tc.toMAC, us)
		if err != nil {
			t.Fatal(err)
		}
		if p.isAnswer(reply) != tc.answer {
			t.Errorf("%s is taken for an answer: %t", tc.name, !tc.answer)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	h := sw.Host("a", "192.0.2.1/24")
	sw.Host("b", "192.0.2.2/24")
	for _, target := range []string{"192.0.2.3", "2001:db8::3"} {
		p, replies := asked(t, h, Question{Interface: "eth0", Target: netip.MustParseAddr(target)})
		for range 5 {
			ask(t, h, p)
		}
		select {
		case <-replies:
			t.Errorf("somebody answered for %s", target)
		case <-time.After(200 * time.Millisecond):
		}
	}
	// Over an interface that is down nothing can be asked, and it is survived.
	p, replies := asked(t, h, Question{Interface: "eth0", Target: netip.MustParseAddr("192.0.2.2")})
	h.Run("ip", "link", "set", "eth0", "down")
	if err := h.Do(p.Ask); err == nil {
		t.Error("asked over an interface that is down")
	}
	h.Run("ip", "link", "set", "eth0", "up")
	lab.Until(t, 10*time.Second, "a reply", func() bool {
		_ = h.Do(p.Ask)
		select {
		case <-replies:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	if err := h.Do(func() error {
		_, err := Open(Question{Interface: "eth7", Target: netip.MustParseAddr("192.0.2.2")})
		return err
	}); err == nil {
		t.Error("asked over an interface that is not there")
	}
}

// TestSource: it asks from an address of the target's subnet, but from none of
// those to be avoided; then from none at all.
func TestSource(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	h := sw.Host("a", "198.51.100.1/24", "192.0.2.100/24", "192.0.2.1/24")
	sw.Host("b", "192.0.2.2/24", "203.0.113.2/24")
	virtual := netip.MustParseAddr("192.0.2.100")
	for target, source := range map[string]string{"192.0.2.2": "192.0.2.1", "203.0.113.2": "0.0.0.0"} {
		p, replies := asked(t, h, Question{Interface: "eth0", Target: netip.MustParseAddr(target), Avoid: func(a netip.Addr) bool { return a == virtual }})
		if got := p.(*arpProber).source; got.String() != source {
			t.Errorf("%s is asked from %s, want %s", target, got, source)
		}
		ask(t, h, p)
		select {
		case <-replies:
		case <-time.After(5 * time.Second):
			t.Errorf("no reply to %s", source)
		}
	}
}

// TestAskOurselves: who asks for what is on its own interface is answered by
// no ARP; a neighbour advertisement of its own is told from others. An IPv6
// address to be avoided is not asked from either.
func TestAskOurselves(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	h := sw.Host("a", "fe80::53/64", "2001:db8::53/64", "192.0.2.53/24")
	b := sw.Host("b", "2001:db8::2/64")
	virtual := netip.MustParseAddr("fe80::53")
	avoid := func(a netip.Addr) bool { return a == virtual }
	p, replies := asked(t, h, Question{Interface: "eth0", Target: netip.MustParseAddr("192.0.2.53"), Avoid: avoid})
	ask(t, h, p)
	select {
	case a := <-replies:
		t.Errorf("answered by %s", a.MAC)
	case <-time.After(100 * time.Millisecond):
	}
	p, replies = asked(t, h, Question{Interface: "eth0", Target: netip.MustParseAddr("2001:db8::53"), Avoid: avoid})
	if from := p.(*ndProber).source; from == virtual {
		t.Errorf("asked from %s", from)
	}
	for range 3 { // an answer of our own is not promised
		ask(t, h, p)
		select {
		case a := <-replies:
			if !a.Ours {
				t.Errorf("answered by %s", a.MAC)
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
	// The address moves to another host.
	h.Run("ip", "addr", "del", "2001:db8::53/64", "dev", "eth0")
	b.Run("ip", "addr", "add", "2001:db8::53/64", "dev", "eth0", "nodad")
	lab.Until(t, 10*time.Second, "an answer of the other host", func() bool {
		ask(t, h, p)
		select {
		case a := <-replies:
			return !a.Ours && a.MAC != nil
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	// With no other address there is nothing to ask from.
	err := h.Do(func() error {
		_, err := Open(Question{Interface: "eth0", Target: netip.MustParseAddr("2001:db8::2"), Avoid: func(netip.Addr) bool { return true }})
		return err
	})
	if err == nil {
		t.Error("asked from an address to be avoided")
	}
}

func TestGateway(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	h := sw.Host("a", "192.0.2.1/24", "2001:db8::1/64")
	sw.Attach(h, "eth1", "198.51.100.1/24")
	gateway := func(iface string, ipv6 bool) (a netip.Addr) {
		t.Helper()
		if err := h.Do(func() (err error) { a, err = Gateway(iface, ipv6); return err }); err != nil {
			t.Fatal(err)
		}
		return a
	}
	expect := func(iface string, ipv6 bool, want string) {
		t.Helper()
		got := gateway(iface, ipv6)
		if got.IsValid() && got.String() != want || !got.IsValid() && want != "" {
			t.Errorf("gateway of %s, IPv6 %t: %v, want %q", iface, ipv6, got, want)
		}
	}
	expect("eth0", false, "")
	expect("eth0", true, "")
	h.Run("sh", "-ec", `
		ip route add 203.0.113.0/24 via 192.0.2.250
		ip route add default via 192.0.2.253 metric 200
		ip route add default via 192.0.2.254 metric 100
		ip -6 route add default via fe80::254 dev eth0
		ip route add default via 198.51.100.254 metric 300`)
	expect("eth0", false, "192.0.2.254")
	expect("eth1", false, "198.51.100.254")
	expect("eth0", true, "fe80::254")
	expect("eth1", true, "")
	h.Run("sh", "-ec", `ip route flush default
		ip route add default nexthop via 198.51.100.253 nexthop via 192.0.2.252`)
	expect("eth0", false, "192.0.2.252")
	expect("eth1", false, "198.51.100.253")
	h.Run("sh", "-ec", `ip route flush default; ip route add default via 192.0.2.251 table 77; ip rule add from 192.0.2.1 table 77`)
	expect("eth0", false, "192.0.2.251")
	if err := h.Do(func() error { _, err := Gateway("eth7", false); return err }); err == nil {
		t.Error("an interface that is not there has a gateway")
	}
}
