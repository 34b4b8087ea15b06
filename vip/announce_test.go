package vip

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
