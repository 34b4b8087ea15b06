package main

import (
	"fmt"
	"io"
	"strings"

	"vrrpd/internal/control"
)

// RenderDemoteDrill writes the report of the drill of a demotion.
func RenderDemoteDrill(w io.Writer, r *control.DrillReport, o Options) error {
	b := &strings.Builder{}
	way := "nobody took over from " + printable(r.Found)
	if r.Other != "" {
		way = printable(r.Found) + " to " + printable(r.Other)
		if r.Restored {
			way += " and back"
		}
	}
	names := make([]string, 0, len(r.Addresses))
	for _, a := range r.Addresses {
		names = append(names, printable(a.Address))
	}
	fmt.Fprintf(b, "%s: %s, asking for %s, %s\n", o.paint(bold, printable(r.Instance)), way, strings.Join(names, ", "), seconds(r.Seconds))
	for _, text := range r.Warnings {
		b.WriteString(o.paint(yellow, "warning: "+printable(text)) + "\n")
	}
	for _, g := range []*grid{takeoverGrid(r, o), answerGrid(r, o), timelineGrid(r, o)} {
		b.WriteByte('\n')
		if err := g.write(b); err != nil {
			return err
		}
	}
	b.WriteByte('\n')
	for _, in := range r.Instances {
		text, c := fate(r, &in)
		fmt.Fprintf(b, "%s: %s\n", printable(in.Name), o.paint(c, text))
	}
	b.WriteString(verdictLine(r, o))
	_, err := io.WriteString(w, b.String())
	return err
}

// fate is what became of an instance.
func fate(r *control.DrillReport, in *control.DrillInstance) (string, color) {
	over := "nobody took over"
	if s := in.Successor; s != nil {
		over = fmt.Sprintf("%s (priority %d) took over", printable(s.Address), s.Priority)
	}
	switch {
	case len(r.Phases) < 2:
		return "nothing was moved", plain
	case in.After == in.Before && in.Successor != nil:
		return over + ", " + stateWord(in.After) + " again", green
	case in.After == in.Before:
		return over + ", it is " + stateWord(in.After), yellow
	case in.After == "":
		return over + ", it is gone", red
	case r.Stays != "":
		return over + ", it is " + stateWord(in.After) + ": " + printable(r.Stays), yellow
	}
	return over + ", it is " + stateWord(in.After), red
}

// takeoverGrid has a line for each phase.
func takeoverGrid(r *control.DrillReport, o Options) *grid {
	g := &grid{opts: o}
	g.head("PHASE", "ACTIVE", "ADVERTISED", "FIRST REPLY", "LONGEST SILENCE", "LOST")
	for n, p := range r.Phases {
		advertised, first := "-", "-"
		if n > 0 && (p.Name != "back" || r.Stays == "") {
			advertised, first = never(p.MoveSeconds), never(p.FirstReplySeconds)
		}
		g.row(cell{p.Name, bold}, cell{text: printable(p.ActiveRouter)}, cell{text: advertised}, cell{text: first},
			cell{text: seconds(p.LongestSilenceSeconds)}, lostOf(p.Lost, p.Sent))
	}
	return g
}

// never is a time, or that it never came.
func never(s float64) string {
	if s == 0 {
		return "NEVER"
	}
	return seconds(s)
}

// answerGrid has a line for each address that was asked for.
func answerGrid(r *control.DrillReport, o Options) *grid {
	g := &grid{opts: o}
	g.head("ADDRESS", "ON", "LONGEST SILENCE", "LOST", "ANSWERED BY OTHERS")
	for _, a := range r.Addresses {
		hosts := make([]string, 0, len(a.Answered))
		for _, h := range a.Answered {
			mac := h.MAC
			if mac == "" {
				mac = "a host without a name"
			}
			hosts = append(hosts, fmt.Sprintf("%s (%d times, %s to %s)", printable(mac), h.Answers, after(h.First), after(h.Last)))
		}
		by := strings.Join(hosts, ", ")
		if by == "" {
			by = "-"
		}
		g.row(cell{printable(a.Address), bold}, cell{text: printable(a.Interface)}, cell{text: seconds(a.LongestSilenceSeconds)}, lostOf(a.Lost, a.Sent), cell{text: by})
	}
	return g
}

// after is a moment, counted from the release.
func after(s float64) string { return fmt.Sprintf("%+.3fs", s) }

// timelineGrid has a line for each moment.
func timelineGrid(r *control.DrillReport, o Options) *grid {
	g := &grid{opts: o}
	g.head("TIME", "INSTANCE", "ACTIVE", "WHAT")
	for _, m := range r.Timeline {
		g.row(cell{text: after(m.Seconds)}, cell{text: printable(m.Instance)}, cell{text: printable(m.Active)}, cell{text: printable(m.Text)})
	}
	return g
}
