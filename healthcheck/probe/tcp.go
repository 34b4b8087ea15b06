package probe

import (
	"context"
	"net/netip"
)

// TCP passes if a connection can be made. Nothing is sent over it.
type TCP struct {
	Address string     // "192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "db.example:5432"
	Source  netip.Addr // connect from this address; zero: as the kernel thinks best
	Device  string     // connect over this interface or VRF (SO_BINDTODEVICE); "": as routed
}

type tcpProbe struct{ spec TCP }

// New judges the spec.
func (s TCP) New() (Probe, error) {
	target, err := checkHostPort("address", s.Address)
	if err != nil {
		return nil, err
	}
	if err := checkFrom(s.Source, s.Device, target); err != nil {
		return nil, err
	}
	return &tcpProbe{spec: s}, nil
}

func (p *tcpProbe) String() string { return "tcp " + p.spec.Address }

func (p *tcpProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	conn, err := dial(ctx, p.spec.Source, p.spec.Device, p.spec.Address)
	if err != nil {
		return fail("connect %s: %s", p.spec.Address, l.why(err))
	}
	took := l.took()
	// Nothing was written that an error could have lost.
	_ = conn.Close()
	return pass("connected to %s in %s", p.spec.Address, took)
}
