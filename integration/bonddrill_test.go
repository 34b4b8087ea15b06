package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/lab"
)

// TestBondTools is what operators have for bonds: vrrpctl bond, bond doctor and
// drill, against the bonding driver.
func TestBondTools(t *testing.T) {
	t.Parallel()
	if !lab.InUML(t, "bonding", "bridge", "veth", "af_packet", "ipv6", "8021q") {
		return
	}
	t.Run("Shown", bondShown)
	t.Run("Doctor", bondDoctor)
	t.Run("Drill", bondDrill)
	t.Run("DrillVLAN", bondDrillVLAN)
}

// bondShown: what vrrpctl shows is what was set, also of a bond that no
// instance runs over.
func bondShown(t *testing.T) {
	l := lab.New(t)
	sw := l.Switch("lan")
	h := bonded(sw, l, "a", "192.0.2.1/24")
	sw.Attach(h, "eth2")
	h.Run("sh", "-c", "ip link add bond1 type bond mode 802.3ad miimon 100 lacp_rate fast xmit_hash_policy layer3+4; ip link set eth2 down; ip link set eth2 master bond1; ip link set bond1 up")
	r := lab.Router{Interval: 500 * time.Millisecond, Interface: "bond0", Addresses: []string{vip + "/24"}}
	a := newNode(t, l, h, r.Vrrpd("web")).start()
	a.waitState("web", "active", 20*time.Second)

	var bonds []control.BondDetail
	show := func(args ...string) {
		bonds = nil
		if err := json.Unmarshal([]byte(a.must(append([]string{"bond", "-o", "json"}, args...)...)), &bonds); err != nil {
			t.Fatal(err)
		}
	}
	show()
	if len(bonds) != 2 || bonds[0].Name != "bond0" || bonds[1].Name != "bond1" {
		t.Fatalf("bonds: %+v", bonds)
	}
	b := bonds[0]
	if b.Mode != "active-backup" || b.Health != "healthy" || b.ActiveLink != "eth0" || b.Monitor != "miimon" || b.MIIMon != 100 || !b.Up || !b.Carrier ||
		b.FailOverMAC != "none" || b.NumGratARP != 1 || b.ResendIGMP != 1 || len(b.Instances) != 1 || b.Instances[0] != "web" || b.FailoverTime != 0.1 {
		t.Errorf("bond0: %+v", b)
	}
	if len(b.Links) != 2 || !b.Links[0].Active || b.Links[1].Active || b.Links[0].MII != "up" || b.Links[0].Duplex != "full" || b.Links[0].SpeedMbps != 10000 ||
		b.Links[1].PermMAC == b.Links[0].PermMAC || b.Links[0].Driver != "veth" {
		t.Errorf("links of bond0: %+v", b.Links)
	}
	if b := bonds[1]; b.Mode != "802.3ad" || b.LACP == nil || b.LACP.Rate != "fast" || b.LACP.Partner != "" || len(b.Instances) != 0 || len(b.Links) != 1 || b.Links[0].LACP == nil {
		t.Errorf("bond1: %+v", b)
	}
	t.Logf("vrrpctl bond:\n%s", a.must("bond"))

	sw.CutPort(h, "eth0")
	lab.Until(t, 10*time.Second, "bond0 to be shown as degraded", func() bool {
		show("bond0")
		b := bonds[0]
		return b.Health == "degraded" && b.ActiveLink == "eth1" && len(b.Reasons) == 1 && strings.HasPrefix(b.Reasons[0], "eth0: ") && b.Links[0].Failures == 1
	})
	if _, errs, status := a.ctl("bond", "bond2"); status != 1 || !strings.Contains(errs, `no bond "bond2"`) {
		t.Errorf("an unknown bond: %d, %s", status, errs)
	}
	if _, errs, status := a.ctl("bond", "eth0"); status != 1 || !strings.Contains(errs, "eth0 is not a bond") {
		t.Errorf("no bond: %d, %s", status, errs)
	}
}

// bondDoctor has a bond with five faults, and one whose ARP monitor asks
// somebody who is not there.
func bondDoctor(t *testing.T) {
	l := lab.New(t)
	sw := l.Switch("lan")
	sw.Host("client", "192.0.2.9/24")
	h := bonded(sw, l, "a", "192.0.2.1/24")
	h.Run("sh", "-c", "ip link set bond0 type bond miimon 0; ip link set bond0 type bond num_grat_arp 0 resend_igmp 0 all_slaves_active 1 primary_reselect failure; "+
		"ip link set bond0 type bond primary eth1; ip link set bond0 type bond active_slave eth0")
	r := lab.Router{Interval: 500 * time.Millisecond, Interface: "bond0", Addresses: []string{vip + "/24"}}
	a := newNode(t, l, h, r.Vrrpd("web")).start()
	a.waitState("web", "active", 20*time.Second)

	out, errs, status := a.ctl("bond", "doctor", "bond0")
	t.Logf("vrrpctl bond doctor bond0:\n%s%s", out, errs)
	if status != 5 || errs != "" {
		t.Errorf("exit status %d, %s", status, errs)
	}
	for _, code := range []string{"no_monitor", "no_grat_arp", "no_resend_igmp", "all_links_receive", "active_not_primary"} {
		if !strings.Contains(out, "("+code+")") {
			t.Errorf("not found: %s", code)
		}
	}
	if n := strings.Count(out, "netplan "); n != 5 {
		t.Errorf("%d settings for netplan, want 5", n)
	}

	// The doctor's own medicine, then nothing is left to find.
	h.Run("sh", "-c", "ip link set bond0 type bond miimon 100 updelay 30000 num_grat_arp 1 resend_igmp 1 all_slaves_active 0 primary_reselect always; "+
		"ip link set bond0 type bond active_slave eth1")
	if out := a.must("bond", "doctor"); !strings.Contains(out, "nothing to find fault with: bond0") {
		t.Errorf("a bond without faults:\n%s", out)
	}

	// A pair that the instance fears for, asked over the network.
	h.Run("sh", "-c", "ip link set bond0 type bond miimon 0; ip link set bond0 type bond arp_interval 300 arp_validate all; "+
		"ip link set bond0 type bond arp_ip_target 192.0.2.9,192.0.2.77")
	out, _, status = a.ctl("bond", "doctor", "-o", "json")
	var d control.Diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil || status != 5 {
		t.Fatalf("exit status %d, %v: %s", status, err, out)
	}
	silent := ""
	for _, f := range d.Findings {
		if f.Code == "arp_target_silent" {
			silent = f.What
		}
	}
	if !strings.Contains(silent, "192.0.2.77") || strings.Contains(silent, "192.0.2.9,") || strings.HasSuffix(silent, "192.0.2.9") {
		t.Errorf("the silent target is told as %q of %s", silent, out)
	}
}

// bondDrill: a drill moves the active link there and back, and whoever ends
// it early finds the bond as it was.
func bondDrill(t *testing.T) {
	l := lab.New(t)
	sw := l.Switch("lan")
	sw.Host("client", "192.0.2.9/24")
	r := lab.Router{Interval: 500 * time.Millisecond, Priority: 150, Interface: "bond0", Addresses: []string{vip + "/24"}}
	p := &drilled{a: newNode(t, l, bonded(sw, l, "a", "192.0.2.1/24"), r.Vrrpd("web")).start()}
	p.a.waitState("web", "active", 20*time.Second)
	r.Priority = 100
	p.b = newNode(t, l, bonded(sw, l, "b", "192.0.2.2/24"), r.Vrrpd("web")).start()
	p.b.waitState("web", "backup", 20*time.Second)
	lab.Until(t, 20*time.Second, "b to know the active router", func() bool { return p.b.instance("web").ActiveRouter != nil })
	before := p.transitions()
	out, errs, status := p.a.ctl("drill", "web", "--kind", "bond", "--target", "192.0.2.9", "--yes")
	t.Logf("vrrpctl drill web --kind bond:\n%s%s", errs, out)
	if status != 0 || !strings.Contains(out, "held") {
		t.Errorf("exit status %d", status)
	}
	if now := carrying(p.a.host); now != "eth0" {
		t.Errorf("the active link is %s", now)
	}

	// Whom to ask is found: the gateway; on the backup without one, the active.
	p.a.host.Run("ip", "route", "add", "default", "via", "192.0.2.9", "dev", "bond0")
	for n, want := range map[*node]string{p.a: "192.0.2.9", p.b: "192.0.2.1"} {
		var rep control.DrillReport
		if err := json.Unmarshal([]byte(n.must("drill", "--kind", "bond", "--yes", "-o", "json")), &rep); err != nil {
			t.Fatal(err)
		}
		if rep.Target != want || !rep.Held || !rep.Restored || len(rep.Phases) != 3 || rep.Found != "eth0" || rep.Other != "eth1" {
			t.Errorf("on %s: %+v", n.host.Name, rep)
		}
	}
	if now := p.transitions(); now != before {
		t.Errorf("transitions: %s, before the drills %s", now, before)
	}

	// A target that is not there: nothing is moved.
	if out, errs, status := p.a.ctl("drill", "--kind", "bond", "--target", "192.0.2.77", "--yes"); status != 1 || !strings.Contains(errs, "does not answer") || !strings.Contains(out, "nothing was moved") {
		t.Errorf("exit status %d, %s%s", status, out, errs)
	}

	p.drillEnds(t, "vrrpctl is killed", func(drill *lab.Process) { drill.Kill() })
	drills := 0
	lab.Until(t, 10*time.Second, "the drill to be in the journal", func() bool {
		drills = 0
		for _, e := range p.a.events() {
			if e.Kind == "drill" && strings.Contains(e.Text, "vrrpctl has gone away") {
				drills++
			}
		}
		return drills == 1
	})
	p.drillEnds(t, "Ctrl-C", func(drill *lab.Process) {
		drill.Signal(2)
		if err := drill.Wait(10 * time.Second); err == nil || !strings.Contains(drill.Output(), "the daemon puts the active link back") {
			t.Errorf("Ctrl-C: %v, %s", err, drill.Output())
		}
	})
	if now := p.transitions(); now != before {
		t.Errorf("transitions: %s, before the drills %s", now, before)
	}
	// The bond is put back by a daemon that stops, too.
	p.drillEnds(t, "the daemon stops", func(*lab.Process) { p.a.stop() })
}

// bondDrillVLAN: the instance runs on a VLAN of a bond whose MAC changes with
// the link, and an IPv6 target is asked too.
func bondDrillVLAN(t *testing.T) {
	l := lab.New(t)
	sw := l.Switch("lan")
	vlan := "ip link add link %[1]s name %[1]s.10 type vlan id 10; ip addr add %[2]s/24 dev %[1]s.10; ip addr add %[3]s/64 dev %[1]s.10 nodad; ip link set %[1]s.10 up"
	sw.Host("client").Run("sh", "-ec", fmt.Sprintf(vlan, "eth0", "192.0.2.9", "2001:db8::9"))
	h := l.Host("a")
	sw.Attach(h, "eth0")
	sw.Attach(h, "eth1")
	h.Run("sh", "-ec", "ip link add bond0 type bond mode active-backup miimon 100 fail_over_mac active; for l in eth0 eth1; do ip link set $l down; ip link set $l master bond0; done; "+
		"ip link set bond0 up; "+fmt.Sprintf(vlan, "bond0", "192.0.2.1", "2001:db8::1"))
	r := lab.Router{Interval: 500 * time.Millisecond, Interface: "bond0.10", Addresses: []string{vip + "/24"}}
	a := newNode(t, l, h, r.Vrrpd("web")).start()
	a.waitState("web", "active", 20*time.Second)
	for _, target := range []string{"192.0.2.9", "2001:db8::9"} {
		out, errs, status := a.ctl("drill", "web", "--kind", "bond", "--target", target, "--yes")
		t.Logf("asking %s:\n%s%s", target, errs, out)
		if status != 0 || !strings.Contains(out, "over bond0.10") || carrying(h) != "eth0" {
			t.Errorf("exit status %d, the active link is %s", status, carrying(h))
		}
	}
}

// drilled are two nodes on bonds, a active and b backup.
type drilled struct{ a, b *node }

func (p *drilled) transitions() string {
	return fmt.Sprintf("a %d, b %d", p.a.instance("web").Transitions, p.b.instance("web").Transitions)
}

// carrying is the active link of a host's bond0.
func carrying(h *lab.Host) string {
	return strings.TrimSpace(h.Run("cat", "/sys/class/net/bond0/bonding/active_slave"))
}

// drillEnds begins a drill on a and ends it while the active link is the other
// one.
func (p *drilled) drillEnds(t *testing.T, how string, end func(drill *lab.Process)) {
	t.Helper()
	drill := p.a.host.Start(program(t, "vrrpctl"), "--socket", p.a.socket, "drill", "--kind", "bond", "--target", "192.0.2.9", "--yes")
	lab.Until(t, 20*time.Second, "the drill to move the active link", func() bool {
		if drill.Exited() {
			t.Fatalf("%s: the drill ended by itself:\n%s", how, drill.Output())
		}
		return carrying(p.a.host) == "eth1"
	})
	// One at a time.
	if _, errs, status := p.a.ctl("drill", "--kind", "bond", "--yes"); status != 1 || !strings.Contains(errs, "under way") {
		t.Errorf("a second drill: exit status %d, %s", status, errs)
	}
	end(drill)
	lab.Until(t, 10*time.Second, how+": the active link to be put back", func() bool { return carrying(p.a.host) == "eth0" })
}
