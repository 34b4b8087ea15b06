package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"vrrpd/internal/control"
)

func rendered(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRender(t *testing.T) {
	one := func(i int) *control.Status {
		s := night()
		s.Instances = s.Instances[i : i+1]
		s.Groups, s.Bonds, s.Interfaces = nil, nil, nil
		s.Checks = s.Checks[:2]
		return s
	}
	o := Options{Now: now}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"status.golden":       func(b *bytes.Buffer) error { return Render(b, night(), o) },
		"status-color.golden": func(b *bytes.Buffer) error { return Render(b, night(), Options{Now: now, Color: true}) },
		"status-empty.golden": func(b *bytes.Buffer) error {
			return Render(b, &control.Status{Node: "node1", Version: "0.1.0"}, o)
		},
		"status-web.golden":   func(b *bytes.Buffer) error { return RenderInstance(b, one(0), o) },
		"status-db.golden":    func(b *bytes.Buffer) error { return RenderInstance(b, one(1), o) },
		"status-mail6.golden": func(b *bytes.Buffer) error { return RenderInstance(b, one(2), o) },
		"check-list.golden":   func(b *bytes.Buffer) error { return RenderChecks(b, night().Checks, o) },
		"check-show.golden":   func(b *bytes.Buffer) error { return RenderCheck(b, &night().Checks[1], night().Instances, o) },
		"explain.golden":      func(b *bytes.Buffer) error { return RenderExplanation(b, explanation(), o) },
		"events.golden": func(b *bytes.Buffer) error {
			for _, e := range journal() {
				b.WriteString(eventLine(e, o) + "\n")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, rendered(t, write)) })
	}
}

// Colours must not move a column.
func TestColorsKeepColumns(t *testing.T) {
	plain := rendered(t, func(b *bytes.Buffer) error { return Render(b, night(), Options{Now: now}) })
	color := rendered(t, func(b *bytes.Buffer) error { return Render(b, night(), Options{Now: now, Color: true}) })
	if color == plain {
		t.Error("no colours")
	}
	if d := cmp.Diff(plain, regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(color, "")); d != "" {
		t.Error(d)
	}
}

// What is wrong is said, whether or not the daemon says it.
func TestAlarms(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*control.Instance)
		says string
	}{
		{"an address is missing", func(in *control.Instance) { in.Installed = in.Installed[1:] }, "WARNING  web: active without 192.0.2.100/24"},
		{"two are active", func(in *control.Instance) { in.DualActive = true }, "WARNING  web: another router is active too"},
		{"handing over", func(in *control.Instance) { in.HandingOver = true }, "handing over"},
		{"nobody known", func(in *control.Instance) { in.State, in.ActiveRouter = "backup", nil }, "nobody known"},
		{"limited priority", func(in *control.Instance) {
			in.Priority = control.Priority{Configured: 10, Effective: 1, Parts: []control.Part{{Source: "check:nginx", Weight: -20}}}
		}, "1 = 10 -20 check:nginx (limited)"},
		{"control characters", func(in *control.Instance) { in.Cause = "a\x1b[2Jb\nc" }, "why: a\ufffd[2Jb c"},
		{"hard", func(in *control.Instance) { in.Demoted, in.Hard = true, true }, "demoted (hard: never takes over); `vrrpctl promote web` lifts it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := night()
			tc.edit(&s.Instances[0])
			got := rendered(t, func(b *bytes.Buffer) error { return Render(b, s, Options{Now: now}) })
			if !strings.Contains(got, tc.says) {
				t.Errorf("does not say %q:\n%s", tc.says, got)
			}
		})
	}
}

// A warning that the daemon gives both of the whole and of the instance is
// shown once.
func TestWarningOnce(t *testing.T) {
	s := night()
	s.Warnings = []string{"web: " + s.Instances[0].Warnings[0]}
	got := rendered(t, func(b *bytes.Buffer) error { return Render(b, s, Options{Now: now}) })
	if n := strings.Count(got, "protocol 112"); n != 1 {
		t.Errorf("shown %d times:\n%s", n, got)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                            "0s",
		0:                                       "0ms",
		310 * time.Microsecond:                  "0.31ms",
		12 * time.Millisecond:                   "12ms",
		3610 * time.Millisecond:                 "3.6s",
		12*time.Second + 900*time.Millisecond:   "12s",
		3*time.Minute + 5*time.Second:           "3m05s",
		3*time.Hour + 5*time.Minute:             "3h05m",
		49*time.Hour + 59*time.Minute:           "2d01h",
		time.Minute - time.Nanosecond:           "59s",
		24*time.Hour - time.Nanosecond:          "23h59m",
		10000*time.Hour + 1*time.Hour + 59e9*60: "416d17h",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %q, want %q", d, got, want)
		}
	}
}

// YAML holds what the JSON does, under the same names, in the same order.
func TestYAML(t *testing.T) {
	s := night()
	s.Checks[0].Output = "a\x00b\x7f\u0085\u2028\"'é: {[\ntrue"
	s.Checks[1].Output = "true"
	s.Instances[1].Cause = "0x10"
	s.Node = ""
	text := rendered(t, func(b *bytes.Buffer) error { return writeYAML(b, s) })
	var fromYAML any
	if err := yaml.Unmarshal([]byte(text), &fromYAML); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(back, &a) != nil || json.Unmarshal(j, &b) != nil {
		t.Fatal("not JSON")
	}
	if d := cmp.Diff(b, a); d != "" {
		t.Error(d)
	}
	if strings.Index(text, "node:") > strings.Index(text, "version:") || strings.Index(text, "vrid:") > strings.Index(text, "cause:") {
		t.Errorf("order lost:\n%s", text)
	}
}

func TestFrame(t *testing.T) {
	if got := frame("a\nb\n", 0); got != "\x1b[Ha\x1b[K\r\nb\x1b[K\r\n\x1b[J" {
		t.Errorf("%q", got)
	}
	got := frame(strings.Repeat("x\n", 50), 10)
	if n := strings.Count(got, "\n"); n != 9 || !strings.Contains(got, "… 42 more lines") {
		t.Errorf("%d lines: %q", n, got)
	}
}

// A plugin that says much in one line does not fill the list with it.
func TestRenderChecksIsAList(t *testing.T) {
	c := control.Check{Name: "loud", Verdict: "failing", Result: "exit status 2", Grade: "failed", Summary: strings.Repeat("x", 4096)}
	text := rendered(t, func(b *bytes.Buffer) error { return RenderChecks(b, []control.Check{c}, Options{Now: now}) })
	if len(text) > 500 || !strings.Contains(text, "why: exit status 2: xxx") || !strings.Contains(text, "…") {
		t.Errorf("%d bytes: %.600s", len(text), text)
	}
}

// What a check may be in besides.
func TestRenderCheck(t *testing.T) {
	until := now.Add(time.Minute)
	c := control.Check{Name: "drain", Kind: "file", Target: "file /run/weight", Verdict: "failing", Since: ago(time.Minute), HeldUntil: &until,
		Grade: "ok", Result: "-7", Output: "-7", Weight: new(-7), LastRun: ago(time.Second), Unwatched: "too many watches", PerfDropped: 3}
	text := rendered(t, func(b *bytes.Buffer) error { return RenderCheck(b, &c, nil, Options{Now: now}) })
	for _, want := range []string{"held", "hold_down keeps it failing until", "1m00s more", "number     -7", "too many watches", "3 values left out"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	c = control.Check{Name: "new", Verdict: "unknown", Initial: "failing"}
	if text := rendered(t, func(b *bytes.Buffer) error { return RenderCheck(b, &c, nil, Options{Now: now}) }); !strings.Contains(text, "counts as  failing") {
		t.Error(text)
	}
	for e, want := range map[control.CheckEffect]string{{Fault: true}: "fault", {Hold: true}: "not promoted while it is a backup", {}: "none", {Weight: 5}: "+5 on the priority"} {
		if got := effect(e); got != want {
			t.Errorf("%+v: %s, want %s", e, got, want)
		}
	}
	if got := commandLine([]string{"/bin/a", "b c", "", "d'e", "-w=10%"}); got != `/bin/a 'b c' '' 'd'\''e' -w=10%` {
		t.Error(got)
	}
}
