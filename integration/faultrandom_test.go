package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	faultSeed  = flag.Uint64("faultseed", 1, "the seed of TestFaultRandom's story")
	faultCount = flag.Int("faults", 100, "how many faults in a row TestFaultRandom makes")
)

// settleTime is how long two daemons may need, once nothing is wrong any more,
// until the better one alone serves. The longest wait is for a lease.
const settleTime = 20 * time.Second

// TestFaultRandom does to two nodes what goes wrong in the field, one thing
// after the other and two things at a time, drawn from a seed. After each round
// everything is put right, and then the better node must serve alone, both
// daemons live and answer, and nothing be left of what happened.
//
//	go test ./integration -run TestFaultRandom -v -faultseed 4711 -faults 2000 -timeout 2h
//
// The same seed makes the same faults at the same distances, in another run on
// another machine not to the microsecond: a failure prints its timeline.
func TestFaultRandom(t *testing.T) {
	for _, c := range []struct {
		peer string
		part int // of the faults
	}{{"vrrpd", 1}, {"keepalived", 4}} {
		t.Run(c.peer, func(t *testing.T) {
			t.Parallel()
			p := newDuo(t, "vrrpd", c.peer, 100*time.Millisecond, "").begin()
			s := &faultStory{duo: p, rng: rand.New(rand.NewPCG(*faultSeed, uint64(c.part))), began: time.Now()}
			defer s.print()
			for s.faults < *faultCount/c.part {
				s.round()
			}
			s.end()
		})
	}
}

// A faultStory is what happens to one pair.
type faultStory struct {
	*duo
	rng    *rand.Rand
	began  time.Time
	faults int
	lines  []string

	complaints int // of the client, about what the daemons took for settled

	worst      time.Duration // the longest time without an answer in a round
	worstLines []string
}

// say adds a line to the timeline.
func (s *faultStory) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf("%9.3fs  ", time.Since(s.began).Seconds())+fmt.Sprintf(format, args...))
}

// print logs the timeline of a story that failed, and what both daemons have
// to say.
func (s *faultStory) print() {
	if !s.t.Failed() {
		return
	}
	lines := s.lines[max(0, len(s.lines)-80):]
	s.t.Logf("replay with -run '%s' -faultseed %d; began %s; the end of its timeline:\n%s",
		s.t.Name(), *faultSeed, s.began.UTC().Format("15:04:05.000"), strings.Join(lines, "\n"))
	for _, m := range []*member{s.a, s.b} {
		out, err := m.host.Try("ip", "-o", "addr", "show", "dev", "eth0")
		s.t.Logf("addresses of %s (%v):\n%s", m.host.Name, err, out)
		if m.vrrpd != nil {
			status, errs, code := m.vrrpd.ctl("status", "web")
			s.t.Logf("status of %s (exit %d): %s%s", m.host.Name, code, status, errs)
		}
	}
}

// round makes one fault or two, puts everything right and waits until the pair
// has settled.
func (s *faultStory) round() {
	s.t.Helper()
	began, first := time.Now(), len(s.lines)
	var what []string
	for range 1 + s.rng.IntN(4)/3 {
		m := []*member{s.a, s.b}[s.rng.IntN(2)]
		menu := faultsOf(m)
		f := menu[s.rng.IntN(len(menu))]
		pause := time.Duration(s.rng.IntN(30)*s.rng.IntN(30)) * time.Millisecond // up to 0.84 s, mostly short
		what = append(what, f.name+" "+m.host.Name)
		s.say("%s %s, for %v", f.name, m.host.Name, pause)
		f.do(s, m)
		s.faults++
		time.Sleep(pause)
	}
	s.restore()
	s.settle(strings.Join(what, " and "))
	gap := s.echo.Since(began).LongestGap
	s.say("the longest time without an answer: %v", gap.Round(time.Millisecond))
	if gap > s.worst {
		s.worst, s.worstLines = gap, s.lines[first:]
	}
}

// settle waits until all is well, and stays so for a moment.
func (s *faultStory) settle(what string) {
	s.t.Helper()
	from, well := time.Now(), time.Time{}
	for {
		reason := s.unsettled()
		switch {
		case reason != "":
			well = time.Time{}
		case well.IsZero():
			well = time.Now()
		case time.Since(well) > 150*time.Millisecond:
			if reason = s.unhappy(well); reason == "" {
				s.say("settled after %v", well.Sub(from).Round(time.Millisecond))
				return
			}
			s.say("not so for the client: %s", reason)
			s.complaints++
			well = time.Time{}
		}
		if time.Since(from) > settleTime {
			s.t.Fatalf("%s, fault %d: not settled %v after %s: %s", s.name, s.faults, settleTime, what, reason)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// unsettled says what is not yet as it must be, or "".
func (s *faultStory) unsettled() string {
	for _, m := range []*member{s.a, s.b} {
		if m.proc().Exited() {
			s.t.Fatalf("%s, fault %d: the daemon on %s ended:\n%s", s.name, s.faults, m.host.Name, m.proc().Output())
		}
		if has := m.host.Has(vip); has != (m == s.a) {
			return fmt.Sprintf("%s has the address: %v", m.host.Name, has)
		}
		if m.vrrpd == nil {
			continue
		}
		status, err := m.vrrpd.tryStatus()
		if err != nil {
			return m.host.Name + ": " + err.Error()
		}
		want := map[bool]string{true: "active", false: "backup"}[m == s.a]
		if len(status.Instances) != 1 || status.Instances[0].Name != "web" {
			return fmt.Sprintf("%s has %d instances", m.host.Name, len(status.Instances))
		}
		i := status.Instances[0]
		if i.State != want || i.Demoted || i.HandingOver || i.DualActive || len(i.Reasons) > 0 {
			return fmt.Sprintf("%s: %s, demoted %v, handing over %v, dual active %v, %q",
				m.host.Name, i.State, i.Demoted, i.HandingOver, i.DualActive, i.Reasons)
		}
	}
	return ""
}

// unhappy says what the client has to complain of since a moment, or "".
func (s *faultStory) unhappy(since time.Time) string {
	who, echo := s.who.Since(since), s.echo.Since(since)
	switch {
	case len(who.Conflicts) > 0 || who.Serving() != "a" || len(who.LastAnswer) != 1:
		return "ARP: " + who.String()
	case echo.Sent == 0 || echo.LongestGap > 20*time.Millisecond:
		return "echo: " + echo.String()
	}
	return ""
}

// end stops both in order and looks at what is left.
func (s *faultStory) end() {
	s.t.Helper()
	for _, m := range []*member{s.a, s.b} {
		m.term()
		if err := m.proc().Wait(10 * time.Second); err != nil && m.vrrpd != nil {
			s.t.Errorf("%s: the daemon on %s: %v", s.name, m.host.Name, err)
		}
		m.host.WaitHasNot(vip, 5*time.Second)
	}
	s.t.Logf("%s: %d faults in %v, seed %d, %d complaints; the longest time without an answer:\n%s", s.name, s.faults,
		time.Since(s.began).Round(time.Second), *faultSeed, s.complaints, strings.Join(s.worstLines, "\n"))
	s.tell("all faults", s.began)
}

// restore puts everything right that a fault may have changed.
func (s *faultStory) restore() {
	s.t.Helper()
	s.say("all is put right")
	s.sw.Unblock()
	for _, m := range []*member{s.a, s.b} {
		s.sw.Heal(m.host)
		m.host.Run("ip", "link", "set", "eth0", "up")
		m.host.Run("ip", "addr", "replace", m.host.Addr(false).String()+"/24", "dev", "eth0")
		m.thaw()
		s.revive(m)
	}
}

// revive starts a daemon that has ended, and undoes what it was told.
func (s *faultStory) revive(m *member) {
	s.t.Helper()
	if m.stopping {
		if err := m.proc().Wait(10 * time.Second); err != nil {
			s.say("the daemon on %s ended: %v", m.host.Name, err)
		}
	}
	if m.keepalived != nil {
		if m.proc().Exited() {
			// keepalived's own would answer for ever beside the other's.
			_, _ = m.host.Try("ip", "addr", "del", vip+"/24", "dev", "eth0") // if it is there
			m.start()
		}
		return
	}
	n := m.vrrpd
	n.configure(s.config(m, 0))
	if n.proc.Exited() {
		m.start()
		return
	}
	n.must("reload")
	n.must("promote")
}

// config is the configuration of a member, with another priority unless 0.
func (s *faultStory) config(m *member, priority int) string {
	r := s.router
	r.Priority = 100
	if m == s.a {
		r.Priority = 150
	}
	if priority != 0 {
		r.Priority = priority
	}
	return r.Vrrpd("web")
}

// other is the other member.
func (s *faultStory) other(m *member) *member {
	if m == s.a {
		return s.b
	}
	return s.a
}
