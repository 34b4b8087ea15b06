package bonding

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

func (d *doctor) monitor() {
	if d.b.Monitored() {
		return
	}
	f := d.finding("no_monitor", Error, "")
	f.What = "no monitor is set: miimon and arp_interval are both 0"
	switch d.b.Mode {
	case ModeActiveBackup:
		f.Cost = "when the active link fails the bond stays on it, and the node is off the network although another link works"
	case Mode8023AD:
		f.Cost = "a link that fails goes on being used, and after it returns it may never be negotiated again"
	default:
		f.Cost = "frames sent over a failed link are lost for as long as it is down"
	}
	f.Fix = d.set("miimon", "100")
}

// requested compares what was asked for with what the kernel runs.
func (d *doctor) requested() {
	r := d.in.Requested
	both := r != nil && r.MIIMon != nil && *r.MIIMon > 0 && r.ARPInterval != nil && *r.ARPInterval > 0
	switch {
	case both:
		f := d.finding("two_monitors", Warning, "")
		f.What = "miimon and arp_interval are both asked for; the kernel runs one, now " + d.monitorName()
		f.Cost = "which one runs depends on the order of the settings, and the other gives a safety that is not there"
		f.Fix = d.unset("arp_interval", "arp_ip_target")
	case d.b.ARPInterval == 0 && len(d.b.ARPTargets) > 0:
		f := d.finding("arp_monitor_off", Warning, "")
		f.What = fmt.Sprintf("arp_ip_target is set (%s) but arp_interval is 0: the ARP monitor does not run, only %s does", addrList(d.b.ARPTargets), d.monitorName())
		f.Cost = "a failure beyond the first switch, which the ARP monitor was to find, goes unnoticed"
		f.Fix = d.unset("arp_ip_target")
		f.Do = "to run the ARP monitor instead, set arp_interval and remove miimon: the kernel runs one of the two"
	}
	if r != nil && r.Mode != 0 && r.Mode != d.b.Mode {
		f := d.finding("wrong_mode", Error, "")
		f.What = fmt.Sprintf("mode is %s, asked for is %s", d.b.Mode, r.Mode)
		f.Cost = "the links and the switch are not used as planned; the mode cannot be changed while links are attached"
		f.Fix = d.set("mode", r.Mode.String())
		delete(f.Fix, FixNow)
	}
}

func (d *doctor) monitorName() string {
	switch {
	case d.b.MIIMon > 0:
		return "miimon"
	case d.b.ARPInterval > 0:
		return "arp_interval"
	default:
		return "neither"
	}
}

// delays looks at what the kernel made of updelay and downdelay. It keeps them
// as a number of polls, so what it rounded away is only known from a request.
func (d *doctor) delays() {
	r := d.in.Requested
	if r == nil {
		return
	}
	mii := d.b.MIIMon
	for _, delay := range []struct {
		option string
		asked  *time.Duration
	}{{"updelay", r.UpDelay}, {"downdelay", r.DownDelay}} {
		if delay.asked == nil || *delay.asked == 0 {
			continue
		}
		if mii == 0 {
			f := d.finding(delay.option+"_ignored", Warning, "")
			f.What = fmt.Sprintf("%s of %s is asked for without miimon, whose polls it is counted in", delay.option, *delay.asked)
			f.Cost = "the kernel refuses or drops it: there is no delay"
			f.Fix = d.set("miimon", "100", delay.option, millisText(*delay.asked))
			continue
		}
		if *delay.asked%mii == 0 {
			continue
		}
		runs := *delay.asked - *delay.asked%mii
		f := d.finding(delay.option+"_rounded", Notice, "")
		f.What = fmt.Sprintf("%s of %s is not a multiple of miimon (%s): the kernel runs %s", delay.option, *delay.asked, mii, runs)
		f.Cost = "the delay is shorter than asked for"
		f.Fix = d.set(delay.option, millisText(runs+mii))
	}
}

func (d *doctor) links() {
	switch n := len(d.b.Links); n {
	case 0:
		f := d.finding("no_links", Error, "")
		f.What = "no link is attached"
		f.Cost = "nothing can be sent or received over the bond"
		f.Fix = d.addLink("LINK")
	case 1:
		f := d.finding("one_link", Warning, "")
		f.What = d.b.Links[0].Name + " is the only link"
		f.Cost = "there is no redundancy: when it fails, the node is off the network"
		f.Do = "attach a second link, to another switch if there is one"
		f.Fix = d.addLink("LINK")
	}
}

// sameCard looks for links that would fail together.
func (d *doctor) sameCard() {
	if len(d.b.Links) < 2 {
		return
	}
	card := ""
	var names []string
	for _, l := range d.b.Links {
		slot, _, isPCI := strings.Cut(l.Bus, ".")
		if !isPCI || strings.Count(slot, ":") != 2 || card != "" && slot != card {
			return
		}
		card = slot
		names = append(names, l.Name)
	}
	f := d.finding("one_card", Warning, "")
	f.What = fmt.Sprintf("%s are ports of one network card (PCI %s)", strings.Join(names, " and "), card)
	f.Cost = "when the card, its slot, its firmware or its driver fails, all links go at once"
	f.Do = "use ports of two cards, or one port of the board and one of a card"
}

// unlike looks for links that are not worth the same.
func (d *doctor) unlike() {
	speeds := make(map[int]bool)
	var told []string
	for _, l := range d.b.Links {
		if l.Speed > 0 {
			speeds[l.Speed] = true
			told = append(told, fmt.Sprintf("%s %d Mbit/s", l.Name, l.Speed))
		}
		if l.Duplex == DuplexHalf {
			f := d.finding("half_duplex", Warning, l.Name)
			f.What = l.Name + " runs half duplex"
			f.Cost = "collisions and a fraction of the speed; under 802.3ad the link is not aggregated"
			f.Do = "set both ends of the cable to negotiate, or both to the same fixed speed and duplex"
		}
	}
	if len(speeds) < 2 {
		return
	}
	f := d.finding("unlike_speed", Warning, "")
	f.What = "links of unlike speed: " + strings.Join(told, ", ")
	f.Cost = "after a failover the node has the speed of the slower link"
	f.Do = "look for a bad cable or transceiver: a gigabit link on a damaged pair comes up with 100 Mbit/s"
	switch d.b.Mode {
	case Mode8023AD:
		f.Cost = "LACP aggregates links of one speed only: the others stay idle"
	case ModeActiveBackup:
		if fast := d.fastest(); fast != "" && fast != d.b.Primary {
			f.Fix = d.set("primary", fast, "primary_reselect", "better")
		}
	}
}

// fastest is the one link faster than all others, "" if there is none.
func (d *doctor) fastest() string {
	links := slices.Clone(d.b.Links)
	slices.SortStableFunc(links, func(a, b Link) int { return b.Speed - a.Speed })
	if len(links) > 1 && links[0].Speed == links[1].Speed {
		return ""
	}
	return links[0].Name
}

func (d *doctor) lacp() {
	b := d.b
	if b.Mode != Mode8023AD {
		return
	}
	partner := b.Aggregator != nil && b.Aggregator.HasPartner()
	carrier := slices.ContainsFunc(b.Links, func(l Link) bool { return l.Carrier })
	if !partner && carrier {
		f := d.finding("lacp_no_partner", Error, "")
		f.What = "nobody answers LACP: the partner is 00:00:00:00:00:00"
		f.Cost = "one link is used, the others are idle, and a switch that spreads frames over the ports loses those that reach the idle ones"
		f.Do = "configure LACP on the switch ports (two switches must form one LAG); or make the bond again in a mode that needs nothing of the switch"
		f.Fix = d.set("mode", "active-backup")
		delete(f.Fix, FixNow)
	}
	for i := range b.Links {
		l := &b.Links[i]
		why := ""
		if partner && l.Up && l.Carrier {
			why = lacpTrouble(b, l)
		}
		switch {
		case why == "":
		case l.AggregatorID != b.Aggregator.ID && !l.Actor.Has(PortDefaulted):
			f := d.finding("lacp_split", Error, l.Name)
			f.What = l.Name + " has an LACP partner other than the active links have"
			f.Cost = "the link is idle: a bond uses one partner at a time"
			f.Do = "plug it into the same switch, or make the two switches one LAG (MLAG, vPC, stack)"
		default:
			f := d.finding("lacp_one_way", Error, l.Name)
			f.What = fmt.Sprintf("%s: %s (we are %s, the partner is %s)", l.Name, why, l.Actor, l.Partner)
			f.Cost = "frames over this link go one way or nowhere"
			f.Do = "look at the switch port: is it in the LAG, is LACP active on it; some stay so after the link flapped until it is set down and up"
			if b.LACPRate == LACPSlow {
				f.Fix = d.set("lacp_rate", "fast")
				delete(f.Fix, FixNow) // only while the bond is down
			}
		}
	}
	if b.LACPRate == LACPSlow {
		f := d.finding("lacp_slow", Notice, "")
		f.What = "lacp_rate is slow: one LACPDU in 30 s"
		f.Cost = "a link that passes nothing but keeps its carrier is used for up to 90 s; fast notices after 3 s"
		f.Fix = d.set("lacp_rate", "fast")
		delete(f.Fix, FixNow) // only while the bond is down
	}
}

func (d *doctor) arpMonitor() {
	b := d.b
	if b.ARPInterval == 0 {
		return
	}
	targets := len(b.ARPTargets) + len(b.NSTargets)
	if targets == 0 {
		f := d.finding("arp_no_target", Error, "")
		f.What = "the ARP monitor runs without arp_ip_target"
		f.Cost = "nothing is asked, so no answer comes: every link is taken for dead"
		f.Fix = d.set("arp_ip_target", "GATEWAY")
	}
	var silent []netip.Addr
	for _, a := range b.ARPTargets {
		if answers, asked := d.in.TargetAnswers[a]; asked && !answers {
			silent = append(silent, a)
		}
	}
	if len(silent) > 0 {
		f := d.finding("arp_target_silent", Error, "")
		f.What = "arp_ip_target does not answer ARP: " + addrList(silent)
		f.Cost = "every link is taken for dead as soon as no target answers"
		if len(silent) < targets && !b.ARPAll {
			f.Severity = Warning
			f.Cost = "the links hang by the targets that are left"
		}
		f.Do = "name addresses on this very network that are always there: the gateway, a switch"
		f.Fix = d.set("arp_ip_target", addrList(slices.DeleteFunc(slices.Clone(b.ARPTargets), func(a netip.Addr) bool { return slices.Contains(silent, a) })))
		if len(silent) == len(b.ARPTargets) {
			f.Fix = d.set("arp_ip_target", "GATEWAY")
		}
	}
	if targets == 1 {
		f := d.finding("arp_one_target", Warning, "")
		f.What = "the ARP monitor asks a single target, " + addrList(slices.Concat(b.ARPTargets, b.NSTargets))
		f.Cost = "when it restarts, all links of every node that asks it are taken for dead"
		f.Do = "add a second target, such as a switch or the other router"
		if len(b.ARPTargets) == 1 {
			f.Fix = d.set("arp_ip_target", b.ARPTargets[0].String()+",SWITCH")
		}
	}
	if b.Mode == ModeActiveBackup && b.ARPValidate != ARPValidateAll {
		f := d.finding("arp_not_validated", Notice, "")
		f.What = fmt.Sprintf("arp_validate is %s: on some links any frame counts as an answer", b.ARPValidate)
		f.Cost = "a link behind a dead uplink is taken for good as long as its switch sends anything, and the bond may go back and forth between dead links"
		f.Fix = d.set("arp_validate", "all")
	}
}

// virtualDrivers belong to network cards that a hypervisor provides.
var virtualDrivers = []string{"virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "vif", "ena", "gve"}

// virtual looks for links whose MAC the hypervisor will not let us borrow.
func (d *doctor) virtual() {
	b := d.b
	if b.Mode != ModeActiveBackup || b.FailOverMAC == FailOverMACActive || len(b.Links) < 2 {
		return
	}
	on := d.in.Hypervisor
	for _, l := range b.Links {
		if slices.Contains(virtualDrivers, l.Driver) && on == "" {
			on = "a hypervisor (" + l.Name + " is " + l.Driver + ")"
		}
	}
	foreign := slices.ContainsFunc(b.Links, func(l Link) bool { return !bytes.Equal(l.PermMAC, b.MAC) })
	if on == "" || !foreign {
		return
	}
	f := d.finding("fail_over_mac_vm", Warning, "")
	f.What = fmt.Sprintf("this machine runs on %s, and fail_over_mac is %s: a link sends with another link's MAC", on, b.FailOverMAC)
	f.Cost = "a hypervisor that enforces the MAC of each card (VMware forged transmits, libvirt filters, most clouds) drops everything after a failover"
	f.Do = "the bond must be made again for this: the kernel changes fail_over_mac only while no link is attached"
	f.Fix = d.set("fail_over_mac", "active")
	delete(f.Fix, FixNow)
}

func (d *doctor) primary() {
	b := d.b
	if r := d.in.Requested; r != nil && r.Primary != "" && b.Link(r.Primary) == nil {
		f := d.finding("primary_absent", Warning, r.Primary)
		f.What = "the primary " + r.Primary + " is not attached"
		f.Cost = "the bond runs over a link that was meant as the spare"
		f.Fix = d.addLink(r.Primary)
	}
	if b.Primary == "" {
		return
	}
	if l := b.Link(b.Primary); l != nil && b.ActiveLink != b.Primary && b.Usable(l) {
		f := d.finding("active_not_primary", Notice, b.ActiveLink)
		f.What = fmt.Sprintf("the active link is %s, the primary %s is usable (primary_reselect is %s)", orNone(b.ActiveLink), b.Primary, b.Reselect)
		f.Cost = "traffic takes the spare path until the next failure; nothing is lost"
		f.Fix = make(map[string]string)
		if b.Reselect != ReselectAlways {
			f.Fix = d.set("primary_reselect", "always")
		}
		f.Fix[FixNow] = "ip link set " + b.Name + " type bond active_slave " + b.Primary
	}
	if b.MIIMon > 0 && b.UpDelay == 0 && b.Reselect == ReselectAlways {
		f := d.finding("no_updelay", Notice, "")
		f.What = fmt.Sprintf("the primary %s becomes active as soon as it has carrier: primary_reselect is always and updelay 0", b.Primary)
		f.Cost = "a switch that restarts has carrier long before it forwards (30 s with spanning tree), and a link that flaps takes the traffic with it each time"
		f.Fix = d.set("updelay", millisText((30 * time.Second).Truncate(b.MIIMon)))
		f.Do = "a long updelay costs no availability: with no other link the driver skips it"
	}
}

// announcements looks at what the driver itself tells the network after a
// failover.
func (d *doctor) announcements() {
	b := d.b
	if b.Mode == ModeActiveBackup && b.NumPeerNotif == 0 {
		f := d.finding("no_grat_arp", Warning, "")
		f.What = "num_grat_arp is 0: the driver sends no gratuitous ARP after a failover"
		f.Cost = "switches send frames to the dead port until this host happens to send something: for its own addresses that can be minutes"
		f.Fix = d.set("num_grat_arp", "1")
	}
	rejoins := b.Mode == ModeBalanceRR || b.Mode == ModeActiveBackup || b.Mode == ModeBalanceTLB || b.Mode == ModeBalanceALB
	if rejoins && b.ResendIGMP == 0 {
		f := d.finding("no_resend_igmp", Warning, "")
		f.What = "resend_igmp is 0: after a failover the driver does not join multicast groups again"
		f.Cost = "a snooping switch keeps multicast, VRRP adverts too, on the dead port until its next query, up to two minutes"
		f.Fix = d.set("resend_igmp", "1")
	}
}

func (d *doctor) duplicates() {
	b := d.b
	if b.AllLinksActive {
		f := d.finding("all_links_receive", Warning, "")
		f.What = "all_slaves_active is 1: frames that arrive on backup links are delivered"
		f.Cost = "broadcast and multicast arrive twice, and this node's own adverts come back to it"
		f.Fix = d.set("all_slaves_active", "0")
	}
	if b.Mode == ModeBalanceALB && len(d.in.Instances) > 0 {
		f := d.finding("alb_rewrites_arp", Error, "")
		f.What = "mode balance-alb answers ARP for the virtual addresses with the MACs of different links"
		f.Cost = "clients keep such a MAC after another node has taken over"
		f.Do = "use active-backup, or 802.3ad with a switch that speaks LACP"
		f.Fix = d.set("mode", "active-backup")
		delete(f.Fix, FixNow)
	}
}

func (d *doctor) adverts() {
	least := d.b.MinAdvertInterval()
	var names []string
	var shortest time.Duration
	for _, in := range d.in.Instances {
		if in.AdvertInterval < least {
			names = append(names, fmt.Sprintf("%s %s", in.Name, in.AdvertInterval))
			if shortest == 0 || in.AdvertInterval < shortest {
				shortest = in.AdvertInterval
			}
		}
	}
	if len(names) == 0 {
		return
	}
	takes, _ := d.b.FailoverTime()
	f := d.finding("advert_too_short", Warning, "")
	f.What = fmt.Sprintf("advert_interval is too short for the monitor: %s; this bond takes up to %s to fail over", strings.Join(names, ", "), takes)
	f.Cost = "a failed link moves the virtual addresses to another node, although this one has another link"
	f.Do = fmt.Sprintf("set advert_interval to %s or more, on all nodes", least)
	// What would fit the shortest interval, in round numbers.
	if mii := (2*shortest - d.b.DownDelay) / 3 / (10 * time.Millisecond) * (10 * time.Millisecond); d.b.MIIMon > 0 && mii >= 10*time.Millisecond {
		f.Fix = d.set("miimon", millisText(mii))
	}
}

func millisText(t time.Duration) string { return fmt.Sprint(t.Milliseconds()) }
