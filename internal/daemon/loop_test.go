package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/netif"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// newTestLoop is a loop on the kernel's clock, with sockets in memory that an
// eventfd makes readable. Its turns are the test's to make.
func newTestLoop(t *testing.T) (*script, *loop) {
	t.Helper()
	s := newScript(t)
	s.now = vrrp.Instant(transport.Now())
	poller, err := transport.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { poller.Close() })
	s.e.out.watch = func(w wire, token int32, _ *transport.Familiar) error {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		w.(*fakeWire).fd = fd
		return poller.Add(fd, token)
	}
	s.e.out.unwatch = func(w wire) { _ = poller.Remove(w.FD()) }
	return s, newLoop(s.e, poller, func(time.Duration) {})
}

// readable makes a socket say that something is waiting, or that nothing is.
func (w *fakeWire) readable(yes bool) {
	var b [8]byte
	if yes {
		b[0] = 1
		_, _ = unix.Write(w.fd, b[:])
	} else {
		_, _ = unix.Read(w.fd, b[:])
	}
}

// Case 44: an advertisement that waits in the socket as the down timer expires
// counts first. The timer has expired by the time the loop looks at all.
func TestCase44QueuedAdvertisementCountsFirst(t *testing.T) {
	s, l := newTestLoop(t)
	s.reload(oneInstance + "advert_interval = \"10ms\"\n")
	s.forget()
	due := s.inst("web").deadline
	for vrrp.Instant(transport.Now()) < due {
		time.Sleep(due.Sub(vrrp.Instant(transport.Now())))
	}
	w := s.deliver(advert{from: peer, priority: 200, interval: 40950 * time.Millisecond, at: due - 1})
	w.readable(true)
	if stopped, err := l.turn(); stopped || err != nil {
		t.Fatal(stopped, err)
	}
	s.state("web", vrrp.Backup)
	if s.inst("web").received != 1 {
		t.Error("the advertisement was not read")
	}
	if at := s.inst("web").deadline; at < due.Add(100*time.Second) {
		t.Errorf("the timer fires %s after the first time", at.Sub(due))
	}

	// The same without an advertisement: active.
	s, l = newTestLoop(t)
	s.reload(oneInstance + "advert_interval = \"10ms\"\n")
	for s.inst("web").router.State() == vrrp.Backup {
		if _, err := l.turn(); err != nil {
			t.Fatal(err)
		}
	}
	s.state("web", vrrp.Active)
	if now := vrrp.Instant(transport.Now()); now < s.inst("web").deadline.Add(-10*time.Millisecond) {
		t.Error("too early")
	}
}

// With more sockets than one look reports, all are read before a timer counts.
func TestManySocketsAreAllReadFirst(t *testing.T) {
	s, l := newTestLoop(t)
	const n = 150
	toml := ""
	for i := range n {
		name := "v" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		s.e.ifaces[name] = s.e.ifaces["eth0"]
		toml += "[instance." + name + "]\ninterface=\"" + name + "\"\nvrid=51\naddresses=[\"192.0.2.100/24\"]\nadvert_interval=\"10ms\"\n"
	}
	s.reload(toml)
	s.forget()
	time.Sleep(50 * time.Millisecond) // all timers have expired
	for _, inst := range s.e.instances {
		w := inst.port.wire.(*fakeWire)
		p := advert{from: peer, priority: 200, interval: 40950 * time.Millisecond}.packet()
		p.At = int64(inst.deadline - 1)
		w.inbox = append(w.inbox, p)
		w.readable(true)
	}
	if _, err := l.turn(); err != nil {
		t.Fatal(err)
	}
	for _, inst := range s.e.instances {
		if inst.router.State() != vrrp.Backup || inst.received != 1 {
			t.Fatalf("%s is %s and has received %d", inst.cfg.Name, inst.router.State(), inst.received)
		}
	}
}

// A socket that is ready for ever and has nothing to read keeps nobody from
// taking over.
func TestReadyWithoutAnything(t *testing.T) {
	s, l := newTestLoop(t)
	s.reload(oneInstance + "advert_interval = \"10ms\"\n")
	time.Sleep(50 * time.Millisecond)
	s.wires["eth0 ipv4"].readable(true) // and stays so
	if _, err := l.turn(); err != nil {
		t.Fatal(err)
	}
	s.state("web", vrrp.Active)
}

// A flood keeps a backup from taking over, and is no reason to believe that the
// loop did not run: what is active must be able to go on.
func TestFloodIsNoStall(t *testing.T) {
	for range 20 {
		s, l := newTestLoop(t)
		s.reload(oneInstance + "advert_interval = \"10ms\"\n")
		s.forget()
		w := s.wires["eth0 ipv4"]
		w.flood = true
		w.readable(true)
		start, longest := time.Now(), time.Duration(0)
		for last := start; last.Sub(start) < stallAfter+200*time.Millisecond; {
			if stopped, err := l.turn(); stopped || err != nil {
				t.Fatal(stopped, err)
			}
			now := time.Now()
			longest, last = max(longest, now.Sub(last)), now
		}
		if longest >= stallAfter/2 {
			continue // the machine was too busy: perhaps it did not
		}
		s.got("")
		if s.e.stalled {
			t.Error("the keeper of addresses believes that the loop does not go on")
		}
		s.state("web", vrrp.Backup)
		w.flood = false
		w.readable(false)
		if _, err := l.turn(); err != nil {
			t.Fatal(err)
		}
		s.state("web", vrrp.Active)
		return
	}
	t.Error("each time a turn took too long")
}

// In a flood a turn reads no more than a socket's share: active routers wait for
// it with their advertisements.
func TestFloodIsReadInShares(t *testing.T) {
	s, l := newTestLoop(t)
	s.reload(oneInstance + "advert_interval = \"10ms\"\n")
	time.Sleep(50 * time.Millisecond) // the timer has expired
	w := s.wires["eth0 ipv4"]
	w.flood = true
	w.readable(true)
	if _, err := l.turn(); err != nil {
		t.Fatal(err)
	}
	if w.reads != receiveRounds {
		t.Errorf("read %d times, want %d", w.reads, receiveRounds)
	}
}

// A loop that did not run looks at the interfaces before anything else.
func TestLooksAgainOnWaking(t *testing.T) {
	// waking has a router lose its carrier, or not, and sleep; on waking the
	// carrier is there, or not.
	waking := func(t *testing.T, activate, before, after bool, packets ...advert) *script {
		s, l := newTestLoop(t)
		s.reload(oneInstance + "advert_interval = \"10ms\"\n")
		inst := s.inst("web")
		for activate && inst.router.State() != vrrp.Active {
			if _, err := l.turn(); err != nil {
				t.Fatal(err)
			}
		}
		with := func(carrier bool) netif.Snapshot {
			ifaces := maps.Clone(s.e.ifaces)
			eth0 := ifaces["eth0"]
			eth0.Carrier = carrier
			ifaces["eth0"] = eth0
			return ifaces
		}
		now := vrrp.Instant(transport.Now())
		s.e.interfaces(now, with(before))
		if activate && inst.router.RidesOut() == before {
			t.Fatal("rides it out: ", !before)
		}
		l.look = func() (netif.Snapshot, bool) { return with(after), true }
		time.Sleep(stallAfter + 100*time.Millisecond)
		for _, a := range packets {
			a.at = vrrp.Instant(transport.Now())
			s.deliver(a).readable(true)
		}
		s.forget()
		if _, err := l.turn(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("an active router's carrier is back", func(t *testing.T) {
		s := waking(t, true, false, true)
		s.state("web", vrrp.Active)
		if s.inst("web").router.RidesOut() || s.inst("web").router.HandingOver() {
			t.Error("it does not speak again")
		}
	})
	t.Run("and somebody has taken over", func(t *testing.T) {
		s := waking(t, true, false, true, advert{from: peer, priority: 50})
		s.state("web", vrrp.Backup)
		if strings.Contains(strings.Join(s.lines, "\n"), "fault") {
			t.Errorf("got\n\t%s", strings.Join(s.lines, "\n\t"))
		}
	})
	t.Run("it is still gone", func(t *testing.T) {
		s := waking(t, true, false, false)
		s.state("web", vrrp.Fault)
	})
	t.Run("it is gone since", func(t *testing.T) {
		s := waking(t, true, true, false)
		s.state("web", vrrp.Fault)
	})
	t.Run("a backup's is gone", func(t *testing.T) {
		s := waking(t, false, true, false)
		s.state("web", vrrp.Fault)
		if strings.Contains(strings.Join(s.lines, "\n"), "active") {
			t.Errorf("got\n\t%s", strings.Join(s.lines, "\n\t"))
		}
	})
}

// With a short interval a carrier is waited for for no time, and less than a
// stall counts; in time nobody looks.
func TestLooksAgainBeforeFault(t *testing.T) {
	s, _ := newTestLoop(t)
	s.reload(oneInstance + "advert_interval = \"10ms\"\n")
	s.activate("web")
	if s.e.outdated(muteStallAfter) || !s.e.outdated(stallAfter) {
		t.Error("with a carrier, a stall counts, and nothing less")
	}
	s.inst("web").router.Step(s.now, vrrp.Event{Kind: vrrp.EventFault, Reasons: []string{"eth0 has no carrier"}, Silent: true, Brief: true})
	if !s.e.outdated(muteStallAfter) || s.e.outdated(muteStallAfter-1) {
		t.Error("without a carrier, less counts")
	}
}

func TestCallsOfTheLoop(t *testing.T) {
	_, l := newTestLoop(t)
	result := make(chan error, 1)
	go func() { result <- l.run() }()

	var wg sync.WaitGroup
	count := 0 // the loop's alone
	for range 50 {
		wg.Go(func() {
			for range 100 {
				if err := l.call(t.Context(), func(vrrp.Instant) { count++ }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if count != 5000 {
		t.Errorf("%d ran", count)
	}

	// What a call has put off until the packets have left has happened.
	flushed := false
	if err := l.call(t.Context(), func(vrrp.Instant) { l.engine.then(func() { flushed = true }) }); err != nil || !flushed {
		t.Error(err, flushed)
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	block := make(chan struct{})
	l.do(func(vrrp.Instant) { <-block })
	if err := l.call(gone, func(vrrp.Instant) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	// A request that comes in the last turn is answered.
	late := make(chan error, 1)
	go func() {
		l.do(func(vrrp.Instant) {
			l.end()
			l.mu.Lock()
			l.requests = append(l.requests, func(vrrp.Instant) { t.Error("ran after the end") })
			l.mu.Unlock()
		})
		close(block)
	}()
	if err := <-result; err != nil {
		t.Error(err)
	}
	go func() { late <- l.call(context.Background(), func(vrrp.Instant) {}) }()
	if err := <-late; !errors.Is(err, errStopped) {
		t.Error(err)
	}
	if l.do(func(vrrp.Instant) {}) {
		t.Error("a request was taken after the end")
	}
}

// A loop that fails does not leave those waiting who asked it something.
func TestLoopFails(t *testing.T) {
	_, l := newTestLoop(t)
	result := make(chan error, 1)
	answer := make(chan error, 1)
	if !l.do(func(vrrp.Instant) {
		go func() { answer <- l.call(context.Background(), func(vrrp.Instant) {}) }()
		l.poller.Close()
	}) {
		t.Fatal("not taken")
	}
	go func() { result <- l.run() }()
	if err := <-result; err == nil {
		t.Error("no error")
	}
	if err := <-answer; err != nil && !errors.Is(err, errStopped) {
		t.Error(err)
	}
}

// Between the takeovers of a crowd the loop yields, once it has not for a while and if
// there is the time: the runtime would have it yield in the middle of a turn.
func TestYieldsInACrowd(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // whoever else wants to run has to wait for this goroutine
	_, l := newTestLoop(t)
	const left = 2 * yieldTakes // well within what is waited without giving the processor away
	for _, c := range []struct {
		name   string
		since  time.Duration // the loop yielded
		left   time.Duration // until the takeover
		yields bool
	}{
		{"it is time", yieldAgain, left, true},
		{"it has just been", yieldAgain / 2, left, false},
		{"there is no time", yieldAgain, yieldTakes / 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The runtime may interrupt any one of them.
			for try, limit := 0, time.Now().Add(10*time.Second); ; try++ {
				var ran atomic.Bool
				go ran.Store(true)
				now := vrrp.Instant(transport.Now())
				l.engine.tookOver, l.yielded = now, now.Add(-c.since)
				if _, _, err := l.waitForTakeover(int64(now.Add(c.left))); err != nil {
					t.Fatal(err)
				}
				got, noted := ran.Load(), l.yielded == now.Add(-c.since)
				runtime.Gosched()
				if got == c.yields && noted == !c.yields {
					return
				}
				if time.Now().After(limit) {
					t.Fatalf("%d tries: others ran: %t, want %t; noted: %t", try, got, c.yields, !noted)
				}
			}
		})
	}
}

// In its last turn the loop does what is left to do, however much it is, so whoever
// waits for the end knows that it was one.
func TestLastTurnLeavesNothing(t *testing.T) {
	_, l := newTestLoop(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.run(); err != nil {
			t.Error(err)
		}
	})
	const n = 3*reportsAtOnce + 1
	done := 0
	err := l.call(t.Context(), func(vrrp.Instant) {
		for range n {
			l.engine.then(func() { done++ })
		}
		l.end()
	})
	wg.Wait()
	if err != nil || done != n {
		t.Errorf("%d of %d done, %v", done, n, err)
	}
}

// However many sockets there are, an advertisement in any of them counts before the
// timers, and after a stall as well.
func TestEverySocketIsReadFirst(t *testing.T) {
	const n = (drainRounds+1)*drainSees + 100
	s, l := newTestLoop(t)
	var toml strings.Builder
	for i := range n {
		name := fmt.Sprintf("v%d", i)
		s.e.ifaces[name] = netif.Interface{Name: name, Index: 10 + i, Up: true, Carrier: true, IPv4: addrs(own)}
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface = %q\nvrid = 51\npriority = 150\naddresses = [\"192.0.2.100/32\"]\n", i, name)
	}
	s.reload(toml.String())
	for i := range n {
		w := s.wires[fmt.Sprintf("v%d ipv4", i)]
		p := advert{from: peer, priority: 200, interval: 40950 * time.Millisecond}.packet()
		p.At = int64(s.now)
		w.inbox = append(w.inbox, p)
		w.readable(true)
	}
	for _, inst := range s.e.instances {
		s.e.timers.set(inst, vrrp.Instant(transport.Now()))
	}
	if stopped, err := l.turn(); stopped || err != nil {
		t.Fatal(stopped, err)
	}
	for _, inst := range s.e.instances {
		if inst.router.State() != vrrp.Backup || inst.received != 1 {
			t.Fatalf("%s is %s and has received %d", inst.cfg.Name, inst.router.State(), inst.received)
		}
	}
}
