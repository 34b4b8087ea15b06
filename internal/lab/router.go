package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Router is one virtual router as any daemon of the lab can be told to run it.
type Router struct {
	Version   int           // 2 or 3; 0 is 3
	VRID      int           // 0 is 51
	Priority  int           // 0 is 100
	Interval  time.Duration // between advertisements; 0 is 1s
	NoPreempt bool
	Interface string   // "" is eth0
	Addresses []string // with length, all of one family: "192.0.2.100/24"
	Extra     []string // addresses that move along but are not in the advertisements

	// Unicast lists the peers' addresses; Source is then this node's own.
	Unicast []string
	Source  string
	Pass    string // VRRPv2's simple text password
}

// withDefaults fills in what was left out.
func (r Router) withDefaults() Router {
	if r.Version == 0 {
		r.Version = 3
	}
	if r.VRID == 0 {
		r.VRID = 51
	}
	if r.Priority == 0 {
		r.Priority = 100
	}
	if r.Interval == 0 {
		r.Interval = time.Second
	}
	if r.Interface == "" {
		r.Interface = "eth0"
	}
	return r
}

// IPv6 reports whether the router's addresses are IPv6.
func (r Router) IPv6() bool {
	return len(r.Addresses) > 0 && strings.Contains(r.Addresses[0], ":")
}

// VirtualMAC is the hardware address RFC 9568 §7.3 gives the virtual router.
func (r Router) VirtualMAC() string {
	r = r.withDefaults()
	family := 1
	if r.IPv6() {
		family = 2
	}
	return fmt.Sprintf("00:00:5e:00:%02x:%02x", family, r.VRID)
}

// Vrrpd is the router as an instance of vrrpd's configuration.
func (r Router) Vrrpd(name string) string {
	r = r.withDefaults()
	var b strings.Builder
	fmt.Fprintf(&b, "[instance.%s]\ninterface = %q\nvrid = %d\nversion = %d\npriority = %d\n",
		name, r.Interface, r.VRID, r.Version, r.Priority)
	fmt.Fprintf(&b, "advert_interval = %q\npreempt = %v\naddresses = [%s]\n", r.Interval, !r.NoPreempt, quoted(r.Addresses))
	if len(r.Extra) > 0 {
		fmt.Fprintf(&b, "extra_addresses = [%s]\n", quoted(r.Extra))
	}
	if len(r.Unicast) > 0 {
		fmt.Fprintf(&b, "unicast = { source = %q, peers = [%s] }\n", r.Source, quoted(r.Unicast))
	}
	if r.Pass != "" {
		fmt.Fprintf(&b, "auth = { type = \"pass\", password = %q }\n", r.Pass)
	}
	return b.String()
}

func quoted(list []string) string {
	var q []string
	for _, s := range list {
		q = append(q, fmt.Sprintf("%q", s))
	}
	return strings.Join(q, ", ")
}

// Keepalived is the router as a keepalived instance of that name.
func (r Router) Keepalived(name string) string {
	r = r.withDefaults()
	var b strings.Builder
	fmt.Fprintf(&b, "vrrp_instance %s {\n\tstate BACKUP\n\tversion %d\n\tinterface %s\n", name, r.Version, r.Interface)
	fmt.Fprintf(&b, "\tvirtual_router_id %d\n\tpriority %d\n\tadvert_int %g\n", r.VRID, r.Priority, r.Interval.Seconds())
	if r.NoPreempt {
		b.WriteString("\tnopreempt\n")
	}
	if len(r.Unicast) > 0 {
		fmt.Fprintf(&b, "\tunicast_src_ip %s\n\tunicast_peer {\n\t\t%s\n\t}\n", r.Source, strings.Join(r.Unicast, "\n\t\t"))
	}
	if r.Pass != "" {
		fmt.Fprintf(&b, "\tauthentication {\n\t\tauth_type PASS\n\t\tauth_pass %s\n\t}\n", r.Pass)
	}
	fmt.Fprintf(&b, "\tvirtual_ipaddress {\n\t\t%s\n\t}\n", strings.Join(r.Addresses, "\n\t\t"))
	if len(r.Extra) > 0 {
		fmt.Fprintf(&b, "\tvirtual_ipaddress_excluded {\n\t\t%s\n\t}\n", strings.Join(r.Extra, "\n\t\t"))
	}
	b.WriteString("}\n")
	return b.String()
}

// FRR is the router as lines for an interface of FRR's vrrpd. FRR has no
// unicast and no passwords.
func (r Router) FRR() (string, error) {
	r = r.withDefaults()
	if len(r.Unicast) > 0 || r.Pass != "" {
		return "", fmt.Errorf("VRID %d: FRR speaks neither unicast nor PASS", r.VRID)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "interface %s\n vrrp %d version %d\n vrrp %d priority %d\n vrrp %d advertisement-interval %d\n",
		r.Interface, r.VRID, r.Version, r.VRID, r.Priority, r.VRID, r.Interval.Milliseconds())
	if r.NoPreempt {
		fmt.Fprintf(&b, " no vrrp %d preempt\n", r.VRID)
	}
	family := "ip"
	if r.IPv6() {
		family = "ipv6"
	}
	for _, text := range r.Addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " vrrp %d %s %s\n", r.VRID, family, p.Addr())
	}
	b.WriteString("exit\n")
	return b.String(), nil
}
