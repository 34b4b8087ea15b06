package daemon

import (
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/healthcheck"
	"vrrpd/internal/netif"
	"vrrpd/vrrp"
)

// see has the interfaces look like this from now on: eth0 changed.
func (s *script) see(change func(*netif.Interface)) {
	s.t.Helper()
	now := maps.Clone(s.e.ifaces)
	i := now["eth0"]
	change(&i)
	if now["eth0"] = i; i.Index == 0 {
		delete(now, "eth0")
	}
	s.do(func() { s.e.interfaces(s.now, now) })
}

// An interface that is absent at the start is waited for, and one that comes
// back with another index gets another socket.
func TestInterfaceComesAndGoes(t *testing.T) {
	s := newScript(t)
	eth0 := s.e.ifaces["eth0"]
	delete(s.e.ifaces, "eth0")
	s.reload(oneInstance)
	s.got(`
		drop web 192.0.2.100/24
		web: initialize -> fault (fault)
		saved`)
	if got := s.inst("web").cause; got != "eth0 does not exist" {
		t.Errorf("cause: %s", got)
	}
	s.see(func(i *netif.Interface) { *i = eth0 })
	s.got(`
		open eth0#2 ipv4
		interface: eth0 is up
		web: fault -> backup (fault_cleared)`)
	s.activate("web")

	// Gone: nothing can be said, the addresses leave at once.
	s.see(func(i *netif.Interface) { *i = netif.Interface{} })
	s.got(`
		close eth0#2
		drop web 192.0.2.100/24
		interface: eth0 does not exist
		web: active -> fault (fault)`)

	eth0.Index = 7
	s.see(func(i *netif.Interface) { *i = eth0 })
	s.got(`
		open eth0#7 ipv4
		interface: eth0 is up
		web: fault -> backup (fault_cleared)`)
	s.activate("web")

	// A new index without an absence in between.
	eth0.Index = 8
	s.see(func(i *netif.Interface) { *i = eth0 })
	s.got(`
		close eth0#7
		open eth0#8 ipv4
		interface: eth0 is up`)
	s.state("web", vrrp.Active)
	s.fire()
	s.got("eth0#8: vrid 51 advertises 100")
}

func TestInterfaceFaults(t *testing.T) {
	for want, change := range map[string]func(*netif.Interface){
		"eth0 is down":        func(i *netif.Interface) { i.Up = false },
		"eth0 has no carrier": func(i *netif.Interface) { i.Carrier = false },
	} {
		s := started(t, oneInstance)
		s.activate("web")
		s.see(change)
		if strings.HasSuffix(want, "carrier") { // which may be back in a moment
			s.got("interface: " + want + "\nnotify web CONDITION no_carrier on\nweb: " + want + "; staying active for another 3.00s in case that passes")
			s.fire()
			s.got("drop web 192.0.2.100/24\nnotify web CONDITION no_carrier off\nweb: active -> fault (fault)")
		} else {
			s.got("drop web 192.0.2.100/24\ninterface: " + want + "\nweb: active -> fault (fault)")
		}
		if got := s.inst("web").router.Faults(); len(got) != 1 || got[0] != want {
			t.Errorf("faults: %q", got)
		}
		s.see(func(i *netif.Interface) { i.Up, i.Carrier = true, true })
		s.got("interface: eth0 is up\nweb: fault -> backup (fault_cleared)")
	}
	s := started(t, oneInstance)
	s.activate("web")
	s.see(func(i *netif.Interface) { i.IPv4 = nil })
	s.got("drop web 192.0.2.100/24\nweb: active -> fault (fault)")
	if got := s.inst("web").cause; got != "eth0 has no IPv4 address to send from" {
		t.Errorf("cause: %s", got)
	}
}

// A short loss of carrier costs an active router nothing but the loss, unless
// something else is at fault.
func TestShortLossOfCarrier(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.see(func(i *netif.Interface) { i.Carrier = false })
	if i := s.e.describe(s.now, s.inst("web")); i.NextEvent.What != "goes to fault unless the carrier is back" || len(i.Conditions) != 1 {
		t.Errorf("shown as %+v, %+v", i.NextEvent, i.Conditions)
	}
	s.forget()
	s.wait(200 * time.Millisecond)
	s.see(func(i *netif.Interface) { i.Carrier = true })
	s.got(`
		eth0#2: vrid 51 advertises 100
		announce web
		interface: eth0 is up
		notify web CONDITION no_carrier off
		web: the carrier is back before anybody can have taken over`)
	s.state("web", vrrp.Active)

	s.see(func(i *netif.Interface) { i.Carrier = false })
	s.see(func(i *netif.Interface) { i.Up = false })
	s.state("web", vrrp.Fault)

	s = started(t, oneInstance+"track = [\"nginx\"]\n[check.nginx]\ncommand = [\"/bin/true\"]\n")
	s.ran("nginx", healthcheck.Passing)
	s.activate("web")
	s.see(func(i *netif.Interface) { i.Carrier = false })
	s.state("web", vrrp.Active)
	s.ran("nginx", healthcheck.Failing)
	s.state("web", vrrp.Fault)
}

// A message that waits in a socket as its interface goes is not counted
// against the one that is sent next through the new socket.
func TestQueueGoesWithItsSocket(t *testing.T) {
	s := started(t, twoInstances)
	s.activate("web", "db")
	eth0 := s.e.ifaces["eth0"]
	s.do(func() {
		s.now, _, _ = s.e.next()
		s.e.expire(s.now, true) // both are queued
		eth0.Index = 9
		ifaces := maps.Clone(s.e.ifaces)
		ifaces["eth0"] = eth0
		s.e.interfaces(s.now, ifaces)
		s.e.send(s.inst("db"), 100, time.Second)
		s.wires["eth0 ipv4"].fail = map[int]error{0: errTest}
	})
	if web, db := s.inst("web").sendFailed, s.inst("db").sendFailed; web != 0 || db != 1 {
		t.Errorf("failures of web %d, of db %d", web, db)
	}
}

// The address that advertisements come from.
func TestSource(t *testing.T) {
	ifaces := func(s *script) *netif.Interface {
		i := s.e.ifaces["eth0"]
		return &i
	}
	for name, c := range map[string]struct {
		config string
		eth0   func(*netif.Interface)
		want   string // or the fault
	}{
		"the primary":               {oneInstance, func(i *netif.Interface) { i.IPv4 = addrs("192.0.2.7", "192.0.2.1") }, "192.0.2.7"},
		"never a virtual one":       {oneInstance, func(i *netif.Interface) { i.IPv4 = addrs(vip1, "192.0.2.7") }, "192.0.2.7"},
		"only a virtual one":        {oneInstance, func(i *netif.Interface) { i.IPv4 = addrs(vip1) }, "eth0 has no IPv4 address to send from"},
		"an owner's own":            {oneInstance + "priority = 255\n", func(i *netif.Interface) { i.IPv4 = addrs(vip1) }, vip1},
		"as configured":             {unicast, func(i *netif.Interface) { i.IPv4 = addrs("192.0.2.7", own) }, own},
		"as configured, but absent": {unicast, func(i *netif.Interface) { i.IPv4 = addrs("192.0.2.7") }, "eth0 does not have the source address 192.0.2.1"},
		"IPv6 link-local":           {"[instance.web]\ninterface='eth0'\nvrid=51\naddresses=['fe80::100/64']\n", func(*netif.Interface) {}, "fe80::1"},
		"IPv6 not past detection":   {"[instance.web]\ninterface='eth0'\nvrid=51\naddresses=['fe80::100/64']\n", func(i *netif.Interface) { i.LinkLocal = nil }, "eth0 has no IPv6 link-local address to send from"},
		"IPv6 unicast, global peer": {"[instance.web]\ninterface='eth0'\nvrid=51\naddresses=['fe80::100/64']\nunicast={peers=['2001:db8::b']}\n", func(*netif.Interface) {}, "2001:db8::1"},
		"IPv6 unicast, local peer":  {"[instance.web]\ninterface='eth0'\nvrid=51\naddresses=['fe80::100/64']\nunicast={peers=['fe80::b']}\n", func(*netif.Interface) {}, "fe80::1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			i := ifaces(s)
			c.eth0(i)
			s.e.ifaces["eth0"] = *i
			s.reload(c.config)
			r := s.inst("web").router
			got := r.Source().String()
			if r.State() == vrrp.Fault {
				got = r.Faults()[0]
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// Another address to send from is advertised at once, and what comes from it is
// our own.
func TestSourceChanges(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.see(func(i *netif.Interface) { i.IPv4 = addrs("192.0.2.7") })
	s.got("eth0#2: vrid 51 advertises 100")
	s.hear(advert{from: "192.0.2.7", priority: 200})
	s.got("")
	if got := s.inst("web").drops()[vrrp.DropOwn]; got != 1 {
		t.Errorf("%d counted as our own", got)
	}
	if got := s.inst("web").policy.Source.String(); got != "192.0.2.7" {
		t.Errorf("the policy takes %s for our own", got)
	}
}

// A virtual address that comes and goes on the interface changes nothing.
func TestVirtualAddressOnTheInterface(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.see(func(i *netif.Interface) { i.IPv4 = addrs(own, vip1) })
	s.see(func(i *netif.Interface) { i.IPv4 = addrs(own) })
	s.got("")
}

// A socket that cannot be opened is a fault, told once and tried every second.
func TestSocketThatCannotBeOpened(t *testing.T) {
	s := newScript(t)
	s.open["eth0"] = errTest
	s.reload(oneInstance)
	s.got(`
		drop web 192.0.2.100/24
		interface: cannot use eth0: no way
		web: initialize -> fault (fault)
		saved`)
	for range 5 {
		s.wait(time.Second)
		s.do(func() { s.e.tick(s.now) })
	}
	s.got("")
	delete(s.open, "eth0")
	s.do(func() { s.e.tick(s.now) })
	s.got("open eth0#2 ipv4\nweb: fault -> backup (fault_cleared)")
}

// Both families of an interface are one line of news and one of status.
func TestFamiliesShareAnInterface(t *testing.T) {
	s := started(t, oneInstance+"[instance.web6]\ninterface='eth0'\nvrid=51\naddresses=['fe80::100/64']\n")
	s.hear(advert{from: peer, vrid: 99, priority: 1})
	s.hear(advert{from: "fe80::b", vrid: 99, priority: 1, vips: addrs("fe80::99")})
	s.forget()
	ports := s.snapshot().Status.Interfaces
	if len(ports) != 1 || ports[0].Name != "eth0" || !ports[0].Up || ports[0].Index != 2 || ports[0].Errors["vrid"] != 2 {
		t.Errorf("status: %+v", ports)
	}
	s.see(func(i *netif.Interface) { i.Carrier = false })
	told := 0
	for _, n := range s.notes {
		if n.kind == kindInterface {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// threadTime is how much of a CPU the thread has used.
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// Ports that cannot be opened are tried every second, with no more work than there are
// ports: else those that are open would have to wait for it.
func TestManyPortsThatFail(t *testing.T) {
	tick := func(n int) time.Duration {
		s := newScript(t)
		var toml strings.Builder
		for i := range n {
			name := fmt.Sprintf("v%d", i)
			s.e.ifaces[name] = netif.Interface{Name: name, Index: 10 + i, Up: true, Carrier: true, IPv4: addrs(own)}
			s.open[name] = unix.EMFILE
			fmt.Fprintf(&toml, "[instance.i%d]\ninterface = %q\nvrid = 1\naddresses = [\"192.0.2.100/32\"]\n", i, name)
		}
		s.reload(toml.String())
		least := time.Hour
		for range 5 {
			began := threadTime(t)
			s.do(func() { s.e.tick(s.now) })
			least = min(least, threadTime(t)-began)
		}
		for _, inst := range s.e.instances {
			if inst.router.State() != vrrp.Fault {
				t.Fatalf("%s is %s", inst.cfg.Name, inst.router.State())
			}
		}
		clear(s.open)
		s.do(func() { s.e.tick(s.now) })
		for _, inst := range s.e.instances {
			if inst.router.State() != vrrp.Backup {
				t.Fatalf("%s is %s although its port was opened", inst.cfg.Name, inst.router.State())
			}
		}
		return least
	}
	// Ten times as many take ten times as long, not a hundred times.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	few, many := tick(200), tick(2000)
	if many > 40*few {
		t.Errorf("%v for 200, %v for 2000", few, many)
	}
}
