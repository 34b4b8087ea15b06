package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/whohas"
	"vrrpd/vip"
	"vrrpd/vrrp"
)

// A nodeStage is a node with one instance and one address, and another node
// that takes over.
type nodeStage struct {
	rec *record
	vip vip.Address

	mu       sync.Mutex
	ear      *ear
	now      memberStanding
	here     bool
	hosts    []string // that answer, by their MAC
	does     []string // what the drill did
	noPeer   bool     // nobody takes over
	abrupt   bool     // handover = "immediate"
	mute     bool     // the peer advertises, but does not answer
	sticky   bool     // this node keeps the address
	slow     time.Duration
	stays    string
	foretold string
	never    bool               // it does not return
	refuse   error              // of Release
	stopped  bool               // the daemon is
	there    func(s *nodeStage) // called, locked, a second after the peer took over
	back     func(s *nodeStage) // called, locked, when this node is active again
	ended    bool
}

const (
	peerMAC  = "02:00:00:00:00:02"
	thirdMAC = "02:00:00:00:00:03"
)

func newNodeStage() *nodeStage {
	return &nodeStage{rec: &record{addr: netip.MustParseAddr(vip1), iface: "eth0"},
		vip:  vip.Address{Prefix: netip.MustParsePrefix(vip1 + "/24"), Interface: "eth0"},
		now:  memberStanding{standing: standing{name: "web", state: vrrp.Active, transitions: 1}},
		here: true, slow: 5 * time.Millisecond}
}

// after has something happen later, if the drill is not over by then.
func (s *nodeStage) after(d time.Duration, do func()) {
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.ended {
			do()
		}
	})
}

func (s *nodeStage) Listen(e *ear) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ear = e; e == nil {
		s.ended = true
	}
	return nil
}

func (s *nodeStage) Here(*record) bool { return s.here }

// become changes the state.
func (s *nodeStage) become(to vrrp.State, cause vrrp.Cause) {
	s.ear.record("web", &vrrp.Record{From: s.now.state, To: to, Cause: cause}, time.Now())
	s.now.state, s.now.leaving = to, false
	s.now.transitions++
}

func (s *nodeStage) moved(kind vip.Kind) {
	s.ear.addresses("web", &vip.Event{Kind: kind, At: time.Now(), Addresses: []vip.Address{s.vip}})
}

func (s *nodeStage) Release() (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.does = append(s.does, "release")
	if s.refuse != nil {
		return time.Time{}, s.refuse
	}
	s.now.demoted, s.now.leaving = true, !s.abrupt
	if s.abrupt {
		s.become(vrrp.Backup, vrrp.CauseDemoted)
		s.moved(vip.Released)
	}
	if s.noPeer {
		if !s.abrupt {
			s.after(5*time.Second, func() {
				s.now.demoted, s.now.leaving = false, false
				s.ear.record("web", &vrrp.Record{From: vrrp.Active, To: vrrp.Active, Cause: vrrp.CauseStays}, time.Now())
			})
		}
		return time.Now(), nil
	}
	s.after(605*time.Millisecond, func() {
		s.ear.advert("web", netip.MustParseAddr(peer), 100, 0)
		if s.now.state == vrrp.Active {
			s.become(vrrp.Backup, vrrp.CauseDemoted)
		}
		if !s.sticky {
			s.moved(vip.Quieted)
		}
		if !s.mute {
			s.after(s.slow, func() { s.hosts = append(s.hosts, peerMAC) })
		}
		if s.there != nil {
			s.after(time.Second, func() { s.there(s) })
		}
	})
	return time.Now(), nil
}

func (s *nodeStage) Lift() (lifted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return lifted{}, errStopped
	}
	s.does = append(s.does, "lift")
	l := lifted{at: time.Now(), within: 6 * time.Second}
	if s.now.foreign {
		return l, nil
	}
	s.now.demoted, s.now.leaving = false, false
	if s.now.state == vrrp.Active {
		return l, nil
	}
	if s.noPeer {
		s.become(vrrp.Active, vrrp.CausePromoted)
		s.moved(vip.Held)
		return l, nil
	}
	if l.stays = s.stays; l.stays != "" || s.never {
		return l, nil
	}
	s.after(3*time.Second, func() {
		if s.now.state != vrrp.Backup {
			return
		}
		s.become(vrrp.Active, vrrp.CausePreempt)
		s.moved(vip.Held)
		s.hosts = nil
		if s.back != nil {
			s.back(s)
		}
	})
	return l, nil
}

func (s *nodeStage) Standings(ctx context.Context) ([]memberStanding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return nil, errStopped
	case s.now.name == "":
		return nil, ctx.Err()
	}
	return []memberStanding{s.now}, ctx.Err()
}

func (s *nodeStage) Ask(int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, host := range s.hosts {
		mac, _ := net.ParseMAC(host)
		time.AfterFunc(300*time.Microsecond, func() { s.rec.answered(whohas.Answer{At: time.Now(), MAC: mac}) })
	}
	return nil
}

// play runs a drill on the stage, and has do done after a time.
func (s *nodeStage) play(t *testing.T, after time.Duration, do func(s *nodeStage, leave context.CancelCauseFunc)) *control.DrillReport {
	t.Helper()
	ctx, leave := context.WithCancelCause(t.Context())
	defer leave(nil)
	if do != nil {
		s.after(after, func() { do(s, leave) })
	}
	d := &demoteDrill{world: s, records: []*record{s.rec}, timeout: 5 * time.Second, patience: 7 * time.Second, hold: 4 * time.Second, foretold: s.foretold,
		say: func(string) {}, report: control.DrillReport{Kind: "demote", Instance: "web", Found: own}}
	return d.run(ctx)
}

func TestDemoteDrillHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNodeStage()
		r := s.play(t, 0, nil)
		if !r.Held || !r.Restored || r.Refused || len(r.Reasons) != 0 || strings.Join(s.does, " ") != "release lift" {
			t.Fatalf("%v, report %+v", s.does, r)
		}
		if len(r.Phases) != 3 {
			t.Fatalf("phases %+v", r.Phases)
		}
		for n, want := range []struct {
			name, active string
			move, first  float64
			silence      float64
		}{{"before", own, 0, 0, 0}, {"there", peer, 0.605, 0.62, 0.021}, {"back", own, 3, 3, 0.021}} {
			p := r.Phases[n]
			if p.Name != want.name || p.ActiveRouter != want.active || p.Lost != 0 ||
				p.MoveSeconds < want.move || p.MoveSeconds > want.move+0.001 || p.FirstReplySeconds < want.first || p.FirstReplySeconds > want.first+0.021 ||
				p.LongestSilenceSeconds > want.silence+0.0005 || p.LongestSilenceSeconds < want.silence/2 {
				t.Errorf("phase %+v, want %+v", p, want)
			}
		}
		if sent := r.Phases[1].Sent; sent < 225 || sent > 240 {
			t.Errorf("%d requests", sent)
		}
		want := control.DrillInstance{Name: "web", Before: "active", After: "active", Transitions: 2}
		in := r.Instances[0]
		if in.Successor == nil || *in.Successor != (control.DrillSuccessor{Address: peer, Priority: 100, Seconds: 0.605}) {
			t.Errorf("successor %+v", in.Successor)
		}
		if in.Successor = nil; in != want || r.Other != peer {
			t.Errorf("instance %+v, took over: %s", in, r.Other)
		}
		a := r.Addresses[0]
		if a.Address != vip1 || a.Lost != 0 || len(a.Answered) != 1 || a.Answered[0].MAC != peerMAC || a.Answered[0].Answers < 350 ||
			a.FirstReplySeconds != r.Phases[1].FirstReplySeconds || a.Answered[0].First != a.FirstReplySeconds || a.Answered[0].Last < 7.5 {
			t.Errorf("address %+v", a)
		}
		var story []string
		for _, m := range r.Timeline {
			story = append(story, fmt.Sprintf("%s|%s", m.Active, m.Text))
		}
		if got, want := strings.Join(story, "\n"), strings.Join([]string{
			own + "|the drill begins: this node (192.0.2.1) is active",
			"|released: priority 0 has left",
			peer + "|192.0.2.11 advertises priority 100",
			"|active -> backup: demoted by an operator",
			"|no longer answered for here: 192.0.2.100/24",
			"|" + peerMAC + " answers for 192.0.2.100",
			"|promoted",
			own + "|backup -> active: priority 0 preempts invalid IP with priority 0",
			"|announced here: 192.0.2.100/24",
		}, "\n"); got != want {
			t.Errorf("the timeline is\n%s\nwant\n%s", got, want)
		}
	})
}

// What nobody answered is counted, and how long.
func TestDemoteDrillMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newNodeStage()
		s.slow = 150 * time.Millisecond
		r := s.play(t, 0, nil)
		p := r.Phases[1]
		if !r.Held || p.Lost < 6 || p.Lost > 8 || p.LongestSilenceSeconds < 0.15 || p.LongestSilenceSeconds > 0.172 || p.FirstReplySeconds < 0.75 {
			t.Errorf("held %t: %+v", r.Held, p)
		}
	})
}

// Whatever goes wrong, and whenever, the demotion does not stay.
func TestDemoteDrillEnds(t *testing.T) {
	gone := errors.New("vrrpctl has gone away")
	leave := func(_ *nodeStage, leave context.CancelCauseFunc) { leave(gone) }
	for _, tc := range []struct {
		name    string
		after   time.Duration
		do      func(s *nodeStage, leave context.CancelCauseFunc)
		set     func(s *nodeStage)
		says    string
		does    string
		phases  int
		within  time.Duration
		back    bool // the service is on this node in the end
		refused bool
		held    bool
	}{
		{name: "nobody takes over", set: func(s *nodeStage) { s.noPeer = true },
			says: "nobody took over within 5.00s, so the service was resumed", does: "release lift", phases: 2, within: 5800 * time.Millisecond, back: true, refused: true},
		{name: "nobody takes over, released at once", set: func(s *nodeStage) { s.noPeer, s.abrupt = true, true },
			says: "nobody took over", does: "release lift", phases: 2, within: 8 * time.Second, back: true, refused: true},
		{name: "released at once", set: func(s *nodeStage) { s.abrupt = true }, does: "release lift", phases: 3, within: 11 * time.Second, back: true, held: true},
		{name: "the successor does not answer", set: func(s *nodeStage) { s.mute = true },
			says: "192.0.2.11 advertises, but nobody answers for 192.0.2.100", does: "release lift", phases: 3, within: 9 * time.Second, back: true},
		{name: "the successor stops answering", set: func(s *nodeStage) { s.there = func(s *nodeStage) { s.hosts = nil } },
			says: "nobody has answered for 192.0.2.100 for 2s", does: "release lift", phases: 3, within: 11 * time.Second, back: true},
		{name: "the successor falls silent", set: func(s *nodeStage) {
			s.there = func(s *nodeStage) { s.hosts = nil; s.become(vrrp.Active, vrrp.CauseTimeout); s.moved(vip.Held) }
		}, says: "192.0.2.11 fell silent: web is active here again", does: "release lift", phases: 3, within: 6 * time.Second, back: true},
		{name: "another host answers before", set: func(s *nodeStage) { s.hosts = []string{thirdMAC} },
			says: thirdMAC + " answers for 192.0.2.100 beside this node; nothing was moved", does: "", phases: 1, within: 600 * time.Millisecond, back: true},
		{name: "the address is missing", set: func(s *nodeStage) { s.here = false },
			says: "192.0.2.100 is not on eth0", does: "", phases: 1, within: 300 * time.Millisecond, back: true},
		{name: "somebody was faster", set: func(s *nodeStage) { s.refuse = errors.New("web is handing over already") },
			says: "web is handing over already; nothing was moved", does: "release", phases: 1, within: time.Second, back: true},
		{name: "a third host answers too", set: func(s *nodeStage) { s.there = func(s *nodeStage) { s.hosts = append(s.hosts, thirdMAC) } },
			says: "two hosts answered for 192.0.2.100: " + peerMAC + " and " + thirdMAC, does: "release lift", phases: 3, within: 11 * time.Second, back: true},
		{name: "this node keeps the address", set: func(s *nodeStage) { s.sticky = true },
			says: "192.0.2.100 stayed on this node while " + peerMAC + " answered for it", does: "release lift", phases: 3, within: 11 * time.Second, back: true},
		{name: "the successor does not let go", set: func(s *nodeStage) {
			s.back = func(s *nodeStage) { s.hosts = []string{peerMAC} }
		}, says: peerMAC + " went on answering for 192.0.2.100 after it had returned to this node", does: "release lift", phases: 3, within: 11 * time.Second, back: true},
		{name: "it does not stay", set: func(s *nodeStage) {
			s.back = func(s *nodeStage) {
				s.after(time.Second, func() { s.become(vrrp.Backup, vrrp.CauseHigherPriority); s.moved(vip.Quieted) })
			}
		}, says: "web did not stay active: it is backup", does: "release lift", phases: 3, within: 10 * time.Second},
		{name: "it does not return", set: func(s *nodeStage) { s.never = true; s.now.held = "check disk is failing" },
			says: "web has not returned within 6s: it is backup (check disk is failing)", does: "release lift", phases: 3, within: 13 * time.Second},
		{name: "it does not preempt", set: func(s *nodeStage) { s.stays = "web does not preempt"; s.foretold = s.stays },
			does: "release lift", phases: 3, within: 8 * time.Second, held: true},
		{name: "its priority is lower", set: func(s *nodeStage) { s.stays = "web does not preempt a higher priority" },
			says: "web does not preempt a higher priority: the service stays with 192.0.2.11", does: "release lift", phases: 3, within: 8 * time.Second},
		{name: "the client leaves before", after: 100 * time.Millisecond, do: leave,
			says: "interrupted: vrrpctl has gone away", does: "", phases: 1, within: 150 * time.Millisecond, back: true},
		{name: "the client leaves during the handover", after: time.Second, do: leave,
			says: "interrupted", does: "release lift", phases: 2, within: 1100 * time.Millisecond, back: true},
		{name: "the client leaves there", after: 3 * time.Second, do: leave,
			says: "interrupted", does: "release lift", phases: 2, within: 3100 * time.Millisecond},
		{name: "the client leaves on the way back", after: 6 * time.Second, do: leave,
			says: "interrupted", does: "release lift", phases: 3, within: 6300 * time.Millisecond},
		{name: "the daemon stops", after: 3 * time.Second, do: func(s *nodeStage, _ context.CancelCauseFunc) { s.stopped = true },
			says: "interrupted: the daemon is stopping", does: "release", phases: 2, within: 3300 * time.Millisecond},
		{name: "an operator steps in", after: 3 * time.Second, do: func(s *nodeStage, _ context.CancelCauseFunc) { s.now.foreign = true },
			says: "an operator promoted or demoted web meanwhile, and it is left so", does: "release lift", phases: 2, within: 3300 * time.Millisecond},
		{name: "a fault", after: 3 * time.Second, do: func(s *nodeStage, _ context.CancelCauseFunc) {
			s.now.state, s.now.held = vrrp.Fault, "eth0: no carrier"
		}, says: "web is in fault: eth0: no carrier", does: "release lift", phases: 3, within: 3300 * time.Millisecond},
		{name: "a reload drops it", after: 3 * time.Second, do: func(s *nodeStage, _ context.CancelCauseFunc) { s.now.name = "" },
			says: "web is gone", does: "release lift", phases: 3, within: 4 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newNodeStage()
				if tc.set != nil {
					tc.set(s)
				}
				r := s.play(t, tc.after, tc.do)
				if said := strings.Join(r.Reasons, "; "); r.Held != tc.held || !strings.Contains(said, tc.says) {
					t.Errorf("held %t: %s", r.Held, said)
				}
				if got := strings.Join(s.does, " "); got != tc.does || len(r.Phases) != tc.phases {
					t.Errorf("did %q, want %q; phases %+v", got, tc.does, r.Phases)
				}
				if r.Restored != tc.back || r.Refused != tc.refused {
					t.Errorf("restored %t, refused %t", r.Restored, r.Refused)
				}
				if took := time.Duration(r.Seconds * float64(time.Second)); took > tc.within {
					t.Errorf("it took %v, more than %v", took, tc.within)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.now.demoted && !s.stopped && !s.now.foreign && s.now.name != "" {
					t.Error("it is demoted still")
				}
			})
		})
	}
}

// A record is judged in the end, whatever was told late.
func TestRecord(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	mac, _ := net.ParseMAC(peerMAC)
	answer := func(ms int) whohas.Answer { return whohas.Answer{At: at(ms), MAC: mac} }
	r := &record{}
	r.came(at(0))
	r.came(at(1)) // announced again: nothing new
	for ms := 0; ms <= 200; ms += 20 {
		r.asked(at(ms))
	}
	r.went(at(50)) // told after the requests of 60 … 200
	r.went(at(90)) // told twice
	r.answered(whohas.Answer{At: at(55), MAC: mac, Ours: true})
	for _, ms := range []int{121, 141, 142} {
		r.answered(answer(ms))
	}
	r.came(at(170))
	got := r.count([]time.Time{at(0), at(100), at(165)}, at(300))
	// 60, 80 and 160 were lost. The second answer to 140 is taken for that to
	// 100: ARP numbers nothing.
	want := []tally{{sent: 5, lost: 2}, {sent: 4, lost: 1, silence: 71 * time.Millisecond}, {sent: 2, lost: 0, silence: 28 * time.Millisecond}}
	for n := range want {
		if got[n] != want[n] {
			t.Errorf("part %d: %+v, want %+v", n, got[n], want[n])
		}
	}
	if hosts := r.answerers(at(100)); len(hosts) != 1 || hosts[0] != (control.DrillAnswers{MAC: peerMAC, Answers: 3, First: 0.021, Last: 0.042}) {
		t.Errorf("answered: %+v", hosts)
	}
	if a, ok := r.firstAnswer(at(130)); !ok || a.At != at(141) {
		t.Errorf("first answer %v", a)
	}
	if silence, _ := r.silent(at(1000)); silence != 0 {
		t.Errorf("silent for %v although it is here", silence)
	}
	// What is remembered is bounded.
	for i := range recordAsks {
		r.asked(at(1000 + i))
		r.answered(answer(1000 + i))
		r.answered(answer(1000 + i))
	}
	if r.asked(at(0)) || len(r.asks) != recordAsks || len(r.answers) != 2*recordAsks {
		t.Errorf("%d requests, %d answers", len(r.asks), len(r.answers))
	}
	e := newEar()
	for i := range 2 * earMoments {
		e.advert("web", netip.MustParseAddr(peer), uint8(i), 0)
	}
	if len(e.moments) != earMoments || e.missed != earMoments {
		t.Errorf("%d moments, %d missed", len(e.moments), e.missed)
	}
}
