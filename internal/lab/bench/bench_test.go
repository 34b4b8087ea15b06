package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// programsVar says where vrrpd is, as for the integration tests.
const programsVar = "VRRPD_PROGRAMS"

func TestMain(m *testing.M) { lab.Main(m, buildPrograms) }

// buildPrograms builds vrrpd before the lab is entered.
func buildPrograms(dir string) error {
	if os.Getenv(programsVar) != "" {
		return nil
	}
	bin := filepath.Join(dir, "bin") + "/"
	build := exec.Command("go", "build", "-o", bin, "vrrpd/cmd/vrrpd", "vrrpd/cmd/vrrpctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.Setenv(programsVar, bin)
}

// TestCrashOnce runs one benchmark as small as it gets, end to end: what it
// measures must be there and possible, whatever the figures are.
func TestCrashOnce(t *testing.T) {
	lab.Require(t, "keepalived", "keepalived")
	lab.New(t) // skips where there are no namespaces
	b := &bench{runs: 1, terms: terms{programs: os.Getenv(programsVar)}}
	err := perform("once", func(s *stage) {
		cond := condition{interval: 100 * time.Millisecond}
		all := b.crashes(s, []*cluster{newCluster(s, b.terms, 1)}, cond)
		seen := map[*contender]int{}
		for _, o := range all {
			seen[o.kind]++
			// A backup that hears nothing can take over no earlier.
			if len(o.overhead) != 1 || o.overhead[0] < 0 || len(o.announced) != 1 || o.announced[0] < 0 {
				t.Errorf("%s: %+v", o.kind.name, o.outcome)
			}
			if o.outage < 200 {
				t.Errorf("%s: the client was without an answer for %v ms", o.kind.name, o.outage)
			}
		}
		if seen[vrrpd] != 1 || seen[keepalived] != 1 {
			t.Errorf("runs: %v", seen)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChoose(t *testing.T) {
	if short, err := choose("", false); err != nil || len(short) != len(benches)-1 || slices.Contains(short, "checks") {
		t.Errorf("the short profile is %q, %v", short, err)
	}
	if all, err := choose("all", false); err != nil || len(all) != len(benches) {
		t.Errorf("all are %q, %v", all, err)
	}
	if all, err := choose("", true); err != nil || len(all) != len(benches) {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := choose("crash,nonsense", false); err == nil {
		t.Error("nonsense was taken for a benchmark")
	}
}
