package sim

import (
	"fmt"
	"time"

	"vrrpd/vrrp"
)

// A judge looks at every step of every router from outside and knows what
// must never be. What it knows of a router it has seen itself: what was
// delivered, and what was asked for. A nil judge looks away.
type judge struct {
	s      *scenario
	failed string       // the first rule broken
	event  vrrp.Event   // the last one
	calm   vrrp.Instant // no state may change from then on; 0: it may
	seen   map[vrrp.Cause]int
	yields int
	answer int

	upsets  [2]vrrp.Instant // of each LAN: the last thing that may leave nobody to serve, whatever routers do
	rodeOut int
	handed  int // releases because another one was heard
	smooth  int // changes of hands that nothing disturbed
}

// notes are the judge's, about one router.
type notes struct {
	state        vrrp.State
	leaving      bool
	begun        vrrp.Instant // left Initialize or Fault
	changed      vrrp.Instant // priority, address, configuration, or a handover taken back
	activeSince  vrrp.Instant
	shortest     time.Duration // interval configured since begun
	heard        vrrp.Received // the last advertisement above priority 0 since begun
	hasHeard     bool
	released     bool         // the last one was of priority 0 …
	mustBy       vrrp.Instant // … so that this router must be ready by then; 0: need not
	lowerSince   vrrp.Instant // lower ones were heard since then; 0: the last was none
	tieSince     vrrp.Instant // a better equal is put up with since …
	tieLast      vrrp.Instant // … and was last heard
	gaveUp       bool         // it was active, left to nobody, and nobody was heard since …
	resumes      bool         // … until it was promoted
	answered     vrrp.Instant // the last losing advertisement
	announced    vrrp.Instant
	spoke        vrrp.Instant    // its own last advertisement
	releases     [8]vrrp.Instant // the last answers to priority 0
	releaseCount int

	muteBy   vrrp.Instant // it rides out a loss of carrier no longer than that; 0: it does not
	wasMute  bool
	saidZero vrrp.Instant // it said priority 0
	thaws    bool         // it did not run, and hears whom it has to follow
	leftAt   vrrp.Instant // it hands over since then …
	parting  vrrp.Instant // … or gave way; a moment before that. What happens later may leave nobody to serve
}

const (
	// slack is for the delay of a message and of two timers.
	slack = 25 * ms
	// tick is for rounding between clocks.
	tick = time.Microsecond
)

func newJudge(s *scenario) *judge { return &judge{s: s, seen: map[vrrp.Cause]int{}} }

// done reports whether there is nothing left to judge.
func (j *judge) done() bool { return j != nil && j.failed != "" }

func (j *judge) fail(m *member, format string, args ...any) {
	if j.failed != "" {
		return
	}
	j.failed = fmt.Sprintf(format, args...)
	who := "network"
	if m != nil {
		who = fmt.Sprintf("%s/%d", m.node.Name, m.lan)
	}
	j.failed = fmt.Sprintf("%.6f %s: %s", j.s.Now().Seconds(), who, j.failed)
	if !j.s.quiet {
		j.s.line(who, "RULE BROKEN: "+j.failed)
	}
}

// before sees what a router is going to be told.
func (j *judge) before(m *member, e *vrrp.Event) {
	if j == nil {
		return
	}
	now, v := j.s.now, &m.notes
	j.event = *e
	for _, o := range m.node.routers {
		o.notes.state, o.notes.leaving, o.notes.wasMute, o.notes.thaws = o.State(), o.HandingOver(), o.RidesOut(), false
	}
	switch e.Kind {
	case vrrp.EventAdvert:
		j.hears(m, e.Advert)
	case vrrp.EventDemote:
		v.changed, v.mustBy = now, 0
	case vrrp.EventPromote:
		if m.Demotion() != vrrp.NotDemoted {
			v.resumes = e.Resume && v.gaveUp && m.State() == vrrp.Backup
		}
		v.changed, v.mustBy = now, 0
	case vrrp.EventReconfigure:
		v.shortest = min(v.shortest, e.Config.AdvertInterval)
		v.changed, v.mustBy = now, 0
	case vrrp.EventPriority, vrrp.EventSource, vrrp.EventFault, vrrp.EventHold, vrrp.EventShutdown:
		v.changed, v.mustBy = now, 0
		if e.Now || e.AtOnce || e.Silent {
			j.upset(m.lan)
		}
	}
}

// undelivered is as good as lost.
func (j *judge) undelivered(m *member, p *packet) {
	if j == nil {
		return
	}
	j.upset(m.lan)
	for _, o := range j.s.nodes {
		if m.lan < len(o.routers) && o.routers[m.lan].Source() == p.source {
			j.s.links[way{o.index, m.node.index, m.lan}].lost = j.s.now
		}
	}
}

// resumed: what a node makes of what it missed counts from now.
func (j *judge) resumed(n *Node) {
	if j == nil {
		return
	}
	for _, m := range n.routers {
		m.notes.changed, m.notes.mustBy = j.s.now, 0
	}
	j.upset(-1)
}

// hears notes an advertisement that is about to be delivered.
func (j *judge) hears(m *member, a vrrp.Received) {
	v := &m.notes
	frozen := j.s.now.Sub(v.spoke) > m.lasts(3*m.Config().AdvertInterval)+tick
	if v.wasMute {
		frozen = j.s.now > v.muteBy
	}
	v.thaws = frozen && m.State() == vrrp.Active && !v.leaving && a.Priority > 0 && a.Source != m.Source()
	if m.State() != vrrp.Backup {
		return
	}
	v.mustBy, v.gaveUp = 0, false
	if a.Priority == vrrp.PriorityRelease {
		v.released, v.lowerSince = true, 0
		if !m.Expired() {
			v.mustBy = max(j.s.now, a.At.Add(m.lasts(vrrp.SkewTime(m.Config().Version, m.Priority(), j.s.longest))+tick)).Add(j.s.lateMax)
		}
		return
	}
	v.heard, v.hasHeard, v.released, v.resumes = a, true, false, false
	switch {
	case !m.mayPreempt() || a.Priority >= m.Priority():
		v.lowerSince = 0
	case v.lowerSince == 0:
		v.lowerSince = a.At
	}
}

// mayPreempt says whether Preempt_Mode is in force.
func (m *member) mayPreempt() bool {
	return m.Demotion() == vrrp.NotDemoted && (m.Config().Preempt || m.Config().Priority == vrrp.PriorityOwner)
}

// action sees what a router asks for, in order.
func (j *judge) action(m *member, a *vrrp.Action) {
	if j == nil {
		return
	}
	now := j.s.now
	switch a.Kind {
	case vrrp.ActionSendAdvert:
		j.sends(m, a.Priority, a.Interval)
	case vrrp.ActionSetTimer:
		earliest := now
		if j.event.Kind == vrrp.EventAdvert {
			earliest = min(earliest, j.event.Advert.At)
		}
		if m.armed {
			earliest = min(earliest, m.deadline) // a timer that is late may still be
		}
		if a.At < earliest-1 { // a nanosecond of a slow clock
			j.fail(m, "its timer is set %s into the past", earliest.Sub(a.At))
		}
	case vrrp.ActionHoldAddresses:
		if m.State() != vrrp.Active && !j.event.Leave {
			j.fail(m, "holds the addresses, %s", m.State())
		}
	case vrrp.ActionReleaseAddresses:
		if !m.holds {
			j.fail(m, "releases addresses that it does not hold")
		}
		j.releases(m, a.Linger)
	case vrrp.ActionAnnounce:
		if j.event.Kind == vrrp.EventAdvert && m.notes.state == vrrp.Active && m.State() == vrrp.Active {
			if v := &m.notes; v.announced > v.activeSince && now.Sub(v.announced) < m.lasts(time.Second)-tick {
				j.fail(m, "announces again after %s", now.Sub(v.announced))
			}
			m.notes.announced = now
		}
		if m.notes.wasMute {
			m.notes.announced = now
		}
	case vrrp.ActionReport:
		j.seen[a.Record.Cause]++
		if a.Record.Cause == vrrp.CauseNoSuccessor {
			j.upset(m.lan)
		}
		if a.Record.Transition() {
			j.transition(m, &a.Record)
		}
	}
}

func (j *judge) sends(m *member, priority uint8, interval time.Duration) {
	now, v, cfg := j.s.now, &m.notes, m.Config()
	if priority == vrrp.PriorityRelease {
		if v.state != vrrp.Active && !j.event.Leave {
			j.fail(m, "says priority 0 as %s", v.state)
		}
		v.saidZero = now
		return
	}
	v.spoke = now
	want := j.s.hosts[m.node.index].priorities[m.lan]
	switch {
	case m.Demotion() != vrrp.NotDemoted:
		want = vrrp.PriorityDemoted
	case cfg.Priority == vrrp.PriorityOwner:
		want = vrrp.PriorityOwner
	}
	if j.event.Kind == vrrp.EventPriority {
		want = j.event.Priority
	}
	promise := cfg.AdvertInterval
	// Its group may be at fault at once, by one that was to join it.
	givesWay := v.state == vrrp.Active && !v.leaving && j.event.Kind == vrrp.EventAdvert &&
		(m.State() == vrrp.Backup || m.State() == vrrp.Fault && m.node.group != nil)
	if givesWay {
		promise = j.event.Advert.Interval
	}
	switch {
	case interval != promise:
		j.fail(m, "promises the next advertisement after %s instead of %s", interval, promise)
	case m.State() != vrrp.Active && !givesWay:
		j.fail(m, "advertises as %s", m.State())
	case m.RidesOut():
		j.fail(m, "advertises without a carrier")
	case m.HandingOver():
		j.fail(m, "advertises priority %d while it hands over", priority)
	case priority != want && cfg.Priority != vrrp.PriorityOwner:
		j.fail(m, "advertises priority %d instead of %d", priority, want)
	case j.event.Kind != vrrp.EventAdvert || v.state != vrrp.Active || v.leaving || givesWay:
	case j.event.Advert.Priority > 0:
		j.answer++
		if v.answered > max(v.activeSince, v.changed) && now.Sub(v.answered) < m.lasts(cfg.AdvertInterval)-tick {
			j.fail(m, "answers again after %s", now.Sub(v.answered))
		}
		v.answered = now
	default:
		oldest := &v.releases[v.releaseCount%len(v.releases)]
		if *oldest > max(v.activeSince, v.changed) && now.Sub(*oldest) < m.lasts(cfg.AdvertInterval)-tick {
			j.fail(m, "answers priority 0 more than %d times an interval", len(v.releases))
		}
		*oldest = now
		v.releaseCount++
	}
}

// transition judges a change of state.
func (j *judge) transition(m *member, r *vrrp.Record) {
	now, v := j.s.now, &m.notes
	if r.To != vrrp.Active {
		v.mustBy = 0
	}
	if j.calm != 0 {
		j.fail(m, "goes from %s to %s long after everything healed: %s", r.From, r.To, r)
	}
	switch {
	case r.To == vrrp.Active:
		switch {
		case r.Cause == vrrp.CauseResumed:
			j.resumes(m)
		case r.From == vrrp.Backup:
			j.takesOver(m)
		}
		if m.node.group == nil || m.Priority() != vrrp.PriorityOwner {
			j.permitted(m)
		}
		v.activeSince, v.tieLast = now, 0
		v.muteBy, v.leftAt = 0, 0
	case r.From == vrrp.Active && r.To == vrrp.Backup:
		j.yieldsTo(m, r)
	}
	if r.From == vrrp.Active && r.Peer.IsValid() {
		j.succeeded(m, r)
	}
	if r.To == vrrp.Backup {
		if r.From != vrrp.Active {
			*v = notes{state: v.state, begun: now, changed: now, shortest: m.Config().AdvertInterval}
		} else {
			v.begun, v.shortest, v.lowerSince, v.released, v.gaveUp = now, m.Config().AdvertInterval, 0, false, !r.Peer.IsValid()
			v.heard, v.hasHeard = vrrp.Received{}, false
			if j.event.Kind == vrrp.EventAdvert && r.Peer.IsValid() {
				v.heard, v.hasHeard, v.begun = j.event.Advert, true, j.event.Advert.At
			}
		}
	}
}

// permitted: nobody becomes active who may not be.
func (j *judge) permitted(m *member) {
	if len(m.Faults()) > 0 || len(m.Holds()) > 0 {
		j.fail(m, "becomes active in spite of %v %v", m.Faults(), m.Holds())
	}
}

// takesOver: a backup becomes active when nobody else is, or somebody that it
// may preempt.
func (j *judge) takesOver(m *member) {
	now, v, cfg := j.s.now, &m.notes, m.Config()
	silent := now.Sub(v.heard.At)
	switch {
	case v.resumes:
	case v.released:
	case !v.hasHeard:
		if waited := now.Sub(v.begun); waited < m.lasts(3*v.shortest)-tick && m.Priority() != vrrp.PriorityOwner {
			j.fail(m, "takes over after only %s", waited)
		}
	case silent >= m.lasts(3*min(v.heard.Interval, j.intervalOf(m, v.heard.Interval)))-tick:
	case v.heard.Priority < m.Priority() && m.mayPreempt():
		if v.lowerSince != 0 && v.changed < v.lowerSince && now.Sub(v.lowerSince) < m.lasts(cfg.PreemptDelay)-tick {
			j.fail(m, "preempts %s after %s; its preempt delay is %s", v.heard.Source, now.Sub(v.lowerSince), cfg.PreemptDelay)
		}
	default:
		j.fail(m, "with priority %d takes over from %s with %d, heard %s ago", m.Priority(), v.heard.Source, v.heard.Priority, silent)
	}
}

// intervalOf is the interval that a router counts in.
func (j *judge) intervalOf(m *member, heard time.Duration) time.Duration {
	if m.Config().Version == vrrp.V2 {
		return m.notes.shortest
	}
	return heard
}

// yieldsTo: an active router gives way to a better one, to anybody once it
// said that it leaves or did not run for so long that another one took over, and for what happened to itself or to its group.
func (j *judge) yieldsTo(m *member, r *vrrp.Record) {
	v := &m.notes
	if m.node.group != nil || v.leaving {
		return
	}
	switch j.event.Kind {
	case vrrp.EventAdvert:
		j.yields++
		frozen := r.Cause == vrrp.CauseFrozen && j.s.now.Sub(v.spoke) >= m.lasts(3*m.Config().AdvertInterval)-tick
		if !frozen && v.spoke != j.s.now {
			j.fail(m, "gives way to %s without a last word: that one may not know that there were two", j.event.Advert.Source)
		}
		if a := j.event.Advert; !frozen && !better(a.Priority, a.Source, m.Priority(), m.Source()) {
			j.fail(m, "with priority %d gives way to %s with %d", m.Priority(), a.Source, a.Priority)
		}
	case vrrp.EventDemote:
	default:
		j.fail(m, "gives way for no reason: %s", r)
	}
}

// after looks at a node when it has done all that a step asked for.
func (j *judge) after(m *member) {
	if j == nil {
		return
	}
	for _, o := range m.node.routers {
		j.consistent(o)
		j.follows(o)
	}
	if m.node.group != nil {
		j.together(m.node)
	}
	v := &m.notes
	if j.event.Leave && m.State() != vrrp.Fault && v.saidZero != j.s.now {
		j.fail(m, "hands over for another process and does not say so at once")
	}
	if waits := m.State() == vrrp.Backup || m.State() == vrrp.Active; waits && v.mustBy != 0 && j.s.now > v.mustBy {
		j.fail(m, "was told priority 0 and did not take over by %.6f", time.Duration(v.mustBy).Seconds())
	}
	if m.State() != vrrp.Backup || m.Expired() {
		v.mustBy = 0
	}
	if j.event.Kind == vrrp.EventAdvert && m.State() == vrrp.Active && v.state == vrrp.Active {
		j.putsUp(m, j.event.Advert)
	}
	for lan := range j.s.lans {
		j.rivals(lan)
	}
	j.leftovers()
	j.s.stopped(j.s.hosts[m.node.index])
}

// consistent: a router has its addresses if and only if it is active, and a
// timer whenever it waits for something.
func (j *judge) consistent(m *member) {
	state := m.State()
	if m.holds != (state == vrrp.Active) {
		j.fail(m, "is %s and holds its addresses: %v", state, m.holds)
	}
	if m.presence().answers(j.s.Network) && state != vrrp.Active && !m.node.replaces && !m.node.starting {
		j.fail(m, "is %s and answers for the addresses", state)
	}
	if state == vrrp.Active && m.notes.leaving != m.HandingOver() {
		m.notes.changed, m.notes.leftAt = j.s.now, j.s.now
	}
	deadline, armed := m.Deadline()
	if armed != m.armed || armed && deadline != m.asked {
		j.fail(m, "believes in another timer than it asked for")
	}
	limit := m.Config().AdvertInterval
	switch state {
	case vrrp.Active:
		switch {
		case m.HandingOver():
			limit = j.s.longest
		case m.RidesOut():
			limit = 3 * j.s.longest
		}
	case vrrp.Backup:
		if m.Expired() {
			return
		}
		limit = vrrp.ActiveDownInterval(m.Config().Version, 1, j.s.longest)
	case vrrp.Initialize:
		if !armed {
			return
		}
		limit = j.s.start
	default:
		if armed {
			j.fail(m, "has a timer as %s", state)
		}
		return
	}
	if !armed {
		j.fail(m, "is %s without a timer", state)
	} else if in := m.deadline.Sub(j.s.now); in > m.lasts(limit)+tick {
		j.fail(m, "as %s waits for %s", state, in)
	}
}

// together: no member of a group is active for good while another is not,
// unless that one has not joined yet.
func (j *judge) together(n *Node) {
	down := false
	for _, m := range n.routers {
		down = down || m.State() != vrrp.Active && !m.Joining()
	}
	for _, m := range n.routers {
		if down && m.State() == vrrp.Active && !m.HandingOver() {
			j.fail(m, "is active although another member of its group is not")
		}
	}
}
