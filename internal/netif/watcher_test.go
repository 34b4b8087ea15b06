package netif

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const patience = 10 * time.Second

// A station is a running Watcher and the last of what it reported.
type station struct {
	t       *testing.T
	watcher *Watcher
	reports chan Snapshot
	now     Snapshot
}

func watch(t *testing.T) *station {
	t.Helper()
	s := &station{t: t, reports: make(chan Snapshot, 10_000)}
	w, first, err := New(func(s2 Snapshot) { s.reports <- s2 }, func(err error) { t.Error("told:", err) })
	if err != nil {
		t.Fatal(err)
	}
	s.watcher, s.now = w, first
	return s
}

// run runs the watcher until the end of the test.
func (s *station) run() *station {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.watcher.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	return s
}

// until waits for a report in which the condition holds.
func (s *station) until(what string, holds func(Snapshot) bool) {
	s.t.Helper()
	timeout := time.After(patience)
	for !holds(s.now) {
		select {
		case s.now = <-s.reports:
		case <-timeout:
			s.t.Fatalf("not seen: %s; the last report: %+v", what, s.now)
		}
	}
}

// looks waits until an interface looks as described: "absent", or its words.
func (s *station) looks(name, want string) {
	s.t.Helper()
	s.until(name+" "+want, func(now Snapshot) bool { return describe(now, name) == want })
}

func describe(s Snapshot, name string) string {
	i, ok := s[name]
	switch {
	case !ok:
		return "absent"
	case !i.Up:
		return "down"
	case !i.Carrier:
		return "up without carrier"
	case !i.Usable():
		return "unusable"
	}
	return "up"
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// addVeth makes a pair of interfaces, both down, gone at the end of the test.
func addVeth(t testing.TB, name, peer string) netlink.Link {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer}))
	l := link(t, name)
	t.Cleanup(func() { _ = netlink.LinkDel(l) }) // may be gone
	return l
}

func link(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

func add(t testing.TB, name, prefix string, flags int) {
	t.Helper()
	a, err := netlink.ParseAddr(prefix)
	must(t, err)
	a.Flags = flags
	must(t, netlink.AddrAdd(link(t, name), a))
}

func set(t testing.TB, path, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/net/"+path, []byte(value), 0))
}

func addresses(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestLinkComesAndGoes(t *testing.T) {
	s := watch(t).run()
	a := addVeth(t, "life0", "life1")
	s.looks("life0", "down")
	first := s.now["life0"]
	if first.Index != a.Attrs().Index || first.MAC != a.Attrs().HardwareAddr.String() || first.Usable() {
		t.Errorf("got %+v", first)
	}
	must(t, netlink.LinkSetUp(a))
	s.looks("life0", "up without carrier")
	must(t, netlink.LinkSetUp(link(t, "life1")))
	s.looks("life0", "up")
	must(t, netlink.LinkSetDown(link(t, "life1")))
	s.looks("life0", "up without carrier")
	must(t, netlink.LinkSetDown(a))
	s.looks("life0", "down")
	must(t, netlink.LinkDel(a))
	s.looks("life0", "absent")

	addVeth(t, "life0", "life1")
	s.looks("life0", "down")
	if s.now["life0"].Index == first.Index {
		t.Errorf("the new interface has the index %d of the old one", first.Index)
	}
}

// An interface that comes back under its name with another index must not keep
// the addresses of the one before.
// Read answers after it has told what changed, or that nothing has, and does
// not gather questions while nobody answers.
func TestRead(t *testing.T) {
	s := watch(t)
	answered := make(chan struct{}, 2)
	if !s.watcher.Read(func() { answered <- struct{}{} }) || s.watcher.Read(func() { t.Error("a second one is answered") }) {
		t.Error("one question is taken, and another one not")
	}
	addVeth(t, "asked0", "asked1")
	s.run()
	for range 2 { // with a change, and without one
		select {
		case <-answered:
		case <-time.After(patience):
			t.Fatal("no answer")
		}
		for len(s.reports) > 0 {
			s.now = <-s.reports
		}
		if describe(s.now, "asked0") != "down" {
			t.Errorf("asked0 is %s", describe(s.now, "asked0"))
		}
		if !s.watcher.Read(func() { answered <- struct{}{} }) {
			t.Error("not taken")
		}
	}
}

func TestNewIndexForgetsAddresses(t *testing.T) {
	s := watch(t).run()
	a := addVeth(t, "again0", "again1")
	add(t, "again0", "192.0.2.1/24", 0)
	s.until("the address", func(now Snapshot) bool { return len(now["again0"].IPv4) == 1 })
	old := s.now["again0"].Index
	must(t, netlink.LinkDel(a))
	addVeth(t, "again0", "again1")
	s.until("the new index", func(now Snapshot) bool { return now["again0"].Index > old })
	if got := s.now["again0"].IPv4; len(got) != 0 {
		t.Errorf("it has %v", got)
	}
}

func TestPrimariesFirst(t *testing.T) {
	addVeth(t, "prim0", "prim1")
	s := watch(t).run()
	for _, p := range []string{"192.0.2.10/24", "192.0.2.11/24", "198.51.100.1/24", "192.0.2.12/32"} {
		add(t, "prim0", p, 0)
	}
	want := addresses("192.0.2.10", "198.51.100.1", "192.0.2.12", "192.0.2.11")
	s.until(fmt.Sprint(want), func(now Snapshot) bool { return slices.Equal(now["prim0"].IPv4, want) })
	if now := s.now["prim0"]; len(now.LinkLocal)+len(now.Global) != 0 {
		t.Errorf("IPv6 addresses: %v %v", now.LinkLocal, now.Global)
	}
}

func TestIPv6OnlyWhatMayBeUsed(t *testing.T) {
	a := addVeth(t, "six0", "six1")
	for _, name := range []string{"six0", "six1"} {
		set(t, "ipv6/conf/"+name+"/addr_gen_mode", "1") // no address by itself
		set(t, "ipv6/conf/"+name+"/accept_dad", "1")
		set(t, "ipv6/conf/"+name+"/dad_transmits", "2")
	}
	must(t, netlink.LinkSetUp(a))
	must(t, netlink.LinkSetUp(link(t, "six1")))
	add(t, "six1", "fe80::bad/64", unix.IFA_F_NODAD)
	s := watch(t).run()
	s.looks("six0", "up")

	// Tentative for two seconds; a second one shows that the first was read.
	add(t, "six0", "fe80::1/64", 0)
	add(t, "six0", "fe80::2/64", unix.IFA_F_NODAD)
	add(t, "six0", "2001:db8::1/64", unix.IFA_F_NODAD)
	s.until("the address without detection", func(now Snapshot) bool { return len(now["six0"].LinkLocal) > 0 && len(now["six0"].Global) > 0 })
	if got, want := s.now["six0"].LinkLocal, addresses("fe80::2"); !slices.Equal(got, want) {
		t.Errorf("while fe80::1 is tentative: %v, want %v", got, want)
	}
	if got, want := s.now["six0"].Global, addresses("2001:db8::1"); !slices.Equal(got, want) {
		t.Errorf("global: %v, want %v", got, want)
	}
	s.until("fe80::1 past detection", func(now Snapshot) bool {
		return slices.Contains(now["six0"].LinkLocal, netip.MustParseAddr("fe80::1"))
	})

	// Somebody else has this one.
	add(t, "six0", "fe80::bad/64", 0)
	failed := func() bool {
		list, err := netlink.AddrList(a, netlink.FAMILY_V6)
		must(t, err)
		return slices.ContainsFunc(list, func(a netlink.Addr) bool {
			return a.IP.String() == "fe80::bad" && a.Flags&unix.IFA_F_DADFAILED != 0
		})
	}
	for deadline := time.Now().Add(patience); !failed(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the kernel did not detect the duplicate")
		}
	}
	add(t, "six0", "fe80::3/64", unix.IFA_F_NODAD)
	s.until("fe80::3", func(now Snapshot) bool { return slices.Contains(now["six0"].LinkLocal, netip.MustParseAddr("fe80::3")) })
	if slices.Contains(s.now["six0"].LinkLocal, netip.MustParseAddr("fe80::bad")) {
		t.Errorf("a duplicate may be used: %v", s.now["six0"].LinkLocal)
	}
}

// Addresses that change all the time must not put off the news of them.
func TestEndlessChangeIsReported(t *testing.T) {
	l := addVeth(t, "busy0", "busy1")
	s := watch(t).run()
	s.looks("busy0", "down")
	a, err := netlink.ParseAddr("192.0.2.200/24")
	must(t, err)
	add(t, "busy0", "192.0.2.1/24", 0)
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(patience)
	for {
		select {
		case now := <-s.reports:
			if slices.Contains(now["busy0"].IPv4, netip.MustParseAddr("192.0.2.1")) {
				return
			}
		case <-ticks.C:
			must(t, netlink.AddrReplace(l, a))
			must(t, netlink.AddrDel(l, a))
		case <-deadline:
			t.Fatal("nothing was reported while addresses changed")
		}
	}
}

// A thousand addresses are few reports.
func TestManyAddressesAreGathered(t *testing.T) {
	addVeth(t, "many0", "many1")
	s := watch(t).run()
	for i := range 1000 {
		add(t, "many0", "10.0."+strconv.Itoa(i/250)+"."+strconv.Itoa(1+i%250)+"/32", 0)
	}
	seen := 0
	s.until("all addresses", func(now Snapshot) bool { seen++; return len(now["many0"].IPv4) == 1000 })
	if seen > 200 {
		t.Errorf("%d reports", seen)
	}
}

func TestKinds(t *testing.T) {
	message := func(kind uint16, length int) []byte {
		b := make([]byte, max(16, (length+3)/4*4))
		binary.NativeEndian.PutUint32(b, uint32(length))
		binary.NativeEndian.PutUint16(b[4:], kind)
		return b
	}
	link, gone, addr := message(unix.RTM_NEWLINK, 33), message(unix.RTM_DELLINK, 16), message(unix.RTM_DELADDR, 24)
	for name, test := range map[string]struct {
		b            []byte
		links, addrs bool
	}{
		"nothing":            {},
		"a link":             {link, true, false},
		"an address":         {addr, false, true},
		"both":               {slices.Concat(addr, gone), true, true},
		"a route, then both": {slices.Concat(message(unix.RTM_NEWROUTE, 28), link, addr), true, true},
		"cut short":          {link[:12], false, false},
		"no length":          {slices.Concat(message(unix.RTM_NEWROUTE, 0), make([]byte, 16), link), false, false},
		"too long a length":  {slices.Concat(func() []byte { b := message(unix.RTM_NEWADDR, 20); binary.NativeEndian.PutUint32(b, 1<<32-1); return b }(), link), false, true},
	} {
		if links, addrs := kinds(test.b); links != test.links || addrs != test.addrs {
			t.Errorf("%s: links %t, addresses %t", name, links, addrs)
		}
	}
}

// A reader that is held up loses messages (ENOBUFS), but not the outcome.
func TestLostMessagesAreMadeUpFor(t *testing.T) {
	l := addVeth(t, "lost0", "lost1")
	hold, reports := make(chan struct{}), make(chan Snapshot, 10_000)
	w, _, err := New(func(s Snapshot) { <-hold; reports <- s }, func(err error) { t.Log("told:", err) })
	must(t, err)
	s := (&station{t: t, watcher: w, reports: reports}).run()

	must(t, netlink.LinkSetUp(l)) // a report that does not return
	handle, err := netlink.NewHandle()
	must(t, err)
	defer handle.Close()
	a, err := netlink.ParseAddr("192.0.2.200/24")
	must(t, err)
	drops := func() string {
		b, err := os.ReadFile("/proc/net/netlink")
		must(t, err)
		return string(b)
	}
	before := drops()
	for range 20_000 {
		must(t, handle.AddrReplace(l, a))
		must(t, handle.AddrDel(l, a))
	}
	if before == drops() {
		t.Log("no message seems to have been lost")
	}
	add(t, "lost0", "198.51.100.1/24", 0)
	close(hold)
	s.until("the address added last, alone", func(now Snapshot) bool {
		return slices.Equal(now["lost0"].IPv4, addresses("198.51.100.1"))
	})
	add(t, "lost0", "198.51.100.2/24", 0)
	s.until("one added later", func(now Snapshot) bool { return len(now["lost0"].IPv4) == 2 })
}

func TestEqual(t *testing.T) {
	base := Interface{Name: "eth0", Index: 2, Up: true, Carrier: true, MAC: "02:00:00:00:00:01", IPv4: addresses("192.0.2.1"),
		LinkLocal: addresses("fe80::1"), Global: addresses("2001:db8::1")}
	for name, change := range map[string]func(*Interface){
		"same":       func(*Interface) {},
		"index":      func(i *Interface) { i.Index = 3 },
		"up":         func(i *Interface) { i.Up = false },
		"carrier":    func(i *Interface) { i.Carrier = false },
		"mac":        func(i *Interface) { i.MAC = "" },
		"IPv4":       func(i *Interface) { i.IPv4 = nil },
		"link-local": func(i *Interface) { i.LinkLocal = nil },
		"global":     func(i *Interface) { i.Global = nil },
	} {
		other := base
		change(&other)
		if got := (Snapshot{"eth0": base}).Equal(Snapshot{"eth0": other}); got != (name == "same") {
			t.Errorf("%s: equal is %v", name, got)
		}
	}
	if (Snapshot{"eth0": base}).Equal(Snapshot{}) || (Snapshot{"eth0": base}).Equal(Snapshot{"eth1": base}) {
		t.Error("another set of interfaces is equal")
	}
}

// A virtual address that is added or changed wakes nobody; one that is removed
// does, and so does any other.
func TestVirtualAddressesAreNoNews(t *testing.T) {
	addVeth(t, "lan0", "lan1")
	f, err := subscribe()
	must(t, err)
	defer f.Close()
	virtual, other := "192.0.2.100/32", "192.0.2.1/24"
	for _, v := range []string{virtual, "2001:db8::100/128"} {
		a, err := netlink.ParseAddr(v)
		must(t, err)
		a.Protocol = 112
		must(t, netlink.AddrAdd(link(t, "lan0"), a))
	}
	add(t, "lan0", other, 0)
	buf := make([]byte, messageLen)
	next := func() (kind uint16, addr netip.Addr) {
		t.Helper()
		must(t, f.SetReadDeadline(time.Now().Add(patience)))
		n, err := f.Read(buf)
		must(t, err)
		kind = binary.NativeEndian.Uint16(buf[4:])
		if kind == unix.RTM_NEWADDR || kind == unix.RTM_DELADDR {
			at := unix.SizeofNlMsghdr + unix.SizeofIfAddrmsg + unix.SizeofRtAttr // the first is IFA_ADDRESS
			addr, _ = netip.AddrFromSlice(buf[at:min(at+4, n)])
		}
		return kind, addr
	}
	if kind, addr := next(); kind != unix.RTM_NEWADDR || addr != netip.MustParsePrefix(other).Addr() {
		t.Fatalf("heard %d about %s first, want %s that was added", kind, addr, other)
	}
	a, err := netlink.ParseAddr(virtual)
	must(t, err)
	must(t, netlink.AddrDel(link(t, "lan0"), a))
	if kind, addr := next(); kind != unix.RTM_DELADDR || addr != netip.MustParsePrefix(virtual).Addr() {
		t.Fatalf("heard %d about %s, want %s that was removed", kind, addr, virtual)
	}
}
