package vrrp

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// EventAdvertised leaves a router as the timers would have that it stands for.
func TestAdvertisedIsLikeTimers(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		one, many := newScript(t), newScript(t)
		for _, s := range []*script{one, many} {
			s.backup()
			s.now = s.r.deadline
			s.quietly(Event{Kind: EventTimer})
		}
		for range 20 {
			if rnd.IntN(2) == 0 { // somebody who loses
				at := one.r.spoke.Add(time.Duration(rnd.Int64N(int64(one.r.deadline.Sub(one.r.spoke)))))
				for _, s := range []*script{one, many} {
					s.now = max(s.now, at)
					s.quietly(Event{Kind: EventAdvert, Advert: Received{Source: netip.MustParseAddr(peer), Priority: 50, Interval: time.Second, At: s.now}})
				}
			}
			times := 1 + rnd.IntN(6)
			var want []Action
			for range times {
				one.now = one.r.deadline
				for _, a := range one.r.Step(one.now, Event{Kind: EventTimer}) {
					if a.Kind == ActionReport {
						want = append(want, a)
					}
				}
			}
			many.now = one.now
			var got []Action
			for _, a := range many.r.Step(many.now, Event{Kind: EventAdvertised, Times: times}) {
				switch a.Kind {
				case ActionReport:
					got = append(got, a)
				case ActionSetTimer:
					if a.At != one.r.deadline {
						t.Fatalf("seed %d: the timer is %s off", seed, a.At.Sub(one.r.deadline))
					}
				default:
					t.Fatalf("seed %d: it asks for %v", seed, a.Kind)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("seed %d: it reports %v, not %v", seed, got, want)
			}
			a, b := *one.r, *many.r
			a.actions, b.actions = nil, nil
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("seed %d:\n%+v\nis not\n%+v", seed, b, a)
			}
		}
	}
}

// It means nothing to a router that has something else to say, or nothing.
func TestAdvertisedMeansNothing(t *testing.T) {
	s := newScript(t)
	s.step(Event{Kind: EventAdvertised, Times: 1}, "")
	s.backup()
	s.step(Event{Kind: EventAdvertised, Times: 1}, "")
	s.now = s.r.deadline
	s.quietly(Event{Kind: EventTimer})
	s.step(Event{Kind: EventAdvertised}, "")
	s.step(Event{Kind: EventAdvertised, Times: -1}, "")
	s.step(Event{Kind: EventAdvertised, Times: 3}, "timer(4000.000)")
	s.step(Event{Kind: EventAdvertised, Times: 2, Early: 300 * time.Millisecond}, "timer(5700.000)")
	if d := s.r.deadline.Sub(s.r.spoke); d != time.Second {
		t.Errorf("it spoke %s before its timer", d)
	}
	s.quietly(Event{Kind: EventFault, Reasons: []string{"no carrier"}, Brief: true, Silent: true})
	s.step(Event{Kind: EventAdvertised, Times: 1}, "")

	s = newScript(t, func(c *Config) { c.HandoverTimeout = time.Second })
	s.backup()
	s.now = s.r.deadline
	s.quietly(Event{Kind: EventTimer})
	s.quietly(Event{Kind: EventDemote, Demotion: Demoted})
	if !s.r.HandingOver() {
		t.Fatal("it does not hand over, so nothing is tested")
	}
	s.step(Event{Kind: EventAdvertised, Times: 1}, "")
}
