package daemon

import (
	"net/netip"
	"time"

	"vrrpd/internal/netif"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// A wire is a socket: transport.Socket, or a stand-in of the tests.
type wire interface {
	FD() int
	Join() error // the group: until then nothing is heard that was sent to it
	Receive(*transport.Batch) (packets []transport.Packet, more bool, err error)
	Queue(src, dst netip.Addr, data []byte)
	Flush() (sent int, failed []transport.SendError)
	// Series returns nil if the wire can send nothing by itself.
	Series(of *transport.Series, due int64, interval time.Duration, messages []transport.Message) *transport.Series
	Close() error
}

// A port is where the advertisements of one family on one interface pass. It
// exists as long as an instance uses it; its wire as long as the interface.
type port struct {
	name   string
	family vrrp.Family
	iface  netif.Interface // as last seen; Index 0: absent
	wire   wire            // nil: the interface is absent, or err says why not
	deaf   bool            // it has not joined the group yet
	err    error
	token  int32
	users  map[uint8]*instance // by VRID

	familiar *transport.Familiar // what the wire hears again and again

	queued []*instance // whose messages wait, in the order of Queue
	dirty  bool        // something waits
	errors [32]uint64  // packets that belong to no instance, by vrrp.Reason
}

type portKey struct {
	name   string
	family vrrp.Family
}

// usable reports why the port cannot carry advertisements; "" if it can.
func (p *port) unusable() (reason string) {
	switch {
	case p.iface.Index == 0:
		return p.name + " does not exist"
	case !p.iface.Up:
		return p.name + " is down"
	case !p.iface.Carrier:
		return p.name + " has no carrier"
	case p.err != nil:
		return p.name + ": " + p.err.Error()
	}
	return ""
}

// fault is unusable for one of the instances. Before the group is joined nobody's
// advertisement can be heard: no moment to become a backup, which could take over
// beside them, nor one to leave for who is active. One that is not started yet waits for
// it anyway, and is no reason for its group to be in fault.
func (p *port) fault(inst *instance) (reason string) {
	reason = p.unusable()
	if reason == "" && p.deaf && !inst.waits && inst.router.State() != vrrp.Active {
		reason = "the VRRP group is not joined on " + p.name + " yet"
	}
	return reason
}

// lostCarrier reports whether that is for want of a carrier alone.
func (p *port) lostCarrier() bool {
	return p.iface.Index != 0 && p.iface.Up && !p.iface.Carrier && p.err == nil
}

// source picks the address that an instance sends from: the one configured,
// else the interface's primary IPv4 (RFC 9568 §5.1.1.1) or link-local IPv6
// address (§5.1.2.1), never a virtual one unless the node owns it.
func (p *port) source(inst *instance, virtual func(netip.Addr) bool) (netip.Addr, string) {
	if u := inst.cfg.Unicast; u != nil && u.Source.IsValid() {
		for _, list := range [][]netip.Addr{p.iface.IPv4, p.iface.LinkLocal, p.iface.Global} {
			for _, a := range list {
				if a == u.Source {
					return a, ""
				}
			}
		}
		return netip.Addr{}, p.name + " does not have the source address " + u.Source.String()
	}
	candidates, kind := p.iface.IPv4, "IPv4"
	if p.family == vrrp.IPv6 {
		candidates, kind = p.iface.LinkLocal, "IPv6 link-local"
		if inst.cfg.Unicast != nil && len(inst.cfg.Unicast.Peers) > 0 && !inst.cfg.Unicast.Peers[0].IsLinkLocalUnicast() {
			candidates, kind = p.iface.Global, "global IPv6"
		}
	}
	for _, a := range candidates {
		if inst.cfg.Owner() || !virtual(a) {
			return a, ""
		}
	}
	return netip.Addr{}, p.name + " has no " + kind + " address to send from"
}
