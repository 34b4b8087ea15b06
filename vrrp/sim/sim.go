package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"vrrpd/vrrp"
)

// A Network is a set of nodes on one or more LANs. The i-th router of every
// node is on LAN i.
type Network struct {
	// Drop decides whether an advertisement is lost on the way. nil: none is.
	Drop func(from, to *Node, lan int) bool
	// Delay is how long an advertisement takes. nil: 100 µs.
	Delay func(from, to *Node) time.Duration

	now    vrrp.Instant
	events queue
	serial int
	nodes  []*Node
	lines  []string
	quiet  bool // writes no timeline
	advert vrrp.Advert

	carry    func(from, to *member) ([2]time.Duration, int) // in place of Drop and Delay: the delay of each copy
	lateness func() time.Duration                           // how late a timer fires; nil: not at all
	judge    *judge                                         // looks at every step; may be nil
	install  func() time.Duration                           // how long addresses take to be there; nil: no time
	remains  func(lease time.Duration) time.Duration        // what is left of a lease that is renewed no more; nil: all
	deaf     func(node *Node, lan int) bool                 // whether nothing gets through to a node; nil: never
	twist    *twist                                         // for tests …

	lingersLoudly bool // … what lingers is answered for
	leavesLitter  bool // … what an earlier process left is not removed
}

// A twist breaks a rule on purpose. Each part may be nil; false loses the event
// or action.
type twist struct {
	setup  func(*scenario)
	event  func(*scenario, *member, *vrrp.Event) bool
	action func(*scenario, *member, *vrrp.Action) bool
}

// A Node is one host.
type Node struct {
	Name    string
	routers []*member
	group   *vrrp.Group
	alive   bool
	index   int
	cfgs    []vrrp.Config
	grouped bool
	sources []netip.Addr
	paused  bool
	waiting []event // what happened while it was paused

	addresses []presence // of each LAN
	catchesUp bool       // it was paused, and reads what it missed
	starting  bool       // the process has not looked at what an earlier one left
	replaces  bool       // … it only hands over in place of one that ended without a word
	ppm       int64      // how much too fast its clock is
}

// A member is a router in its surroundings.
type member struct {
	*vrrp.Router
	node      *Node
	lan       int
	policy    vrrp.Policy
	holds     bool
	announced int
	buffer    []byte
	notes     notes // of the judge

	deadline vrrp.Instant // of the timer
	asked    vrrp.Instant // … on the node's own clock
	armed    bool
	queued   bool // one event of the timer is in the queue …
	queuedAt vrrp.Instant
}

// New returns an empty network.
func New() *Network { return &Network{} }

// Router is the configuration of a router with the usual values: version 3,
// one second, preempting.
func Router(priority uint8) vrrp.Config {
	return vrrp.Config{VRID: 51, Version: vrrp.V3, Family: vrrp.IPv4, Priority: priority, AdvertInterval: time.Second,
		Preempt: true, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.100")}}
}

// AddNode adds a node and starts its routers. Its address on every LAN ends
// in its number, so that a later node wins a tie.
func (n *Network) AddNode(name string, routers ...vrrp.Config) *Node {
	return n.add(name, false, routers)
}

// AddGroupNode is AddNode with routers that move together.
func (n *Network) AddGroupNode(name string, routers ...vrrp.Config) *Node {
	return n.add(name, true, routers)
}

func (n *Network) add(name string, grouped bool, cfgs []vrrp.Config) *Node {
	node := &Node{Name: name, index: len(n.nodes), cfgs: cfgs, grouped: grouped}
	node.addresses = make([]presence, len(cfgs))
	for lan := range cfgs {
		node.sources = append(node.sources, netip.AddrFrom4([4]byte{10, byte(lan), 0, byte(node.index + 1)}))
	}
	n.nodes = append(n.nodes, node)
	n.Start(node)
	return node
}

// SetSource gives a node another address on a LAN.
func (n *Network) SetSource(node *Node, lan int, source netip.Addr) {
	node.sources[lan] = source
	node.routers[lan].policy.Source = source
	n.step(node, lan, vrrp.Event{Kind: vrrp.EventSource, Source: source})
}

// Start starts a node's routers afresh, as a daemon does.
func (n *Network) Start(node *Node) {
	n.prepare(node)
	for lan := range node.routers {
		n.step(node, lan, vrrp.Event{Kind: vrrp.EventStartup})
	}
	n.cleanUp(node)
}

// prepare makes a node's routers without starting them.
func (n *Network) prepare(node *Node) {
	node.alive, node.routers, node.group, node.replaces = true, nil, nil, false
	node.starting = true
	for lan := range node.addresses {
		node.addresses[lan].begin()
	}
	for lan, cfg := range node.cfgs {
		r := vrrp.NewRouter(cfg)
		node.routers = append(node.routers, &member{Router: r, node: node, lan: lan,
			policy: vrrp.Policy{Version: cfg.Version, Interval: cfg.AdvertInterval, Source: node.sources[lan]}})
	}
	if node.grouped {
		node.tie()
	}
	for lan := range node.routers {
		n.step(node, lan, vrrp.Event{Kind: vrrp.EventSource, Source: node.sources[lan]})
	}
}

// tie makes a group of a node's routers.
func (node *Node) tie() {
	var plain []*vrrp.Router
	var labels []string
	for lan, m := range node.routers {
		plain = append(plain, m.Router)
		labels = append(labels, fmt.Sprintf("lan%d", lan))
	}
	node.group = vrrp.NewGroup(plain, labels)
}

// settle ends the joining of routers to a node's group.
func (n *Network) settle(node *Node) {
	if !node.alive || node.group == nil || node.group.JoinWithin() == 0 {
		return
	}
	m := node.routers[0]
	n.judge.before(m, &vrrp.Event{Kind: vrrp.EventAlone}) // for want of an event
	defer n.judge.after(m)
	for _, a := range node.group.Settle(node.local(n.now)) {
		n.carryOut(node.routers[a.Member], a.Action)
	}
}

// Crash ends a node without a word. Its addresses are gone with it.
func (n *Network) Crash(node *Node) {
	node.alive, node.paused, node.waiting = false, false, nil
	n.say(node, "crashes")
	n.wipe(node)
	n.judge.upset(-1)
}

// Kill ends a node's process without a word. The node goes on answering for
// the addresses that it held until their lease ends, if they have one, or
// another process removes them.
func (n *Network) Kill(node *Node) {
	node.alive, node.paused, node.waiting = false, false, nil
	n.say(node, "loses its process")
	n.abandon(node)
	n.judge.upset(-1)
}

// Stop ends a node in order.
func (n *Network) Stop(node *Node) {
	for lan := range node.routers {
		n.step(node, lan, vrrp.Event{Kind: vrrp.EventShutdown})
	}
	node.alive = false
}

// Pause stops a node's process: what arrives is kept, and its timers are late.
func (n *Network) Pause(node *Node) {
	node.paused = true
	n.say(node, "is paused")
	n.expireLeases(node)
	n.judge.upset(-1)
}

// kept is how many datagrams the buffer of a paused node's sockets has room
// for. It keeps the oldest.
const kept = 256

// stallAfter is how long a node must have been paused to know it. What it
// then reads counts from now, for it may be old.
const stallAfter = 250 * time.Millisecond

// Resume lets a paused node go on. It reads what arrived first, and then
// looks at its timers, as the daemon does; in the order given, if an active
// router's timer comes before that. Unless it is nil, look comes before all.
func (n *Network) Resume(node *Node, activeFirst bool, look func()) {
	if !node.paused {
		return
	}
	n.say(node, "goes on")
	waiting := node.waiting
	node.paused, node.waiting, node.catchesUp = false, nil, true
	n.judge.resumed(node)
	if look != nil {
		look()
	}
	timers := func(which func(*member) bool) {
		for _, m := range node.routers {
			switch {
			case !m.armed || m.queued || !which(m):
			case m.deadline <= n.now:
				n.expire(m)
			default:
				n.arm(m)
			}
		}
	}
	if activeFirst {
		timers(func(m *member) bool { return m.State() == vrrp.Active })
	}
	for _, e := range waiting {
		at := e.at
		if n.now.Sub(waiting[0].at) >= stallAfter {
			at = n.now
		}
		n.receive(e.to, e.packet, at)
	}
	timers(func(*member) bool { return true })
	node.catchesUp = false
	n.restore(node)
}

// Step feeds an event to one router.
func (n *Network) Step(node *Node, lan int, e vrrp.Event) { n.step(node, lan, e) }

// Run lets time pass.
func (n *Network) Run(d time.Duration) {
	end := n.now.Add(d)
	for len(n.events) > 0 && n.events[0].at <= end && !n.judge.done() {
		e := n.events.pop()
		n.now = e.at
		switch {
		case e.to == nil:
			e.do()
		case e.packet != nil:
			n.arrive(e)
		default:
			n.due(e.to, e.at)
		}
	}
	n.now = end
}

// Now is the time on the network, from its beginning.
func (n *Network) Now() time.Duration { return time.Duration(n.now) }

// Holders returns the nodes that answer for a LAN's addresses.
func (n *Network) Holders(lan int) []*Node {
	var out []*Node
	for _, node := range n.nodes {
		if node.addresses[lan].held {
			out = append(out, node)
		}
	}
	return out
}

// Router returns a node's router on a LAN.
func (node *Node) Router(lan int) *vrrp.Router { return node.routers[lan].Router }

// Announced counts a node's announcements on a LAN since it was started.
func (node *Node) Announced(lan int) int { return node.routers[lan].announced }

// Timeline is what happened, a line each.
func (n *Network) Timeline() string { return strings.Join(n.lines, "\n") }

func (n *Network) put(e event) {
	n.serial++
	e.serial = n.serial
	n.events.push(e)
}

func (n *Network) at(t vrrp.Instant, do func()) { n.put(event{at: t, do: do}) }

func (n *Network) step(node *Node, lan int, e vrrp.Event) {
	m := node.routers[lan]
	n.judge.before(m, &e)
	defer n.judge.after(m)
	if n.twist != nil && n.twist.event != nil && !n.twist.event(n.judge.s, m, &e) {
		return
	}
	e.Advert.At = node.local(e.Advert.At)
	now := node.local(n.now)
	if node.group != nil {
		for _, a := range node.group.Step(now, lan, e) {
			n.carryOut(node.routers[a.Member], a.Action)
		}
	} else {
		for _, a := range m.Step(now, e) {
			n.carryOut(m, a)
		}
	}
}

func (n *Network) carryOut(m *member, a vrrp.Action) {
	if n.twist != nil && n.twist.action != nil && !n.twist.action(n.judge.s, m, &a) {
		return
	}
	if a.Kind == vrrp.ActionSetTimer {
		m.asked = a.At
		a.At = m.node.global(a.At)
	}
	n.judge.action(m, &a)
	switch a.Kind {
	case vrrp.ActionSendAdvert:
		n.send(m, a.Priority, a.Interval)
	case vrrp.ActionSetTimer:
		m.deadline, m.armed = a.At, true
		n.arm(m)
	case vrrp.ActionStopTimer:
		m.armed = false
	case vrrp.ActionHoldAddresses:
		m.holds = true
		n.hold(m)
	case vrrp.ActionReleaseAddresses:
		m.holds = false
		n.release(m, a.Linger)
	case vrrp.ActionAnnounce:
		m.announced++
	case vrrp.ActionReport:
		if !n.quiet {
			n.line(fmt.Sprintf("%s/%d", m.node.Name, m.lan), fmt.Sprintf("%s -> %s: %s", a.Record.From, a.Record.To, a.Record.String()))
		}
	}
}

// arm puts an event for a router's timer into the queue, unless there is one
// already that is early enough; that one looks again.
func (n *Network) arm(m *member) {
	at := max(m.deadline, n.now)
	if m.queued && m.queuedAt <= at {
		return
	}
	if n.lateness != nil {
		at = at.Add(n.lateness())
	}
	m.queued, m.queuedAt = true, at
	n.put(event{at: at, to: m})
}

// due is a timer's event. One that an earlier one replaced is not meant any more.
func (n *Network) due(m *member, at vrrp.Instant) {
	if !m.queued || m.queuedAt != at {
		return
	}
	m.queued = false
	if m.armed && !m.node.paused {
		if m.deadline > n.now {
			n.arm(m)
			return
		}
		n.expire(m)
	}
}

// expire fires a router's timer.
func (n *Network) expire(m *member) {
	m.queued = false
	if m.node.alive && m.node.routers[m.lan] == m {
		n.step(m.node, m.lan, vrrp.Event{Kind: vrrp.EventTimer})
	}
}

var (
	group4 = netip.MustParseAddr("224.0.0.18")
	group6 = netip.MustParseAddr("ff02::12")
)

func (n *Network) send(from *member, priority uint8, interval time.Duration) {
	cfg := from.Config()
	from.node.addresses[from.lan].note(n.now, from)
	destination := group4
	if cfg.Family == vrrp.IPv6 {
		destination = group6
	}
	advert := vrrp.Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: priority, Interval: interval, Addresses: cfg.Addresses}
	p := &packet{source: from.Source(), destination: destination}
	p.message = advert.Append(make([]byte, 0, 48), p.source, destination)
	for _, to := range n.nodes {
		if to == from.node || from.lan >= len(to.cfgs) {
			continue
		}
		delays, copies := n.fate(from, to)
		for _, d := range delays[:copies] {
			// To the router that is there when it arrives.
			n.put(event{at: n.now.Add(d), to: to.routers[from.lan], packet: p})
		}
	}
}

// fate is how long each copy of an advertisement takes.
func (n *Network) fate(from *member, to *Node) ([2]time.Duration, int) {
	if n.carry != nil {
		return n.carry(from, to.routers[from.lan])
	}
	if n.Drop != nil && n.Drop(from.node, to, from.lan) {
		return [2]time.Duration{}, 0
	}
	delay := 100 * time.Microsecond
	if n.Delay != nil {
		delay = n.Delay(from.node, to)
	}
	return [2]time.Duration{delay}, 1
}

// arrive is a datagram at its end.
func (n *Network) arrive(e event) {
	node := e.to.node
	switch {
	case !node.alive:
	case n.deaf != nil && n.deaf(node, e.to.lan):
		n.judge.undelivered(e.to, e.packet)
	case node.paused:
		if len(node.waiting) < kept {
			node.waiting = append(node.waiting, e)
		}
	default:
		n.receive(node.routers[e.to.lan], e.packet, n.now)
	}
}

func (n *Network) receive(m *member, p *packet, at vrrp.Instant) {
	m = m.node.routers[m.lan]
	d := vrrp.Datagram{Src: p.source, Dst: p.destination, TTL: 255, Message: p.message}
	a := &n.advert
	if vrrp.Decode(d, a) != vrrp.Accepted || m.policy.Check(d, a) != vrrp.Accepted {
		n.judge.undelivered(m, p)
		return
	}
	n.step(m.node, m.lan, vrrp.Event{Kind: vrrp.EventAdvert,
		Advert: vrrp.Received{Source: d.Src, Priority: a.Priority, Interval: a.Interval, At: at}})
}

// say writes a line about a node.
func (n *Network) say(node *Node, format string, args ...any) {
	if !n.quiet {
		n.line(node.Name, fmt.Sprintf(format, args...))
	}
}

func (n *Network) line(who, what string) {
	n.lines = append(n.lines, fmt.Sprintf("%12.6f %s %s", n.Now().Seconds(), who, what))
}
