package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/netif"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// A far end is where what leaves by itself arrives.
type farEnd struct {
	t  *testing.T
	fd int
}

// connect gives a socket of the test a line, so that something can be planned.
func (w *fakeWire) connect() farEnd {
	w.s.t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		w.s.t.Fatal(err)
	}
	w.s.t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	w.line = pair[0]
	return farEnd{w.s.t, pair[1]}
}

// received is what has arrived since the last time, by VRID and priority.
func (f farEnd) received() (all []string) {
	f.t.Helper()
	var b [1500]byte
	var a vrrp.Advert
	for {
		n, err := unix.Read(f.fd, b[:])
		if err == unix.EAGAIN {
			return all
		}
		if err != nil {
			f.t.Fatal(err)
		}
		d := vrrp.Datagram{Src: netip.MustParseAddr(own), Dst: transport.GroupIPv4, TTL: 255, Message: b[:n]}
		if r := vrrp.Decode(d, &a); r != vrrp.Accepted {
			f.t.Fatalf("%x is not well formed: %s", b[:n], r)
		}
		all = append(all, fmt.Sprintf("%d:%d", a.VRID, a.Priority))
	}
}

// planned is a loop with routers on eth0 that are active, and whose
// advertisements leave by themselves. VRIDs are from 1 on, all priorities 200.
func planned(t *testing.T, more string, intervals ...time.Duration) (*script, *loop, farEnd) {
	t.Helper()
	s, l := newTestLoop(t)
	var toml strings.Builder
	for i, interval := range intervals {
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface=\"eth0\"\nvrid=%d\npriority=200\naddresses=[\"192.0.2.%d/24\"]\nadvert_interval=\"%dms\"\n",
			i+1, i+1, 101+i, interval.Milliseconds())
	}
	s.reload(toml.String() + more)
	end := s.wires["eth0 ipv4"].connect()
	untilPlanned(s, l)
	s.forget()
	end.received()
	return s, l, end
}

func untilPlanned(s *script, l *loop) {
	s.t.Helper()
	turns(s, l, "everything is planned", func() bool {
		for _, inst := range s.e.instances {
			if inst.id.iface == "eth0" && inst.slot != plannedSlot {
				return false
			}
		}
		return true
	})
}

// turns lets the loop run until something holds.
func turns(s *script, l *loop, what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited too long for: %s", what)
		}
		if stopped, err := l.turn(); stopped || err != nil {
			s.t.Fatal(stopped, err)
		}
	}
}

func count(all []string, what string) (n int) {
	for _, a := range all {
		if a == what {
			n++
		}
	}
	return n
}

// What is planned leaves at its interval, and everybody knows it afterwards.
func TestPlan(t *testing.T) {
	s, l, end := planned(t, "", 10*time.Millisecond, 20*time.Millisecond, 10*time.Millisecond)
	before := map[string]uint64{}
	dues := map[string]vrrp.Instant{}
	for _, inst := range s.e.instances {
		before[inst.cfg.Name], dues[inst.cfg.Name] = inst.sent, inst.deadline
	}
	start := time.Now()
	turns(s, l, "a second", func() bool { return time.Since(start) > time.Second })
	now := vrrp.Instant(transport.Now())
	s.e.followPlan()
	got := end.received()
	for i, inst := range s.e.instances {
		name := inst.cfg.Name
		queued := 0 // the machine was too busy for the plan, or the plan was made anew
		for _, line := range s.lines {
			if line == fmt.Sprintf("eth0#2: vrid %d advertises %d", inst.cfg.VRID, inst.cfg.Priority) {
				queued++
			}
		}
		sent := int(inst.sent - before[name])
		left := count(got, fmt.Sprintf("%d:200", i+1))
		if left == 0 || left+queued != sent {
			t.Errorf("%s counts %d: %d have left by themselves, %d otherwise", name, sent, left, queued)
		}
		if n := int(inst.deadline.Sub(dues[name]) / inst.cfg.AdvertInterval); sent > n || queued == 0 && sent != n {
			t.Errorf("%s has sent %d in %d intervals", name, sent, n)
		}
		if inst.deadline.Sub(now) > inst.cfg.AdvertInterval {
			t.Errorf("the timer of %s is %s ahead", name, inst.deadline.Sub(now))
		}
		if next, armed := s.e.firstTimer(); !armed || next > inst.deadline {
			t.Errorf("the next timer is %s after that of %s", next.Sub(inst.deadline), name)
		}
		s.state(name, vrrp.Active)
		if inst.beat.Load() == 0 {
			t.Errorf("%s is not marked as alive", name)
		}
	}
}

// An end of being active, of whatever kind, is the end of it: nothing leaves after.
func TestPlanEnds(t *testing.T) {
	for name, end := range map[string]func(s *script, l *loop){
		"a better router": func(s *script, l *loop) {
			w := s.deliver(advert{from: peer, vrid: 1, priority: 250, interval: 40 * time.Second, vips: addrs("192.0.2.101")})
			w.readable(true)
		},
		"a demotion": func(s *script, l *loop) {
			l.do(func(now vrrp.Instant) {
				s.e.step(now, s.inst("i1"), vrrp.Event{Kind: vrrp.EventDemote, Demotion: vrrp.Demoted})
			})
		},
		"a socket that is gone": func(s *script, l *loop) {
			l.do(func(vrrp.Instant) { s.see(func(i *netif.Interface) { *i = netif.Interface{} }) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, l, far := planned(t, "", 10*time.Millisecond, 10*time.Millisecond)
			end(s, l)
			turns(s, l, "the end", func() bool { return s.inst("i1").router.State() != vrrp.Active })
			far.received()
			start := time.Now()
			turns(s, l, "some time", func() bool { return time.Since(start) > 100*time.Millisecond })
			if got := far.received(); count(got, "1:200") > 0 {
				t.Errorf("%d advertisements after the end", count(got, "1:200"))
			}
		})
	}
}

// The members of a group share their fate.
func TestPlanOfGroup(t *testing.T) {
	s, l, far := planned(t, "[group.g]\ninstances=[\"i1\",\"i2\"]\n", 10*time.Millisecond, 10*time.Millisecond)
	w := s.deliver(advert{from: peer, vrid: 2, priority: 250, interval: 40 * time.Second, vips: addrs("192.0.2.102")})
	w.readable(true)
	turns(s, l, "both are backups", func() bool {
		return s.inst("i1").router.State() != vrrp.Active && s.inst("i2").router.State() != vrrp.Active
	})
	far.received()
	start := time.Now()
	turns(s, l, "some time", func() bool { return time.Since(start) > 100*time.Millisecond })
	if got := far.received(); len(got) > 0 {
		t.Errorf("afterwards: %v", got)
	}
}

// What an advertisement says changes at once, whoever changed it.
func TestPlanIsMadeAnew(t *testing.T) {
	s, l, far := planned(t, "", 10*time.Millisecond)
	l.do(func(now vrrp.Instant) {
		s.e.step(now, s.inst("i1"), vrrp.Event{Kind: vrrp.EventPriority, Priority: 150})
	})
	turns(s, l, "the change", func() bool { return s.inst("i1").router.Priority() == 150 })
	far.received()
	turns(s, l, "an advertisement", func() bool { return count(far.received(), "1:150") > 0 })

	// A peer that loses uses the other form of the checksum.
	untilPlanned(s, l)
	w := s.deliver(advert{from: peer, vrid: 1, priority: 50, interval: 10 * time.Millisecond, form: vrrp.ChecksumMessage, vips: addrs("192.0.2.101")})
	w.readable(true)
	turns(s, l, "it is heard", func() bool { return s.inst("i1").form == vrrp.ChecksumMessage })
	far.received()
	untilPlanned(s, l)
	var b [100]byte
	turns(s, l, "an advertisement", func() bool {
		n, err := unix.Read(far.fd, b[:])
		if err != nil {
			return false
		}
		var a vrrp.Advert
		d := vrrp.Datagram{Src: netip.MustParseAddr(own), Dst: transport.GroupIPv4, TTL: 255, Message: b[:n]}
		if r := vrrp.Decode(d, &a); r != vrrp.Accepted || a.Checksum != vrrp.ChecksumMessage {
			t.Fatalf("%s, in the form %v", r, a.Checksum)
		}
		return true
	})
}

// A plan does not outlive what it says, even where no advertisement is due for it.
func TestPlanKnowsWhatItSays(t *testing.T) {
	s, _, _ := planned(t, "", 200*time.Millisecond)
	now := vrrp.Instant(transport.Now())
	s.e.step(now, s.inst("i1"), vrrp.Event{Kind: vrrp.EventPriority, Priority: 150})
	if s.e.plan.schedule != nil {
		t.Error("it goes on with another priority")
	}

	s, _, _ = planned(t, "", 200*time.Millisecond)
	loses := advert{from: peer, vrid: 1, priority: 50, interval: 200 * time.Millisecond, vips: addrs("192.0.2.101")}
	hear := func() {
		now := vrrp.Instant(transport.Now())
		loses.at = now
		s.e.receive(now, s.tokenOf(s.deliver(loses)))
	}
	hear() // and is answered, once an interval
	s.e.flush(vrrp.Instant(transport.Now()))
	s.e.makePlan(vrrp.Instant(transport.Now()).Add(planAgain))
	hear()
	if s.e.plan.schedule == nil {
		t.Error("it ends although nothing has changed")
	}
	loses.form = vrrp.ChecksumMessage
	hear()
	if s.e.plan.schedule != nil {
		t.Error("it goes on with another form of the checksum")
	}
}

// What cannot leave by itself leaves in the usual way, with errors and all, and
// nothing is sent twice.
func TestPlanFails(t *testing.T) {
	s, l, far := planned(t, "", 10*time.Millisecond, 10*time.Millisecond, 10*time.Millisecond)
	l.do(func(now vrrp.Instant) {
		s.e.endPlan()
		s.wires["eth0 ipv4"].spoil = 2
	})
	turns(s, l, "the request", func() bool { return s.wires["eth0 ipv4"].spoil > 0 })
	untilPlanned(s, l)
	s.forget()
	far.received()
	before := map[string]uint64{}
	for _, inst := range s.e.instances {
		before[inst.cfg.Name] = inst.sent
	}
	turns(s, l, "a round", func() bool { return s.e.plan.schedule == nil || s.inst("i3").sent > before["i3"] })
	s.e.followPlan()
	lines := far.received()
	for _, line := range s.lines {
		lines = append(lines, strings.NewReplacer("eth0#2: vrid ", "", " advertises ", ":").Replace(line))
	}
	for i, inst := range s.e.instances {
		if n, want := count(lines, fmt.Sprintf("%d:200", i+1)), int(inst.sent-before[inst.cfg.Name]); n != want || want == 0 {
			t.Errorf("%s has sent %d, and counts %d: %v", inst.cfg.Name, n, want, lines)
		}
	}
}

// A takeover is waited for in its own way; a plan goes on beside it only if
// nothing of it is due before.
func TestPlanBesideTakeover(t *testing.T) {
	s, _, _ := planned(t, "[instance.late]\ninterface=\"eth1\"\nvrid=9\naddresses=[\"198.51.100.9/24\"]\n", 10*time.Millisecond)
	late := s.inst("late")
	for _, c := range []struct {
		after time.Duration // the takeover after what is due next
		in    time.Duration // and from now
		stays bool
	}{
		{-planAfter - 1, time.Millisecond, true},
		{-planAfter, time.Millisecond, false},
		{time.Millisecond, time.Millisecond, false},
		{time.Millisecond, planClear - 1, false},
		{time.Millisecond, planClear, true},
	} {
		at := s.inst("i1").deadline.Add(c.after)
		s.e.timers.set(late, at)
		s.e.makePlan(at.Add(-c.in))
		if stays := s.e.plan.schedule != nil; stays != c.stays {
			t.Errorf("%s after the next, in %s: a plan %t", c.after, c.in, stays)
		}
		s.e.timers.set(late, at.Add(time.Hour))
		s.e.plan.made = 0
		s.e.makePlan(at)
		if s.e.plan.schedule == nil {
			t.Fatal("no plan is made afterwards")
		}
	}
}

// One whose advertisements cannot leave does not end the plan of others.
func TestPlanWithoutWhoFails(t *testing.T) {
	s, l, _ := planned(t, "", 10*time.Millisecond, 10*time.Millisecond)
	now := vrrp.Instant(transport.Now())
	s.wires["eth0 ipv4"].fail = map[int]error{0: errTest}
	s.e.step(now, s.inst("i1"), vrrp.Event{Kind: vrrp.EventPriority, Priority: 150})
	s.e.flush(now)
	s.e.makePlan(now.Add(planMore))
	if s.inst("i1").slot == plannedSlot || s.inst("i2").slot != plannedSlot {
		t.Error("it is planned, or the other one is not")
	}
	untilPlanned(s, l) // once one has left
}

// Where nobody is active any more nobody looks for who could be planned.
func TestPlanOfNobody(t *testing.T) {
	s, l, _ := planned(t, "", 10*time.Millisecond)
	w := s.deliver(advert{from: peer, vrid: 1, priority: 250, interval: 40 * time.Second, vips: addrs("192.0.2.101")})
	w.readable(true)
	turns(s, l, "the end", func() bool { return s.inst("i1").router.State() == vrrp.Backup })
	s.e.makePlan(s.e.plan.made.Add(planMore))
	if s.e.plan.wanted || s.e.plan.schedule != nil {
		t.Error("a plan is wanted")
	}
}

// However many advertise at the same moment, it takes several turns, between
// which others get theirs.
func TestAdvertsOfACrowd(t *testing.T) {
	const n = advertsAtOnce + 10
	var toml strings.Builder
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("i%d", i+1))
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface = \"eth0\"\nvrid = %d\naddresses = [\"10.0.0.%d/32\"]\n", i+1, i+1, i+1)
	}
	s := started(t, toml.String())
	for s.inst(names[n-1]).router.State() != vrrp.Active {
		s.fire()
	}
	due := s.inst("i1").deadline
	s.forget()
	for _, want := range []int{advertsAtOnce, n - advertsAtOnce} {
		s.fire()
		if s.now != due || len(s.lines) != want {
			t.Errorf("%d advertisements %s after they were due, want %d", len(s.lines), s.now.Sub(due), want)
		}
		s.forget()
	}
	if s.inst("i1").deadline != s.inst(names[n-1]).deadline {
		t.Error("they are not due together any more")
	}

	// Planned, those that were active before come first.
	s.wires["eth0 ipv4"].connect()
	for _, name := range names {
		s.inst(name).since = time.Unix(2, 0)
	}
	s.inst(names[n-1]).since = time.Unix(1, 0)
	s.e.makePlan(s.now.Add(planMore))
	var sizes []int
	for _, members := range s.e.plan.series {
		sizes = append(sizes, len(members))
	}
	if want := append([]int{n % goLeast}, slices.Repeat([]int{goLeast}, n/goLeast)...); !slices.Equal(sizes, want) {
		t.Errorf("the series are of %v", sizes)
	}
}
