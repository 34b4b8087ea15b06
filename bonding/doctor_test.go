package bonding

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

func ms(n int) *time.Duration { return new(time.Duration(n) * time.Millisecond) }

// TestDiagnose names the findings of one fault each.
func TestDiagnose(t *testing.T) {
	gateway := netip.MustParseAddr("192.0.2.1")
	peer := netip.MustParseAddr("192.0.2.2")
	arp := func(b *Bond) {
		b.MIIMon, b.UpDelay, b.ARPInterval = 0, 0, time.Second
		b.ARPTargets, b.ARPValidate = []netip.Addr{gateway, peer}, ARPValidateAll
	}
	tests := []struct {
		name  string
		bond  Bond
		f     func(*Bond)
		in    DoctorInput
		codes string
	}{
		{"sound", sound(), func(*Bond) {}, DoctorInput{}, ""},
		{"sound, in use", sound(), func(*Bond) {}, DoctorInput{Instances: []Instance{{"web", time.Second}}, Requested: &Managed{Mode: ModeActiveBackup, MIIMon: ms(100), UpDelay: ms(2000)}}, ""},
		{"sound LACP", aggregated(), func(*Bond) {}, DoctorInput{}, ""},
		{"sound ARP monitor", sound(), arp, DoctorInput{TargetAnswers: map[netip.Addr]bool{gateway: true, peer: true}}, ""},
		{"a link down is no misconfiguration", sound(), func(b *Bond) { cut(&b.Links[0]); b.ActiveLink = "eth1" }, DoctorInput{}, ""},

		{"no monitor", sound(), func(b *Bond) { b.MIIMon, b.UpDelay = 0, 0 }, DoctorInput{}, "no_monitor"},
		{"no monitor with LACP", aggregated(), func(b *Bond) { b.MIIMon, b.UpDelay = 0, 0 }, DoctorInput{}, "no_monitor"},
		{"both monitors asked for", sound(), func(*Bond) {}, DoctorInput{Requested: &Managed{MIIMon: ms(100), ARPInterval: ms(1000)}}, "two_monitors"},
		{"targets of a monitor that is off", sound(), func(b *Bond) { b.ARPTargets = []netip.Addr{gateway} }, DoctorInput{}, "arp_monitor_off"},
		{"another mode than asked for", sound(), func(*Bond) {}, DoctorInput{Requested: &Managed{Mode: Mode8023AD}}, "wrong_mode"},
		{"updelay rounded", sound(), func(b *Bond) { b.UpDelay = 200 * time.Millisecond }, DoctorInput{Requested: &Managed{UpDelay: ms(250)}}, "updelay_rounded"},
		{"downdelay rounded", sound(), func(*Bond) {}, DoctorInput{Requested: &Managed{DownDelay: ms(50)}}, "downdelay_rounded"},
		{"updelay without miimon", sound(), func(b *Bond) { arp(b) }, DoctorInput{Requested: &Managed{UpDelay: ms(200)}}, "updelay_ignored"},

		{"no links", sound(), func(b *Bond) { b.Links = nil }, DoctorInput{}, "no_links"},
		{"one link", sound(), func(b *Bond) { b.Links = b.Links[:1] }, DoctorInput{}, "one_link"},
		{"one card", sound(), func(b *Bond) { b.Links[1].Bus = "0000:03:00.1" }, DoctorInput{}, "one_card"},
		{"two USB adapters", sound(), func(b *Bond) { b.Links[0].Bus, b.Links[1].Bus = "usb-1.1", "usb-1.2" }, DoctorInput{}, ""},
		{"unlike speed", sound(), func(b *Bond) { b.Links[1].Speed = 100 }, DoctorInput{}, "unlike_speed"},
		{"half duplex", sound(), func(b *Bond) { b.Links[1].Duplex = DuplexHalf }, DoctorInput{}, "half_duplex"},

		{"LACP without a partner", unanswered(), func(*Bond) {}, DoctorInput{}, "lacp_no_partner"},
		{"LACP one-way", aggregated(), func(b *Bond) { b.Links[1].Partner &^= PortCollecting | PortDistributing }, DoctorInput{}, "lacp_one_way"},
		{"LACP silent on one link", aggregated(), func(b *Bond) {
			b.Links[1].AggregatorID, b.Links[1].Active, b.Links[1].Actor, b.Links[1].Partner = 2, false, 69, 0
		}, DoctorInput{}, "lacp_one_way"},
		{"LACP to two switches", aggregated(), func(b *Bond) { b.Links[1].AggregatorID, b.Links[1].Active = 2, false }, DoctorInput{}, "lacp_split"},
		{"LACP slow", aggregated(), func(b *Bond) { b.LACPRate = LACPSlow }, DoctorInput{}, "lacp_slow"},
		{"LACP with a link down", aggregated(), func(b *Bond) { cut(&b.Links[1]); b.Links[1].AggregatorID, b.Links[1].Active = 2, false }, DoctorInput{}, ""},

		{"ARP monitor without a target", sound(), func(b *Bond) { arp(b); b.ARPTargets = nil }, DoctorInput{}, "arp_no_target"},
		{"a target silent", sound(), arp, DoctorInput{TargetAnswers: map[netip.Addr]bool{gateway: false, peer: true}}, "arp_target_silent"},
		{"a single target", sound(), func(b *Bond) { arp(b); b.ARPTargets = b.ARPTargets[:1] }, DoctorInput{}, "arp_one_target"},
		{"answers not validated", sound(), func(b *Bond) { arp(b); b.ARPValidate = ARPValidateNone }, DoctorInput{}, "arp_not_validated"},

		{"in a virtual machine", sound(), func(*Bond) {}, DoctorInput{Hypervisor: "VMware"}, "fail_over_mac_vm"},
		{"virtual cards", sound(), func(b *Bond) { b.Links[1].Driver = "virtio_net" }, DoctorInput{}, "fail_over_mac_vm"},
		{"in a virtual machine, set right", sound(), func(b *Bond) { b.FailOverMAC = FailOverMACActive }, DoctorInput{Hypervisor: "VMware"}, ""},
		{"in a virtual machine, LACP", aggregated(), func(*Bond) {}, DoctorInput{Hypervisor: "VMware"}, ""},

		{"active is not the primary", sound(), func(b *Bond) { b.Primary = "eth1" }, DoctorInput{}, "active_not_primary"},
		{"the primary is down", sound(), func(b *Bond) { b.Primary = "eth1"; cut(&b.Links[1]) }, DoctorInput{}, ""},
		{"the primary is not attached", sound(), func(*Bond) {}, DoctorInput{Requested: &Managed{Primary: "eth7"}}, "primary_absent"},
		{"the primary returns at once", sound(), func(b *Bond) { b.Primary, b.UpDelay = "eth0", 0 }, DoctorInput{}, "no_updelay"},

		{"no gratuitous ARP", sound(), func(b *Bond) { b.NumPeerNotif = 0 }, DoctorInput{}, "no_grat_arp"},
		{"no IGMP", sound(), func(b *Bond) { b.ResendIGMP = 0 }, DoctorInput{}, "no_resend_igmp"},
		{"backup links receive", sound(), func(b *Bond) { b.AllLinksActive = true }, DoctorInput{}, "all_links_receive"},
		{"balance-alb under VRRP", sound(), func(b *Bond) { b.Mode = ModeBalanceALB }, DoctorInput{Instances: []Instance{{"web", time.Second}}}, "alb_rewrites_arp"},
		{"adverts too fast", sound(), func(*Bond) {}, DoctorInput{Instances: []Instance{{"web", 100 * time.Millisecond}, {"db", time.Second}}}, "advert_too_short"},
		{"adverts too fast for downdelay", sound(), func(b *Bond) { b.DownDelay = 2 * time.Second }, DoctorInput{Instances: []Instance{{"web", time.Second}}}, "advert_too_short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var codes []string
			for _, f := range Diagnose(*changed(tt.bond, tt.f), tt.in) {
				codes = append(codes, f.Code)
				complete(t, f)
			}
			if got := strings.Join(codes, " "); got != tt.codes {
				t.Errorf("found %q, want %q", got, tt.codes)
			}
		})
	}
}

// complete checks what every finding owes to its reader: the fix for all
// managers, or what else to do.
func complete(t *testing.T, f Finding) {
	t.Helper()
	if f.What == "" || f.Cost == "" || f.Severity == 0 || f.Bond == "" {
		t.Errorf("%s is not said in full: %+v", f.Code, f)
	}
	if len(f.Fix) == 0 && f.Do == "" {
		t.Errorf("%s: neither a fix nor anything to do", f.Code)
	}
	if len(f.Fix) == 1 && f.Fix[FixNow] != "" {
		return // a state, not a setting
	}
	for _, m := range Managers {
		if len(f.Fix) > 0 && f.Fix[m] == "" {
			t.Errorf("%s: no fix for %s", f.Code, m)
		}
	}
}

// TestDoctorText compares what an operator reads with testdata.
func TestDoctorText(t *testing.T) {
	five := changed(sound(), func(b *Bond) {
		b.MIIMon, b.UpDelay, b.NumPeerNotif, b.Primary = 0, 0, 0, "eth1"
		b.Links[1].Speed = 100
		b.Links[1].Bus = "0000:03:00.1"
	})
	lacp := changed(unanswered(), func(b *Bond) { b.LACPRate = LACPSlow; b.Links[1].Duplex = DuplexHalf })
	arp := changed(sound(), func(b *Bond) {
		b.MIIMon, b.UpDelay, b.ARPInterval = 0, 0, time.Second
		b.ARPTargets = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		b.AllLinksActive, b.ResendIGMP = true, 0
	})
	virtual := changed(sound(), func(b *Bond) {
		b.Primary, b.UpDelay, b.ARPTargets = "eth0", 0, []netip.Addr{netip.MustParseAddr("192.0.2.1")}
		b.Links = b.Links[:2]
	})
	tests := []struct {
		file string
		bond *Bond
		in   DoctorInput
	}{
		{"five-faults", five, DoctorInput{}},
		{"lacp", lacp, DoctorInput{}},
		{"arp-monitor", arp, DoctorInput{TargetAnswers: map[netip.Addr]bool{netip.MustParseAddr("192.0.2.1"): false}}},
		{"virtual-machine", virtual, DoctorInput{
			Hypervisor: "VMware",
			Instances:  []Instance{{"web", 100 * time.Millisecond}},
			Requested:  &Managed{MIIMon: ms(100), ARPInterval: ms(1000), UpDelay: ms(50)},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			got := Text(Diagnose(*tt.bond, tt.in))
			path := filepath.Join("testdata", "doctor-"+tt.file+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", path, diff)
			}
		})
	}
	if Text(nil) != "" {
		t.Error("no findings are not silent")
	}
}

// docs/bonding.md lists every finding with its severity.
func TestDocumentedFindings(t *testing.T) {
	doc, err := os.ReadFile("../docs/bonding.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("doctor_checks.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`d\.finding\((?:"([a-z_]+)"|delay\.option\+"(_[a-z]+)"), (Error|Warning|Notice),`).FindAllStringSubmatch(string(source), -1)
	if n := strings.Count(string(source), "d.finding("); n != len(found) || n < 20 {
		t.Errorf("%d findings, %d understood", n, len(found))
	}
	for _, f := range found {
		code := "`" + f[1] + "`"
		if f[2] != "" {
			code = "`updelay" + f[2] + "`, `downdelay" + f[2] + "`"
		}
		if row := "| " + code + " | " + strings.ToLower(f[3]) + " |"; !strings.Contains(string(doc), row) {
			t.Errorf("docs/bonding.md has no %s", row)
		}
	}
}

// A finding comes before every less grave one.
func TestDiagnoseGravestFirst(t *testing.T) {
	b := changed(unanswered(), func(b *Bond) { b.LACPRate, b.MIIMon, b.Links[1].Speed = LACPSlow, 0, 10 })
	found := Diagnose(*b, DoctorInput{})
	if len(found) < 3 || !slices.IsSortedFunc(found, func(a, b Finding) int { return int(a.Severity) - int(b.Severity) }) {
		t.Errorf("%d findings, not in order:\n%s", len(found), Text(found))
	}
}

func TestMinAdvertInterval(t *testing.T) {
	tests := []struct {
		name string
		f    func(*Bond)
		want time.Duration
	}{
		{"miimon 100 ms", func(*Bond) {}, 150 * time.Millisecond},
		{"miimon 100 ms, downdelay 200 ms", func(b *Bond) { b.DownDelay = 200 * time.Millisecond }, 250 * time.Millisecond},
		{"miimon 1 ms", func(b *Bond) { b.MIIMon = time.Millisecond }, 10 * time.Millisecond},
		{"arp_interval 1 s", func(b *Bond) { b.MIIMon, b.ARPInterval = 0, time.Second }, 1500 * time.Millisecond},
		{"arp_interval 1 s, arp_missed_max 5", func(b *Bond) { b.MIIMon, b.ARPInterval, b.ARPMissedMax = 0, time.Second, 5 }, 3 * time.Second},
		{"none", func(b *Bond) { b.MIIMon = 0 }, 0},
	}
	for _, tt := range tests {
		if got := changed(sound(), tt.f).MinAdvertInterval(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestHypervisor(t *testing.T) {
	tests := []struct{ vendor, product, want string }{
		{"VMware, Inc.", "VMware7,1", "VMware"},
		{"innotek GmbH", "VirtualBox", "VirtualBox"},
		{"QEMU", "Standard PC (Q35 + ICH9, 2009)", "QEMU/KVM"},
		{"Microsoft Corporation", "Virtual Machine", "Hyper-V"},
		{"Microsoft Corporation", "Surface Pro", ""},
		{"Amazon EC2", "m5.large", "Amazon EC2"},
		{"Amazon EC2", "m5.metal", ""},
		{"Dell Inc.", "PowerEdge R640", ""},
		{"Red Hat", "KVM", "QEMU/KVM"},
	}
	for _, tt := range tests {
		sys := fstest.MapFS{
			"class/dmi/id/sys_vendor":   {Data: []byte(tt.vendor + "\n")},
			"class/dmi/id/product_name": {Data: []byte(tt.product + "\n")},
		}
		if got := Hypervisor(sys); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.vendor, tt.product, got, tt.want)
		}
	}
	if got := Hypervisor(fstest.MapFS{}); got != "" {
		t.Errorf("without DMI: %q", got)
	}
}
