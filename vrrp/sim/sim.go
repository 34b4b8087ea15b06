// Package sim runs virtual routers on a network that exists in memory only.
// Nothing in it is left to chance: the same calls give the same timeline. The
// routers are the very ones of the product, and their advertisements pass
// through the wire format.
//
//	n := sim.New()
//	a := n.AddNode("a", sim.Router(100))
//	b := n.AddNode("b", sim.Router(90))
//	n.Run(5 * time.Second)
//	n.Crash(a)
//	n.Run(4 * time.Second)
//	n.Holders(0) // b
package sim

import (
	"container/heap"
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
}

type member struct {
	*vrrp.Router
	policy     vrrp.Policy
	holds      bool
	announced  int
	generation int // of the timer
}

type event struct {
	at     vrrp.Instant
	serial int
	do     func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].serial < q[j].serial
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any     { e := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return e }

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
	for lan := range cfgs {
		node.sources = append(node.sources, netip.AddrFrom4([4]byte{10, byte(lan), 0, byte(node.index + 1)}))
	}
	n.nodes = append(n.nodes, node)
	n.Start(node)
	return node
}

// SetSource gives a node another address on a LAN, before it is next started.
func (n *Network) SetSource(node *Node, lan int, source netip.Addr) {
	node.sources[lan] = source
	n.step(node, lan, vrrp.Event{Kind: vrrp.EventSource, Source: source})
	node.routers[lan].policy.Source = source
}

// Start starts a node's routers afresh, as a daemon does.
func (n *Network) Start(node *Node) {
	node.alive, node.routers, node.group = true, nil, nil
	var plain []*vrrp.Router
	var labels []string
	for lan, cfg := range node.cfgs {
		r := vrrp.NewRouter(cfg)
		node.routers = append(node.routers, &member{Router: r,
			policy: vrrp.Policy{Version: cfg.Version, Interval: cfg.AdvertInterval, Source: node.sources[lan]}})
		plain = append(plain, r)
		labels = append(labels, fmt.Sprintf("lan%d", lan))
	}
	if node.grouped {
		node.group = vrrp.NewGroup(plain, labels)
	}
	for lan := range node.routers {
		n.step(node, lan, vrrp.Event{Kind: vrrp.EventSource, Source: node.sources[lan]})
		n.step(node, lan, vrrp.Event{Kind: vrrp.EventStartup})
	}
}

// Crash ends a node without a word. Its addresses are gone with it.
func (n *Network) Crash(node *Node) {
	node.alive = false
	n.say(node, 0, "crashes")
}

// Stop ends a node in order.
func (n *Network) Stop(node *Node) {
	for lan := range node.routers {
		n.step(node, lan, vrrp.Event{Kind: vrrp.EventShutdown})
	}
	node.alive = false
}

// Step feeds an event to one router.
func (n *Network) Step(node *Node, lan int, e vrrp.Event) { n.step(node, lan, e) }

// Run lets time pass.
func (n *Network) Run(d time.Duration) {
	end := n.now.Add(d)
	for len(n.events) > 0 && n.events[0].at <= end {
		e := heap.Pop(&n.events).(event)
		n.now = e.at
		e.do()
	}
	n.now = end
}

// Now is the time on the network, from its beginning.
func (n *Network) Now() time.Duration { return time.Duration(n.now) }

// Holders returns the nodes that hold a LAN's addresses.
func (n *Network) Holders(lan int) []*Node {
	var out []*Node
	for _, node := range n.nodes {
		if node.alive && node.routers[lan].holds {
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

func (n *Network) at(t vrrp.Instant, do func()) {
	n.serial++
	heap.Push(&n.events, event{at: t, serial: n.serial, do: do})
}

func (n *Network) step(node *Node, lan int, e vrrp.Event) {
	if node.group != nil {
		for _, a := range node.group.Step(n.now, lan, e) {
			n.carryOut(node, a.Member, a.Action)
		}
		return
	}
	for _, a := range node.routers[lan].Step(n.now, e) {
		n.carryOut(node, lan, a)
	}
}

func (n *Network) carryOut(node *Node, lan int, a vrrp.Action) {
	m := node.routers[lan]
	switch a.Kind {
	case vrrp.ActionSendAdvert:
		n.send(node, lan, a.Priority)
	case vrrp.ActionSetTimer:
		m.generation++
		generation := m.generation
		n.at(max(a.At, n.now), func() {
			if node.alive && node.routers[lan] == m && m.generation == generation {
				n.step(node, lan, vrrp.Event{Kind: vrrp.EventTimer})
			}
		})
	case vrrp.ActionStopTimer:
		m.generation++
	case vrrp.ActionHoldAddresses:
		m.holds = true
	case vrrp.ActionReleaseAddresses:
		m.holds = false
	case vrrp.ActionAnnounce:
		m.announced++
	case vrrp.ActionReport:
		n.say(node, lan, fmt.Sprintf("%s -> %s: %s", a.Record.From, a.Record.To, a.Record.String()))
	}
}

var group = netip.MustParseAddr("224.0.0.18")

func (n *Network) send(from *Node, lan int, priority uint8) {
	m := from.routers[lan]
	cfg := m.Config()
	advert := vrrp.Advert{Version: cfg.Version, VRID: cfg.VRID, Priority: priority, Interval: cfg.AdvertInterval, Addresses: cfg.Addresses}
	message := advert.Append(nil, m.Source(), group)
	for _, to := range n.nodes {
		if to == from || lan >= len(to.cfgs) || n.Drop != nil && n.Drop(from, to, lan) {
			continue
		}
		delay := 100 * time.Microsecond
		if n.Delay != nil {
			delay = n.Delay(from, to)
		}
		d := vrrp.Datagram{Src: m.Source(), Dst: group, TTL: 255, Message: message}
		n.at(n.now.Add(delay), func() { n.receive(to, lan, d) })
	}
}

func (n *Network) receive(to *Node, lan int, d vrrp.Datagram) {
	if !to.alive {
		return
	}
	m := to.routers[lan]
	var a vrrp.Advert
	if vrrp.Decode(d, &a) != vrrp.Accepted || m.policy.Check(d, &a) != vrrp.Accepted {
		return
	}
	n.step(to, lan, vrrp.Event{Kind: vrrp.EventAdvert,
		Advert: vrrp.Received{Source: d.Src, Priority: a.Priority, Interval: a.Interval, At: n.now}})
}

func (n *Network) say(node *Node, lan int, what string) {
	n.lines = append(n.lines, fmt.Sprintf("%12.6f %s/%d %s", n.Now().Seconds(), node.Name, lan, what))
}
