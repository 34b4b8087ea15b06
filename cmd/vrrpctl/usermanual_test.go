package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vrrpd/internal/config"
	"vrrpd/internal/control"
)

// testdataEnv reads the files of testdata by their plain names, and nothing
// else of this host.
func testdataEnv() config.Env {
	return config.Env{ReadFile: func(path string) ([]byte, fs.FileMode, error) {
		b, err := os.ReadFile(filepath.Join("testdata", path))
		return b, 0o600, err
	}}
}

func TestConfigCheckGolden(t *testing.T) {
	for name, files := range map[string][]string{
		"check.golden":     {"node1.toml"},
		"check-two.golden": {"node1.toml", "node2.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			r := checkFiles(files, testdataEnv())
			golden(t, name, rendered(t, func(b *bytes.Buffer) error {
				for _, w := range r.Warnings {
					b.WriteString("warning: " + w + "\n")
				}
				return renderCheck(b, r, Options{Now: now})
			}))
		})
	}
}

func TestSteerGolden(t *testing.T) {
	b := backend()
	out, _, _ := call(t, daemon(t, b), "demote", "web")
	golden(t, "demote.golden", out)
	out, errs, code := call(t, daemon(t, backend()), "check", "run", "disk", "--as-instance", "web")
	if code != exitFindings || errs != "" {
		t.Errorf("check run: exit status %d, %s", code, errs)
	}
	golden(t, "check-run.golden", out)
	b = backend()
	b.Outcome = control.Outcome{Results: []control.Result{{Instance: "web", Refused: true, Text: "nobody took over within 5s; resumed (--force demotes all the same)"}}}
	_, errs, code = call(t, daemon(t, b), "demote", "web")
	if code != exitRefused {
		t.Errorf("exit status %d", code)
	}
	golden(t, "demote-refused.golden", errs)
}

func TestBondGolden(t *testing.T) {
	b := backend()
	socket := daemon(t, b)
	for name, args := range map[string]string{"bond.golden": "bond", "bond-doctor.golden": "bond doctor bond0"} {
		out, errs, _ := call(t, socket, strings.Fields(args)...)
		if errs != "" {
			t.Errorf("%s: %s", args, errs)
		}
		golden(t, name, out)
	}
	for name, report := range map[string]control.DrillReport{"drill.golden": goodDrill(), "drill-failed.golden": failedDrill(),
		"drill-demote.golden": goodDemotion(), "drill-stays.golden": stayingDemotion(), "drill-alone.golden": loneDemotion()} {
		b = backend()
		b.Report = report
		out, _, _ := call(t, daemon(t, b), "drill", "web", "--kind", report.Kind, "--yes")
		golden(t, name, out)
	}
}

const manual = "../../docs/vrrpctl.md"

// An example of the manual is a fenced block behind the name of the golden
// file it shows.
var example = regexp.MustCompile("(?s)(<!-- golden: ([a-z0-9.-]+) -->\n```[a-z]*\n)(.*?)(```\n)")

// What the manual shows is what the program prints. It stands behind the tests
// that write golden files, so that one -update does both.
func TestManualShowsGoldenFiles(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	now := example.ReplaceAllStringFunc(string(text), func(block string) string {
		m := example.FindStringSubmatch(block)
		want, err := os.ReadFile(filepath.Join("testdata", m[2]))
		if err != nil {
			t.Error(err)
			return block
		}
		shown++
		return m[1] + string(want) + m[4]
	})
	if shown < 8 {
		t.Errorf("only %d examples", shown)
	}
	if *update {
		if err := os.WriteFile(manual, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(text), now); d != "" {
		t.Errorf("%s (-it +the golden files; go test -update mends it):\n%s", manual, d)
	}
}

// The manual has a section on every command, and on no other.
func TestManualHasEveryCommand(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^## `vrrpctl ([a-z ]+)").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, strings.TrimSpace(m[1]))
	}
	root := newApp(io.Discard, io.Discard, os.Getenv).root()
	for _, c := range root.Commands() {
		names := []string{c.Name()}
		if c.HasSubCommands() {
			if c.Use == c.Name() { // it does nothing by itself
				names = nil
			}
			for _, sub := range c.Commands() {
				names = append(names, c.Name()+" "+sub.Name())
			}
		}
		for _, n := range names {
			if c.Hidden {
				continue
			}
			i := -1
			for j, d := range documented {
				if d == n {
					i = j
				}
			}
			if i < 0 {
				t.Errorf("the manual lacks %q", n)
				continue
			}
			documented = append(documented[:i], documented[i+1:]...)
		}
	}
	for _, d := range documented {
		t.Errorf("there is no command %q", d)
	}
}
