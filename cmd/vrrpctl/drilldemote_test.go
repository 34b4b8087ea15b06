package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/control"
)

func goodDemotion() control.DrillReport {
	const ours, theirs, mac = "192.0.2.11", "192.0.2.12", "02:00:00:00:00:12"
	begun := ago(20 * time.Second)
	moment := func(s float64, inst, active, text string) control.DrillMoment {
		return control.DrillMoment{Time: begun.Add(time.Duration((s + 0.501) * 1e9)), Seconds: s, Instance: inst, Active: active, Text: text}
	}
	return control.DrillReport{Kind: "demote", Instance: "web", Interface: "bond0", Target: "192.0.2.100", Found: ours, Other: theirs,
		Started: begun, Seconds: 10.04, Restored: true, Held: true,
		Phases: []control.DrillPhase{
			{Name: "before", ActiveRouter: ours, Sent: 26},
			{Name: "there", ActiveRouter: theirs, MoveSeconds: 0.6101, FirstReplySeconds: 0.6196, LongestSilenceSeconds: 0.0202, Sent: 235},
			{Name: "back", ActiveRouter: ours, MoveSeconds: 3.3124, FirstReplySeconds: 3.3131, LongestSilenceSeconds: 0.0233, Sent: 266},
		},
		Instances: []control.DrillInstance{{Name: "web", Before: "active", After: "active", Transitions: 2,
			Successor: &control.DrillSuccessor{Address: theirs, Priority: 100, Seconds: 0.6101}}},
		Addresses: []control.DrillAddress{{Address: "192.0.2.100", Interface: "bond0", FirstReplySeconds: 0.6196, LongestSilenceSeconds: 0.0233, Sent: 527,
			Answered: []control.DrillAnswers{{MAC: mac, Answers: 371, First: 0.6196, Last: 8.0203}}}},
		Timeline: []control.DrillMoment{
			moment(-0.501, "", ours, "the drill begins: this node (192.0.2.11) is active"),
			moment(-0.0002, "web", "", "handing over: serving until another router is active, for at most 5.00s"),
			moment(0, "", "", "released: priority 0 has left"),
			moment(0.6101, "web", theirs, "192.0.2.12 advertises priority 100"),
			moment(0.6102, "web", "", "active -> backup: demoted by an operator"),
			moment(0.6114, "web", "", "no longer answered for here: 192.0.2.100/24"),
			moment(0.6196, "", "", mac+" answers for 192.0.2.100"),
			moment(1.6116, "web", "", "no longer served here: 192.0.2.100/24"),
			moment(4.7122, "", "", "promoted"),
			moment(8.0246, "web", ours, "backup -> active: priority 150 preempts 192.0.2.12 with priority 100"),
			moment(8.0253, "web", "", "announced here: 192.0.2.100/24"),
		}}
}

// stayingDemotion is of a node that does not preempt.
func stayingDemotion() control.DrillReport {
	r := goodDemotion()
	r.Restored, r.Seconds, r.Stays = false, 6.7, "web does not preempt (preempt = false)"
	r.Warnings = []string{r.Stays + ": after the drill the service stays with whoever took over"}
	r.Phases[2] = control.DrillPhase{Name: "back", ActiveRouter: "192.0.2.12", LongestSilenceSeconds: 0.0204, Sent: 100}
	r.Instances[0].After, r.Instances[0].Transitions = "backup", 1
	r.Addresses[0].Sent, r.Addresses[0].Answered = 361, []control.DrillAnswers{{MAC: "02:00:00:00:00:12", Answers: 305, First: 0.6196, Last: 6.7003}}
	r.Timeline = r.Timeline[:len(r.Timeline)-2]
	return r
}

// loneDemotion is of a node that nobody took over from.
func loneDemotion() control.DrillReport {
	r := goodDemotion()
	r.Held, r.Refused, r.Seconds, r.Other = false, true, 5.5, ""
	r.Reasons = []string{"nobody took over within 5.00s, so the service was resumed"}
	r.Phases = []control.DrillPhase{r.Phases[0], {Name: "there", ActiveRouter: "192.0.2.11", Sent: 250}}
	r.Instances[0] = control.DrillInstance{Name: "web", Before: "active", After: "active"}
	r.Addresses[0] = control.DrillAddress{Address: "192.0.2.100", Interface: "bond0", Sent: 276}
	r.Timeline = append(r.Timeline[:3:3], control.DrillMoment{Time: r.Started.Add(5501 * time.Millisecond), Seconds: 5, Instance: "web", Text: "stays active after all"})
	return r
}

// A demotion is what is rehearsed unless told otherwise; the exit status says
// how it went.
func TestDrillDemote(t *testing.T) {
	broken := goodDemotion()
	broken.Held, broken.Reasons = false, []string{"192.0.2.12 advertises, but nobody answers for 192.0.2.100"}
	for _, tc := range []struct {
		name   string
		report control.DrillReport
		code   int
		out    string
		errs   string
	}{
		{"held", goodDemotion(), 0, "192.0.2.12 (priority 100) took over, ACTIVE (MASTER) again", ""},
		{"stays", stayingDemotion(), 0, "it is BACKUP: web does not preempt", ""},
		{"nobody", loneDemotion(), 4, "nobody took over, it is ACTIVE (MASTER)", "vrrpctl: the drill did not hold: nobody took over within 5.00s, so the service was resumed\n"},
		{"broken", broken, 1, "DID NOT HOLD", "nobody answers for 192.0.2.100\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := backend()
			b.Progress, b.Report = nil, tc.report
			socket := daemon(t, b)
			out, errs, code := call(t, socket, "drill", "web", "--yes")
			if code != tc.code || !strings.Contains(out, tc.out) || !strings.HasSuffix(errs, tc.errs) || tc.errs == "" && errs != "" {
				t.Errorf("exit status %d, %s%s", code, out, errs)
			}
			if d := cmp.Diff([]any{control.DrillRequest{Kind: "demote", Instance: "web"}}, b.Asked()); d != "" {
				t.Error(d)
			}
			for _, format := range []string{"json", "yaml"} {
				out, _, code := call(t, socket, "drill", "web", "--yes", "-o", format)
				var rep control.DrillReport
				if format == "json" {
					if err := json.Unmarshal([]byte(out), &rep); err != nil || len(rep.Timeline) != len(tc.report.Timeline) || rep.Refused != tc.report.Refused {
						t.Errorf("%v: %s", err, out)
					}
				}
				if code != tc.code || !strings.Contains(out, "timeline") {
					t.Errorf("-o %s: exit status %d, %s", format, code, out)
				}
			}
		})
	}
}

// Before it begins the daemon says what it would do, and what would come of it.
func TestDrillDemoteConfirms(t *testing.T) {
	dry := control.DrillRequest{Kind: "demote", Instance: "web", DryRun: true}
	for _, tc := range []struct {
		name, answer string
		report       control.DrillReport
		err          error
		code         int
		asked        []any
		says         string
	}{
		{"yes", "y\n", goodDemotion(), nil, 0, []any{dry, control.DrillRequest{Kind: "demote", Instance: "web"}}, "This hands web over to whichever node takes over and takes it back.\nGo on? [y/N]"},
		{"no", "n\n", goodDemotion(), nil, 1, []any{dry}, "nothing was done"},
		{"warned", "n\n", stayingDemotion(), nil, 1, []any{dry}, "takes over.\nwarning: web does not preempt (preempt = false): after the drill the service stays"},
		{"refused", "", goodDemotion(), &control.StatusError{Code: 409, Message: "web is backup here; 192.0.2.12 (priority 100) is active: drill there"}, 1, []any{dry}, "vrrpctl: web is backup here; 192.0.2.12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := backend()
			b.Progress, b.Report, b.Err = nil, tc.report, tc.err
			master, slave := terminal(t)
			cmd := exec.CommandContext(t.Context(), vrrpctl, "--socket", daemon(t, b), "drill", "web")
			var errs strings.Builder
			cmd.Stdin, cmd.Stderr = slave, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := master.WriteString(tc.answer); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tc.code || !strings.Contains(errs.String(), tc.says) {
				t.Errorf("exit status %d, %s", code, errs.String())
			}
			if d := cmp.Diff(tc.asked, b.Asked()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDrillDemoteInterrupted(t *testing.T) {
	b := backend()
	b.Wait = make(chan struct{})
	var errs strings.Builder
	p := startCall(t, daemon(t, b), &errs, "drill", "web", "--yes")
	until(t, "the drill runs", func() bool { return len(b.Asked()) == 1 })
	if code := p.interrupt(t); code != 1 || !strings.Contains(errs.String(), "the daemon lifts the demotion") {
		t.Errorf("exit status %d, %s", code, errs.String())
	}
}
