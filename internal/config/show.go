package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"vrrpd/bonding"
	"vrrpd/healthcheck"
)

// TOML prints the plan as a configuration file that loads to the same plan,
// except that passwords are never printed: one that stands in the
// configuration itself is left out, and what is printed then refuses to load.
// Without defaults, keys that have their default are left out.
func (p *Plan) TOML(withDefaults bool) string {
	w := &printer{all: withDefaults}
	w.table(nodeTable, "")
	if p.Node != "" {
		w.say("name", TOMLString(p.Node), false)
	}
	w.value("realtime", TOMLString(p.Realtime))
	w.table(logTable, "")
	w.value("level", TOMLString(p.Log.Level))
	w.value("format", TOMLString(p.Log.Format))
	w.table(controlTable, "")
	w.value("socket", TOMLString(p.Control.Socket))
	w.value("group", TOMLString(p.Control.Group))
	w.table(httpTable, "")
	listen := p.HTTP.Listen
	if listen == "" {
		listen = "off"
	}
	w.value("listen", TOMLString(listen))
	for i := range p.Bonds {
		w.bond(&p.Bonds[i])
	}
	for i := range p.Checks {
		w.check(&p.Checks[i])
	}
	for i := range p.Instances {
		w.instance(p, &p.Instances[i])
	}
	for _, g := range p.Groups {
		w.table(groupTable, g.Name)
		w.value("instances", texts(g.Instances))
	}
	for _, n := range p.Notify {
		w.table(notifyTable, "")
		w.value("command", texts(n.Command))
		w.say("instances", texts(n.Instances), len(n.Instances) == 0)
		w.value("keepalived_names", strconv.FormatBool(n.KeepalivedNames))
		w.value("conditions", strconv.FormatBool(n.Conditions))
	}
	return w.String()
}

// A printer writes tables of keys.
type printer struct {
	strings.Builder
	all     bool
	spec    *table
	heading string // not yet written
}

// table begins a table. Its header is written with its first key, or at once
// if the header itself says something.
func (w *printer) table(spec *table, name string) {
	w.spec = spec
	for _, p := range places {
		if p.table != spec {
			continue
		}
		w.heading = p.header(name) + "\n"
		if p.named || p.list {
			w.head()
		}
	}
}

func (w *printer) head() {
	if w.heading != "" {
		if w.Len() > 0 {
			w.WriteByte('\n')
		}
		w.WriteString(w.heading)
		w.heading = ""
	}
}

// value writes a key whose default is in the table of keys.
func (w *printer) value(name, literal string) {
	w.say(name, literal, literal == w.spec.find(name).def)
}

// say writes a key. One without a value is always left to its default.
func (w *printer) say(name, literal string, isDefault bool) {
	if isDefault && (!w.all || literal == "[]" && w.spec.find(name).def == "") {
		return
	}
	w.head()
	fmt.Fprintf(w, "%s = %s\n", name, literal)
}

func (w *printer) bond(b *Bond) {
	w.table(bondTable, b.Name)
	if b.Mode != "" {
		w.say("mode", TOMLString(b.Mode), false)
	}
	w.value("min_links", strconv.Itoa(b.MinLinks))
	w.value("degraded_weight", strconv.Itoa(b.DegradedWeight))
	w.value("degraded_after", TOMLDuration(b.DegradedAfter))
	w.value("healthy_after", TOMLDuration(b.HealthyAfter))
	w.value("require_monitor", strconv.FormatBool(b.RequireMonitor))
	w.value("manage", strconv.FormatBool(b.Managed != nil))
	if m := b.Managed; m != nil {
		w.managed(m)
	}
}

// managed writes what a bond is to be. Nothing of it has a default: what is
// not said is left as it is. Mode and min_links stand above.
func (w *printer) managed(m *bonding.Managed) {
	targets := make([]string, len(m.ARPTargets))
	for i, a := range m.ARPTargets {
		targets[i] = a.String()
	}
	w.say("links", texts(m.Links), false)
	optionally(w, "miimon", m.MIIMon, TOMLDuration)
	optionally(w, "updelay", m.UpDelay, TOMLDuration)
	optionally(w, "downdelay", m.DownDelay, TOMLDuration)
	optionally(w, "arp_interval", m.ARPInterval, TOMLDuration)
	w.say("arp_ip_target", texts(targets), len(targets) == 0)
	w.word("arp_validate", m.ARPValidate != 0, m.ARPValidate)
	if m.Primary != "" {
		w.say("primary", TOMLString(m.Primary), false)
	}
	w.word("primary_reselect", m.Reselect != 0, m.Reselect)
	w.word("fail_over_mac", m.FailOverMAC != 0, m.FailOverMAC)
	optionally(w, "num_grat_arp", m.NumPeerNotif, strconv.Itoa)
	optionally(w, "resend_igmp", m.ResendIGMP, strconv.Itoa)
	optionally(w, "all_slaves_active", m.AllLinksActive, strconv.FormatBool)
	w.word("lacp_rate", m.LACPRate != 0, m.LACPRate)
	w.word("xmit_hash_policy", m.HashPolicy != 0, m.HashPolicy)
}

func optionally[T any](w *printer, name string, value *T, literal func(T) string) {
	if value != nil {
		w.say(name, literal(*value), false)
	}
}

// word writes a value by the kernel's name, if there is one.
func (w *printer) word(name string, said bool, value fmt.Stringer) {
	if said {
		w.say(name, TOMLString(value.String()), false)
	}
}

func (w *printer) check(c *Check) {
	w.table(checkTable, c.Name)
	if c.Command != nil {
		w.value("command", texts(c.Command))
	}
	w.probe(c)
	w.value("interval", TOMLDuration(c.Interval))
	w.say("timeout", TOMLDuration(c.Timeout), c.Timeout == c.Interval)
	w.value("rise", strconv.Itoa(c.Rise))
	w.value("fall", strconv.Itoa(c.Fall))
	w.value("hold_down", TOMLDuration(c.HoldDown))
	if !c.Number() {
		w.value("initial", TOMLString(c.Initial.String()))
		w.value("weight", strconv.Itoa(c.Weight))
	}
	if c.Command == nil {
		return
	}
	if c.Contract == healthcheck.Nagios {
		w.value("contract", TOMLString("nagios"))
		w.value("warning_weight", strconv.Itoa(c.WarningWeight))
		w.value("unknown_grace", TOMLDuration(c.UnknownGrace))
	} else {
		w.value("contract", TOMLString("exit"))
	}
	w.value("kill_grace", TOMLDuration(c.KillGrace))
	if c.User != "" {
		w.say("user", TOMLString(c.User), false)
	}
}

func (w *printer) instance(p *Plan, in *Instance) {
	w.table(instanceTable, in.Name)
	w.value("interface", TOMLString(in.Interface))
	w.value("vrid", strconv.Itoa(int(in.VRID)))
	w.value("version", strconv.Itoa(in.Version))
	w.value("priority", strconv.Itoa(int(in.Priority)))
	w.value("advert_interval", TOMLDuration(in.AdvertInterval))
	w.value("checksum", TOMLString(in.Checksum))
	w.value("preempt", strconv.FormatBool(in.Preempt))
	w.value("preempt_delay", TOMLDuration(in.PreemptDelay))
	w.value("start_delay", TOMLDuration(in.StartDelay))
	w.value("addresses", addresses(in.Addresses, in.Interface))
	w.value("extra_addresses", addresses(in.Extra, in.Interface))
	w.value("track", tracks(p, in.Track))
	w.fixed("virtual_mac")
	if u := in.Unicast; u != nil {
		source := ""
		if u.Source.IsValid() {
			source = "source = " + TOMLString(u.Source.String()) + ", "
		}
		peers := make([]string, len(u.Peers))
		for i, a := range u.Peers {
			peers[i] = a.String()
		}
		w.say("unicast", fmt.Sprintf("{ %speers = %s, min_ttl = %d }", source, texts(peers), u.MinTTL), false)
	}
	switch {
	case in.PasswordFile != "":
		w.say("auth", `{ type = "pass", password_file = `+TOMLString(in.PasswordFile)+" }", false)
	case in.Password != "":
		w.say("auth", `{ type = "pass" } # the password stands in the configuration itself and is not shown`, false)
	}
	w.value("strict", strconv.FormatBool(in.Strict))
	lease := `"off"`
	if in.Lease != 0 {
		lease = TOMLDuration(in.Lease)
	}
	w.say("lease", lease, in.Owner() || in.Lease == autoLease(in.AdvertInterval))
	w.value("conflict", TOMLString(in.Conflict))
	w.value("handover", TOMLString(in.Handover))
	w.say("handover_timeout", TOMLDuration(in.HandoverTimeout), in.HandoverTimeout == 4*in.AdvertInterval+time.Second)
	a := in.Announce
	literal := fmt.Sprintf("{ burst = %d, again = %s, refresh = %s }", a.Burst, TOMLDuration(a.Again), TOMLDuration(a.Refresh))
	w.say("announce", literal, literal == defaultAnnounce())
}

// fixed writes a key that has but one value in this version.
func (w *printer) fixed(name string) { w.say(name, w.spec.find(name).only, true) }

func defaultAnnounce() string {
	return fmt.Sprintf("{ burst = %s, again = %s, refresh = %s }",
		announceTable.find("burst").def, announceTable.find("again").def, announceTable.find("refresh").def)
}

func addresses(list []Address, iface string) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = TOMLString(a.Prefix.String())
		if a.Interface == iface && a.Label == "" {
			continue
		}
		out[i] = "{ address = " + out[i]
		if a.Interface != iface {
			out[i] += ", interface = " + TOMLString(a.Interface)
		}
		if a.Label != "" {
			out[i] += ", label = " + TOMLString(a.Label)
		}
		out[i] += " }"
	}
	return TOMLArray(out)
}

// tracks prints a weight only where it is not the check's own.
func tracks(p *Plan, list []Track) string {
	own := map[string]*Check{}
	for i := range p.Checks {
		own[p.Checks[i].Name] = &p.Checks[i]
	}
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = TOMLString(t.Check)
		more := ""
		if c := own[t.Check]; c != nil {
			if t.Weight != c.Weight {
				more += ", weight = " + strconv.Itoa(t.Weight)
			}
			if t.WarningWeight != c.WarningWeight {
				more += ", warning_weight = " + strconv.Itoa(t.WarningWeight)
			}
		}
		if more != "" {
			out[i] = "{ check = " + out[i] + more + " }"
		}
	}
	return TOMLArray(out)
}

func texts(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = TOMLString(s)
	}
	return TOMLArray(out)
}

// TOMLArray prints elements on one line if they fit.
func TOMLArray(elements []string) string {
	line := "[" + strings.Join(elements, ", ") + "]"
	if len(line) <= 100 {
		return line
	}
	return "[\n  " + strings.Join(elements, ",\n  ") + ",\n]"
}

// TOMLString is a TOML basic string. strconv.Quote has escapes that TOML has not.
func TOMLString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
