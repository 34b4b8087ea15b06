package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Interface passes while a network interface can carry packets: it exists, is
// set up, has carrier (IFF_LOWER_UP), and its driver says it is operational
// (RFC 2863 ifOperStatus up; unknown where a driver does not say). A change is
// noticed at once (rtnetlink).
type Interface struct {
	Name string
}

type interfaceProbe struct {
	spec  Interface
	index atomic.Int32 // as last seen, to notice that it is renamed
}

// New judges the spec.
func (s Interface) New() (Probe, error) {
	if err := checkInterface("name", s.Name); err != nil {
		return nil, err
	}
	return &interfaceProbe{spec: s}, nil
}

func (p *interfaceProbe) String() string { return "interface " + p.spec.Name }

func (p *interfaceProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	if ctx.Err() != nil {
		return fail("%s: %s", p.spec.Name, l.why(ctx.Err()))
	}
	h, err := dialKernel(l)
	if err != nil {
		return fail("ask for %s: %s", p.spec.Name, l.why(err))
	}
	defer h.Close()
	link, err := h.LinkByName(p.spec.Name)
	var missing netlink.LinkNotFoundError
	switch {
	case errors.As(err, &missing), errors.Is(err, unix.ENODEV):
		return fail("%s does not exist", p.spec.Name)
	case err != nil:
		return fail("ask for %s: %s", p.spec.Name, l.why(err))
	}
	a := link.Attrs()
	p.index.Store(int32(a.Index))
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		return fail("%s is set down", p.spec.Name)
	case a.RawFlags&unix.IFF_LOWER_UP == 0:
		return fail("%s has no carrier", p.spec.Name)
	case a.OperState != netlink.OperUp && a.OperState != netlink.OperUnknown:
		return fail("%s is not operational: %s", p.spec.Name, a.OperState)
	}
	return pass("%s is up and has carrier", p.spec.Name)
}

// Watch notices changes of the interface.
func (p *interfaceProbe) Watch(ctx context.Context, wake func()) error {
	return followKernel(ctx, []uint{unix.RTNLGRP_LINK}, func(m syscall.NetlinkMessage) bool {
		if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK || len(m.Data) < unix.SizeofIfInfomsg {
			return false
		}
		if int32(binary.NativeEndian.Uint32(m.Data[4:])) == p.index.Load() { // struct ifinfomsg, ifi_index
			return true
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return true
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.IFLA_IFNAME {
				return string(bytes.TrimRight(a.Value, "\x00")) == p.spec.Name
			}
		}
		return false
	}, wake)
}
