package web

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/control"
)

// A page is what the template shows: words, made up here, so that the template
// holds no logic.
type page struct {
	CSS   template.CSS
	JS    template.JS
	Title string
	AsOf  string

	Trouble string // why there is no status; the rest is empty then

	Node, Version, Uptime, Tally string
	Warnings                     []string
	Instances                    []instanceRow
	Groups                       []groupRow
	Checks                       []checkRow
	Bonds                        []bondRow
	Interfaces                   []interfaceRow
}

// A badge is a state: a word in a colour.
type badge struct{ Class, Text string }

type instanceRow struct {
	Name, For, Priority, ActiveRouter, Here, Router string
	State                                           badge
	Amiss                                           bool // the addresses here are not those that should be
	Addresses                                       []string
	Notes                                           []string
}

type groupRow struct {
	Name, Instances string
	State           badge
}

type checkRow struct {
	Name, For, Last, Took, Output string
	Verdict                       badge
}

type bondRow struct {
	Name, Mode, ActiveLink, Links string
	Health                        badge
	Reasons                       []string
}

type interfaceRow struct {
	Name, Errors string
	State        badge
}

// newPage describes a status, or the error there was in its place.
func newPage(s *control.Status, err error, now time.Time) *page {
	p := &page{CSS: template.CSS(pageCSS), JS: template.JS(pageJS), Title: "vrrpd", AsOf: now.Format("2006-01-02 15:04:05 MST")}
	if err != nil {
		p.Trouble = line(err.Error(), 300)
		p.Title = "vrrpd: no status"
		return p
	}
	p.Node, p.Version, p.Uptime = s.Node, s.Version, span(time.Duration(s.UptimeSeconds*float64(time.Second)))
	p.Tally = tally(s.Instances)
	p.Title = s.Node + ": " + p.Tally
	p.Warnings = warnings(s)
	for i := range s.Instances {
		p.Instances = append(p.Instances, describe(&s.Instances[i], now))
	}
	for _, g := range s.Groups {
		p.Groups = append(p.Groups, groupRow{Name: g.Name, Instances: strings.Join(g.Instances, ", "), State: stateBadge(g.State)})
	}
	for i := range s.Checks {
		p.Checks = append(p.Checks, describeCheck(&s.Checks[i], now))
	}
	for i := range s.Bonds {
		p.Bonds = append(p.Bonds, describeBond(&s.Bonds[i]))
	}
	for i := range s.Interfaces {
		p.Interfaces = append(p.Interfaces, describeInterface(&s.Interfaces[i]))
	}
	return p
}

// tally counts instances by state, the worst last.
func tally(instances []control.Instance) string {
	var parts []string
	for _, state := range []string{"active", "backup", "initialize", "fault"} {
		n := 0
		for i := range instances {
			if instances[i].State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "no instances")
}

// warnings are the daemon's, the instances', and what the figures say.
func warnings(s *control.Status) []string {
	var out []string
	for _, w := range s.Warnings {
		out = append(out, line(w, 400))
	}
	for i := range s.Instances {
		in := &s.Instances[i]
		texts := slices.Clone(in.Warnings)
		if in.DualActive && len(texts) == 0 {
			texts = append(texts, "another router is active too")
		}
		if missing := missing(in); len(missing) > 0 {
			texts = append(texts, "active without "+few(missing, 4))
		}
		for _, t := range texts {
			out = append(out, line(in.Name+": "+t, 400))
		}
	}
	return out
}

// missing are the addresses that an active instance should have here.
func missing(in *control.Instance) []string {
	if in.State != "active" {
		return nil
	}
	return slices.DeleteFunc(slices.Concat(in.Addresses, in.Extra), func(a string) bool { return slices.Contains(in.Installed, a) })
}

func stateBadge(state string) badge {
	switch state {
	case "active":
		return badge{"good", "ACTIVE (MASTER)"}
	case "backup":
		return badge{"calm", "BACKUP"}
	case "fault":
		return badge{"bad", "FAULT"}
	}
	return badge{"doubt", strings.ToUpper(state)}
}

func describe(in *control.Instance, now time.Time) instanceRow {
	all := slices.Concat(in.Addresses, in.Extra)
	row := instanceRow{
		Name: in.Name, State: stateBadge(in.State), For: since(now, in.Since), Priority: priority(in.Priority), ActiveRouter: activeRouter(in),
		Here:   fmt.Sprintf("%d of %d", len(in.Installed), len(all)),
		Router: fmt.Sprintf("VRID %d, VRRPv%d, %s on %s", in.VRID, in.Version, in.Family, in.Interface),
		Amiss:  len(missing(in)) > 0 || in.State != "active" && len(in.Installed) > 0 && !in.HandingOver,
	}
	row.Addresses = all
	if len(all) > maxAddresses {
		row.Addresses = append(slices.Clone(all[:maxAddresses]), fmt.Sprintf("and %d more", len(all)-maxAddresses))
	}
	if in.Cause != "" {
		row.Notes = append(row.Notes, "why: "+line(in.Cause, 300))
	}
	for _, r := range in.Reasons {
		row.Notes = append(row.Notes, "held: "+line(r, 300))
	}
	if in.Demoted {
		row.Notes = append(row.Notes, demotion(in, now))
	}
	if in.HandingOver {
		row.Notes = append(row.Notes, "handing over: serves until the successor does")
	}
	return row
}

// maxAddresses is how many addresses of an instance are shown.
const maxAddresses = 6

func demotion(in *control.Instance, now time.Time) string {
	text := "demoted"
	if in.Hard {
		text += " (hard: never takes over)"
	}
	if in.DemotedUntil != nil {
		text += ", for " + span(in.DemotedUntil.Sub(now)) + " more"
	}
	return text + "; vrrpctl promote " + in.Name + " lifts it"
}

// priority is "80 = 100 −20 check:nginx".
func priority(p control.Priority) string {
	text := fmt.Sprint(p.Effective)
	if len(p.Parts) == 0 && p.Effective == p.Configured {
		return text
	}
	text += fmt.Sprintf(" = %d", p.Configured)
	for _, part := range p.Parts {
		text += fmt.Sprintf(" %+d %s", part.Weight, part.Source)
	}
	return text
}

// activeRouter is who serves the addresses.
func activeRouter(in *control.Instance) string {
	switch r := in.ActiveRouter; {
	case in.State == "active":
		return "this node"
	case r == nil:
		return "nobody known"
	default:
		return fmt.Sprintf("%s (%d)", r.Address, r.Priority)
	}
}

func describeCheck(c *control.Check, now time.Time) checkRow {
	row := checkRow{Name: c.Name, For: since(now, c.Since), Last: "never", Took: "–", Output: c.Output}
	switch c.Verdict {
	case "passing":
		row.Verdict = badge{"good", "passing"}
	case "failing":
		row.Verdict = badge{"bad", "FAILING"}
	default:
		row.Verdict = badge{"doubt", cmp.Or(c.Verdict, "unknown")}
	}
	if !c.LastRun.IsZero() {
		row.Last, row.Took = since(now, c.LastRun)+" ago", span(time.Duration(c.DurationSeconds*float64(time.Second)))
	}
	if c.Result != "" && c.Result != "exit status 0" {
		row.Output = strings.TrimSuffix(c.Result+": "+c.Output, ": ")
	}
	row.Output = line(row.Output, 200)
	return row
}

func describeBond(b *control.Bond) bondRow {
	row := bondRow{Name: b.Name, Mode: b.Mode, ActiveLink: cmp.Or(b.ActiveLink, "–"), Reasons: b.Reasons}
	switch b.Health {
	case "healthy":
		row.Health = badge{"good", b.Health}
	case "degraded":
		row.Health = badge{"doubt", "DEGRADED"}
	default:
		row.Health = badge{"bad", strings.ToUpper(b.Health)}
	}
	var links []string
	for _, l := range b.Links {
		text := l.Name + " DOWN"
		if l.Up {
			text = l.Name + " up"
		}
		if l.SpeedMbps > 0 {
			text += fmt.Sprintf(", %d Mb/s", l.SpeedMbps)
		}
		if l.Failures > 0 {
			text += fmt.Sprintf(", failures: %d", l.Failures)
		}
		links = append(links, text)
	}
	row.Links = strings.Join(links, "; ")
	return row
}

func describeInterface(i *control.Interface) interfaceRow {
	row := interfaceRow{Name: i.Name, State: badge{"good", "up"}}
	switch {
	case i.Index == 0:
		row.State = badge{"bad", "ABSENT"}
	case !i.Up:
		row.State = badge{"bad", "DOWN"}
	}
	var errors []string
	for reason, n := range i.Errors {
		errors = append(errors, fmt.Sprintf("%s: %d", reason, n))
	}
	slices.Sort(errors)
	row.Errors = cmp.Or(strings.Join(errors, ", "), "none")
	return row
}
