package bonding

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// A Result is what became of a step.
type Result struct {
	Step Step
	Err  error
}

// Apply carries out steps in order and reports on each. A step that is refused
// does not stop the others: a bond with one link more is worth having without
// the option that went wrong. Only when the bond could not be created is
// nothing else tried. Plan again afterwards to see what is left.
func (h *Handle) Apply(steps []Step) []Result {
	results := make([]Result, 0, len(steps))
	for _, s := range steps {
		err := h.apply(s)
		if err != nil {
			err = fmt.Errorf("%s: %w", s, err)
		}
		results = append(results, Result{Step: s, Err: err})
		if err != nil && s.Kind == StepCreate {
			break
		}
	}
	return results
}

func (h *Handle) apply(s Step) error {
	if s.Kind == StepCreate {
		var data, a attrs
		data.u8(unix.IFLA_BOND_MODE, uint8(s.mode-1))
		a.str(unix.IFLA_IFNAME, s.Bond)
		a = append(a, linkInfo(data)...)
		return h.change(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, linkRequest(0, 0, 0, a))
	}
	b, err := h.linkByName(s.Bond)
	if err != nil {
		return err
	}
	if !b.isBond() {
		return ErrNotBond
	}
	switch s.Kind {
	case StepDown:
		return h.setUp(b.index, false)
	case StepUp:
		return h.setUp(b.index, true)
	case StepAttach:
		return h.attach(b.index, s.Link)
	case StepSet:
		value := s.value
		if s.Link != "" {
			l, err := h.linkByName(s.Link)
			if err != nil {
				return err
			}
			value = u32(uint32(l.index))
		}
		var data attrs
		data.bytes(s.attr, value)
		return h.setBond(b.index, data)
	default:
		return errors.New("unknown step")
	}
}

// setBond changes options of a bond. The bond is named by its index alone: with
// its name as well the kernel (6.1) takes the request for a renaming too, and
// answers EBUSY because the bond is up, although it has made the change.
func (h *Handle) setBond(index int, data attrs) error {
	return h.change(unix.RTM_NEWLINK, 0, linkRequest(index, 0, 0, linkInfo(data)))
}

func (h *Handle) setUp(index int, up bool) error {
	flags := uint32(0)
	if up {
		flags = unix.IFF_UP
	}
	return h.change(unix.RTM_NEWLINK, 0, linkRequest(index, flags, unix.IFF_UP, nil))
}

// attach makes an interface a link of a bond. The driver takes only what is set
// down, and sets it up itself. If it refuses, the interface is left as it was.
func (h *Handle) attach(bond int, name string) error {
	l, err := h.linkByName(name)
	if err != nil {
		return err
	}
	if l.master != 0 {
		return fmt.Errorf("%s belongs to another interface: %w", name, unix.EBUSY)
	}
	if l.up() {
		if err := h.setUp(l.index, false); err != nil {
			return err
		}
	}
	var a attrs
	a.u32(unix.IFLA_MASTER, uint32(bond))
	err = h.change(unix.RTM_NEWLINK, 0, linkRequest(l.index, 0, 0, a))
	if err != nil && l.up() {
		err = errors.Join(err, h.setUp(l.index, true))
	}
	return err
}

// Errors of SetActive.
var (
	// ErrNoActiveLink: the bond's mode has no active link to move by hand.
	ErrNoActiveLink = errors.New("only an active-backup bond has its active link moved")
	// ErrNotAttached: the link does not belong to the bond.
	ErrNotAttached = errors.New("not a link of the bond")
	// ErrNotUsable: the link is down, so nothing would be left.
	ErrNotUsable = errors.New("the link is not usable")
)

// SetActive makes a link the active one of an active-backup bond, and returns
// which one it was before. A primary with primary_reselect=always does not
// undo it at once, but at the next change of any link.
func (h *Handle) SetActive(bond, link string) (before string, err error) {
	b, err := h.Bond(bond)
	if err != nil {
		return "", err
	}
	l := b.Link(link)
	switch {
	case b.Mode != ModeActiveBackup:
		err = ErrNoActiveLink
	case l == nil:
		err = ErrNotAttached
	case b.ActiveLink == link:
		return link, nil
	case !b.Usable(l):
		err = ErrNotUsable
	default:
		var data attrs
		data.u32(unix.IFLA_BOND_ACTIVE_SLAVE, uint32(l.Index))
		err = h.setBond(b.Index, data)
	}
	if err != nil {
		return b.ActiveLink, fmt.Errorf("make %s the active link of %s: %w", link, bond, err)
	}
	return b.ActiveLink, nil
}

// Devices reads what Plan must know of interfaces. Those that do not exist are
// left out.
func (h *Handle) Devices(names ...string) (map[string]Device, error) {
	var a attrs
	noStats(&a)
	links, err := h.dumpDecoded(a)
	if err != nil {
		return nil, fmt.Errorf("read interfaces: %w", err)
	}
	addrs, err := h.addresses()
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	nameOf := make(map[int]string, len(links))
	for _, l := range links {
		nameOf[l.index] = l.name
	}
	devices := make(map[string]Device, len(names))
	for _, l := range links {
		if !slices.Contains(names, l.name) {
			continue
		}
		d := Device{Name: l.name, Index: l.index, Kind: l.kind, Up: l.up(), Master: nameOf[l.master], Addresses: addrs[l.index]}
		for _, up := range links {
			if up.lower == l.index {
				d.Above = append(d.Above, up.name)
			}
		}
		devices[l.name] = d
	}
	return devices, nil
}

func (h *Handle) addresses() (map[int][]netip.Prefix, error) {
	bodies, err := h.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg))
	if err != nil {
		return nil, err
	}
	all := make(map[int][]netip.Prefix)
	for _, b := range bodies {
		if len(b) < unix.SizeofIfAddrmsg {
			return nil, errAttr
		}
		bits, index := int(b[1]), int(attrU32(b[4:]))
		var local, addr net.IP
		if err := eachAttr(b[unix.SizeofIfAddrmsg:], func(typ uint16, v []byte) {
			switch typ {
			case unix.IFA_LOCAL:
				local = v
			case unix.IFA_ADDRESS:
				addr = v
			}
		}); err != nil {
			return nil, err
		}
		if local == nil {
			local = addr // IPv6 has no IFA_LOCAL
		}
		if a, ok := netip.AddrFromSlice(local); ok && !a.IsLinkLocalUnicast() {
			all[index] = append(all[index], netip.PrefixFrom(a, bits))
		}
	}
	return all, nil
}
