package vip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
// All addresses are announced once before any is announced twice.
// An owner's addresses are held when they have been announced, however long the
// keeper then goes on with those of others.
// Of thousands of addresses one or the other is always due to be announced
// again, which must not take a look at all of them: that is much garbage.
// Who takes over does not wait until thousands of addresses have been announced
// again, whether one round is under way or another one is due.
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

// A full queue puts announcements off; Held waits for them.
func TestPromoteSecondaries(t *testing.T) {
	f := newFakeKernel("eth0", "eth1", "eth2")
	f.links["eth0"].promote = false
	f.links["eth1"].promote = false
	onBench(t, f, func(b *bench) {
		b.Set("six", Want{Addresses: at("eth0", "2001:db8::10/64"), Hold: true})
		b.did("add 2001:db8::10/64 eth0", "announce 2001:db8::10 eth0")
		b.Set("web", Want{Addresses: slices.Concat(at("eth0", "192.0.2.10/24"), at("eth1", "198.51.100.10/24"), at("eth2", "203.0.113.10/24")), Hold: true})
		b.told("held six", "held web")
		time.Sleep(quietFor)
		events := b.told("promote_secondaries set", "promote_secondaries set")
		if events[0].Interface != "eth0" || events[1].Interface != "eth1" {
			b.Errorf("set on %q and %q", events[0].Interface, events[1].Interface)
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

// What was heard of a link is not forgotten because the kernel could not be asked.
func TestLinkBouncesWhileListFails(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24"), Hold: true})
		b.told("held web")
		time.Sleep(time.Minute) // the second burst is over
		b.taken()
		fail := func(err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.listErr = err
		}
		fail(unix.ENOMEM)
		b.alter("eth0", func(l *link) { l.running = false })
		b.alter("eth0", func(l *link) { l.running = true })
		b.told("failed")
		fail(nil)
		time.Sleep(retryMax)
		if done := b.taken(); !slices.Contains(done, "announce 192.0.2.10 eth0") {
			b.Errorf("done: %q, want an announcement", done)
		}
	})
}
