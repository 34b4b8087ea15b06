package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// A script drives one router and writes down what it asks for.
type script struct {
	t   *testing.T
	r   *Router
	now Instant
}

func newScript(t *testing.T, change ...func(*Config)) *script {
	cfg := Config{VRID: 51, Version: V3, Family: IPv4, Priority: 100, AdvertInterval: time.Second, Preempt: true, Addresses: addrs("192.0.2.1")}
	for _, f := range change {
		f(&cfg)
	}
	s := &script{t: t, r: NewRouter(cfg), now: Instant(time.Hour)}
	s.r.Step(s.now, Event{Kind: EventSource, Source: netip.MustParseAddr("192.0.2.100")})
	return s
}

func version2(c *Config)                  { c.Version = V2 }
func noPreempt(c *Config)                 { c.Preempt = false }
func priority(p uint8) func(*Config)      { return func(c *Config) { c.Priority = p } }
func every(d time.Duration) func(*Config) { return func(c *Config) { c.AdvertInterval = d } }

// step feeds an event and compares the actions.
func (s *script) step(e Event, want string) {
	s.t.Helper()
	if got := s.render(s.r.Step(s.now, e)); got != want {
		s.t.Fatalf("at %s, state %s\ngot  %s\nwant %s", time.Duration(s.now-Instant(time.Hour)), s.r.State(), got, want)
	}
}

// quietly feeds an event whose actions do not matter here.
func (s *script) quietly(e Event) { s.r.Step(s.now, e) }

func (s *script) wait(d time.Duration) { s.now = s.now.Add(d) }

// fire waits for the timer and feeds it.
func (s *script) fire(want string) {
	s.t.Helper()
	at, armed := s.r.Deadline()
	if !armed {
		s.t.Fatal("no timer is set")
	}
	s.now = at
	s.step(Event{Kind: EventTimer}, want)
}

func (s *script) hear(src string, prio uint8, want string) {
	s.t.Helper()
	s.hearEvery(src, prio, s.r.Config().AdvertInterval, want)
}

func (s *script) hearEvery(src string, prio uint8, interval time.Duration, want string) {
	s.t.Helper()
	s.step(Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(src), Priority: prio, Interval: interval, At: s.now}}, want)
}

func (s *script) state(want State) {
	s.t.Helper()
	if s.r.State() != want {
		s.t.Fatalf("state is %s, want %s", s.r.State(), want)
	}
}

// becomeActive brings the router to Active without looking.
func (s *script) becomeActive() {
	s.t.Helper()
	s.quietly(Event{Kind: EventStartup})
	if at, armed := s.r.Deadline(); s.r.State() != Active && armed {
		s.now = at
		s.quietly(Event{Kind: EventTimer})
	}
	s.state(Active)
}

func (s *script) backup() {
	s.t.Helper()
	s.quietly(Event{Kind: EventStartup})
	s.state(Backup)
}

// render writes actions as one line; timers relative to now, in milliseconds.
func (s *script) render(actions []Action) string {
	var out []string
	for _, a := range actions {
		switch a.Kind {
		case ActionSendAdvert:
			out = append(out, fmt.Sprintf("adv(%d)", a.Priority))
		case ActionSetTimer:
			out = append(out, fmt.Sprintf("timer(%.3f)", float64(a.At.Sub(s.now))/float64(ms)))
		case ActionStopTimer:
			out = append(out, "stop")
		case ActionHoldAddresses:
			out = append(out, "hold")
		case ActionReleaseAddresses:
			out = append(out, "release")
		case ActionAnnounce:
			out = append(out, "announce")
		case ActionReport:
			if a.Record.Transition() {
				out = append(out, fmt.Sprintf("%s(%s)", a.Record.To, a.Record.Cause))
			} else {
				out = append(out, fmt.Sprintf("note(%s)", a.Record.Cause))
			}
		default:
			s.t.Fatalf("unknown action %+v", a)
		}
	}
	return strings.Join(out, " ")
}

const (
	peer   = "192.0.2.200" // higher address than ours
	lower  = "192.0.2.50"
	takeup = "adv(100) hold announce timer(1000.000) active(timeout)"
)

func TestCase31Startup(t *testing.T) {
	s := newScript(t)
	s.step(Event{Kind: EventStartup}, "backup(startup) timer(3609.375)")
	v2 := newScript(t, version2)
	v2.step(Event{Kind: EventStartup}, "backup(startup) timer(3609.375)")
}

func TestCase32OwnerStartup(t *testing.T) {
	s := newScript(t, priority(255))
	s.step(Event{Kind: EventStartup}, "adv(255) hold announce timer(1000.000) active(owner)")
}

func TestCase33AdvertInInitialize(t *testing.T) {
	s := newScript(t)
	s.hear(peer, 200, "")
	s.state(Initialize)
	s.quietly(Event{Kind: EventStartup})
	s.wait(time.Second)
	s.step(Event{Kind: EventStartup}, "")
	if at, _ := s.r.Deadline(); at.Sub(s.now) != 2609375*time.Microsecond {
		t.Errorf("a second startup moved the timer: %s left", at.Sub(s.now))
	}
}

func TestCase34HigherInBackup(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.wait(3 * time.Second)
	s.hear(peer, 110, "timer(3609.375)")
	if a := s.r.ActiveRouter(); a.Address != netip.MustParseAddr(peer) || a.Priority != 110 {
		t.Errorf("active router %+v", a)
	}
}

func TestCase35EqualLowerAddressInBackup(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.wait(time.Second)
	s.hear(lower, 100, "timer(3609.375)")
}

func TestCase36PreemptLower(t *testing.T) {
	s := newScript(t)
	s.backup()
	for range 3 {
		s.wait(time.Second)
		s.hear(peer, 50, "")
	}
	start := s.now
	s.fire("adv(100) hold announce timer(1000.000) active(preempt)")
	if waited := s.now.Sub(start); waited != 609375*time.Microsecond {
		t.Errorf("took over %s after the last advertisement, not at the first deadline", waited)
	}
}

func TestCase37NoPreempt(t *testing.T) {
	s := newScript(t, noPreempt)
	s.backup()
	s.wait(time.Second)
	s.hear(peer, 50, "timer(3609.375)")
}

func TestCase38PriorityZeroInBackup(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.hear(peer, 200, "timer(3609.375)")
	s.wait(time.Second)
	s.hear(peer, 0, "timer(609.375)")
	s.fire("adv(100) hold announce timer(1000.000) active(peer_left)")
}

func TestCase39SkewOfLearnedInterval(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.hearEvery(peer, 200, 200*ms, "timer(721.875)")
	s.hearEvery(peer, 0, time.Second, "timer(121.875)")
}

func TestCase40Learning(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.hearEvery(peer, 200, 100*ms, "timer(360.938)")
	s.hearEvery(peer, 200, MaxIntervalV3, "timer(147803.906)")
}

func TestCase41Version2LearnsNothing(t *testing.T) {
	s := newScript(t, version2)
	s.backup()
	s.hearEvery(peer, 200, 5*time.Second, "timer(3609.375)")
}

func TestCase42BackupShutdown(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.step(Event{Kind: EventShutdown}, "stop initialize(shutdown)")
	s.step(Event{Kind: EventShutdown}, "")
}

func TestCase45SkewIsNotTruncated(t *testing.T) {
	if a, b := SkewTime(V3, 254, 10*ms), SkewTime(V3, 253, 10*ms); a != 78125 || b != 117187 {
		t.Errorf("skews %d ns and %d ns", a, b)
	}
	if d := SkewTime(V2, 254, 10*time.Second); d != 7812500 {
		t.Errorf("version 2 skew %s: not scaled by the interval", d)
	}
}

func TestCase46OrderOfPromotion(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.fire(takeup) // the report, from which notifications come, is last
}

func TestCase47AdverTimerDoesNotDrift(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.fire("adv(100) timer(1000.000)")
	// Woken 30 ms late: the next one is on the old beat.
	at, _ := s.r.Deadline()
	s.now = at.Add(30 * ms)
	s.step(Event{Kind: EventTimer}, "adv(100) timer(970.000)")
	// Later than a whole interval: one advertisement, not a volley.
	at, _ = s.r.Deadline()
	s.now = at.Add(2500 * ms)
	s.step(Event{Kind: EventTimer}, "adv(100) timer(1000.000)")
}

func TestCase48PriorityZeroInActive(t *testing.T) {
	for _, v := range []func(*Config){func(*Config) {}, version2} {
		s := newScript(t, v)
		s.becomeActive()
		s.wait(300 * ms)
		s.hear(peer, 0, "adv(100) timer(1000.000) announce")
	}
}

func TestPriorityZeroFloodIsNotAnswered(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	answers := 0
	for range 1000 {
		for _, a := range s.r.Step(s.now, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), At: s.now, Interval: time.Second}}) {
			if a.Kind == ActionSendAdvert {
				answers++
			}
		}
		s.wait(ms)
	}
	if answers != releaseAnswers {
		t.Errorf("%d answers within an interval", answers)
	}
	if at, armed := s.r.Deadline(); !armed || at.Sub(s.now) > time.Second {
		t.Errorf("the flood holds the adver timer up: %s", at.Sub(s.now))
	}
}

func TestCase49LosingAdvertIsAnswered(t *testing.T) {
	s := newScript(t, priority(30))
	s.becomeActive()
	s.wait(300 * ms)
	s.hear(peer, 1, "adv(30) announce") // the adver timer goes on
	if at, _ := s.r.Deadline(); at.Sub(s.now) != 700*ms {
		t.Errorf("adver timer moved: %s left", at.Sub(s.now))
	}
}

func TestLosingFloodIsNotAnswered(t *testing.T) {
	s := newScript(t, every(100*ms))
	s.becomeActive()
	adverts, announcements := 0, 0
	for range 20000 { // a second of 20,000
		if at, _ := s.r.Deadline(); s.now >= at {
			s.quietly(Event{Kind: EventTimer})
		}
		for _, a := range s.r.Step(s.now, Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 1, At: s.now, Interval: 100 * ms}}) {
			switch a.Kind {
			case ActionSendAdvert:
				adverts++
			case ActionAnnounce:
				announcements++
			}
		}
		s.wait(50 * time.Microsecond)
	}
	if adverts != 10 || announcements != 1 {
		t.Errorf("%d answers and %d announcements in a second of 100 ms intervals", adverts, announcements)
	}
}

func TestCase50LosingAdvertVersion2(t *testing.T) {
	s := newScript(t, version2, func(c *Config) { c.Strict = true })
	s.becomeActive()
	s.hear(peer, 1, "announce")
	loose := newScript(t, version2)
	loose.becomeActive()
	loose.hear(peer, 1, "adv(100) announce")
}

func TestCase51LosingAdvertAnnouncesAgain(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.hear(peer, 1, "adv(100) announce")
	s.wait(500 * ms)
	s.hear(peer, 1, "")
	s.wait(600 * ms)
	s.hear(peer, 1, "adv(100) announce")
}

func TestCase52HigherInActive(t *testing.T) {
	s := newScript(t, priority(30))
	s.becomeActive()
	s.hear(peer, 100, "adv(30) timer(3882.812) release backup(higher_priority)")
	s.hear(peer, 100, "timer(3882.812)")
}

func TestCase53TieBreak(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.hear(lower, 100, "adv(100) announce")
	s.hear("192.0.2.100", 100, "") // our own address: somebody else's mistake
	s.state(Active)
	s.hear(peer, 100, "adv(100) timer(3609.375) release backup(higher_address)")
}

func TestCase54TieBreakIsUnsigned(t *testing.T) {
	for _, c := range []struct {
		own, other string
		yields     bool
	}{
		{"10.0.0.100", "10.0.0.200", true},
		{"10.0.0.200", "10.0.0.100", false},
		{"fe80::7fff:ffff:ffff:ffff", "fe80::8000:0:0:0", true},
		{"fe80::1:0:0:2", "fe80::1:0:0:1", false},
		{"fe80::1", "fe80::2", true},
	} {
		s := newScript(t)
		s.quietly(Event{Kind: EventSource, Source: netip.MustParseAddr(c.own)})
		s.becomeActive()
		s.quietly(Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(c.other), Priority: 100, Interval: time.Second, At: s.now}})
		if got := s.r.State() == Backup; got != c.yields {
			t.Errorf("%s hears %s: yields %v", c.own, c.other, got)
		}
	}
}

func TestCase55NoPreemptStillYields(t *testing.T) {
	s := newScript(t, noPreempt)
	s.becomeActive()
	s.hear(peer, 101, "adv(100) timer(3609.375) release backup(higher_priority)")
}

func TestCase56ActiveShutdown(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.step(Event{Kind: EventShutdown}, "stop adv(0) release initialize(shutdown)")
}

func TestCase57and58AddressesChange(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	cfg := s.r.Config()
	cfg.Addresses = addrs("192.0.2.1", "192.0.2.2")
	s.step(Event{Kind: EventReconfigure, Config: cfg}, "hold adv(100) timer(1000.000)")
	s.step(Event{Kind: EventReconfigure, Config: cfg}, "hold")
	cfg.Addresses = addrs("192.0.2.2")
	s.step(Event{Kind: EventReconfigure, Config: cfg}, "hold adv(100) timer(1000.000)")

	b := newScript(t)
	b.backup()
	b.wait(time.Second)
	b.step(Event{Kind: EventReconfigure, Config: cfg}, "timer(2609.375)")
}

func TestCase59PriorityAndIntervalChange(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.wait(400 * ms)
	s.step(Event{Kind: EventPriority, Priority: 80}, "adv(80) timer(1000.000)")
	s.step(Event{Kind: EventPriority, Priority: 80}, "")
	cfg := s.r.Config()
	cfg.AdvertInterval = 200 * ms
	s.step(Event{Kind: EventReconfigure, Config: cfg}, "hold adv(80) timer(200.000)")

	b := newScript(t)
	b.backup()
	b.hear(peer, 200, "timer(3609.375)")
	b.wait(time.Second)
	b.step(Event{Kind: EventPriority, Priority: 254}, "timer(2007.812)") // its skew moved, not its start
	b.wait(1500 * ms)
	b.step(Event{Kind: EventPriority, Priority: 1}, "timer(1496.094)")
	cfg = b.r.Config()
	cfg.AdvertInterval = 10 * ms
	b.step(Event{Kind: EventReconfigure, Config: cfg}, "timer(1496.094)") // the active router's interval counts, not ours
}

func TestCase60InterfaceDown(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.step(Event{Kind: EventFault, Reasons: []string{"eth0: no carrier"}, Silent: true}, "stop release fault(fault)")
	s.hear(peer, 200, "")
	s.step(Event{Kind: EventFault}, "backup(fault_cleared) timer(3609.375)")
}

func TestCase61OwnerConflict(t *testing.T) {
	s := newScript(t, priority(255))
	s.becomeActive()
	s.hear(lower, 255, "adv(255) announce")
	s.wait(time.Second)
	s.hear(lower, 255, "adv(255) announce")
	s.wait(time.Second)
	s.hear(lower, 255, "adv(255) announce note(owner_conflict)")
	s.hear(peer, 255, "note(owner_conflict) adv(255) timer(3003.906) release backup(higher_address)")
}

func TestCase62StaleTimer(t *testing.T) {
	s := newScript(t)
	s.backup()
	old, _ := s.r.Deadline()
	s.wait(time.Second)
	s.hear(peer, 200, "timer(3609.375)")
	s.now = old
	s.step(Event{Kind: EventTimer}, "")
	s.state(Backup)
}

func TestCase63TimerAfterShutdown(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.quietly(Event{Kind: EventShutdown})
	s.wait(time.Hour)
	s.step(Event{Kind: EventTimer}, "")
	s.state(Initialize)
}

func TestCase43RejectedAdvertsTouchNoTimer(t *testing.T) {
	// What Decode or Policy rejects never becomes an event; so it is enough
	// that nothing but EventAdvert moves the timer of a waiting backup.
	s := newScript(t)
	s.backup()
	at, _ := s.r.Deadline()
	s.wait(time.Second)
	for _, e := range []Event{{Kind: EventTimer}, {Kind: EventHold}, {Kind: EventFault}, {Kind: EventPriority, Priority: 100}, {Kind: EventPromote}, {Kind: EventStartup}} {
		s.step(e, "")
	}
	if now, _ := s.r.Deadline(); now != at {
		t.Error("the down timer moved")
	}
}

func TestCase71OnlyTheGivenClockCounts(t *testing.T) {
	// The router has no other clock than the instants it is given; a wall
	// clock that steps cannot reach it. Origins far apart behave alike.
	for _, origin := range []Instant{0, Instant(time.Hour), -Instant(time.Hour), 1 << 60} {
		s := newScript(t)
		s.now = origin
		s.step(Event{Kind: EventStartup}, "backup(startup) timer(3609.375)")
		s.fire(takeup)
	}
}

func TestCase79WeightZeroCheckFails(t *testing.T) {
	s := newScript(t)
	s.becomeActive()
	s.step(Event{Kind: EventPriority, Priority: 40}, "adv(40) timer(1000.000)")
	s.step(Event{Kind: EventFault, Reasons: []string{"check nginx is failing"}}, "stop adv(0) release fault(fault)")
}

func TestCase80OwnerHasNoWeights(t *testing.T) {
	s := newScript(t, priority(255))
	s.becomeActive()
	s.step(Event{Kind: EventPriority, Priority: 40}, "")
	s.step(Event{Kind: EventFault, Reasons: []string{"check nginx is failing"}}, "stop adv(0) release fault(fault)")
	s.step(Event{Kind: EventFault}, "adv(255) hold announce timer(1000.000) active(owner)")
}
