package main

import (
	"fmt"

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

// stand is the standing of an instance while one check fails ("": none) and
// all others pass.
func stand(in *config.Instance, failing string) standing {
	tracked := make([]healthcheck.Tracked, 0, len(in.Track))
	for _, t := range in.Track {
		v := healthcheck.Passing
		if t.Check == failing {
			v = healthcheck.Failing
		}
		tracked = append(tracked, healthcheck.Tracked{Name: t.Check, Weight: t.Weight, Verdict: v})
	}
	parts, faults, _ := healthcheck.Assess(tracked)
	return standing{Priority: int(healthcheck.Effective(in.Priority, parts)), Fault: len(faults) > 0}
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
		in := &p.Instances[i]
		row := priorityRow{Instance: in.Name, VRID: in.VRID, Family: familyName(in), Nodes: []standing{stand(in, "")}}
		out = append(out, row)
		for _, t := range in.Track {
			row.Failing, row.Nodes = t.Check, []standing{stand(in, t.Check)}
			out = append(out, row)
		}
	}
	return out
}

// electionTable is the same of two nodes, with who would be active.
func electionTable(both []pair, nodeA, nodeB string) []priorityRow {
	var out []priorityRow
	for _, p := range both {
		row := priorityRow{Instance: p.a.Name, VRID: p.a.VRID, Family: familyName(p.a)}
		calm := [2]standing{stand(p.a, ""), stand(p.b, "")}
		before := calmWinner(p, calm)
		add := func(failing, on string, now [2]standing, winner int) {
			r := row
			r.Failing, r.On, r.Nodes = failing, on, now[:]
			r.Active = verdictText(p, before, winner, now, nodeA, nodeB)
			out = append(out, r)
		}
		add("", "", calm, before)
		for _, t := range p.a.Track {
			now := [2]standing{stand(p.a, t.Check), calm[1]}
			add(t.Check, nodeA, now, winner(p, before, now))
		}
		for _, t := range p.b.Track {
			now := [2]standing{calm[0], stand(p.b, t.Check)}
			add(t.Check, nodeB, now, winner(p, before, now))
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
