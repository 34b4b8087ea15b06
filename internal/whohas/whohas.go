package whohas

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// A Question is whom to ask, and where.
type Question struct {
	Interface string
	Target    netip.Addr
	// Avoid tells addresses of the interface that must not be asked from: the
	// asker's neighbours would learn them. nil: none.
	Avoid func(netip.Addr) bool
}

// A Prober asks one question over and over. Ask and Close may be called from
// any goroutine while another one is in Receive.
type Prober interface {
	// Ask sends one request. With the interface down that is ENETDOWN.
	Ask() error
	// Receive calls answered for every reply to Ask until Close is called, and
	// then returns nil.
	Receive(answered func(Answer)) error
	Close() error
}

// An Answer says who answered.
type Answer struct {
	At time.Time
	// MAC is where the target is said to be; nil: it was not said.
	MAC net.HardwareAddr
	// Ours: it is the asking interface's own. The kernel hears a neighbour
	// solicitation of its own host, though no ARP request.
	Ours bool
}

// Open prepares to ask in the network namespace of the calling thread.
func Open(q Question) (Prober, error) {
	ifi, err := net.InterfaceByName(q.Interface)
	if err != nil {
		return nil, fmt.Errorf("ask over %s: %w", q.Interface, err)
	}
	var p Prober
	if q.Target.Unmap().Is4() {
		p, err = openARP(ifi, q)
	} else {
		p, err = openND(ifi, q)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s over %s: %w", q.Target, q.Interface, err)
	}
	return p, nil
}

// sourceFor is an address of the interface on the target's subnet; the
// unspecified one if there is none, as in an ARP probe (RFC 5227 §1.1).
func sourceFor(ifi *net.Interface, q Question) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Contains(q.Target) && !q.avoids(p.Addr()) {
			return p.Addr(), nil
		}
	}
	return netip.IPv4Unspecified(), nil
}

func (q *Question) avoids(a netip.Addr) bool { return q.Avoid != nil && q.Avoid(a) }
