package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"vrrpd/internal/control"
)

// verdictCell is a verdict as every table shows it.
func verdictCell(c *control.Check) cell {
	switch {
	case c.Verdict == "passing" && c.Warning:
		return cell{"WARNING", yellow}
	case c.Verdict == "passing":
		return cell{"passing", green}
	case c.Verdict == "failing":
		return cell{"FAILING", red}
	}
	return cell{c.Verdict, yellow}
}

// checkGrid is the checks as status shows them.
func checkGrid(checks []control.Check, o Options) *grid {
	g := &grid{opts: o}
	g.head("CHECK", "VERDICT", "FOR", "LAST RUN", "TOOK", "OUTPUT")
	for i := range checks {
		c := &checks[i]
		last, took := "never", "-"
		if !c.LastRun.IsZero() {
			last, took = since(o.Now, c.LastRun)+" ago", seconds(c.DurationSeconds)
		}
		g.row(cell{c.Name, bold}, verdictCell(c), cell{text: since(o.Now, c.Since)}, cell{text: last}, cell{text: took}, cell{text: short(said(c), 60)})
		if c.HeldUntil != nil {
			g.note(yellow, held(c, o))
		}
	}
	return g
}

// said is what the last run found, in a line: how it ended, if not well, and
// what it said.
func said(c *control.Check) string {
	text := c.Summary
	if text == "" {
		text = c.Output
	}
	if c.Result != "" && c.Result != "exit status 0" && (c.Grade == "failed" || c.Grade == "" || text == "") && c.Result != text {
		text = strings.TrimSuffix(c.Result+": "+text, ": ")
	}
	return text
}

func held(c *control.Check, o Options) string {
	return fmt.Sprintf("it passes again; hold_down keeps it failing until %s (%s more)", moment(o.Now, *c.HeldUntil), span(c.HeldUntil.Sub(o.Now)))
}

// RenderChecks writes what `vrrpctl check list` prints.
func RenderChecks(w io.Writer, checks []control.Check, o Options) error {
	if len(checks) == 0 {
		_, err := fmt.Fprintln(w, "there are no checks")
		return err
	}
	g := &grid{opts: o}
	g.head("CHECK", "KIND", "VERDICT", "FOR", "EVERY", "RUNS", "OVERRUNS", "INSTANCES", "LOOKS AT")
	for i := range checks {
		c := &checks[i]
		overruns := cell{text: fmt.Sprint(c.Overruns)}
		if c.Overruns > 0 {
			overruns.color = yellow
		}
		instances := few(c.Instances, 3)
		if instances == "" {
			instances = "-"
		}
		g.row(cell{c.Name, bold}, cell{text: c.Kind}, verdictCell(c), cell{text: since(o.Now, c.Since)}, cell{text: seconds(c.IntervalSeconds)},
			cell{text: fmt.Sprint(c.Runs)}, overruns, cell{text: instances}, cell{text: short(target(c), 60)})
		if text := said(c); c.Verdict != "passing" && text != "" || c.Warning {
			g.note(yellow, "why: "+short(text, 200)) // show has all of it
		}
	}
	return g.write(w)
}

// RenderCheck writes what `vrrpctl check show` prints.
func RenderCheck(w io.Writer, c *control.Check, instances []control.Instance, o Options) error {
	b := &strings.Builder{}
	v := verdictCell(c)
	fmt.Fprintf(b, "%s: %s for %s\n", o.paint(bold, printable(c.Name)), o.paint(v.color, v.text), since(o.Now, c.Since))
	g := &grid{opts: o}
	fact := facter(g)
	if c.HeldUntil != nil {
		fact("held", cell{held(c, o), yellow})
	}
	if c.Verdict == "unknown" {
		counts := c.Initial
		if counts == "" {
			counts = "nothing, but with weight 0 a backup is not promoted"
		}
		fact("counts as", cell{text: counts})
	}
	checkFacts(fact, c)
	fact("every", cell{text: seconds(c.IntervalSeconds)})
	runs := plural(int(c.Runs), "run")
	if c.Overruns > 0 {
		runs += fmt.Sprintf(", %d skipped for lack of time", c.Overruns)
	}
	if !c.LastRun.IsZero() {
		runs += ", the last " + since(o.Now, c.LastRun) + " ago"
	}
	fact("runs", cell{text: runs})
	if c.Unwatched != "" {
		fact("unwatched", cell{"changes are not noticed before the next run: " + c.Unwatched, yellow})
	}
	resultFacts(fact, c)
	for _, name := range c.Instances {
		for i := range instances {
			if in := &instances[i]; in.Name == name {
				fact("instances", cell{text: fmt.Sprintf("%s: %s, priority %s", name, stateCell(in).text, priority(in.Priority))})
			}
		}
	}
	if err := finish(b, g, c, o); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// RenderCheckRun writes what `vrrpctl check run` prints.
func RenderCheckRun(w io.Writer, r *control.CheckRun, o Options) error {
	b := &strings.Builder{}
	c := &r.Check
	v := cell{"did not pass", red}
	switch {
	case c.Grade == "warning":
		v = cell{"passed with a warning", yellow}
	case r.Passed:
		v = cell{"passed", green}
	case c.Grade == "unknown":
		v = cell{"could not tell", yellow}
	}
	fmt.Fprintf(b, "%s: %s\n", o.paint(bold, printable(c.Name)), o.paint(v.color, v.text))
	g := &grid{opts: o}
	fact := facter(g)
	checkFacts(fact, c)
	for _, e := range r.Env {
		fact("environment", cell{text: e})
	}
	resultFacts(fact, c)
	would := c.Verdict
	if c.Warning {
		would += ", with a warning"
	}
	fact("verdict", cell{text: fmt.Sprintf("is %s; with this run it would be %s", r.Before, would)})
	for _, e := range r.Effects {
		fact("effect", cell{text: e.Instance + ": " + effect(e)})
	}
	if err := finish(b, g, c, o); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func effect(e control.CheckEffect) string {
	switch {
	case e.Fault:
		return "fault"
	case e.Hold:
		return "not promoted while it is a backup"
	case e.Weight == 0:
		return "none"
	}
	return fmt.Sprintf("%+d on the priority", e.Weight)
}

// facter adds facts to a grid; several of one name stand below each other.
func facter(g *grid) func(name string, value cell) {
	last := ""
	return func(name string, value cell) {
		shown := name
		if name == last {
			shown = ""
		}
		last = name
		g.row(cell{shown, dim}, value)
	}
}

// checkFacts say what is looked at, and how.
func checkFacts(fact func(string, cell), c *control.Check) {
	what := target(c)
	if c.Kind == "command" {
		what = commandLine(c.Command)
	}
	fact(c.Kind, cell{text: what})
	if c.User != "" {
		fact("user", cell{text: c.User})
	}
	if c.Confinement != "" {
		fact("killed by", cell{text: c.Confinement})
	}
}

// target is what is looked at, the kind left out.
func target(c *control.Check) string { return strings.TrimPrefix(c.Target, c.Kind+" ") }

// commandLine is a command as a shell would take it.
func commandLine(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_") != "" {
			out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// resultFacts say what the last run found.
func resultFacts(fact func(string, cell), c *control.Check) {
	if c.LastRun.IsZero() {
		return
	}
	fact("result", cell{text: strings.TrimSuffix(c.Result+" ("+c.Grade+")", " ()")})
	fact("took", cell{text: time.Duration(c.DurationSeconds * float64(time.Second)).Round(time.Microsecond).String()})
	if c.Weight != nil {
		fact("number", cell{text: strconv.Itoa(*c.Weight)})
	}
	for line := range strings.Lines(c.Output) {
		fact("output", cell{text: strings.TrimRight(line, "\n")})
	}
	if c.PerfDropped > 0 {
		fact("perfdata", cell{plural(c.PerfDropped, "value") + " left out: malformed, or too many", yellow})
	}
}

// finish writes the facts, and the performance data below.
func finish(b *strings.Builder, g *grid, c *control.Check, o Options) error {
	if err := g.write(b); err != nil {
		return err
	}
	if len(c.PerfData) == 0 {
		return nil
	}
	b.WriteByte('\n')
	p := &grid{opts: o}
	p.head("PERFDATA", "VALUE", "UNIT", "WARN", "CRIT", "MIN", "MAX")
	for _, v := range c.PerfData {
		value := "unknown"
		if v.Value != nil {
			value = strconv.FormatFloat(*v.Value, 'g', -1, 64)
		}
		cells := []cell{{text: v.Label}, {text: value}}
		for _, text := range []string{v.Unit, v.Warn, v.Crit, v.Min, v.Max} {
			if text == "" {
				text = "-"
			}
			cells = append(cells, cell{text: text})
		}
		p.row(cells...)
	}
	return p.write(b)
}
