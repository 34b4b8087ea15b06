package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vrrpd/internal/control"
	"vrrpd/internal/daemon"
)

// scrapeTimeout bounds how long a scrape waits for the daemon's loop.
const scrapeTimeout = 5 * time.Second

// Metrics are the daemon's. The histograms collect all the time; the rest is
// read from a snapshot whenever somebody asks.
type Metrics struct {
	takeover prometheus.Histogram
	lag      prometheus.Histogram
	build    *prometheus.GaugeVec
}

// New returns the metrics of a daemon of the given version.
func New(version string) *Metrics {
	m := &Metrics{
		takeover: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vrrpd_takeover_seconds",
			Help:    "Time from the timer that made an instance active to the last first announcement of its addresses.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "vrrpd_loop_lag_seconds",
			Help:    "How much later than its timer a turn of the loop began, or an advertisement left (the latest one since the turn before).",
			Buckets: prometheus.ExponentialBuckets(0.00001, 2, 18)}),
		build: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "vrrpd_build_info", Help: "Always 1; the labels tell what is running."}, []string{"version"}),
	}
	m.build.WithLabelValues(version).Set(1)
	return m
}

// Takeover observes one takeover.
func (m *Metrics) Takeover(d time.Duration) { m.takeover.Observe(d.Seconds()) }

// Lag observes one turn of the loop.
func (m *Metrics) Lag(d time.Duration) { m.lag.Observe(d.Seconds()) }

// Handler serves the metrics in the Prometheus formats.
func (m *Metrics) Handler(snapshot func(context.Context) (*daemon.Snapshot, error)) http.Handler {
	return promhttp.HandlerFor(m.registry(snapshot), promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError, MaxRequestsInFlight: 4})
}

func (m *Metrics) registry(snapshot func(context.Context) (*daemon.Snapshot, error)) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(m.takeover, m.lag, m.build, &collector{snapshot})
	return r
}

// A collector turns a snapshot into metrics.
type collector struct {
	snapshot func(context.Context) (*daemon.Snapshot, error)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("vrrpd_"+name, help, labels, nil)
}

var (
	instanceState    = desc("instance_state", "1 for the state the instance is in.", "instance", "vrid", "interface", "state")
	instancePriority = desc("instance_priority", "Priority of the instance, configured and effective.", "instance", "kind")
	transitions      = desc("instance_transitions_total", "Transitions by state and cause.", "instance", "to", "cause")
	demoted          = desc("instance_demoted", "1 while an operator has demoted the instance.", "instance")
	dualActive       = desc("instance_dual_active", "1 while another router stays active beside this one.", "instance")
	condition        = desc("instance_condition", "1 while a condition of this name is in force.", "instance", "condition")
	conflicts        = desc("address_conflicts_total", "Claims of other hosts to addresses that the instance holds.", "instance")
	installed        = desc("instance_addresses_installed", "Virtual addresses of the instance that the kernel has.", "instance")
	sent             = desc("adverts_sent_total", "Advertisements sent.", "instance")
	received         = desc("adverts_received_total", "Valid advertisements received.", "instance")
	advertErrors     = desc("advert_errors_total", "Advertisements dropped, or not sent, by reason.", "instance", "reason")
	interfaceErrors  = desc("interface_packet_errors_total", "VRRP packets that belong to no instance, by reason.", "interface", "reason")
	interfaceUp      = desc("interface_up", "1 while the interface is up with a carrier.", "interface")
	bondLinkUp       = desc("bond_link_up", "1 while the bond can use the link.", "bond", "link")
	bondActiveLink   = desc("bond_active_link", "1 for the link that carries the bond's traffic.", "bond", "link")
	bondHealth       = desc("bond_health", "1 for the health of the bond that decides.", "bond", "health")
	bondFailures     = desc("bond_link_failures_total", "Failures of the link that the bond's monitor saw since it was attached.", "bond", "link")
	checkUp          = desc("check_up", "1 while the check passes.", "check")
	checkDuration    = desc("check_duration_seconds", "How long the last run of the check took.", "check")
	checkRuns        = desc("check_runs_total", "Runs of the check.", "check")
	checkOverruns    = desc("check_overruns_total", "Runs of the check that were skipped, because the one before took too long.", "check")
	checkWarning     = desc("check_warning", "1 while the check passes with a warning.", "check")
	checkPerf        = desc("check_perfdata", "Performance data of the last run of the check, as the plugin gave it.", "check", "label", "unit")
	losses           = desc("command_processes_lost_total", "Processes that ran the commands of checks and notifications, and had to be replaced because they ended or hung.")
	uptime           = desc("uptime_seconds", "How long the daemon has been running.")
)

var states = []string{"initialize", "backup", "active", "fault"}

// Describe tells nothing beforehand: which instances there are changes with
// the configuration.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the daemon once.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	s, err := c.snapshot(ctx)
	if err != nil {
		out <- prometheus.NewInvalidMetric(uptime, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(uptime, s.Status.UptimeSeconds)
	for i := range s.Status.Instances {
		instance(&s.Status.Instances[i], gauge, counter)
	}
	for _, t := range s.Transitions {
		counter(transitions, t.Count, t.Instance, t.To, t.Cause)
	}
	for _, i := range s.Status.Interfaces {
		gauge(interfaceUp, truth(i.Up), i.Name)
		for reason, n := range i.Errors {
			counter(interfaceErrors, n, i.Name, reason)
		}
	}
	for i := range s.Status.Bonds {
		bond(&s.Status.Bonds[i], gauge, counter)
	}
	for _, k := range s.Status.Checks {
		gauge(checkUp, truth(k.Passing), k.Name)
		gauge(checkDuration, k.DurationSeconds, k.Name)
		counter(checkRuns, k.Runs, k.Name)
		counter(checkOverruns, k.Overruns, k.Name)
		gauge(checkWarning, truth(k.Warning), k.Name)
	}
	counter(losses, s.Losses)
	for _, p := range s.Perf {
		gauge(checkPerf, p.Value, p.Check, p.Label, p.Unit)
	}
}

func instance(i *control.Instance, gauge func(*prometheus.Desc, float64, ...string), counter func(*prometheus.Desc, uint64, ...string)) {
	for _, s := range states {
		gauge(instanceState, truth(i.State == s), i.Name, strconv.Itoa(int(i.VRID)), i.Interface, s)
	}
	gauge(instancePriority, float64(i.Priority.Configured), i.Name, "configured")
	gauge(instancePriority, float64(i.Priority.Effective), i.Name, "effective")
	gauge(demoted, truth(i.Demoted), i.Name)
	gauge(dualActive, truth(i.DualActive), i.Name)
	for _, c := range i.Conditions {
		gauge(condition, 1, i.Name, c.Name)
	}
	counter(conflicts, i.Conflicts, i.Name)
	gauge(installed, float64(len(i.Installed)), i.Name)
	counter(sent, i.Adverts.Sent, i.Name)
	counter(received, i.Adverts.Received, i.Name)
	for reason, n := range i.Adverts.Errors {
		counter(advertErrors, n, i.Name, reason)
	}
}

func bond(b *control.Bond, gauge func(*prometheus.Desc, float64, ...string), counter func(*prometheus.Desc, uint64, ...string)) {
	for _, h := range []string{"healthy", "degraded", "failed"} {
		gauge(bondHealth, truth(b.Health == h), b.Name, h)
	}
	for _, l := range b.Links {
		gauge(bondLinkUp, truth(l.Up), b.Name, l.Name)
		gauge(bondActiveLink, truth(l.Active), b.Name, l.Name)
		counter(bondFailures, l.Failures, b.Name, l.Name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
