package integration

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// The tests of this file have no vrrpd in them. They prove the ground the others
// stand on, with keepalived and FRR in every role.

const vip = "192.0.2.100"

// TestLabTakeover is keepalived against keepalived: an election, a crash and a
// return, with everything the lab measures compared to what must be so.
func TestLabTakeover(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	sniff := sw.Sniff()
	a, b := sw.Host("a", "192.0.2.1/24"), sw.Host("b", "192.0.2.2/24")
	client := sw.Host("client", "192.0.2.9/24")
	first := lab.Router{Priority: 200, Interval: 100 * time.Millisecond, Addresses: []string{vip + "/24"}}
	second := first
	second.Priority = 100

	daemon := a.Keepalived(first)
	b.Keepalived(second)
	who, echo := client.WhoHas(vip, 100), client.Echo(vip, 1000)
	who.WaitOwner(a, 10*time.Second)
	echo.WaitAnswered(time.Second)
	a.WaitHas(vip, time.Second)
	b.WaitHasNot(vip, time.Second)

	// A machine that is off: its processes and its cable.
	crashed := time.Now()
	sw.Cut(a)
	daemon.Kill()
	who.WaitOwner(b, 10*time.Second)
	echo.WaitAnswered(time.Second)

	r := echo.Stop()
	// keepalived: three intervals and a skew of (256-100)/256 intervals.
	const down = 361 * time.Millisecond
	var outage lab.Gap
	for _, g := range r.Gaps {
		if g.To.After(crashed) && g.Length() > outage.Length() {
			outage = g
		}
	}
	if outage.Length() < down-110*time.Millisecond || outage.Length() > down+3*time.Second {
		t.Errorf("the client missed the address for %v, expected about %v: %v", outage.Length(), down, r)
	}
	// A busy machine sends fewer than it was asked to, but not by far.
	if got := outage.Lost; float64(got) < outage.Length().Seconds()*100 {
		t.Errorf("%d requests lost in %v at 1,000 a second", got, outage.Length())
	}
	if r := who.Stop(); r.Serving() != "b" || len(r.Owners) != 2 || len(r.Conflicts) != 0 {
		t.Errorf("ARP was answered otherwise than by a, then b: %v", r)
	}
	announced := map[string]int{}
	for _, x := range sniff.Announcements() {
		announced[x.By]++
	}
	if announced["a"] == 0 || announced["b"] == 0 {
		t.Errorf("gratuitous ARP was seen from %v", announced)
	}
	for _, advert := range sniff.Adverts() {
		if advert.Checksum != lab.ChecksumPseudo || advert.Interval != first.Interval || advert.VRID != 51 ||
			len(advert.Addresses) != 1 || advert.Addresses[0].String() != vip {
			t.Fatalf("read otherwise than sent: %+v", advert)
		}
	}
	lab.Tshark(t, sniff.Close())
}

// TestLabTwoOwners has two nodes that cannot hear each other answer the same
// client: the probe must see both.
func TestLabTwoOwners(t *testing.T) {
	t.Parallel()
	for name, addr := range map[string]string{"ipv4": "192.0.2.100/24", "ipv6": "2001:db8::100/64"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			a, b := sw.Host("a"), sw.Host("b")
			client := sw.Host("client", "192.0.2.9/24", "2001:db8::9/64")
			plain, _, _ := strings.Cut(addr, "/")
			who := client.WhoHas(plain, 100)
			add := func(h *lab.Host) {
				if err := h.Configure("eth0", addr); err != nil {
					t.Fatal(err)
				}
			}
			add(a)
			who.WaitOwner(a, 5*time.Second)
			if r := who.Report(); len(r.Conflicts) != 0 {
				t.Errorf("a alone: %v", r)
			}
			add(b)
			lab.Until(t, 5*time.Second, "a conflict", func() bool { return len(who.Report().Conflicts) > 3 })
			sw.Cut(a)
			who.WaitOwner(b, 5*time.Second)
		})
	}
}

// TestLabFrozen stops a daemon of two processes and lets it go on.
func TestLabFrozen(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	a, b := sw.Host("a", "192.0.2.1/24"), sw.Host("b", "192.0.2.2/24")
	first := lab.Router{Priority: 200, Interval: 100 * time.Millisecond, Addresses: []string{vip + "/24"}}
	second := first
	second.Priority = 100
	daemon := a.Keepalived(first)
	a.WaitHas(vip, 10*time.Second)
	b.Keepalived(second)
	daemon.Stop()
	b.WaitHas(vip, 10*time.Second)
	daemon.Cont()
	b.WaitHasNot(vip, 10*time.Second)
	daemon.Term()
	if err := daemon.Wait(10 * time.Second); err != nil {
		t.Errorf("keepalived: %v", err)
	}
	b.WaitHas(vip, 10*time.Second)
}

// TestLabFRR runs FRR alone, for each version and family it speaks.
func TestLabFRR(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]lab.Router{
		"v2 ipv4": {Version: 2, Addresses: []string{"192.0.2.100/24"}},
		"v3 ipv4": {Interval: 100 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}},
		"v3 ipv6": {Interval: 100 * time.Millisecond, Addresses: []string{"fe80::100/64", "2001:db8::100/64"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			sniff := sw.Sniff()
			host := sw.Host("frr", "192.0.2.1/24", "2001:db8::1/64")
			client := sw.Host("client", "192.0.2.9/24", "2001:db8::9/64")
			addr, _, _ := strings.Cut(r.Addresses[len(r.Addresses)-1], "/")
			who := client.WhoHas(addr, 50)
			f := host.FRR(r)
			advert := sniff.WaitAdvert(15*time.Second, "FRR's advertisement",
				func(a lab.Advert) bool { return a.Priority == 100 })
			if advert.Checksum == lab.ChecksumBad || advert.EtherSrc.String() != r.VirtualMAC() {
				t.Errorf("FRR sent %+v", advert)
			}
			who.WaitOwner(host, 5*time.Second)
			if show := f.Show("show vrrp"); !strings.Contains(show, "Master") {
				t.Errorf("FRR says:\n%s", show)
			}
			lab.Tshark(t, sniff.Close())
		})
	}
}

// TestLabJudge has tshark look at a packet that is wrong.
func TestLabJudge(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	sniff := sw.Sniff()
	a := sw.Host("a", "192.0.2.1/24")
	sw.Host("b", "192.0.2.2/24")
	forge(t, a, []byte{0x31, 51, 100, 1, 0, 100, 0xde, 0xad, 192, 0, 2, 100})
	advert := sniff.WaitAdvert(5*time.Second, "the packet", func(lab.Advert) bool { return true })
	if advert.Checksum != lab.ChecksumBad {
		t.Errorf("the lab finds its checksum %s", advert.Checksum)
	}
	if j := lab.Judge(t, sniff.Close()); j.Packets != 1 || len(j.Faults) != 1 {
		t.Errorf("tshark finds %+v", j)
	}
}

// TestLabProcesses: what a process leaves is what the test learns.
func TestLabProcesses(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	h := l.Host("h")
	if out, err := h.Try("sh", "-c", "echo said; exit 3"); err == nil || out != "said\n" {
		t.Errorf("Try: %q, %v", out, err)
	}
	p := h.Start("sh", "-c", "sleep 1000 & echo ready; trap 'exit 4' TERM; wait")
	p.WaitOutput("ready", 5*time.Second)
	p.Term()
	var exit *exec.ExitError
	if err := p.Wait(5 * time.Second); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("Wait: %v", err)
	}
	// /run and /sys are the host's own.
	if out := h.Run("sh", "-c", "ls -A /run; ls /sys/class/net"); out != "lo\n" {
		t.Errorf("inside: %q", out)
	}
	h.Crash() // the orphan
	if out := h.Run("sh", "-c", "grep -l sleep /proc/[0-9]*/comm || true"); strings.Contains(out, "comm") {
		t.Logf("other hosts' sleeps: %q", out)
	}
}
