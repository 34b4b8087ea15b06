package bonding

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func kernelModes(n *node) {
	for m := ModeBalanceRR; m <= ModeBalanceALB; m++ {
		n.bond("mode " + m.String() + " miimon 100")
		b := n.until(m.String()+" with two links", func(b Bond) bool {
			return len(b.Links) == 2 && b.Links[0].MII == MIIUp && b.Links[1].MII == MIIUp
		})
		n.expect("mode", b.Mode, m)
		n.expect("mode as iproute2 reads it", n.ipData()["mode"], m)
		n.expect("has an active link in "+m.String(), b.ActiveLink != "", m.HasActiveLink())
		n.expect("has LACP in "+m.String(), b.Aggregator != nil, m == Mode8023AD)
		all, err := n.h.Bonds()
		if err != nil || len(all) != 1 || all[0].Name != "bond0" {
			n.Errorf("Bonds: %v, %v", all, err)
		}
		if m != Mode8023AD {
			n.expect("health in "+m.String(), n.health(Healthy, Policy{Mode: m}), "")
		}
		n.sh("ip link del bond0")
	}
}

func kernelOptions(n *node) {
	n.bond("mode active-backup miimon 50 updelay 100 downdelay 150 primary_reselect better fail_over_mac follow " +
		"min_links 1 num_grat_arp 3 peer_notify_delay 100 resend_igmp 2 all_slaves_active 1 xmit_hash_policy layer3+4 use_carrier 1")
	n.sh("ip link set bond0 type bond primary eth1; ip link set eth1 type bond_slave prio 7; ip link set bond0 type bond arp_ip_target 192.0.2.1,192.0.2.2 ns_ip6_target 2001:db8::1")
	b := n.until("eth1 is active", func(b Bond) bool { return b.ActiveLink == "eth1" })
	ip := n.ipData()
	for _, o := range []struct {
		name      string
		got, want any
		ip        string // as iproute2 calls it, "" if it does not tell
	}{
		{"miimon", b.MIIMon.Milliseconds(), 50, "miimon"},
		{"updelay", b.UpDelay.Milliseconds(), 100, "updelay"},
		{"downdelay", b.DownDelay.Milliseconds(), 150, "downdelay"},
		{"primary", b.Primary, "eth1", "primary"},
		{"active link", b.ActiveLink, "eth1", "active_slave"},
		{"primary_reselect", b.Reselect, ReselectBetter, "primary_reselect"},
		{"fail_over_mac", b.FailOverMAC, FailOverMACFollow, "fail_over_mac"},
		{"min_links", b.MinLinks, 1, "min_links"},
		{"num_grat_arp", b.NumPeerNotif, 3, "num_peer_notif"},
		{"peer_notif_delay", b.PeerNotifDelay.Milliseconds(), 100, "peer_notify_delay"},
		{"resend_igmp", b.ResendIGMP, 2, "resend_igmp"},
		{"all_slaves_active", bit(b.AllLinksActive), 1, "all_slaves_active"},
		{"xmit_hash_policy", b.HashPolicy, HashLayer34, "xmit_hash_policy"},
		{"use_carrier", bit(b.UseCarrier), 1, "use_carrier"},
		{"arp_missed_max", b.ARPMissedMax, 2, "arp_missed_max"},
		{"arp_validate", b.ARPValidate, ARPValidateNone, ""}, // null in its JSON
		{"arp_interval", b.ARPInterval.Milliseconds(), 0, "arp_interval"},
		{"arp_ip_target", addrList(b.ARPTargets), "192.0.2.1,192.0.2.2", ""},
		{"ns_ip6_target", b.NSTargets, []netip.Addr{netip.MustParseAddr("2001:db8::1")}, ""},
		{"priority of eth1", b.Link("eth1").Priority, 7, ""},
	} {
		n.expect(o.name, o.got, o.want)
		if o.ip != "" {
			n.expect(o.name+" as iproute2 reads it", ip[o.ip], o.want)
		}
	}
	l := b.Link("eth0")
	n.expect("speed", l.Speed, 10000)
	n.expect("duplex", l.Duplex, DuplexFull)
	n.expect("driver", l.Driver, "veth")
	n.expect("backup link is active", l.Active, false)
	n.expect("failures", l.Failures, 0)
	if b.Index == 0 || l.Index == 0 || len(l.PermMAC) != 6 || len(b.MAC) != 6 || !b.Up || !b.Carrier || !l.Up || !l.Carrier {
		n.Errorf("not read: %+v", b)
	}
}

func kernelReadErrors(n *node) {
	if _, err := n.h.Bond("bond7"); !errors.Is(err, ErrAbsent) {
		n.Errorf("absent: %v", err)
	}
	if _, err := n.h.Bond(strings.Repeat("x", 40)); !errors.Is(err, ErrAbsent) {
		n.Errorf("impossible name: %v", err)
	}
	if _, err := n.h.Bond("eth0"); !errors.Is(err, ErrNotBond) {
		n.Errorf("veth: %v", err)
	}
	n.bond("mode active-backup")
	// The kernel's words reach the operator, its number the program.
	r := n.h.Apply([]Step{{Kind: StepSet, Bond: "bond0", Option: "fail_over_mac", To: "active", From: "none", attr: unix.IFLA_BOND_FAIL_OVER_MAC, value: []byte{1}}})
	if err := r[0].Err; !errors.Is(err, unix.ENOTEMPTY) || !strings.Contains(err.Error(), "because the bond device has slaves") {
		n.Errorf("refusal: %v", err)
	}
}

// Case 82 on the driver: an active link that fails over is no fault, no active
// link is one, although the bond stays up.
func kernelLinkFailure(n *node) {
	n.bond("mode active-backup miimon 100")
	n.health(Healthy, Policy{MinLinks: 2})
	before := n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })

	n.port(0, "down")
	n.expect("reasons", n.health(Degraded, Policy{}), "eth0: down")
	b := n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
	n.expect("MII of eth0", b.Link("eth0").MII, MIIDown)
	n.expect("failures of eth0", b.Link("eth0").Failures, 1)
	n.expect("MAC of the bond", b.MAC, before.MAC)
	n.expect("reasons with min_links 2", n.health(Failed, Policy{MinLinks: 2}), "1 of 2 links usable, min_links is 2; eth0: down")

	n.port(1, "down")
	n.expect("reasons", n.health(Failed, Policy{}), "no usable link; eth0: down; eth1: down")
	b = n.until("no active link", func(b Bond) bool { return b.ActiveLink == "" })
	n.expect("up", b.Up, true)
	n.expect("carrier", b.Carrier, false)

	n.port(0, "up")
	n.port(1, "up")
	n.expect("reasons", n.health(Healthy, Policy{}), "")
}

func kernelSlowReturn(n *node) {
	n.bond("mode active-backup miimon 50 updelay 1000")
	n.health(Healthy, Policy{})
	n.port(0, "down")
	n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
	n.port(0, "up")
	b := n.until("held by updelay", func(b Bond) bool { return b.Link("eth0").MII == MIIGoingBack })
	n.expect("usable while held", b.Usable(b.Link("eth0")), false)
	n.expect("reasons", strings.Join(Judge(&b, Policy{}).Reasons, "; "), "eth0: coming back, held by updelay")
	n.health(Healthy, Policy{})
	n.expect("active link", n.read().ActiveLink, "eth1")
}

func kernelDownDelay(n *node) {
	n.bond("mode active-backup miimon 50 downdelay 500")
	n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	n.port(0, "down")
	b := n.until("held by downdelay", func(b Bond) bool { return b.Link("eth0").MII == MIIGoingDown })
	v := Judge(&b, Policy{})
	n.expect("health while held", v.Health, Degraded)
	n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
}

// Without a monitor the driver never leaves a dead link, and says all is well.
func kernelNoMonitor(n *node) {
	n.bond("mode active-backup")
	n.expect("monitored", n.read().Monitored(), false)
	n.health(Healthy, Policy{})
	n.health(Failed, Policy{RequireMonitor: true})
	n.port(0, "down")
	n.expect("reasons", n.health(Failed, Policy{}), "eth0: active and down, and no monitor to move away from it; eth0: down")
	n.expect("MII of eth0, as the driver believes", n.read().Link("eth0").MII, MIIUp)
	found := Diagnose(*n.read(), DoctorInput{})
	if len(found) == 0 || found[0].Code != "no_monitor" {
		n.Errorf("found %+v", found)
	}
	// The doctor's own medicine.
	n.sh(found[0].Fix[FixNow])
	n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
}

// The ARP monitor finds what carrier does not show: a switch that is up and
// leads nowhere.
func kernelARPMonitor(n *node) {
	n.sh(`ip -n switch link add br0 type bridge
ip -n switch link set port0 master br0
ip -n switch link set port1 master br0
ip -n switch link set br0 up
ip -n switch addr add 192.0.2.1/24 dev br0
ip netns exec switch sh -c "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"`)
	n.bond("mode active-backup arp_interval 200 arp_ip_target 192.0.2.1 arp_validate all")
	n.sh("ip addr add 192.0.2.2/24 dev bond0")
	n.health(Healthy, Policy{RequireMonitor: true})
	b := n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	n.expect("arp_interval", b.ARPInterval, 200*time.Millisecond)
	n.expect("arp_validate", b.ARPValidate, ARPValidateAll)
	n.expect("miimon", b.MIIMon, time.Duration(0))

	n.sh("ip -n switch link set port0 nomaster")
	b = n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" && Judge(&b, Policy{}).Health == Degraded })
	n.expect("reasons", strings.Join(Judge(&b, Policy{}).Reasons, "; "), "eth0: down, ARP targets silent")
	n.expect("carrier of eth0", b.Link("eth0").Carrier, true)

	n.sh("ip -n switch link set port1 nomaster")
	n.expect("reasons", n.health(Failed, Policy{}), "no usable link; eth0: down, ARP targets silent; eth1: down, ARP targets silent")
}

// lacpSwitch makes the far ends a bond that speaks LACP.
func (n *node) lacpSwitch() {
	n.sh(`ip -n switch link set port0 down; ip -n switch link set port1 down
ip -n switch link add bond9 type bond mode 802.3ad miimon 100 lacp_rate fast
ip -n switch link set port0 master bond9
ip -n switch link set port1 master bond9
ip -n switch link set bond9 up`)
}

func kernelLACP(n *node) {
	n.lacpSwitch()
	n.bond("mode 802.3ad miimon 100 lacp_rate fast")
	n.expect("reasons", n.health(Healthy, Policy{Mode: Mode8023AD, MinLinks: 2}), "")
	b := *n.read()
	n.expect("ports", b.Aggregator.Ports, 2)
	n.expect("has a partner", b.Aggregator.HasPartner(), true)
	n.expect("LACP rate", b.LACPRate, LACPFast)
	for _, l := range b.Links {
		if !l.Actor.Has(negotiated) || !l.Partner.Has(negotiated) {
			n.Errorf("%s: we are %s, the partner is %s", l.Name, l.Actor, l.Partner)
		}
	}
	n.expect("findings", Text(Diagnose(b, DoctorInput{})), "")

	n.port(1, "down")
	n.expect("reasons", n.health(Degraded, Policy{}), "eth1: down")
	n.until("one port", func(b Bond) bool { return b.Aggregator != nil && b.Aggregator.Ports == 1 })
	n.port(1, "up")
	n.expect("reasons", n.health(Healthy, Policy{}), "")
}

func kernelLACPAlone(n *node) {
	n.bond("mode 802.3ad miimon 100 lacp_rate fast")
	b := n.until("the driver gives up waiting", func(b Bond) bool {
		return b.Aggregator != nil && b.UsableLinks() == 1 && b.Links[0].Actor.Has(PortDefaulted) && b.Links[1].Actor.Has(PortDefaulted)
	})
	n.expect("partner", b.Aggregator.Partner, "00:00:00:00:00:00")
	n.expect("has a partner", b.Aggregator.HasPartner(), false)
	n.expect("carrier all the same", b.Carrier, true)
	n.expect("reasons", n.health(Degraded, Policy{}), "LACP has no partner; eth1: not in the active aggregator")
	n.health(Failed, Policy{MinLinks: 2})
	if found := Diagnose(b, DoctorInput{}); len(found) != 1 || found[0].Code != "lacp_no_partner" {
		n.Errorf("found:\n%s", Text(found))
	}
}

func kernelFailOverMACNone(n *node) {
	n.bond("mode active-backup miimon 100 fail_over_mac none")
	before := n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	n.port(0, "down")
	b := n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
	n.expect("MAC of the bond", b.MAC, before.MAC)
	for _, l := range b.Links {
		n.expect("MAC of "+l.Name, l.MAC, b.MAC)
	}
	if b.Links[0].PermMAC.String() == b.Links[1].PermMAC.String() {
		n.Error("the links have no permanent addresses of their own")
	}
}

func kernelFailOverMACActive(n *node) {
	n.bond("mode active-backup miimon 100 fail_over_mac active")
	before := n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	n.expect("MAC of the bond", before.MAC, before.Link("eth0").PermMAC)
	n.port(0, "down")
	b := n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
	n.expect("MAC of the bond", b.MAC, b.Link("eth1").PermMAC)
	said := ""
	for _, c := range Compare(&before, &b) {
		if c.Announce() {
			said += c.Text + "\n"
		}
	}
	if !strings.Contains(said, "active link is eth1, was eth0") || !strings.Contains(said, "MAC is "+b.MAC.String()) {
		n.Errorf("said: %s", said)
	}
}

func kernelFailOverMACFollow(n *node) {
	n.bond("mode active-backup miimon 100 fail_over_mac follow")
	before := n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	n.expect("MAC of the backup link", before.Link("eth1").MAC, before.Link("eth1").PermMAC)
	n.port(0, "down")
	b := n.until("failover", func(b Bond) bool { return b.ActiveLink == "eth1" })
	n.expect("MAC of the bond", b.MAC, before.MAC)
	n.expect("MAC of the active link", b.Link("eth1").MAC, before.MAC)
}

func kernelSetActive(n *node) {
	n.bond("mode active-backup miimon 100")
	n.health(Healthy, Policy{})
	n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	for _, move := range []struct{ to, was string }{{"eth1", "eth0"}, {"eth1", "eth1"}, {"eth0", "eth1"}} {
		was, err := n.h.SetActive("bond0", move.to)
		if err != nil || was != move.was {
			n.Errorf("to %s: was %q (%v), want %q", move.to, was, err, move.was)
		}
		n.expect("active link", n.read().ActiveLink, move.to)
	}
	n.expect("failures", n.read().Link("eth0").Failures, 0)
	if _, err := n.h.SetActive("bond0", "eth9"); !errors.Is(err, ErrNotAttached) {
		n.Errorf("eth9: %v", err)
	}
	n.port(1, "down")
	n.health(Degraded, Policy{})
	if _, err := n.h.SetActive("bond0", "eth1"); !errors.Is(err, ErrNotUsable) {
		n.Errorf("a dead link: %v", err)
	}
	n.expect("active link", n.read().ActiveLink, "eth0")
	n.sh("ip link add bond1 type bond mode balance-xor")
	if _, err := n.h.SetActive("bond1", "eth0"); !errors.Is(err, ErrNoActiveLink) {
		n.Errorf("balance-xor: %v", err)
	}
	if _, err := n.h.SetActive("bond2", "eth0"); !errors.Is(err, ErrAbsent) {
		n.Errorf("absent: %v", err)
	}
}
