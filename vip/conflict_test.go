package vip

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var stranger = mac{2, 0, 0, 0, 0xff, 1}

// claims has a station claim an address of the first interface n times.
func (b *bench) claimsIt(ip string, from mac, n int) {
	for range n {
		b.fakeKernel.claims <- claim{at: spot{2, netip.MustParseAddr(ip)}, mac: from}
	}
	synctest.Wait()
}

func holding10(policy Conflicts) Want {
	return Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true, Conflicts: policy}
}

func TestConflict(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", holding10(DefendConflicts))
		b.told("held web")
		b.did("add 192.0.2.10/24 eth0", "announce 192.0.2.10 eth0")
		time.Sleep(990 * time.Millisecond)
		b.claimsIt("192.0.2.10", stranger, 1) // the predecessor
		time.Sleep(510 * time.Millisecond)
		b.did("probe 192.0.2.10 eth0")
		b.claimsIt("192.0.2.10", mac{2, 0, 0, 0, 0, 2}, 1) // ours
		b.claimsIt("192.0.2.77", stranger, 1)
		b.claimsIt("192.0.2.10", mac{}, 1)
		time.Sleep(20 * time.Second)
		b.told()
		b.did()

		b.claimsIt("192.0.2.10", stranger, 3)
		last := time.Now()
		time.Sleep(999 * time.Millisecond)
		b.told()
		time.Sleep(time.Millisecond)
		e := b.told("conflict web")[0]
		if e.Address != at("eth0", "192.0.2.10/24")[0] || e.MAC.String() != "02:00:00:00:ff:01" || e.Claims != 3 || !e.At.Equal(last) {
			b.Errorf("event %+v", e)
		}
		b.did("announce 192.0.2.10 eth0")
		// Every second for a while: told and defended every ten.
		for range 35 {
			b.claimsIt("192.0.2.10", stranger, 2)
			time.Sleep(time.Second)
		}
		for _, e := range b.told("conflict web", "conflict web", "conflict web") {
			if e.Claims < 16 || e.Claims > 24 {
				b.Errorf("%d claims in ten seconds", e.Claims)
			}
		}
		announced, probed := 0, 0
		for _, line := range b.taken() {
			switch line {
			case "announce 192.0.2.10 eth0":
				announced++
			case "probe 192.0.2.10 eth0":
				probed++
			}
		}
		if announced != 3 || probed != 3 {
			b.Errorf("defended %d times, asked %d times in 35s", announced, probed)
		}
		time.Sleep(time.Minute)
		if kinds := b.happened(); len(kinds) != 2 || kinds[0].Kind != Conflict || kinds[1].Kind != ConflictOver || kinds[1].Owner != "web" {
			b.Errorf("events %+v", kinds)
		}
		b.taken()
		time.Sleep(time.Hour)
		b.did()
		b.told()
	})
}

// Each station is told about, up to a limit, and defended against together.
func TestConflictWithSeveral(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", holding10(DefendConflicts))
		time.Sleep(2 * time.Second)
		b.told("held web")
		b.taken()
		for i := range 200 {
			b.claimsIt("192.0.2.10", mac{2, 0, 0, 0, 0xff, byte(i)}, 1)
		}
		time.Sleep(1100 * time.Millisecond)
		b.told("conflict web", "conflict web", "conflict web", "conflict web")
		b.did("announce 192.0.2.10 eth0")
	})
}

func TestConflictPolicies(t *testing.T) {
	for _, policy := range []Conflicts{IgnoreConflicts, WatchConflicts} {
		onBench(t, newFakeKernel("eth0"), func(b *bench) {
			b.Set("web", holding10(policy))
			time.Sleep(2 * time.Second)
			b.told("held web")
			b.taken()
			b.claimsIt("192.0.2.10", stranger, 1)
			time.Sleep(2 * time.Second)
			if policy == WatchConflicts {
				b.told("conflict web")
			}
			b.did()
			b.told()
		})
	}
}

// A better router announces before we hear of it by other ways.
func TestConflictThatWasASuccessor(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", holding10(DefendConflicts))
		time.Sleep(5 * time.Second)
		b.told("held web")
		b.taken()
		b.claimsIt("192.0.2.10", stranger, 1)
		time.Sleep(900 * time.Millisecond)
		want := holding10(DefendConflicts)
		want.Hold = false
		b.Set("web", want)
		time.Sleep(time.Minute)
		b.told("released web")
		b.did("remove 192.0.2.10/24 eth0")
		b.claimsIt("192.0.2.10", stranger, 1)
		time.Sleep(time.Minute)
		b.told()

		// And held again meanwhile it is another holding.
		b.Set("web", holding10(DefendConflicts))
		time.Sleep(5 * time.Second)
		b.told("held web")
		b.claimsIt("192.0.2.10", stranger, 1)
		b.Set("web", want)
		b.Set("web", holding10(DefendConflicts))
		time.Sleep(time.Minute)
		b.told("held web")
	})
}

// Every Conflict is followed by a ConflictOver.
func TestConflictEndsWithHolding(t *testing.T) {
	for name, end := range map[string]func(b *bench){
		"released":  func(b *bench) { b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24")}) },
		"forgotten": func(b *bench) { b.Forget("web") },
		"dropped":   func(b *bench) { b.Set("web", Want{Hold: true, Conflicts: WatchConflicts}) },
	} {
		t.Run(name, func(t *testing.T) {
			onBench(t, newFakeKernel("eth0"), func(b *bench) {
				b.Set("web", holding10(WatchConflicts))
				time.Sleep(5 * time.Second)
				b.claimsIt("192.0.2.10", stranger, 1)
				time.Sleep(5 * time.Second)
				b.told("held web", "conflict web")
				end(b)
				synctest.Wait()
				if !slices.ContainsFunc(b.happened(), func(e Event) bool { return e.Kind == ConflictOver && e.Owner == "web" }) {
					b.Error("not told that it is over")
				}
			})
		})
	}
}

// While the caller is silent nothing is told, defended or asked.
func TestConflictWhileSilent(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", holding10(DefendConflicts))
		b.beats(5 * time.Second)
		b.told("held web")
		b.taken()
		time.Sleep(5 * time.Second)
		b.claimsIt("192.0.2.10", stranger, 1)
		time.Sleep(5 * time.Second)
		b.told()
		b.did()
		b.Beat()
		b.told("conflict web")
		b.did("announce 192.0.2.10 eth0")
	})
}

// The successor's announcement ends a linger, soon.
func TestLingerEndsWithAnnouncement(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		for _, before := range []time.Duration{-300 * time.Millisecond, 0, 400 * time.Millisecond, 980 * time.Millisecond} {
			want := holding10(IgnoreConflicts)
			b.Set("web", want)
			time.Sleep(5 * time.Second)
			b.told("held web")
			if before < 0 {
				b.claimsIt("192.0.2.10", stranger, 1)
				time.Sleep(-before)
			}
			want.Hold, want.Linger = false, time.Second
			b.Set("web", want)
			asked := time.Now()
			b.told("quieted web")
			if before >= 0 {
				time.Sleep(before)
				b.claimsIt("192.0.2.10", stranger, 1)
				b.claimsIt("192.0.2.10", stranger, 5) // does not prolong it
			}
			time.Sleep(time.Second)
			e := b.told("released web")[0]
			if got, want := e.At.Sub(asked), min(max(before, 0)+lingerGrace, time.Second); got != want {
				b.Errorf("announced after %v: released after %v, want %v", before, got, want)
			}
		}
	})
}

func TestListening(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		hears := func(ips ...string) {
			b.Helper()
			synctest.Wait()
			f.mu.Lock()
			defer f.mu.Unlock()
			var got []string
			for _, ip := range f.listening {
				got = append(got, ip.String())
			}
			if !slices.Equal(got, ips) {
				b.Errorf("listens for %v, want %v", got, ips)
			}
		}
		want := Want{Addresses: at("eth0", "192.0.2.10/24", "2001:db8::10/64"), Linger: time.Second}
		b.Set("web", want)
		b.Set("db", Want{Addresses: at("eth0", "192.0.2.20/24")})
		hears()
		want.Hold = true
		b.Set("web", want)
		time.Sleep(quietFor)
		hears("192.0.2.10", "2001:db8::10")
		want.Hold = false
		b.Set("web", want)
		hears("192.0.2.10", "2001:db8::10")
		time.Sleep(time.Second + quietFor)
		hears()

		// What lingers is listened for at once: a successor may be about to announce.
		want.Hold = true
		b.Set("web", want)
		hears()
		want.Hold = false
		b.Set("web", want)
		hears("192.0.2.10", "2001:db8::10")
		time.Sleep(time.Second + quietFor)
		hears()
	})
}
