package vip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A fakeKernel has links and addresses, and writes down what is done to it.
type fakeKernel struct {
	mu      sync.Mutex
	links   map[string]*link
	entries []*entry
	routes  map[route]bool
	notes   map[string]bool
	log     []string // one line per operation: what, address, interface
	times   []time.Time
	changes chan change
	// Called without the lock, before the operation is done.
	onApply    func(o op) error
	onAnnounce func(ip netip.Addr) error
	onARP      func() error
	listErr    error
	claims     chan claim
	listening  []netip.Addr
}

func newFakeKernel(names ...string) *fakeKernel {
	f := &fakeKernel{routes: map[route]bool{}, notes: map[string]bool{}, links: map[string]*link{"lo": {name: "lo", index: 1, up: true, running: true, loops: true}}, changes: make(chan change, 1000)}
	for i, name := range names {
		f.links[name] = &link{name: name, index: i + 2, up: true, running: true, talks: true,
			mac: net.HardwareAddr{2, 0, 0, 0, 0, byte(i + 2)}, promote: true}
	}
	return f
}

func (f *fakeKernel) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
	f.times = append(f.times, time.Now())
}

func (f *fakeKernel) name(index int) string {
	for _, l := range f.links {
		if l.index == index {
			return l.name
		}
	}
	return "?"
}

func (f *fakeKernel) list() (*view, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listErr != nil {
		return nil, f.listErr
	}
	v := newView()
	for _, l := range f.links {
		c := *l
		v.addLink(&c)
	}
	for _, e := range f.entries {
		v.addEntry(e)
	}
	return v, nil
}

func (f *fakeKernel) apply(ops []op) []error {
	errs := make([]error, len(ops))
	for i, o := range ops {
		if f.onApply != nil {
			if errs[i] = f.onApply(o); errs[i] != nil {
				continue
			}
		}
		errs[i] = f.applyOne(o)
	}
	return errs
}

func (f *fakeKernel) applyOne(o op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := func(e *entry) bool { return o.entry != nil && e.place() == o.entry.place() }
	switch o.do {
	case remove:
		if !slices.ContainsFunc(f.entries, at) {
			return unix.EADDRNOTAVAIL
		}
		f.note("remove %s %s", o.entry.prefix, f.name(o.entry.index))
		f.entries = slices.DeleteFunc(f.entries, at)
	case add:
		o.entry = &entry{index: o.index, prefix: o.addr.Prefix, label: o.addr.Label, marked: true, expires: o.lease > 0}
		if slices.ContainsFunc(f.entries, at) {
			return unix.EEXIST
		}
		f.note("add %s %s%s", o.addr.Prefix, f.name(o.index), lasting(o.lease))
		f.entries = append(f.entries, o.entry)
	case addHost:
		o.entry = &entry{index: o.index, prefix: o.addr.Prefix, marked: true}
		if slices.ContainsFunc(f.entries, at) {
			return unix.EEXIST
		}
		f.note("stand in %s %s", o.addr.Prefix, f.name(o.index))
		f.entries = append(f.entries, o.entry)
	case addNote:
		f.notes[fmt.Sprint(o.index, o.arp)] = true
	case removeNote:
		n := fmt.Sprint(o.index, o.arp)
		if !f.notes[n] {
			return unix.ESRCH
		}
		delete(f.notes, n)
	case addRoute:
		f.note("add route %s %s", o.route.to, f.name(o.route.index))
		o.route.from = netip.Addr{} // is no part of what a route is found by
		f.routes[o.route] = true
	case removeRoute:
		if !f.routes[o.route] {
			return unix.ESRCH
		}
		f.note("remove route %s %s", o.route.to, f.name(o.route.index))
		delete(f.routes, o.route)
	case renew:
		i := slices.IndexFunc(f.entries, at)
		if i < 0 {
			return unix.EINVAL
		}
		f.note("renew %s %s%s", o.entry.prefix, f.name(o.entry.index), lasting(o.lease))
		changed := *f.entries[i]
		changed.expires = o.lease > 0
		f.entries[i] = &changed
	case putBack:
		f.note("put back %s %s", o.entry.prefix, f.name(o.entry.index))
		f.entries = append(f.entries, o.entry)
	}
	return nil
}

// lasting names a lifetime, unless it is for ever.
func lasting(lease time.Duration) string {
	if lease == 0 {
		return ""
	}
	return " for " + lease.String()
}

func (f *fakeKernel) setPromote(index int, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("promote %v %s", on, f.name(index))
	f.links[f.name(index)].promote = on
	return nil
}

func (f *fakeKernel) setARP(index int, to arpSwitches) error {
	if f.onARP != nil {
		if err := f.onARP(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("arp %d %d %s", to.ignore, to.announce, f.name(index))
	f.links[f.name(index)].arp = to
	return nil
}

func (f *fakeKernel) announce(l *link, ip netip.Addr) error {
	if f.onAnnounce != nil {
		if err := f.onAnnounce(ip); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("announce %s %s", ip, l.name)
	return nil
}

func (f *fakeKernel) watch(ctx context.Context, changed func(change)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-f.changes:
			changed(c)
		}
	}
}

func (f *fakeKernel) probe(l *link, ip netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("probe %s %s", ip, l.name)
	return nil
}

func (f *fakeKernel) listen(ips []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listening = ips
	return nil
}

func (f *fakeKernel) hear(ctx context.Context, heard func(claim)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-f.claims:
			heard(c)
		}
	}
}

func (f *fakeKernel) close() error { return nil }

// steal removes an address behind the Keeper's back, and tells.
func (f *fakeKernel) steal(prefix string) {
	p := netip.MustParsePrefix(prefix)
	f.mu.Lock()
	i := slices.IndexFunc(f.entries, func(e *entry) bool { return e.prefix == p })
	index := f.entries[i].index
	f.entries = slices.Delete(slices.Clone(f.entries), i, i+1)
	f.mu.Unlock()
	f.changes <- change{index: index, ip: p.Addr()}
}

// plant adds an address behind the Keeper's back, and tells.
func (f *fakeKernel) plant(prefix, interfaceName string) {
	p := netip.MustParsePrefix(prefix)
	f.mu.Lock()
	index := f.links[interfaceName].index
	f.entries = append(slices.Clone(f.entries), &entry{index: index, prefix: p, label: interfaceName})
	f.mu.Unlock()
	f.changes <- change{index: index, ip: p.Addr()}
}

// alter changes an interface, and tells.
func (f *fakeKernel) alter(name string, change1 func(*link)) {
	f.mu.Lock()
	l := *f.links[name]
	change1(&l)
	f.links[name] = &l
	f.mu.Unlock()
	f.changes <- change{index: l.index, name: name, down: !l.up || !l.running}
}

// taken returns what was done since the last call.
func (f *fakeKernel) taken() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log, f.times = nil, nil
	return log
}

// A bench is a Keeper over a fakeKernel in a synctest bubble.
type bench struct {
	*testing.T
	*fakeKernel
	*Keeper
	events []Event
}

// onBench runs test with a Keeper over the kernel f.
func onBench(t *testing.T, f *fakeKernel, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, fakeKernel: f}
		f.changes, f.claims = make(chan change, 1000), make(chan claim, 1000) // of this bubble
		b.Keeper = newKeeper(f, func(e Event) {
			b.fakeKernel.mu.Lock()
			defer b.fakeKernel.mu.Unlock()
			b.events = append(b.events, e)
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Keeper.Run(ctx) }()
		synctest.Wait()
		test(b)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// did checks what was done to the kernel since the last call.
func (b *bench) did(want ...string) {
	b.Helper()
	synctest.Wait()
	if got := b.taken(); !slices.Equal(got, want) {
		b.Errorf("done to the kernel:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// happened returns the events since the last call.
func (b *bench) happened() []Event {
	b.fakeKernel.mu.Lock()
	defer b.fakeKernel.mu.Unlock()
	events := b.events
	b.events = nil
	return events
}

// present returns how many addresses the kernel has.
func (f *fakeKernel) present() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.entries)
}

// told checks the kinds and owners of the events since the last call.
func (b *bench) told(want ...string) []Event {
	b.Helper()
	synctest.Wait()
	events := b.happened()
	var got []string
	for _, e := range events {
		got = append(got, strings.TrimSpace(e.Kind.String()+" "+e.Owner))
	}
	if !slices.Equal(got, want) {
		b.Errorf("events %q, want %q", got, want)
		for _, e := range events {
			b.Logf("%+v", e)
		}
		b.FailNow()
	}
	return events
}

func at(interfaceName string, prefixes ...string) []Address {
	var as []Address
	for _, p := range prefixes {
		as = append(as, Address{Prefix: netip.MustParsePrefix(p), Interface: interfaceName})
	}
	return as
}
