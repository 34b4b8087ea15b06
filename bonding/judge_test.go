package bonding

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// sound is an active-backup bond over two good links, as examples/bond has it.
func sound() Bond {
	return Bond{
		Name: "bond0", Index: 4, Up: true, Carrier: true, MAC: hw(1),
		Mode: ModeActiveBackup, ActiveLink: "eth0", Reselect: ReselectAlways,
		MIIMon: 100 * time.Millisecond, UpDelay: 2 * time.Second, UseCarrier: true,
		ARPValidate: ARPValidateNone, ARPMissedMax: 2,
		FailOverMAC: FailOverMACNone, NumPeerNotif: 1, ResendIGMP: 1,
		HashPolicy: HashLayer2, LACPRate: LACPSlow, LACPActive: true,
		Links: []Link{
			{Name: "eth0", Index: 2, Up: true, Carrier: true, MII: MIIUp, Active: true, MAC: hw(1), PermMAC: hw(1), Speed: 1000, Duplex: DuplexFull, Driver: "igb", Bus: "0000:03:00.0"},
			{Name: "eth1", Index: 3, Up: true, Carrier: true, MII: MIIUp, MAC: hw(1), PermMAC: hw(2), Speed: 1000, Duplex: DuplexFull, Driver: "igb", Bus: "0000:04:00.0"},
		},
	}
}

// aggregated is an 802.3ad bond over two links with a partner on both.
func aggregated() Bond {
	b := sound()
	b.Mode, b.ActiveLink, b.LACPRate = Mode8023AD, "", LACPFast
	b.Aggregator = &Aggregator{ID: 1, Ports: 2, ActorKey: 9, PartnerKey: 9, Partner: hw(9)}
	for i := range b.Links {
		l := &b.Links[i]
		l.Active, l.AggregatorID = true, 1
		l.Actor, l.Partner = negotiated, negotiated
	}
	return b
}

const negotiated = PortActive | PortShortTimeout | PortAggregation | PortSync | PortCollecting | PortDistributing

// unanswered is what kernel 6.1 shows of two links when nobody speaks LACP.
func unanswered() Bond {
	b := aggregated()
	b.Aggregator = &Aggregator{ID: 1, Ports: 1, ActorKey: 15, PartnerKey: 1, Partner: make(net.HardwareAddr, 6)}
	b.Links[0].Actor, b.Links[0].Partner = 77, 0
	b.Links[1].Actor, b.Links[1].Partner = 69, 0
	b.Links[1].AggregatorID, b.Links[1].Active = 2, false
	return b
}

func hw(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, last} }

func changed(b Bond, f func(*Bond)) *Bond {
	b.Links = slices.Clone(b.Links)
	f(&b)
	return &b
}

func cut(l *Link) { l.Carrier, l.MII, l.Speed, l.Duplex = false, MIIDown, 0, DuplexUnknown }

func TestJudge(t *testing.T) {
	tests := []struct {
		name    string
		bond    *Bond
		policy  Policy
		health  Health
		reasons string // joined by "; "
	}{
		{"sound", changed(sound(), func(*Bond) {}), Policy{}, Healthy, ""},
		{"absent", nil, Policy{}, Failed, "absent"},

		{"a link down", changed(sound(), func(b *Bond) { cut(&b.Links[0]); b.ActiveLink = "eth1" }), Policy{}, Degraded, "eth0: down"},
		{"a link set down", changed(sound(), func(b *Bond) { cut(&b.Links[1]); b.Links[1].Up = false }), Policy{}, Degraded, "eth1: set down"},
		{"carrier lost, not polled yet", changed(sound(), func(b *Bond) { b.Links[0].Carrier = false }), Policy{}, Degraded, "eth0: down"},
		{"waiting for downdelay", changed(sound(), func(b *Bond) { b.Links[0].Carrier = false; b.Links[0].MII = MIIGoingDown }), Policy{}, Degraded, "eth0: down"},
		{"slow return", changed(sound(), func(b *Bond) { b.Links[0].MII = MIIGoingBack; b.ActiveLink = "eth1" }), Policy{}, Degraded, "eth0: coming back, held by updelay"},
		{"ARP targets silent on one link", changed(sound(), func(b *Bond) {
			b.MIIMon, b.ARPInterval, b.Links[1].MII = 0, time.Second, MIIDown
		}), Policy{}, Degraded, "eth1: down, ARP targets silent"},
		{"ARP monitor trying one dead link after the other", changed(sound(), func(b *Bond) {
			b.MIIMon, b.ARPInterval, b.ActiveLink = 0, time.Second, ""
			b.Links[0].MII, b.Links[1].MII = MIIDown, MIIGoingBack
		}), Policy{}, Failed, "no usable link; eth0: down, ARP targets silent; eth1: down, ARP targets silent"},
		{"both links down", changed(sound(), func(b *Bond) {
			cut(&b.Links[0])
			cut(&b.Links[1])
			b.ActiveLink, b.Carrier = "", false
		}), Policy{}, Failed, "no usable link; eth0: down; eth1: down"},
		{"both cables pulled within a poll", changed(sound(), func(b *Bond) { b.Links[0].Carrier = false; b.Links[1].Carrier = false }), Policy{}, Failed, "no usable link; eth0: down; eth1: down"},
		{"no links", changed(sound(), func(b *Bond) { b.Links = nil; b.ActiveLink = "" }), Policy{}, Failed, "no links"},
		{"set down", changed(sound(), func(b *Bond) { b.Up = false }), Policy{}, Failed, "set down"},
		{"no active link", changed(sound(), func(b *Bond) { b.ActiveLink = "" }), Policy{}, Failed, "no active link"},
		{"no carrier above good links", changed(aggregated(), func(b *Bond) { b.Carrier = false; b.MinLinks = 3 }), Policy{}, Failed, "no carrier"},

		{"fewer than min_links", changed(sound(), func(b *Bond) { cut(&b.Links[1]) }), Policy{MinLinks: 2}, Failed, "1 of 2 links usable, min_links is 2; eth1: down"},
		{"min_links held", changed(sound(), func(*Bond) {}), Policy{MinLinks: 2}, Healthy, ""},
		{"wrong mode", changed(sound(), func(b *Bond) { b.Mode = ModeBalanceRR }), Policy{Mode: ModeActiveBackup}, Failed, "mode is balance-rr, not active-backup"},
		{"right mode", changed(sound(), func(*Bond) {}), Policy{Mode: ModeActiveBackup}, Healthy, ""},

		{"no monitor, not required", changed(sound(), func(b *Bond) { b.MIIMon = 0 }), Policy{}, Healthy, ""},
		{"no monitor, required", changed(sound(), func(b *Bond) { b.MIIMon = 0 }), Policy{RequireMonitor: true}, Failed, "no monitor: neither miimon nor arp_interval is set"},
		{"ARP monitor counts", changed(sound(), func(b *Bond) { b.MIIMon, b.ARPInterval = 0, time.Second }), Policy{RequireMonitor: true}, Healthy, ""},
		{"no monitor and the active link dead", changed(sound(), func(b *Bond) { b.MIIMon = 0; b.Links[0].Carrier = false }), Policy{}, Failed, "eth0: active and down, and no monitor to move away from it; eth0: down"},
		{"no monitor and the backup dead", changed(sound(), func(b *Bond) { b.MIIMon = 0; b.Links[1].Carrier = false }), Policy{}, Degraded, "eth1: down"},

		{"never degraded: active is not the primary", changed(sound(), func(b *Bond) { b.Primary = "eth1" }), Policy{}, Healthy, ""},
		{"never degraded: unlike speed", changed(sound(), func(b *Bond) { b.Links[1].Speed = 100 }), Policy{}, Healthy, ""},
		{"never degraded: old failures", changed(sound(), func(b *Bond) { b.Links[0].Failures = 7 }), Policy{}, Healthy, ""},
		{"one link never had redundancy", changed(sound(), func(b *Bond) { b.Links = b.Links[:1] }), Policy{}, Healthy, ""},
		{"one link of two expected", changed(sound(), func(b *Bond) { b.Links = b.Links[:1] }), Policy{Links: []string{"eth0", "eth1"}}, Degraded, "eth1: not attached"},

		{"LACP", changed(aggregated(), func(*Bond) {}), Policy{MinLinks: 2}, Healthy, ""},
		{"LACP, a link in another aggregator", changed(aggregated(), func(b *Bond) { b.Links[1].AggregatorID, b.Links[1].Active = 2, false }), Policy{}, Degraded, "eth1: not in the active aggregator"},
		{"LACP, silent on one link", changed(aggregated(), func(b *Bond) {
			b.Links[1].AggregatorID, b.Links[1].Active, b.Links[1].Actor, b.Links[1].Partner = 2, false, 69, 0
		}), Policy{}, Degraded, "eth1: no LACP partner"},
		{"LACP, partner takes nothing in", changed(aggregated(), func(b *Bond) { b.Links[1].Partner &^= PortCollecting | PortDistributing }), Policy{}, Degraded, "eth1: LACP one-way, the partner takes nothing in"},
		{"LACP, partner sends nothing", changed(aggregated(), func(b *Bond) { b.Links[1].Partner &^= PortDistributing }), Policy{}, Degraded, "eth1: LACP one-way, the partner sends nothing"},
		{"LACP, partner fell silent", changed(aggregated(), func(b *Bond) { b.Links[0].Actor |= PortExpired }), Policy{}, Degraded, "eth0: LACP partner silent"},
		{"LACP, no aggregator yet", changed(aggregated(), func(b *Bond) { b.Aggregator = nil }), Policy{}, Failed, "no usable link; eth0: not negotiated by LACP; eth1: not negotiated by LACP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Judge(tt.bond, tt.policy)
			if got := strings.Join(v.Reasons, "; "); v.Health != tt.health || got != tt.reasons {
				t.Errorf("%s (%s), want %s (%s)", v.Health, got, tt.health, tt.reasons)
			}
		})
	}
}

// A verdict that the driver is about to overtake says so.
func TestJudgeSettles(t *testing.T) {
	apart := func(f func(*Bond)) *Bond { // each link in an aggregator of its own
		return changed(aggregated(), func(b *Bond) {
			b.Links[1].AggregatorID, b.Links[1].Active = 2, false
			b.Links[1].Actor &^= PortSync | PortCollecting | PortDistributing
			f(b)
		})
	}
	moved := func(f func(*Bond)) *Bond { // to the second, which is not open yet
		return apart(func(b *Bond) { cut(&b.Links[0]); b.Aggregator.ID = 2; f(b) })
	}
	const soon = 100*time.Millisecond + lacpSteps
	for _, tt := range []struct {
		name   string
		bond   *Bond
		policy Policy
		health Health
		want   time.Duration
	}{
		{"whole", apart(func(*Bond) {}), Policy{}, Degraded, 0},
		{"lost, not polled yet", apart(func(b *Bond) { b.Links[0].Carrier = false }), Policy{}, Failed, soon},
		{"lost, with downdelay", apart(func(b *Bond) { b.DownDelay = time.Second; b.Links[0].Carrier = false }), Policy{}, Failed, soon + time.Second},
		{"lost, polled", apart(func(b *Bond) { cut(&b.Links[0]) }), Policy{}, Failed, soon},
		{"moved, not open yet", moved(func(*Bond) {}), Policy{}, Failed, soon},
		{"moved, not agreed", moved(func(b *Bond) { b.Links[1].Partner &^= PortSync }), Policy{}, Failed, 0},
		{"moved, partner silent", moved(func(b *Bond) { b.Links[1].Actor |= PortExpired }), Policy{}, Failed, 0},
		{"moved, not enough", moved(func(*Bond) {}), Policy{MinLinks: 2}, Failed, 0},
		{"moved, wrong mode", moved(func(*Bond) {}), Policy{Mode: ModeActiveBackup}, Failed, 0},
		{"both lost", apart(func(b *Bond) { b.Links[0].Carrier = false; b.Links[1].Carrier = false }), Policy{}, Failed, 0},
		{"alive and not open", apart(func(b *Bond) { b.Links[0].Active = false; b.Links[0].Partner = 0 }), Policy{}, Failed, 0},
		{"absent", nil, Policy{}, Failed, 0},
		{"another mode", changed(sound(), func(b *Bond) { b.Links[0].Carrier = false; cut(&b.Links[1]) }), Policy{}, Failed, 0},
	} {
		if v := Judge(tt.bond, tt.policy); v.Health != tt.health || v.Settles != tt.want {
			t.Errorf("%s: %s %q, settles in %s; want %s, %s", tt.name, v.Health, v.Reasons, v.Settles, tt.health, tt.want)
		}
	}
}

// Case 82: a bond without an active link or without carrier is in fault even
// though it is administratively up; that an active link failed over is none.
func TestCase82NoCarrierIsFault(t *testing.T) {
	dead := changed(sound(), func(b *Bond) {
		cut(&b.Links[0])
		cut(&b.Links[1])
		b.ActiveLink, b.Carrier = "", false
	})
	if v := Judge(dead, Policy{}); v.Health != Failed || !dead.Up {
		t.Errorf("up without carrier: %s, want failed", v.Health)
	}
	moved := changed(sound(), func(b *Bond) { b.ActiveLink = "eth1" })
	if v := Judge(moved, Policy{}); v.Health != Healthy {
		t.Errorf("active link moved: %s %v, want healthy", v.Health, v.Reasons)
	}
}

// Case 85: 802.3ad with the partner 00:00:00:00:00:00 was not negotiated. The
// driver still sends over one link, so the bond is degraded; it has failed
// where more than that one link is asked for.
func TestCase85NoPartnerIsUnhealthy(t *testing.T) {
	b := unanswered()
	v := Judge(&b, Policy{})
	if want := "LACP has no partner; eth1: not in the active aggregator"; v.Health != Degraded || strings.Join(v.Reasons, "; ") != want {
		t.Errorf("%s %q, want degraded (%s)", v.Health, v.Reasons, want)
	}
	if v := Judge(&b, Policy{MinLinks: 2}); v.Health != Failed {
		t.Errorf("with min_links 2: %s %q, want failed", v.Health, v.Reasons)
	}
	one := changed(b, func(b *Bond) { b.Links = b.Links[:1] })
	if v := Judge(one, Policy{}); v.Health != Degraded {
		t.Errorf("one link: %s %q, want degraded: it was not negotiated", v.Health, v.Reasons)
	}
	gone := changed(b, func(b *Bond) { cut(&b.Links[0]); cut(&b.Links[1]) })
	if v := Judge(gone, Policy{}); v.Health != Failed {
		t.Errorf("no carrier: %s %q, want failed", v.Health, v.Reasons)
	}
}

func TestUsableLinks(t *testing.T) {
	b := unanswered()
	if n := b.UsableLinks(); n != 1 {
		t.Errorf("%d usable links without a partner, want 1", n)
	}
}
