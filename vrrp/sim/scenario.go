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

	calm     bool                        // nothing is done to it but what people do on purpose
	grouped  bool                        // some routers move together
	hastes   bool                        // groups are settled before anybody has joined
	slowest  int64                       // clock, as Node.ppm
	patience func(*member) time.Duration // how long a process may be gone for another to go on in its place
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
	cut        []bool   // it has no carrier …
	bond       bool     // … because it is a bond without a usable link
	told       []surroundings
	atOnce     []bool
	held       []bool
	priorities []uint8 // effective
	started    bool    // ever
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
func newScenario(seed uint64, quiet bool, t *twist) *scenario {
	s := &scenario{Network: New(), rng: rand.New(rand.NewPCG(seed, 0x767272)), links: map[way]*link{}}
	s.now = vrrp.Instant(time.Second) // so that no moment is 0
	s.quiet = quiet
	s.lateMax = s.pick(0, 10*time.Microsecond, ms/2)
	s.lateness = func() time.Duration { return s.upTo(s.lateMax) }
	s.carry = s.fate
	s.deaf = func(node *Node, lan int) bool { return s.hosts[node.index].cut[lan] }
	s.patience = func(m *member) time.Duration { return m.lasts(vrrp.ResumeWithin(m.Config().AdvertInterval)) }
	s.judge = newJudge(s)
	s.makeLANs()
	s.makeHosts()
	s.makeClocks()
	s.makeKernels()
	s.makeLinks()
	s.calm = s.chance(0.12)
	if s.twist = t; t != nil && t.setup != nil {
		t.setup(s)
	}
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
	count := []int{2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8}[s.rng.IntN(13)]
	equal := s.chance(0.4) // priorities
	common := uint8(1 + s.rng.IntN(254))
	owners := 0
	if s.chance(0.1) {
		owners = 1 + s.rng.IntN(2) // two are a mistake that people make
	}
	groups := len(s.lans) == 2 && s.chance(0.6)
	everybody := s.chance(0.6) // is a group, if there are any
	preempt := s.chance(0.6)
	differ := s.chance(0.3) // intervals
	s.shortest, s.longest = time.Hour, 0
	for i := range count {
		h := &host{Node: &Node{Name: string(rune('a' + i)), index: i}}
		h.bond = s.chance(0.2)
		h.grouped = groups && (everybody || s.chance(0.5))
		s.grouped = s.grouped || h.grouped
		together := s.hostConfig(common, equal, preempt)
		for lan := range s.lans {
			cfg := together
			if !h.grouped {
				cfg = s.hostConfig(common, equal, preempt)
			}
			if i < owners {
				cfg.Priority = vrrp.PriorityOwner
			}
			h.cfgs = append(h.cfgs, s.routerConfig(lan, cfg, differ))
			h.sources = append(h.sources, s.address(lan, i))
		}
		if !h.grouped && len(s.lans) == 2 && s.chance(0.1) {
			h.cfgs, h.sources = h.cfgs[:1], h.sources[:1]
		}
		n := len(h.cfgs)
		h.addresses, h.told, h.cut = make([]presence, n), make([]surroundings, n), make([]bool, n)
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

// makeClocks sets the clocks: right, as good as those of real machines, or as
// bad as no machine's are.
func (s *scenario) makeClocks() {
	wrong := []int64{0, 0, 0, 0, 300, 300, 50_000}[s.rng.IntN(7)]
	for _, h := range s.hosts {
		if wrong > 0 {
			h.ppm = s.rng.Int64N(2*wrong+1) - wrong
		}
		s.slowest = min(s.slowest, h.ppm)
	}
}

// atMost is how long something takes that takes d by a clock that is right.
func (s *scenario) atMost(d time.Duration) time.Duration {
	return d * million / time.Duration(million+s.slowest)
}

// makeKernels says how long addresses take to be there, and to leave by
// themselves.
func (s *scenario) makeKernels() {
	takes := s.pick(0, ms, 20*ms)
	s.install = func() time.Duration { return s.upTo(takes) }
	s.remains = func(lease time.Duration) time.Duration { return lease - s.upTo(lease/3) }
	for _, h := range s.hosts {
		for lan, cfg := range h.cfgs {
			lease := &h.addresses[lan].lease
			switch {
			case cfg.Priority == vrrp.PriorityOwner || s.chance(0.2):
			case s.chance(0.5): // as configured by default
				*lease = max(5*time.Second, (4*cfg.AdvertInterval + time.Second).Truncate(time.Second))
			default:
				*lease = 4 * cfg.AdvertInterval
			}
		}
	}
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

// offline reports whether nothing leaves or reaches a host on a LAN.
func (h *host) offline(lan int) bool { return h.silent[lan] || h.cut[lan] }

// fate is what becomes of an advertisement on its way.
func (s *scenario) fate(from, to *member) (delays [2]time.Duration, copies int) {
	w := way{from.node.index, to.node.index, from.lan}
	l := s.links[w]
	side := s.lans[w.lan].side
	if s.hosts[w.from].offline(w.lan) || s.hosts[w.to].offline(w.lan) {
		l.lost = s.now
		return delays, 0
	}
	if side[w.from] != side[w.to] || l.loss > 0 && s.chance(l.loss) {
		l.lost = s.now
		s.judge.upset(w.lan)
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
	h.stopping, h.started = false, true
	s.say(h.Node, "starts: %s", s.describe(h))
	s.prepare(h.Node)
	clear(h.told)
	for lan := range h.routers {
		s.tellFault(h, lan)
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventPriority, Priority: h.priorities[lan]})
		s.tellHold(h, lan)
	}
	for lan := range h.routers {
		s.step(h.Node, lan, vrrp.Event{Kind: vrrp.EventStartup, Resume: s.resumes(h, lan)})
	}
	s.cleanUp(h.Node)
}

// resumes reports whether a router, with all its group, was active so short a
// time ago that nobody can have taken over.
func (s *scenario) resumes(h *host, lan int) bool {
	for _, i := range h.unit(lan) {
		p := &h.addresses[i]
		if p.before == 0 || p.beforeLeaving || s.now.Sub(p.before) >= s.patience(h.routers[i]) {
			return false
		}
	}
	return true
}

// surroundings are what a daemon sees of an interface and of checks.
type surroundings struct {
	fault               string
	silent, atOnce, cut bool
}

// tellFault tells a router what changed in its surroundings.
func (s *scenario) tellFault(h *host, lan int) {
	now := surroundings{h.faults[lan], h.silent[lan], h.atOnce[lan], h.cut[lan]}
	if now == h.told[lan] {
		return
	}
	h.told[lan] = now
	e := vrrp.Event{Kind: vrrp.EventFault, Silent: now.silent || now.cut && !h.bond, AtOnce: now.atOnce || now.cut && h.bond, Brief: now.cut && now.fault == ""}
	if now.cut {
		e.Reasons = append(e.Reasons, "no carrier")
	}
	if now.fault != "" {
		e.Reasons = append(e.Reasons, now.fault)
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
