package daemon

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vrrpd/vip"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

func TestStartup(t *testing.T) {
	s := newScript(t)
	if got := s.reload(oneInstance); !slices.Equal(got, []string{"instance web added"}) {
		t.Errorf("changes: %q", got)
	}
	s.got(`
		open eth0#2 ipv4
		drop web 192.0.2.100/24
		web: initialize -> backup (startup)
		saved`)
	at, takeover, ok := s.e.next()
	if want := s.now.Add(3609375 * time.Microsecond); at != want || !takeover || !ok {
		t.Errorf("next: %s, takeover %v, %v", at.Sub(s.now), takeover, ok)
	}
}

// Case 32: the owner of the addresses is active at once.
func TestCase32OwnerStartsActive(t *testing.T) {
	s := newScript(t)
	s.reload(oneInstance + "priority = 255\n")
	s.got(`
		open eth0#2 ipv4
		eth0#2: vrid 51 advertises 255
		hold web 192.0.2.100/24
		web: initialize -> active (owner)
		saved`)
}

// Case 46: the advertisement leaves before the addresses are ordered, and
// people are told last; with several routers, every advertisement comes before
// the first address.
func TestCase46AdvertisementsBeforeAddresses(t *testing.T) {
	s := started(t, oneInstance+`
[instance.db]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.101/24"]
[instance.mail]
interface = "eth1"
vrid = 51
addresses = ["198.51.100.100/24"]
`)
	s.fire()
	s.got(`
		eth0#2: vrid 51 advertises 100
		eth0#2: vrid 52 advertises 100
		eth1#3: vrid 51 advertises 100
		hold web 192.0.2.100/24
		hold db 192.0.2.101/24
		hold mail 198.51.100.100/24
		web: backup -> active (timeout)
		db: backup -> active (timeout)
		mail: backup -> active (timeout)`)
}

// Case 47: advertisements keep their pace whatever the delay of the loop.
func TestCase47NoDrift(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	begin := s.now
	for i := range 50 {
		at, _, _ := s.e.next()
		s.now = at.Add(time.Duration(i%7) * 10 * time.Millisecond)
		s.do(func() { s.e.expire(s.now, true) })
		s.got("eth0#2: vrid 51 advertises 100")
	}
	if at, _, _ := s.e.next(); at.Sub(begin) != 51*time.Second {
		t.Errorf("the 51st is due after %s", at.Sub(begin))
	}
}

// Advertisements that are due within half a millisecond leave together, and
// together again the next time; nobody takes over early.
func TestTogether(t *testing.T) {
	var toml strings.Builder
	for n, priority := range []int{200, 199, 197, 198} { // a step is 0.39 ms of skew
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface = \"eth0\"\nvrid = %d\npriority = %d\nadvert_interval = \"100ms\"\naddresses = [\"198.51.100.%d/24\"]\n", n+1, n+1, priority, n+1)
	}
	s := started(t, toml.String())
	for range 3 {
		s.hear(advert{vrid: 4, from: peer, priority: 250, interval: 100 * time.Millisecond})
		s.wait(100 * time.Millisecond)
	}
	s.activate("i1", "i2", "i3")
	s.state("i4", vrrp.Backup)
	s.e.timers.stop(s.inst("i4"))
	begin := s.now
	var at []time.Duration
	for range 4 {
		s.fire()
		at = append(at, s.now.Sub(begin))
	}
	s.got(`
		eth0#2: vrid 1 advertises 200
		eth0#2: vrid 2 advertises 199
		eth0#2: vrid 3 advertises 197
		eth0#2: vrid 1 advertises 200
		eth0#2: vrid 2 advertises 199
		eth0#2: vrid 3 advertises 197`)
	if at[2]-at[0] != 100*time.Millisecond || at[3]-at[1] != 100*time.Millisecond {
		t.Errorf("the turns were at %v", at)
	}

	// The backup's timer lies between: those after it wait for theirs.
	first := s.inst("i1").deadline
	s.e.timers.set(s.inst("i4"), first.Add(200*time.Microsecond))
	s.fire()
	s.got("eth0#2: vrid 1 advertises 200")
	if s.now != first {
		t.Errorf("%v early", first.Sub(s.now))
	}
}

// When hundreds take over at once, all advertise first, a turn's worth at a time,
// between which others keep their pace; the addresses follow.
func TestCrowd(t *testing.T) {
	const n = 2*takeoversAtOnce + 10
	var toml strings.Builder
	for i := range n {
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface = \"eth0\"\nvrid = %d\naddresses = [\"10.0.0.%d/32\"]\n", i+1, i+1, i+1)
	}
	fmt.Fprint(&toml, "[instance.other]\ninterface = \"eth1\"\nvrid = 1\npriority = 200\nadvert_interval = \"100ms\"\naddresses = [\"203.0.113.1/32\"]\n")
	s := started(t, toml.String())
	s.activate("other")
	for s.inst("other").deadline < s.inst("i1").deadline {
		s.fire()
	}
	s.forget()
	s.now = s.inst("other").deadline // by now all are due
	turns := 0
	for at, _, _ := s.e.next(); at <= s.now; at, _, _ = s.e.next() {
		if turns == 1 { // one that still waits hears of an active router
			s.hear(advert{vrid: n - 1, from: peer, priority: 200})
		}
		s.do(func() { s.e.expire(s.now, true) })
		turns++
	}
	if turns != 3 {
		t.Errorf("%d turns", turns)
	}
	var order []string
	for _, l := range s.lines {
		from, _, adverts := strings.Cut(l, ": vrid")
		switch {
		case strings.HasPrefix(l, "hold"):
			from = "hold"
		case !adverts:
			continue
		}
		if len(order) == 0 || order[len(order)-1] != from {
			order = append(order, from)
		}
	}
	if want := []string{"eth1#3", "eth0#2", "hold"}; !slices.Equal(order, want) {
		t.Errorf("in the order %q, want %q", order, want)
	}
	for i := range n {
		want := vrrp.Active
		if i+1 == n-1 {
			want = vrrp.Backup
		}
		s.state(fmt.Sprintf("i%d", i+1), want)
	}
}

// When the last of a crowd hear an active router before it is their turn, people
// are told of the others at once.
func TestCrowdEndsEarly(t *testing.T) {
	const n, last = 2 * takeoversAtOnce, 2*takeoversAtOnce + 1
	var toml strings.Builder
	for i := range last {
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface = \"eth0\"\nvrid = %d\naddresses = [\"10.0.0.%d/32\"]\n", i+1, i+1, i+1)
	}
	s := started(t, toml.String())
	s.fire()
	s.fire()
	if !s.e.crowd {
		t.Fatal("nobody is left")
	}
	s.hear(advert{vrid: last, from: peer, priority: 200})
	if len(s.notes) < n {
		t.Errorf("%d of %d takeovers are told", len(s.notes), n)
	}
}

func TestStop(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.do(func() { s.e.stop(s.now, false) })
	s.e.closePorts()
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		web: active -> initialize (shutdown)
		close eth0#2`)
	if _, _, ok := s.e.next(); ok {
		t.Error("a timer is set")
	}
}

func TestSendErrorsAreCountedAndToldOnceAMinute(t *testing.T) {
	s := started(t, oneInstance+`
[instance.db]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.101/24"]
`)
	s.activate("web", "db")
	for range 90 {
		w := s.wires["eth0 ipv4"]
		w.quiet, w.fail = true, map[int]error{1: os.ErrPermission}
		at, _, _ := s.e.next()
		s.now = at
		s.do(func() { s.e.expire(s.now, true) })
	}
	failed, fine := s.inst("db"), s.inst("web")
	if fine.sendFailed > failed.sendFailed {
		failed, fine = fine, failed
	}
	if failed.sendFailed != 90 || fine.sendFailed != 0 {
		t.Errorf("counted %d and %d", failed.sendFailed, fine.sendFailed)
	}
	if failed.sent < 90 || fine.sent < 90 {
		t.Errorf("sent %d and %d", failed.sent, fine.sent)
	}
	want := failed.cfg.Name + ": send 192.0.2.1 to 224.0.0.18 on eth0: permission denied"
	s.got(want + "\n" + want)
	if got := s.e.describe(s.now, failed).Adverts.Errors["send"]; got != 90 {
		t.Errorf("status says %d", got)
	}
}

// An advertisement sent and one received cost no memory.
func TestPathsDoNotAllocate(t *testing.T) {
	t.Run("send", func(t *testing.T) {
		s := started(t, oneInstance)
		s.activate("web")
		s.wires["eth0 ipv4"].quiet = true
		if n := testing.AllocsPerRun(1000, func() {
			at, _, _ := s.e.next()
			s.now = at
			s.e.expire(s.now, true)
			s.e.flush(s.now)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if sent := s.inst("web").sent; sent < 1000 {
			t.Errorf("only %d were sent", sent)
		}
	})
	for name, a := range map[string]advert{
		"receive":                           {from: peer, priority: 200},
		"receive another interval":          {from: peer, priority: 200, interval: 2 * time.Second},
		"receive other addresses":           {from: peer, priority: 200, vips: addrs("192.0.2.99")},
		"drop for a wrong checksum":         {from: peer, priority: 200, spoil: flipped(26)},
		"drop for a wrong TTL":              {from: peer, priority: 200, ttl: 1},
		"drop our own":                      {from: own, priority: 200},
		"drop for an unknown VRID":          {from: peer, priority: 200, vrid: 99},
		"drop what is truncated":            {from: peer, priority: 200, spoil: func(p []byte) []byte { return p[:25] }},
		"drop what is no IPv4 at all":       {from: peer, priority: 200, spoil: func(p []byte) []byte { return p[:12] }},
		"drop what was sent to us directly": {from: peer, priority: 200, to: own},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t, oneInstance)
			w, p := s.wires["eth0 ipv4"], a.packet()
			box := []transport.Packet{p}
			turn := func() {
				s.now++ // no minute passes: nothing is told again
				box[0].At = int64(s.now)
				w.inbox = box
				s.e.receive(s.now, 1)
				s.e.flush(s.now)
			}
			turn() // which tells, and learns
			if n := testing.AllocsPerRun(1000, turn); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// An advertisement that an order or a report causes leaves in the same turn.
// Very many reports are made in several turns, in their order, and what a
// caller waits for is not forgotten.
func TestReportsTakeTurns(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	const all = 3*reportsAtOnce + 5
	var done []int
	for i := range all {
		s.e.then(func() { done = append(done, i) })
	}
	for turn := 1; s.e.backlog(s.now); turn++ {
		s.e.send(s.inst("web"), 100, time.Second)
		s.e.flush(s.now)
		s.got("eth0#2: vrid 51 advertises 100")
		if want := min(turn*reportsAtOnce, all+1); len(done) != want {
			t.Fatalf("turn %d: %d reports, want %d", turn, len(done), want)
		}
		if turn == 1 {
			s.e.then(func() { done = append(done, all) })
		}
	}
	if len(done) != all+1 || !slices.IsSorted(done) {
		t.Errorf("%d in the end, in order %v", len(done), slices.IsSorted(done))
	}
}

func TestFlushSendsWhatOrdersCause(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.do(func() { s.e.then(func() { s.e.send(s.inst("web"), 100, time.Second) }) })
	s.got("eth0#2: vrid 51 advertises 100")
}

// Of a crowd that takes over within milliseconds nobody waits for what is said of
// the one before.
func TestReportsWaitForTheNextTakeover(t *testing.T) {
	s := started(t, oneInstance+strings.NewReplacer("web", "db", "51", "52", "2.100", "2.101").Replace(oneInstance))
	given := 0
	s.e.alone, s.e.out.giveWay = false, func() { given++ }
	s.e.timers.set(s.inst("db"), s.inst("web").deadline.Add(reportClear))
	s.fire()
	s.got(`eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24`)
	// Nor is it told that the addresses are there before who has them.
	s.do(func() {
		s.e.addressEvent(vip.Event{Kind: vip.Held, Owner: "web", Addresses: s.inst("web").want(true).Addresses})
	})
	s.got("")
	if given != 0 || s.e.backlog(s.now) {
		t.Errorf("it gave way %d times, and does not wait: %t", given, s.e.backlog(s.now))
	}
	s.fire()
	s.got(`eth0#2: vrid 52 advertises 100
		hold db 192.0.2.101/24
		web: backup -> active (timeout)
		took 0s
		web: holds 192.0.2.100/24, announced 0.0ms after the timer
		db: backup -> active (timeout)`)
	if given != 1 {
		t.Errorf("it gave way %d times in the end", given)
	}
}

// If there is time enough before the next one they do not.
func TestReportsBetweenTakeovers(t *testing.T) {
	s := started(t, oneInstance+strings.NewReplacer("web", "db", "51", "52", "2.100", "2.101").Replace(oneInstance))
	s.e.alone = false
	s.e.timers.set(s.inst("db"), s.inst("web").deadline.Add(reportClear+2*reportTakes))
	s.fire()
	s.got(`eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24
		web: backup -> active (timeout)`)
}

// They wait for a while at most, somebody being about to take over all the time;
// and where there is one processor not at all: who adds addresses needs it.
func TestReportsAreNotForgotten(t *testing.T) {
	for _, test := range []struct {
		alone bool
		after time.Duration
	}{{false, reportsHeld}, {true, 0}} {
		s := started(t, oneInstance)
		given, told := 0, 0
		s.e.alone, s.e.out.giveWay = test.alone, func() { given++ }
		s.e.urgent = true
		s.e.then(func() { told++ })
		start := s.now
		for told == 0 && s.now.Sub(start) < time.Minute {
			s.e.timers.set(s.inst("web"), s.now.Add(reportClear))
			s.e.flush(s.now)
			s.wait(time.Millisecond)
		}
		if after := s.now.Sub(start) - time.Millisecond; after != test.after || told != 1 || (given > 0) != test.alone {
			t.Errorf("alone %t: told %d times after %s, and gave way %d times", test.alone, told, after, given)
		}
	}
}
