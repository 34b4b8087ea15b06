package main

import (
	"fmt"

	"vrrpd/healthcheck"
)

// idle finds the weights that change nothing: whatever else fails on either
// node, as long as neither is in fault, the other node does not take over when
// the check fails.
func (p pair) idle(nodeA, nodeB string) []string {
	var out []string
	for node, c := range []contender{p.a, p.b} {
		here, there := nodeA, nodeB
		if node == 1 {
			here, there = nodeB, nodeA
		}
		peer := []contender{p.b, p.a}[node]
		for i, t := range c.tracks {
			if t.changeable || c.Owner() {
				continue // config.Load speaks of owners
			}
			for _, e := range t.weighed() {
				if !preempts(p, 1-node) {
					out = append(out, fmt.Sprintf("when %s on %s, %s does not take over for its weight: it has preempt = false", e.what, here, there))
					continue
				}
				if p.moves(c, i, e.to, peer) {
					continue
				}
				out = append(out, fmt.Sprintf("when %s on %s, %s never takes over, whatever else fails: the weight %d is too small, or the priorities %d and %d are too far apart",
					e.what, here, there, e.weight, c.Priority, peer.Priority))
			}
		}
	}
	return out
}

// A move is what a check, or a bond, does to a priority when it does not just
// pass.
type move struct {
	what   string // "check nginx fails"
	weight int    // as configured
	to     int    // what it adds then
}

// weighed are those that have a weight.
func (t tracked) weighed() (out []move) {
	if t.good != t.bad && !t.fault {
		out = append(out, move{what(t) + " fails", t.good + t.bad, t.bad})
	}
	if t.warning != 0 {
		out = append(out, move{what(t) + " warns", t.warning, t.good + t.warning})
	}
	return out
}

// what names a check, or a bond that is named with its state.
func what(t tracked) string {
	if t.bond {
		return t.name
	}
	return "check " + t.name
}

// moves reports whether there is a case in which the peer takes over because
// one check of c adds something else: c may be active while it passes, and is
// lower when it does not.
func (p pair) moves(c contender, check, to int, peer contender) bool {
	theirs, any := peer.sums(-1)
	if any {
		return true
	}
	ours, any := c.sums(check)
	if any {
		return true
	}
	t := c.tracks[check]
	for mine := range ours {
		passing, then := effective(c, mine+t.good), effective(c, mine+to)
		for sum := range theirs {
			if their := effective(peer, sum); passing >= their && their > then {
				return true
			}
		}
	}
	return false
}

// sums are all that the tracked checks of a contender but one can add to its
// priority together; any: that can be anything.
func (c contender) sums(but int) (sums map[int]bool, any bool) {
	sums = map[int]bool{0: true}
	for i, t := range c.tracks {
		if t.changeable {
			return nil, true
		}
		if i == but || t.good == t.bad && t.warning == 0 {
			continue
		}
		more := map[int]bool{}
		for s := range sums {
			more[s+t.good], more[s+t.good+t.warning] = true, true
			if !t.fault {
				more[s+t.bad] = true
			}
		}
		sums = more
	}
	return sums, false
}

func effective(c contender, sum int) int {
	return int(healthcheck.Effective(c.Priority, []healthcheck.Part{{Weight: sum}}))
}
