package transport

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newPoller(t testing.TB) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// eachPoller runs the test with every way of waiting: as on this kernel, as
// on kernels before 5.11, ordinarily and precisely.
func eachPoller(t *testing.T, test func(t *testing.T, p *Poller, wait func(int64) ([]int32, bool, error))) {
	for _, old := range []bool{false, true} {
		for _, precise := range []bool{false, true} {
			t.Run(fmt.Sprintf("old=%t,precise=%t", old, precise), func(t *testing.T) {
				p := newPoller(t)
				p.noPwait2 = old
				wait := p.Wait
				if precise {
					wait = func(deadline int64) ([]int32, bool, error) { return p.WaitPrecisely(deadline, AwakeWindow, nil, nil) }
				}
				test(t, p, wait)
				if p.noPwait2 != old {
					t.Log("this kernel has no epoll_pwait2")
				}
			})
		}
	}
}

func eventfd(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func signal(t testing.TB, fd int) {
	t.Helper()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
}

func TestPollerReady(t *testing.T) {
	eachPoller(t, func(t *testing.T, p *Poller, wait func(int64) ([]int32, bool, error)) {
		check := func(deadline int64, want ...int32) {
			t.Helper()
			ready, woken, err := wait(deadline)
			slices.Sort(ready)
			if err != nil || woken || !slices.Equal(ready, want) {
				t.Errorf("ready %v, woken %t, %v; want %v", ready, woken, err, want)
			}
		}
		a, b := eventfd(t), eventfd(t)
		for token, fd := range map[int32]int{0: a, 7: b} {
			if err := p.Add(fd, token); err != nil {
				t.Fatal(err)
			}
		}
		check(Now())     // has passed: look only
		check(1)         // long ago
		check(Now() - 1) // just now
		signal(t, a)
		check(0, 0)
		signal(t, b)
		check(NoDeadline, 0, 7) // ready for as long as nobody reads
		check(Now()+hour, 0, 7)
		check(1, 0, 7) // even when the deadline has passed
		if err := p.Remove(a); err != nil {
			t.Fatal(err)
		}
		check(0, 7)
		if p.Remove(a) == nil || p.Add(b, 8) == nil || p.Add(-1, 8) == nil || p.Add(a, -1) == nil {
			t.Error("no error for a descriptor twice removed, twice added, closed, or a negative token")
		}
	})
}

// More descriptors than one call reports: none is starved for ever.
func TestPollerManyReady(t *testing.T) {
	p := newPoller(t)
	const count = readySize + 20
	for i := range count {
		fd := eventfd(t)
		signal(t, fd)
		if err := p.Add(fd, int32(i)); err != nil {
			t.Fatal(err)
		}
	}
	p.Wake()
	seen, woke := map[int32]bool{}, false
	for range 3 {
		ready, woken, err := p.Wait(0)
		if err != nil || len(ready) > readySize {
			t.Fatalf("%d ready, %v", len(ready), err)
		}
		woke = woke || woken
		for _, token := range ready {
			seen[token] = true
		}
	}
	if len(seen) != count || !woke {
		t.Errorf("%d of %d descriptors reported, woken %t", len(seen), count, woke)
	}
}

// How late is the machine's affair, too early is ours.
func TestPollerDeadline(t *testing.T) {
	eachPoller(t, func(t *testing.T, p *Poller, wait func(int64) ([]int32, bool, error)) {
		runtime.LockOSThread() // never unlocked: the thread and its slack end here
		if err := SetTimerSlack(1); err != nil {
			t.Fatal(err)
		}
		var late []int64
		for _, length := range []int64{1, 999, 10_000, 123_456, 299_999, 300_001, 1_234_567, 5_000_001} {
			for range 10 {
				deadline := Now() + length
				ready, woken, err := wait(deadline)
				late = append(late, Now()-deadline)
				if err != nil || len(ready) != 0 || woken {
					t.Fatalf("ready %v, woken %t, %v", ready, woken, err)
				}
				if late[len(late)-1] < 0 {
					t.Errorf("%d ns early for %d", -late[len(late)-1], length)
				}
			}
		}
		slices.Sort(late)
		t.Logf("late by %v median, %v at most", time.Duration(late[len(late)/2]), time.Duration(late[len(late)-1]))
		if median := time.Duration(late[len(late)/2]); median > 20*time.Millisecond {
			t.Errorf("late by %v median", median)
		}
	})
}

// The runtime interrupts system calls with SIGURG to preempt; so may others.
func TestPollerInterrupted(t *testing.T) {
	eachPoller(t, func(t *testing.T, p *Poller, wait func(int64) ([]int32, bool, error)) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread := unix.Gettid()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := unix.Tgkill(os.Getpid(), thread, unix.SIGURG); err != nil {
					t.Error(err)
					return
				}
			}
		})
		deadline := Now() + 20_000_000
		ready, woken, err := wait(deadline)
		end := Now()
		close(stop)
		wg.Wait()
		if err != nil || len(ready) != 0 || woken || end < deadline {
			t.Errorf("ready %v, woken %t, %v, %d ns early", ready, woken, err, deadline-end)
		}
	})
}

func TestPollerWake(t *testing.T) {
	eachPoller(t, func(t *testing.T, p *Poller, wait func(int64) ([]int32, bool, error)) {
		for range 1000 {
			p.Wake() // all the same
		}
		if ready, woken, err := wait(NoDeadline); !woken || len(ready) != 0 || err != nil {
			t.Fatalf("ready %v, woken %t, %v; want woken", ready, woken, err)
		}
		if _, woken, err := wait(Now() + 1_000_000); woken || err != nil {
			t.Errorf("woken again, %v", err)
		}
		fd := eventfd(t)
		signal(t, fd)
		if err := p.Add(fd, 3); err != nil {
			t.Fatal(err)
		}
		p.Wake()
		if ready, woken, err := wait(0); !woken || !slices.Equal(ready, []int32{3}) || err != nil {
			t.Errorf("ready %v, woken %t, %v; want both", ready, woken, err)
		}
	})
}

// No wake-up is lost between many wakers and one that waits without deadline.
func TestPollerWakeConcurrently(t *testing.T) {
	p := newPoller(t)
	const wakers, each = 4, 5000
	var mu sync.Mutex
	queue, got := 0, 0
	var wg sync.WaitGroup
	for range wakers {
		wg.Go(func() {
			for range each {
				mu.Lock()
				queue++
				mu.Unlock()
				p.Wake()
			}
		})
	}
	for deadline := Now() + 30*second; got < wakers*each; {
		if _, _, err := p.Wait(deadline); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		got, queue = got+queue, 0
		mu.Unlock()
		if Now() >= deadline {
			t.Fatalf("%d of %d: a wake-up was lost", got, wakers*each)
		}
	}
	wg.Wait()
}

func TestPollerClose(t *testing.T) {
	p := newPoller(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				p.Wake()
			}
		})
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	p.Wake()
	if _, _, err := p.Wait(NoDeadline); err == nil {
		t.Error("Wait after Close: no error")
	}
}

func TestSetTimerSlack(t *testing.T) {
	err := onOwnThread(func() error {
		for _, test := range []struct{ set, want time.Duration }{{1, 1}, {0, 1}, {-5, 1}, {time.Millisecond, time.Millisecond}} {
			if err := SetTimerSlack(test.set); err != nil {
				return err
			}
			got, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_TIMERSLACK, 0, 0)
			if errno != 0 || time.Duration(got) != test.want {
				return fmt.Errorf("slack %d after %d, %w; want %d", got, test.set, errno, test.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A pause lasts whatever is ready, and ends before a deadline.
func TestPause(t *testing.T) {
	p, fd := newPoller(t), eventfd(t)
	signal(t, fd)
	if err := p.Add(fd, 1); err != nil {
		t.Fatal(err)
	}
	p.Wake()
	for _, test := range []struct {
		d        time.Duration
		deadline time.Duration // from now; 0: none
		least    time.Duration
	}{
		{2 * time.Millisecond, 0, 2 * time.Millisecond},
		{2 * time.Millisecond, time.Hour, 2 * time.Millisecond},
		{time.Hour, 4 * time.Millisecond, 1500 * time.Microsecond},
		{time.Hour, 200 * time.Microsecond, 0},
		{time.Hour, -time.Hour, 0},
		{-time.Hour, 0, 0},
	} {
		start := Now()
		deadline := NoDeadline
		if test.deadline != 0 {
			deadline = start + int64(test.deadline)
		}
		if err := p.Pause(test.d, deadline); err != nil {
			t.Fatal(err)
		}
		// A signal of the runtime may cut it short: rarely, and never to nothing.
		if took := time.Duration(Now() - start); took < test.least/4 || took > time.Minute {
			t.Errorf("%+v took %v", test, took)
		}
	}
	if ready, woken, err := p.Wait(1); len(ready) != 1 || !woken || err != nil {
		t.Errorf("afterwards ready %v, woken %t, %v", ready, woken, err)
	}
}

// What is to be done ahead of the deadline is done once, in the order promised,
// and none of it if something happens first.
func TestWaitPrecisely(t *testing.T) {
	// Never unlocked: the thread ends with the test, and its priority with it.
	runtime.LockOSThread()
	if err := SetRealTime(10); err != nil {
		t.Logf("without real-time priority, so with patience: %v", err)
	}
	for _, old := range []bool{false, true} {
		for _, awakeFor := range []time.Duration{AwakeWindow, AwakeWindow / 8} {
			p := newPoller(t)
			p.noPwait2 = old
			var calls []int64
			call := func() { calls = append(calls, Now()) }
			// On a busy machine the deadline may have passed before any of it, in
			// any one try, and other tries may find it awake for too long.
			called, least, most := false, time.Hour, time.Duration(0)
			enough := func() bool {
				if awakeFor < AwakeWindow/2 {
					return called && least <= AwakeWindow/2
				}
				return called && most >= AwakeWindow/2
			}
			for try, start := 0, Now(); try < 5 || !enough() && Now() < start+int64(20*time.Second); try++ {
				calls = nil
				deadline, before := Now()+int64(5*time.Millisecond), threadTime(t)
				ready, woken, err := p.WaitPrecisely(deadline, awakeFor, call, call)
				if len(ready) > 0 || woken || err != nil || Now() < deadline {
					t.Fatalf("ready %v, woken %t, %v, %v left", ready, woken, err, time.Duration(deadline-Now()))
				}
				if n := len(calls); n > 2 || n > 0 && calls[0] < deadline-int64(AheadWindow) || n > 1 && calls[1] < deadline-int64(AwakeWindow) {
					t.Errorf("old=%t: called at %v, the deadline is %d", old, calls, deadline)
				}
				took := threadTime(t) - before
				called, least, most = called || len(calls) > 0, min(least, took), max(most, took)
			}
			if !enough() {
				t.Errorf("old=%t: awake for %v to %v, want %v; called: %t", old, least, most, awakeFor, called)
			}
			calls = nil
			p.Wake()
			if _, woken, err := p.WaitPrecisely(Now()+int64(time.Minute), awakeFor, call, call); !woken || err != nil || len(calls) > 0 {
				t.Errorf("old=%t: woken %t, %v, after %d calls", old, woken, err, len(calls))
			}
		}
	}
}

// threadTime is how much of a CPU the thread has used.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// Many waits on many threads, with the collector at work: the runtime gets its
// processors back and gives them again.
func TestWaitsBesideOthers(t *testing.T) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread()
			p, err := NewPoller()
			if err != nil {
				t.Error(err)
				return
			}
			defer p.Close()
			for i := range 200 {
				if i%20 == 0 {
					runtime.GC()
				}
				deadline := Now() + int64(50*time.Microsecond)
				if _, _, err := p.WaitPrecisely(deadline+int64(i%2)*rawWindow, AwakeWindow, nil, nil); err != nil || Now() < deadline {
					t.Error(err, "or too early")
					return
				}
				if err := p.Pause(20*time.Microsecond, NoDeadline); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
