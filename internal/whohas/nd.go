package whohas

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/mdlayher/ndp"
)

// An ndProber asks from the interface's link-local address.
type ndProber struct {
	conn   *ndp.Conn
	name   string
	source netip.Addr
	target netip.Addr
	group  netip.Addr // the target's solicited-node group

	mu  sync.Mutex
	mac net.HardwareAddr // as last asked from
}

func openND(ifi *net.Interface, q Question) (*ndProber, error) {
	target := q.Target.WithZone("")
	group, err := ndp.SolicitedNodeMulticast(target)
	if err != nil {
		return nil, err
	}
	source, err := linkLocal(ifi, q)
	if err != nil {
		return nil, err
	}
	conn, _, err := ndp.Listen(ifi, ndp.Addr(source.String()))
	if err != nil {
		return nil, err
	}
	return &ndProber{conn: conn, name: ifi.Name, source: source, target: target, group: group}, nil
}

// linkLocal is a link-local address of the interface that may be asked from.
// With virtual ones about that is not always the first.
func linkLocal(ifi *net.Interface, q Question) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() && !q.avoids(p.Addr()) {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("no link-local address to ask from")
}

func (p *ndProber) Ask() error {
	// Read each time: with fail_over_mac=active it changes with the link.
	ifi, err := net.InterfaceByName(p.name)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.mac = ifi.HardwareAddr
	p.mu.Unlock()
	return p.conn.WriteTo(&ndp.NeighborSolicitation{
		TargetAddress: p.target,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr}},
	}, nil, p.group)
}

func (p *ndProber) Receive(answered func(Answer)) error {
	for {
		m, _, _, err := p.conn.ReadFrom()
		at := time.Now()
		var failed *net.OpError
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed):
			return nil
		case errors.As(err, &failed):
			return err
		case err != nil:
			continue // not a message of neighbour discovery, or a broken one
		}
		if na, ok := m.(*ndp.NeighborAdvertisement); ok && na.Solicited && na.TargetAddress == p.target {
			mac := saidMAC(na)
			p.mu.Lock()
			ours := bytes.Equal(mac, p.mac)
			p.mu.Unlock()
			answered(Answer{At: at, MAC: mac, Ours: ours})
		}
	}
}

// saidMAC is the address in the target link-layer address option, which an
// answer to a multicast solicitation has (RFC 4861 §7.2.4); nil without one.
func saidMAC(na *ndp.NeighborAdvertisement) net.HardwareAddr {
	for _, o := range na.Options {
		if lla, ok := o.(*ndp.LinkLayerAddress); ok && lla.Direction == ndp.Target {
			return lla.Addr
		}
	}
	return nil
}

func (p *ndProber) Close() error { return p.conn.Close() }
