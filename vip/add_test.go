package vip

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// announced returns which addresses were announced, in order, and checks that
// each had been added before.
func (b *bench) announced() (ips []netip.Addr) {
	b.Helper()
	added := map[string]bool{}
	for _, line := range b.taken() {
		what, rest, _ := strings.Cut(line, " ")
		ip, _, _ := strings.Cut(strings.TrimSuffix(rest, " eth0"), "/")
		switch {
		case what == "add":
			added[ip] = true
		case what == "announce" && !added[ip]:
			b.Errorf("%s was announced before it was added", ip)
			fallthrough
		case what == "announce":
			ips = append(ips, netip.MustParseAddr(ip))
		}
	}
	return ips
}

func ips(addresses []Address) (list []netip.Addr) {
	for _, a := range addresses {
		list = append(list, a.Prefix.Addr())
	}
	return list
}

// While a batch is announced the next one is being added: neither waits for the
// other, whichever takes longer.
func TestAnnouncedWhileTheNextAreAdded(t *testing.T) {
	all := many("eth0", 5*batchLen+3)
	for name, pause := range map[string]struct{ add, announce time.Duration }{
		"adding takes longer":     {add: 2 * time.Millisecond, announce: time.Millisecond},
		"announcing takes longer": {add: time.Millisecond, announce: 2 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeKernel("eth0")
			f.onApply = func(o op) error { time.Sleep(pause.add); return nil }
			f.onAnnounce = func(netip.Addr) error { time.Sleep(pause.announce); return nil }
			onBench(t, f, func(b *bench) {
				began := time.Now()
				b.Set("web", Want{Addresses: all, Hold: true})
				time.Sleep(time.Minute)
				if e := b.told("held web")[0]; len(e.Addresses) != len(all) {
					b.Errorf("%d addresses held, want %d", len(e.Addresses), len(all))
				}
				took := b.times[len(b.times)-1].Sub(began)
				if got := b.announced(); !slices.Equal(got, ips(all)) {
					b.Errorf("announced %v, want all in order", got)
				}
				// Whichever takes longer, for all of them, and a batch of the other.
				if most := 2*time.Millisecond*time.Duration(len(all)) + time.Millisecond*(batchLen+1); took > most {
					b.Errorf("took %s, want at most %s", took, most)
				}
			})
		})
	}
}

// The kernel refuses a batch: the others are announced, this one when it is
// there after all, and the failure is told once.
func TestBatchFails(t *testing.T) {
	all := many("eth0", 4*batchLen)
	second := ips(all[batchLen : 2*batchLen])
	f := newFakeKernel("eth0")
	refuse := true
	f.onApply = func(o op) error {
		if refuse && o.do == add && slices.Contains(second, o.addr.Prefix.Addr()) {
			return unix.ENOMEM
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: all, Hold: true})
		if e := b.told("failed web")[0]; len(e.Addresses) != batchLen {
			b.Errorf("%d addresses failed, want %d", len(e.Addresses), batchLen)
		}
		others := slices.DeleteFunc(ips(all), func(ip netip.Addr) bool { return slices.Contains(second, ip) })
		if got := b.announced(); !slices.Equal(got, others) {
			b.Errorf("announced %v, want %v", got, others)
		}
		b.fakeKernel.mu.Lock()
		refuse = false
		b.fakeKernel.mu.Unlock()
		time.Sleep(time.Minute)
		b.told("held web")
		if got := b.announced(); !slices.Equal(got, second) {
			b.Errorf("announced afterwards %v, want %v", got, second)
		}
	})
}

// The queue of the interface is full in the midst of it: adding goes on, and
// what was not announced is when there is room.
func TestJammedWhileAdding(t *testing.T) {
	all := many("eth0", 4*batchLen)
	f := newFakeKernel("eth0")
	sent := 0
	f.onAnnounce = func(netip.Addr) error {
		if sent++; sent == batchLen+batchLen/2 {
			return unix.ENOBUFS
		}
		return nil
	}
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: all, Hold: true})
		b.told("failed web")
		if n := b.present(); n != len(all) {
			b.Errorf("%d addresses added, want %d", n, len(all))
		}
		time.Sleep(time.Minute)
		b.told("held web")
		got := 0
		for _, line := range b.taken() {
			if strings.HasPrefix(line, "announce") {
				got++
			}
		}
		if got != len(all) {
			b.Errorf("%d announcements, want %d", got, len(all))
		}
	})
}

// An order that ends while batches are under way: the rest is neither added nor
// announced, and what had been added is removed.
func TestOrderEndsWhileAdding(t *testing.T) {
	all := many("eth0", 10*batchLen)
	for name, end := range map[string]func(b *bench){
		"released":  func(b *bench) { b.Set("web", Want{Addresses: all}) },
		"forgotten": func(b *bench) { b.Forget("web") },
		"replaced":  func(b *bench) { b.Set("web", Want{Addresses: all[:1], Hold: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeKernel("eth0")
			f.onApply = func(op) error { time.Sleep(time.Millisecond); return nil }
			onBench(t, f, func(b *bench) {
				b.Set("web", Want{Addresses: all, Hold: true})
				time.Sleep((2*batchLen + batchLen/2) * time.Millisecond) // the third is under way
				end(b)
				before := len(b.announced())
				time.Sleep(time.Minute)
				added, after := 0, 0
				for _, line := range b.taken() {
					switch {
					case strings.HasPrefix(line, "add"):
						added++
					case strings.HasPrefix(line, "announce"):
						after++
					}
				}
				if before != 2*batchLen || after != 0 {
					b.Errorf("%d announcements before the order ended, %d after, want %d and none", before, after, 2*batchLen)
				}
				if added > batchLen {
					b.Errorf("%d addresses added afterwards, want no more than the batch under way (%d)", added, batchLen)
				}
				kept := 0
				if name == "replaced" {
					kept = 1
				}
				if n := b.present(); n != kept {
					b.Errorf("%d addresses are left, want %d", n, kept)
				}
				b.happened()
			})
		})
	}
}

// Run that is to end while batches are under way ends with them: what has been
// added is announced, and nothing goes on afterwards.
func TestStoppedWhileAdding(t *testing.T) {
	all := many("eth0", 4*batchLen)
	f := newFakeKernel("eth0")
	f.onApply = func(op) error { time.Sleep(time.Millisecond); return nil }
	onBench(t, f, func(b *bench) {
		b.Set("web", Want{Addresses: all, Hold: true})
		time.Sleep((batchLen + batchLen/2) * time.Millisecond)
	}) // which stops it, and finds goroutines that are left
	b := &bench{T: t, fakeKernel: f}
	if got := b.announced(); !slices.Equal(got, ips(all)[:len(f.entries)]) {
		t.Errorf("%d announced, %d added", len(got), len(f.entries))
	}
}

// A caller that hangs while its addresses are added: the others come once it goes on.
func TestAddingEndsWithProgress(t *testing.T) {
	f := newFakeKernel("eth0")
	f.onApply = func(op) error { time.Sleep(100 * time.Millisecond); return nil }
	onBench(t, f, func(b *bench) {
		const n = 4 * batchLen
		b.Beat()
		b.Set("web", Want{Addresses: many("eth0", n), Hold: true})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := b.present(); got != batchLen {
			b.Errorf("%d addresses are there, want those of the batch that was under way, %d", got, batchLen)
		}
		b.beats(time.Minute)
		if got := b.present(); got != n {
			b.Errorf("%d addresses are there, want %d", got, n)
		}
		b.told("held web")
	})
}
