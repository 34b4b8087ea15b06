package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"vrrpd/bonding"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
)

// A bondDesk is where operators' questions about bonds, and drills, are dealt
// with. It has a netlink conversation of its own: what an operator sees is read
// when he asks, and a drill puts back what it changed while the rest of the
// daemon is being taken down.
type bondDesk struct {
	mu       sync.Mutex
	handle   *bonding.Handle // nil: nobody has asked yet
	closed   bool
	drilling bool

	asking sync.Mutex // held while targets are asked: one doctor at a time
}

// open is the conversation. It begins with the first question.
func (b *bondDesk) open() (*bonding.Handle, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errStopped
	}
	if b.handle == nil {
		h, err := bonding.Open()
		if err != nil {
			return nil, fmt.Errorf("bonds: %w", err)
		}
		b.handle = h
	}
	return b.handle, nil
}

// close ends the conversation, when no drill is left.
func (b *bondDesk) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.handle != nil {
		_ = b.handle.Close() // nobody is left to be told
		b.handle = nil
	}
}

// Bonds describes the bonds as they are now. Their health is the one that
// counts in the election, if they take part in it.
func (d *Daemon) Bonds(ctx context.Context, name string) ([]control.BondDetail, error) {
	h, err := d.desk.open()
	if err != nil {
		return nil, err
	}
	bonds, err := readBonds(h, name)
	if err != nil {
		return nil, err
	}
	s, err := d.Status(ctx)
	if err != nil {
		return nil, err
	}
	over := overBonds(h, d.planned())
	out := make([]control.BondDetail, 0, len(bonds))
	for i := range bonds {
		b := describeBond(&bonds[i])
		for _, in := range over[b.Name] {
			b.Instances = append(b.Instances, in.Name)
		}
		j := slices.IndexFunc(s.Bonds, func(c control.Bond) bool { return c.Name == b.Name })
		if j >= 0 {
			b.Health, b.Reasons = s.Bonds[j].Health, s.Bonds[j].Reasons
		} else {
			v := bonding.Judge(&bonds[i], bonding.Policy{})
			b.Health, b.Reasons = v.Health.String(), v.Reasons
		}
		out = append(out, b)
	}
	return out, nil
}

// planned is the configuration in force.
func (d *Daemon) planned() *config.Plan {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plan
}

// readBonds reads one bond, or all of them.
func readBonds(h *bonding.Handle, name string) ([]bonding.Bond, error) {
	if name == "" {
		return h.Bonds()
	}
	b, err := h.Bond(name)
	switch {
	case errors.Is(err, bonding.ErrAbsent):
		return nil, &control.StatusError{Code: http.StatusNotFound, Message: fmt.Sprintf("there is no bond %q on this host", name)}
	case errors.Is(err, bonding.ErrNotBond):
		return nil, &control.StatusError{Code: http.StatusNotFound, Message: fmt.Sprintf("%s is not a bond", name)}
	case err != nil:
		return nil, err
	}
	return []bonding.Bond{b}, nil
}

// overBonds lists the instances over each bond, in the order of the file. An
// interface that is absent, or cannot be read, runs over none.
func overBonds(h *bonding.Handle, plan *config.Plan) map[string][]*config.Instance {
	under, over := map[string][]string{}, map[string][]*config.Instance{}
	for i := range plan.Instances {
		in := &plan.Instances[i]
		names, known := under[in.Interface]
		if !known {
			names, _ = h.BondsUnder(in.Interface)
			under[in.Interface] = names
		}
		for _, name := range names {
			over[name] = append(over[name], in)
		}
	}
	return over
}

// describeBond is a bond as operators see it, but for its health and the
// instances over it.
func describeBond(b *bonding.Bond) control.BondDetail {
	out := control.BondDetail{
		Bond: control.Bond{Name: b.Name, Mode: b.Mode.String(), ActiveLink: b.ActiveLink},
		Up:   b.Up, Carrier: b.Carrier, MAC: b.MAC.String(), Primary: b.Primary,
		Monitor: "none", MIIMon: b.MIIMon.Milliseconds(), UpDelay: b.UpDelay.Milliseconds(), DownDelay: b.DownDelay.Milliseconds(),
		ARPInterval: b.ARPInterval.Milliseconds(), NumGratARP: b.NumPeerNotif, ResendIGMP: b.ResendIGMP, MinLinks: b.MinLinks,
	}
	for _, a := range slices.Concat(b.ARPTargets, b.NSTargets) {
		out.ARPTargets = append(out.ARPTargets, a.String())
	}
	switch {
	case b.MIIMon > 0:
		out.Monitor = "miimon"
	case b.ARPInterval > 0:
		out.Monitor, out.ARPValidate = "arp", b.ARPValidate.String()
	}
	if t, ok := b.FailoverTime(); ok {
		out.FailoverTime = t.Seconds()
	}
	if b.Mode.HasActiveLink() {
		out.Reselect = b.Reselect.String()
	}
	switch b.Mode {
	case bonding.ModeActiveBackup:
		out.FailOverMAC = b.FailOverMAC.String()
	case bonding.ModeBalanceXOR, bonding.ModeBalanceTLB:
		out.HashPolicy = b.HashPolicy.String()
	case bonding.Mode8023AD:
		out.HashPolicy = b.HashPolicy.String()
		out.LACP = &control.LACP{Rate: b.LACPRate.String()}
		if a := b.Aggregator; a != nil {
			out.LACP.Aggregator, out.LACP.Ports, out.LACP.ActorKey, out.LACP.PartnerKey = a.ID, a.Ports, a.ActorKey, a.PartnerKey
			if a.HasPartner() {
				out.LACP.Partner = a.Partner.String()
			}
		}
	}
	for i := range b.Links {
		out.Links = append(out.Links, describeLink(b, &b.Links[i]))
	}
	return out
}

func describeLink(b *bonding.Bond, l *bonding.Link) control.LinkDetail {
	out := control.LinkDetail{
		Link:    control.Link{Name: l.Name, Up: b.Usable(l), Active: l.Active, Failures: l.Failures, SpeedMbps: l.Speed},
		AdminUp: l.Up, Carrier: l.Carrier, MII: l.MII.String(), MAC: l.MAC.String(), PermMAC: l.PermMAC.String(),
		Duplex: l.Duplex.String(), Priority: l.Priority, Driver: l.Driver, Bus: l.Bus,
	}
	if b.Mode == bonding.Mode8023AD {
		out.LACP = &control.LinkLACP{Aggregator: l.AggregatorID, Actor: bits(l.Actor), Partner: bits(l.Partner)}
	}
	return out
}

// bits lists the bits of a port's state, without the brackets of iproute2.
func bits(s bonding.PortState) string { return strings.Trim(s.String(), "<>") }

// virtualAddresses are those that instances move: nothing is asked from them.
func virtualAddresses(plan *config.Plan) func(netip.Addr) bool {
	all := map[netip.Addr]bool{}
	for i := range plan.Instances {
		for _, list := range [][]config.Address{plan.Instances[i].Addresses, plan.Instances[i].Extra} {
			for _, a := range list {
				all[a.Prefix.Addr()] = true
			}
		}
	}
	return func(a netip.Addr) bool { return all[a] }
}
