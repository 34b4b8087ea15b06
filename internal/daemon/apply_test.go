package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vrrpd/vrrp"
)

const twoInstances = oneInstance + `
[instance.db]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.101/24"]
`

// A file that says the same changes nothing: no order, no packet, no timer.
func TestReloadOfTheSame(t *testing.T) {
	s := started(t, twoInstances)
	s.activate("web", "db")
	s.wait(300 * time.Millisecond)
	at, _, _ := s.e.next()
	before := slices.Clone(s.e.instances)
	if got := s.reload(twoInstances); len(got) != 0 {
		t.Errorf("changes: %q", got)
	}
	s.got("saved")
	if now, _, _ := s.e.next(); now != at {
		t.Error("the timer was set anew")
	}
	if !slices.Equal(before, s.e.instances) {
		t.Error("the instances were made anew")
	}
	// Another order in the file is the order of status, and nothing else.
	i := strings.Index(twoInstances, "\n[instance.db]")
	s.reload(twoInstances[i:] + twoInstances[:i])
	s.got("saved")
	if s.e.instances[0].cfg.Name != "db" {
		t.Error("the order is that of before")
	}
}

// Case 57: an address added while active is installed, and the next
// advertisement lists it; on a backup nothing is.
func TestCase57AddressAdded(t *testing.T) {
	more := strings.Replace(oneInstance, `24"]`, `24", "192.0.2.101/24"]`, 1)
	t.Run("active", func(t *testing.T) {
		s := started(t, oneInstance)
		s.activate("web")
		if got := s.reload(more); !slices.Equal(got, []string{"instance web changed"}) {
			t.Errorf("changes: %q", got)
		}
		s.got(`
			eth0#2: vrid 51 advertises 100
			hold web 192.0.2.100/24 192.0.2.101/24
			saved`)
		if got := s.wires["eth0 ipv4"].advert.Addresses; !slices.Equal(got, addrs("192.0.2.100", "192.0.2.101")) {
			t.Errorf("advertised: %v", got)
		}
		s.state("web", vrrp.Active)
	})
	t.Run("backup", func(t *testing.T) {
		s := started(t, oneInstance)
		at, _, _ := s.e.next()
		s.wait(time.Second)
		s.reload(more)
		s.got("drop web 192.0.2.100/24 192.0.2.101/24\nsaved")
		if now, _, _ := s.e.next(); now != at {
			t.Errorf("the timer moved by %s", now.Sub(at))
		}
	})
}

// Case 58: an address removed while active leaves.
func TestCase58AddressRemoved(t *testing.T) {
	s := started(t, strings.Replace(oneInstance, `24"]`, `24", "192.0.2.101/24"]`, 1))
	s.activate("web")
	s.reload(oneInstance)
	s.got(`
		eth0#2: vrid 51 advertises 100
		hold web 192.0.2.100/24
		saved`)
	if got := s.wires["eth0 ipv4"].advert.Addresses; !slices.Equal(got, addrs("192.0.2.100")) {
		t.Errorf("advertised: %v", got)
	}
}

// Case 59: another priority or interval is advertised at once while active; a
// backup computes its timer anew, from where it counted before.
func TestCase59PriorityChanged(t *testing.T) {
	s := started(t, oneInstance)
	s.wait(time.Second)
	s.reload(oneInstance + "priority = 200\n")
	at, _, _ := s.e.next()
	if got, want := at.Sub(s.now), 3*time.Second+time.Second*56/256-time.Second; got != want {
		t.Errorf("backup: fires in %s, want %s", got, want)
	}
	s.activate("web")
	s.reload(oneInstance + "priority = 150\nadvert_interval = \"500ms\"\n")
	s.state("web", vrrp.Active)
	s.got(`
		eth0#2: vrid 51 advertises 200
		eth0#2: vrid 51 advertises 150
		hold web 192.0.2.100/24
		saved`)
	if got := s.wires["eth0 ipv4"].advert.Interval; got != 500*time.Millisecond {
		t.Errorf("advertised interval: %s", got)
	}
	if at, _, _ := s.e.next(); at.Sub(s.now) != 500*time.Millisecond {
		t.Errorf("active: fires in %s", at.Sub(s.now))
	}
}

// An instance that only changed its name keeps its state, its timer and its
// addresses; the keeper hears of the new name before any order in it.
func TestRenamed(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.wait(300 * time.Millisecond)
	at, _, _ := s.e.next()
	inst := s.inst("web")
	s.reload(strings.Replace(oneInstance, "web", "www", 1))
	s.got(`
		rename "web" "\x00www"
		rename "\x00www" "www"
		hold www 192.0.2.100/24
		saved`)
	if s.inst("www") != inst {
		t.Error("it is another instance")
	}
	if now, _, _ := s.e.next(); now != at {
		t.Error("the timer was set anew")
	}
	s.fire()
	s.got("eth0#2: vrid 51 advertises 100")
}

func TestNamesSwapped(t *testing.T) {
	s := started(t, twoInstances)
	s.activate("web", "db")
	web, db := s.inst("web"), s.inst("db")
	s.reload(strings.NewReplacer("instance.web", "instance.db", "instance.db", "instance.web").Replace(twoInstances))
	s.got(`
		rename "web" "\x00db"
		rename "db" "\x00web"
		rename "\x00db" "db"
		rename "\x00web" "web"
		hold db 192.0.2.100/24
		hold web 192.0.2.101/24
		saved`)
	if s.inst("web") != db || s.inst("db") != web {
		t.Error("the instances did not keep their routers")
	}
	s.state("web", vrrp.Active)
	s.state("db", vrrp.Active)
}

// A name that an instance gives up may be taken by a new one in the same file.
func TestNameTakenOver(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.reload(strings.Replace(oneInstance, "web", "old", 1) + `
[instance.web]
interface = "eth0"
vrid = 52
addresses = ["192.0.2.101/24"]
`)
	s.got(`
		rename "web" "\x00old"
		rename "\x00old" "old"
		hold old 192.0.2.100/24
		drop web 192.0.2.101/24
		web: initialize -> backup (startup)
		saved`)
}

// One removed says so with priority 0 while its socket is open.
func TestRemoved(t *testing.T) {
	s := started(t, oneInstance+`
[instance.mail]
interface = "eth1"
vrid = 51
addresses = ["198.51.100.100/24"]
`)
	s.activate("web", "mail")
	at := s.inst("web").deadline
	if got := s.reload(oneInstance); !slices.Equal(got, []string{"instance mail removed"}) {
		t.Errorf("changes: %q", got)
	}
	s.got(`
		eth1#3: vrid 51 advertises 0
		drop mail 198.51.100.100/24
		forget mail
		mail: active -> initialize (shutdown)
		close eth1#3
		saved`)
	if len(s.e.timers.heap) != 1 || s.inst("web").deadline != at || len(s.e.ports) != 1 || len(s.e.byToken) != 1 {
		t.Errorf("%d timers, %d ports, %d tokens", len(s.e.timers.heap), len(s.e.ports), len(s.e.byToken))
	}
	if len(s.e.virtual) != 1 {
		t.Errorf("virtual: %v", s.e.virtual)
	}
}

// Another version of the protocol is another router.
func TestVersionChanged(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	old := s.inst("web")
	if got := s.reload(oneInstance + "version = 2\n"); !slices.Equal(got, []string{"instance web removed", "instance web added"}) {
		t.Errorf("changes: %q", got)
	}
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		forget web
		web: active -> initialize (shutdown)
		close eth0#2
		open eth0#2 ipv4
		saved
		drop web 192.0.2.100/24
		web: initialize -> backup (startup)`)
	if s.inst("web") == old {
		t.Error("it is the same router")
	}
	s.activate("web")
	if got := s.wires["eth0 ipv4"].advert.Version; got != vrrp.V2 {
		t.Errorf("sends version %d", got)
	}
}

// Another interface, VRID or family is another router too; what the new one
// must not have is ordered after the old one was forgotten.
func TestMovedToAnotherInterface(t *testing.T) {
	s := started(t, oneInstance)
	s.activate("web")
	s.reload(strings.Replace(oneInstance, "eth0", "eth1", 1))
	s.got(`
		eth0#2: vrid 51 advertises 0
		drop web 192.0.2.100/24
		forget web
		web: active -> initialize (shutdown)
		close eth0#2
		open eth1#3 ipv4
		saved
		drop web 192.0.2.100/24
		web: initialize -> backup (startup)`)
}

// Unicast: one message for each peer, each with the checksum for its address,
// which the socket of these tests verifies.
func TestUnicast(t *testing.T) {
	s := started(t, unicast)
	s.fire()
	s.got(`
		eth0#2: vrid 51 advertises 100 to 192.0.2.11
		eth0#2: vrid 51 advertises 100 to 192.0.2.22
		hold web 192.0.2.100/24
		web: backup -> active (timeout)`)
	inst := s.inst("web")
	if inst.sent != 1 {
		t.Errorf("%d advertisements sent", inst.sent)
	}
	if slices.Equal(inst.adverts[0], inst.adverts[1]) {
		t.Error("both peers get the same checksum")
	}

	w := s.wires["eth0 ipv4"]
	w.fail = map[int]error{1: errTest}
	s.fire()
	s.got("eth0#2: vrid 51 advertises 100 to 192.0.2.11\nweb: send 192.0.2.1 to 192.0.2.22 on eth0: no way")

	// Case 89: a peer is listened to.
	s.hear(advert{from: "192.0.2.22", to: own, priority: 200})
	s.state("web", vrrp.Backup)
	s.forget()

	// Back to multicast by a reload.
	s.activate("web")
	s.reload(oneInstance)
	s.forget()
	s.fire()
	s.got("eth0#2: vrid 51 advertises 100")
}

func TestIPv6(t *testing.T) {
	s := newScript(t)
	s.reload(`
[instance.web6]
interface = "eth0"
vrid = 51
addresses = ["fe80::100/64", "2001:db8::100/64"]
extra_addresses = ["2001:db8:1::1/64"]
`)
	s.got(`
		open eth0#2 ipv6
		drop web6 fe80::100/64 2001:db8::100/64 2001:db8:1::1/64
		web6: initialize -> backup (startup)
		saved`)
	s.fire()
	s.got(`
		eth0#2: vrid 51 advertises 100
		hold web6 fe80::100/64 2001:db8::100/64 2001:db8:1::1/64
		web6: backup -> active (timeout)`)
	if got := s.wires["eth0 ipv6"].advert.Addresses; !slices.Equal(got, addrs("fe80::100", "2001:db8::100")) {
		t.Errorf("advertised: %v", got)
	}
	s.hear(advert{from: "fe80::b", priority: 200, vips: addrs("fe80::100", "2001:db8::100")})
	s.state("web6", vrrp.Backup)
}

// Case 1 of two families: VRID 51 of IPv4 and VRID 51 of IPv6 are two routers.
func TestFamiliesAreApart(t *testing.T) {
	s := started(t, oneInstance+`
[instance.web6]
interface = "eth0"
vrid = 51
addresses = ["fe80::100/64"]
`)
	s.activate("web", "web6")
	s.hear(advert{from: peer, priority: 200})
	s.state("web", vrrp.Backup)
	s.state("web6", vrrp.Active)
}

func TestResolve(t *testing.T) {
	s := started(t, twoInstances+`
[instance.mail]
interface = "eth1"
vrid = 51
addresses = ["198.51.100.100/24"]
[group.site]
instances = ["web", "db"]
`)
	for names, want := range map[string]string{
		"":          "web db mail",
		"mail":      "mail",
		"db":        "web db",
		"site":      "web db",
		"mail site": "mail web db",
		"db web":    "web db",
	} {
		list, err := s.e.resolve(strings.Fields(names))
		var got []string
		for _, inst := range list {
			got = append(got, inst.cfg.Name)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v; want %s", names, got, err, want)
		}
	}
	if _, err := s.e.resolve([]string{"web", "wbe"}); err == nil || err.Error() != `there is no instance "wbe"; there are: web, db, mail` {
		t.Error(err)
	}
}

// Orders that still wait for a crowd to advertise are in the names of before: they come
// before the new names, or an owner would be left whom nobody knows.
func TestRenamedInACrowd(t *testing.T) {
	const n = 2*takeoversAtOnce + 10
	plan := func(name string) string {
		var toml strings.Builder
		for i := range n {
			if i > 0 {
				name = fmt.Sprintf("i%d", i)
			}
			fmt.Fprintf(&toml, "[instance.%s]\ninterface = \"eth0\"\nvrid = %d\naddresses = [\"10.0.0.%d/32\"]\n", name, i+1, i+1)
		}
		return toml.String()
	}
	s := started(t, plan("before"))
	s.now, _, _ = s.e.next()
	s.do(func() { s.e.expire(s.now, true) })
	s.state("before", vrrp.Active)
	if slices.ContainsFunc(s.lines, func(l string) bool { return strings.HasPrefix(l, "hold ") }) {
		t.Fatal("there is no crowd")
	}
	s.reload(plan("after"))
	for s.e.crowd {
		s.do(func() { s.e.expire(s.now, true) })
	}
	held, renamed := slices.Index(s.lines, "hold before 10.0.0.1/32"), slices.Index(s.lines, `rename "before" "\x00after"`)
	if held < 0 || renamed < held || slices.Contains(s.lines[renamed:], "hold before 10.0.0.1/32") {
		t.Errorf("held at %d, renamed at %d", held, renamed)
	}
}
