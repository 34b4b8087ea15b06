package daemon

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/bonding"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// A stage is a bond of two links, with a target that answers over the links
// that are alive, and one instance.
type stage struct {
	meter *meter

	mu       sync.Mutex
	active   string
	alive    map[string]bool
	moves    []string
	standing []standing
	on       map[string]func() // called, with the lock held, when a link was made active
	refuse   map[string]error  // moves to these links fail
	flaky    int               // so many moves fail first
	delay    time.Duration     // of an answer
}

func newStage() *stage {
	return &stage{meter: newMeter(), active: "eth0", alive: map[string]bool{"eth0": true, "eth1": true},
		standing: []standing{{name: "web", state: vrrp.Active, transitions: 2}}, on: map[string]func(){}, refuse: map[string]error{}, delay: 300 * time.Microsecond}
}

func (s *stage) ActiveLink() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, nil
}

func (s *stage) Move(link string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moves = append(s.moves, link)
	if s.flaky > 0 {
		s.flaky--
		return errors.New("busy")
	}
	if err := s.refuse[link]; err != nil {
		return err
	}
	s.active = link
	if f := s.on[link]; f != nil {
		f()
	}
	return nil
}

func (s *stage) Standings(ctx context.Context) ([]standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.standing), ctx.Err()
}

func (s *stage) Ask() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive[s.active] {
		time.AfterFunc(s.delay, func() { s.meter.answered(time.Now()) })
	}
	return nil
}

// play runs a drill on the stage and has do done after a time.
func (s *stage) play(t *testing.T, after time.Duration, do func(leave context.CancelCauseFunc)) *control.DrillReport {
	t.Helper()
	ctx, leave := context.WithCancelCause(t.Context())
	defer leave(nil)
	if do != nil {
		time.AfterFunc(after, func() { do(leave) })
	}
	d := &drill{world: s, meter: s.meter, hold: 4 * time.Second, say: func(string) {},
		report: control.DrillReport{Bond: "bond0", Interface: "bond0", Target: "192.0.2.1", Found: "eth0", Other: "eth1"}}
	return d.run(ctx)
}

func TestDrillHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		// The switch needs 70 ms to learn the new port.
		s.on["eth1"] = func() {
			s.alive["eth1"] = false
			time.AfterFunc(70*time.Millisecond, func() { s.mu.Lock(); s.alive["eth1"] = true; s.mu.Unlock() })
		}
		r := s.play(t, 0, nil)
		if !r.Held || !r.Restored || len(r.Reasons) != 0 || s.active != "eth0" || strings.Join(s.moves, " ") != "eth1 eth0" {
			t.Fatalf("moves %v, report %+v", s.moves, r)
		}
		if r.Seconds < 8.5 || r.Seconds > 9 {
			t.Errorf("it took %v s", r.Seconds)
		}
		if i := r.Instances; len(i) != 1 || i[0] != (control.DrillInstance{Name: "web", Before: "active", After: "active"}) {
			t.Errorf("instances %+v", i)
		}
		for n, want := range []struct {
			name, link string
			lost       int
		}{{"before", "eth0", 0}, {"there", "eth1", 4}, {"back", "eth0", 0}} {
			p := r.Phases[n]
			if p.Name != want.name || p.ActiveLink != want.link || p.Lost < want.lost-1 || p.Lost > want.lost || (p.MoveSeconds > 0) && n == 0 {
				t.Errorf("phase %+v, want %+v", p, want)
			}
		}
		there := r.Phases[1]
		if there.Sent < 198 || there.Sent > 202 || there.LongestSilenceSeconds < 0.07 || there.LongestSilenceSeconds > 0.11 ||
			there.FirstReplySeconds < 0.07 || there.FirstReplySeconds > 0.1 {
			t.Errorf("%+v", there)
		}
		if calm := r.Phases[0].LongestSilenceSeconds; calm < 0.0199 || calm > 0.0201 {
			t.Errorf("without any loss the longest silence is %v s", calm)
		}
	})
}

// Whatever goes wrong, and whenever, the bond is put back.
func TestDrillRestores(t *testing.T) {
	gone := errors.New("vrrpctl has gone away")
	for _, tc := range []struct {
		name    string
		after   time.Duration
		do      func(s *stage, leave context.CancelCauseFunc)
		set     func(s *stage)
		says    string
		moves   string
		within  time.Duration
		lasting bool // cannot be put back
	}{
		{name: "the client leaves there", after: 2 * time.Second, do: func(_ *stage, leave context.CancelCauseFunc) { leave(gone) },
			says: "interrupted: vrrpctl has gone away", moves: "eth1 eth0", within: 2100 * time.Millisecond},
		{name: "the client leaves on the way back", after: 6 * time.Second, do: func(_ *stage, leave context.CancelCauseFunc) { leave(gone) },
			says: "interrupted", moves: "eth1 eth0 eth0", within: 6100 * time.Millisecond},
		{name: "the client leaves before", after: 100 * time.Millisecond, do: func(_ *stage, leave context.CancelCauseFunc) { leave(gone) },
			says: "interrupted", moves: "", within: 200 * time.Millisecond},
		{name: "the daemon stops", after: time.Second, do: func(_ *stage, leave context.CancelCauseFunc) { leave(nil) },
			says: "interrupted: the daemon is stopping", moves: "eth1 eth0", within: 1100 * time.Millisecond},
		{name: "the other link is dead", set: func(s *stage) { s.alive["eth1"] = false },
			says: "no reply from 192.0.2.1 over eth1 for 2s", moves: "eth1 eth0", within: 3 * time.Second},
		{name: "nobody answers", set: func(s *stage) { clear(s.alive) },
			says: "192.0.2.1 does not answer over bond0, so nothing was moved", moves: "", within: 2400 * time.Millisecond},
		{name: "the move is refused", set: func(s *stage) { s.refuse["eth1"] = errors.New("not usable") },
			says: "not usable", moves: "eth1 eth0", within: time.Second},
		{name: "the move is refused, but made", set: func(s *stage) { s.flaky = 1; s.active = "eth0" },
			says: "busy", moves: "eth1 eth0", within: time.Second},
		{name: "the instance leaves its state", set: func(s *stage) {
			s.on["eth1"] = func() { s.standing[0] = standing{"web", vrrp.Backup, 3} }
		}, says: "web went from active to backup", moves: "eth1 eth0", within: time.Second},
		{name: "the instance leaves and returns", set: func(s *stage) { s.on["eth0"] = func() { s.standing[0].transitions += 2 } },
			says: "web left active and returned", moves: "eth1 eth0 eth0", within: 5 * time.Second},
		{name: "a reload drops the instance", set: func(s *stage) { s.on["eth1"] = func() { s.standing = nil } },
			says: "web is gone", moves: "eth1 eth0", within: time.Second},
		{name: "the bond moves by itself", after: 2 * time.Second, do: func(s *stage, _ context.CancelCauseFunc) { s.mu.Lock(); s.active = ""; s.mu.Unlock() },
			says: "the active link became none by itself, while it should be eth1", moves: "eth1 eth0", within: 2400 * time.Millisecond},
		{name: "it is busy for a moment", after: time.Second, do: func(s *stage, leave context.CancelCauseFunc) {
			s.mu.Lock()
			s.flaky = 3
			s.mu.Unlock()
			leave(gone)
		}, says: "interrupted", moves: "eth1 eth0 eth0 eth0 eth0", within: 2 * time.Second},
		{name: "the link that was found dies", set: func(s *stage) {
			s.on["eth1"] = func() { s.refuse["eth0"] = errors.New("the link is not usable") }
		}, says: "the active link could not be put back to eth0: the link is not usable", moves: "eth1 eth0 eth0 eth0 eth0 eth0 eth0", within: 6 * time.Second, lasting: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage()
				if tc.set != nil {
					tc.set(s)
				}
				var do func(context.CancelCauseFunc)
				if tc.do != nil {
					do = func(leave context.CancelCauseFunc) { tc.do(s, leave) }
				}
				r := s.play(t, tc.after, do)
				if said := strings.Join(r.Reasons, "; "); r.Held || !strings.Contains(said, tc.says) {
					t.Errorf("held %t: %s", r.Held, said)
				}
				if got := strings.Join(s.moves, " "); got != tc.moves {
					t.Errorf("moves %q, want %q", got, tc.moves)
				}
				if r.Restored == tc.lasting || !tc.lasting && s.active != "eth0" {
					t.Errorf("the active link is %s, restored %t", s.active, r.Restored)
				}
				if took := time.Duration(r.Seconds * float64(time.Second)); took > tc.within {
					t.Errorf("it took %v, more than %v", took, tc.within)
				}
			})
		})
	}
}

// A process that stood still asked nobody: that is no dead link.
func TestMeterStandsStill(t *testing.T) {
	m, at := newMeter(), time.Unix(0, 0)
	m.asked(at)
	m.answered(at.Add(time.Millisecond))
	m.asked(at.Add(20 * time.Millisecond))
	if silence, unanswered := m.silent(at.Add(time.Minute)); silence < 59*time.Second || unanswered != 1 {
		t.Errorf("silent for %v over %d requests", silence, unanswered)
	}
}

func TestMeter(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	m := newMeter()
	m.asked(at(0))
	m.answered(at(1))
	m.asked(at(20)) // unanswered, but before anything counts
	m.begin()
	m.moved(at(30))
	m.asked(at(40))
	m.answered(at(41))
	m.asked(at(60)) // lost
	m.asked(at(80))
	m.begin()
	m.answered(at(101)) // to the one of 80, late
	m.asked(at(120))
	m.answered(at(121))
	m.answered(at(122)) // a second answer to the same
	m.end(at(500))
	phases := make([]control.DrillPhase, 2)
	m.fill(phases)
	for n, want := range []control.DrillPhase{
		{Sent: 3, Lost: 0, FirstReplySeconds: 0.011, LongestSilenceSeconds: 0.040},
		{Sent: 1, Lost: 0, LongestSilenceSeconds: 0.378},
	} {
		if phases[n] != want {
			t.Errorf("phase %d: %+v, want %+v", n, phases[n], want)
		}
	}
	// What is remembered of unanswered requests is bounded.
	for i := range 10 * openRequests {
		m.asked(at(1000 + i))
	}
	if len(m.open) != openRequests || cap(m.open) > 4*openRequests {
		t.Errorf("%d requests are remembered, in room for %d", len(m.open), cap(m.open))
	}
}

func TestOneDrillAtATime(t *testing.T) {
	var d bondDesk
	if !d.beginDrill() || d.beginDrill() {
		t.Error("the first is refused, or the second is not")
	}
	d.endDrill()
	if !d.beginDrill() {
		t.Error("one after the other is refused")
	}
	d.endDrill()
	d.close()
	if d.beginDrill() {
		t.Error("a closed desk begins a drill")
	}
	if _, err := d.open(); !errors.Is(err, errStopped) {
		t.Errorf("a closed desk opens: %v", err)
	}
}

func statusCode(err error) int {
	var se *control.StatusError
	if errors.As(err, &se) {
		return se.Code
	}
	return 0
}

func TestDrillKinds(t *testing.T) {
	d := &Daemon{}
	for kind, says := range map[string]string{"fire": `"fire"`, "Demote": "demote and bond"} {
		_, err := d.Drill(t.Context(), control.DrillRequest{Kind: kind}, nil)
		if statusCode(err) != http.StatusBadRequest || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", kind, err)
		}
	}
}

func TestChooseBond(t *testing.T) {
	plan := &config.Plan{Instances: []config.Instance{
		{Name: "web", Interface: "bond0"}, {Name: "db", Interface: "bond0.10"}, {Name: "mail", Interface: "bond1"},
		{Name: "lan", Interface: "eth9"}, {Name: "both", Interface: "br0"},
	}}
	in := func(n int) *config.Instance { return &plan.Instances[n] }
	one := map[string][]*config.Instance{"bond0": {in(0), in(1)}}
	two := map[string][]*config.Instance{"bond0": {in(0), in(1), in(4)}, "bond1": {in(2), in(4)}}
	for _, tc := range []struct {
		name, instance string
		over           map[string][]*config.Instance
		inst, bond     string
		code           int
		says           string
	}{
		{"the only bond", "", one, "web", "bond0", 0, ""},
		{"over a VLAN", "db", two, "db", "bond0", 0, ""},
		{"by name", "mail", two, "mail", "bond1", 0, ""},
		{"which", "", two, "", "", 400, "name an instance: web for bond0, mail for bond1"},
		{"no bond", "lan", two, "", "", 409, "no bond under lan, which runs on eth9"},
		{"no bond at all", "", nil, "", "", 409, "no instance runs over a bond"},
		{"several", "both", two, "", "", 409, "several bonds (bond0, bond1)"},
		{"unknown", "wbe", two, "", "", 404, `"wbe"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inst, bond, err := chooseBond(plan, tc.over, tc.instance)
			if statusCode(err) != tc.code || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatal(err)
			}
			if err == nil && (inst.Name != tc.inst || bond != tc.bond) {
				t.Errorf("%s on %s", inst.Name, bond)
			}
		})
	}
}

func TestOtherLink(t *testing.T) {
	good := func(name string) bonding.Link {
		return bonding.Link{Name: name, Up: true, Carrier: true, MII: bonding.MIIUp}
	}
	bad := bonding.Link{Name: "eth1", Up: true, MII: bonding.MIIDown}
	for _, tc := range []struct {
		name string
		bond bonding.Bond
		link string
		says string
	}{
		{"the next that is usable", bonding.Bond{Mode: bonding.ModeActiveBackup, ActiveLink: "eth0", Links: []bonding.Link{good("eth0"), bad, good("eth2")}}, "eth2", ""},
		{"none is", bonding.Bond{Mode: bonding.ModeActiveBackup, ActiveLink: "eth0", Links: []bonding.Link{good("eth0"), bad}}, "", "no usable link besides eth0: eth1 cannot be used"},
		{"there is none", bonding.Bond{Mode: bonding.ModeActiveBackup, ActiveLink: "eth0", Links: []bonding.Link{good("eth0")}}, "", "no link besides eth0"},
		{"no active link", bonding.Bond{Mode: bonding.ModeActiveBackup}, "", "has no active link"},
		{"another mode", bonding.Bond{Mode: bonding.Mode8023AD}, "", "in mode 802.3ad: only an active-backup bond"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			link, err := otherLink(&tc.bond)
			if link != tc.link || (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q, %v", link, err)
			}
		})
	}
}
