package transport

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// line is a socket that is connected, and what its other end has received.
type line struct{ fd, other int }

func newLine(t testing.TB) line {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	return line{pair[0], pair[1]}
}

func (l line) received(t testing.TB) (all []string) {
	t.Helper()
	var b [100]byte
	for {
		n, err := unix.Read(l.other, b[:])
		if err == unix.EAGAIN || err == unix.ECONNRESET {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b[:n]))
	}
}

// numbered are messages that say their number, and have marks.
func numbered(n int) []Message {
	out := make([]Message, n)
	for i := range out {
		out[i] = Message{Data: fmt.Append(nil, i), Mark: new(atomic.Int64)}
	}
	return out
}

// taken is what Take says of each series: times, and messages of a round cut short.
func taken(s *Schedule) (out map[int][2]int, stopped bool) {
	out = map[int][2]int{}
	_, stopped = s.Take(func(series, times, partial int) { out[series] = [2]int{times, partial} })
	return out, stopped
}

// eachWaitSending runs a test on this kernel's way of waiting, and on that of kernels
// before 5.11, on which each round is a call of its own.
func eachWaitSending(t *testing.T, test func(t *testing.T, p *Poller)) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprintf("old=%t", old), func(t *testing.T) {
			p := newPoller(t)
			p.noPwait2 = old
			test(t, p)
		})
	}
}

const ages = time.Hour // none of these tests is about being late, unless it says so

func TestWaitSending(t *testing.T) {
	eachWaitSending(t, func(t *testing.T, p *Poller) {
		a, b := newLine(t), newLine(t)
		first, second := numbered(3), numbered(1)
		start := Now()
		const interval = 2 * time.Millisecond
		due := start + int64(interval)
		s := NewSchedule(0, ages, NewSeries(nil, a.fd, due, ages, first), NewSeries(nil, b.fd, due, ages, second))
		if s.Next() != due {
			t.Errorf("the first is due at %d, not %d", s.Next(), due)
		}
		for deadline := due + int64(interval); Now() < deadline; {
			if ready, woken, err := p.WaitSending(NoDeadline, deadline, s); len(ready) > 0 || woken || err != nil {
				t.Fatal(ready, woken, err)
			}
		}
		if got := fmt.Sprint(a.received(t), b.received(t)); got != "[0 1 2] [0]" {
			t.Errorf("received %s", got)
		}
		late, stopped := s.Take(func(series, times, partial int) {
			if times != 1 || partial != 0 {
				t.Errorf("series %d: %d times, and %d messages", series, times, partial)
			}
		})
		if late <= 0 || stopped {
			t.Errorf("late by %s, stopped: %t", late, stopped)
		}
		if s.Next() != due+int64(ages) {
			t.Errorf("due again after %s", time.Duration(s.Next()-due))
		}
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
			t.Fatal(err)
		}
		for _, m := range append(first, second...) {
			if age := now.Nano() - m.Mark.Load(); age < 0 || age > int64(time.Minute) || m.Mark.Load()&1 != 0 {
				t.Errorf("message %s is marked as of %s ago, %d", m.Data, time.Duration(age), m.Mark.Load())
			}
		}
		if got, _ := taken(s); len(got) != 0 {
			t.Errorf("taken twice: %v", got)
		}
	})
}

// One call goes on for as long as nothing happens, and the intervals are counted
// from when something was due, not from when it left.
func TestWaitSendingGoesOn(t *testing.T) {
	p, a, b := newPoller(t), newLine(t), newLine(t)
	const often, seldom = 20 * time.Millisecond, 50 * time.Millisecond
	for range 20 {
		if goesOn(t, p, a, b, often, seldom) {
			return
		}
	}
	t.Error("each time something was late by an interval")
}

// goesOn reports false if nothing can be said, the machine having been busy.
func goesOn(t *testing.T, p *Poller, a, b line, often, seldom time.Duration) bool {
	t.Helper()
	start := Now()
	s := NewSchedule(0, ages, NewSeries(nil, a.fd, start, often, numbered(1)), NewSeries(nil, b.fd, start, seldom, numbered(2)))
	deadline := start + int64(500*time.Millisecond)
	if ready, woken, err := p.WaitSending(NoDeadline, deadline, s); len(ready) > 0 || woken || err != nil {
		t.Fatal(ready, woken, err)
	}
	end := Now()
	got, stopped := taken(s)
	sent, also := len(a.received(t)), len(b.received(t))
	if stopped {
		return false
	}
	if end < deadline {
		t.Errorf("it ended %s early", time.Duration(deadline-end))
	}
	for i, interval := range []time.Duration{often, seldom} {
		if least, most := 500*time.Millisecond/interval, time.Duration(end-start)/interval+1; got[i][0] < int(least) || got[i][0] > int(most) {
			t.Errorf("every %s: %d times in %s", interval, got[i][0], time.Duration(end-start))
		}
	}
	if sent != got[0][0] || also != 2*got[1][0] {
		t.Errorf("%d and %d messages received, of %d and two times %d sent", sent, also, got[0][0], got[1][0])
	}
	if want := start + int64(got[0][0])*int64(often); s.series[0].due != want {
		t.Errorf("it has drifted by %s", time.Duration(s.series[0].due-want))
	}
	return true
}

// What is due soon leaves with what is due.
func TestScheduleTogether(t *testing.T) {
	lines := []line{newLine(t), newLine(t), newLine(t)}
	now := Now()
	var all []*Series
	for i, l := range lines {
		all = append(all, NewSeries(nil, l.fd, now+int64(i)*int64(ages), 9*ages, numbered(1)))
	}
	s := NewSchedule(ages+ages/2, ages, all...)
	s.SendDue()
	for i, l := range lines {
		if n, want := len(l.received(t)), min(1, 2-i); n != want {
			t.Errorf("%d of series %d", n, i)
		}
	}
	if s.Next() != now+2*int64(ages) {
		t.Error("the third is not the next")
	}
}

// What becomes due while something else is sent is next if it stands before it.
func TestScheduleOrder(t *testing.T) {
	l := newLine(t)
	named := func(name string, due int64) *Series {
		return NewSeries(nil, l.fd, due, ages, []Message{{Data: []byte(name)}})
	}
	s := NewSchedule(0, ages, nil...)
	s.readClocks()
	s.series = []*Series{named("soon", s.now+1), named("first", s.now-1), named("last", s.now-2)}
	s.sendDue()
	if got := fmt.Sprint(l.received(t)); got != "[first soon last]" {
		t.Error(got)
	}
}

// Once something was sent late enough the wait is over; without that it lasts
// until the deadline.
func TestWaitSendingEnough(t *testing.T) {
	p, l := newPoller(t), newLine(t)
	const often = 20 * time.Millisecond
	start := Now()
	s := NewSchedule(0, ages, NewSeries(nil, l.fd, start+int64(often), often, numbered(1)))
	enough, deadline := start+int64(5*often/2), start+int64(time.Minute)
	if _, _, err := p.WaitSending(enough, deadline, s); err != nil {
		t.Fatal(err)
	}
	end := Now()
	if _, stopped := s.Take(func(_, _, _ int) {}); !stopped && end < enough || end >= deadline { // stopped: the machine was busy
		t.Errorf("over after %s", time.Duration(end-start))
	}
	s = NewSchedule(0, ages, NewSeries(nil, l.fd, start+int64(ages), ages, numbered(1)))
	deadline = Now() + int64(often)
	if _, _, err := p.WaitSending(Now(), deadline, s); err != nil || Now() < deadline {
		t.Errorf("over %s before the deadline (%v)", time.Duration(deadline-Now()), err)
	}
}

// What has arrived, and a call of Wake, come before what is due.
func TestWaitSendingReportsFirst(t *testing.T) {
	eachWaitSending(t, func(t *testing.T, p *Poller) {
		l := newLine(t)
		s := NewSchedule(0, ages, NewSeries(nil, l.fd, Now(), ages, numbered(1)))
		fd := eventfd(t)
		if err := p.Add(fd, 3); err != nil {
			t.Fatal(err)
		}
		signal(t, fd)
		p.Wake()
		ready, woken, err := p.WaitSending(NoDeadline, NoDeadline, s)
		if len(ready) != 1 || ready[0] != 3 || !woken || err != nil {
			t.Error(ready, woken, err)
		}
		if got := l.received(t); len(got) > 0 {
			t.Error("something left before")
		}
		if err := p.Remove(fd); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.WaitSending(NoDeadline, 1, s); err != nil {
			t.Fatal(err)
		}
		if got := l.received(t); len(got) != 1 {
			t.Error("what is due did not leave when the deadline had passed")
		}
	})
}

// What is late by an interval, or by more than the caller's patience, does not leave.
func TestScheduleLate(t *testing.T) {
	for name, test := range map[string]struct{ interval, patience time.Duration }{
		"interval": {time.Second, ages},
		"patience": {ages, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			eachWaitSending(t, func(t *testing.T, p *Poller) {
				late, punctual := newLine(t), newLine(t)
				s := NewSchedule(0, test.patience, NewSeries(nil, late.fd, Now()-int64(2*time.Second), test.interval, numbered(1)),
					NewSeries(nil, punctual.fd, Now()+int64(ages), ages, numbered(1)))
				for range 2 {
					if _, _, err := p.WaitSending(NoDeadline, NoDeadline, s); err != nil {
						t.Fatal(err)
					}
				}
				if got, stopped := taken(s); len(got) != 0 || !stopped || len(late.received(t)) != 0 {
					t.Errorf("%v, stopped %t", got, stopped)
				}
			})
		})
	}
}

// What cannot leave stops the schedule; what has left is told.
func TestScheduleFails(t *testing.T) {
	eachWaitSending(t, func(t *testing.T, p *Poller) {
		good, full, after := newLine(t), newLine(t), newLine(t)
		big := numbered(3)
		big[2].Data = make([]byte, 10<<20) // EMSGSIZE
		s := NewSchedule(0, ages, NewSeries(nil, good.fd, Now(), ages, numbered(2)), NewSeries(nil, full.fd, Now(), ages, big), NewSeries(nil, after.fd, Now(), ages, numbered(1)))
		for range 2 {
			if _, _, err := p.WaitSending(NoDeadline, NoDeadline, s); err != nil {
				t.Fatal(err)
			}
		}
		got, stopped := taken(s)
		if want := map[int][2]int{0: {1, 0}, 1: {0, 2}}; fmt.Sprint(got) != fmt.Sprint(want) || !stopped {
			t.Errorf("%v, stopped %t; want %v", got, stopped, want)
		}
		if n, m, k := len(good.received(t)), len(full.received(t)), len(after.received(t)); n != 2 || m != 2 || k != 0 {
			t.Errorf("%d, %d and %d messages have left", n, m, k)
		}
		for i, m := range big {
			if left := i < 2; (m.Mark.Load() != 0) != left {
				t.Errorf("message %d has left: %t, and its mark is %d", i, left, m.Mark.Load())
			}
		}
	})
}

// A series of a real socket sends what Queue and Flush would.
func TestSeriesIsLikeQueue(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family   Family
		src, dst netip.Addr
	}{
		{IPv4, addr("192.0.2.12"), GroupIPv4},
		{IPv4, netip.Addr{}, GroupIPv4},
		{IPv4, addr("192.0.2.1"), addr("192.0.2.2")},
		{IPv6, addr("fe80::11"), GroupIPv6},
		{IPv6, addr("2001:db8::1"), addr("2001:db8::2")},
	} {
		t.Run(fmt.Sprintf("%s %s", test.src, test.dst), func(t *testing.T) {
			left, right := h.pair(t, test.family, true)
			send(t, left, test.src, test.dst, "advert")
			want := receive(t, right, 1)[0]
			s := NewSchedule(0, ages, left.Series(nil, Now(), ages, []Message{{Src: test.src, Dst: test.dst, Data: []byte("advert")}}))
			s.SendDue()
			got := receive(t, right, 1)[0]
			if test.family == IPv4 { // which number each packet has is the kernel's affair, and so the checksum
				for _, p := range [][]byte{got.Data, want.Data} {
					clear(p[4:6])
					clear(p[10:12])
				}
			}
			if got.Src != want.Src || got.Dst != want.Dst || got.HopLimit != want.HopLimit || string(got.Data) != string(want.Data) {
				t.Errorf("%+v; Queue has %+v", got, want)
			}
			if got, stopped := taken(s); got[0] != [2]int{1, 0} || stopped {
				t.Errorf("%v, stopped %t", got, stopped)
			}
		})
	}
}

// The garbage collector, goroutines that want the processor, and the runtime's
// signals go on meanwhile.
func TestWaitSendingBesideOthers(t *testing.T) {
	p, l := newPoller(t), newLine(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var keep [][]byte
		for {
			select {
			case <-stop:
				return
			default:
			}
			keep = append(keep, make([]byte, 1<<16))
			if len(keep) > 100 {
				keep = nil
			}
		}
	}()
	sent := 0
	for range 20 {
		s := NewSchedule(0, ages, NewSeries(nil, l.fd, Now(), time.Millisecond, numbered(2)))
		if _, _, err := p.WaitSending(NoDeadline, Now()+int64(10*time.Millisecond), s); err != nil {
			t.Fatal(err)
		}
		got, _ := taken(s)
		if n := len(l.received(t)); n != 2*got[0][0]+got[0][1] {
			t.Fatalf("%d messages received, %v sent", n, got)
		}
		sent += got[0][0]
	}
	close(stop)
	<-done
	if sent == 0 {
		t.Error("nothing was sent")
	}
}

// A look without waiting keeps the processor: in the middle of a takeover of many
// the program has none to spare, and to get another one may take a millisecond.
func TestWaitSendingKeepsTheProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p, l := newPoller(t), newLine(t)
	s := NewSchedule(0, ages, NewSeries(nil, l.fd, Now(), ages, numbered(1)))
	stop := make(chan struct{})
	var others atomic.Int64 // how often another goroutine ran
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				others.Add(1)
				runtime.Gosched()
			}
		}
	}()
	defer close(stop)
	runtime.Gosched()
	var looks, disturbed int
	for start := Now(); Now() < start+int64(5*time.Millisecond); looks++ {
		before := others.Load()
		if _, _, err := p.WaitSending(NoDeadline, 1, s); err != nil {
			t.Fatal(err)
		}
		if others.Load() != before {
			disturbed++
		}
	}
	if disturbed > looks/10 { // the monitor has a goroutine yield now and then
		t.Errorf("of %d looks %d gave the processor away", looks, disturbed)
	}
	if n := len(l.received(t)); n != 1 {
		t.Errorf("%d messages have left, want the one that is due", n)
	}
}

// A series is made of another one without a trace of it.
func TestSeriesOfAnother(t *testing.T) {
	a, b := newLine(t), newLine(t)
	old := numbered(5)
	v := NewSeries(nil, a.fd, Now(), ages, old)
	s := NewSchedule(0, ages, v)
	s.SendDue()
	marked := old[4].Mark.Load()
	for _, n := range []int{3, 5, 8} {
		again := NewSeries(v, b.fd, Now(), ages, numbered(n))
		if same := again == v; same != (n <= 5) {
			t.Errorf("%d messages: made of the one of 5: %t", n, same)
		}
		s = NewSchedule(0, ages, again)
		s.SendDue()
		if got, stopped := taken(s); got[0] != [2]int{1, 0} || stopped {
			t.Errorf("%d messages: %v, %t", n, got, stopped)
		}
		if got := len(b.received(t)); got != n {
			t.Errorf("%d messages: %d have left", n, got)
		}
	}
	if n := len(a.received(t)); n != 5 || old[4].Mark.Load() != marked {
		t.Errorf("%d messages have left the old way, marked %t", n, old[4].Mark.Load() != marked)
	}
}

func TestSendDueAllocatesNothing(t *testing.T) {
	l := newLine(t)
	s := NewSchedule(0, ages, NewSeries(nil, l.fd, Now(), 1, numbered(1)))
	var buffer [8]byte
	if n := testing.AllocsPerRun(100, func() {
		s.stopped, s.series[0].due = false, Now()
		s.series[0].interval = int64(ages)
		s.SendDue()
		if _, err := unix.Read(l.other, buffer[:]); err != nil {
			t.Fatal(err)
		}
		s.Take(func(int, int, int) {})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
