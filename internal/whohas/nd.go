package whohas

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/ndp"
)

// An ndProber asks from the interface's link-local address.
type ndProber struct {
	conn   *ndp.Conn
	name   string
	target netip.Addr
	group  netip.Addr // the target's solicited-node group
}

func openND(ifi *net.Interface, q Question) (*ndProber, error) {
	target := q.Target.WithZone("")
	group, err := ndp.SolicitedNodeMulticast(target)
	if err != nil {
		return nil, err
	}
	conn, _, err := ndp.Listen(ifi, ndp.LinkLocal)
	if err != nil {
		return nil, err
	}
	return &ndProber{conn: conn, name: ifi.Name, target: target, group: group}, nil
}

func (p *ndProber) Ask() error {
	// Read each time: with fail_over_mac=active it changes with the link.
	ifi, err := net.InterfaceByName(p.name)
	if err != nil {
		return err
	}
	return p.conn.WriteTo(&ndp.NeighborSolicitation{
		TargetAddress: p.target,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: ifi.HardwareAddr}},
	}, nil, p.group)
}

func (p *ndProber) Receive(answered func(at time.Time)) error {
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
			answered(at)
		}
	}
}

func (p *ndProber) Close() error { return p.conn.Close() }
