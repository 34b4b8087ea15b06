package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// A peer is another VRRP daemon on a host of its own.
type peer interface {
	start()
	stop()
}

type keepalived struct {
	host   *lab.Host
	router lab.Router
	proc   *lab.Process
}

func (k *keepalived) start() { k.proc = k.host.Keepalived(k.router) }
func (k *keepalived) stop()  { k.proc.Term() }

type frr struct {
	host   *lab.Host
	router lab.Router
	run    *lab.FRR
}

func (f *frr) start() { f.run = f.host.FRR(f.router) }
func (f *frr) stop() {
	f.run.Vrrpd.Term()
	_ = f.run.Vrrpd.Wait(10 * time.Second) // its status is FRR's business
	f.run.Zebra.Kill()
	for _, name := range []string{"vrrp4-51", "vrrp6-51"} {
		_, _ = f.host.Try("ip", "link", "del", name) // made by start, one of the two
	}
}

// An interop is one line of the matrix: a peer and how the two talk.
type interop struct {
	peer      string
	version   int
	v6        bool
	unicast   bool
	pass      string
	peerFirst bool // the peer has the higher priority
}

func (c interop) String() string {
	family, cast := "ipv4", "multicast"
	if c.v6 {
		family = "ipv6"
	}
	if c.unicast {
		cast = "unicast"
	}
	if c.pass != "" {
		cast += " PASS"
	}
	role := "vrrpd first"
	if c.peerFirst {
		role = "peer first"
	}
	return fmt.Sprintf("%s v%d %s %s, %s", c.peer, c.version, family, cast, role)
}

func (c interop) interval() time.Duration {
	if c.version == 2 {
		return time.Second
	}
	return 100 * time.Millisecond
}

// down is how long the backup takes to notice, and then some for a busy machine.
func (c interop) down() time.Duration { return 4*c.interval() + 6*time.Second }

func matrix() []interop {
	var out []interop
	for _, first := range []bool{false, true} {
		for _, c := range []interop{
			{peer: "keepalived", version: 2},
			{peer: "keepalived", version: 2, pass: "s3cret"},
			{peer: "keepalived", version: 2, unicast: true},
			{peer: "keepalived", version: 3},
			{peer: "keepalived", version: 3, unicast: true},
			{peer: "keepalived", version: 3, v6: true},
			{peer: "keepalived", version: 3, v6: true, unicast: true},
			{peer: "frr", version: 2},
			{peer: "frr", version: 3},
			{peer: "frr", version: 3, v6: true},
		} {
			c.peerFirst = first
			out = append(out, c)
		}
	}
	return out
}

// pair is vrrpd and a peer on one switch, with a client that asks who has the
// address.
type pair struct {
	sw      *lab.Switch
	sniff   *lab.Sniffer
	node    *node
	peer    peer
	peerOn  *lab.Host
	who     *lab.Probe
	address string
}

func newPair(t *testing.T, c interop, ours, theirs int) *pair {
	t.Helper()
	l := lab.New(t)
	p := &pair{sw: l.Switch("lan")}
	p.sniff = p.sw.Sniff()
	a := p.sw.Host("a", "192.0.2.1/24", "2001:db8::1/64")
	p.peerOn = p.sw.Host("b", "192.0.2.2/24", "2001:db8::2/64")
	client := p.sw.Host("client", "192.0.2.9/24", "2001:db8::9/64")
	r := lab.Router{Version: c.version, Interval: c.interval(), Pass: c.pass, Addresses: []string{"192.0.2.100/24"}}
	p.address = "192.0.2.100"
	if c.v6 {
		r.Addresses = []string{"fe80::51/64", "2001:db8::100/64"}
		p.address = "2001:db8::100"
	}
	mine, other := r, r
	mine.Priority, other.Priority = ours, theirs
	if c.unicast {
		mine.Source, other.Source = a.Addr(c.v6).String(), p.peerOn.Addr(c.v6).String()
		mine.Unicast, other.Unicast = []string{other.Source}, []string{mine.Source}
	}
	config := mine.Vrrpd("web")
	if c.unicast && c.v6 { // keepalived sends IPv6 unicast with hop limit 64
		config = strings.Replace(config, "peers =", "min_ttl = 64, peers =", 1)
	}
	p.node = newNode(t, l, a, config)
	if c.peer == "frr" {
		p.peer = &frr{host: p.peerOn, router: other}
	} else {
		p.peer = &keepalived{host: p.peerOn, router: other}
	}
	p.who = client.WhoHas(p.address, 50)
	return p
}

// TestInterop runs the same story with every peer: election, planned stop of
// the better one, its return and preemption, its crash.
func TestInterop(t *testing.T) {
	for _, c := range matrix() {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			ours, theirs := 150, 100
			if c.peerFirst {
				ours, theirs = 100, 150
			}
			p := newPair(t, c, ours, theirs)
			p.node.start()
			p.peer.start()
			better, worse := p.node.host, p.peerOn
			if c.peerFirst {
				better, worse = worse, better
			}
			settle := c.down() + 10*time.Second
			p.who.WaitOwner(better, settle)
			p.checkRoles(t, c)

			p.leave(c, better, false)
			p.who.WaitOwner(worse, settle)
			p.come(better)
			p.who.WaitOwner(better, settle)
			p.checkRoles(t, c)

			p.leave(c, better, true)
			p.who.WaitOwner(worse, settle)
			p.judge(t, c)
		})
	}
}

// leave takes the daemon on a host down, in order or by pulling the plug.
func (p *pair) leave(c interop, h *lab.Host, crash bool) {
	switch {
	case crash:
		p.sw.Cut(h)
		h.Crash()
	case h == p.peerOn:
		p.peer.stop()
	default:
		p.node.stop()
	}
}

func (p *pair) come(h *lab.Host) {
	if h == p.peerOn {
		p.peer.start()
	} else {
		p.node.start()
	}
}

// checkRoles looks at the election from vrrpd's side.
func (p *pair) checkRoles(t *testing.T, c interop) {
	t.Helper()
	want := "active"
	if c.peerFirst {
		want = "backup"
	}
	p.node.waitState("web", want, c.down())
	if !c.peerFirst {
		return
	}
	i := p.node.instance("web")
	if i.ActiveRouter == nil || i.ActiveRouter.Priority != 150 {
		t.Errorf("active router: %+v", i.ActiveRouter)
	}
	if i.Adverts.Received == 0 {
		t.Error("no advertisement was accepted")
	}
}

// judge has tshark look at every packet, and checks that nothing was dropped.
func (p *pair) judge(t *testing.T, c interop) {
	t.Helper()
	ours := 0
	for _, a := range p.sniff.Adverts() {
		if a.From == p.node.host.Addr(c.v6) || c.v6 && a.From.IsLinkLocalUnicast() {
			ours++
		}
	}
	if ours == 0 {
		t.Error("vrrpd sent nothing")
	}
	lab.Tshark(t, p.sniff.Close())
	if !p.node.proc.Exited() {
		for reason, n := range p.node.instance("web").Adverts.Errors {
			if reason != "send" {
				t.Errorf("%d advertisements of the peer were dropped: %s", n, reason)
			}
		}
	}
}

// TestInteropEqualPriority: the higher address wins, whoever has it.
func TestInteropEqualPriority(t *testing.T) {
	for _, c := range []interop{{peer: "keepalived", version: 3}, {peer: "keepalived", version: 2}, {peer: "keepalived", version: 3, v6: true, unicast: true}, {peer: "frr", version: 3}} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, c, 100, 100)
			p.node.start()
			p.peer.start()
			// The peer has .2, we have .1. Whoever was first stays, unless
			// both are active together; then the address decides. So neither
			// hears the other until both are active.
			lab.Until(t, c.down()+10*time.Second, "somebody to serve", func() bool { return p.who.Report().Serving() != "" })
			p.sw.Part(p.node.host, p.peerOn)
			p.node.waitState("web", "active", c.down())
			parted := time.Now()
			p.sniff.WaitAdvert(c.down()+5*time.Second, "the peer, alone, to be active", func(a lab.Advert) bool {
				return a.From == p.peerOn.Addr(c.v6) && a.Priority > 0 && a.At.After(parted)
			})
			p.sw.Join(p.node.host, p.peerOn)
			p.who.WaitOwner(p.peerOn, c.down()+10*time.Second)
			p.node.waitState("web", "backup", c.down())
		})
	}
}
