package sim

import (
	"time"

	"vrrpd/vrrp"
)

// A presence is what a node's kernel has of the addresses of a LAN. It is
// there whatever becomes of the process.
type presence struct {
	lease    time.Duration // the kernel drops the addresses when nobody renewed it for so long; 0: never
	held     bool          // on the interface: served, and answered for
	lingers  bool          // served on, but not answered for
	orders   int           // counts what the process wanted, so that what takes time knows whether it still does
	deserted vrrp.Instant  // nobody renews the lease since then; 0: somebody does

	beat, before               vrrp.Instant // of the process and of the one before: the last advertisement of an active router; 0: it was none
	beatLeaving, beforeLeaving bool         // … that was handing over
}

// begin is the begin of another process: it reads what the one before noted.
func (p *presence) begin() {
	p.before, p.beforeLeaving = p.beat, p.beatLeaving
	p.beat, p.beatLeaving, p.deserted = 0, false, 0
}

// note notes an advertisement.
func (p *presence) note(now vrrp.Instant, m *member) {
	if m.State() == vrrp.Active {
		p.beat, p.beatLeaving = now, m.HandingOver()
	}
}

func (m *member) presence() *presence { return &m.node.addresses[m.lan] }

// hold has addresses put on the interface.
func (n *Network) hold(m *member) {
	p := m.presence()
	if p.held {
		return
	}
	p.orders++
	order := p.orders
	appear := func() {
		if p.orders == order {
			p.held, p.lingers = true, false
			n.sayAddresses(m, "answers for the addresses")
		}
	}
	if n.install != nil {
		if d := n.install(); d > 0 {
			n.at(n.now.Add(d), appear)
			return
		}
	}
	appear()
}

// release has addresses taken away. A process that hands over for another
// leaves those that nobody took over to their lease.
func (n *Network) release(m *member, linger time.Duration) {
	p := m.presence()
	p.beat = 0
	if m.node.replaces && linger == 0 && p.lease > 0 && m.Config().HandoverTimeout > 0 {
		p.orders++
		n.sayAddresses(m, "leaves the addresses to their lease")
		return
	}
	p.orders++
	order, served := p.orders, p.held || p.lingers
	p.held, p.lingers = false, served && linger > 0
	if !p.lingers {
		n.sayAddresses(m, "no longer serves the addresses")
		n.judge.gone(m, served)
		return
	}
	n.sayAddresses(m, "serves the addresses on without answering for them")
	n.at(n.now.Add(linger), func() {
		if p.orders == order {
			p.lingers = false
			n.sayAddresses(m, "no longer serves the addresses")
			n.judge.gone(m, true)
		}
	})
}

// cleanUp removes what an earlier process left behind, unless its successor
// goes on with it.
func (n *Network) cleanUp(node *Node) {
	node.starting = false
	for lan, m := range node.routers {
		p := &node.addresses[lan]
		if n.leavesLitter || m.State() == vrrp.Active || !p.held && !p.lingers {
			continue
		}
		p.orders++
		p.held, p.lingers = false, false
		n.sayAddresses(m, "removes what was left of the addresses")
	}
}

// restore is what a process does that goes on: it puts back what it lost.
func (n *Network) restore(node *Node) {
	if !node.alive {
		return // that was its end
	}
	for lan, m := range node.routers {
		node.addresses[lan].deserted = 0
		if m.holds {
			n.hold(m)
		}
	}
}

// wipe is the end of a node.
func (n *Network) wipe(node *Node) {
	for lan := range node.addresses {
		p := &node.addresses[lan]
		*p = presence{lease: p.lease, orders: p.orders + 1}
	}
}

// abandon is the end of a process without a word.
func (n *Network) abandon(node *Node) {
	for lan := range node.addresses {
		p := &node.addresses[lan]
		p.orders++
		p.lingers = false
	}
	n.expireLeases(node)
}

// expireLeases lets the leases of a node run out that nobody renews any more.
func (n *Network) expireLeases(node *Node) {
	for lan := range node.addresses {
		p := &node.addresses[lan]
		if p.lease == 0 || p.deserted != 0 {
			continue
		}
		since, left := n.now, p.lease
		p.deserted = since
		if n.remains != nil {
			left = n.remains(left)
		}
		n.at(n.now.Add(left), func() {
			if p.deserted == since && p.held {
				p.held = false
				p.orders++
				n.sayAddresses(node.routers[lan], "loses the addresses: their lease has ended")
			}
		})
	}
}

func (n *Network) sayAddresses(m *member, what string) {
	if !n.quiet {
		n.say(m.node, "%s on lan %d", what, m.lan)
	}
}

const million = 1_000_000

// local is what a node's clock shows.
func (node *Node) local(t vrrp.Instant) vrrp.Instant {
	return t + t*vrrp.Instant(node.ppm)/million
}

// global is when a node's clock shows t for the first time.
func (node *Node) global(t vrrp.Instant) vrrp.Instant {
	if node.ppm == 0 {
		return t
	}
	g := t * million / vrrp.Instant(million+node.ppm)
	for node.local(g) < t {
		g++
	}
	for node.local(g-1) >= t {
		g--
	}
	return g
}

// lasts is how long something really takes that takes d by a node's clock.
func (node *Node) lasts(d time.Duration) time.Duration {
	return d * million / time.Duration(million+node.ppm)
}

func (m *member) lasts(d time.Duration) time.Duration { return m.node.lasts(d) }
