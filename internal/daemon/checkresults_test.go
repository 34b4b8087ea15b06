package daemon

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// result has a check of the script report something.
func (s *script) result(r healthcheck.Result) {
	s.t.Helper()
	c := s.e.checks[r.Check]
	if c == nil {
		s.t.Fatalf("there is no check %s", r.Check)
	}
	s.do(func() { s.e.checkRan(s.now, c.cfg, r) })
}

func (s *script) priority(name string, want uint8) {
	s.t.Helper()
	if got := s.inst(name).router.Priority(); got != want {
		s.t.Errorf("priority %d, want %d", got, want)
	}
}

const nagiosCheck = `
[check.load]
command = ["/usr/lib/nagios/plugins/check_load"]
contract = "nagios"
weight = -20
warning_weight = -5
`

func TestWarningsMoveThePriority(t *testing.T) {
	s := started(t, oneInstance+"track = [\"load\"]\n"+nagiosCheck)
	s.activate("web")
	load := func(v healthcheck.Verdict, warning bool, text string) {
		s.result(healthcheck.Result{Check: "load", Verdict: v, Warning: warning, Detail: "exit status 1", Summary: text})
	}
	load(healthcheck.Passing, true, "LOAD WARNING")
	s.got("eth0#2: vrid 51 advertises 95\ncheck: check load is passing with a warning: LOAD WARNING")
	load(healthcheck.Passing, true, "LOAD WARNING, still")
	s.got("")
	load(healthcheck.Passing, false, "LOAD OK")
	s.got("eth0#2: vrid 51 advertises 100\ncheck: check load is passing without a warning")
	load(healthcheck.Failing, false, "LOAD CRITICAL")
	s.got("eth0#2: vrid 51 advertises 80\ncheck: check load is failing: exit status 1: LOAD CRITICAL")
	load(healthcheck.Passing, true, "LOAD WARNING")
	s.got("eth0#2: vrid 51 advertises 95\ncheck: check load is passing with a warning: LOAD WARNING")

	s = started(t, oneInstance+"track = [{ check = \"load\", warning_weight = -7 }]\n"+nagiosCheck)
	load(healthcheck.Passing, true, "LOAD WARNING")
	s.priority("web", 93)
}

func TestANumberInAFileIsTheWeight(t *testing.T) {
	s := started(t, oneInstance+"track = [\"drain\"]\n[check.drain]\nfile = { path = \"/run/weight\", test = \"number\" }\n")
	s.activate("web") // a number never holds it back
	found := func(v healthcheck.Verdict, n int) {
		s.result(healthcheck.Result{Check: "drain", Verdict: v, Value: n, HasValue: v == healthcheck.Passing, Detail: "no number"})
	}
	found(healthcheck.Passing, -30)
	s.got("eth0#2: vrid 51 advertises 70\ncheck: check drain is passing: the weight is -30")
	found(healthcheck.Passing, -31)
	s.got("eth0#2: vrid 51 advertises 69\ncheck: check drain has changed: the weight is -31")
	if w := s.e.describeCheck(s.e.checks["drain"]).Weight; w == nil || *w != -31 {
		t.Errorf("status has the weight %v", w)
	}
	s.result(healthcheck.Result{Check: "drain", Verdict: healthcheck.Passing, Value: -31, Detail: "no number"}) // below fall
	s.got("")
	if w := s.e.describeCheck(s.e.checks["drain"]).Weight; w == nil || *w != -31 {
		t.Errorf("status has the weight %v, although it counts", w)
	}
	if got := strings.Join(s.e.changes(s.now, s.inst("web")), "\n"); !strings.Contains(got, "check drain finding another number: that on the priority (now -31, passing)") || strings.Contains(got, "fault") {
		t.Errorf("explain: %s", got)
	}
	found(healthcheck.Failing, 0)
	s.got("eth0#2: vrid 51 advertises 100\ncheck: check drain is failing: no number")
	s.state("web", vrrp.Active)
}

func TestInitialVerdict(t *testing.T) {
	toml := func(initial string) string {
		return oneInstance + "track = [\"nginx\"]\n" + aCheck + "initial = \"" + initial + "\"\n"
	}
	s := started(t, toml("failing"))
	s.state("web", vrrp.Fault)
	if got := s.inst("web").router.Faults(); !slices.Equal(got, []string{"check nginx has no verdict yet, which counts as failing"}) {
		t.Errorf("faults: %q", got)
	}
	s.reload(toml("passing")) // no other run of the check
	s.state("web", vrrp.Backup)
	s.activate("web")
	s.ran("nginx", healthcheck.Failing)
	s.state("web", vrrp.Fault)

	s = started(t, oneInstance+"track = [\"nginx\"]\n"+aCheck+"weight = -20\ninitial = \"failing\"\n")
	s.priority("web", 80)
	s.ran("nginx", healthcheck.Passing)
	s.priority("web", 100)
}

// A check of weight 0 that a member tracks with a weight of its own counts for
// the group with that weight, and as a fault of the member that has none.
func TestGroupWeights(t *testing.T) {
	s := started(t, strings.Replace(twoInstances, "[instance.db]", "track = [{ check = \"nginx\", weight = -30 }]\n[instance.db]", 1)+aCheck+aGroup)
	s.ran("nginx", healthcheck.Failing)
	s.priority("web", 70)
	s.priority("db", 70)
}

// What metrics have of performance data stays bounded, whatever the plugin
// says.
func TestPerfSamplesAreBounded(t *testing.T) {
	s := started(t, oneInstance+"track = [\"load\"]\n"+nagiosCheck)
	perf := func(labels ...string) []string {
		r := healthcheck.Result{Check: "load", Verdict: healthcheck.Passing}
		for _, l := range labels {
			r.Perf = append(r.Perf, healthcheck.Perf{Label: l, Value: 1, Unit: "s"})
		}
		s.result(r)
		var got []string
		for _, p := range s.snapshot().Perf {
			got = append(got, p.Label)
		}
		return got
	}
	first := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"}
	if got := perf(append(slices.Clone(first), "q", "a")...); !slices.Equal(got, first) {
		t.Errorf("of 17 and one twice: %q", got)
	}
	if got := perf("q", "r", "b"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("then: %q", got)
	}
	s.reload(oneInstance + "track = [\"load\"]\n" + nagiosCheck + "fall = 2\n")
	if got := perf("q", "r", "b"); !slices.Equal(got, []string{"q", "r", "b"}) {
		t.Errorf("of a check that is started anew: %q", got)
	}
}

func TestCheckEnvironment(t *testing.T) {
	b := newCheckBoard()
	b.set(map[string][]string{"one": {"web"}, "two": {"web", "db"}}, map[string]vrrp.State{"web": vrrp.Backup, "db": vrrp.Fault})
	for _, tt := range []struct{ check, want string }{
		{"one", "VRRPD_INSTANCES=web VRRPD_INSTANCE=web VRRPD_STATE=backup"},
		{"two", "VRRPD_INSTANCES=web db VRRPD_STATE=backup"},
		{"none", "VRRPD_INSTANCES="},
	} {
		if got := strings.Join(b.environ(tt.check), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.check, got, tt.want)
		}
	}
	b.turned("db", vrrp.Active)
	b.turned("gone", vrrp.Active)
	if got := strings.Join(b.environ("two"), " "); got != "VRRPD_INSTANCES=web db VRRPD_STATE=active" {
		t.Error(got)
	}
	if got := strings.Join(b.environAs([]string{"web"}), " "); got != "VRRPD_INSTANCES=web VRRPD_INSTANCE=web VRRPD_STATE=backup" {
		t.Error(got)
	}
}

// The engine keeps the board up to date.
func TestEnginePublishesStates(t *testing.T) {
	s := started(t, oneInstance+"track = [\"nginx\"]\n"+aCheck)
	s.do(s.e.publish)
	env := func() string { return strings.Join(s.e.board.environ("nginx"), " ") }
	if got := env(); got != "VRRPD_INSTANCES=web VRRPD_INSTANCE=web VRRPD_STATE=backup" {
		t.Error(got)
	}
	s.ran("nginx", healthcheck.Passing)
	s.activate("web")
	if got := env(); !strings.HasSuffix(got, "VRRPD_STATE=active") {
		t.Error(got)
	}
}

func TestCheckEffects(t *testing.T) {
	s := started(t, oneInstance+"track = [{ check = \"nginx\", weight = -30 }]\n"+aCheck+`
[instance.owner]
interface = "eth0"
vrid = 52
priority = 255
addresses = ["192.0.2.101/24"]
`)
	for _, tt := range []struct {
		verdict healthcheck.Verdict
		want    []control.CheckEffect
	}{
		{healthcheck.Passing, []control.CheckEffect{{Instance: "web"}, {Instance: "owner"}}},
		{healthcheck.Failing, []control.CheckEffect{{Instance: "web", Weight: -30}, {Instance: "owner", Fault: true}}},
		{healthcheck.Unknown, []control.CheckEffect{{Instance: "web"}, {Instance: "owner", Hold: true}}},
	} {
		c := &checkState{cfg: s.e.checks["nginx"].cfg, result: healthcheck.Result{Verdict: tt.verdict}}
		if diff := cmp.Diff(tt.want, s.e.effects(c, []string{"web", "owner", "gone"})); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.verdict, diff)
		}
	}
}

// A bond that a check asks for is judged although nothing runs over it, and
// wakes the check when its health changes.
func TestBondCheck(t *testing.T) {
	s := started(t, oneInstance+"track = [\"b\"]\n[check.b]\nbond = \"bond9\"\n")
	cfg := *s.e.checks["b"].cfg.Bond
	if out := s.e.bondOutcome(cfg); out.Passed || out.Detail != "bond bond9 was not looked at yet" {
		t.Errorf("at first: %+v", out)
	}
	bond9 := bond0("eth1", "eth1", "eth2")
	bond9.Name = "bond9"
	woken := 0
	ignore := s.e.board.follow("bond9", func() { woken++ })
	s.bonds(bond9)
	if out := s.e.bondOutcome(cfg); !out.Passed || out.Detail != "bond bond9 is healthy" || woken != 1 {
		t.Errorf("healthy: %+v, woken %d times", out, woken)
	}
	s.bonds()
	s.e.judgeBonds(s.now)
	if out := s.e.bondOutcome(cfg); out.Passed || !strings.HasPrefix(out.Detail, "bond bond9 is failed: ") || woken != 2 {
		t.Errorf("gone: %+v, woken %d times", out, woken)
	}
	ignore()
	s.bonds(bond9)
	if woken != 2 || len(s.e.board.wakes) != 0 {
		t.Errorf("woken %d times, %d still follow", woken, len(s.e.board.wakes))
	}
	s.reload(oneInstance)
	if s.e.bondNamed("bond9") != nil {
		t.Error("the bond is still judged when nobody asks for it")
	}
}

// What runs by hand ends with its check, and leaves nothing behind.
func TestOnceOfACheckThatIsDropped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := make(chan struct{}, 10)
	c := newCheckRunner(ctx, newCheckBoard(), nil)
	c.report = func(config.Check, healthcheck.Result) { began <- struct{}{} }
	c.apply([]config.Check{{Name: "x", Command: []string{"/bin/sh", "-c", "test -z \"$VRRPD_INSTANCE\" || sleep 300"}, Interval: time.Hour, Timeout: time.Hour}}, "node1")
	<-began
	done := make(chan error)
	go func() {
		_, ok, err := c.once(ctx, "x", []string{"VRRPD_INSTANCE=web"})
		if !ok {
			t.Error("there is no such check")
		}
		done <- err
	}()
	time.AfterFunc(50*time.Millisecond, func() { c.apply(nil, "node1") })
	if err := <-done; err != errCheckGone && err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, ok, _ := c.once(ctx, "x", nil); ok {
		t.Error("a check that is gone was run")
	}
	c.stop()
}
