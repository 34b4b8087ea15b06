package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHoldAndRelease(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		want := Want{Addresses: at("eth0", "192.0.2.10/24", "2001:db8::10/64"), Hold: true, Announce: Announce{Burst: 2, Spacing: time.Second}}
		asked := time.Now()
		b.Set("web", want)
		b.did("add 192.0.2.10/24 eth0", "add 2001:db8::10/64 eth0", "announce 192.0.2.10 eth0", "announce 2001:db8::10 eth0")
		held := b.told("held web")[0]
		if !slices.Equal(held.Addresses, want.Addresses) || !held.Started.Equal(asked) || held.At.Before(asked) {
			b.Errorf("held event %+v", held)
		}
		b.Set("web", want)
		time.Sleep(time.Second)
		b.did("announce 192.0.2.10 eth0", "announce 2001:db8::10 eth0")
		time.Sleep(time.Hour)
		b.did()
		if got := b.Installed("web"); !slices.Equal(got, want.Addresses) {
			b.Errorf("installed %v", got)
		}

		want.Hold = false
		b.Set("web", want)
		b.did("remove 2001:db8::10/64 eth0", "remove 192.0.2.10/24 eth0")
		if released := b.told("released web")[0]; len(released.Addresses) != 2 {
			b.Errorf("released event %+v", released)
		}
		if got := b.Installed("web"); len(got) != 0 {
			b.Errorf("installed after release: %v", got)
		}
	})
}

// RFC 9568 section 8.1.2: no announcement before the address is installed.
func TestCase46_AddressInstalledBeforeItsAnnouncement(t *testing.T) {
	f := newFakeKernel("eth0")
	f.onAnnounce = func(ip netip.Addr) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !slices.ContainsFunc(f.entries, func(e *entry) bool { return e.prefix.Addr() == ip }) {
			t.Errorf("%s announced before it was installed", ip)
		}
		return nil
	}
	refused := netip.MustParseAddr("192.0.2.77")
	f.onApply = func(o op) error {
		if o.do == add && o.addr.Prefix.Addr() == refused {
			return unix.EPERM
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		var addresses []string
		for i := range 100 { // several batches
			addresses = append(addresses, fmt.Sprintf("192.0.2.%d/24", i+1))
		}
		b.Set("web", Want{Addresses: at("eth0", addresses...), Hold: true, Announce: Announce{Burst: 3, Spacing: time.Second}})
		b.told("failed web")
		log := b.taken()
		count := 0
		for _, line := range log {
			if strings.HasPrefix(line, "announce") {
				count++
			}
		}
		if count != 99 {
			b.Errorf("%d announcements in the first round, want 99", count)
		}
		if first, last := slices.Index(log, "announce 192.0.2.1 eth0"), slices.Index(log, "add 192.0.2.100/24 eth0"); first > last {
			b.Error("the first address was announced only after the last was installed")
		}
		time.Sleep(30 * time.Second)
		if slices.Contains(b.taken(), "announce 192.0.2.77 eth0") {
			b.Error("an address that could not be installed was announced")
		}
	})
}

func TestCase57_AddressAddedToConfiguration(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.did("add 192.0.2.10/24 eth0", "announce 192.0.2.10 eth0")
		b.told("held web")
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24"), Hold: true})
		b.did("add 192.0.2.11/24 eth0", "announce 192.0.2.11 eth0")
		b.told("held web")

		b.Set("db", Want{Addresses: at("eth0", "192.0.2.20/24")})
		b.Set("db", Want{Addresses: at("eth0", "192.0.2.20/24", "192.0.2.21/24")})
		b.did()
		b.told()
	})
}

func TestCase58_AddressRemovedFromConfiguration(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24"), Hold: true, Announce: Announce{Refresh: time.Second}})
		b.told("held web")
		b.taken()
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.11/24"), Hold: true, Announce: Announce{Refresh: time.Second}})
		b.did("remove 192.0.2.10/24 eth0")
		if e := b.told("released web")[0]; !slices.Equal(e.Addresses, at("eth0", "192.0.2.10/24")) {
			b.Errorf("released %v", e.Addresses)
		}
		time.Sleep(time.Second)
		b.did("announce 192.0.2.11 eth0")
	})
}

// The order that ends holding comes from another goroutine in the middle of a
// burst: nothing more leaves.
func TestNoAnnouncementAfterHoldIsLost(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		var addresses []string
		for i := range 200 {
			addresses = append(addresses, fmt.Sprintf("192.0.2.%d/24", i+1))
		}
		want := Want{Addresses: at("eth0", addresses...), Hold: true, Announce: Announce{Burst: 5, Spacing: 10 * time.Millisecond}}
		var sent, added int
		f.onApply = func(o op) error {
			if o.do == add {
				added++
			}
			return nil
		}
		f.onAnnounce = func(netip.Addr) error {
			if sent++; sent == 10 {
				want.Hold = false
				b.Set("web", want)
			}
			return nil
		}
		b.Set("web", want)
		b.told("released web")
		time.Sleep(time.Minute)
		b.told()
		if sent != 10 {
			b.Errorf("%d announcements, want 10", sent)
		}
		if most := (2 + aheadMax) * batchLen; added > most { // this kernel takes no time
			b.Errorf("%d addresses added, want no more than what is announced, waits for it and is under way (%d)", added, most)
		}
		if n := f.present(); n != 0 {
			b.Errorf("%d addresses are left", n)
		}
	})
}

// All addresses are announced once before any is announced twice.
func TestFirstRoundFirst(t *testing.T) {
	f := newFakeKernel("eth0")
	f.onApply = func(op) error { time.Sleep(time.Millisecond); return nil } // slower than the spacing
	onBench(t, f, func(b *bench) {
		var addresses []string
		for i := range 100 {
			addresses = append(addresses, fmt.Sprintf("192.0.2.%d/24", i+1))
		}
		b.Set("web", Want{Addresses: at("eth0", addresses...), Hold: true, Announce: Announce{Burst: 2, Spacing: time.Millisecond}})
		time.Sleep(time.Second)
		b.told("held web")
		seen := map[string]bool{}
		for _, line := range b.taken() {
			if !strings.HasPrefix(line, "announce") {
				continue
			}
			if seen[line] && len(seen) < 100 {
				b.Fatalf("%q again after %d addresses", line, len(seen))
			}
			seen[line] = true
		}
		if len(seen) != 100 {
			b.Errorf("%d addresses announced", len(seen))
		}
	})
}

// An owner's addresses are held when they have been announced, however long the
// keeper then goes on with those of others.
func TestHeldWhenAnnounced(t *testing.T) {
	f := newFakeKernel("eth0")
	f.onApply = func(op) error { time.Sleep(time.Millisecond); return nil }
	announced := map[netip.Addr]time.Time{}
	f.onAnnounce = func(a netip.Addr) error { announced[a] = time.Now(); return nil }
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		var others []string
		for i := range 2 * batchLen {
			others = append(others, fmt.Sprintf("198.51.100.%d/24", i+1))
		}
		b.Set("db", Want{Addresses: at("eth0", others...), Hold: true})
		time.Sleep(time.Second)
		for _, e := range b.told("held web", "held db") {
			if last := announced[e.Addresses[len(e.Addresses)-1].Prefix.Addr()]; !e.At.Equal(last) {
				b.Errorf("%s is held %s after its last announcement", e.Owner, e.At.Sub(last))
			}
		}
	})
}

// Of thousands of addresses one or the other is always due to be announced
// again, which must not take a look at all of them: that is much garbage.
func TestEffortPerAnnouncement(t *testing.T) {
	f := newFakeKernel("eth0")
	f.onAnnounce = func(netip.Addr) error { time.Sleep(time.Millisecond); return nil } // one after the other from then on
	onBench(t, f, func(b *bench) {
		const count = 1000
		var addresses []string
		for i := range count {
			addresses = append(addresses, fmt.Sprintf("10.0.%d.%d/32", i/250, i%250))
		}
		b.Set("web", Want{Addresses: at("eth0", addresses...), Hold: true, Announce: Announce{Burst: 2, Spacing: 3 * time.Second}})
		time.Sleep(2 * time.Second)
		b.told("held web")
		b.taken()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		time.Sleep(3 * time.Second)
		runtime.ReadMemStats(&after)
		if n := len(b.taken()); n != count {
			b.Errorf("announced %d times, want %d", n, count)
		}
		if each := (after.TotalAlloc - before.TotalAlloc) / count; each > 2048 {
			b.Errorf("each announcement allocates %d bytes", each)
		}
	})
}

// Who takes over does not wait until thousands of addresses have been announced
// again, whether one round is under way or another one is due.
func TestOrdersComeBeforeRepeats(t *testing.T) {
	f := newFakeKernel("eth0")
	f.onAnnounce = func(netip.Addr) error { time.Sleep(time.Millisecond); return nil }
	onBench(t, f, func(b *bench) {
		var addresses []string
		for i := range 200 {
			addresses = append(addresses, fmt.Sprintf("198.51.100.%d/24", i+1))
		}
		// A round takes 200 ms, and the next one is due by then.
		b.Set("web", Want{Addresses: at("eth0", addresses...), Hold: true, Announce: Announce{Burst: 100, Spacing: 150 * time.Millisecond}})
		time.Sleep(time.Second)
		for i := range 50 {
			owner := fmt.Sprint("db", i)
			asked := time.Now()
			b.Set(owner, Want{Addresses: at("eth0", fmt.Sprintf("192.0.2.%d/24", i+1)), Hold: true})
			time.Sleep(17 * time.Millisecond)
			for _, e := range b.happened() {
				if took := e.At.Sub(asked); e.Owner == owner && took <= 3*time.Millisecond {
					asked = time.Time{}
				}
			}
			if !asked.IsZero() {
				b.Errorf("%s waited for longer than three announcements", owner)
			}
		}
		b.taken()
		time.Sleep(time.Second)
		if n := len(b.taken()); n < 900 {
			b.Errorf("%d announcements in a second, each takes a millisecond", n)
		}
	})
}

func TestRestored(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.told("held web")
		b.taken()
		time.Sleep(time.Second)
		b.steal("192.0.2.10/24")
		b.did("add 192.0.2.10/24 eth0", "announce 192.0.2.10 eth0")
		if e := b.told("restored web")[0]; e.Address != at("eth0", "192.0.2.10/24")[0] {
			b.Errorf("restored %v", e.Address)
		}
	})
}

// Somebody who removes an address as soon as it is there, or adds it as soon as
// it is gone, gets at most ten answers a second.
func TestFightIsPaced(t *testing.T) {
	for _, hold := range []bool{true, false} {
		t.Run(fmt.Sprintf("hold %v", hold), func(t *testing.T) {
			f := newFakeKernel("eth0")
			onBench(t, f, func(b *bench) {
				b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: hold})
				time.Sleep(time.Minute)
				b.taken()
				b.happened()
				until := time.Now().Add(2 * time.Second)
				for time.Now().Before(until) {
					there := f.present() > 0
					switch {
					case there && hold:
						f.steal("192.0.2.10/24")
					case !there && !hold:
						f.plant("192.0.2.10/24", "eth0")
					}
					time.Sleep(time.Millisecond)
				}
				time.Sleep(time.Second)
				answers := 0
				for _, line := range b.taken() {
					if strings.HasPrefix(line, "add") || strings.HasPrefix(line, "remove") {
						answers++
					}
				}
				if answers < 10 || answers > 22 {
					b.Errorf("%d answers in 2 s, want about 20", answers)
				}
				if present := f.present() > 0; present != hold {
					b.Errorf("after the fight: present %v, want %v", present, hold)
				}
			})
		})
	}
}

func TestForeignIsRemovedUnlessOwner(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.plant("192.0.2.10/24", "eth0")
		b.plant("192.0.2.20/24", "eth0")
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24")})
		b.Set("own", Want{Addresses: at("eth0", "192.0.2.20/24"), Owner: true})
		b.did("remove 192.0.2.10/24 eth0")
		b.told("foreign web")
		// Any prefix length answers ARP all the same.
		time.Sleep(time.Second)
		b.plant("192.0.2.10/32", "eth0")
		b.did("remove 192.0.2.10/32 eth0")
		b.told("foreign web")

		b.Set("own", Want{Addresses: at("eth0", "192.0.2.20/24", "192.0.2.21/24"), Owner: true, Hold: true})
		b.did("add 192.0.2.21/24 eth0", "announce 192.0.2.21 eth0", "announce 192.0.2.20 eth0")
		b.told("held own")
		b.Forget("own")
		b.did("remove 192.0.2.21/24 eth0")
		b.told("released own")
	})
}

// What is held is removed on release although somebody else had added it.
func TestFoundWhileHolding(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.plant("192.0.2.10/24", "eth0")
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.did("announce 192.0.2.10 eth0")
		b.told("held web")
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24")})
		b.did("remove 192.0.2.10/24 eth0")
		b.told("released web")
	})
}

func TestAbsentInterface(t *testing.T) {
	f := newFakeKernel()
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24"), Hold: true})
		e := b.told("failed web")[0]
		if !errors.Is(e.Err, ErrNoInterface) || len(e.Addresses) != 2 ||
			e.Err.Error() != "add 192.0.2.10/24 and 1 more to eth0: no such interface" {
			b.Errorf("failed event %+v", e)
		}
		time.Sleep(time.Hour)
		b.told()
		f.mu.Lock()
		f.links["eth0"] = &link{name: "eth0", index: 7, up: true, running: true, talks: true, mac: net.HardwareAddr{2, 0, 0, 0, 0, 7}, promote: true}
		f.mu.Unlock()
		f.changes <- change{index: 7, name: "eth0"}
		b.did("add 192.0.2.10/24 eth0", "add 192.0.2.11/24 eth0", "announce 192.0.2.10 eth0", "announce 192.0.2.11 eth0")
		b.told("held web")
		// Recreated: another index, no address.
		f.mu.Lock()
		f.links["eth0"] = &link{name: "eth0", index: 8, up: true, running: true, talks: true, mac: net.HardwareAddr{2, 0, 0, 0, 0, 8}, promote: true}
		f.entries = nil
		f.mu.Unlock()
		f.changes <- change{index: 8, name: "eth0"}
		b.did("add 192.0.2.10/24 eth0", "add 192.0.2.11/24 eth0", "announce 192.0.2.10 eth0", "announce 192.0.2.11 eth0")
		b.told("restored web", "restored web")
	})
}

func TestAnnouncedAgainWhenTheLinkChanges(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.alter("eth0", func(l *link) { l.running = false })
		b.did()
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.did("add 192.0.2.10/24 eth0") // no carrier: nobody hears
		b.told("held web")
		b.alter("eth0", func(l *link) { l.running = true })
		b.did("announce 192.0.2.10 eth0")
		b.alter("eth0", func(l *link) { l.mac = net.HardwareAddr{2, 0, 0, 0, 9, 9} })
		b.did("announce 192.0.2.10 eth0")
		// Down and up before anybody looked.
		b.changes <- change{index: b.links["eth0"].index, name: "eth0", down: true}
		b.changes <- change{index: b.links["eth0"].index, name: "eth0"}
		b.did("announce 192.0.2.10 eth0")
		b.changes <- change{err: unix.ENOBUFS}
		b.did("announce 192.0.2.10 eth0")
		b.alter("eth0", func(*link) {})
		b.did()
		b.told()
	})
}

func TestErrorsBackOff(t *testing.T) {
	f := newFakeKernel("eth0")
	var attempts []time.Duration
	start := time.Now()
	var refuse atomic.Bool
	refuse.Store(true)
	f.onApply = func(o op) error {
		if o.do != add {
			return nil
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		attempts = append(attempts, time.Since(start).Round(time.Millisecond))
		if refuse.Load() {
			return unix.EPERM
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		start = time.Now()
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		e := b.told("failed web")[0]
		if !errors.Is(e.Err, unix.EPERM) || e.Err.Error() != "add 192.0.2.10/24 to eth0: operation not permitted" {
			b.Errorf("error %q", e.Err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := b.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, unix.EPERM) {
			b.Errorf("Settle: %v", err)
		}
		const ms = time.Millisecond
		f.mu.Lock()
		if want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms}; !slices.Equal(attempts[:4], want) {
			b.Errorf("attempts at %v, want %v", attempts, want)
		}
		f.mu.Unlock()
		b.told()
		refuse.Store(false)
		time.Sleep(retryMax)
		b.told("held web")
	})
}

func TestListFails(t *testing.T) {
	f := newFakeKernel("eth0")
	f.listErr = unix.ENOMEM
	onBench(t, f, func(b *bench) {
		b.told("failed")
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		time.Sleep(time.Second)
		b.told()
		f.mu.Lock()
		f.listErr = nil
		f.mu.Unlock()
		time.Sleep(retryMax)
		b.told("held web")
	})
}

func TestTwoOwnersOfOneAddress(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("a", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.told("held a")
		b.taken()
		b.Set("b", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.10/32")}) // absent for b
		b.did()
		// b takes over from a in one go: the address stays.
		b.Set("b", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.Forget("a")
		b.did("announce 192.0.2.10 eth0")
		b.Forget("b")
		b.did("remove 192.0.2.10/24 eth0")
	})
}

func TestRename(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("old", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.told("held old")
		b.taken()
		b.Rename("old", "new")
		b.did()
		b.told()
		if got := b.Installed("new"); len(got) != 1 {
			b.Errorf("installed for the new name: %v", got)
		}
		b.steal("192.0.2.10/24")
		time.Sleep(time.Second)
		b.told("restored new")
		b.Rename("absent", "new")
		b.did("add 192.0.2.10/24 eth0", "announce 192.0.2.10 eth0")
		b.Forget("new")
		b.told("released new")
	})
}

func TestAnnounceAgain(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true, Announce: Announce{Burst: 2, Spacing: time.Second}})
		time.Sleep(time.Minute)
		b.taken()
		b.Announce("web")
		time.Sleep(time.Minute)
		b.did("announce 192.0.2.10 eth0", "announce 192.0.2.10 eth0")
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24")})
		b.Announce("web")
		b.Announce("nobody")
		b.did("remove 192.0.2.10/24 eth0")
	})
}

// A full queue puts announcements off; Held waits for them.
func TestJammedInterface(t *testing.T) {
	f := newFakeKernel("eth0")
	tries := 0
	f.onAnnounce = func(netip.Addr) error {
		if tries++; tries <= 3 {
			return unix.EAGAIN
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24"), Hold: true})
		b.did("add 192.0.2.10/24 eth0", "add 192.0.2.11/24 eth0")
		b.told("failed web")
		time.Sleep(350 * time.Millisecond)
		b.did("announce 192.0.2.10 eth0", "announce 192.0.2.11 eth0")
		b.told("held web")
	})
}

func TestPromoteSecondaries(t *testing.T) {
	f := newFakeKernel("eth0", "eth1", "eth2")
	f.links["eth0"].promote = false
	f.links["eth1"].promote = false
	onBench(t, f, func(b *bench) {
		b.Set("six", Want{Addresses: at("eth0", "2001:db8::10/64"), Hold: true})
		b.did("add 2001:db8::10/64 eth0", "announce 2001:db8::10 eth0")
		b.Set("web", Want{Addresses: slices.Concat(at("eth0", "192.0.2.10/24"), at("eth1", "198.51.100.10/24"), at("eth2", "203.0.113.10/24")), Hold: true})
		events := b.told("held six", "promote_secondaries set", "promote_secondaries set", "held web")
		if events[1].Interface != "eth0" || events[2].Interface != "eth1" {
			b.Errorf("set on %q and %q", events[1].Interface, events[2].Interface)
		}
		b.Set("web", Want{Addresses: at("eth1", "198.51.100.10/24"), Hold: true})
		b.told("released web")
	})
	// Cleared in Close where nothing of ours is left, as on eth0.
	if f.links["eth0"].promote || !f.links["eth1"].promote || !f.links["eth2"].promote {
		t.Errorf("after Close: eth0 %v, eth1 %v, eth2 %v", f.links["eth0"].promote, f.links["eth1"].promote, f.links["eth2"].promote)
	}
}

func TestBadAddress(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.Set("web", Want{Addresses: []Address{{}, {Prefix: netip.MustParsePrefix("192.0.2.1/24")}}, Hold: true})
		b.told("failed web", "failed web")
		b.Set("web", Want{})
		b.told("released web")
	})
}

func TestSettleAndStop(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		if err := b.Settle(b.Context()); err != nil {
			b.Error(err)
		}
		b.did("add 192.0.2.10/24 eth0", "announce 192.0.2.10 eth0")
		b.Forget("web")
		if err := b.Settle(b.Context()); err != nil || f.present() != 0 {
			b.Errorf("after Forget: %v, %d addresses left", err, f.present())
		}
		if err := b.Close(); err == nil {
			b.Error("Close while running succeeded")
		}
		if err := b.Keeper.Run(b.Context()); !errors.Is(err, ErrStopped) {
			b.Errorf("second Run: %v", err)
		}
	})
	k := newKeeper(newFakeKernel(), func(Event) {})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := k.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := k.Settle(context.Background()); !errors.Is(err, ErrStopped) {
		t.Errorf("Settle after Run: %v", err)
	}
}
