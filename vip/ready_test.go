package vip

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A rehearsal goes the way of a takeover and leaves no trace: nothing is added,
// removed, announced or told.
func TestRehearse(t *testing.T) {
	f := newFakeKernel("eth0")
	b := newKeeper(f, func(e Event) { t.Errorf("told: %+v", e) })
	if !b.work.rehearse() {
		t.Error("no address was held")
	}
	if len(f.log) > 0 {
		t.Errorf("done to the kernel: %q", f.log)
	}
}

func TestKernelRehearse(t *testing.T) {
	c := newCable(t)
	ear := c.listen(nil)
	c.add(address("192.0.2.9/24"))
	k, r, stop := startKeeper(t)
	settle(t, k)
	stop() // the worker's goroutine is this one from here on
	again, err := New(r.record)
	must(t, err)
	defer again.Close()
	before, err := again.kernel.list()
	must(t, err)
	if !again.work.rehearse() {
		t.Error("no address was held")
	}
	after, err := again.kernel.list()
	must(t, err)
	if len(before.list) != len(after.list) || !c.has("192.0.2.9/24") {
		t.Errorf("%d addresses before, %d after", len(before.list), len(after.list))
	}
	// What is asked of the kernel next is answered as ever.
	at := c.link(c.near).Attrs().Index
	errs := again.kernel.apply([]op{{do: add, index: at, addr: Address{Prefix: somewhere, Interface: c.near}}})
	if errs[0] != nil || !c.has("192.0.2.9/24", "192.0.2.1/32") {
		t.Errorf("the next request: %v", errs)
	}
	if h := ear.about("192.0.2.1"); len(h) > 0 {
		t.Errorf("announced: %x", h[0].frame)
	}
}

// Who looks out is not on the caller's CPU, and behind it but ahead of all
// others, and afterwards as before.
func TestStepAside(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the test does not give the thread back
		var before, during, after unix.CPUSet
		must(t, unix.SchedGetaffinity(0, &before))
		usual, err := unix.SchedGetAttr(0, 0)
		must(t, err)
		w := newKeeper(newFakeKernel(), nil).work
		for cpu := range 8 * len(before) * 8 {
			if !before.IsSet(cpu) {
				continue
			}
			if !w.stepAside(cpu) {
				t.Error("the thread cannot be moved")
			}
			must(t, unix.SchedGetaffinity(0, &during))
			if before.Count() > 1 && (during.IsSet(cpu) || during.Count() != before.Count()-1) {
				t.Errorf("may run on %d of %d CPUs, the caller's %t", during.Count(), before.Count(), during.IsSet(cpu))
			}
		}
		for range 2 {
			w.goAhead(4)
			attr, err := unix.SchedGetAttr(0, 0)
			must(t, err)
			switch {
			case attr.Policy == unix.SCHED_RR && attr.Priority == 4:
			case attr.Policy == usual.Policy && os.Getenv("VRRPD_REQUIRE_ALL") != "1":
				t.Log("real-time priority needs CAP_SYS_NICE")
			default:
				t.Errorf("it runs as %+v", attr)
			}
			w.atEase()
			attr, err = unix.SchedGetAttr(0, 0)
			must(t, err)
			// Before Linux 6.12 there are no slices, and 0 is what is read.
			if attr.Policy != usual.Policy || attr.Priority != 0 || usual.Runtime != 0 && attr.Runtime != uint64(shortSlice) {
				t.Errorf("at ease it runs as %+v", attr)
			}
		}
		w.goAhead(4)
		w.stepBack()
		must(t, unix.SchedGetaffinity(0, &after))
		attr, err := unix.SchedGetAttr(0, 0)
		must(t, err)
		if after.Count() != before.Count() || attr.Policy != usual.Policy || attr.Priority != 0 || attr.Runtime != usual.Runtime {
			t.Errorf("afterwards on %v as %+v", after, attr)
		}
	}()
	<-done
}

// An order that comes while the worker looks out is carried out at once, and
// what there is of it beyond the first batch not with real-time priority.
func TestLookOut(t *testing.T) {
	f := newFakeKernel("eth0")
	var policies []uint32
	f.onApply = func(o op) error {
		if o.do != add && o.do != remove || o.entry != nil && o.entry.index == nowhere {
			return nil
		}
		attr, err := unix.SchedGetAttr(0, 0)
		policies = append(policies, attr.Policy)
		return err
	}
	k := newKeeper(f, func(Event) {})
	k.work.take(time.Now())
	if oneProcessor() {
		k.Ready(10*time.Second, Caller{Priority: 5})
		if k.caller.Load() != nil {
			t.Error("it looks out on the caller's processor")
		}
		return
	}
	want := Want{Addresses: many("eth0", 2*batchLen)}
	k.Set("web", want)
	for k.work.pass(time.Now()) { // as when nothing has happened for a while
	}
	order := func(w Want) {
		k.Ready(10*time.Second, Caller{Priority: 5})
		time.AfterFunc(100*time.Millisecond, func() { k.Set("web", w) })
		more := k.work.lookOut()
		if k.work.stand == nil {
			t.Error("the next order of a crowd would find it anywhere")
		}
		for ; more || !k.work.quietAt.IsZero(); more = k.work.round(t.Context(), more) {
		}
	}
	want.Hold = true
	order(want)
	if got := len(k.Installed("web")); got != 2*batchLen || len(policies) != 2*batchLen {
		t.Fatalf("%d addresses are there, after %d were asked for", got, len(policies))
	}
	ahead := policies[0] != unix.SCHED_NORMAL
	if !ahead && os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
		t.Error("the first was added without real-time priority")
	}
	if last := policies[2*batchLen-1]; last != unix.SCHED_NORMAL {
		t.Errorf("the last was added with policy %d", last)
	}
	// To remove addresses there is no hurry.
	policies, want.Hold = nil, false
	order(want)
	if slices.ContainsFunc(policies, func(p uint32) bool { return p != unix.SCHED_NORMAL }) || len(policies) != 2*batchLen {
		t.Errorf("removed with policies %v", policies)
	}
	if k.work.stand != nil {
		t.Error("the thread is kept")
	}
}

// An order that waits already, or has not come by then, is no reason to look out.
func TestLookOutLate(t *testing.T) {
	if oneProcessor() {
		return // see TestLookOut
	}
	f := newFakeKernel("eth0")
	f.onApply = func(o op) error { t.Errorf("it rehearses, or adds: %+v", o); return nil }
	k := newKeeper(f, func(Event) {})
	k.Ready(0, Caller{})
	if k.work.lookOut() {
		t.Error("there is an order")
	}
	k.Ready(time.Minute, Caller{})
	k.Set("web", Want{Addresses: many("eth0", 1)})
	if !k.work.lookOut() {
		t.Error("there is none")
	}
	if s := k.work.stand; s == nil || s.raised {
		t.Errorf("it stands aside: %+v", s)
	}
}

// Without an order the worker stops looking when it is told to.
func TestLookOutInVain(t *testing.T) {
	if oneProcessor() {
		return // see TestLookOut
	}
	k := newKeeper(newFakeKernel("eth0"), func(Event) {})
	start := time.Now()
	k.Ready(5*time.Millisecond, Caller{})
	if k.work.lookOut() || time.Since(start) < 5*time.Millisecond {
		t.Errorf("it looked for %v", time.Since(start))
	}
	if k.work.round(t.Context(), false); k.work.stand != nil {
		t.Error("the thread is kept")
	}
}

// A machine is busy when more wants to run than there are CPUs.
func TestBusy(t *testing.T) {
	for _, c := range []struct {
		load string
		n    int
		ok   bool
	}{
		{"0.20 0.18 0.12 1/80 11206\n", 1, true}, {"94.10 63.18 9.12 137/4080 2811206\n", 137, true},
		{"", 0, false}, {"0.20 0.18 0.12", 0, false}, {"0.20 0.18 0.12 x/80 11206\n", 0, false},
	} {
		if n, ok := runnable(c.load); n != c.n || ok != c.ok {
			t.Errorf("%q: %d, %t", c.load, n, ok)
		}
	}
	for range runtime.NumCPU() + 1 {
		spin := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
		must(t, spin.Start())
		t.Cleanup(func() { _ = spin.Wait() }) // killed with the context
	}
	for deadline := time.Now().Add(10 * time.Second); !busy(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is idle")
		}
	}
}
