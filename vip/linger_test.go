package vip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// Stand-ins come before the address leaves its interface, and only then does
// anything else happen; nothing is announced.
func TestLinger(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		want := Want{Addresses: at("eth0", "192.0.2.10/24", "2001:db8::10/64", "fe80::10/64"), Hold: true, Announce: Announce{Refresh: time.Millisecond}}
		b.Set("web", want)
		b.told("held web")
		b.taken()
		want.Hold, want.Linger = false, time.Second
		asked := time.Now()
		b.Set("web", want)
		synctest.Wait()
		if log := b.taken(); len(log) != 11 || log[10] != "add route 192.0.2.0/24 eth0" || log[0] != "arp 1 2 eth0" ||
			!slices.Equal(log[1:4], []string{"stand in 192.0.2.10/32 lo", "stand in 2001:db8::10/128 lo", "add route fe80::10/128 eth0"}) ||
			!slices.Equal(log[7:10], []string{"remove fe80::10/64 eth0", "remove 2001:db8::10/64 eth0", "remove 192.0.2.10/24 eth0"}) {
			b.Errorf("done to the kernel:\n\t%s", strings.Join(log, "\n\t"))
		}
		quieted := b.told("quieted web")[0]
		if len(quieted.Addresses) != 3 || !quieted.Started.Equal(asked) {
			b.Errorf("event %+v", quieted)
		}
		if got := b.Installed("web"); len(got) != 0 {
			b.Errorf("installed while lingering: %v", got)
		}
		if err := b.Settle(b.Context()); err != nil || time.Since(asked) != want.Linger {
			b.Errorf("Settle: %v, after %v", err, time.Since(asked))
		}
		log := b.taken()
		slices.Sort(log)
		if want := []string{"arp 0 0 eth0", "remove 192.0.2.10/32 lo", "remove 2001:db8::10/128 lo", "remove route 192.0.2.0/24 eth0",
			"remove route 2001:db8::/64 eth0", "remove route fe80::/64 eth0", "remove route fe80::10/128 eth0"}; !slices.Equal(log, want) {
			b.Errorf("done to the kernel:\n\t%s", strings.Join(log, "\n\t"))
		}
		if released := b.told("released web")[0]; len(released.Addresses) != 3 || !released.Started.Equal(asked) {
			b.Errorf("event %+v", released)
		}
		// The same again asks for nothing: nothing is held.
		want.Linger = time.Minute
		b.Set("web", want)
		if err := b.Settle(b.Context()); err != nil || time.Since(asked) != time.Second {
			b.Errorf("Settle: %v, after %v", err, time.Since(asked))
		}
		b.did()
		b.told()
	})
}

// What ends a linger before its time, and what does not.
func TestLingerEnds(t *testing.T) {
	addresses := at("eth0", "192.0.2.10/32")
	gone := []string{"remove 192.0.2.10/32 lo", "arp 0 0 eth0"}
	for _, tt := range []struct {
		name  string
		order func(*bench)
		did   []string
		told  []string
		later bool // the linger runs its time
	}{
		{name: "held again", order: func(b *bench) { b.Set("web", Want{Addresses: addresses, Hold: true}) },
			did:  []string{"add 192.0.2.10/32 eth0", "announce 192.0.2.10 eth0", "remove 192.0.2.10/32 lo", "arp 0 0 eth0"},
			told: []string{"held web"}},
		{name: "held by another owner", order: func(b *bench) { b.Set("db", Want{Addresses: addresses, Hold: true}) },
			did:  []string{"add 192.0.2.10/32 eth0", "announce 192.0.2.10 eth0", "remove 192.0.2.10/32 lo", "arp 0 0 eth0"},
			told: []string{"released web", "held db"}},
		{name: "released", order: func(b *bench) { b.Set("web", Want{Addresses: addresses}) }, did: gone, told: []string{"released web"}},
		{name: "forgotten", order: func(b *bench) { b.Forget("web") }, did: gone, told: []string{"released web"}},
		{name: "listed no more", order: func(b *bench) { b.Set("web", Want{Linger: time.Second}) }, did: gone, told: []string{"released web"}},
		{name: "absent for an older owner too", order: func(b *bench) { b.Set("a", Want{Addresses: addresses}) }, later: true},
		{name: "asked again", order: func(b *bench) { b.Set("web", Want{Addresses: addresses, Linger: time.Hour}) }, later: true},
		{name: "renamed", order: func(b *bench) { b.Rename("web", "www"); b.Rename("www", "web") }, later: true},
		{name: "announced", order: func(b *bench) { b.Announce("web") }, later: true},
		{name: "another interface changes", order: func(b *bench) { b.alter("eth1", func(l *link) { l.up = false }) }, later: true},
		{name: "a foreign copy appears", order: func(b *bench) { b.plant("192.0.2.10/24", "eth0") },
			did: []string{"remove 192.0.2.10/24 eth0"}, told: []string{"foreign web"}, later: true},
		{name: "the stand-in is stolen", order: func(b *bench) { b.steal("192.0.2.10/32") }, did: []string{"arp 0 0 eth0"}, told: []string{"released web"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onBench(t, newFakeKernel("eth0", "eth1"), func(b *bench) {
				b.Set("a", Want{})
				b.Set("web", Want{Addresses: addresses, Hold: true})
				b.Set("web", Want{Addresses: addresses, Hold: true, Linger: time.Hour}) // means nothing
				b.told("held web")
				b.Set("web", Want{Addresses: addresses, Linger: time.Second})
				b.told("quieted web")
				b.taken()
				time.Sleep(500 * time.Millisecond)
				tt.order(b)
				b.did(tt.did...)
				b.told(tt.told...)
				time.Sleep(499 * time.Millisecond)
				b.did()
				b.told()
				time.Sleep(time.Millisecond)
				if tt.later {
					b.did(gone...)
					b.told("released web")
				}
				time.Sleep(time.Hour)
				b.did()
				b.told()
			})
		})
	}
}

// Held and let go several times before anybody looks.
func TestLingerQuickOrders(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		hold := Want{Addresses: at("eth0", "192.0.2.10/32"), Hold: true}
		linger := Want{Addresses: hold.Addresses, Linger: time.Second}
		b.Set("web", hold)
		b.Set("web", linger) // nothing is installed yet
		b.did()
		b.told()
		b.Set("web", hold)
		b.told("held web")
		b.Set("web", linger)
		b.told("quieted web")
		b.taken()
		time.Sleep(900 * time.Millisecond)
		b.Set("web", hold)
		b.Set("web", linger) // a new one
		b.did()
		time.Sleep(999 * time.Millisecond)
		b.did()
		time.Sleep(time.Millisecond)
		b.did("remove 192.0.2.10/32 lo", "arp 0 0 eth0")
		b.told("released web")
	})
}

// An owner's own address, that was not added here, stays where it is.
func TestLingerOfOwner(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.plant("192.0.2.10/32", "eth0")
		want := Want{Addresses: at("eth0", "192.0.2.10/32", "192.0.2.11/32"), Owner: true, Hold: true}
		b.Set("own", want)
		b.told("held own")
		b.taken()
		want.Hold, want.Linger = false, time.Second
		b.Set("own", want)
		b.did("arp 1 2 eth0", "stand in 192.0.2.11/32 lo", "remove 192.0.2.11/32 eth0")
		b.told("quieted own")
		time.Sleep(time.Second)
		b.did("remove 192.0.2.11/32 lo", "arp 0 0 eth0")
		b.told("released own")
	})
}

// Neighbours are reached by the kernel's route as long as another address of
// the subnet is there, else by one that goes with the last linger.
func TestLingerRoutes(t *testing.T) {
	onBench(t, newFakeKernel("eth0"), func(b *bench) {
		b.plant("198.51.100.1/24", "eth0")
		hold := func(owner string, linger time.Duration, prefixes ...string) {
			b.Set(owner, Want{Addresses: at("eth0", prefixes...), Hold: linger == 0, Linger: linger})
			synctest.Wait()
		}
		hold("beside", 0, "198.51.100.10/24")
		hold("web", 0, "192.0.2.10/24", "192.0.2.11/24")
		hold("db", 0, "192.0.2.20/24")
		b.told("held beside", "held web", "held db")
		b.taken()
		hold("beside", 3*time.Second, "198.51.100.10/24")
		hold("web", time.Second, "192.0.2.10/24", "192.0.2.11/24")
		b.did("arp 1 2 eth0", "stand in 198.51.100.10/32 lo", "remove 198.51.100.10/24 eth0",
			"stand in 192.0.2.10/32 lo", "stand in 192.0.2.11/32 lo", "remove 192.0.2.11/24 eth0", "remove 192.0.2.10/24 eth0")
		hold("db", 2*time.Second, "192.0.2.20/24")
		b.did("stand in 192.0.2.20/32 lo", "add route 192.0.2.0/24 eth0", "remove 192.0.2.20/24 eth0", "add route 192.0.2.0/24 eth0")
		b.happened()
		time.Sleep(time.Second)
		synctest.Wait()
		// The route prefers an address that is still there, before others go.
		log := b.taken()
		if i := slices.Index(log, "add route 192.0.2.0/24 eth0"); len(log) > 3 || i > 0 {
			b.Errorf("done to the kernel:\n\t%s", strings.Join(log, "\n\t"))
		}
		time.Sleep(time.Second)
		b.did("remove 192.0.2.20/32 lo", "remove route 192.0.2.0/24 eth0")
		time.Sleep(time.Second)
		b.did("remove 198.51.100.10/32 lo", "arp 0 0 eth0")
		b.told("released web", "released db", "released beside")
	})
}

// The ARP switches are restored to what they were, unless somebody else sets
// them meanwhile; what is strict enough is left.
func TestLingerARPSwitches(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before arpSwitches
		during func(*link)
		sets   []string
	}{
		{"loose", arpSwitches{}, nil, []string{"arp 1 2 eth0", "arp 0 0 eth0"}},
		{"half strict", arpSwitches{2, 1}, nil, []string{"arp 2 2 eth0", "arp 2 1 eth0"}},
		{"strict", arpSwitches{1, 2}, nil, nil},
		{"changed by somebody else", arpSwitches{}, func(l *link) { l.arp.ignore = 2 }, []string{"arp 1 2 eth0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeKernel("eth0")
			f.links["eth0"].arp = tt.before
			onBench(t, f, func(b *bench) {
				addresses := at("eth0", "192.0.2.10/32")
				b.Set("web", Want{Addresses: addresses, Hold: true})
				synctest.Wait()
				b.Set("web", Want{Addresses: addresses, Linger: time.Second})
				synctest.Wait()
				if tt.during != nil {
					b.alter("eth0", tt.during)
				}
				time.Sleep(time.Minute)
				sets := slices.DeleteFunc(b.taken(), func(s string) bool { return !strings.HasPrefix(s, "arp") })
				if !slices.Equal(sets, tt.sets) {
					b.Errorf("set %q, want %q", sets, tt.sets)
				}
				if len(f.notes) > 0 {
					b.Errorf("notes %v are left", f.notes)
				}
			})
		})
	}
}

// Where an address cannot linger without answering, or at all, it is removed at
// once, and why is told.
func TestLingerRefused(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*fakeKernel)
		err   string
	}{
		{"loopback is down", func(f *fakeKernel) { f.links["lo"].up = false }, ErrNoLoopback.Error()},
		{"no loopback", func(f *fakeKernel) { delete(f.links, "lo") }, ErrNoLoopback.Error()},
		{"VRF", func(f *fakeKernel) { f.links["eth0"].vrf = true }, "VRF"},
		{"no ARP switches", func(f *fakeKernel) { f.onARP = func() error { return unix.EPERM } }, "set arp_ignore"},
		{"no stand-in", func(f *fakeKernel) {
			f.onApply = func(o op) error {
				if o.do == addHost {
					return unix.EPERM
				}
				return nil
			}
		}, "go on to serve 192.0.2.10/32 after it left eth0: operation not permitted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeKernel("eth0")
			tt.spoil(f)
			onBench(t, f, func(b *bench) {
				b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/32"), Hold: true})
				b.told("held web")
				b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/32"), Linger: time.Hour})
				if err := b.Settle(b.Context()); err != nil || f.present() != 0 {
					b.Errorf("Settle: %v, %d addresses left", err, f.present())
				}
				synctest.Wait()
				events := b.happened()
				if len(events) != 2 || events[0].Kind != Failed || !strings.Contains(fmt.Sprint(events[0].Err), tt.err) || events[1].Kind != Released {
					b.Errorf("events %+v", events)
				}
			})
			if f.links["eth0"].arp != (arpSwitches{}) {
				t.Errorf("ARP switches %+v are left", f.links["eth0"].arp)
			}
		})
	}
}

// A loopback address with the mark that is configured for another interface is
// an earlier process's; without the mark it is somebody else's.
func TestLeftoverOnLoopback(t *testing.T) {
	f := newFakeKernel("eth0")
	for _, p := range []string{"192.0.2.10/32", "192.0.2.11/32", "192.0.2.12/32", "192.0.2.13/32", "192.0.2.14/24", "2001:db8::10/128"} {
		f.entries = append(f.entries, &entry{index: 1, prefix: netip.MustParsePrefix(p), marked: p != "192.0.2.11/32"})
	}
	f.routes[route{index: 2, to: netip.MustParsePrefix("2001:db8::/64")}] = true
	f.routes[route{index: 2, to: netip.MustParsePrefix("fe80::10/128"), local: true}] = true
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "192.0.2.11/24", "192.0.2.14/24", "2001:db8::10/64", "fe80::10/64")})
		b.Set("lo", Want{Addresses: at("lo", "192.0.2.12/32"), Hold: true})
		b.did("remove 192.0.2.10/32 lo", "remove 2001:db8::10/128 lo", "remove route 2001:db8::/64 eth0", "remove route fe80::10/128 eth0")
		for _, e := range b.told("foreign web", "foreign web", "held lo") {
			if e.Kind == Foreign && (!e.Leftover || e.Address.Interface != "lo") {
				b.Errorf("event %+v", e)
			}
		}
		if err := b.Settle(b.Context()); err != nil || f.present() != 4 {
			b.Errorf("Settle: %v; %d addresses left, want 4", err, f.present())
		}
	})
}

// What cannot be removed is tried again, and Settle waits for it.
func TestLingerEndFails(t *testing.T) {
	f := newFakeKernel("eth0")
	refuse := true
	f.onApply = func(o op) error {
		if o.do == remove && o.entry.index == 1 && refuse {
			return unix.EPERM
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/32"), Hold: true})
		synctest.Wait()
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/32"), Linger: time.Second})
		time.Sleep(2 * time.Second)
		b.told("held web", "quieted web", "failed")
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := b.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("Settle: %v", err)
		}
		refuse = false
		if err := b.Settle(b.Context()); err != nil || f.present() != 0 {
			b.Errorf("Settle: %v, %d addresses left", err, f.present())
		}
		b.told("released web")
	})
}

// Close leaves no linger behind.
func TestLingerAtClose(t *testing.T) {
	f := newFakeKernel("eth0")
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "fe80::10/64"), Hold: true})
		synctest.Wait()
		b.Set("web", Want{Addresses: at("eth0", "192.0.2.10/24", "fe80::10/64"), Linger: time.Hour})
		b.told("held web", "quieted web")
	})
	if len(f.entries) != 0 || len(f.routes) != 0 || f.links["eth0"].arp != (arpSwitches{}) {
		t.Errorf("left: %d addresses, routes %v, ARP switches %+v", len(f.entries), f.routes, f.links["eth0"].arp)
	}
}
