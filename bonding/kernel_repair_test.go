package bonding

import (
	"net/netip"
	"strings"
	"time"
)

// repair plans and applies once, and returns what was done and what was not.
func (n *node) repair(m Managed) string {
	n.Helper()
	devices, err := n.h.Devices(append([]string{m.Name}, m.Links...)...)
	if err != nil {
		n.Fatal(err)
	}
	var cur *Bond
	if b, err := n.h.Bond(m.Name); err == nil {
		cur = &b
	}
	steps, obstacles := Plan(cur, m, devices)
	for _, r := range n.h.Apply(steps) {
		if r.Err != nil {
			n.Error(r.Err)
		}
	}
	return rendered(steps, obstacles)
}

// settled is repair that has nothing to do.
func (n *node) settled(m Managed) {
	n.Helper()
	if again := n.repair(m); again != "" {
		n.Errorf("a second plan is not empty:\n%s", again)
	}
}

func kernelRepairFromNothing(n *node) {
	for mode := ModeBalanceRR; mode <= ModeBalanceALB; mode++ {
		m := Managed{
			Name: "bond0", Mode: mode, Links: []string{"eth0", "eth1"},
			MIIMon: ms(100), UpDelay: ms(250), DownDelay: ms(200), HashPolicy: HashLayer34,
			MinLinks: new(1), NumPeerNotif: new(4), ResendIGMP: new(0), AllLinksActive: new(true),
		}
		switch mode {
		case ModeActiveBackup:
			m.FailOverMAC, m.Primary, m.Reselect = FailOverMACActive, "eth1", ReselectFailure
		case Mode8023AD:
			m.LACPRate = LACPFast
		}
		n.sh("ip link set eth1 up") // as a machine comes up without its bond
		n.repair(m)
		b := n.until("two links in "+mode.String(), func(b Bond) bool { return b.Up && len(b.Links) == 2 && b.Links[1].Carrier })
		n.expect("mode", b.Mode, mode)
		n.expect("updelay", b.UpDelay, 200*time.Millisecond)
		n.expect("num_grat_arp", b.NumPeerNotif, 4)
		n.expect("fail_over_mac set", b.FailOverMAC == FailOverMACActive, mode == ModeActiveBackup)
		n.expect("LACP fast", b.LACPRate == LACPFast, mode == Mode8023AD)
		n.settled(m)
		n.sh("ip link del bond0")
	}
}

// A link that fell off is put back and drifted options are set right, and all
// the while the other link carries the traffic.
func kernelRepairDrift(n *node) {
	m := Managed{Name: "bond0", Mode: ModeActiveBackup, Links: []string{"eth0", "eth1"}, MIIMon: ms(100), UpDelay: ms(0), Primary: "eth0", Reselect: ReselectFailure}
	n.repair(m)
	n.health(Healthy, Policy{Links: m.Links})
	n.until("eth0 is active", func(b Bond) bool { return b.ActiveLink == "eth0" })
	_, updates := n.watch(never)
	n.sh("ip link set eth1 nomaster; ip link set bond0 type bond miimon 0 primary_reselect always num_grat_arp 7")
	if got := n.health(Degraded, Policy{Links: m.Links}); got != "eth1: not attached" {
		n.Errorf("reasons: %s", got)
	}
	want := `set miimon of bond0 to 100ms, was 0s
set updelay of bond0 to 0s, was 0s
set primary_reselect of bond0 to failure, was always
attach eth1 to bond0
`
	n.expect("what was done", n.repair(m), want)
	n.settled(m)
	n.health(Healthy, Policy{Links: m.Links})
	n.expect("num_grat_arp, not asked for", n.read().NumPeerNotif, 7)
	for len(updates) > 0 {
		b := (<-updates).Bond("bond0")
		if b == nil || b.ActiveLink != "eth0" || !b.Up || !b.Carrier || !b.Usable(b.Link("eth0")) {
			n.Errorf("the working link did not work all the while: %+v", b)
		}
	}

	// A card that goes and comes back, with another index.
	n.sh("ip link del eth1; ip link add eth1 type veth peer name port1 netns switch")
	n.expect("what was done", n.repair(m), "attach eth1 to bond0\n")
	n.port(1, "up")
	n.health(Healthy, Policy{Links: m.Links})
	n.settled(m)
}

func kernelRepairObstacles(n *node) {
	n.sh(`ip link add bond0 type bond mode balance-rr miimon 100
ip link set eth0 master bond0
ip link set bond0 up
ip addr add 192.0.2.9/24 dev eth1`)
	m := Managed{Name: "bond0", Mode: ModeActiveBackup, Links: []string{"eth0", "eth1", "eth2"}, MIIMon: ms(100)}
	n.expect("plan", n.repair(m), `! bond0: mode is balance-rr, wanted active-backup: cannot be set while links are attached
! bond0: eth1: has the address 192.0.2.9/24; a link of a bond has none
! bond0: eth2: no such interface
`)
	n.sh(`ip addr flush dev eth1
ip link add link eth1 name eth1.10 type vlan id 10`)
	if got := n.repair(m); !strings.Contains(got, "eth1: is in use by eth1.10") {
		n.Errorf("under a VLAN: %s", got)
	}
	n.sh(`ip link del eth1.10
ip link add br0 type bridge
ip link set eth1 master br0`)
	if got := n.repair(m); !strings.Contains(got, "eth1: belongs to br0") {
		n.Errorf("under a bridge: %s", got)
	}
	other := m
	other.Name = "br0"
	n.expect("plan for a bridge", n.repair(other), "! br0: exists and is a bridge, not a bond\n")
	// The wrong mode is put right once nothing is attached.
	n.sh("ip link set eth0 nomaster; ip link del br0")
	m.Links = m.Links[:2]
	n.repair(m)
	n.health(Healthy, Policy{Mode: ModeActiveBackup, MinLinks: 2})
	n.settled(m)
}

func kernelRepairSwitchesMonitor(n *node) {
	mii := Managed{Name: "bond0", Mode: ModeActiveBackup, Links: []string{"eth0", "eth1"}, MIIMon: ms(100), UpDelay: ms(400)}
	arp := Managed{
		Name: "bond0", Mode: ModeActiveBackup, Links: []string{"eth0", "eth1"}, MIIMon: ms(0),
		ARPInterval: ms(500), ARPTargets: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, ARPValidate: ARPValidateAll,
	}
	for range 2 {
		for _, m := range []Managed{mii, arp} {
			n.repair(m)
			n.settled(m)
			b := n.read()
			n.expect("miimon", b.MIIMon, *m.MIIMon)
			n.expect("ARP monitor on", b.ARPInterval > 0, m.ARPInterval != nil)
		}
	}
	n.expect("targets", addrList(n.read().ARPTargets), "192.0.2.1,192.0.2.2")
}

// lacp_rate needs the bond down, and so waits for a time when nothing works.
func kernelRepairLACPRate(n *node) {
	n.lacpSwitch()
	n.bond("mode 802.3ad miimon 100 lacp_rate slow")
	n.health(Healthy, Policy{})
	m := Managed{Name: "bond0", Mode: Mode8023AD, Links: []string{"eth0", "eth1"}, LACPRate: LACPFast}
	n.expect("plan", n.repair(m), "! bond0: lacp_rate is slow, wanted fast: cannot be set while the bond is up\n")
	n.port(0, "down")
	n.port(1, "down")
	n.health(Failed, Policy{})
	n.repair(m)
	n.expect("lacp_rate", n.read().LACPRate, LACPFast)
	n.settled(m)
	n.port(0, "up")
	n.port(1, "up")
	n.health(Healthy, Policy{})
}
