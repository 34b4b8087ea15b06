package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/control"
	"vrrpd/internal/control/controltest"
)

// bonds are the night's, and one that negotiates.
func bonds() []control.BondDetail {
	link := func(name string, last string, edit func(*control.LinkDetail)) control.LinkDetail {
		l := control.LinkDetail{Link: control.Link{Name: name, Up: true, SpeedMbps: 1000}, AdminUp: true, Carrier: true, MII: "up", Duplex: "full",
			PermMAC: "02:00:00:00:00:" + last, Driver: "igb", Bus: "0000:0" + last[1:] + ":00.0"}
		edit(&l)
		return l
	}
	const negotiated = "active,short_timeout,aggregating,in_sync,collecting,distributing"
	lacp := func(l *control.LinkDetail) {
		l.Active = true
		l.LACP = &control.LinkLACP{Aggregator: 1, Actor: negotiated, Partner: negotiated}
	}
	return []control.BondDetail{
		{
			Bond: control.Bond{Name: "bond0", Mode: "active-backup", Health: "degraded", ActiveLink: "eth1", Reasons: []string{"eth0: down"}},
			Links: []control.LinkDetail{
				link("eth0", "01", func(l *control.LinkDetail) {
					l.Up, l.Carrier, l.MII, l.Failures, l.SpeedMbps, l.Duplex = false, false, "down", 2, 0, "unknown"
				}),
				link("eth1", "02", func(l *control.LinkDetail) { l.Active = true }),
			},
			Instances: []string{"web", "db"}, Up: true, Carrier: true, MAC: "02:00:00:00:00:01", Primary: "eth0", Reselect: "always",
			Monitor: "miimon", MIIMon: 100, UpDelay: 30000, FailoverTime: 0.1, FailOverMAC: "none", ResendIGMP: 1,
		},
		{
			Bond:  control.Bond{Name: "bond1", Mode: "802.3ad", Health: "healthy"},
			Links: []control.LinkDetail{link("eth2", "03", lacp), link("eth3", "04", lacp)},
			Up:    true, Carrier: true, MAC: "02:00:00:00:00:03", Monitor: "miimon", MIIMon: 100, FailoverTime: 0.1,
			NumGratARP: 1, ResendIGMP: 1, MinLinks: 1, HashPolicy: "layer3+4",
			LACP: &control.LACP{Rate: "fast", Aggregator: 1, Ports: 2, ActorKey: 9, PartnerKey: 15, Partner: "02:00:00:00:01:00"},
		},
	}
}

func diagnosis() control.Diagnosis {
	return control.Diagnosis{Bonds: []string{"bond0"}, Findings: []control.Finding{{
		Bond: "bond0", Code: "no_grat_arp", Severity: "warning",
		What: "num_grat_arp is 0: the driver sends no gratuitous ARP after a failover",
		Cost: "switches send frames to the dead port until this host happens to send something: for its own addresses that can be minutes",
		Fix: map[string]string{
			"netplan":        "bonds.bond0.parameters: {gratuitous-arp: 1}",
			"networkmanager": `nmcli connection modify bond0 +bond.options "num_grat_arp=1"`,
			"ifcfg":          `ifcfg-bond0: BONDING_OPTS="… num_grat_arp=1"`,
			"networkd":       "[Bond] of bond0.netdev: GratuitousARP=1",
			"talos":          "BondConfig bond0: {numPeerNotif: 1}",
			"now":            "ip link set bond0 type bond num_grat_arp 1",
		}}}}
}

func goodDrill() control.DrillReport {
	return control.DrillReport{Kind: "bond", Bond: "bond0", Interface: "bond0", Target: "192.0.2.254", Found: "eth0", Other: "eth1",
		Started: ago(10e9), Seconds: 8.71, Restored: true, Held: true,
		Phases: []control.DrillPhase{
			{Name: "before", ActiveLink: "eth0", LongestSilenceSeconds: 0.021, Sent: 25},
			{Name: "there", ActiveLink: "eth1", MoveSeconds: 0.0031, FirstReplySeconds: 0.0142, LongestSilenceSeconds: 0.041, Sent: 200, Lost: 1},
			{Name: "back", ActiveLink: "eth0", MoveSeconds: 0.0027, FirstReplySeconds: 0.0098, LongestSilenceSeconds: 0.022, Sent: 200},
		},
		Instances: []control.DrillInstance{{Name: "web", Before: "active", After: "active"}, {Name: "db", Before: "backup", After: "backup"}}}
}

func failedDrill() control.DrillReport {
	r := goodDrill()
	r.Held, r.Seconds, r.Phases = false, 2.9, r.Phases[:2]
	r.Phases[1] = control.DrillPhase{Name: "there", ActiveLink: "eth1", MoveSeconds: 0.0031, LongestSilenceSeconds: 2.02, Sent: 101, Lost: 101}
	r.Instances[0] = control.DrillInstance{Name: "web", Before: "active", After: "backup", Transitions: 1}
	r.Reasons = []string{"no reply from 192.0.2.254 over eth1 for 2s", "web went from active to backup"}
	return r
}

// What the drill is asked reaches the daemon; what it finds wanting is on
// stderr, and exit status 1.
func TestDrill(t *testing.T) {
	b := backend()
	b.Report = failedDrill()
	out, errs, code := call(t, daemon(t, b), strings.Fields("drill web --kind bond --target 192.0.2.1 --yes -o json")...)
	var rep control.DrillReport
	if err := json.Unmarshal([]byte(out), &rep); err != nil || len(rep.Phases) != 2 || rep.Held {
		t.Errorf("%v, %s", err, out)
	}
	if want := "vrrpctl: the drill did not hold: no reply from 192.0.2.254 over eth1 for 2s\n"; code != 1 || !strings.HasPrefix(errs, want) {
		t.Errorf("exit status %d, %s", code, errs)
	}
	if d := cmp.Diff([]any{control.DrillRequest{Kind: "bond", Instance: "web", Target: "192.0.2.1"}}, b.Asked()); d != "" {
		t.Error(d)
	}
	// A mistyped instance gets a suggestion.
	if _, errs, code := call(t, daemon(t, drillFails{backend()}), strings.Fields("drill wbe --kind bond --yes")...); code != 1 || !strings.Contains(errs, `did you mean "web"?`) {
		t.Errorf("exit status %d, %s", code, errs)
	}
}

// drillFails is a daemon that does not find the instance to be drilled.
type drillFails struct{ control.Backend }

func (drillFails) Drill(_ context.Context, r control.DrillRequest, _ func(control.DrillProgress)) (*control.DrillReport, error) {
	return nil, &control.StatusError{Code: 404, Message: fmt.Sprintf("there is no instance %q", r.Instance)}
}

// On a terminal it asks first, and no answer is a no.
func TestDrillConfirms(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		code, asked  int
	}{{"yes", "y\n", 0, 1}, {"no", "n\n", 1, 0}, {"nothing", "\n", 1, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			b := backend()
			master, slave := terminal(t)
			cmd := exec.CommandContext(t.Context(), vrrpctl, "--socket", daemon(t, b), "drill", "web", "--kind", "bond")
			var errs strings.Builder
			cmd.Stdin, cmd.Stderr = slave, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := master.WriteString(tc.answer); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tc.code || len(b.Asked()) != tc.asked || !strings.Contains(errs.String(), "under web to another link") {
				t.Errorf("exit status %d, asked %v, %s", code, b.Asked(), errs.String())
			}
		})
	}
}

func TestDrillInterrupted(t *testing.T) {
	b := backend()
	b.Wait = make(chan struct{})
	var errs strings.Builder
	p := startCall(t, daemon(t, b), &errs, "drill", "web", "--kind", "bond", "--yes")
	until(t, "the drill runs", func() bool { return len(b.Asked()) == 1 })
	if code := p.interrupt(t); code != 1 || !strings.Contains(errs.String(), "the daemon puts the active link back") {
		t.Errorf("exit status %d, %s", code, errs.String())
	}
}

func TestNoBonds(t *testing.T) {
	socket := daemon(t, &controltest.Backend{})
	for _, args := range []string{"bond", "bond doctor"} {
		if out, errs, code := call(t, socket, strings.Fields(args)...); out != "no bonds on this host\n" || errs != "" || code != 0 {
			t.Errorf("%s: %d, %q, %q", args, code, out, errs)
		}
	}
	if out, _, code := call(t, socket, "bond", "-o", "json"); out != "[]\n" || code != 0 {
		t.Errorf("JSON: %d, %q", code, out)
	}
	clean := &controltest.Backend{Diagnosis: control.Diagnosis{Bonds: []string{"bond0", "bond1"}}}
	if out, _, code := call(t, daemon(t, clean), "bond", "doctor"); out != "nothing to find fault with: bond0, bond1\n" || code != 0 {
		t.Errorf("clean: %d, %q", code, out)
	}
}

// What is wrong with a bond is to be seen at a glance.
func TestBondAlarms(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*control.BondDetail)
		says string
	}{
		{"no monitor", func(b *control.BondDetail) { b.Monitor = "none" }, "NONE: a failed link is not noticed"},
		{"ARP monitor", func(b *control.BondDetail) {
			b.Monitor, b.ARPInterval, b.ARPTargets, b.ARPValidate, b.FailoverTime = "arp", 200, []string{"192.0.2.1", "192.0.2.2"}, "all", 0.6
		}, "ARP every 200 ms to 192.0.2.1, 192.0.2.2, arp_validate all; a failover takes at most 600ms"},
		{"no active link", func(b *control.BondDetail) { b.ActiveLink = "" }, "none, primary eth0"},
		{"set down", func(b *control.BondDetail) { b.Up = false }, "set down"},
		{"no carrier", func(b *control.BondDetail) { b.Carrier = false }, "no carrier"},
		{"no links", func(b *control.BondDetail) { b.Links = nil }, "no links"},
		{"half duplex", func(b *control.BondDetail) { b.Links[1].Duplex = "half" }, "1000 Mb/s half"},
		{"nobody on the other side", func(b *control.BondDetail) { b.LACP = &control.LACP{Rate: "slow", Ports: 1} }, "nobody answers"},
		{"control characters", func(b *control.BondDetail) { b.Links[1].Driver = "a\x1b[2J" }, "a\ufffd[2J"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list := bonds()
			tc.edit(&list[0])
			got := rendered(t, func(b *bytes.Buffer) error { return RenderBonds(b, list, Options{Now: now}) })
			if !strings.Contains(got, tc.says) {
				t.Errorf("does not say %q:\n%s", tc.says, got)
			}
		})
	}
}
