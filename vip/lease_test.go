package vip

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// beats has the caller show progress every second for d.
func (b *bench) beats(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		b.Beat()
		time.Sleep(min(time.Second, time.Until(end)))
	}
	b.Beat()
	synctest.Wait()
}

func TestLeaseIsRenewed(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		want := Want{Addresses: at("eth0", "192.0.2.10/24", "2001:db8::10/64"), Hold: true, Lease: 6*time.Second + 900*time.Millisecond}
		b.Set("web", want)
		b.did("add 192.0.2.10/24 eth0 for 6s", "add 2001:db8::10/64 eth0 for 6s", "announce 192.0.2.10 eth0", "announce 2001:db8::10 eth0")
		b.told("held web")
		b.beats(1900 * time.Millisecond)
		b.did()
		b.beats(200 * time.Millisecond)
		b.did("renew 192.0.2.10/24 eth0 for 6s", "renew 2001:db8::10/64 eth0 for 6s")
		b.beats(60 * time.Second)
		if n := len(b.taken()); n != 60 {
			b.Errorf("%d renewals of two addresses in 60s, want 60", n)
		}
		// One that comes later is soon renewed together with the others.
		want.Addresses = at("eth0", "192.0.2.10/24", "2001:db8::10/64", "192.0.2.11/24")
		b.beats(1700 * time.Millisecond)
		b.Set("web", want)
		synctest.Wait()
		b.taken()
		b.beats(20 * time.Second)
		var last []time.Time
		b.fakeKernel.mu.Lock()
		for i, line := range b.log {
			// For 5s where the Beat of the same instant comes after it.
			if strings.HasPrefix(line, "renew 192.0.2.10/24 ") || strings.HasPrefix(line, "renew 192.0.2.11/24 ") {
				last = append(last, b.times[i])
			}
		}
		b.fakeKernel.mu.Unlock()
		if n := len(last); n < 4 || !last[n-1].Equal(last[n-2]) || !last[n-3].Equal(last[n-4]) {
			b.Errorf("renewed at %v, want in pairs", last)
		}
		b.taken()
		want.Hold = false
		b.Set("web", want)
		b.told("held web", "released web")
		b.taken()
		b.beats(time.Minute)
		b.did()
	})
}

func TestLeaseOfKeeperThatIsGivenNoBeat(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true, Lease: 6 * time.Second})
		b.told("held web")
		b.taken()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.taken()); n < 29 {
			b.Errorf("%d renewals", n)
		}
	})
}

// What is found gets the lifetime that is wanted, and so does what is held when
// that changes.
func TestLeaseFollowsSetting(t *testing.T) {
	f := newFakeKernel("eth0")
	f.entries = []*entry{{index: 2, prefix: netip.MustParsePrefix("192.0.2.10/24"), marked: true}}
	onBench(t, f, func(b *bench) {
		want := Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true, Lease: 9 * time.Second}
		b.Set("web", want)
		b.did("announce 192.0.2.10 eth0", "renew 192.0.2.10/24 eth0 for 9s")
		time.Sleep(time.Second)
		want.Lease = 30 * time.Second
		b.Set("web", want)
		b.did("renew 192.0.2.10/24 eth0 for 30s")
		time.Sleep(9 * time.Second)
		b.did()
		time.Sleep(2 * time.Second)
		b.did("renew 192.0.2.10/24 eth0 for 30s")
		want.Lease = 0
		b.Set("web", want)
		b.did("renew 192.0.2.10/24 eth0")
		time.Sleep(time.Hour)
		b.did()
		// Somebody else gives it an end.
		b.fakeKernel.mu.Lock()
		b.fakeKernel.entries = []*entry{{index: 2, prefix: want.Addresses[0].Prefix, marked: true, expires: true}}
		b.fakeKernel.mu.Unlock()
		b.changes <- change{index: 2, ip: want.Addresses[0].Prefix.Addr()}
		b.did("renew 192.0.2.10/24 eth0")
	})
}

func TestLeaseOfOwner(t *testing.T) {
	f := newFakeKernel("eth0")
	f.entries = []*entry{
		{index: 2, prefix: netip.MustParsePrefix("192.0.2.10/24")},
		{index: 2, prefix: netip.MustParsePrefix("192.0.2.11/24"), expires: true},
		{index: 2, prefix: netip.MustParsePrefix("192.0.2.12/24"), marked: true, expires: true},
	}
	onBench(t, f, func(b *bench) {
		b.Set("own", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24", "192.0.2.12/24", "192.0.2.13/24"), Hold: true, Owner: true, Lease: 9 * time.Second})
		b.did("add 192.0.2.13/24 eth0", "announce 192.0.2.13 eth0", "announce 192.0.2.10 eth0", "announce 192.0.2.11 eth0",
			"announce 192.0.2.12 eth0", "renew 192.0.2.12/24 eth0") // that one an earlier process added
		time.Sleep(time.Hour)
		b.did()
	})
}

// An address that is gone is not brought back by its renewal but restored, and
// that is told and announced.
func TestLeaseOfAddressThatIsGone(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24"), Hold: true, Lease: 6 * time.Second})
		b.told("held web")
		b.taken()
		b.fakeKernel.mu.Lock()
		b.fakeKernel.entries = b.fakeKernel.entries[:1] // nobody tells
		b.fakeKernel.mu.Unlock()
		time.Sleep(2 * time.Second)
		b.did("renew 192.0.2.10/24 eth0 for 6s", "add 192.0.2.11/24 eth0 for 6s", "announce 192.0.2.11 eth0")
		b.told("restored web")
	})
}

// A kernel may come to refuse what makes a renewal fail for an address that is
// gone: then plain words do.
func TestLeaseRefused(t *testing.T) {
	f := newFakeKernel("eth0")
	var forbidden atomic.Bool
	f.onApply = func(o op) error {
		switch {
		case o.do != renew:
		case forbidden.Load():
			return unix.EPERM
		case !o.plain:
			return unix.EINVAL
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true, Lease: 6 * time.Second})
		b.told("held web")
		b.taken()
		time.Sleep(5 * time.Second)
		b.did("renew 192.0.2.10/24 eth0 for 6s", "renew 192.0.2.10/24 eth0 for 6s")
		b.told()
		forbidden.Store(true)
		time.Sleep(5 * time.Second)
		if e := b.told("failed web")[0]; e.Err.Error() != "renew the lease of 192.0.2.10/24 on eth0: operation not permitted" {
			b.Errorf("error %v", e.Err)
		}
	})
}

// The more IPv6 addresses an interface has, the more a renewal costs.
func TestLeaseOfCrowd(t *testing.T) {
	onBench(t, newFakeKernel("eth0", "eth1"), func(b *bench) {
		b.Set("web", Want{Addresses: append(many6("eth0", 2*leaseCrowd+1), at("eth0", "192.0.2.10/24")...), Hold: true, Lease: 6 * time.Second})
		b.Set("db", Want{Addresses: many6("eth1", leaseCrowd), Hold: true, Lease: 6 * time.Second})
		b.told("held web", "held db")
		lasts := map[string]int{}
		for _, line := range b.taken() {
			var prefix, name, d string
			if n, _ := fmt.Sscanf(line, "add %s %s for %s", &prefix, &name, &d); n == 3 {
				lasts[name+" "+d]++
			}
		}
		want := map[string]int{"eth0 18s": 2*leaseCrowd + 1, "eth0 6s": 1, "eth1 6s": leaseCrowd}
		if !maps.Equal(lasts, want) {
			b.Errorf("leases %v, want %v", lasts, want)
		}
	})
}

// The order that ends holding comes between two batches: nothing more is renewed.
func TestLeaseOfOrderThatEnds(t *testing.T) {
	f := newFakeKernel("eth0")
	renewed := 0
	var endIt func()
	f.onApply = func(o op) error {
		if o.do == renew {
			if renewed++; renewed == 1 {
				endIt()
			}
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		var addresses []string
		for i := range 250 {
			addresses = append(addresses, fmt.Sprintf("192.0.2.%d/24", i+1))
		}
		want := Want{Addresses: at("eth0", addresses...), Hold: true, Lease: 6 * time.Second}
		endIt = func() {
			want.Hold = false
			b.Set("web", want)
		}
		b.Set("web", want)
		b.told("held web")
		time.Sleep(2 * time.Second)
		b.told("released web")
		if renewed != leaseLen {
			b.Errorf("%d renewed, want no more than the batch under way (%d)", renewed, leaseLen)
		}
	})
}

// A caller that hangs loses its addresses at most a second later than the lease
// after its last progress.
func TestLeaseEndsWithProgress(t *testing.T) {
	for _, length := range []time.Duration{1, 2, 3, 5, 10, 60} {
		length *= time.Second
		for _, into := range []time.Duration{0, 300, 700, 1000, 1300, 1999} {
			onBench(t, newFakeKernel("eth0"), func(b *bench) {
				b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true, Lease: length})
				b.beats(2*length + into*time.Millisecond)
				last := time.Now()
				time.Sleep(time.Minute)
				synctest.Wait()
				b.fakeKernel.mu.Lock()
				end := time.Time{}
				for i, line := range b.log {
					var address, name, lasts string
					if n, _ := fmt.Sscanf(line, "renew %s %s for %s", &address, &name, &lasts); n == 3 {
						d, _ := time.ParseDuration(lasts)
						end = b.times[i].Add(d)
					}
				}
				b.fakeKernel.mu.Unlock()
				if left := end.Sub(last); left > length+time.Second || left < length*2/3-time.Second {
					b.Errorf("lease %v: ends %v after the last progress", length, left)
				}
				b.taken()
				b.Beat() // goes on at once
				synctest.Wait()
				if got := b.taken(); !slices.Equal(got, []string{"renew 192.0.2.10/24 eth0 for " + length.String()}) {
					b.Errorf("lease %v: done on the next Beat: %v", length, got)
				}
			})
		}
	}
}

// A process that was stopped, or whose loop hangs, confirms nothing by itself
// before the loop has shown progress.
func TestSilentCaller(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		want := Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24"), Hold: true, Announce: Announce{Refresh: 5 * time.Second}}
		b.Set("web", want)
		b.told("held web")
		b.beats(time.Second)
		b.taken()
		time.Sleep(10 * time.Second)
		b.steal("192.0.2.10/24")
		b.plant("192.0.2.99/24", "eth0")
		b.did()
		b.told()
		time.Sleep(time.Hour)
		b.did()
		if got := b.Installed("web"); len(got) != 1 {
			b.Errorf("installed %v", got)
		}
		b.Beat()
		b.did("add 192.0.2.10/24 eth0", "announce 192.0.2.10 eth0", "announce 192.0.2.11 eth0")
		b.told("restored web")
		b.beats(4 * time.Second)

		// A new order is progress.
		time.Sleep(10 * time.Second)
		b.taken()
		b.Set("db", Want{Addresses: at("eth0", "192.0.2.20/24"), Hold: true})
		b.did("add 192.0.2.20/24 eth0", "announce 192.0.2.20 eth0", "announce 192.0.2.10 eth0", "announce 192.0.2.11 eth0")

		// Removing goes on.
		time.Sleep(10 * time.Second)
		b.Beat()
		time.Sleep(10 * time.Second)
		b.taken()
		b.Set("db", Want{Addresses: at("eth0", "192.0.2.20/24")})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b.taken()
		b.plant("192.0.2.20/24", "eth0")
		b.did("remove 192.0.2.20/24 eth0")
	})
}

// A process stopped in the middle of a burst does not go on with it.
func TestStoppedInABurst(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		b.Beat()
		sent := 0
		f.onAnnounce = func(netip.Addr) error {
			if sent++; sent == 2 {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24", "192.0.2.12/24"), Hold: true})
		time.Sleep(time.Minute)
		synctest.Wait()
		if sent != 2 {
			b.Errorf("%d announcements, want 2", sent)
		}
		b.told()
		b.Beat()
		b.told("held web")
		if sent != 3 {
			b.Errorf("%d announcements, want 3", sent)
		}
	})
}

func TestBeatIsCheap(t *testing.T) {
	k := newKeeper(newFakeKernel(), func(Event) {})
	if n := testing.AllocsPerRun(100, k.Beat); n != 0 {
		t.Errorf("Beat allocates %v times", n)
	}
	k.mu.Lock() // Beat does not wait for it
	k.Beat()
	k.mu.Unlock()
}

// Its stand-in has an end of its own.
func TestLingerHasAnEnd(t *testing.T) {
	var lasts time.Duration
	f := newFakeKernel("eth0")
	f.onApply = func(o op) error {
		if o.do == addHost {
			lasts = o.lease
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		want := Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true}
		b.Set("web", want)
		b.told("held web")
		want.Hold, want.Linger = false, 1200*time.Millisecond
		b.Set("web", want)
		b.told("quieted web")
		if lasts != 3*time.Second {
			b.Errorf("the stand-in lasts %v", lasts)
		}
	})
}

// Leases are gone through when one is due or addresses may have changed, and not
// whenever the worker has something else to do: that is often, with 2,000
// addresses that are asked about, a batch at a time.
func TestLeasesAreLeftAlone(t *testing.T) {
	k := newKeeper(newFakeKernel("eth0"), func(Event) {})
	w := k.work
	k.Set("web", Want{Addresses: many("eth0", 3*batchLen), Hold: true, Lease: 30 * time.Second})
	for w.pass(time.Now()) {
	}
	if !w.leasesDue(time.Now()) {
		t.Error("addresses were added, and their leases are not looked at")
	}
	w.renewLeases()
	now := time.Now()
	if w.leasesDue(now) || w.leasesDue(now.Add(9*time.Second)) || !w.leasesDue(now.Add(10*time.Second)) {
		t.Errorf("of 30s, the leases are looked at next in %v", w.renewAt.Sub(now))
	}
}

// An order does not wait until thousands of leases are renewed.
func TestLeasesGiveWayToOrders(t *testing.T) {
	f := newFakeKernel("eth0", "eth1")
	const n = 5*leaseLen + 1
	renewed, before := 0, 0
	var order func()
	f.onApply = func(o op) error {
		switch {
		case o.do == renew:
			if renewed++; renewed == 1 {
				order()
			}
		case o.do == add && o.index == 3:
			before = renewed
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		order = func() { b.Set("db", Want{Addresses: at("eth1", "198.51.100.1/24"), Hold: true}) }
		b.Set("web", Want{Addresses: many("eth0", n), Hold: true, Lease: 6 * time.Second})
		b.told("held web")
		time.Sleep(2 * time.Second)
		b.told("held db")
		if before != leaseLen || renewed != n {
			b.Errorf("%d renewed before the order, want the batch under way (%d); %d in all, want %d", before, leaseLen, renewed, n)
		}
	})
}

// Those that come later give the others longer leases, but not at once.
func TestLeaseOfCrowdThatGrows(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		all := many6("eth0", leaseCrowd+10)
		b.Set("web", Want{Addresses: all[:leaseCrowd], Hold: true, Lease: 6 * time.Second})
		b.told("held web")
		time.Sleep(time.Second)
		b.taken()
		b.Set("db", Want{Addresses: all[leaseCrowd:], Hold: true, Lease: 6 * time.Second})
		b.told("held db")
		count := func() (n int) {
			for _, line := range b.taken() {
				if strings.HasPrefix(line, "renew ") {
					n++
					if !strings.HasSuffix(line, " for 12s") {
						b.Error(line)
					}
				}
			}
			return n
		}
		if n := count(); n != 0 {
			b.Errorf("%d renewed at once", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := count(); n != leaseCrowd {
			b.Errorf("%d renewed when they were due, want %d", n, leaseCrowd)
		}
	})
}

// Nor do leases end because orders come one after the other.
func TestOrdersGiveWayToLeases(t *testing.T) {
	f := newFakeKernel("eth0", "eth1")
	const n = 3 * leaseLen
	renewed, orders := 0, 0
	var order func()
	f.onApply = func(o op) error {
		if o.do == renew {
			renewed++
		}
		if o.do == renew && renewed == 1 || o.do == add && o.index == 3 && orders < 20 {
			orders++
			order() // so there always is one when it looks
		}
		if orders == 10 && renewed != n {
			t.Errorf("%d of %d renewed after %d orders", renewed, n, orders)
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		order = func() {
			b.Set(fmt.Sprint("order ", orders), Want{Addresses: at("eth1", fmt.Sprintf("198.51.100.%d/24", orders)), Hold: true})
		}
		b.Set("web", Want{Addresses: many("eth0", n), Hold: true, Lease: 6 * time.Second})
		b.told("held web")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if orders != 20 {
			t.Errorf("%d orders", orders)
		}
	})
}
