package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// How many addresses an advertisement can list: its count has eight bits, and
// an IPv6 one is to fit the minimum Ethernet MTU of 1500 bytes, less 40 for the
// IPv6 header and 8 for its own.
const (
	listedMax4 = 255
	listedMax6 = (1500 - 40 - 8) / 16
)

// advertMax3 is the largest interval twelve bits of centiseconds hold (RFC
// 9568 section 5.2.7), advertStep3 their unit.
const (
	advertMax3  = 40950 * time.Millisecond
	advertStep3 = 10 * time.Millisecond
)

// An instance is a virtual router while it is checked.
type instance struct {
	Instance
	s         *section
	addresses []virtual
	extra     []virtual
	idle      []idleWeight
	// families: all addresses could be read and agree, so IPv6 is right.
	families bool
}

// instance takes over one [instance.NAME].
func (b *builder) instance(name string, s *section) {
	in := &instance{s: s, Instance: Instance{
		Name:           name,
		Interface:      s.text("interface"),
		VRID:           uint8(s.integer("vrid")),
		Version:        s.integer("version"),
		Priority:       uint8(s.integer("priority")),
		AdvertInterval: s.duration("advert_interval"),
		Checksum:       s.text("checksum"),
		Preempt:        s.boolean("preempt"),
		PreemptDelay:   s.duration("preempt_delay"),
		StartDelay:     s.duration("start_delay"),
		Strict:         s.boolean("strict"),
	}}
	if s.given("interface") {
		if fault := interfaceFault(in.Interface); fault != "" {
			s.fail("interface", fault, "write the name of an interface, at most 15 bytes")
			in.Interface = ""
		} else if b.absent(in.Interface) && !b.manages(in.Interface) {
			s.warn("interface", "this host has no interface "+quoteShort(in.Interface)+" now", "check the name; vrrpd waits for it")
		}
	}
	b.interval(in)
	in.Handover = s.text("handover")
	in.HandoverTimeout = s.duration("handover_timeout")
	if s.text("handover_timeout") != "" {
		in.HandoverTimeout = 4*in.AdvertInterval + time.Second
	}
	b.lease(in)
	in.Conflict = s.text("conflict")
	b.virtuals(in)
	b.unicast(in)
	b.auth(in)
	b.announce(in)
	b.contradictions(in)
	b.order = append(b.order, in)
	b.instances[name] = in
}

// lease works out how long the kernel keeps the addresses by itself: longer
// than the others wait, or they would be gone before anybody has them.
func (b *builder) lease(in *instance) {
	s, least := in.s, 4*in.AdvertInterval
	switch word := s.text("lease"); {
	case word == "off":
	case word == "auto":
		in.Lease = autoLease(in.AdvertInterval)
	default:
		in.Lease = s.duration("lease")
		switch {
		case !s.given("lease") || !s.sure("advert_interval"):
		case in.Lease%time.Second != 0:
			s.fail("lease", "the kernel counts in whole seconds", "write "+TOMLDuration(in.Lease.Truncate(time.Second)+time.Second))
		case in.Lease < least:
			s.fail("lease", "it is shorter than the other nodes may wait before they take over", "write at least "+TOMLDuration(wholeSeconds(least))+", or \"auto\"")
		}
	}
	if in.Owner() {
		in.Lease = 0
	}
}

// autoLease is what lease = "auto" means.
func autoLease(interval time.Duration) time.Duration {
	return max(5*time.Second, wholeSeconds(4*interval)+time.Second)
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// interval checks advert_interval, whose limits depend on the version.
func (b *builder) interval(in *instance) {
	s, d := in.s, in.AdvertInterval
	if !s.given("advert_interval") || !s.sure("version") {
		return
	}
	fail := func(what, instead string) { s.fail("advert_interval", quoteShort(duration(d).String())+what, instead) }
	switch {
	case in.Version == 2 && (d < time.Second || d%time.Second != 0):
		fail(" is not whole seconds, as version 2 has them",
			"write "+TOMLDuration(max(d.Round(time.Second), time.Second))+", or version = 3 on all nodes")
	case in.Version == 3 && d > advertMax3:
		fail(" is out of range", `write a duration from "10ms" to "40.95s"`)
	case in.Version == 3 && d%advertStep3 != 0:
		fail(" is not a multiple of 10ms", "write "+TOMLDuration(max(d.Round(advertStep3), advertStep3)))
	}
}

// virtuals reads addresses and extra_addresses, and settles the family.
func (b *builder) virtuals(in *instance) {
	s := in.s
	addresses, whole := b.addresses(s, "addresses", in.Interface)
	in.addresses = addresses
	in.extra, _ = b.addresses(s, "extra_addresses", in.Interface)
	for _, v := range in.extra {
		in.Extra = append(in.Extra, v.Address)
	}
	if s.given("addresses") && len(s.elements("addresses")) == 0 {
		s.fail("addresses", "there is none", `write at least one, such as ["192.0.2.1/24"]`)
	}
	if len(addresses) == 0 {
		return
	}
	in.IPv6 = addresses[0].Prefix.Addr().Is6()
	in.families = s.given("addresses")
	for _, v := range addresses {
		in.Addresses = append(in.Addresses, v.Address)
		if v.Prefix.Addr().Is6() != in.IPv6 {
			in.families = false
			v.at(fmt.Sprintf("it is %s, the first address is %s", family(!in.IPv6), family(in.IPv6)),
				"move it to an instance of its own, or to extra_addresses", false)
		}
	}
	limit := listedMax4
	if in.IPv6 {
		limit = listedMax6
	}
	if in.families && len(addresses) > limit {
		v := addresses[limit]
		v.at(fmt.Sprintf("an advertisement can list %d %s addresses, these are %d", limit, family(in.IPv6), len(addresses)),
			"put the others in extra_addresses", false)
	}
	if in.IPv6 && in.families && whole && in.Version == 3 && s.sure("version") && !addresses[0].Prefix.Addr().IsLinkLocalUnicast() {
		what := "the first IPv6 address is not link-local, as RFC 9568 demands"
		if in.Strict {
			addresses[0].at(what, `begin with one such as "fe80::1/64"`, false)
		} else {
			addresses[0].at(what+"; a strict peer drops the advertisements", `begin with one such as "fe80::1/64"`, true)
		}
	}
}

// unicast reads the inline table of that name.
func (b *builder) unicast(in *instance) {
	if !in.s.given("unicast") {
		return
	}
	s := b.inner(in.s, unicastTable, "unicast")
	u := &Unicast{MinTTL: s.integer("min_ttl")}
	in.Unicast = u
	if in.Strict {
		in.s.fail("unicast", "RFC 9568 knows multicast only, and strict is set", "remove one of the two")
	}
	if s.given("source") {
		u.Source = b.peer(in, s, s.place("source"), s.key("source"), s.text("source"))
	}
	for i, text := range s.texts("peers") {
		at, shown := s.node.field("peers").item(i), fmt.Sprintf("%s[%d]", s.key("peers"), i)
		a := b.peer(in, s, at, shown, text)
		switch {
		case !a.IsValid():
			continue
		case a == u.Source:
			s.at(at, shown, a.String()+" is the source, which is this node", "list the other nodes only", false)
		case slices.Contains(u.Peers, a):
			s.at(at, shown, a.String()+" is listed twice", "remove one", false)
		default:
			u.Peers = append(u.Peers, a)
		}
	}
	switch n := len(s.texts("peers")); {
	case s.given("peers") && n == 0:
		s.fail("peers", "there is none", "write the addresses of the other nodes, or remove unicast")
	case n > 255:
		s.fail("peers", fmt.Sprintf("these are %d", n), "write at most 255")
	}
	if in.IPv6 && in.families && u.MinTTL > 64 {
		at, shown := in.s.place("unicast"), in.s.key("unicast")
		if s.given("min_ttl") {
			at, shown = s.place("min_ttl"), s.key("min_ttl")
		}
		s.at(at, shown, fmt.Sprintf("min_ttl is %d, but keepalived sends IPv6 unicast with hop limit 64", u.MinTTL), "write min_ttl = 64 if a peer runs keepalived", true)
	}
}

// inner opens a table within an instance.
func (b *builder) inner(outer *section, spec *table, name string) *section {
	return b.open(spec, append(slices.Clone(outer.path), name), outer.key(name), outer.place(name), outer.table(name))
}

// peer reads the address of a node. The zero Addr: it has been reported.
func (b *builder) peer(in *instance, s *section, n *node, shown, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	what, instead := "", "write the address of a node"
	switch {
	case err != nil && isPrefix(text):
		p := netip.MustParsePrefix(text)
		what, instead = quoteShort(text)+" has a prefix length", fmt.Sprintf("write %q", p.Addr())
	case err != nil:
		what = quoteShort(text) + " is not an IP address"
	case a.Zone() != "":
		what, instead = quoteShort(text)+" has a zone", fmt.Sprintf("write %q: the interface is the instance's", a.WithZone(""))
	case a.Is4In6():
		what, instead = quoteShort(text)+" is an IPv4 address in IPv6 form", fmt.Sprintf("write %q", a.Unmap())
	case in.families && a.Is6() != in.IPv6:
		what, instead = fmt.Sprintf("it is %s, the addresses are %s", family(a.Is6()), family(in.IPv6)), "write an address of the same family"
	case slices.ContainsFunc(in.Addresses, func(v Address) bool { return v.Prefix.Addr() == a }) && !in.Owner():
		what = a.String() + " is one of the virtual addresses"
		instead = "write the node's own address"
	default:
		what, instead = hostFault(a)
	}
	if what == "" {
		return a
	}
	s.at(n, shown, what, instead, false)
	return netip.Addr{}
}

func isPrefix(text string) bool {
	_, err := netip.ParsePrefix(text)
	return err == nil
}

// announce reads the inline table of that name; without it the defaults hold.
func (b *builder) announce(in *instance) {
	s := b.inner(in.s, announceTable, "announce")
	in.Announce = Announce{Burst: s.integer("burst"), Again: s.duration("again"), Refresh: s.duration("refresh")}
	if in.Announce.Refresh > 0 && in.Announce.Refresh < time.Second {
		s.fail("refresh", quoteShort(duration(in.Announce.Refresh).String())+" is too often", `write "0s" for never, or at least "1s"`)
	}
}

// contradictions reports keys that are right by themselves, but not together.
func (b *builder) contradictions(in *instance) {
	s := in.s
	if in.families && in.IPv6 && in.Version == 2 && s.sure("version") {
		s.fail("version", "version 2 knows IPv4 only, the addresses are IPv6", "write version = 3")
	}
	if s.given("checksum") && in.Checksum != "auto" {
		switch {
		case s.sure("version") && in.Version == 2:
			s.fail("checksum", "version 2 has one form of checksum only", "remove it")
		case in.families && in.IPv6:
			s.fail("checksum", "IPv6 has one form of checksum only", "remove it")
		}
	}
	if !in.Preempt && s.sure("preempt") {
		switch {
		case in.PreemptDelay > 0:
			s.fail("preempt_delay", "it has no effect, since preempt is false", "remove one of the two")
		case in.Owner():
			s.warn("preempt", "priority 255 preempts whatever preempt says", "remove it, or choose a lower priority")
		}
	}
}
