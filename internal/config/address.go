package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// ifNameMax is IFNAMSIZ without the NUL (netdevice(7)); labels share it.
const ifNameMax = 15

// interfaceFault says why a name cannot be a Linux interface, as
// dev_valid_name() of the kernel has it.
func interfaceFault(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > ifNameMax:
		return fmt.Sprintf("%s is longer than %d bytes", quoteShort(name), ifNameMax)
	case name == ".", name == "..", strings.ContainsAny(name, "/: \t\n\v\f\r"):
		return quoteShort(name) + " cannot be the name of an interface"
	}
	return ""
}

// A virtual address while it is checked.
type virtual struct {
	Address
	s     *section
	array string // the key of s
	index int    // in the array
}

// path is as in instance.web.addresses[1].
func (v *virtual) path() string { return fmt.Sprintf("%s[%d]", v.s.key(v.array), v.index) }

// node is where the address stands, nil if that is not known.
func (v *virtual) node() *node { return v.s.node.field(v.array).item(v.index) }

// at reports what is wrong with the address, or doubtful.
func (v *virtual) at(what, instead string, warning bool) {
	v.s.at(v.node(), v.path(), what, instead, warning)
}

// addresses reads an array of addresses. What is wrong is reported and left
// out; whole is whether nothing was.
func (b *builder) addresses(s *section, name, iface string) (out []virtual, whole bool) {
	whole = true
	for i, e := range s.elements(name) {
		v := virtual{s: s, array: name, index: i}
		v.Interface = iface
		ok := false
		switch e := e.(type) {
		case string:
			var what, instead string
			if v.Prefix, what, instead = parsePrefix(e); what != "" {
				v.at(what, instead, false)
			}
			ok = what == ""
		case map[string]any:
			ok = b.addressTable(s, name, &v, e)
		default:
			v.at("it is "+typeName(e)+", must be a string or a table", `write "192.0.2.1/24", or { address = "192.0.2.1/24" }`, false)
		}
		if ok {
			out = append(out, v)
		}
		whole = whole && ok
	}
	return out, whole
}

// addressTable reads { address = …, interface = …, label = … }.
func (b *builder) addressTable(s *section, name string, v *virtual, raw map[string]any) bool {
	n := v.node()
	if n == nil {
		n = s.place(name)
	}
	t := b.open(addressTable, append(append([]string{}, s.path...), name), v.path(), n, raw)
	ok := t.sure("address")
	if ok {
		var what, instead string
		if v.Prefix, what, instead = parsePrefix(t.text("address")); what != "" {
			t.fail("address", what, instead)
		}
		ok = what == ""
	}
	if t.given("interface") {
		v.Interface = t.text("interface")
		if fault := interfaceFault(v.Interface); fault != "" {
			t.fail("interface", fault, "write the name of an interface")
			return false
		}
	}
	if v.Label = t.text("label"); v.Label == "" {
		return ok
	}
	switch {
	case ok && v.Prefix.Addr().Is6():
		t.fail("label", "an IPv6 address has no label", "remove it")
	case len(v.Label) > ifNameMax:
		t.fail("label", fmt.Sprintf("%s is longer than %d bytes", quoteShort(v.Label), ifNameMax), "shorten it")
	case v.Interface != "" && v.Label != v.Interface && !strings.HasPrefix(v.Label, v.Interface+":"):
		t.fail("label", fmt.Sprintf("%s does not start with the interface %s", quoteShort(v.Label), v.Interface), fmt.Sprintf("write %q", v.Interface+":0"))
	case strings.ContainsAny(v.Label, "/ \t\n\v\f\r"):
		t.fail("label", quoteShort(v.Label)+" cannot be a label", fmt.Sprintf("write %q", v.Interface+":0"))
	default:
		return ok
	}
	return false
}

// parsePrefix reads ADDRESS/PREFIXLENGTH or ADDRESS. If a host cannot have the
// address, what says why.
func parsePrefix(text string) (p netip.Prefix, what, instead string) {
	p, err := netip.ParsePrefix(text)
	if a, addrErr := netip.ParseAddr(text); addrErr == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
		if a.Zone() != "" {
			return p, quoteShort(text) + " has a zone", fmt.Sprintf("write %q, and the interface as { address = …, interface = … }", a.WithZone(""))
		}
	}
	if err != nil {
		return p, quoteShort(text) + " is not an IP address with a prefix length", `write one, such as "192.0.2.1/24" or "2001:db8::1/64"`
	}
	a := p.Addr()
	if a.Is4In6() {
		return p, quoteShort(text) + " is an IPv4 address in IPv6 form", fmt.Sprintf("write %q", a.Unmap())
	}
	if what, instead := hostFault(a); what != "" {
		return p, what, instead
	}
	if p.Bits() == 0 {
		return p, quoteShort(text) + " has the prefix length 0", "write the prefix length of the network"
	}
	host := a.BitLen() - p.Bits()
	if host >= 2 && a == p.Masked().Addr() {
		return p, fmt.Sprintf("%s is the address of the network itself", a), fmt.Sprintf("write a host's address, such as %q", fmt.Sprintf("%s/%d", a.Next(), p.Bits()))
	}
	if host >= 2 && a.Is4() && !p.Contains(a.Next()) {
		return p, fmt.Sprintf("%s is the broadcast address of its network", a), fmt.Sprintf("write a host's address, such as %q", fmt.Sprintf("%s/%d", a.Prev(), p.Bits()))
	}
	return p, "", ""
}

// hostFault says why no host can have an address.
func hostFault(a netip.Addr) (what, instead string) {
	kind := ""
	switch {
	case a.IsUnspecified():
		kind = "the unspecified address"
	case a.IsLoopback():
		kind = "a loopback address"
	case a.IsMulticast():
		kind = "a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		kind = "the broadcast address"
	default:
		return "", ""
	}
	return fmt.Sprintf("%s is %s", a, kind), "write an address that a host can have"
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}
