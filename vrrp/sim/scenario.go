package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"vrrpd/vrrp"
)

const ms = time.Millisecond

// A scenario is a network made from a seed, and what is done to it.
type scenario struct {
	*Network
	rng   *rand.Rand
	lans  []lan
	hosts []*host
	links map[way]*link

	end      vrrp.Instant // of the faults
	lateMax  time.Duration
	delayMax time.Duration // over all links, always
	shortest time.Duration // of all intervals
	longest  time.Duration
	preempt  time.Duration // the longest preempt delay
	start    time.Duration // … and start delay
	handover time.Duration // … and handover timeout
}

// A lan is what the routers of a LAN agree on.
type lan struct {
	version vrrp.Version
	family  vrrp.Family
	// interval is the usual one; in version 2 everybody's.
	interval time.Duration
	side     []bool // of each node while the LAN is parted
}

// A host is what is known of a node from outside, whatever its routers make
// of it.
type host struct {
	*Node
	faults     []string // of each LAN; "": none
	silent     []bool   // … and whether its interface is dead
	atOnce     []bool
	held       []bool
	priorities []uint8 // effective
	stopping   bool
	demotion   int // counts them
}

// A way leads from a node to another on a LAN.
type way struct{ from, to, lan int }

// A link is what happens on a way.
type link struct {
	loss         float64
	base, jitter time.Duration
	twice        float64
	lost         vrrp.Instant // when the last message was lost
}

// newScenario makes a network from a seed. It is the same for the same seed.
func newScenario(seed uint64, quiet bool) *scenario {
	s := &scenario{Network: New(), rng: rand.New(rand.NewPCG(seed, 0x767272)), links: map[way]*link{}}
	s.now = vrrp.Instant(time.Second) // so that no moment is 0
	s.quiet = quiet
	s.lateMax = s.pick(0, 10*time.Microsecond, ms/2)
	s.lateness = func() time.Duration { return s.upTo(s.lateMax) }
	s.carry = s.fate
	s.judge = newJudge(s)
	s.makeLANs()
	s.makeHosts()
	s.makeLinks()
	for _, h := range s.shuffled() {
		s.at(s.now.Add(s.upTo(s.pick(0, ms, 5*time.Second))), func() { s.launch(h) })
	}
	return s
}

func (s *scenario) chance(p float64) bool { return s.rng.Float64() < p }

func (s *scenario) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(s.rng.Int64N(int64(d)))
}

func (s *scenario) pick(of ...time.Duration) time.Duration { return of[s.rng.IntN(len(of))] }

func (s *scenario) makeLANs() {
	for range 1 + s.rng.IntN(2) {
		l := lan{version: vrrp.V3, family: vrrp.IPv4, interval: time.Second}
		switch {
		case s.chance(0.25):
			l.version = vrrp.V2
		case s.chance(0.3):
			l.family = vrrp.IPv6
		}
		if l.version == vrrp.V3 {
			l.interval = s.pick(10*ms, 50*ms, 100*ms, 200*ms, 300*ms, 500*ms, 500*ms, time.Second, time.Second, time.Second, time.Second)
		}
		s.lans = append(s.lans, l)
	}
}

func (s *scenario) makeHosts() {
	count := []int{2, 2, 2, 3, 3, 4, 5, 6}[s.rng.IntN(8)]
	equal := s.chance(0.4) // priorities
	common := uint8(1 + s.rng.IntN(254))
	owner := s.chance(0.08)
	groups := len(s.lans) == 2 && s.chance(0.6)
	everybody := s.chance(0.6) // is a group, if there are any
	preempt := s.chance(0.6)
	differ := s.chance(0.3) // intervals
	s.shortest, s.longest = time.Hour, 0
	for i := range count {
		h := &host{Node: &Node{Name: string(rune('a' + i)), index: i}}
		h.grouped = groups && (everybody || s.chance(0.5))
		together := s.hostConfig(common, equal, preempt)
		for lan := range s.lans {
			cfg := together
			if !h.grouped {
				cfg = s.hostConfig(common, equal, preempt)
			}
			if owner && i == 0 {
				cfg.Priority = vrrp.PriorityOwner
			}
			h.cfgs = append(h.cfgs, s.routerConfig(lan, cfg, differ))
			h.sources = append(h.sources, s.address(lan, i))
		}
		if !h.grouped && len(s.lans) == 2 && s.chance(0.1) {
			h.cfgs, h.sources = h.cfgs[:1], h.sources[:1]
		}
		n := len(h.cfgs)
		h.faults, h.silent, h.atOnce, h.held, h.priorities = make([]string, n), make([]bool, n), make([]bool, n), make([]bool, n), make([]uint8, n)
		for lan, cfg := range h.cfgs {
			h.priorities[lan] = cfg.Priority
			s.bounds(cfg)
		}
		s.hosts = append(s.hosts, h)
		s.nodes = append(s.nodes, h.Node)
		s.prepareDead(h)
	}
	for lan := range s.lans {
		s.lans[lan].side = make([]bool, count)
	}
}

// prepareDead gives a host routers that were never started, so that there is
// something to send to.
func (s *scenario) prepareDead(h *host) {
	s.prepare(h.Node)
	h.alive = false
}

// hostConfig is what the members of a group share.
func (s *scenario) hostConfig(common uint8, equal, preempt bool) vrrp.Config {
	cfg := vrrp.Config{VRID: 51, Priority: common, Preempt: preempt || s.chance(0.5)}
	if !equal {
		cfg.Priority = uint8(1 + s.rng.IntN(254))
	}
	return cfg
}

func (s *scenario) routerConfig(lan int, cfg vrrp.Config, differ bool) vrrp.Config {
	l := s.lans[lan]
	cfg.Version, cfg.Family, cfg.AdvertInterval = l.version, l.family, l.interval
	if differ && l.version == vrrp.V3 {
		cfg.AdvertInterval = s.pick(l.interval, l.interval, 2*l.interval, max(l.interval/2, 10*ms).Truncate(10*ms), time.Second)
	}
	if s.chance(0.2) {
		cfg.PreemptDelay = s.upTo(8 * cfg.AdvertInterval)
	}
	if s.chance(0.2) {
		cfg.StartDelay = s.upTo(5 * cfg.AdvertInterval)
	}
	if s.chance(0.6) {
		cfg.HandoverTimeout = s.pick(4*cfg.AdvertInterval+time.Second, 4*cfg.AdvertInterval, cfg.AdvertInterval/2)
	}
	cfg.Strict = s.chance(0.1)
	cfg.Addresses = s.virtual(lan, 1+s.rng.IntN(2))
	return cfg
}

func (s *scenario) virtual(lan, count int) []netip.Addr {
	if s.lans[lan].family == vrrp.IPv6 {
		return []netip.Addr{netip.MustParseAddr("fe80::100"), netip.MustParseAddr("2001:db8::100")}[:count]
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{10, byte(lan), 0, 100}), netip.AddrFrom4([4]byte{10, byte(lan), 0, 101})}[:count]
}

// address draws an address that no other node has.
func (s *scenario) address(lan, node int) netip.Addr {
	last := byte(1 + node + 8*s.rng.IntN(12))
	if s.lans[lan].family == vrrp.IPv6 {
		return netip.AddrFrom16([16]byte{0xfe, 0x80, 15: last})
	}
	return netip.AddrFrom4([4]byte{10, byte(lan), 1, last})
}

// bounds remembers the extremes of all configurations there ever were.
func (s *scenario) bounds(cfg vrrp.Config) {
	s.shortest, s.longest = min(s.shortest, cfg.AdvertInterval), max(s.longest, cfg.AdvertInterval)
	s.preempt, s.start = max(s.preempt, cfg.PreemptDelay), max(s.start, cfg.StartDelay)
	s.handover = max(s.handover, cfg.HandoverTimeout)
}

func (s *scenario) makeLinks() {
	limit := min(20*ms, s.shortest)
	s.delayMax = limit
	same := s.chance(0.5)
	for lan := range s.lans {
		for a := range s.hosts {
			for b := range s.hosts {
				l := &link{base: 100*time.Microsecond + s.upTo(limit/4)}
				if !same {
					l.jitter = s.upTo(limit / 2)
				}
				s.links[way{a, b, lan}] = l
			}
		}
	}
}

// fate is what becomes of an advertisement on its way.
func (s *scenario) fate(from, to *member) (delays [2]time.Duration, copies int) {
	w := way{from.node.index, to.node.index, from.lan}
	l := s.links[w]
	side := s.lans[w.lan].side
	if side[w.from] != side[w.to] || s.hosts[w.from].silent[w.lan] || s.hosts[w.to].silent[w.lan] || l.loss > 0 && s.chance(l.loss) {
		l.lost = s.now
		return delays, 0
	}
	copies = 1
	if l.twice > 0 && s.chance(l.twice) {
		copies = 2
	}
	for i := range copies {
		delays[i] = l.base + s.upTo(l.jitter)
	}
	return delays, copies
}

func (s *scenario) shuffled() []*host {
	out := make([]*host, len(s.hosts))
	for i, j := range s.rng.Perm(len(s.hosts)) {
		out[i] = s.hosts[j]
	}
	return out
}

// launch starts a host as the daemon does: what is known of its surroundings
// comes first.
func (s *scenario) launch(h *host) {
	if h.alive {
		return
	}
	h.stopping = false
	s.say(h.Node, "starts: %s", s.describe(h))
	s.prepare(h.Node)
	for lan := range h.routers {
		s.tellFault(h, lan)
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventPriority, Priority: h.priorities[lan]})
		s.tellHold(h, lan)
	}
	for lan := range h.routers {
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventStartup})
	}
}

func (s *scenario) tellFault(h *host, lan int) {
	e := vrrp.Event{Kind: vrrp.EventFault, Silent: h.silent[lan], AtOnce: h.atOnce[lan]}
	if h.faults[lan] != "" {
		e.Reasons = []string{h.faults[lan]}
	}
	s.step(h.Node, lan, e)
}

func (s *scenario) tellHold(h *host, lan int) {
	e := vrrp.Event{Kind: vrrp.EventHold}
	if h.held[lan] {
		e.Reasons = []string{"no verdict yet"}
	}
	s.step(h.Node, lan, e)
}

func (s *scenario) describe(h *host) string {
	var b strings.Builder
	for lan, cfg := range h.cfgs {
		fmt.Fprintf(&b, "\n%15slan %d: v%d priority %d source %s every %s", "", lan, cfg.Version, cfg.Priority, h.sources[lan], cfg.AdvertInterval)
		if !cfg.Preempt {
			b.WriteString(" no preempt")
		}
		if cfg.PreemptDelay > 0 {
			fmt.Fprintf(&b, " preempt_delay %s", cfg.PreemptDelay)
		}
		if cfg.StartDelay > 0 {
			fmt.Fprintf(&b, " start_delay %s", cfg.StartDelay)
		}
		if cfg.HandoverTimeout > 0 {
			fmt.Fprintf(&b, " handover %s", cfg.HandoverTimeout)
		}
		if h.grouped {
			b.WriteString(" in a group")
		}
	}
	return b.String()
}
