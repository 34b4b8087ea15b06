package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listening is a Poller that may read ahead from a socket, and somebody who sends.
type listening struct {
	*Poller
	t        *testing.T
	from, to *Socket
	src      netip.Addr
	batch    *Batch
	familiar *Familiar
}

func newListening(t *testing.T, f Family) *listening {
	h := newHosts(t)
	l := &listening{Poller: newPoller(t), t: t, batch: NewBatch(), familiar: NewFamiliar(f)}
	l.from, l.to = h.pair(t, f, true)
	if l.src = addr("192.0.2.1"); f == IPv6 {
		l.src = addr("fe80::1")
	}
	if err := l.Listen(l.to.FD(), 7, l.familiar); err != nil {
		t.Fatal(err)
	}
	l.ReadAhead(l.batch)
	return l
}

func (l *listening) send(data string) { send(l.t, l.from, l.src, l.from.family.Group(), data) }

// later sends messages one after the other, the first after one interval, while
// the test waits.
func (l *listening) later(interval time.Duration, messages ...string) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for _, m := range messages {
			time.Sleep(interval)
			l.from.Queue(l.src, l.from.family.Group(), []byte(m))
			l.from.Flush()
		}
	}()
	return done
}

// learn has messages received once and makes them familiar.
func (l *listening) learn(messages ...string) {
	l.t.Helper()
	for _, m := range messages {
		l.send(m)
		p := receive(l.t, l.to, 1)[0]
		l.familiar.Add(p.Src, p.message())
	}
}

// settle is learn, and one more reads ahead: from now on it is known at what pace
// they come.
func (l *listening) settle(messages ...string) {
	l.t.Helper()
	l.learn(messages...)
	l.send(messages[0])
	l.wait(Now() + int64(time.Second))
	if got := l.ahead(); len(got) != 1 {
		l.t.Fatalf("%d packets were read ahead", len(got))
	}
}

// wait is a Wait that must not fail.
func (l *listening) wait(deadline int64) (ready []int32, woken bool) {
	l.t.Helper()
	ready, woken, err := l.Wait(deadline)
	if err != nil {
		l.t.Fatal(err)
	}
	return ready, woken
}

// ahead receives what was read ahead.
func (l *listening) ahead() []Packet {
	l.t.Helper()
	token, ok := l.Ahead()
	if !ok {
		return nil
	}
	if token != 7 {
		l.t.Fatalf("the packets of %d", token)
	}
	packets, _, err := l.to.Receive(l.batch)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, ok := l.Ahead(); ok {
		l.t.Error("it is there after it was received")
	}
	return packets
}

const (
	again = "1a again"
	other = "1b other"
	more  = "1c of another router"
)

func eachFamily(t *testing.T, test func(t *testing.T, l *listening)) {
	for _, f := range []Family{IPv4, IPv6} {
		t.Run(f.String(), func(t *testing.T) {
			l := newListening(t, f)
			if l.noPwait2 {
				t.Fatal("this needs a kernel that has epoll_pwait2")
			}
			test(t, l)
		})
	}
}

// What is familiar does not end a wait, and is handed over when something else
// does, in order and as of when it arrived.
func TestFamiliarWaits(t *testing.T) {
	eachFamily(t, func(t *testing.T, l *listening) {
		l.settle(again, more)
		done := l.later(20*time.Millisecond, again, again, more, other)
		deadline := Now() + int64(5*time.Second)
		ready, woken := l.wait(deadline)
		end := Now()
		packets := l.ahead()
		<-done
		if len(ready) > 0 || woken || messages(packets) != strings.Join([]string{again, again, more, other}, " ") {
			t.Fatalf("ready %v, woken %t, read ahead %q", ready, woken, messages(packets))
		}
		for i, p := range packets[1:] {
			if gap := p.At - packets[i].At; gap < int64(15*time.Millisecond) || p.At > end {
				t.Errorf("packet %d arrived %s after the one before, and %s before the end", i+1, time.Duration(gap), time.Duration(end-p.At))
			}
		}
	})
}

// If the next is to be expected after the end, there is nothing to go on for.
func TestFamiliarComesAtAPace(t *testing.T) {
	l := newListening(t, IPv4)
	l.learn(again)
	const pace = 300 * time.Millisecond
	for _, step := range []struct {
		after, left time.Duration
		goesOn      bool
	}{
		{0, time.Hour, false}, // after the first nobody knows
		{pace, pace - 10*time.Millisecond, false},
		{0, 2 * pace, true},
	} {
		time.Sleep(step.after)
		l.send(again)
		deadline := Now() + int64(step.left)
		ready, _ := l.wait(deadline)
		if got := l.ahead(); len(ready) > 0 || messages(got) != again {
			t.Fatalf("%v: ready %v, read ahead %q", step, ready, messages(got))
		}
		if end := Now(); step.goesOn && end < deadline {
			t.Errorf("%v: it ended %s early", step, time.Duration(deadline-end))
		} else if !step.goesOn && end >= deadline {
			t.Errorf("%v: it went on", step)
		}
	}
}

// Nothing is left behind when somebody calls, or another descriptor is ready.
func TestFamiliarIsHandedOver(t *testing.T) {
	eachFamily(t, func(t *testing.T, l *listening) {
		l.settle(again)

		l.send(again)
		go func() { time.Sleep(50 * time.Millisecond); l.Wake() }()
		if _, woken := l.wait(Now() + int64(20*time.Second)); !woken {
			t.Error("it was not woken")
		}
		if got := l.ahead(); messages(got) != again {
			t.Errorf("woken: read ahead %q", messages(got))
		}

		fd := eventfd(t)
		if err := l.Add(fd, 3); err != nil {
			t.Fatal(err)
		}
		l.send(again)
		go func() { time.Sleep(50 * time.Millisecond); unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }()
		if ready, _ := l.wait(Now() + int64(20*time.Second)); fmt.Sprint(ready) != "[3]" {
			t.Errorf("ready: %v", ready)
		}
		if got := l.ahead(); messages(got) != again {
			t.Errorf("beside another: read ahead %q", messages(got))
		}
	})
}

// A wait whose end is near, or over, reads nothing by itself: whoever waits decides
// what comes first.
func TestNothingIsReadAheadAtTheEnd(t *testing.T) {
	l := newListening(t, IPv4)
	l.learn(again)
	l.send(again)
	time.Sleep(10 * time.Millisecond)
	for _, deadline := range []int64{1, Now() - 1, NoDeadline} {
		if ready, _ := l.wait(deadline); fmt.Sprint(ready) != "[7]" {
			t.Errorf("until %d: ready %v", deadline, ready)
		}
		if _, ok := l.Ahead(); ok {
			t.Errorf("until %d: read ahead", deadline)
		}
	}
	// Somebody who was stopped comes back after the end, or after something was due.
	line := newLine(t)
	overdue := NewSchedule(0, ages, NewSeries(nil, line.fd, Now()-int64(time.Millisecond), ages, numbered(1)))
	for name, poll := range map[string]func() (int, unix.Errno){
		"after the end": func() (int, unix.Errno) { return l.pollListening(Now() - 1) },
		"overdue":       func() (int, unix.Errno) { return l.pollSending(NoDeadline, Now()+int64(time.Hour), overdue) },
	} {
		n, errno := poll()
		if _, ok := l.Ahead(); ok || n != 1 || errno != 0 {
			t.Errorf("%s: %d are ready, ahead %t, %v", name, n, ok, errno)
		}
	}
	if got := line.received(t); len(got) > 0 {
		t.Errorf("%d messages have left before what has arrived was read", len(got))
	}
	ready, _, err := l.WaitPrecisely(Now()+rawWindow, 0, nil, nil)
	if _, ok := l.Ahead(); ok || err != nil || fmt.Sprint(ready) != "[7]" {
		t.Errorf("with little left: ready %v, ahead %t, %v", ready, ok, err)
	}
}

// With a Batch that is full a wait ends, and the rest is in the queue.
func TestFamiliarFillsTheBatch(t *testing.T) {
	l := newListening(t, IPv4)
	l.settle(again)
	for range BatchSize + 1 {
		l.send(again)
	}
	deadline := Now() + int64(20*time.Second)
	if l.wait(deadline); Now() >= deadline {
		t.Error("it went on")
	}
	packets, left, err := l.to.Receive(l.batch)
	if len(packets) != BatchSize || !left || err != nil {
		t.Fatalf("%d packets, more: %t, %v", len(packets), left, err)
	}
	packets, left, err = l.to.Receive(l.batch)
	if len(packets) != 1 || left || err != nil {
		t.Fatalf("then %d packets, more: %t, %v", len(packets), left, err)
	}
}

// What makes a message another one.
func TestFamiliarIsTheSame(t *testing.T) {
	src, v6 := addr("192.0.2.1"), addr("fe80::1")
	for _, test := range []struct {
		name           string
		family         Family
		known          netip.Addr
		message        string
		src            netip.Addr
		data           string
		forget, unlike bool
	}{
		{name: "same", family: IPv4, known: src, message: again, src: src, data: again},
		{name: "v6", family: IPv6, known: v6, message: again, src: v6, data: again},
		{name: "source", family: IPv4, known: src, message: again, src: addr("192.0.2.11"), data: again, unlike: true},
		{name: "v6 source", family: IPv6, known: v6, message: again, src: addr("fe80::11"), data: again, unlike: true},
		{name: "octet", family: IPv4, known: src, message: again, src: src, data: "1a agaim", unlike: true},
		{name: "first octet", family: IPv4, known: src, message: again, src: src, data: "2a again", unlike: true},
		{name: "longer", family: IPv4, known: src, message: again, src: src, data: again + "!", unlike: true},
		{name: "shorter than what is compared", family: IPv4, known: src, message: "1a", src: src, data: "1a", unlike: true},
		{name: "empty", family: IPv4, known: src, message: again, src: src, data: "", unlike: true},
		{name: "removed", family: IPv4, known: src, message: again, src: src, data: again, forget: true, unlike: true},
		{name: "of the other family", family: IPv4, known: v6, message: again, src: src, data: again, unlike: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newListening(t, test.family)
			l.familiar.Add(test.known, []byte(test.message))
			if test.forget {
				l.familiar.Remove(test.message[1])
			}
			if test.data == "" {
				send(t, l.from, test.src, test.family.Group(), "")
			} else {
				send(t, l.from, test.src, test.family.Group(), test.data)
			}
			l.batch.prepare()
			time.Sleep(5 * time.Millisecond)
			if errno := l.batch.take(l.to.fd); errno != 0 || l.batch.used != 1 {
				t.Fatal(l.batch.used, errno)
			}
			if got := l.familiar.knows(l.batch, 0); got == test.unlike {
				t.Errorf("familiar: %t", got)
			}
			if got := l.familiar.Knows(test.src, []byte(test.data)); got == test.unlike {
				t.Errorf("known: %t", got)
			}
		})
	}
}

// A socket that goes takes with it what was read ahead from it: the next may have
// its number.
func TestFamiliarGoesWithItsSocket(t *testing.T) {
	l := newListening(t, IPv4)
	l.learn(again)
	l.send(again)
	l.wait(Now() + int64(50*time.Millisecond))
	if _, ok := l.Ahead(); !ok {
		t.Fatal("nothing was read ahead")
	}
	if err := l.Remove(l.to.FD()); err != nil {
		t.Fatal(err)
	}
	if _, ok := l.Ahead(); ok {
		t.Error("it is still there")
	}
	if err := l.Listen(l.to.FD(), 7, l.familiar); err != nil {
		t.Fatal(err)
	}
	if len(l.listeners) != 1 {
		t.Errorf("%d listeners: the place of the first was not used again", len(l.listeners))
	}
	if packets, _, err := l.to.Receive(l.batch); len(packets) > 0 || err != nil {
		t.Errorf("received %q, %v", messages(packets), err)
	}
	if l.Listen(-1, 8, l.familiar) == nil || len(l.listeners) != 2 || l.listeners[1].familiar != nil {
		t.Error("a socket that cannot be waited for is listened to")
	}
}

// An error of the socket comes beside what was read before it.
func TestFamiliarBesideAnError(t *testing.T) {
	l := newListening(t, IPv4)
	l.learn(again)
	l.send(again)
	l.wait(Now() + int64(time.Second))
	l.batch.ahead.errno = unix.ENETDOWN
	packets, left, err := l.to.Receive(l.batch)
	if messages(packets) != again || left || !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("received %q, more: %t, %v", messages(packets), left, err)
	}
}

// Each was read when it came: that it arrived then is all that is known once the
// wall clock has been set.
func TestFamiliarAndTheWallClock(t *testing.T) {
	l := newListening(t, IPv4)
	l.settle(again)
	for range 10 { // on a busy machine two may be read at a time
		done := l.later(30*time.Millisecond, again, other)
		l.wait(Now() + int64(20*time.Second))
		<-done
		l.batch.clock.offset += int64(time.Hour) // as before it was set back
		packets := l.ahead()
		if messages(packets) != again+" "+other {
			t.Fatalf("read ahead %q", messages(packets))
		}
		if packets[1].At-packets[0].At >= int64(20*time.Millisecond) {
			return
		}
	}
	t.Error("both count as of the same moment")
}

// Beside what leaves by itself it is the same.
func TestFamiliarBesideASchedule(t *testing.T) {
	l := newListening(t, IPv4)
	l.settle(again)
	line := newLine(t)
	for range 20 {
		s := NewSchedule(0, ages, NewSeries(nil, line.fd, Now(), 20*time.Millisecond, numbered(1)))
		done := l.later(30*time.Millisecond, again, again, again, other)
		ready, woken, err := l.WaitSending(NoDeadline, Now()+int64(20*time.Second), s)
		got := l.ahead()
		<-done
		sent := len(line.received(t))
		if s.stopped || len(ready) > 0 { // the machine was busy
			for len(got) == 0 || string(got[len(got)-1].message()) != other {
				got = receive(t, l.to, 1)
			}
			continue
		}
		if woken || err != nil || messages(got) != strings.Join([]string{again, again, again, other}, " ") {
			t.Errorf("woken %t, %v; read ahead %q", woken, err, messages(got))
		}
		if sent < 5 {
			t.Errorf("%d messages have left in 120 ms", sent)
		}
		return
	}
	t.Error("each time something was late by an interval")
}

// A batch is of one socket: what another has for us is ready as ever.
func TestReadAheadIsOfOneSocket(t *testing.T) {
	l := newListening(t, IPv4)
	l.settle(again)
	h := newHosts(t)
	from, to := h.pair(t, IPv6, true)
	known := NewFamiliar(IPv6)
	known.Add(addr("fe80::1"), []byte(again))
	if err := l.Listen(to.FD(), 8, known); err != nil {
		t.Fatal(err)
	}
	l.send(again)
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(50 * time.Millisecond)
		from.Queue(addr("fe80::1"), IPv6.Group(), []byte(again))
		from.Flush()
	}()
	if ready, _ := l.wait(Now() + int64(20*time.Second)); fmt.Sprint(ready) != "[8]" {
		t.Errorf("ready %v", ready)
	}
	if got := l.ahead(); messages(got) != again {
		t.Errorf("read ahead %q", messages(got))
	}
	<-done
	if packets := receive(t, to, 1); messages(packets) != again {
		t.Errorf("of the other %q", messages(packets))
	}
}
