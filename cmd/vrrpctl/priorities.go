package main

import (
	"fmt"
	"slices"
	"strings"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
)

// A standing is what an instance brings to an election.
type standing struct {
	Priority int  `json:"priority"`
	Fault    bool `json:"fault,omitempty"`
}

func (s standing) String() string {
	if s.Fault {
		return "FAULT"
	}
	return fmt.Sprint(s.Priority)
}

// A contender is an instance with all that moves its priority: what it tracks
// itself, what the other members of its group track, and the bond it runs over,
// as far as its name tells.
type contender struct {
	*config.Instance
	tracks []tracked
}

// tracked is a check, or a bond, as a contender follows it.
type tracked struct {
	name       string
	good, bad  int  // added while it passes, and while it fails
	warning    int  // added besides while it passes with a warning
	fault      bool // failing means fault
	changeable bool // it adds any number: the one in a file
	bond       bool // it is a bond, and failing is having lost redundancy
}

// contend gathers what moves the priority of an instance, as the daemon does.
func contend(p *config.Plan, in *config.Instance) contender {
	c := contender{Instance: in}
	members := []*config.Instance{in}
	for _, g := range p.Groups {
		if slices.Contains(g.Instances, in.Name) {
			members = instancesOf(p, g.Instances)
		}
	}
	known := func(name string) bool {
		return slices.ContainsFunc(c.tracks, func(t tracked) bool { return t.name == name })
	}
	for _, m := range members {
		for _, t := range m.Track {
			f := follow(p, t)
			if !known(t.Check) {
				c.tracks = append(c.tracks, f)
			} else if f.fault { // of one member, and so of all
				i := slices.IndexFunc(c.tracks, func(o tracked) bool { return o.name == t.Check })
				c.tracks[i].fault = true
			}
		}
	}
	for _, m := range members {
		for _, b := range p.Bonds {
			name := "bond " + b.Name + " degraded"
			if b.DegradedWeight != 0 && (m.Interface == b.Name || strings.HasPrefix(m.Interface, b.Name+".")) && !known(name) {
				c.tracks = append(c.tracks, tracked{name: name, bad: b.DegradedWeight, bond: true})
			}
		}
	}
	return c
}

// instancesOf are the members of a group, in its order.
func instancesOf(p *config.Plan, names []string) (out []*config.Instance) {
	for _, name := range names {
		if i := slices.IndexFunc(p.Instances, func(in config.Instance) bool { return in.Name == name }); i >= 0 {
			out = append(out, &p.Instances[i])
		}
	}
	return out
}

func follow(p *config.Plan, t config.Track) tracked {
	i := slices.IndexFunc(p.Checks, func(c config.Check) bool { return c.Name == t.Check })
	if i >= 0 && p.Checks[i].Number() {
		return tracked{name: t.Check, changeable: true}
	}
	return tracked{name: t.Check, fault: t.Weight == 0, warning: t.WarningWeight,
		good: healthcheck.Contribution(t.Weight, healthcheck.Passing), bad: healthcheck.Contribution(t.Weight, healthcheck.Failing)}
}

// stand is the standing of a contender while one check fails ("": none) and all
// others pass.
func (c contender) stand(failing string) standing {
	var parts []healthcheck.Part
	fault := false
	for _, t := range c.tracks {
		w := t.good
		if t.name == failing {
			w, fault = t.bad, t.fault
		}
		parts = append(parts, healthcheck.Part{Source: t.name, Weight: w})
	}
	return standing{Priority: int(healthcheck.Effective(c.Priority, parts)), Fault: fault}
}

// A priorityRow is one line of the table of `config check`: who would be
// active while one check fails.
type priorityRow struct {
	Instance string     `json:"instance"`
	VRID     uint8      `json:"vrid"`
	Family   string     `json:"family"`
	Failing  string     `json:"failing,omitempty"` // a check; absent: none
	On       string     `json:"on,omitempty"`      // the node it fails on, of two
	Nodes    []standing `json:"nodes"`
	Active   string     `json:"active,omitempty"` // of two: the node, or why there is none
}

// priorityTable is what becomes of every instance with every check passing,
// and with each one failing.
func priorityTable(p *config.Plan) []priorityRow {
	var out []priorityRow
	for i := range p.Instances {
		in := contend(p, &p.Instances[i])
		row := priorityRow{Instance: in.Name, VRID: in.VRID, Family: familyName(in.Instance), Nodes: []standing{in.stand("")}}
		out = append(out, row)
		for _, t := range in.tracks {
			if t.changeable {
				continue // there is no one priority to show
			}
			row.Failing, row.Nodes = t.name, []standing{in.stand(t.name)}
			out = append(out, row)
		}
	}
	return out
}

// electionTable is the same of two nodes, with who would be active.
func electionTable(both []pair, nodeA, nodeB string) []priorityRow {
	var out []priorityRow
	for _, p := range both {
		row := priorityRow{Instance: p.a.Name, VRID: p.a.VRID, Family: familyName(p.a.Instance)}
		calm := [2]standing{p.a.stand(""), p.b.stand("")}
		before := calmWinner(p, calm)
		add := func(failing, on string, now [2]standing, winner int) {
			r := row
			r.Failing, r.On, r.Nodes = failing, on, now[:]
			r.Active = verdictText(p, before, winner, now, nodeA, nodeB)
			out = append(out, r)
		}
		add("", "", calm, before)
		for node, c := range []contender{p.a, p.b} {
			for _, t := range c.tracks {
				if t.changeable {
					continue
				}
				now := calm
				now[node] = c.stand(t.name)
				add(t.name, []string{nodeA, nodeB}[node], now, winner(p, before, now))
			}
		}
	}
	return out
}

// Who wins, besides 0 and 1 for the two nodes.
const (
	nobody  = -1 // both in fault
	unknown = -2 // equal, and the addresses are not known here
)

// calmWinner is who is active when both start together and nothing fails: the
// higher priority, else the higher address (RFC 9568 section 6.4.3).
func calmWinner(p pair, now [2]standing) int {
	switch {
	case now[0].Priority > now[1].Priority:
		return 0
	case now[0].Priority < now[1].Priority:
		return 1
	case p.a.Unicast == nil || p.b.Unicast == nil || !p.a.Unicast.Source.IsValid() || !p.b.Unicast.Source.IsValid():
		return unknown
	case p.a.Unicast.Source.Compare(p.b.Unicast.Source) > 0:
		return 0
	}
	return 1
}

// winner is who is active after a change, with the one active before it. Who
// is active stays so while the other is not higher, or does not preempt.
func winner(p pair, before int, now [2]standing) int {
	switch {
	case now[0].Fault && now[1].Fault:
		return nobody
	case now[0].Fault:
		return 1
	case now[1].Fault:
		return 0
	case before < 0:
		return calmWinner(p, now)
	}
	other := 1 - before
	if now[other].Priority > now[before].Priority && preempts(p, other) {
		return other
	}
	return before
}

// preempts: the owner always does (RFC 9568 section 6.1).
func preempts(p pair, node int) bool {
	in := p.a
	if node == 1 {
		in = p.b
	}
	return in.Preempt || in.Owner()
}

// verdictText names the winner and, where a higher priority does not win, why.
func verdictText(p pair, before, won int, now [2]standing, nodeA, nodeB string) string {
	names := [2]string{nodeA, nodeB}
	switch won {
	case nobody:
		return "nobody: both in fault"
	case unknown:
		return "the higher address"
	}
	other := 1 - won
	if won == before && !now[other].Fault && now[other].Priority > now[won].Priority {
		return fmt.Sprintf("%s (%s has preempt = false)", names[won], names[other])
	}
	return names[won]
}
