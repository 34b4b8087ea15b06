package metrics

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"vrrpd/internal/control"
	"vrrpd/internal/daemon"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md")

// full is a daemon with one of everything.
func full(context.Context) (*daemon.Snapshot, error) {
	return &daemon.Snapshot{
		Status: control.Status{UptimeSeconds: 12.5,
			Instances: []control.Instance{{Name: "web", VRID: 51, Interface: "bond0", State: "active", Demoted: true, DualActive: true, Conflicts: 3, Conditions: []control.Condition{{Name: "address_conflict"}},
				Priority:  control.Priority{Configured: 100, Effective: 80},
				Installed: []string{"192.0.2.100/24", "192.0.2.101/24"},
				Adverts:   control.Adverts{Sent: 10, Received: 5, Errors: map[string]uint64{"checksum": 3}}}},
			Checks:     []control.Check{{Name: "nginx", Passing: true, DurationSeconds: 0.25, Runs: 7}},
			Interfaces: []control.Interface{{Name: "bond0", Index: 2, Up: true, Errors: map[string]uint64{"vrid": 4}}},
			Bonds: []control.Bond{{Name: "bond0", Health: "degraded", ActiveLink: "eth1",
				Links: []control.Link{{Name: "eth0", Failures: 2}, {Name: "eth1", Up: true, Active: true}}}},
		},
		Perf:        []daemon.PerfSample{{Check: "nginx", Label: "time", Unit: "s", Value: 0.25}},
		Transitions: []daemon.Transitions{{Instance: "web", To: "active", Cause: "timeout", Count: 2}},
	}, nil
}

func scrape(t *testing.T, snapshot func(context.Context) (*daemon.Snapshot, error)) (status int, text string) {
	t.Helper()
	m := New("0.1.0")
	m.Takeover(300 * time.Microsecond)
	m.Lag(20 * time.Microsecond)
	w := httptest.NewRecorder()
	m.Handler(snapshot).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Code, w.Body.String()
}

func TestValues(t *testing.T) {
	_, text := scrape(t, full)
	for _, want := range []string{
		`vrrpd_instance_state{instance="web",interface="bond0",state="active",vrid="51"} 1`,
		`vrrpd_instance_state{instance="web",interface="bond0",state="backup",vrid="51"} 0`,
		`vrrpd_instance_state{instance="web",interface="bond0",state="fault",vrid="51"} 0`,
		`vrrpd_instance_state{instance="web",interface="bond0",state="initialize",vrid="51"} 0`,
		`vrrpd_instance_priority{instance="web",kind="configured"} 100`,
		`vrrpd_instance_priority{instance="web",kind="effective"} 80`,
		`vrrpd_instance_transitions_total{cause="timeout",instance="web",to="active"} 2`,
		`vrrpd_instance_demoted{instance="web"} 1`,
		`vrrpd_instance_dual_active{instance="web"} 1`,
		`vrrpd_instance_condition{condition="address_conflict",instance="web"} 1`,
		`vrrpd_address_conflicts_total{instance="web"} 3`,
		`vrrpd_instance_addresses_installed{instance="web"} 2`,
		`vrrpd_adverts_sent_total{instance="web"} 10`,
		`vrrpd_adverts_received_total{instance="web"} 5`,
		`vrrpd_advert_errors_total{instance="web",reason="checksum"} 3`,
		`vrrpd_interface_packet_errors_total{interface="bond0",reason="vrid"} 4`,
		`vrrpd_interface_up{interface="bond0"} 1`,
		`vrrpd_check_up{check="nginx"} 1`,
		`vrrpd_check_duration_seconds{check="nginx"} 0.25`,
		`vrrpd_check_runs_total{check="nginx"} 7`,
		`vrrpd_bond_health{bond="bond0",health="healthy"} 0`,
		`vrrpd_bond_health{bond="bond0",health="degraded"} 1`,
		`vrrpd_bond_link_up{bond="bond0",link="eth0"} 0`,
		`vrrpd_bond_active_link{bond="bond0",link="eth1"} 1`,
		`vrrpd_bond_link_failures_total{bond="bond0",link="eth0"} 2`,
		`vrrpd_takeover_seconds_count 1`,
		`vrrpd_takeover_seconds_sum 0.0003`,
		`vrrpd_loop_lag_seconds_count 1`,
		`vrrpd_uptime_seconds 12.5`,
		`vrrpd_build_info{version="0.1.0"} 1`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}

func TestLint(t *testing.T) {
	_, text := scrape(t, full)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// A takeover and a late turn of the loop fall into the middle of their
// histograms, not all into the first or the last bucket.
func TestBuckets(t *testing.T) {
	families, err := New("0.1.0").registry(full).Gather()
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string][2]float64{"vrrpd_takeover_seconds": {0.0001, 1}, "vrrpd_loop_lag_seconds": {0.00001, 1}}
	for _, f := range families {
		want, ok := limits[f.GetName()]
		if !ok {
			continue
		}
		delete(limits, f.GetName())
		buckets := f.GetMetric()[0].GetHistogram().GetBucket()
		if first, last := buckets[0].GetUpperBound(), buckets[len(buckets)-1].GetUpperBound(); first > want[0]*1.01 || last < want[1] {
			t.Errorf("%s: from %v to %v", f.GetName(), first, last)
		}
	}
	if len(limits) != 0 {
		t.Errorf("missing: %v", limits)
	}
}

// A daemon that does not answer is an error of the scrape, not a gap in it.
func TestNoAnswer(t *testing.T) {
	status, text := scrape(t, func(context.Context) (*daemon.Snapshot, error) { return nil, errors.New("the daemon is stopping") })
	if status != http.StatusInternalServerError || !strings.Contains(text, "the daemon is stopping") {
		t.Errorf("%d: %s", status, text)
	}
}

// Names, types, labels and words stand in docs/metrics.md.
func TestDocumented(t *testing.T) {
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	families, err := New("0.1.0").registry(full).Gather() // sorted by name
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	const file, begin, end = "../../docs/metrics.md", "<!-- metrics: begin -->\n", "<!-- metrics: end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	inside, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no marked table", file)
	}
	if inside == table.String() {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+table.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s does not say what there is; run: go test ./internal/metrics -update\nwant\n%s", file, table.String())
}
