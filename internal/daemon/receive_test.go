package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vrrpd/internal/netif"
	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

// Case 27: ten thousand packets a second with a wrong checksum touch no timer,
// and are told at most once a minute.
func TestCase27BadChecksumFlood(t *testing.T) {
	s := started(t, oneInstance)
	before, _, _ := s.e.next()
	const seconds, each = 3, 10_000
	for second := range seconds {
		for i := range each {
			s.now += vrrp.Instant(time.Second / each)
			w := s.deliver(advert{from: peer, priority: 200, spoil: flipped(26)})
			if i%50 == 49 {
				s.do(func() { s.e.receive(s.now, s.tokenOf(w)) })
			}
		}
		if at, _, _ := s.e.next(); at != before {
			t.Fatalf("after %d s the timer was moved by %s", second+1, at.Sub(before))
		}
	}
	s.state("web", vrrp.Backup)
	inst := s.inst("web")
	if got := inst.drops()[vrrp.DropChecksum]; got != seconds*each {
		t.Errorf("%d were counted", got)
	}
	if inst.received != 0 || inst.heard {
		t.Error("they count as received")
	}
	s.got("web: dropped an advertisement from 192.0.2.11: its checksum is wrong (1 so far)")

	s.wait(58 * time.Second)
	s.hear(advert{from: peer, priority: 200, spoil: flipped(26)})
	s.got("web: dropped an advertisement from 192.0.2.11: its checksum is wrong (30001 so far)")

	s.now = before
	s.do(func() { s.e.expire(s.now, true) })
	s.state("web", vrrp.Active)
}

// Every reason to drop a packet is counted where it belongs: with the instance
// it names, or with the interface if it names none.
func TestDrops(t *testing.T) {
	cut := func(n int) func([]byte) []byte {
		return func(p []byte) []byte { // with the length of its header adjusted
			p = p[:n]
			p[2], p[3] = 0, byte(n)
			return p
		}
	}
	for name, c := range map[string]struct {
		config string
		advert advert
		cut    bool // the socket says so
		reason vrrp.Reason
		nobody bool // counted with the interface
		said   string
	}{
		"case 8: version 1":              {advert: advert{spoil: func(p []byte) []byte { p[20] = 0x11; return p }}, reason: vrrp.DropVersion, said: "it is not VRRP version 3; the version must be the same on all nodes"},
		"case 9: type 2":                 {advert: advert{spoil: func(p []byte) []byte { p[20] = 0x32; return p }}, reason: vrrp.DropType, said: "it is no ADVERTISEMENT"},
		"case 10: TTL 254":               {advert: advert{ttl: 254}, reason: vrrp.DropTTL, said: "its TTL is 254; a router on this link sends 255, so it came from elsewhere (unicast.min_ttl allows less)"},
		"case 11: unknown VRID":          {advert: advert{vrid: 100}, reason: vrrp.DropVRID, nobody: true},
		"case 12: seven bytes":           {advert: advert{spoil: cut(27)}, reason: vrrp.DropLength, nobody: true},
		"case 12: eight bytes":           {advert: advert{spoil: cut(28)}, reason: vrrp.DropLength, said: "its length does not fit its contents"},
		"case 20: header too short":      {advert: advert{spoil: func(p []byte) []byte { p[0] = 0x44; return p }}, reason: vrrp.DropHeader, nobody: true},
		"case 20: header too long":       {advert: advert{spoil: func(p []byte) []byte { p[0] = 0x4f; return p }}, reason: vrrp.DropHeader, nobody: true},
		"case 22: another password":      {config: version2("1s", "secret"), advert: advert{version: 2, password: "guess"}, reason: vrrp.DropAuth, said: "its password is not the one configured here; it must be the same on all nodes"},
		"case 23: another interval":      {config: version2("1s", ""), advert: advert{version: 2, interval: 99 * time.Second}, reason: vrrp.DropInterval, said: "its interval is not 1s; in VRRP version 2 it must be the same on all nodes"},
		"case 28: version 3 to a 2":      {config: version2("1s", ""), advert: advert{}, reason: vrrp.DropVersion, said: "it is not VRRP version 2; the version must be the same on all nodes"},
		"case 29: CARP":                  {config: version2("1s", ""), advert: advert{spoil: carp}, reason: vrrp.DropLength, said: "its length does not fit its contents"},
		"case 30: our own":               {advert: advert{from: own}, reason: vrrp.DropOwn},
		"case 89: not a peer":            {config: unicast, advert: advert{from: "192.0.2.12", to: own}, reason: vrrp.DropSender, said: "the sender is not in unicast.peers"},
		"case 89: multicast":             {config: unicast, advert: advert{}, reason: vrrp.DropDestination, said: "it was multicast, and unicast is configured here"},
		"unicast where multicast is":     {advert: advert{to: own}, reason: vrrp.DropDestination, said: "it was unicast, and multicast is configured here"},
		"no addresses":                   {advert: advert{vips: []netip.Addr{}}, reason: vrrp.DropCount, said: "it lists no addresses"},
		"larger than any":                {advert: advert{}, cut: true, reason: vrrp.DropTruncated, said: "its length does not fit its contents"},
		"larger than any, unknown VRID":  {advert: advert{vrid: 100}, cut: true, reason: vrrp.DropVRID, nobody: true},
		"larger than any, and too short": {advert: advert{spoil: cut(22)}, cut: true, reason: vrrp.DropTruncated, nobody: true},
		"strict, global address first": {config: "[instance.web]\ninterface='eth0'\nvrid=51\nstrict=true\naddresses=['fe80::100/64','2001:db8::100/64']\n",
			advert: advert{from: "fe80::b", vips: addrs("2001:db8::100")}, reason: vrrp.DropFirstAddress, said: "its first address is not link-local (strict = true)"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.config == "" {
				c.config = oneInstance
			}
			if c.advert.from == "" {
				c.advert.from = peer
			}
			c.advert.priority = 200
			s := started(t, c.config)
			s.forget()
			timer, _, _ := s.e.next()
			s.wait(time.Second)
			w := s.deliver(c.advert)
			w.inbox[0].Truncated = c.cut
			s.do(func() { s.e.receive(s.now, s.tokenOf(w)) })
			if c.said != "" {
				c.said = "web: dropped an advertisement from " + c.advert.from + ": " + c.said + " (1 so far)"
			}
			s.got(c.said)
			inst := s.inst("web")
			counted, other := inst.drops(), inst.port.errors
			if c.nobody {
				counted, other = other, counted
			}
			for _, r := range vrrp.Reasons() {
				want := uint64(0)
				if r == c.reason {
					want = 1
				}
				if counted[r] != want || other[r] != 0 {
					t.Errorf("%s: counted %d here and %d there, want %d and 0", r, counted[r], other[r], want)
				}
			}
			if at, _, _ := s.e.next(); at != timer {
				t.Error("the timer was touched")
			}
			if inst.received != 0 {
				t.Error("it counts as received")
			}
		})
	}
}

// drops is how many packets for the instance were rejected, by vrrp.Reason.
func (i *instance) drops() (counts [32]uint64) {
	if i.dropped != nil {
		counts = i.dropped.counts
	}
	return counts
}

// Case 14: padding of the frame behind the packet is no part of it. Case 20:
// header options are skipped.
func TestOddButValid(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"case 14: padding": func(p []byte) []byte { return append(p, make([]byte, 14)...) },
		"case 20: options": func(p []byte) []byte {
			p = slices.Insert(p, 20, 1, 1, 1, 0)
			p[0], p[3] = 0x46, byte(len(p))
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t, oneInstance)
			s.hear(advert{from: peer, priority: 200, spoil: spoil})
			if inst := s.inst("web"); inst.received != 1 {
				t.Errorf("dropped: %v", inst.drops())
			}
		})
	}
}

func version2(interval, password string) string {
	c := oneInstance + "version = 2\nadvert_interval = \"" + interval + "\"\n"
	if password != "" {
		c += "auth = { type = \"pass\", password = \"" + password + "\" }\n"
	}
	return c
}

const unicast = oneInstance + "unicast = { source = \"192.0.2.1\", peers = [\"192.0.2.11\", \"192.0.2.22\"] }\n"

// carp makes of a packet what OpenBSD's protocol looks like: 36 bytes that
// begin as version 2 does.
func carp(p []byte) []byte {
	p = append(p[:20], make([]byte, 36)...)
	copy(p[20:], []byte{0x21, 51, 0, 7, 0, 1})
	p[3] = byte(len(p))
	return p
}

// Who gives way says the interval of the router that it gives way to, once,
// and its own with all else. Version 2 hears nobody of another interval, so
// nobody drops that word for it.
func TestLastWordSaysTheOthersInterval(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		heard  advert
		say    time.Duration
	}{
		"version 3":                    {oneInstance, advert{interval: 3 * time.Second}, 3 * time.Second},
		"version 2, with a password":   {version2("1s", "secret"), advert{version: 2, password: "secret"}, time.Second},
		"version 2, the other differs": {version2("1s", ""), advert{version: 2, interval: 3 * time.Second}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := started(t, c.config)
			s.activate("web")
			inst, eth0 := s.inst("web"), s.wires["eth0 ipv4"]
			sent, said := inst.sent, eth0.advert
			c.heard.from, c.heard.priority = peer, 200
			s.hear(c.heard)
			s.hear(c.heard) // and not again
			if c.say == 0 {
				if inst.sent != sent || inst.router.State() != vrrp.Active {
					t.Errorf("%s, %d sent", inst.router.State(), inst.sent-sent)
				}
				return
			}
			if last := eth0.advert; inst.sent != sent+1 || last.Interval != c.say || last.Priority != 100 || last.AuthData != said.AuthData {
				t.Errorf("%d sent, the last one %+v", inst.sent-sent, last)
			}
			s.activate("web")
			if eth0.advert.Interval != time.Second {
				t.Errorf("active again it says %s", eth0.advert.Interval)
			}
		})
	}
}

// The form of checksum that a peer sends is the one to answer in. It is kept
// for the next run.
func TestChecksumIsLearned(t *testing.T) {
	s := started(t, oneInstance)
	form := func() vrrp.ChecksumForm {
		var a vrrp.Advert
		inst := s.inst("web")
		if r := vrrp.Decode(vrrp.Datagram{Src: inst.router.Source(), Dst: transport.GroupIPv4, TTL: 255, Message: inst.frames(100, inst.router.Config().AdvertInterval)[0]}, &a); r != vrrp.Accepted {
			t.Fatal(r)
		}
		return a.Checksum
	}
	if got := form(); got != vrrp.ChecksumPseudoHeader {
		t.Errorf("before anybody was heard: %s", got)
	}
	if got := s.saved.Instances[0].Checksum; got != "" {
		t.Errorf("%q is saved", got)
	}
	for _, c := range []struct {
		form vrrp.ChecksumForm
		said string
	}{
		{vrrp.ChecksumPseudoHeader, "saved"}, // now we know
		{vrrp.ChecksumPseudoHeader, ""},
		{vrrp.ChecksumMessage, "saved"},
		{vrrp.ChecksumMessage, ""},
	} {
		s.hear(advert{from: peer, priority: 200, form: c.form})
		s.got("")
		s.do(func() { s.e.tick(s.now) })
		s.got(c.said)
		if got := form(); got != c.form || s.saved.Instances[0].Checksum != c.form.String() {
			t.Errorf("heard %s, sends %s, saved %q", c.form, got, s.saved.Instances[0].Checksum)
		}
	}

	t.Run("kept over a restart", func(t *testing.T) {
		next := newScript(t)
		next.start(oneInstance, past{state: &s.saved})
		if inst := next.inst("web"); inst.form != vrrp.ChecksumMessage || !inst.learned {
			t.Errorf("form %s, learned %v", inst.form, inst.learned)
		}
	})
	t.Run("not by what is configured", func(t *testing.T) {
		s.reload(oneInstance + "checksum = \"pseudo_header\"\n")
		s.hear(advert{from: peer, priority: 200, form: vrrp.ChecksumMessage})
		if got := form(); got != vrrp.ChecksumPseudoHeader {
			t.Errorf("sends %s", got)
		}
		if got := s.saved.Instances[0].Checksum; got != "" {
			t.Errorf("%q is saved as if it had been learned", got)
		}
	})
}

// A thousand instances that learn, each in a turn of its own, are one state to be
// written; and none of it is lost by a stop before that.
func TestLearningIsSavedOnce(t *testing.T) {
	var toml strings.Builder
	for i := range 100 {
		fmt.Fprintf(&toml, "[instance.i%d]\ninterface=\"eth0\"\nvrid=%d\naddresses=[\"10.0.0.%d/32\"]\n", i, i+1, i+1)
	}
	learn := func() *script {
		s := started(t, toml.String())
		for i := range 100 {
			s.hear(advert{from: peer, vrid: uint8(i + 1), priority: 200, vips: addrs(fmt.Sprintf("10.0.0.%d", i+1))})
		}
		s.got("")
		return s
	}
	s := learn()
	for range 2 {
		s.do(func() { s.e.tick(s.now) })
	}
	s.got("saved")
	s = learn()
	s.do(func() { s.e.stop(s.now, true) })
	if got := s.saved.Instances[99].Checksum; got == "" {
		t.Error("a stop loses what was learned")
	}
}

// What a peer does not agree in is told once, and with two peers that differ
// not in turns.
func TestMismatchIsToldOnce(t *testing.T) {
	s := started(t, oneInstance+"preempt = false\n")
	s.hear(advert{from: peer, priority: 200})
	s.forget()
	said := 0
	for range 200 {
		s.wait(500 * time.Millisecond)
		s.hear(advert{from: peer, priority: 200, interval: 500 * time.Millisecond})
		s.hear(advert{from: "192.0.2.12", priority: 200})
		for _, l := range s.lines {
			if l != "web: 192.0.2.11 advertises every 500ms, this node every 1s" {
				t.Fatal(l)
			}
			said++
		}
		s.forget()
	}
	if said < 1 || said > 2 {
		t.Errorf("told %d times in 100 s", said)
	}

	s = started(t, oneInstance)
	s.hear(advert{from: peer, priority: 200, vips: addrs("192.0.2.100", "192.0.2.101")})
	s.got("web: 192.0.2.11 advertises other addresses than are configured here")
	s.wait(5 * time.Minute)
	s.hear(advert{from: peer, priority: 200, vips: addrs("192.0.2.101", "192.0.2.100")})
	s.got("")
}

func TestCase25OrderOfAddressesDoesNotMatter(t *testing.T) {
	s := started(t, strings.Replace(oneInstance, `["192`, `["192.0.2.101/24", "192`, 1))
	s.hear(advert{from: peer, priority: 200, vips: addrs("192.0.2.100", "192.0.2.101")})
	s.got("")
}

// The down timer counts from when the packet arrived, not from when it was
// read, and never from the future.
func TestTimerCountsFromArrival(t *testing.T) {
	s := started(t, oneInstance)
	s.wait(2 * time.Second)
	s.hear(advert{from: peer, priority: 200, at: s.now.Add(-500 * time.Millisecond)})
	if at, _, _ := s.e.next(); at.Sub(s.now) != 3609375*time.Microsecond-500*time.Millisecond {
		t.Errorf("fires in %s", at.Sub(s.now))
	}
	s.hear(advert{from: peer, priority: 200, at: s.now.Add(time.Hour)})
	if at, _, _ := s.e.next(); at.Sub(s.now) != 3609375*time.Microsecond {
		t.Errorf("fires in %s", at.Sub(s.now))
	}
}

// A flood on one socket keeps nobody's timer for longer than a bounded number
// of packets; then a backup waits, for an advertisement may be in the rest, and
// an active router does not.
func TestFloodIsReadInPortions(t *testing.T) {
	s := started(t, oneInstance+`
[instance.own]
interface = "eth0"
vrid = 52
priority = 255
addresses = ["192.0.2.1/24"]
`)
	s.state("web", vrrp.Backup) // whose source is an address of the owner's
	w := s.wires["eth0 ipv4"]
	w.inbox = slices.Repeat([]transport.Packet{advert{from: peer, priority: 200, spoil: flipped(26)}.packet()}, receiveRounds*transport.BatchSize+10)
	w.inbox = append(w.inbox, advert{from: peer, priority: 200}.packet())
	s.now = s.inst("web").deadline
	var drained bool
	s.do(func() {
		drained = s.e.receive(s.now, s.tokenOf(w))
		s.e.expire(s.now, drained)
	})
	if drained || len(w.inbox) != 11 {
		t.Fatalf("drained %v, %d left", drained, len(w.inbox))
	}
	s.state("web", vrrp.Backup)
	if s.inst("own").sent != 2 {
		t.Errorf("the active router sent %d", s.inst("own").sent)
	}
	for i := range w.inbox {
		w.inbox[i].At = int64(s.now)
	}
	s.do(func() {
		drained = s.e.receive(s.now, s.tokenOf(w))
		s.e.expire(s.now, drained)
	})
	if !drained {
		t.Error("not drained")
	}
	s.state("web", vrrp.Backup)
	if at := s.inst("web").deadline; at <= s.now {
		t.Error("the advertisement behind the flood did not count")
	}
}

// Errors of a socket, news of a socket that is gone, and ports unknown change
// nothing.
func TestReceiveWithoutSocket(t *testing.T) {
	s := started(t, oneInstance)
	w := s.wires["eth0 ipv4"]
	w.broken = syscall.ENETDOWN
	if !s.e.receive(s.now, s.tokenOf(w)) || !s.e.receive(s.now, 99) {
		t.Error("a timer would wait for what cannot be read")
	}
	s.do(func() { s.e.interfaces(s.now, netif.Snapshot{}) })
	s.forget()
	if !s.e.receive(s.now, 1) {
		t.Error("a timer would wait for a closed socket")
	}
	s.got("")
}
