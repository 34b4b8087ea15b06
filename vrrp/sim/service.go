package sim

import (
	"time"

	"vrrpd/vrrp"
)

// What the judge knows of the addresses: who serves them and answers for
// them, whatever the routers believe.

// upset notes something that may leave nobody to serve the addresses of a LAN
// (-1: of any) however well routers behave. The members of a group spread it.
func (j *judge) upset(lan int) {
	if j == nil {
		return
	}
	for i := range j.upsets {
		if i == lan || lan < 0 || j.s.grouped {
			j.upsets[i] = j.s.now
		}
	}
}

// answers reports whether a node answers for addresses.
func (p *presence) answers(n *Network) bool {
	return p.held || p.lingers && n.lingersLoudly
}

// releases: addresses are released with a linger if another router was heard,
// no longer than it takes to announce them.
func (j *judge) releases(m *member, linger time.Duration) {
	now, v, cfg := j.s.now, &m.notes, m.Config()
	v.parting = now
	if v.leaving && v.leftAt != 0 {
		v.parting = v.leftAt
	}
	// What made the other one active may have happened before we heard it.
	v.parting = v.parting.Add(-slack - j.s.atMost(j.s.longest))
	if cfg.HandoverTimeout == 0 { // it hands nothing over
		j.upset(m.lan)
	}
	if limit := min(max(cfg.AdvertInterval, 50*ms), time.Second); linger > limit {
		j.fail(m, "serves addresses on for %s beside another router", linger)
	}
}

// succeeded notes a change of hands. A router that gives way to an
// advertisement that is out of date leaves the addresses to nobody: messages
// that overtake each other do that.
func (j *judge) succeeded(m *member, r *vrrp.Record) {
	j.handed++
	for _, a := range j.s.actives(m.lan) {
		if a.Source() == r.Peer && !a.HandingOver() {
			return
		}
	}
	j.upset(m.lan)
}

// gone: while messages are delivered and nobody crashes, somebody serves the
// addresses at every moment of a change of hands.
func (j *judge) gone(m *member, served bool) {
	if j == nil || !served || j.s.hosts[m.node.index].offline(m.lan) || j.upsets[m.lan] >= m.notes.parting {
		return
	}
	j.smooth++
	for _, h := range j.s.hosts {
		if m.lan < len(h.addresses) && !h.offline(m.lan) && (h.addresses[m.lan].held || h.addresses[m.lan].lingers) {
			return
		}
	}
	j.fail(m, "leaves nobody to serve the addresses")
}

// leftovers: what a process left behind that ended or does not run ends with
// the lease; and a router without a carrier does not stay active for longer
// than nobody can have taken over.
func (j *judge) leftovers() {
	now := j.s.now
	for _, node := range j.s.nodes {
		runs := node.alive && !node.paused
		for lan := range node.addresses {
			p := &node.addresses[lan]
			if !runs && p.held && p.lease > 0 && (p.deserted == 0 || now.Sub(p.deserted) > p.lease) {
				j.fail(node.routers[lan], "answers for the addresses although nobody renewed their lease of %s", p.lease)
			}
			if m := node.routers[lan]; runs && !node.catchesUp && m.RidesOut() && now > m.notes.muteBy {
				j.fail(m, "stays active without a carrier")
			}
		}
	}
}

// follows looks at what a router makes of an interruption.
func (j *judge) follows(m *member) {
	v, now := &m.notes, j.s.now
	switch mute := m.RidesOut(); {
	case mute && v.muteBy == 0:
		v.muteBy = v.spoke.Add(m.lasts(3*m.Config().AdvertInterval) + j.s.lateMax + tick)
	case !mute && v.wasMute && m.State() == vrrp.Active:
		j.rodeOut++
		v.muteBy = 0
		if v.spoke != now || v.announced != now {
			j.fail(m, "has its carrier back and does not tell everybody at once")
		}
	case !mute:
		v.muteBy = 0
	}
	if v.thaws && m.State() == vrrp.Active {
		j.fail(m, "did not run for %s and stays active beside %s, which is active", now.Sub(v.spoke), j.event.Advert.Source)
	}
}

// resumes: a router goes on in place of an earlier process only if that was
// active to the end and nobody can have taken over since.
func (j *judge) resumes(m *member) {
	p := m.presence()
	switch {
	case p.before == 0:
		j.fail(m, "goes on although no process was active before")
	case j.event.Leave:
	case p.beforeLeaving:
		j.fail(m, "goes on although the process before was handing over")
	case j.s.now.Sub(p.before) >= m.lasts(3*m.Config().AdvertInterval):
		j.fail(m, "goes on %s after the last advertisement", j.s.now.Sub(p.before))
	}
}
