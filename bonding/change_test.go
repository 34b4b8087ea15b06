package bonding

import (
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	base := changed(sound(), func(*Bond) {})
	tests := []struct {
		name          string
		before, after *Bond
		want          []string
		announce      bool
	}{
		{"nothing", base, changed(sound(), func(*Bond) {}), nil, false},
		{"never there", nil, nil, nil, false},
		{"appeared", nil, base, []string{"bond0 appeared, active-backup"}, true},
		{"vanished", base, nil, []string{"bond0 is gone"}, false},
		// Case 86: made again under another index.
		{"case 86, made again", base, changed(sound(), func(b *Bond) { b.Index = 9 }), []string{"bond0 was made again: index 9, was 4"}, true},
		{"failover", base, changed(sound(), func(b *Bond) { cut(&b.Links[0]); b.ActiveLink = "eth1" }),
			[]string{"bond0: active link is eth1, was eth0", "bond0: eth0 lost: down"}, true},
		// Case 83: fail_over_mac=active changes the MAC with the link.
		{"case 83, failover with its MAC", base, changed(sound(), func(b *Bond) { b.ActiveLink = "eth1"; b.MAC = hw(2) }),
			[]string{"bond0: active link is eth1, was eth0", "bond0: MAC is 02:00:00:00:00:02, was 02:00:00:00:00:01"}, true},
		{"no active link left", base, changed(sound(), func(b *Bond) { b.ActiveLink = "" }), []string{"bond0: active link is none, was eth0"}, false},
		{"return", changed(sound(), func(b *Bond) { cut(&b.Links[1]) }), base, []string{"bond0: eth1 usable again"}, false},
		{"attached", changed(sound(), func(b *Bond) { b.Links = b.Links[:1] }), base, []string{"bond0: eth1 attached"}, false},
		{"detached", base, changed(sound(), func(b *Bond) { b.Links = b.Links[:1] }), []string{"bond0: eth1 detached"}, false},
		{"another card of the same name", base, changed(sound(), func(b *Bond) { b.Links[1].Index = 8 }), []string{"bond0: eth1 attached"}, false},
		// Case 84: in 802.3ad the driver rejoins no multicast group by itself.
		{"case 84, another aggregator", changed(aggregated(), func(*Bond) {}), changed(aggregated(), func(b *Bond) {
			b.Aggregator = &Aggregator{ID: 2, Ports: 1, Partner: hw(8)}
			b.Links[1].AggregatorID = 2
			b.Links[0].Active = false
		}), []string{"bond0: active aggregator is 2 with eth1, was 1", "bond0: eth0 lost: not in the active aggregator"}, true},
		// … and what is sent before the new port is open goes nowhere.
		{"case 84, its port opened", changed(aggregated(), func(b *Bond) { cut(&b.Links[0]); b.Links[1].Active = false }),
			changed(aggregated(), func(b *Bond) { cut(&b.Links[0]) }), []string{"bond0: eth1 usable again"}, true},
		{"one port more", changed(aggregated(), func(b *Bond) { cut(&b.Links[0]) }), changed(aggregated(), func(*Bond) {}),
			[]string{"bond0: eth0 usable again"}, false},
		{"links again in a mode without an active one", changed(sound(), func(b *Bond) { b.Mode, b.ActiveLink = ModeBalanceXOR, ""; cut(&b.Links[0]); cut(&b.Links[1]) }),
			changed(sound(), func(b *Bond) { b.Mode, b.ActiveLink = ModeBalanceXOR, "" }), []string{"bond0: eth0 usable again", "bond0: eth1 usable again"}, true},
		{"first link attached", changed(sound(), func(b *Bond) { b.Mode, b.ActiveLink, b.Links = ModeBalanceXOR, "", nil }),
			changed(sound(), func(b *Bond) { b.Mode, b.ActiveLink, b.Links = ModeBalanceXOR, "", b.Links[:1] }), []string{"bond0: eth0 attached"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			announce := false
			for _, c := range Compare(tt.before, tt.after) {
				got = append(got, c.Text)
				announce = announce || c.Announce()
			}
			if !slices.Equal(got, tt.want) || announce != tt.announce {
				t.Errorf("%q, announce %v; want %q, announce %v", got, announce, tt.want, tt.announce)
			}
		})
	}
}
