package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// What the fault tests have in common: two daemons that back each other up,
// of the same make or not, and a client that watches their address.

// patience is how much later than the protocol asks something may be on a busy
// machine. It is added to bounds that say what must not last, never measured.
const patience = 3 * time.Second

// leaseAuto is the lease of `lease = "auto"`: how long the kernel keeps the
// addresses of a daemon that stopped renewing them.
func leaseAuto(interval time.Duration) time.Duration {
	return max(5*time.Second, 4*interval+time.Second).Truncate(time.Second)
}

// A member is one of the two daemons: one of the fields after host is set.
type member struct {
	host       *lab.Host
	vrrpd      *node
	keepalived *keepalived

	stopping, frozen bool // the daemon that runs now
}

func (m *member) start() {
	m.stopping, m.frozen = false, false
	if m.vrrpd != nil {
		m.vrrpd.start()
		return
	}
	m.keepalived.start()
}

// proc is the daemon that was started last, nil before.
func (m *member) proc() *lab.Process {
	if m.vrrpd != nil {
		return m.vrrpd.proc
	}
	return m.keepalived.proc
}

// kill, term, freeze, thaw and signal do that to the daemon, if it lives.
func (m *member) kill()   { m.proc().Kill() }
func (m *member) term()   { m.stopping = true; m.signal(unix.SIGTERM) }
func (m *member) freeze() { m.frozen = true; m.proc().Stop() }
func (m *member) thaw()   { m.frozen = false; m.proc().Cont() }

func (m *member) signal(sig unix.Signal) {
	if !m.proc().Exited() {
		_ = unix.Kill(m.proc().Pid, sig) // it may end just now
	}
}

// moves counts how often the daemon became active since it was started.
func (m *member) moves() int {
	if m.keepalived != nil {
		return strings.Count(m.keepalived.proc.Output(), "Entering MASTER STATE")
	}
	m.vrrpd.t.Helper()
	n := 0
	for _, e := range m.vrrpd.events() {
		if e.Kind == "transition" && e.To == "active" {
			n++
		}
	}
	return n
}

// A duo is daemon a (priority 150), its backup b (100), the client, and a watcher.
type duo struct {
	t      *testing.T
	name   string
	lab    *lab.Lab
	sw     *lab.Switch
	a, b   *member
	router lab.Router // b's priority

	// Apart from each other, because a host believes what its questions are
	// answered, and asks less often than the watcher.
	watcher, client *lab.Host

	who  *lab.Probe // who answers the watcher's ARP, asked 200 times a second
	echo *lab.Probe // what the client loses of 500 requests a second
}

// newDuo makes the two; kinds are "vrrpd" or "keepalived", and more goes into
// the [instance] of those that are vrrpd.
func newDuo(t *testing.T, kindA, kindB string, interval time.Duration, more string) *duo {
	t.Helper()
	l := lab.New(t)
	p := &duo{t: t, name: kindA + " and " + kindB, lab: l, sw: l.Switch("lan")}
	p.router = lab.Router{Interval: interval, Addresses: []string{vip + "/24"}}
	p.a = p.member("a", kindA, "192.0.2.1/24", 150, more)
	p.b = p.member("b", kindB, "192.0.2.2/24", 100, more)
	p.watcher, p.client = p.sw.Host("watcher", "192.0.2.8/24"), p.sw.Host("client", "192.0.2.9/24")
	return p
}

func (p *duo) member(name, kind, prefix string, priority int, more string) *member {
	p.t.Helper()
	r := p.router
	r.Priority = priority
	m := &member{host: p.sw.Host(name, prefix)}
	if kind == "keepalived" {
		m.keepalived = &keepalived{host: m.host, router: r}
	} else {
		m.vrrpd = newNode(p.t, p.lab, m.host, r.Vrrpd("web")+more)
	}
	return m
}

// duosOf makes a pair of each of these kinds and begins them together.
func duosOf(t *testing.T, interval time.Duration, more string, kinds ...[2]string) []*duo {
	t.Helper()
	var duos []*duo
	for _, k := range kinds {
		duos = append(duos, newDuo(t, k[0], k[1], interval, more))
		duos[len(duos)-1].a.start()
	}
	for _, p := range duos {
		p.begin()
	}
	return duos
}

// begin starts whoever does not run yet, waits until a serves and b is its
// backup, and has the client begin to watch.
func (p *duo) begin() *duo {
	p.t.Helper()
	if p.a.proc() == nil {
		p.a.start()
	}
	p.a.host.WaitHas(vip, 10*time.Second)
	p.who = p.watcher.WhoHas(vip, 200)
	p.b.start()
	if p.b.vrrpd != nil {
		lab.Until(p.t, 10*time.Second, "b to hear a", func() bool {
			i := p.b.vrrpd.instance("web")
			return i.State == "backup" && i.ActiveRouter != nil
		})
	} else {
		time.Sleep(p.router.Interval + 100*time.Millisecond) // keepalived does not tell whom it hears
	}
	p.who.WaitOwner(p.a.host, 10*time.Second)
	p.echo = p.client.Echo(vip, 500)
	p.echo.WaitAnswered(5 * time.Second)
	return p
}

// down is the Active_Down_Interval of b.
func (p *duo) down() time.Duration {
	return 3*p.router.Interval + p.router.Interval*(256-100)/256
}

// answered waits until a host has answered a request sent after a moment, and
// returns how long after that it was sent.
func (p *duo) answered(m *member, from time.Time, timeout time.Duration) time.Duration {
	p.t.Helper()
	var took time.Duration
	lab.Until(p.t, timeout, fmt.Sprintf("%s: an answer of %s", p.name, m.host.Name), func() bool {
		for _, o := range p.who.Since(from).Owners {
			if o.Name == m.host.Name {
				took = o.From.Sub(from)
				return true
			}
		}
		return false
	})
	return took
}

// lastAnswer is how long after a moment the last request was sent that a host
// answered; 0: it answered none.
func (p *duo) lastAnswer(m *member, from time.Time) time.Duration {
	p.t.Helper()
	if at, ok := p.who.Since(from).LastAnswer[m.host.Name]; ok {
		return at.Sub(from)
	}
	return 0
}

// tell logs what was measured since a moment.
func (p *duo) tell(what string, from time.Time) {
	p.t.Helper()
	who, echo := p.who.Since(from), p.echo.Since(from)
	p.t.Logf("%s: %s: without an answer %v (longest %v), with two owners %v; ARP alone silent for %v",
		p.name, what, echo.Silence().Round(time.Millisecond), echo.LongestGap.Round(time.Millisecond),
		who.TwoOwners().Round(time.Millisecond), who.Silence().Round(time.Millisecond))
}

// unnoticed fails the test if the client was without an answer for long, or
// two answered, since a moment.
func (p *duo) unnoticed(what string, from time.Time) {
	p.t.Helper()
	if seen := p.echo.Since(from); seen.LongestGap > unnoticed {
		p.t.Errorf("%s: %s was noticed: %s, gaps %v", p.name, what, seen, seen.Gaps)
	}
}

// oneOwner waits until a host alone has answered, and every request, for as long
// as it takes a backup to notice that nobody is active.
func (p *duo) oneOwner(m *member, timeout time.Duration) {
	p.t.Helper()
	from, window := time.Now(), p.down()+p.router.Interval
	if p.router.Interval >= time.Second {
		window = p.router.Interval
	}
	lab.Until(p.t, timeout, fmt.Sprintf("%s: %s to be the only owner", p.name, m.host.Name), func() bool {
		since := time.Now().Add(-window)
		if since.Before(from) {
			return false
		}
		r := p.who.Since(since)
		return r.Sent > 10 && len(r.LastAnswer) == 1 && r.Serving() == m.host.Name && r.Lost == 0
	})
}
