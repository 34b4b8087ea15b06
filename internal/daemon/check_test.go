package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// Before its first verdict, a check of weight 0 keeps a backup from becoming
// active; afterwards its failure is a fault.
func TestCheckHoldsThenFaults(t *testing.T) {
	s := started(t, oneInstance+"track = [\"nginx\"]\n"+aCheck)
	s.fire()
	s.got("web: not becoming active: check nginx has no verdict yet")
	s.wait(time.Minute)
	s.ran("nginx", healthcheck.Passing)
	s.got(`
		eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24
		check: check nginx is passing
		web: backup -> active (timeout)`)
	s.ran("nginx", healthcheck.Passing)
	s.got("")
	s.ran("nginx", healthcheck.Failing)
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		check: check nginx is failing: exit status 2: no answer
		web: active -> fault (fault)`)
	if got := s.inst("web").router.Faults(); !slices.Equal(got, []string{"check nginx is failing"}) {
		t.Errorf("faults: %q", got)
	}
}

// An active router is not dropped by a check that a reload adds.
func TestCheckAddedToAnActive(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.reload(oneInstance + "track = [\"nginx\"]\n" + aCheck)
	s.state("web", vrrp.Active)
	s.got("hold web 192.0.2.100/24\nsaved")
}

// Case 79: weights move the priority, within 1..254; before its first verdict a
// weighted check adds nothing. Case 80: an owner's never moves.
func TestCase79Weights(t *testing.T) {
	three := ""
	for _, n := range []string{"a", "b", "c"} {
		three += "\n[check." + n + "]\ncommand = [\"/bin/true\"]\nweight = -20\n"
	}
	s := started(t, oneInstance+"track = [\"a\", \"b\", \"c\"]\n"+three)
	s.activate("web")
	for i, n := range []string{"a", "b", "c"} {
		if got := s.inst("web").router.Priority(); got != uint8(100-20*i) {
			t.Errorf("after %d checks: %d", i, got)
		}
		s.ran(n, healthcheck.Failing)
		s.got(fmt.Sprintf("eth0#2: vrid 51 advertises %d\ncheck: check %s is failing: exit status 2: no answer", 80-20*i, n))
	}
	parts := s.e.describe(s.now, s.inst("web")).Priority
	if parts.Effective != 40 || parts.Configured != 100 || len(parts.Parts) != 3 || parts.Parts[2].Source != "check:c" || parts.Parts[2].Weight != -20 {
		t.Errorf("status: %+v", parts)
	}

	plus := started(t, oneInstance+"track = [{check=\"nginx\",weight=30}]\n"+aCheck)
	if got := plus.inst("web").router.Priority(); got != 100 {
		t.Errorf("without a verdict: %d", got)
	}
	plus.ran("nginx", healthcheck.Passing)
	if got := plus.inst("web").router.Priority(); got != 130 {
		t.Errorf("passing: %d", got)
	}
	plus.ran("nginx", healthcheck.Failing)
	if got := plus.inst("web").router.Priority(); got != 100 {
		t.Errorf("failing: %d", got)
	}

	owner := started(t, oneInstance+"priority = 255\ntrack = [{check=\"nginx\",weight=-30}]\n"+aCheck)
	owner.ran("nginx", healthcheck.Failing)
	if got := owner.inst("web").router.Priority(); got != 255 {
		t.Errorf("owner: %d", got)
	}
}

// A check that a reload leaves alone keeps its verdict, whatever weight it has
// now; one that is changed has none.
func TestCheckOverReload(t *testing.T) {
	toml := func(check, weight string) string {
		return oneInstance + "track = [\"nginx\"]\n" + aCheck + check + "weight = " + weight + "\n"
	}
	s := started(t, toml("", "-20"))
	s.ran("nginx", healthcheck.Failing)
	s.reload(toml("", "-30"))
	if got := s.inst("web").router.Priority(); got != 70 {
		t.Errorf("another weight: %d", got)
	}
	was := s.e.checks["nginx"].cfg
	s.reload(toml("interval = \"7s\"\n", "-30"))
	if got := s.inst("web").router.Priority(); got != 100 {
		t.Errorf("another interval: %d", got)
	}
	s.ranAs(was, healthcheck.Failing, true) // the last run of the one before
	if got := s.inst("web").router.Priority(); got != 100 || s.e.checks["nginx"].result.Verdict != healthcheck.Unknown {
		t.Errorf("the check before the reload still counts: %d", got)
	}
	s.ran("nginx", healthcheck.Failing)
	if got := s.inst("web").router.Priority(); got != 70 {
		t.Errorf("failing again: %d", got)
	}
	s.reload("[node]\nname = \"other\"\n" + toml("interval = \"7s\"\n", "-30"))
	if got := s.inst("web").router.Priority(); got != 100 {
		t.Errorf("on a node of another name, which the check is told: %d", got)
	}
	s.reload(oneInstance)
	s.ranAs(was, healthcheck.Failing, true)
	if got := s.inst("web").router.Priority(); got != 100 || len(s.e.checks) != 0 {
		t.Errorf("removed: %d", got)
	}
}

// The runner starts and stops processes for what differs, and no others.
func TestCheckRunner(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make(chan string, 1000)
	c := newCheckRunner(ctx, newCheckBoard(), func(cfg config.Check, r healthcheck.Result) {
		if r.Runs == 1 {
			results <- cfg.Name + ": " + strings.TrimSpace(r.Output)
		}
	})
	defer c.stop()
	echo := func(name, text string) config.Check {
		return config.Check{Name: name, Command: []string{"/bin/sh", "-c", "echo " + text + " $VRRPD_CHECK $VRRPD_NODE"}, Interval: time.Hour, Timeout: 10 * time.Second}
	}
	first := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			select {
			case r := <-results:
				got = append(got, r)
			case <-time.After(20 * time.Second):
				t.Fatalf("ran: %q, want %q", got, want)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("ran: %q, want %q", got, want)
		}
		select {
		case r := <-results:
			t.Fatalf("and %q", r)
		default:
		}
	}
	changes := func(got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("changes %q, want %q", got, want)
		}
	}
	changes(c.apply([]config.Check{echo("a", "1"), echo("b", "1"), echo("c", "1")}, "node1"))
	first("a: 1 a node1", "b: 1 b node1", "c: 1 c node1")
	heavier := echo("c", "1")
	heavier.Weight = -20
	changes(c.apply([]config.Check{echo("b", "2"), heavier, echo("d", "1")}, "node1"), "check a removed", "check b started anew", "check d started anew")
	first("b: 2 b node1", "d: 1 d node1")
	changes(c.apply([]config.Check{heavier}, "node2"), "check b removed", "check d removed", "check c started anew")
	first("c: 1 c node2")
}
