package bonding

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A bond and its links are several netlink answers, and a failover may happen
// between them. The bond is therefore read before and after its links, and all
// of it again if the two differ, at most readTries times. A bond that changes
// faster than that is reported as last seen; the next change brings the next
// reading.
const readTries = 4

// skipStats is RTEXT_FILTER_SKIP_STATS of include/uapi/linux/rtnetlink.h.
const skipStats = 1 << 3

// noStats leaves the traffic counters out of the answers.
func noStats(a *attrs) { a.u32(unix.IFLA_EXT_MASK, skipStats) }

// Bonds reads every bond of the namespace, in the order of their names.
func (h *Handle) Bonds() ([]Bond, error) {
	bonds, err := h.steady(h.dumpBonds)
	if err != nil {
		return nil, fmt.Errorf("read bonds: %w", err)
	}
	slices.SortFunc(bonds, func(a, b Bond) int { return strings.Compare(a.Name, b.Name) })
	return bonds, nil
}

// Bond reads one bond. The error is ErrAbsent if nothing has that name, and
// ErrNotBond if something else has.
func (h *Handle) Bond(name string) (Bond, error) {
	bonds, err := h.steady(func() ([]bondRead, error) {
		m, err := h.linkByName(name)
		if err != nil {
			return nil, err
		}
		if !m.isBond() {
			return nil, ErrNotBond
		}
		b, err := m.bond()
		return []bondRead{b}, err
	})
	if err != nil {
		return Bond{}, fmt.Errorf("read %s: %w", name, err)
	}
	return bonds[0], nil
}

func (h *Handle) steady(read func() ([]bondRead, error)) ([]Bond, error) {
	before, err := read()
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		bonds := make([]Bond, 0, len(before))
		for _, r := range before {
			links, err := h.dumpLinks(r.Index)
			if err != nil {
				return nil, err
			}
			bonds = append(bonds, r.with(links))
		}
		after, err := read()
		if err != nil {
			return nil, err
		}
		if try == readTries || reflect.DeepEqual(before, after) {
			for i := range bonds {
				h.hardware(bonds[i].Links)
			}
			return bonds, nil
		}
		before = after
	}
}

// with puts the links in, and names for numbers.
func (r bondRead) with(links []Link) Bond {
	b := r.Bond
	b.Links = links
	for i := range links {
		l := &links[i]
		if l.Index == r.active {
			b.ActiveLink = l.Name
		}
		if l.Index == r.primary {
			b.Primary = l.Name
		}
		if b.Mode == ModeActiveBackup {
			l.Active = l.Index == r.active
		}
	}
	return b
}

func (h *Handle) dumpBonds() ([]bondRead, error) {
	a := linkInfo(nil) // the kernel filters by kind; kernels that do not are filtered here
	noStats(&a)
	msgs, err := h.dumpDecoded(a)
	if err != nil {
		return nil, err
	}
	var bonds []bondRead
	for _, m := range msgs {
		if !m.isBond() {
			continue
		}
		b, err := m.bond()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		bonds = append(bonds, b)
	}
	return bonds, nil
}

func (h *Handle) dumpLinks(bond int) ([]Link, error) {
	var a attrs
	a.u32(unix.IFLA_MASTER, uint32(bond))
	noStats(&a)
	msgs, err := h.dumpDecoded(a)
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, m := range msgs {
		if m.master != bond || !m.isLink() {
			continue
		}
		l, err := m.link()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b Link) int { return a.Index - b.Index })
	return links, nil
}

func (h *Handle) dumpDecoded(a attrs) ([]linkMsg, error) {
	bodies, err := h.dump(unix.RTM_GETLINK, linkRequest(0, 0, 0, a))
	if err != nil {
		return nil, err
	}
	msgs := make([]linkMsg, 0, len(bodies))
	for _, body := range bodies {
		m, err := decodeLink(body)
		if err != nil {
			return nil, err
		}
		msgs = append(msgs, m)
	}
	return msgs, nil
}

func (h *Handle) linkByName(name string) (linkMsg, error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return linkMsg{}, ErrAbsent // no interface can have it
	}
	var a attrs
	a.str(unix.IFLA_IFNAME, name)
	noStats(&a)
	body, err := h.get(unix.RTM_GETLINK, linkRequest(0, 0, 0, a))
	if errors.Is(err, unix.ENODEV) {
		return linkMsg{}, ErrAbsent
	}
	if err != nil {
		return linkMsg{}, err
	}
	return decodeLink(body)
}
