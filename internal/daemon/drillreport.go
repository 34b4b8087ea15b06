package daemon

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// drillTime is a time that was measured, for a person.
func drillTime(d time.Duration) string { return vrrp.Seconds(max(0, d)) }

// finish judges what was seen and writes it down.
func (d *demoteDrill) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drillPatience)
	defer cancel()
	if now, err := d.world.Standings(ctx); err == nil {
		d.now = now
	} else if !errors.Is(err, errStopped) {
		d.fail("the instances cannot be looked at: %v", err)
	}
	_ = d.world.Listen(nil) // of a loop that is over nothing is heard
	d.hear()
	end := time.Now()
	d.judge()
	d.fillInstances()
	d.fillPhases(end)
	d.fillAddresses(end)
	d.fillTimeline()
	r := &d.report
	r.Restored = d.allServe()
	if !d.released.IsZero() && !r.Restored && len(r.Reasons) == 0 && r.Stays == "" {
		d.fail("the service has not returned to this node")
	}
	r.Held = len(r.Reasons) == 0
}

// judge looks for two hosts that answered for one address.
func (d *demoteDrill) judge() {
	if d.released.IsZero() {
		return
	}
	for _, rec := range d.records {
		hosts := rec.answerers(d.released)
		for i, a := range hosts {
			for _, b := range hosts[i+1:] {
				if a.Last > b.First+drillOverlap.Seconds() {
					d.fail("two hosts answered for %s: %s and %s", rec.addr, hostName(a.MAC), hostName(b.MAC))
				}
			}
		}
		last, answered := rec.lastAnswer()
		if !answered {
			continue
		}
		if back, ok := rec.firstHere(d.released); ok && last.At.Sub(back) > drillOverlap {
			d.fail("%s went on answering for %s after it had returned to this node", hostName(last.MAC.String()), rec.addr)
		}
		first, answered := rec.firstAnswer(d.released)
		if left, ok := rec.firstLeft(); answered && (!ok || left.Sub(first.At) > drillOverlap) && last.At.Sub(first.At) > drillOverlap {
			d.fail("%s stayed on this node while %s answered for it", rec.addr, hostName(first.MAC.String()))
		}
	}
}

func (d *demoteDrill) fillInstances() {
	for _, b := range d.before {
		in := control.DrillInstance{Name: b.name, Before: b.state.String()}
		if i := slices.IndexFunc(d.now, func(s memberStanding) bool { return s.name == b.name }); i >= 0 {
			in.After = d.now[i].state.String()
			in.Transitions = d.now[i].transitions
			if in.Transitions >= b.transitions { // else it was made anew
				in.Transitions -= b.transitions
			}
		}
		if s, ok := d.successors[b.name]; ok {
			in.Successor = &control.DrillSuccessor{Address: s.peer.String(), Priority: int(s.priority), Seconds: d.since(s.at)}
		}
		d.report.Instances = append(d.report.Instances, in)
	}
}

// since counts from the release, to the microsecond: nothing is known better.
func (d *demoteDrill) since(t time.Time) float64 {
	zero := d.released
	if zero.IsZero() {
		zero = d.report.Started
	}
	return micro(t.Sub(zero).Seconds())
}

func micro(s float64) float64 { return math.Round(s*1e6) / 1e6 }

// fillPhases has a line for each part: before, there, and back if that was
// looked at.
func (d *demoteDrill) fillPhases(end time.Time) {
	r := &d.report
	phases := []control.DrillPhase{{Name: "before", ActiveRouter: r.Found}}
	begins := []time.Time{r.Started}
	if !d.released.IsZero() {
		p := control.DrillPhase{Name: "there", ActiveRouter: r.Other}
		if r.Other == "" {
			p.ActiveRouter = r.Found
		}
		for _, s := range d.successors {
			p.MoveSeconds = max(p.MoveSeconds, d.since(s.at))
		}
		p.FirstReplySeconds = d.slowest(d.released, func(rec *record) (time.Time, bool) {
			a, ok := rec.firstAnswer(d.released)
			return a.At, ok
		})
		phases, begins = append(phases, p), append(begins, d.released)
	}
	if !d.lifted.IsZero() {
		p := control.DrillPhase{Name: "back", ActiveRouter: r.Other}
		if d.allServe() {
			p.ActiveRouter = r.Found
		}
		for _, m := range d.moments {
			if m.what == changed && m.to == vrrp.Active && m.at.After(d.lifted) {
				p.MoveSeconds = max(p.MoveSeconds, micro(m.at.Sub(d.lifted).Seconds()))
			}
		}
		p.FirstReplySeconds = d.slowest(d.lifted, func(rec *record) (time.Time, bool) { return rec.firstHere(d.lifted) })
		phases, begins = append(phases, p), append(begins, d.lifted)
	}
	for _, rec := range d.records {
		for n, t := range rec.count(begins, end) {
			phases[n].Sent += t.sent
			phases[n].Lost += t.lost
			phases[n].LongestSilenceSeconds = max(phases[n].LongestSilenceSeconds, micro(t.silence.Seconds()))
		}
	}
	r.Phases = phases
}

// slowest is how long the last address took; 0 if one never came.
func (d *demoteDrill) slowest(from time.Time, first func(*record) (time.Time, bool)) float64 {
	longest := 0.0
	for _, rec := range d.records {
		at, ok := first(rec)
		if !ok {
			return 0
		}
		longest = max(longest, micro(at.Sub(from).Seconds()))
	}
	return longest
}

func (d *demoteDrill) fillAddresses(end time.Time) {
	zero := d.released
	if zero.IsZero() {
		zero = d.report.Started
	}
	for _, rec := range d.records {
		t := rec.count([]time.Time{d.report.Started}, end)[0]
		a := control.DrillAddress{Address: rec.addr.String(), Interface: rec.iface, LongestSilenceSeconds: micro(t.silence.Seconds()),
			Sent: t.sent, Lost: t.lost, Answered: rec.answerers(zero)}
		if first, ok := rec.firstAnswer(zero); ok && !d.released.IsZero() {
			a.FirstReplySeconds = d.since(first.At)
		}
		d.report.Addresses = append(d.report.Addresses, a)
	}
}

// fillTimeline tells the drill as a story.
func (d *demoteDrill) fillTimeline() {
	r := &d.report
	var out []control.DrillMoment
	add := func(at time.Time, inst, active, format string, args ...any) {
		out = append(out, control.DrillMoment{Time: at, Seconds: d.since(at), Instance: inst, Active: active, Text: fmt.Sprintf(format, args...)})
	}
	add(r.Started, "", r.Found, "the drill begins: this node (%s) is active", r.Found)
	if !d.released.IsZero() {
		add(d.released, "", "", "released: priority 0 has left")
	}
	if !d.lifted.IsZero() {
		add(d.lifted, "", "", "promoted")
	}
	for _, m := range d.moments {
		switch m.what {
		case heard:
			active := ""
			if !d.released.IsZero() && !m.at.Before(d.released) {
				active = m.peer.String()
			}
			if m.priority == vrrp.PriorityRelease {
				add(m.at, m.inst, "", "%s leaves: priority 0", m.peer)
			} else {
				add(m.at, m.inst, active, "%s advertises priority %d", m.peer, m.priority)
			}
		case changed:
			active := ""
			if m.to == vrrp.Active {
				active = r.Found
			}
			add(m.at, m.inst, active, "%s -> %s: %s", m.from, m.to, m.text)
		case told:
			add(m.at, m.inst, "", "%s", m.text)
		case came:
			add(m.at, m.inst, "", "announced here: %s", listed(m.addrs))
		case went:
			add(m.at, m.inst, "", "no longer answered for here: %s", listed(m.addrs))
		case gone:
			add(m.at, m.inst, "", "no longer served here: %s", listed(m.addrs))
		}
	}
	for _, rec := range d.records {
		for _, h := range rec.answerers(r.Started) {
			add(r.Started.Add(time.Duration(h.First*float64(time.Second))), "", "", "%s answers for %s", hostName(h.MAC), rec.addr)
		}
	}
	if d.ear.missed > 0 {
		add(time.Now(), "", "", "%s more are left out", plural(d.ear.missed, "moment"))
	}
	slices.SortStableFunc(out, func(a, b control.DrillMoment) int { return a.Time.Compare(b.Time) })
	r.Timeline = out
}

// note is the drill in one sentence.
func (d *demoteDrill) note(r *control.DrillReport) (level, string) {
	sent, lost, longest := 0, 0, 0.0
	for _, p := range r.Phases {
		sent, lost, longest = sent+p.Sent, lost+p.Lost, max(longest, p.LongestSilenceSeconds)
	}
	if !r.Held {
		return levelWarn, fmt.Sprintf("the drill of %s did not hold: %s", r.Instance, joined(r.Reasons))
	}
	end := "active here again"
	if !r.Restored {
		end = "the service stays there: " + r.Stays
	}
	return levelInfo, fmt.Sprintf("the drill of %s held: %s took over; %d of %d requests lost, at most %.0f ms without an answer; %s",
		r.Instance, r.Other, lost, sent, longest*1000, end)
}
