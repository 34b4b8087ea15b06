package bonding

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wanted is the bond that sound() is.
func wanted() Managed {
	return Managed{
		Name: "bond0", Mode: ModeActiveBackup, Links: []string{"eth0", "eth1"},
		MIIMon: ms(100), UpDelay: ms(2000),
	}
}

func rendered(steps []Step, obstacles []Obstacle) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&b, s)
	}
	for _, o := range obstacles {
		fmt.Fprintln(&b, "!", o)
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	free := map[string]Device{"eth0": {Name: "eth0"}, "eth1": {Name: "eth1", Up: true}}
	with := func(d Device) map[string]Device { return map[string]Device{"eth0": {Name: "eth0"}, "eth1": d} }
	is := func(f func(*Bond)) *Bond { return changed(sound(), f) }
	want := func(f func(*Managed)) Managed {
		m := wanted()
		f(&m)
		return m
	}
	tests := []struct {
		name    string
		cur     *Bond
		want    Managed
		devices map[string]Device
		plan    string
	}{
		{"as it should be", is(func(*Bond) {}), wanted(), free, ""},
		{"what is not said stays", is(func(b *Bond) { b.NumPeerNotif, b.ResendIGMP = 9, 9 }), wanted(), free, ""},
		{"a link more than listed stays", is(func(*Bond) {}), want(func(m *Managed) { m.Links = m.Links[:1] }), free, ""},
		{"a link set down stays down", is(func(b *Bond) { cut(&b.Links[1]); b.Links[1].Up = false }), wanted(), free, ""},

		{"absent", nil, want(func(m *Managed) { m.Primary = "eth0"; m.FailOverMAC = FailOverMACActive; m.NumPeerNotif = new(3) }), free, `
create bond0, mode active-backup
set fail_over_mac of bond0 to active, was none
set miimon of bond0 to 100ms, was none
set updelay of bond0 to 2s, was none
set num_grat_arp of bond0 to 3, was none
attach eth0 to bond0
attach eth1 to bond0
set primary of bond0 to eth0, was none
set bond0 up
`},
		{"absent, and the name is taken", nil, wanted(), map[string]Device{"bond0": {Name: "bond0", Kind: "bridge"}}, `
! bond0: exists and is a bridge, not a bond
`},
		{"made by loading the module", changed(Bond{Name: "bond0", Index: 4, Mode: ModeBalanceRR}, func(*Bond) {}), want(func(m *Managed) { m.UpDelay = nil }), free, `
set mode of bond0 to active-backup, was balance-rr
set miimon of bond0 to 100ms, was 0s
attach eth0 to bond0
attach eth1 to bond0
set bond0 up
`},
		{"empty, up and in the wrong mode", is(func(b *Bond) { b.Mode = ModeBalanceRR; b.Links = nil }), wanted(), free, `
set bond0 down
set mode of bond0 to active-backup, was balance-rr
attach eth0 to bond0
attach eth1 to bond0
set bond0 up
`},

		{"a link fell off", is(func(b *Bond) { b.Links = b.Links[:1] }), wanted(), free, "\nattach eth1 to bond0\n"},
		{"a link fell off and is gone", is(func(b *Bond) { b.Links = b.Links[:1] }), wanted(), nil, "\n! bond0: eth1: no such interface\n"},
		{"a link of another", is(func(b *Bond) { b.Links = b.Links[:1] }), wanted(), with(Device{Name: "eth1", Master: "br0"}), "\n! bond0: eth1: belongs to br0\n"},
		{"a link with an address", is(func(b *Bond) { b.Links = b.Links[:1] }), wanted(), with(Device{Name: "eth1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24")}}), `
! bond0: eth1: has the address 192.0.2.9/24; a link of a bond has none
`},
		{"a link under a VLAN", is(func(b *Bond) { b.Links = b.Links[:1] }), wanted(), with(Device{Name: "eth1", Above: []string{"eth1.10"}}), "\n! bond0: eth1: is in use by eth1.10\n"},

		{"miimon lost", is(func(b *Bond) { b.MIIMon, b.UpDelay = 0, 0 }), wanted(), free, `
set miimon of bond0 to 100ms, was 0s
set updelay of bond0 to 2s, was 0s
`},
		{"another miimon changes the delays too", is(func(b *Bond) { b.MIIMon = 200 * time.Millisecond }), wanted(), free, `
set miimon of bond0 to 100ms, was 200ms
set updelay of bond0 to 2s, was 2s
`},
		{"a delay that the kernel rounds is no drift", is(func(*Bond) {}), want(func(m *Managed) { m.UpDelay = ms(2050) }), free, ""},
		{"from the MII to the ARP monitor", is(func(*Bond) {}), want(func(m *Managed) {
			m.MIIMon, m.UpDelay, m.ARPInterval = ms(0), nil, ms(1000)
			m.ARPTargets, m.ARPValidate = []netip.Addr{netip.MustParseAddr("192.0.2.1")}, ARPValidateAll
		}), free, `
set arp_ip_target of bond0 to 192.0.2.1, was none
set arp_validate of bond0 to all, was none
set arp_interval of bond0 to 1s, was 0s
set miimon of bond0 to 0s, was 100ms
`},
		{"targets in another order are the same", is(func(b *Bond) {
			b.MIIMon, b.UpDelay, b.ARPInterval = 0, 0, time.Second
			b.ARPTargets = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")}
		}), want(func(m *Managed) {
			m.MIIMon, m.UpDelay, m.ARPInterval = nil, nil, ms(1000)
			m.ARPTargets = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		}), free, ""},
		{"primary and its policy", is(func(*Bond) {}), want(func(m *Managed) { m.Primary, m.Reselect = "eth1", ReselectFailure }), free, `
set primary_reselect of bond0 to failure, was always
set primary of bond0 to eth1, was none
`},

		{"another mode, links attached", is(func(b *Bond) { b.Mode = ModeBalanceRR }), wanted(), free, `
! bond0: mode is balance-rr, wanted active-backup: cannot be set while links are attached
`},
		{"fail_over_mac, links attached", is(func(*Bond) {}), want(func(m *Managed) { m.FailOverMAC = FailOverMACActive }), free, `
! bond0: fail_over_mac is none, wanted active: cannot be set while links are attached
`},
		{"lacp_rate of a bond that works", changed(aggregated(), func(*Bond) {}), want(func(m *Managed) { m.Mode, m.LACPRate = Mode8023AD, LACPSlow }), free, `
! bond0: lacp_rate is fast, wanted slow: cannot be set while the bond is up
`},
		{"lacp_rate of a bond that does not", changed(aggregated(), func(b *Bond) { cut(&b.Links[0]); cut(&b.Links[1]) }), want(func(m *Managed) { m.Mode, m.LACPRate = Mode8023AD, LACPSlow }), free, `
set bond0 down
set lacp_rate of bond0 to slow, was fast
set bond0 up
`},
		{"nonsense is not begun", nil, Managed{Name: "bond0", Mode: Mode8023AD, Primary: "eth9", MIIMon: ms(100), ARPInterval: ms(100)}, free, `
! bond0: miimon and arp_interval: the kernel runs one monitor, set the other to 0
! bond0: arp_interval: no arp_ip_target to ask
! bond0: primary: eth9 is not among the links
! bond0: arp_interval: does not exist in mode 802.3ad
! bond0: primary: does not exist in mode 802.3ad
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := rendered(Plan(tt.cur, tt.want, tt.devices))
			if diff := cmp.Diff(strings.TrimPrefix(tt.plan, "\n"), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is wanted of a bond with a working link, no step sets it down and
// no step touches a link that is attached.
func TestPlanLeavesWorkingLinksAlone(t *testing.T) {
	modes := []Mode{ModeBalanceRR, ModeActiveBackup, ModeBalanceXOR, ModeBroadcast, Mode8023AD, ModeBalanceTLB, ModeBalanceALB}
	for _, was := range modes {
		for _, mode := range modes {
			for f := FailOverMACNone; f <= FailOverMACFollow; f++ {
				b := changed(sound(), func(b *Bond) { b.Mode = was })
				if was == Mode8023AD {
					b = changed(aggregated(), func(*Bond) {})
				}
				m := Managed{Name: "bond0", Mode: mode, FailOverMAC: f, Links: []string{"eth0", "eth1", "eth2"}, MIIMon: ms(50)}
				if mode == Mode8023AD {
					m.LACPRate = LACPSlow
				}
				steps, _ := Plan(b, m, map[string]Device{"eth2": {Name: "eth2"}})
				for _, s := range steps {
					if s.Kind == StepDown || s.Kind == StepCreate || s.Kind == StepAttach && s.Link != "eth2" {
						t.Errorf("%s to %s, %s: %s", was, mode, f, s)
					}
				}
			}
		}
	}
}

func TestManagedCheck(t *testing.T) {
	tests := []struct {
		name string
		f    func(*Managed)
		want string
	}{
		{"good", func(*Managed) {}, ""},
		{"no mode", func(m *Managed) { m.Mode = 0 }, "mode: not said"},
		{"delay without miimon", func(m *Managed) { m.MIIMon = nil }, "updelay and downdelay: counted in polls of miimon, which is not set"},
		{"fraction of a millisecond", func(m *Managed) { m.MIIMon = new(time.Millisecond / 2) }, "miimon: 500µs is not a number of whole milliseconds up to a day"},
		{"too many announcements", func(m *Managed) { m.NumPeerNotif = new(256) }, "num_grat_arp: 256 is not in 0..255"},
		{"IPv6 target", func(m *Managed) { m.ARPTargets = []netip.Addr{netip.MustParseAddr("2001:db8::1")} }, "arp_ip_target: 2001:db8::1 is no IPv4 address"},
		{"LACP rate without LACP", func(m *Managed) { m.LACPRate = LACPFast }, "lacp_rate: does not exist in mode active-backup"},
		{"seventeen targets", func(m *Managed) {
			for i := range 17 {
				m.ARPTargets = append(m.ARPTargets, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			}
		}, "arp_ip_target: 17 targets, the kernel takes 16"},
	}
	for _, tt := range tests {
		m := wanted()
		tt.f(&m)
		if got := strings.Join(m.Check(), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
