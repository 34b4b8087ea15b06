package bonding

import (
	"fmt"
	"strings"
)

// FixNow is the key of Finding.Fix for the command that changes the running
// bond.
const FixNow = "now"

// Managers are the keys of Finding.Fix, in the order in which they are printed.
var Managers = []string{"netplan", "networkmanager", "ifcfg", "networkd", "talos"}

// spelling is one option in the words of those that are not the kernel's.
// NetworkManager and ifcfg use the kernel's own.
type spelling struct {
	netplan  string
	networkd string // "" if it is no setting of the [Bond] section
	millis   bool   // networkd wants a unit
	talos    string // of a BondConfig document
}

// spellings by the kernel's name of the option. netplan: netplan-yaml(5);
// networkd: systemd.netdev(5); Talos: BondConfig, Talos 1.12.
var spellings = map[string]spelling{
	"mode":              {netplan: "mode", networkd: "Mode", talos: "bondMode"},
	"miimon":            {netplan: "mii-monitor-interval", networkd: "MIIMonitorSec", millis: true, talos: "miimon"},
	"updelay":           {netplan: "up-delay", networkd: "UpDelaySec", millis: true, talos: "updelay"},
	"downdelay":         {netplan: "down-delay", networkd: "DownDelaySec", millis: true, talos: "downdelay"},
	"arp_interval":      {netplan: "arp-interval", networkd: "ARPIntervalSec", millis: true, talos: "arpInterval"},
	"arp_ip_target":     {netplan: "arp-ip-targets", networkd: "ARPIPTargets", talos: "arpIpTargets"},
	"arp_validate":      {netplan: "arp-validate", networkd: "ARPValidate", talos: "arpValidate"},
	"primary":           {netplan: "primary", talos: "primary"},
	"primary_reselect":  {netplan: "primary-reselect-policy", networkd: "PrimaryReselectPolicy", talos: "primaryReselect"},
	"fail_over_mac":     {netplan: "fail-over-mac-policy", networkd: "FailOverMACPolicy", talos: "failOverMac"},
	"num_grat_arp":      {netplan: "gratuitous-arp", networkd: "GratuitousARP", talos: "numPeerNotif"},
	"resend_igmp":       {netplan: "resend-igmp", networkd: "ResendIGMP", talos: "resendIGMP"},
	"lacp_rate":         {netplan: "lacp-rate", networkd: "LACPTransmitRate", talos: "lacpRate"},
	"all_slaves_active": {netplan: "all-members-active", networkd: "AllSlavesActive", talos: "allSlavesActive"},
}

// set spells settings for every manager: pairs of the kernel's name and value.
func (d *doctor) set(pairs ...string) map[string]string {
	name := d.b.Name
	var plan, nmcli, kernel, networkd, links, talos, now []string
	for i := 0; i+1 < len(pairs); i += 2 {
		option, value := pairs[i], pairs[i+1]
		s := spellings[option]
		kernel = append(kernel, option+"="+value)
		now = append(now, option+" "+value)
		list, words := value, value
		if option == "arp_ip_target" {
			list = "[" + strings.ReplaceAll(value, ",", ", ") + "]"
			words = strings.ReplaceAll(value, ",", " ")
		}
		nmcli = append(nmcli, option+"="+words) // a comma would begin the next option
		plan = append(plan, s.netplan+": "+boolean(option, list))
		talos = append(talos, s.talos+": "+list)
		switch {
		case option == "primary":
			links = append(links, fmt.Sprintf("[Network] of the .network of %s: PrimarySlave=true", value))
		case s.millis:
			networkd = append(networkd, s.networkd+"="+value+"ms")
		default:
			networkd = append(networkd, s.networkd+"="+boolean(option, words))
		}
	}
	if len(networkd) > 0 {
		links = append([]string{fmt.Sprintf("[Bond] of %s.netdev: %s", name, strings.Join(networkd, " "))}, links...)
	}
	return map[string]string{
		"netplan":        fmt.Sprintf("bonds.%s.parameters: {%s}", name, strings.Join(plan, ", ")),
		"networkmanager": fmt.Sprintf("nmcli connection modify %s +bond.options %q", name, strings.Join(nmcli, ",")),
		"ifcfg":          fmt.Sprintf("ifcfg-%s: BONDING_OPTS=\"… %s\"", name, strings.Join(kernel, " ")),
		"networkd":       strings.Join(links, "; "),
		"talos":          fmt.Sprintf("BondConfig %s: {%s}", name, strings.Join(talos, ", ")),
		FixNow:           fmt.Sprintf("ip link set %s type bond %s", name, strings.Join(now, " ")),
	}
}

// unset spells the removal of settings.
func (d *doctor) unset(options ...string) map[string]string {
	name := d.b.Name
	var plan, kernel, nmcli, networkd, talos []string
	for _, option := range options {
		s := spellings[option]
		plan = append(plan, s.netplan)
		kernel = append(kernel, option)
		nmcli = append(nmcli, "-bond.options "+option)
		networkd = append(networkd, s.networkd+"=")
		talos = append(talos, s.talos)
	}
	return map[string]string{
		"netplan":        fmt.Sprintf("bonds.%s.parameters: remove %s", name, strings.Join(plan, ", ")),
		"networkmanager": fmt.Sprintf("nmcli connection modify %s %s", name, strings.Join(nmcli, " ")),
		"ifcfg":          fmt.Sprintf("ifcfg-%s: remove %s from BONDING_OPTS", name, strings.Join(kernel, ", ")),
		"networkd":       fmt.Sprintf("[Bond] of %s.netdev: remove %s", name, strings.Join(networkd, " ")),
		"talos":          fmt.Sprintf("BondConfig %s: remove %s", name, strings.Join(talos, ", ")),
	}
}

// addLink spells the attachment of one more link.
func (d *doctor) addLink(link string) map[string]string {
	name := d.b.Name
	all := make([]string, 0, len(d.b.Links)+1)
	for _, l := range d.b.Links {
		all = append(all, l.Name)
	}
	list := strings.Join(append(all, link), ", ")
	return map[string]string{
		"netplan":        fmt.Sprintf("bonds.%s.interfaces: [%s]", name, list),
		"networkmanager": fmt.Sprintf("nmcli connection add type ethernet ifname %s master %s", link, name),
		"ifcfg":          fmt.Sprintf("ifcfg-%s: MASTER=%s SLAVE=yes", link, name),
		"networkd":       fmt.Sprintf("[Network] of the .network of %s: Bond=%s", link, name),
		"talos":          fmt.Sprintf("BondConfig %s: {links: [%s]}", name, list),
		FixNow:           fmt.Sprintf("ip link set %s down && ip link set %s master %s", link, link, name),
	}
}

// boolean is the value where the option is yes or no rather than 1 or 0.
func boolean(option, value string) string {
	if option == "all_slaves_active" {
		return map[string]string{"0": "false", "1": "true"}[value]
	}
	return value
}

// Text prints findings for a person, "" if there are none.
func Text(findings []Finding) string {
	var b strings.Builder
	for i, f := range findings {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s (%s)\n", f.Bond, f.What, f.Code)
		fmt.Fprintf(&b, "  %-8s %s\n", f.Severity.String()+":", f.Cost)
		if f.Do != "" {
			fmt.Fprintf(&b, "  %-8s %s\n", "do:", f.Do)
		}
		label := "fix:"
		for _, m := range append(Managers[:len(Managers):len(Managers)], FixNow) {
			if s, ok := f.Fix[m]; ok {
				fmt.Fprintf(&b, "  %-8s %-15s %s\n", label, m, s)
				label = ""
			}
		}
	}
	return b.String()
}
