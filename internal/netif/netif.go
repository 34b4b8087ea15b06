package netif

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An Interface is one network interface at one moment.
type Interface struct {
	Name    string
	Index   int
	Up      bool // administratively up
	Carrier bool // IFF_LOWER_UP, and operational as far as the driver says
	MAC     string
	// IPv4 are its addresses, primaries first, each group in the kernel's order.
	IPv4 []netip.Addr
	// LinkLocal are its IPv6 link-local addresses that may be used: past
	// duplicate address detection, and not failed in it.
	LinkLocal []netip.Addr
	// Global are its other usable IPv6 addresses.
	Global []netip.Addr
}

// Usable reports whether advertisements can pass.
func (i *Interface) Usable() bool { return i.Index != 0 && i.Up && i.Carrier }

// A Snapshot is every interface of the host by name.
type Snapshot map[string]Interface

func fromLink(l netlink.Link) Interface {
	a := l.Attrs()
	oper := a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown
	return Interface{Name: a.Name, Index: a.Index, MAC: a.HardwareAddr.String(),
		Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0 && oper}
}

// readLinks reads the links alone; the addresses stay those of before.
func readLinks(h *netlink.Handle, before Snapshot) (Snapshot, error) {
	links, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	s := make(Snapshot, len(links))
	for _, l := range links {
		i := fromLink(l)
		if old := before[i.Name]; old.Index == i.Index {
			i.IPv4, i.LinkLocal, i.Global = old.IPv4, old.LinkLocal, old.Global
		}
		s[i.Name] = i
	}
	return s, nil
}

// addAddresses reads the addresses into a snapshot.
func addAddresses(h *netlink.Handle, s Snapshot) error {
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	byIndex := make(map[int]*Interface, len(s))
	for _, i := range s {
		i.IPv4, i.LinkLocal, i.Global = nil, nil, nil
		byIndex[i.Index] = &i
	}
	// Primaries first: a secondary is no good as the "primary IPv4 address"
	// that RFC 9568 §5.1.1.1 asks to send from.
	for _, secondary := range []bool{false, true} {
		for _, a := range addrs {
			i := byIndex[a.LinkIndex]
			addr, ok := netip.AddrFromSlice(a.IP)
			if i == nil || !ok || (a.Flags&unix.IFA_F_SECONDARY != 0) != secondary {
				continue
			}
			switch addr = addr.Unmap(); {
			case addr.Is4():
				i.IPv4 = append(i.IPv4, addr)
			case a.Flags&unix.IFA_F_DADFAILED != 0 || a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC) == unix.IFA_F_TENTATIVE:
			case addr.IsLinkLocalUnicast():
				i.LinkLocal = append(i.LinkLocal, addr)
			default:
				i.Global = append(i.Global, addr)
			}
		}
	}
	for _, i := range byIndex {
		s[i.Name] = *i
	}
	return nil
}

// Equal reports whether two snapshots say the same.
func (s Snapshot) Equal(o Snapshot) bool {
	if len(s) != len(o) {
		return false
	}
	for name, a := range s {
		b, ok := o[name]
		if !ok || a.Index != b.Index || a.Up != b.Up || a.Carrier != b.Carrier || a.MAC != b.MAC ||
			!slices.Equal(a.IPv4, b.IPv4) || !slices.Equal(a.LinkLocal, b.LinkLocal) || !slices.Equal(a.Global, b.Global) {
			return false
		}
	}
	return true
}
