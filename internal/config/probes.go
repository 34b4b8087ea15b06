package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"vrrpd/healthcheck/probe"
)

// A probeKind is a key of [check.NAME] that stands in place of command.
type probeKind struct {
	key   string
	table *table
	main  string            // the key that a string in place of the table means
	spec  func(probeReader) // fills the check
	show  func(*Check) literals
	terms map[string]string // keys by the fields of probe.FieldError, where they differ
}

// kindOf is the kind whose specification is an S.
func kindOf[S probe.Spec](t *table, main string, spec func(probeReader) S, show func(S) literals, terms map[string]string) probeKind {
	return probeKind{
		key: strings.TrimPrefix(t.name, "check.NAME."), table: t, main: main, terms: terms,
		spec: func(r probeReader) { r.check.Probe = spec(r) },
		show: func(c *Check) literals {
			if s, ok := c.Probe.(S); ok {
				return show(s)
			}
			return nil
		},
	}
}

// probeKinds are all kinds, in the order of the reference.
var probeKinds = []probeKind{
	kindOf(tcpTable, "address", func(r probeReader) probe.TCP {
		return probe.TCP{Address: r.text("address"), Source: r.address("source"), Device: r.text("device")}
	}, func(s probe.TCP) literals {
		return literals{"address": TOMLString(s.Address), "source": litAddress(s.Source), "device": lit(s.Device)}
	}, nil),
	kindOf(httpCheckTable, "url", probeReader.http, showHTTP, map[string]string{"header": "headers"}),
	kindOf(icmpTable, "address", func(r probeReader) probe.ICMP {
		p := probe.ICMP{Address: r.address("address"), Source: r.address("source"), Device: r.text("device")}
		if r.integer("count") > 1 {
			p.Count = r.integer("count")
		}
		return p
	}, func(s probe.ICMP) literals {
		return literals{"address": litAddress(s.Address), "count": litNumber(s.Count), "source": litAddress(s.Source), "device": lit(s.Device)}
	}, nil),
	kindOf(arpTable, "address", func(r probeReader) probe.ARP {
		return probe.ARP{Address: r.address("address"), Source: r.address("source"), Device: r.text("device")}
	}, func(s probe.ARP) literals {
		return literals{"address": litAddress(s.Address), "device": lit(s.Device), "source": litAddress(s.Source)}
	}, nil),
	kindOf(processTable, "name", func(r probeReader) probe.Process {
		p := probe.Process{Name: r.text("name"), CommandLine: r.text("command_line"), PIDFile: r.text("pid_file")}
		if r.integer("min") > 1 {
			p.Min = r.integer("min")
		}
		return p
	}, func(s probe.Process) literals {
		return literals{"name": lit(s.Name), "command_line": lit(s.CommandLine), "pid_file": lit(s.PIDFile), "min": litNumber(s.Min)}
	}, nil),
	kindOf(fileTable, "path", func(r probeReader) probe.File {
		tests := map[string]probe.FileTest{"exists": probe.FileExists, "absent": probe.FileAbsent, "number": probe.FileNumber}
		return probe.File{Path: r.text("path"), Test: tests[r.text("test")], MaxAge: r.duration("max_age")}
	}, func(s probe.File) literals {
		test := map[probe.FileTest]string{probe.FileAbsent: "absent", probe.FileNumber: "number"}[s.Test]
		return literals{"path": TOMLString(s.Path), "test": lit(test), "max_age": litSpan(s.MaxAge)}
	}, nil),
	kindOf(interfaceTable, "name", func(r probeReader) probe.Interface {
		return probe.Interface{Name: r.text("name")}
	}, func(s probe.Interface) literals {
		return literals{"name": TOMLString(s.Name)}
	}, nil),
	kindOf(routeTable, "to", probeReader.route, func(s probe.Route) literals {
		to := TOMLString(s.Address.String())
		if s.Prefix.IsValid() {
			to = TOMLString(s.Prefix.String())
		}
		return literals{"to": to, "via": litAddress(s.Via), "device": lit(s.Device), "table": litNumber(s.Table)}
	}, map[string]string{"prefix": "to", "address": "to"}),
	kindOf(unitTable, "name", func(r probeReader) probe.Unit {
		return probe.Unit{Name: r.text("name")}
	}, func(s probe.Unit) literals {
		return literals{"name": TOMLString(s.Name)}
	}, nil),
	kindOf(grpcTable, "address", func(r probeReader) probe.GRPC {
		return probe.GRPC{Address: r.text("address"), Service: r.text("service"), Secure: r.boolean("tls"), TLS: r.tls(), Source: r.address("source"), Device: r.text("device")}
	}, func(s probe.GRPC) literals {
		return literals{"address": TOMLString(s.Address), "service": lit(s.Service), "tls": litTrue(s.Secure), "ca_file": lit(s.TLS.CAFile),
			"server_name": lit(s.TLS.ServerName), "insecure": litTrue(s.TLS.Insecure), "source": litAddress(s.Source), "device": lit(s.Device)}
	}, nil),
	{
		key: "bond", table: bondCheckTable, main: "name",
		spec: func(r probeReader) {
			r.check.Bond = &BondCheck{Name: r.text("name"), Degraded: r.text("degraded") == "passing"}
		},
		show: func(c *Check) literals {
			if c.Bond == nil {
				return nil
			}
			degraded := ""
			if c.Bond.Degraded {
				degraded = TOMLString("passing")
			}
			return literals{"name": TOMLString(c.Bond.Name), "degraded": degraded}
		},
	},
}

// route is told a prefix from an address by its slash.
func (r probeReader) route() probe.Route {
	p := probe.Route{Via: r.address("via"), Device: r.text("device")}
	if r.given("table") {
		p.Table = r.integer("table")
	}
	to := r.text("to")
	if strings.Contains(to, "/") {
		var err error
		if p.Prefix, err = netip.ParsePrefix(to); err != nil {
			r.wrong("to", quoteShort(to)+" is not a prefix", `write one, such as "192.0.2.0/24", or an address`)
		}
		return p
	}
	p.Address = r.address("to")
	return p
}

// A probeReader reads the table of a kind into a check.
type probeReader struct {
	*section
	kind  *probeKind
	check *Check
	bare  bool // there is a string in place of the table
	ok    *bool
}

// probe takes over the key of a kind.
func (b *builder) probe(c *Check, s *section, kind *probeKind) {
	raw := s.table(kind.key)
	isTable := raw != nil
	if !isTable {
		raw = map[string]any{kind.main: s.text(kind.key)}
	}
	ok := len(b.problems.Errors())
	inner := b.open(kind.table, append(slices.Clone(s.path), kind.key), s.key(kind.key), s.place(kind.key), raw)
	sound := len(b.problems.Errors()) == ok
	r := probeReader{section: inner, kind: kind, check: c, bare: !isTable, ok: &sound}
	kind.spec(r)
	if c.Bond != nil && sound {
		if fault := interfaceFault(c.Bond.Name); fault != "" {
			r.wrong("name", fault, "write the name of a bond, at most 15 bytes")
		}
	}
	if c.Probe == nil || !sound {
		return
	}
	_, err := c.Probe.New()
	var fe *probe.FieldError
	switch {
	case err == nil:
	case errors.As(err, &fe):
		r.wrong(fe.Field, fe.Problem, "")
	default:
		r.wrong(kind.main, err.Error(), "")
	}
}

// wrong reports what is wrong with a key, which may be called as the probe
// calls it. Without better advice there is an example.
func (r probeReader) wrong(field, what, instead string) {
	*r.ok = false
	if k, ok := r.kind.terms[field]; ok {
		field = k
	}
	k := r.kind.table.find(field)
	if instead == "" {
		instead = "write something such as " + checkTable.find(r.kind.key).example()
		if k != nil {
			instead = "write something such as " + k.example()
		}
		if k != nil && k.kind == kindBoolean {
			instead = "write " + field + " = true, or remove what takes it"
		}
	}
	if r.bare || k == nil {
		r.at(r.node, r.shown, what, instead, false)
		return
	}
	r.fail(field, what, instead)
}

// address reads an IP address, the zero Addr if there is none.
func (r probeReader) address(name string) netip.Addr {
	written := r.text(name)
	if written == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(written)
	if err != nil {
		instead := `write one, such as "192.0.2.1"`
		if p, err := netip.ParsePrefix(written); err == nil {
			instead = fmt.Sprintf("write %q", p.Addr())
		}
		r.wrong(name, quoteShort(written)+" is not an IP address", instead)
	}
	return a
}

// Describe names the kind of a check, and says what it looks at.
func (c *Check) Describe() (kind, target string) {
	for i := range probeKinds {
		if probeKinds[i].show(c) != nil {
			kind = probeKinds[i].key
		}
	}
	switch {
	case c.Bond != nil:
		target = "bond " + c.Bond.Name
	case c.Probe != nil:
		if p, err := c.Probe.New(); err == nil { // one of a plan does not fail
			target = p.String()
		}
	default:
		kind, target = "command", strings.Join(c.Command, " ")
	}
	return kind, target
}

// literals are values as TOML, by key; "" is a default.
type literals map[string]string

// probe writes the kind of a check, if it has one: as a string where that is
// enough.
func (w *printer) probe(c *Check) {
	for i := range probeKinds {
		kind := &probeKinds[i]
		values := kind.show(c)
		if values == nil {
			continue
		}
		var parts []string
		for _, k := range kind.table.keys {
			if v := values[k.name]; v != "" {
				parts = append(parts, k.name+" = "+v)
			}
		}
		if len(parts) == 1 && values[kind.main] != "" {
			w.say(kind.key, values[kind.main], false)
			return
		}
		w.say(kind.key, "{ "+strings.Join(parts, ", ")+" }", false)
	}
}

// lit, litNumber, litTrue, litSpan and litAddress are literals of values that are not the
// zero value.
func lit(s string) string {
	if s == "" {
		return ""
	}
	return TOMLString(s)
}

func litNumber(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func litTrue(b bool) string {
	if !b {
		return ""
	}
	return "true"
}

func litSpan(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return TOMLDuration(d)
}

func litAddress(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return TOMLString(a.String())
}
