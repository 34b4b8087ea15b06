package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// benches are the benchmarks, in the order they run.
var benches = []struct {
	name string
	run  func(*bench, *stage)
	long bool // not part of the short profile, unless it is asked for
}{
	{"crash", benchCrash, false},
	{"scale", benchScale, false},
	{"cpu", benchCPU, false},
	{"addresses", benchAddresses, false},
	{"busy", benchBusy, false},
	{"scrape", benchScrape, false},
	{"flood", benchFlood, false},
	{"memory", benchMemory, false},
	{"handover", benchHandover, false},
	{"checks", benchChecks, true},
}

// A bench is one run of the program: what was asked for, and what was found.
type bench struct {
	runs    int    // of everything that is repeated
	asked   bool   // the number of runs was
	full    bool   // take longer
	plain   bool   // real-time priority cannot be had here
	only    string // of the parts of crash and scale, those with this in their name
	terms   terms
	ticks   ticks // at the beginning
	rows    []figures.Row
	samples []figures.Sample
}

func main() {
	if err := lab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: this machine does not let us make network namespaces:", err)
		os.Exit(1)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run reads the flags, measures, and writes what was found, also if some of it
// could not be measured.
func run() error {
	selection := flag.String("bench", "", "which benchmarks, separated by commas, or all; empty: those of the profile")
	runs := flag.Int("runs", 0, "how often to repeat what is repeated; 0: as the profile says")
	profile := flag.String("profile", "short", "short (five minutes) or full")
	out := flag.String("o", "bench-results", "directory for the results")
	programs := flag.String("programs", os.Getenv("VRRPD_PROGRAMS"), "directory of vrrpd and vrrpctl")
	unit := flag.String("unit", "examples/vrrpd.service", "vrrpd's unit file: it says what happens after a crash")
	only := flag.String("only", "", "of the parts of crash and scale, those with this in their name, like \"10 ms, idle\"")
	flag.Parse()
	b := &bench{runs: *runs, asked: *runs > 0, full: *profile == "full", only: *only}
	if *profile != "full" && *profile != "short" {
		return fmt.Errorf("profile %q is neither short nor full", *profile)
	}
	if b.runs <= 0 {
		b.runs = map[bool]int{false: 3, true: 20}[b.full]
	}
	if err := b.setTerms(*programs, *unit); err != nil {
		return err
	}
	chosen, err := choose(*selection, b.full)
	if err != nil {
		return err
	}
	if out, err := exec.Command("chrt", "-r", "50", "true").CombinedOutput(); err != nil {
		b.plain = true
		note("nothing is measured with real-time priority (%s); root may have it", strings.TrimSpace(string(out)))
	}
	began := time.Now()
	b.ticks = readTicks()
	var failures []string
	for _, name := range chosen {
		i := slices.Index(names(), name)
		start := time.Now()
		note("%s …", name)
		if err := perform(name, func(s *stage) { benches[i].run(b, s) }); err != nil {
			failures = append(failures, err.Error())
			note("%s: not measured: %v", name, err)
			continue
		}
		note("%s took %v", name, time.Since(start).Round(100*time.Millisecond))
	}
	if err := b.write(*out, *profile, began); err != nil {
		return err
	}
	if len(failures) > 0 {
		return fmt.Errorf("not everything could be measured:\n%s", strings.Join(failures, "\n"))
	}
	return nil
}

// setTerms finds out how vrrpd is run.
func (b *bench) setTerms(programs, unit string) error {
	if programs == "" {
		return fmt.Errorf("-programs does not say where vrrpd is; start this with `make bench`")
	}
	dir, err := filepath.Abs(programs)
	if err != nil {
		return err
	}
	service, err := os.ReadFile(unit)
	if err != nil {
		return err
	}
	b.terms = terms{programs: dir, release: strings.Contains(string(service), "\nExecStopPost=")}
	return nil
}

// fewer is how often to repeat what takes long: less often than anything else
// unless a number was asked for.
func (b *bench) fewer() int {
	if b.asked || b.full {
		return b.runs
	}
	return max(b.runs*2/3, 1)
}

func names() (list []string) {
	for _, m := range benches {
		list = append(list, m.name)
	}
	return list
}

// choose reads a selection.
func choose(selection string, full bool) (chosen []string, err error) {
	if selection == "" {
		for _, m := range benches {
			if full || !m.long {
				chosen = append(chosen, m.name)
			}
		}
		return chosen, nil
	}
	if selection == "all" {
		return names(), nil
	}
	chosen = strings.Split(selection, ",")
	for _, name := range chosen {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("there is no benchmark %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	return chosen, nil
}

// note says what is going on, beside the results.
func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// pair is the values of one measure by contender.
type pair map[*contender][]float64

// add leaves out what is no number: a measure that had nothing to measure.
func (p pair) add(k *contender, values ...float64) {
	for _, v := range values {
		if !math.IsNaN(v) {
			p[k] = append(p[k], v)
		}
	}
}

// sample records single values. panel is the part of the plot they are drawn in.
func (b *bench) sample(name, measure, unit string, p pair, panel string) {
	for _, k := range contenders {
		b.samples = append(b.samples, figures.Sample{Bench: name, Name: measure, Contender: k.name, Unit: unit, Values: p[k], Plot: panel})
	}
}

// row records a line of the table: what of makes of the values.
func (b *bench) row(name, measure, unit string, p pair, of func([]float64) float64, target figures.Target) {
	b.rows = append(b.rows, figures.Row{Bench: name, Measure: measure, Unit: unit,
		Ours: figures.Figure(of(p[vrrpd])), Theirs: figures.Figure(of(p[keepalived])), Target: target})
}

func p95(values []float64) float64 { return figures.Quantile(values, 0.95) }

// short is a duration as people say it.
func short(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d ms", d/time.Millisecond)
}
