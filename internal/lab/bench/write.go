package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"vrrpd/internal/lab/bench/figures"
)

// results is what the JSON file holds.
type results struct {
	Began    time.Time        `json:"began"`
	Seconds  float64          `json:"seconds"`
	Profile  string           `json:"profile"`
	Runs     int              `json:"runs"`
	Machine  machine          `json:"machine"`
	Versions []string         `json:"versions"`
	Rows     []figures.Row    `json:"rows"`
	Samples  []figures.Sample `json:"samples"`
}

// machine is what the figures depend on.
type machine struct {
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	// Stolen is the percentage of the wanted processor time that others had, if
	// the machine is virtual and shares the processors of another.
	Stolen float64 `json:"stolen"`
}

// write prints the table and writes table, JSON and plot into the directory.
func (b *bench) write(dir, profile string, began time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	r := results{Began: began, Seconds: time.Since(began).Seconds(), Profile: profile, Runs: b.runs,
		Machine:  machine{Processors: runtime.NumCPU(), Kernel: strings.TrimSpace(string(release)), Stolen: b.ticks.since()},
		Versions: []string{version(filepath.Join(b.terms.programs, "vrrpd")), version("keepalived")},
		Rows:     b.rows, Samples: b.samples}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var table strings.Builder
	if err := figures.WriteTable(&table, b.rows); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "table.md"), []byte(table.String()), 0o644); err != nil {
		return err
	}
	var plot strings.Builder
	if err := figures.WritePlot(&plot, b.samples); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "plot.svg"), []byte(plot.String()), 0o644); err != nil {
		return err
	}
	fmt.Printf("%s, %d processors (%.1f %% stolen), Linux %s, %d runs\n\n%s", strings.Join(r.Versions, " and "),
		r.Machine.Processors, r.Machine.Stolen, r.Machine.Kernel, b.runs, &table)
	return nil
}

// version is the first line a program says about its version.
func version(program string) string {
	out, err := exec.Command(program, "--version").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s (%v)", filepath.Base(program), err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
