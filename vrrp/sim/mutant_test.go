package sim

import (
	"net/netip"
	"testing"

	"vrrpd/vrrp"
)

// A mutant is an election with one rule broken. The routers are the very ones
// of the product; what they are told is bent so that they behave as if they
// did not know the rule.
type mutant struct {
	name string
	bend func(m *member, e *vrrp.Event) bool // false: the router does not see the event
}

func advert(m *member, e *vrrp.Event, state vrrp.State) bool {
	return e.Kind == vrrp.EventAdvert && m.State() == state
}

func lower(m *member, e *vrrp.Event) bool {
	return advert(m, e, vrrp.Backup) && e.Advert.Priority > 0 && e.Advert.Priority < m.Priority()
}

var mutants = []mutant{
	{"priority 0 is ignored", func(m *member, e *vrrp.Event) bool {
		return !advert(m, e, vrrp.Backup) || e.Advert.Priority != vrrp.PriorityRelease
	}},
	{"the lower address wins a tie", func(m *member, e *vrrp.Event) bool {
		if advert(m, e, vrrp.Active) && e.Advert.Priority == m.Priority() && e.Advert.Source != m.Source() {
			low, high := netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{255, 255, 255, 255})
			if m.Source().Is6() {
				low, high = netip.IPv6Unspecified(), netip.MustParseAddr("ffff::")
			}
			if m.Source().Less(e.Advert.Source) {
				e.Advert.Source = low
			} else {
				e.Advert.Source = high
			}
		}
		return true
	}},
	{"a backup does not learn the active router's interval", func(m *member, e *vrrp.Event) bool {
		if advert(m, e, vrrp.Backup) {
			e.Advert.Interval = m.Config().AdvertInterval
		}
		return true
	}},
	{"an active router ignores a higher priority", func(m *member, e *vrrp.Event) bool {
		return !advert(m, e, vrrp.Active) || e.Advert.Priority <= m.Priority()
	}},
	{"preempts although it is not to", func(m *member, e *vrrp.Event) bool {
		return !lower(m, e) || m.mayPreempt()
	}},
	{"a lower priority keeps a backup from preempting", func(m *member, e *vrrp.Event) bool {
		if lower(m, e) && m.mayPreempt() {
			e.Advert.Priority = m.Priority()
		}
		return true
	}},
	{"the start delay never ends", func(m *member, e *vrrp.Event) bool {
		return e.Kind != vrrp.EventTimer || m.State() != vrrp.Initialize
	}},
	{"an equal priority does not keep a backup down", func(m *member, e *vrrp.Event) bool {
		return !advert(m, e, vrrp.Backup) || e.Advert.Priority != m.Priority()
	}},
}

// mutantSeeds is how many seeds must be enough to find any mutant.
const mutantSeeds = 50

// TestMutants shows that the simulator sees: it finds every broken rule.
func TestMutants(t *testing.T) {
	for _, mutant := range mutants {
		t.Run(mutant.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= mutantSeeds; seed++ {
				if v := play(seed, false, mutant.bend); v.Broken != "" {
					t.Logf("seed %d: %s", seed, v.Broken)
					return
				}
			}
			t.Errorf("not found in %d seeds", mutantSeeds)
		})
	}
}

func TestSameSeedSameStory(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := Play(seed, true), Play(seed, true)
		if a.Timeline != b.Timeline || a.events != b.events {
			t.Errorf("seed %d tells two stories", seed)
		}
		if quiet := Play(seed, false); quiet.events != a.events {
			t.Errorf("seed %d is another one with a timeline: %d events, not %d", seed, a.events, quiet.events)
		}
	}
}
