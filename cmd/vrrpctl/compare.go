package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vrrpd/internal/config"
)

// A pair is one virtual router as two nodes have it.
type pair struct {
	a, b contender
}

// pairs matches the instances of two nodes by VRID and family, which are what
// makes them one virtual router on the wire; among several (on different
// interfaces) by name, then by interface, then in order. It also returns those
// without a counterpart.
func pairs(a, b *config.Plan) (both []pair, onlyA, onlyB []*config.Instance) {
	left := make([]*config.Instance, len(b.Instances))
	for i := range b.Instances {
		left[i] = &b.Instances[i]
	}
	same := func(x, y *config.Instance) bool { return x.VRID == y.VRID && x.IPv6 == y.IPv6 }
	found := make([]*config.Instance, len(a.Instances))
	for _, match := range []func(x, y *config.Instance) bool{
		func(x, y *config.Instance) bool { return same(x, y) && x.Name == y.Name },
		func(x, y *config.Instance) bool { return same(x, y) && x.Interface == y.Interface },
		same,
	} {
		for i := range a.Instances {
			if found[i] != nil {
				continue
			}
			if j := slices.IndexFunc(left, func(y *config.Instance) bool { return match(&a.Instances[i], y) }); j >= 0 {
				found[i] = left[j]
				left = slices.Delete(left, j, j+1)
			}
		}
	}
	for i, y := range found {
		if y == nil {
			onlyA = append(onlyA, &a.Instances[i])
			continue
		}
		both = append(both, pair{contend(a, &a.Instances[i]), contend(b, y)})
	}
	return both, onlyA, left
}

// compare says what keeps two nodes from being one cluster, or will surprise.
// nodeA and nodeB are what to call them.
func compare(a, b *config.Plan, nodeA, nodeB string) []string {
	both, onlyA, onlyB := pairs(a, b)
	var out []string
	for _, in := range onlyA {
		out = append(out, fmt.Sprintf("%s: only %s has it; nobody takes over for it", router(in), nodeA))
	}
	for _, in := range onlyB {
		out = append(out, fmt.Sprintf("%s: only %s has it; nobody takes over for it", router(in), nodeB))
	}
	for _, p := range both {
		for _, w := range slices.Concat(p.differences(nodeA, nodeB), p.idle(nodeA, nodeB)) {
			out = append(out, router(p.a.Instance)+": "+w)
		}
	}
	return out
}

// router names an instance as both nodes know it.
func router(in *config.Instance) string {
	return fmt.Sprintf("%s (VRID %d, %s)", in.Name, in.VRID, familyName(in))
}

func familyName(in *config.Instance) string {
	if in.IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

func (p pair) differences(nodeA, nodeB string) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	a, b := p.a, p.b
	if a.Version != b.Version {
		add("version %d on %s, %d on %s: neither understands the other, and both become active", a.Version, nodeA, b.Version, nodeB)
	}
	if a.AdvertInterval != b.AdvertInterval {
		what := "a backup follows the active router's, so failover takes longer or shorter depending on who is active"
		if a.Version == 2 || b.Version == 2 {
			what = "version 2 drops the other's advertisements, and both become active"
		}
		add("advert_interval %s on %s, %s on %s: %s", a.AdvertInterval, nodeA, b.AdvertInterval, nodeB, what)
	}
	if a.Password != b.Password {
		add("the passwords of %s and %s differ: each drops the other's advertisements, and both become active", nodeA, nodeB)
	}
	if x, y := without(a.Addresses, b.Addresses), without(b.Addresses, a.Addresses); len(x)+len(y) > 0 {
		add("the addresses differ: %s", onlyOn(x, nodeA, y, nodeB))
	}
	if x, y := without(a.Extra, b.Extra), without(b.Extra, a.Extra); len(x)+len(y) > 0 {
		add("the extra_addresses differ: %s", onlyOn(x, nodeA, y, nodeB))
	}
	out = append(out, p.unicast(nodeA, nodeB)...)
	switch x, y := a.stand("").Priority, b.stand("").Priority; {
	case x != y: // positive weights tell them apart
	case a.Priority == b.Priority:
		add("both have priority %d: the higher address decides who is active", x)
	default:
		add("both have priority %d while every check passes: the higher address decides who is active", x)
	}
	return out
}

// without are the addresses of a that b does not have, with their lengths.
func without(a, b []config.Address) []netip.Prefix {
	var out []netip.Prefix
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y config.Address) bool { return x.Prefix == y.Prefix }) {
			out = append(out, x.Prefix)
		}
	}
	return out
}

func onlyOn(x []netip.Prefix, nodeA string, y []netip.Prefix, nodeB string) string {
	var parts []string
	for _, side := range []struct {
		list []netip.Prefix
		node string
	}{{x, nodeA}, {y, nodeB}} {
		if len(side.list) == 0 {
			continue
		}
		var names []string
		for _, p := range side.list {
			names = append(names, p.String())
		}
		parts = append(parts, "only "+side.node+" has "+few(names, 3))
	}
	return strings.Join(parts, ", ")
}

// unicast says whether the two send to each other.
func (p pair) unicast(nodeA, nodeB string) []string {
	a, b := p.a.Unicast, p.b.Unicast
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		return []string{fmt.Sprintf("%s sends multicast, %s unicast: both become active", nodeA, nodeB)}
	case b == nil:
		return []string{fmt.Sprintf("%s sends unicast, %s multicast: both become active", nodeA, nodeB)}
	}
	var out []string
	for _, side := range []struct {
		from, to   *config.Unicast
		name, peer string
	}{{a, b, nodeA, nodeB}, {b, a, nodeB, nodeA}} {
		// Without a source the address is the interface's, which is not known here.
		if src := side.to.Source; src.IsValid() && !slices.Contains(side.from.Peers, src) {
			out = append(out, fmt.Sprintf("unicast.peers of %s lacks %s, the source of %s: it neither sends there nor listens to it", side.name, src, side.peer))
		}
	}
	return out
}
