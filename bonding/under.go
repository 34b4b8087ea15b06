package bonding

import (
	"fmt"
	"slices"
)

// BondsUnder names the bonds that carry the traffic of an interface, in the
// order of their names: itself, what a VLAN or macvlan sits on, the ports of a
// bridge, the members of a VRF, however they are stacked. None is no error.
func (h *Handle) BondsUnder(name string) ([]string, error) {
	var a attrs
	noStats(&a)
	links, err := h.dumpDecoded(a)
	if err == nil && !slices.ContainsFunc(links, func(l linkMsg) bool { return l.name == name }) {
		err = ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("find the bonds under %s: %w", name, err)
	}
	return bondsUnder(links, name), nil
}

func bondsUnder(links []linkMsg, name string) []string {
	var found []string
	var todo []linkMsg
	seen := make(map[int]bool) // the kernel allows no loops; a dump taken during a change may show one
	push := func(l linkMsg) {
		if !seen[l.index] {
			seen[l.index] = true
			todo = append(todo, l)
		}
	}
	for _, l := range links {
		if l.name == name {
			push(l)
		}
	}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		if at.isBond() {
			found = append(found, at.name)
			continue // its links are its own affair
		}
		for _, l := range links {
			if l.index == at.lower || l.master == at.index {
				push(l)
			}
		}
	}
	slices.Sort(found)
	return found
}
