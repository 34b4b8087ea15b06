package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vrrpd/bonding"
)

// targetMax is how many ARP targets the driver has room for (BOND_MAX_ARP_TARGETS).
const targetMax = 16

// bond takes over one [bond.NAME].
func (b *builder) bond(name string, s *section) {
	if fault := interfaceFault(name); fault != "" {
		b.report(b.src.doc, s.node.key, s.shown, fault, "a bond goes by the name of its interface", false)
	}
	bond := Bond{
		Name:           name,
		Mode:           s.text("mode"),
		MinLinks:       s.integer("min_links"),
		DegradedWeight: s.integer("degraded_weight"),
		DegradedAfter:  s.duration("degraded_after"),
		HealthyAfter:   s.duration("healthy_after"),
		RequireMonitor: s.boolean("require_monitor"),
	}
	switch {
	case s.boolean("manage"):
		bond.Managed = b.managed(&bond, s)
	case s.given("manage") || !s.there("manage"):
		s.unmanaged()
	}
	b.plan.Bonds = append(b.plan.Bonds, bond)
}

// unmanaged reports the keys that say how a bond is to be, of one that is left
// alone. They are one mistake together.
func (s *section) unmanaged() {
	var idle []string
	for _, name := range s.names() {
		if k := s.spec.find(name); k != nil && k.managed {
			idle = append(idle, name)
		}
	}
	if len(idle) == 0 {
		return
	}
	what, them := "it counts only with manage = true", "it"
	if len(idle) > 1 {
		what, them = what+", as do "+strings.Join(idle[1:], ", "), "them"
	}
	s.r.report(s.r.src.doc, s.place(idle[0]).key, s.key(idle[0]), what, "write manage = true, or remove "+them, false)
}

// managed reads what a bond is to be. What the driver would refuse is an
// error, what it would take without any effect a doubt.
func (b *builder) managed(bond *Bond, s *section) *bonding.Managed {
	m := &bonding.Managed{
		Name:           bond.Name,
		Links:          s.texts("links"),
		MIIMon:         optional[time.Duration](s, "miimon"),
		UpDelay:        optional[time.Duration](s, "updelay"),
		DownDelay:      optional[time.Duration](s, "downdelay"),
		ARPInterval:    optional[time.Duration](s, "arp_interval"),
		Primary:        s.text("primary"),
		NumPeerNotif:   optional[int](s, "num_grat_arp"),
		ResendIGMP:     optional[int](s, "resend_igmp"),
		AllLinksActive: optional[bool](s, "all_slaves_active"),
	}
	m.Mode = word(s, "mode", bonding.ParseMode)
	m.ARPValidate = word(s, "arp_validate", bonding.ParseARPValidate)
	m.Reselect = word(s, "primary_reselect", bonding.ParseReselect)
	m.FailOverMAC = word(s, "fail_over_mac", bonding.ParseFailOverMAC)
	m.HashPolicy = word(s, "xmit_hash_policy", bonding.ParseHashPolicy)
	m.LACPRate = word(s, "lacp_rate", bonding.ParseLACPRate)
	if !s.there("mode") {
		s.fail("mode", "it is missing, and manage needs it", "write mode = "+bondTable.find("mode").example())
	}
	if m.Mode == bonding.Mode8023AD {
		// The kernel takes the carrier away where the instances lose the bond,
		// so that whatever else runs over it agrees.
		n := bond.MinLinks
		m.MinLinks = &n
	}
	b.bondLinks(bond, m, s)
	s.wholeMilliseconds("miimon", "updelay", "downdelay", "arp_interval")
	s.monitor(m)
	s.delays(m)
	s.targets(m)
	s.modeOptions(m)
	return m
}

// optional is a value of the file, nil if it is not there.
func optional[T any](s *section, name string) *T {
	if v, ok := s.of(name).value.(T); ok && s.given(name) {
		return &v
	}
	return nil
}

// word is a value of the file as a number, zero if it is not there. Its words
// are those of the table of keys, which come from the same list.
func word[E any](s *section, name string, parse func(string) (E, error)) (value E) {
	if s.given(name) {
		value, _ = parse(s.text(name))
	}
	return value
}

// bondLinks checks links, and the keys that must agree with them.
func (b *builder) bondLinks(bond *Bond, m *bonding.Managed, s *section) {
	switch {
	case !s.there("links"):
		s.fail("links", "it is missing, and manage needs it", "write links = "+bondTable.find("links").example())
	case s.given("links") && len(m.Links) == 0:
		s.fail("links", "there is none", "name the interfaces of the bond")
	case s.given("links") && s.given("min_links") && bond.MinLinks > len(m.Links):
		s.fail("min_links", fmt.Sprintf("it is %d, but links are %d: the bond could never be good enough", bond.MinLinks, len(m.Links)), "lower it, or add links")
	}
	for i, link := range m.Links {
		other, taken := b.links[link]
		switch fault := interfaceFault(link); {
		case fault != "":
			s.failItem("links", i, fault, "write the name of an interface")
		case link == bond.Name:
			s.failItem("links", i, "it is the bond itself", "name the interfaces of the bond")
		case slices.Contains(m.Links[:i], link):
			s.failItem("links", i, link+" is listed twice", "remove one")
		case taken:
			s.failItem("links", i, fmt.Sprintf("%s is a link of bond %s already", link, other), "remove it from one: a link belongs to one bond")
		case b.absent(link):
			b.links[link] = bond.Name
			s.at(s.node.field("links").item(i), fmt.Sprintf("%s[%d]", s.key("links"), i), "this host has no interface "+quoteShort(link)+" now", "check the name", true)
		default:
			b.links[link] = bond.Name
		}
	}
	if s.given("primary") && len(m.Links) > 0 && !slices.Contains(m.Links, m.Primary) {
		instead := "write " + enumerate(m.Links)
		if near := nearest(m.Primary, m.Links); near != "" {
			instead = fmt.Sprintf("did you mean %q?", near)
		}
		s.fail("primary", quoteShort(m.Primary)+" is not among links", instead)
	}
}

// wholeMilliseconds: the driver has no finer unit.
func (s *section) wholeMilliseconds(names ...string) {
	for _, name := range names {
		if d := s.duration(name); d%time.Millisecond != 0 {
			s.fail(name, quoteShort(duration(d).String())+" is not whole milliseconds", "write "+TOMLDuration(max(d.Round(time.Millisecond), time.Millisecond)))
		}
	}
}

// monitor: the driver runs one of its two monitors, and without one a bond
// never fails over.
func (s *section) monitor(m *bonding.Managed) {
	mii, arp := s.there("miimon"), s.there("arp_interval")
	switch {
	case arp && m.Mode != 0 && !m.Mode.TakesARPMonitor():
		s.fail("arp_interval", fmt.Sprintf("mode %s cannot be monitored by ARP", m.Mode), `write miimon = "100ms" in its place`)
	case mii && arp:
		s.fail("arp_interval", "miimon is set as well, but the kernel runs one monitor only", "remove one of the two")
	case !mii && !arp:
		s.fail("miimon", "there is no monitor, neither miimon nor arp_interval: the bond would never notice a dead link", `write miimon = "100ms"`)
	case arp && !s.there("arp_ip_target"):
		s.fail("arp_ip_target", "it is missing, and arp_interval needs it", "write arp_ip_target = "+bondTable.find("arp_ip_target").example())
	case !arp:
		for _, name := range []string{"arp_ip_target", "arp_validate"} {
			if s.given(name) {
				s.fail(name, "it has no effect without arp_interval", "write arp_interval in place of miimon, or remove it")
			}
		}
	}
}

// delays checks updelay and downdelay, which the kernel keeps as numbers of
// polls.
func (s *section) delays(m *bonding.Managed) {
	for _, name := range []string{"updelay", "downdelay"} {
		d := s.duration(name)
		switch {
		case s.given(name) && !s.there("miimon") && s.there("arp_interval"):
			s.fail(name, "it is counted in polls of miimon, which is not set", "remove it, or write miimon in place of arp_interval")
		case m.MIIMon != nil && d%*m.MIIMon != 0 && d%time.Millisecond == 0:
			down := d.Truncate(*m.MIIMon)
			s.warn(name, fmt.Sprintf("%s is not a multiple of miimon, %s: the kernel makes it %s", quoteShort(duration(d).String()), duration(*m.MIIMon), duration(down)),
				"write "+TOMLDuration(down)+" or "+TOMLDuration(down+*m.MIIMon))
		}
	}
}

// targets reads arp_ip_target.
func (s *section) targets(m *bonding.Managed) {
	list := s.texts("arp_ip_target")
	switch n := len(list); {
	case s.given("arp_ip_target") && n == 0 && s.there("arp_interval"):
		s.fail("arp_ip_target", "there is none", "write at least one, such as "+bondTable.find("arp_ip_target").example())
	case n > targetMax:
		s.fail("arp_ip_target", fmt.Sprintf("these are %d", n), fmt.Sprintf("write at most %d", targetMax))
	}
	for i, text := range list {
		a, err := netip.ParseAddr(text)
		what, instead := "", "write an IPv4 address"
		switch {
		case err != nil || !a.Is4():
			what = quoteShort(text) + " is not an IPv4 address"
		case slices.Contains(m.ARPTargets, a):
			what, instead = a.String()+" is listed twice", "remove one"
		default:
			what, instead = hostFault(a)
		}
		if what != "" {
			s.failItem("arp_ip_target", i, what, instead)
			continue
		}
		m.ARPTargets = append(m.ARPTargets, a)
	}
}

// modeOptions checks the options that not every mode knows.
func (s *section) modeOptions(m *bonding.Managed) {
	if m.Mode == 0 {
		return
	}
	in := func(modes ...bonding.Mode) bool { return slices.Contains(modes, m.Mode) }
	for _, option := range []struct {
		name    string
		known   bool
		refused bool // else the driver takes it, and does nothing
	}{
		{"primary", m.Mode.HasActiveLink(), true},
		{"primary_reselect", m.Mode.HasActiveLink(), true},
		{"lacp_rate", in(bonding.Mode8023AD), true},
		{"fail_over_mac", in(bonding.ModeActiveBackup), false},
		{"resend_igmp", m.Mode.HasActiveLink() || in(bonding.ModeBalanceRR), false},
		{"xmit_hash_policy", in(bonding.ModeBalanceXOR, bonding.Mode8023AD, bonding.ModeBalanceTLB), false},
	} {
		switch {
		case option.known || !s.given(option.name):
		case option.refused:
			s.fail(option.name, fmt.Sprintf("it does not exist in mode %s", m.Mode), "remove it")
		default:
			s.warn(option.name, fmt.Sprintf("it has no effect in mode %s", m.Mode), "remove it")
		}
	}
}

// absent reports whether the host lacks an interface, as far as anybody asks.
func (b *builder) absent(name string) bool {
	return b.env.InterfaceExists != nil && !b.env.InterfaceExists(name)
}

// manages reports whether vrrpd will see to it that the bond exists.
func (b *builder) manages(name string) bool {
	return slices.ContainsFunc(b.plan.Bonds, func(bond Bond) bool { return bond.Name == name && bond.Managed != nil })
}

// overBond checks an instance against the bond it runs over.
func (b *builder) overBond(in *instance) {
	if bond, isLink := b.links[in.Interface]; isLink {
		in.s.fail("interface", fmt.Sprintf("%s is a link of bond %s, which takes all its frames", in.Interface, bond), fmt.Sprintf("write %q", bond))
		return
	}
	if !in.s.sure("advert_interval") || !in.s.sure("version") || in.Interface == "" {
		return
	}
	bond, ok := b.slowestBelow(in.Interface)
	least := bond.MinAdvertInterval()
	if !ok || in.AdvertInterval >= least {
		return
	}
	takes, _ := bond.FailoverTime() // least is not zero, so there is one
	top, step := advertMax3, advertStep3
	if in.Version == 2 {
		top, step = 255*time.Second, time.Second
	}
	instead := "shorten the monitor's times on the bond"
	if least = (least + step - 1) / step * step; least <= top {
		instead = "write at least " + TOMLDuration(least) + ", or " + instead
	}
	in.s.warn("advert_interval", fmt.Sprintf("a failover of bond %s can take %s, and with %s between advertisements the other nodes do not wait that long",
		bond.Name, duration(takes), duration(in.AdvertInterval)), instead)
}

// slowestBelow finds, among the bonds an interface runs over, the one that
// takes longest to fail over; false if it runs over none. A managed bond counts
// as the file has it, the others as they are on the host.
func (b *builder) slowestBelow(iface string) (slowest bonding.Bond, found bool) {
	below, known := b.bondsUnder[iface]
	if !known && b.env.BondsUnder != nil {
		below = b.env.BondsUnder(iface)
		b.bondsUnder[iface] = below
	}
	below = slices.Clone(below)
	for _, bond := range b.plan.Bonds {
		m := bond.Managed
		if m == nil {
			continue
		}
		i := slices.IndexFunc(below, func(host bonding.Bond) bool { return host.Name == bond.Name })
		// Without a host to ask, a VLAN is told by its name.
		if i < 0 && iface != bond.Name && !strings.HasPrefix(iface, bond.Name+".") {
			continue
		}
		if i < 0 {
			i, below = len(below), append(below, bonding.Bond{})
		}
		below[i] = bonding.Bond{Name: bond.Name, Mode: m.Mode, MIIMon: valueOf(m.MIIMon), ARPInterval: valueOf(m.ARPInterval)}
		if mii := below[i].MIIMon; mii > 0 {
			below[i].DownDelay = valueOf(m.DownDelay).Truncate(mii)
		}
	}
	for _, bond := range below {
		if !found || bond.MinAdvertInterval() > slowest.MinAdvertInterval() {
			slowest, found = bond, true
		}
	}
	return slowest, found
}

// valueOf is what a pointer points at, zero if that is nothing.
func valueOf[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}
