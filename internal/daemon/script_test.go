package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vrrpd/internal/config"
	"vrrpd/internal/netif"
	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	own  = "192.0.2.1"   // the address of eth0 here
	peer = "192.0.2.11"  // another node
	vip1 = "192.0.2.100" // the virtual address of most tests

	oneInstance = `
[instance.web]
interface = "eth0"
vrid = 51
addresses = ["192.0.2.100/24"]
`
)

// A script drives an engine by hand: it says what the time is, what arrives
// and what the interfaces look like, and writes down everything the engine
// does as lines of text.
type script struct {
	t     *testing.T
	e     *engine
	now   vrrp.Instant
	lines []string
	wires map[string]*fakeWire // by interface and family
	open  map[string]error     // interfaces that cannot be opened
	join  map[string]error     // … whose group cannot be joined
	saved savedState           // as of the last time the engine wanted it written
	again func(vrrp.Instant)   // what the engine wants to be called later
	soon  []func(vrrp.Instant) // … in another turn
	notes []note
}

func newScript(t *testing.T) *script {
	s := &script{t: t, now: vrrp.Instant(time.Hour), wires: map[string]*fakeWire{}, open: map[string]error{}, join: map[string]error{}}
	s.e = newEngine(outside{
		open: func(name string, index int, family vrrp.Family) (wire, error) {
			if err := s.open[name]; err != nil {
				return nil, err
			}
			s.line("open %s#%d %s", name, index, family)
			w := &fakeWire{s: s, name: fmt.Sprintf("%s#%d", name, index), family: family, join: s.join[name]}
			s.wires[name+" "+family.String()] = w
			return w, nil
		},
		watch:     func(wire, int32, *transport.Familiar) error { return nil },
		unwatch:   func(wire) {},
		addresses: fakeAddresses{s},
		tell:      s.told,
		notify: func(n notification) {
			s.line("notify %s %s %s %s", n.name, n.state, n.condition, n.turned)
		},
		took:  func(d time.Duration) { s.line("took %s", d.Round(time.Millisecond)) },
		saved: func() { s.saved = s.e.state("boot"); s.line("saved") },
		again: func(after time.Duration, do func(vrrp.Instant)) {
			if after == 0 {
				s.soon = append(s.soon, do)
				return
			}
			s.again = do
		},
		readBonds: func() { s.line("read the bonds") },
		giveWay:   func() {},
		aside:     func(do func()) { do() },
		collect:   func() { s.line("collect") },
		boottime:  func() int64 { return int64(s.now) },
		slot:      func(identity) *atomic.Int64 { return new(atomic.Int64) },
		free:      func(identity) {},
	})
	s.e.ifaces = netif.Snapshot{
		"eth0": {Name: "eth0", Index: 2, Up: true, Carrier: true, IPv4: addrs(own), LinkLocal: addrs("fe80::1"), Global: addrs("2001:db8::1")},
		"eth1": {Name: "eth1", Index: 3, Up: true, Carrier: true, IPv4: addrs("198.51.100.1"), LinkLocal: addrs("fe80::2")},
	}
	return s
}

// started is a script whose engine runs a configuration; what starting it did
// is forgotten.
func started(t *testing.T, toml string) *script {
	t.Helper()
	s := newScript(t)
	s.reload(toml)
	s.lines, s.notes = nil, nil
	return s
}

func (s *script) line(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *script) told(n note) {
	s.notes = append(s.notes, n)
	if n.from != "" {
		s.line("%s: %s -> %s (%s)", n.instance, n.from, n.to, n.cause)
		return
	}
	who := n.instance
	if who == "" {
		who = n.kind
	}
	s.line("%s: %s", who, n.text)
}

// got compares what was done since the last time with lines of text, blanks
// around them left out.
func (s *script) got(want string) {
	s.t.Helper()
	var lines []string
	for l := range strings.Lines(want) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	if !slices.Equal(s.lines, lines) {
		s.t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(s.lines, "\n\t"), strings.Join(lines, "\n\t"))
	}
	s.lines = nil
}

func (s *script) forget() { s.lines, s.notes = nil, nil }

// parse reads a configuration as the daemon would.
func parse(t testing.TB, toml string) *config.Plan {
	t.Helper()
	plan, problems := config.Parse("test.toml", []byte(toml), config.Env{
		Hostname: func() (string, error) { return "node1", nil },
	})
	if plan == nil {
		t.Fatalf("the configuration of the test is wrong:\n%s", strings.Join(problems.Strings(), "\n"))
	}
	if !strings.Contains(toml, "handover") { // handovers have tests of their own
		for i := range plan.Instances {
			plan.Instances[i].Handover = "immediate"
		}
	}
	return plan
}

// reload makes a configuration the one in force, as the daemon does.
func (s *script) reload(toml string) (changes []string) {
	s.t.Helper()
	return s.start(toml, past{})
}

func (s *script) start(toml string, before past) (changes []string) {
	s.t.Helper()
	plan := parse(s.t, toml)
	s.do(func() {
		s.e.setChecks(plan.Checks, plan.Node)
		changes = s.e.apply(s.now, plan, before)
	})
	return changes
}

// do is a turn of the loop with one request, and the turns that it brings about.
func (s *script) do(f func()) {
	f()
	for s.e.flush(s.now); s.e.backlog(s.now) || len(s.soon) > 0; s.e.flush(s.now) {
		soon := s.soon
		s.soon = nil
		for _, do := range soon {
			do(s.now)
		}
	}
}

func (s *script) wait(d time.Duration) { s.now = s.now.Add(d) }

// fire waits for the next timer and has it expire.
func (s *script) fire() {
	s.t.Helper()
	at, _, ok := s.e.next()
	if !ok {
		s.t.Fatal("no timer is set")
	}
	s.now = at
	s.do(func() { s.e.expire(s.now, true) })
}

// snapshot describes the engine as it is now.
func (s *script) snapshot() Snapshot {
	all, err := s.e.snapshot(func(f func(vrrp.Instant)) error { f(s.now); return nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *script) inst(name string) *instance {
	s.t.Helper()
	inst := s.e.named(name)
	if inst == nil {
		s.t.Fatalf("there is no instance %s", name)
	}
	return inst
}

func (s *script) state(name string, want vrrp.State) {
	s.t.Helper()
	if got := s.inst(name).router.State(); got != want {
		s.t.Fatalf("%s is %s, want %s", name, got, want)
	}
}

// activate lets the down timers run out, until everything named is active.
func (s *script) activate(names ...string) {
	s.t.Helper()
	for range 2 * len(names) {
		if !slices.ContainsFunc(names, func(n string) bool { return s.inst(n).router.State() != vrrp.Active }) {
			break
		}
		s.fire()
	}
	for _, n := range names {
		s.state(n, vrrp.Active)
	}
	s.forget()
}

// An advert is what a peer sends in a test.
type advert struct {
	from     string
	to       string // the group unless given
	vrid     uint8
	priority uint8
	ttl      int
	version  vrrp.Version
	interval time.Duration
	form     vrrp.ChecksumForm
	password string
	vips     []netip.Addr
	at       vrrp.Instant // when it arrived; 0: now
	spoil    func(packet []byte) []byte
}

// hear has an advertisement arrive on eth0 and be read.
func (s *script) hear(a advert) {
	s.t.Helper()
	w := s.deliver(a)
	s.do(func() { s.e.receive(s.now, s.tokenOf(w)) })
}

// deliver puts an advertisement into the socket of eth0 of its family.
func (s *script) deliver(a advert) *fakeWire {
	s.t.Helper()
	p := a.packet()
	if p.At = int64(a.at); p.At == 0 {
		p.At = int64(s.now)
	}
	w := s.wires["eth0 "+vrrp.FamilyOf(p.Src).String()]
	if w == nil {
		s.t.Fatal("no socket is open for it")
	}
	w.inbox = append(w.inbox, p)
	return w
}

func (s *script) tokenOf(w *fakeWire) int32 {
	s.t.Helper()
	for _, p := range s.e.ports {
		if p.wire == wire(w) {
			return p.token
		}
	}
	s.t.Fatal("nobody reads this socket")
	return 0
}

func (a advert) packet() transport.Packet {
	v6 := netip.MustParseAddr(a.from).Is6()
	if a.vrid == 0 {
		a.vrid = 51
	}
	if a.version == 0 {
		a.version = vrrp.V3
	}
	if a.ttl == 0 {
		a.ttl = 255
	}
	if a.interval == 0 {
		a.interval = time.Second
	}
	if a.form == 0 {
		a.form = vrrp.ChecksumPseudoHeader
	}
	if a.vips == nil {
		a.vips = addrs(vip1)
	}
	src, dst := netip.MustParseAddr(a.from), transport.GroupIPv4
	if v6 {
		dst = transport.GroupIPv6
	}
	if a.to != "" {
		dst = netip.MustParseAddr(a.to)
	}
	wire := vrrp.Advert{Version: a.version, VRID: a.vrid, Priority: a.priority, Interval: a.interval, Addresses: a.vips, Checksum: a.form}
	if a.password != "" {
		wire.AuthType, wire.AuthData = vrrp.AuthPass, vrrp.PasswordData(a.password)
	}
	if v6 {
		return transport.Packet{Data: wire.Append(nil, src, dst), Src: src, Dst: dst, HopLimit: a.ttl}
	}
	s, d := src.As4(), dst.As4()
	data := append([]byte{0x45, 0xc0, 0, 0, 0, 0, 0, 0, byte(a.ttl), 112, 0, 0}, append(s[:], d[:]...)...)
	data = wire.Append(data, src, dst)
	data[2], data[3] = byte(len(data)>>8), byte(len(data))
	if a.spoil != nil {
		data = a.spoil(data)
	}
	return transport.Packet{Data: data, Src: src, Dst: dst, HopLimit: -1}
}

// A fakeWire is a socket in memory. What it sends must be well formed.
type fakeWire struct {
	s      *script
	name   string
	family vrrp.Family
	fd     int
	spoil  int  // which message of a series cannot be sent, from 1 on
	line   int  // what a series is sent on, a socket that is connected; 0: nothing
	flood  bool // whatever is read, there is more
	reads  int
	inbox  []transport.Packet
	outbox []frame
	fail   map[int]error // what becomes of the messages of the next Flush
	broken error         // of Receive
	join   error         // of Join
	closed bool
	quiet  bool // write nothing down
	failed []transport.SendError
	advert vrrp.Advert
}

type frame struct {
	src, dst netip.Addr
	data     []byte
}

func (w *fakeWire) FD() int { return w.fd }

func (w *fakeWire) Join() error { return w.join }

func (w *fakeWire) Series(of *transport.Series, due int64, interval time.Duration, messages []transport.Message) *transport.Series {
	if w.line == 0 {
		return nil
	}
	if w.spoil > 0 && len(messages) >= w.spoil {
		messages[w.spoil-1].Data = make([]byte, 10<<20) // longer than any can be
	}
	return transport.NewSeries(of, w.line, due, interval, messages)
}

func (w *fakeWire) Receive(*transport.Batch) (packets []transport.Packet, more bool, err error) {
	if w.reads++; w.flood {
		return nil, true, nil
	}
	if w.broken != nil {
		return nil, false, w.broken
	}
	n := min(len(w.inbox), transport.BatchSize)
	packets, w.inbox = w.inbox[:n], w.inbox[n:]
	if w.fd != 0 && n > 0 && len(w.inbox) == 0 {
		w.readable(false)
	}
	return packets, n == transport.BatchSize, nil
}

func (w *fakeWire) Queue(src, dst netip.Addr, data []byte) {
	w.outbox = append(w.outbox, frame{src, dst, data})
}

func (w *fakeWire) Flush() (sent int, failed []transport.SendError) {
	w.failed = w.failed[:0]
	for i, f := range w.outbox {
		if err := w.fail[i]; err != nil {
			w.failed = append(w.failed, transport.SendError{Index: i, Interface: "eth0", Src: f.src, Dst: f.dst, Err: err})
			continue
		}
		sent++
		if r := vrrp.Decode(vrrp.Datagram{Src: f.src, Dst: f.dst, TTL: 255, Message: f.data}, &w.advert); r != vrrp.Accepted {
			w.s.t.Errorf("sent to %s: %x is not well formed: %s", f.dst, f.data, r)
		}
		if w.quiet {
			continue
		}
		to := ""
		if !f.dst.IsMulticast() {
			to = " to " + f.dst.String()
		}
		w.s.line("%s: vrid %d advertises %d%s", w.name, w.advert.VRID, w.advert.Priority, to)
	}
	w.outbox, w.fail = w.outbox[:0], nil
	return sent, w.failed
}

func (w *fakeWire) Close() error {
	w.closed = true
	if len(w.outbox) > 0 {
		w.s.line("close %s, %d messages unsent", w.name, len(w.outbox))
		return nil
	}
	w.s.line("close %s", w.name)
	return nil
}

// fakeAddresses writes orders down.
type fakeAddresses struct{ s *script }

func (f fakeAddresses) Set(owner string, w vip.Want) {
	verb := "drop"
	if w.Hold {
		verb = "hold"
	}
	linger := ""
	if w.Linger > 0 {
		linger = fmt.Sprintf(" in %s", w.Linger)
	}
	f.s.line("%s %s %s%s", verb, owner, strings.Join(addressNames(w.Addresses), " "), linger)
}
func (f fakeAddresses) Forget(owner string)             { f.s.line("forget %s", owner) }
func (f fakeAddresses) Rename(from, to string)          { f.s.line("rename %q %q", from, to) }
func (f fakeAddresses) Beat()                           {}
func (f fakeAddresses) Ready(time.Duration, vip.Caller) {}
func (f fakeAddresses) Announce(owner string)           { f.s.line("announce %s", owner) }

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// flipped changes one bit of a packet.
func flipped(at int) func([]byte) []byte {
	return func(p []byte) []byte { p[at] ^= 1; return p }
}

var errTest = errors.New("no way")
