package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/control"
)

// Render writes the one screen of `vrrpctl status`: what is wrong first, then
// every instance with the reason for its state, checks and bonds.
func Render(w io.Writer, s *control.Status, o Options) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s  vrrpd %s  up %s%s\n", o.paint(bold, printable(s.Node)), printable(s.Version), seconds(s.UptimeSeconds), tally(s.Instances))
	if s.Realtime != "" {
		fmt.Fprintln(b, o.paint(dim, printable(s.Realtime)))
	}
	warnings(b, s, o)
	g := &grid{opts: o}
	g.head("INSTANCE", "STATE", "FOR", "PRIORITY", "ACTIVE ROUTER", "HERE", "ADDRESSES")
	for i := range s.Instances {
		instanceRow(g, &s.Instances[i], o)
	}
	b.WriteByte('\n')
	if len(s.Instances) == 0 {
		b.WriteString("no instances\n")
	} else if err := g.write(b); err != nil {
		return err
	}
	if err := lower(b, s, o); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lower writes groups, checks, bonds and interfaces in trouble.
func lower(b *strings.Builder, s *control.Status, o Options) error {
	for _, g := range []*grid{groupGrid(s.Groups, o), checkGrid(s.Checks, o), bondGrid(s.Bonds, o), interfaceGrid(s.Interfaces, o)} {
		if len(g.rows) < 2 {
			continue
		}
		b.WriteByte('\n')
		if err := g.write(b); err != nil {
			return err
		}
	}
	return nil
}

// tally counts instances by state, behind a column's gap.
func tally(instances []control.Instance) string {
	var parts []string
	for _, state := range []string{"active", "backup", "fault", "initialize"} {
		n := 0
		for _, in := range instances {
			if in.State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "  " + strings.Join(parts, ", ")
}

// warnings writes everything an operator should know now.
func warnings(b *strings.Builder, s *control.Status, o Options) {
	lines := slices.Clone(s.Warnings)
	for i := range s.Instances {
		for _, text := range instanceWarnings(&s.Instances[i]) {
			if line := s.Instances[i].Name + ": " + text; !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) > 0 {
		b.WriteByte('\n')
	}
	for _, l := range lines {
		fmt.Fprintln(b, o.paint(red, "WARNING")+"  "+printable(l))
	}
}

// instanceWarnings are the daemon's own and what its figures say.
func instanceWarnings(in *control.Instance) []string {
	lines := slices.Clone(in.Warnings)
	if in.DualActive {
		lines = append(lines, "another router is active too")
	}
	if missing := missingAddresses(in); len(missing) > 0 {
		lines = append(lines, "active without "+strings.Join(missing, ", "))
	}
	return lines
}

// missingAddresses are those that an active instance should have here.
func missingAddresses(in *control.Instance) []string {
	var missing []string
	if in.State != "active" {
		return nil
	}
	for _, a := range slices.Concat(in.Addresses, in.Extra) {
		if !slices.Contains(in.Installed, a) {
			missing = append(missing, a)
		}
	}
	return missing
}

func stateCell(in *control.Instance) cell {
	c := cell{stateWord(in.State), plain}
	switch in.State {
	case "active":
		c.color = green
	case "fault":
		c.color = red
	case "initialize":
		c.color = yellow
	}
	return c
}

func instanceRow(g *grid, in *control.Instance, o Options) {
	here := cell{text: fmt.Sprintf("%d/%d", len(in.Installed), len(in.Addresses)+len(in.Extra))}
	if len(missingAddresses(in)) > 0 || in.State != "active" && len(in.Installed) > 0 && !in.HandingOver {
		here.color = red
	}
	g.row(cell{in.Name, bold}, stateCell(in), cell{text: since(o.Now, in.Since)}, cell{text: priority(in.Priority)},
		cell{text: activeRouter(in)}, here, cell{text: few(slices.Concat(in.Addresses, in.Extra), 2)})
	if in.Cause != "" {
		g.note(dim, "why: "+in.Cause)
	}
	for _, r := range in.Reasons {
		g.note(yellow, "held: "+r)
	}
	for _, n := range instanceNotes(in, o.Now) {
		g.note(yellow, n)
	}
}

// instanceNotes are the things that pass by themselves or wait for somebody.
func instanceNotes(in *control.Instance, now time.Time) []string {
	var notes []string
	if in.Demoted {
		n := "demoted"
		if in.Hard {
			n += " (hard: never takes over)"
		}
		if in.DemotedUntil != nil {
			n += fmt.Sprintf(" until %s (%s more)", moment(now, *in.DemotedUntil), span(in.DemotedUntil.Sub(now)))
		}
		notes = append(notes, n+"; `vrrpctl promote "+in.Name+"` lifts it")
	}
	if in.HandingOver {
		notes = append(notes, "handing over: serves until the successor does")
	}
	return notes
}

// priority is "80 = 100 -20 check:nginx".
func priority(p control.Priority) string {
	if len(p.Parts) == 0 && p.Effective == p.Configured {
		return fmt.Sprint(p.Effective)
	}
	s := fmt.Sprintf("%d = %d", p.Effective, p.Configured)
	sum := p.Configured
	for _, part := range p.Parts {
		sum += part.Weight
		if part.Weight == 0 {
			s += " " + part.Source
			continue
		}
		s += fmt.Sprintf(" %+d %s", part.Weight, part.Source)
	}
	if sum != p.Effective && len(p.Parts) > 0 && p.Effective == min(max(sum, 1), 254) {
		s += " (limited)"
	}
	return s
}

// activeRouter is who serves the addresses.
func activeRouter(in *control.Instance) string {
	r := in.ActiveRouter
	switch {
	case r == nil && in.State == "active", r != nil && in.Source != "" && r.Address == in.Source:
		return "this node"
	case r == nil:
		return "nobody known"
	case in.Source == "" && in.State == "active":
		return "this node"
	}
	return fmt.Sprintf("%s (%d)", r.Address, r.Priority)
}

// few lists the first of many.
func few(items []string, most int) string {
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

func groupGrid(groups []control.Group, o Options) *grid {
	g := &grid{opts: o}
	g.head("GROUP", "STATE", "INSTANCES")
	for _, gr := range groups {
		g.row(cell{gr.Name, bold}, stateCell(&control.Instance{State: gr.State}), cell{text: strings.Join(gr.Instances, ", ")})
	}
	return g
}

// short is the beginning of a text, on one line.
func short(s string, most int) string {
	r := []rune(printable(s))
	if len(r) <= most {
		return string(r)
	}
	return string(r[:most-1]) + "…"
}

func bondGrid(bonds []control.Bond, o Options) *grid {
	g := &grid{opts: o}
	g.head("BOND", "HEALTH", "MODE", "ACTIVE LINK", "LINKS")
	for _, bd := range bonds {
		health := healthCell(bd.Health)
		var links []string
		for _, l := range bd.Links {
			links = append(links, linkText(l))
		}
		g.row(cell{bd.Name, bold}, health, cell{text: bd.Mode}, cell{text: bd.ActiveLink}, cell{text: strings.Join(links, ", ")})
		for _, r := range bd.Reasons {
			g.note(yellow, "why: "+r)
		}
	}
	return g
}

// linkText is "eth0 DOWN (2 failures)" or "eth1 up 1000 Mb/s".
func linkText(l control.Link) string {
	s := l.Name + " DOWN"
	if l.Up {
		s = l.Name + " up"
		if l.SpeedMbps > 0 {
			s += fmt.Sprintf(" %d Mb/s", l.SpeedMbps)
		}
	}
	if l.Failures > 0 {
		s += " (" + plural(int(l.Failures), "failure") + ")"
	}
	return s
}

// interfaceGrid shows interfaces only where something is amiss.
func interfaceGrid(interfaces []control.Interface, o Options) *grid {
	g := &grid{opts: o}
	g.head("INTERFACE", "STATE", "PACKETS OF NO INSTANCE")
	for _, f := range interfaces {
		state := cell{"up", plain}
		switch {
		case f.Index == 0:
			state = cell{"ABSENT", red}
		case !f.Up:
			state = cell{"DOWN", red}
		case len(f.Errors) == 0:
			continue
		}
		g.row(cell{f.Name, bold}, state, cell{text: counts(f.Errors)})
	}
	return g
}

// counts is "checksum 1, ttl 3", in the order of the names.
func counts(m map[string]uint64) string {
	var parts []string
	for reason, n := range m {
		parts = append(parts, fmt.Sprintf("%s %d", reason, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
