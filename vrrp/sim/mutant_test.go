package sim

import (
	"net/netip"
	"testing"
	"time"

	"vrrpd/vrrp"
)

// A mutant is an election with one rule broken. The routers are the very ones
// of the product; what they are told is bent so that they behave as if they
// did not know the rule.
type mutant struct {
	name  string
	twist twist
}

// bent is a mutant whose routers are told something else, or nothing.
func bent(name string, event func(s *scenario, m *member, e *vrrp.Event) bool) mutant {
	return mutant{name, twist{event: event}}
}

// done is a mutant that does something else than its routers ask for.
func done(name string, action func(s *scenario, m *member, a *vrrp.Action) bool) mutant {
	return mutant{name, twist{action: action}}
}

// made is a mutant of what surrounds the routers.
func made(name string, setup func(s *scenario)) mutant { return mutant{name, twist{setup: setup}} }

func advert(m *member, e *vrrp.Event, state vrrp.State) bool {
	return e.Kind == vrrp.EventAdvert && m.State() == state
}

func lower(m *member, e *vrrp.Event) bool {
	return advert(m, e, vrrp.Backup) && e.Advert.Priority > 0 && e.Advert.Priority < m.Priority()
}

var mutants = []mutant{
	done("a router gives way without a word", func(s *scenario, m *member, a *vrrp.Action) bool {
		return a.Kind != vrrp.ActionSendAdvert || a.Priority == vrrp.PriorityRelease || m.State() != vrrp.Backup
	}),
	done("a last word says the router's own interval", func(s *scenario, m *member, a *vrrp.Action) bool {
		a.Interval = m.Config().AdvertInterval
		return true
	}),
	made("a group waits for who joins it", func(s *scenario) { s.hastes = true }),
	bent("priority 0 is ignored", func(_ *scenario, m *member, e *vrrp.Event) bool {
		return !advert(m, e, vrrp.Backup) || e.Advert.Priority != vrrp.PriorityRelease
	}),
	bent("the lower address wins a tie", func(_ *scenario, m *member, e *vrrp.Event) bool {
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
	}),
	bent("a backup does not learn the active router's interval", func(_ *scenario, m *member, e *vrrp.Event) bool {
		if advert(m, e, vrrp.Backup) {
			e.Advert.Interval = m.Config().AdvertInterval
		}
		return true
	}),
	bent("an active router ignores a higher priority", func(_ *scenario, m *member, e *vrrp.Event) bool {
		return !advert(m, e, vrrp.Active) || e.Advert.Priority <= m.Priority()
	}),
	bent("preempts although it is not to", func(_ *scenario, m *member, e *vrrp.Event) bool {
		return !lower(m, e) || m.mayPreempt()
	}),
	bent("a lower priority keeps a backup from preempting", func(_ *scenario, m *member, e *vrrp.Event) bool {
		if lower(m, e) && m.mayPreempt() {
			e.Advert.Priority = m.Priority()
		}
		return true
	}),
	bent("the start delay never ends", func(_ *scenario, m *member, e *vrrp.Event) bool {
		return e.Kind != vrrp.EventTimer || m.State() != vrrp.Initialize
	}),
	bent("an equal priority does not keep a backup down", func(_ *scenario, m *member, e *vrrp.Event) bool {
		return !advert(m, e, vrrp.Backup) || e.Advert.Priority != m.Priority()
	}),

	// Interruptions.
	bent("rides out a loss of carrier for four intervals", func(s *scenario, m *member, e *vrrp.Event) bool {
		longer := m.notes.muteBy.Add(m.lasts(m.Config().AdvertInterval))
		if e.Kind == vrrp.EventTimer && m.RidesOut() && s.now < longer {
			s.at(longer, func() { s.expire(m) })
			return false
		}
		return true
	}),
	done("tells nobody that the carrier is back", func(s *scenario, m *member, a *vrrp.Action) bool {
		return !m.notes.wasMute || s.judge.event.Kind != vrrp.EventFault || a.Kind != vrrp.ActionSendAdvert && a.Kind != vrrp.ActionAnnounce
	}),
	made("resumes after up to five intervals", func(s *scenario) {
		s.patience = func(m *member) time.Duration { return 5 * m.Config().AdvertInterval }
	}),
	done("says nothing in place of a process that ended", func(_ *scenario, m *member, a *vrrp.Action) bool {
		return !m.node.replaces || a.Kind != vrrp.ActionSendAdvert
	}),
	bent("does not know that it was frozen", func(_ *scenario, m *member, e *vrrp.Event) bool {
		return !m.notes.thaws || e.Advert.Priority >= m.Priority()
	}),

	// Addresses.
	made("answers for addresses that linger", func(s *scenario) { s.lingersLoudly = true }),
	made("does not remove what an earlier process left", func(s *scenario) { s.leavesLitter = true }),
	made("leases are renewed although nobody runs", func(s *scenario) {
		s.remains = func(lease time.Duration) time.Duration { return 2 * lease }
	}),
	done("does not linger", func(_ *scenario, _ *member, a *vrrp.Action) bool {
		a.Linger = 0
		return true
	}),
	done("lingers for ten seconds", func(_ *scenario, _ *member, a *vrrp.Action) bool {
		a.Linger *= 100
		return true
	}),
	done("releases the addresses when it begins to hand over", func(s *scenario, m *member, a *vrrp.Action) bool {
		if a.Kind == vrrp.ActionSendAdvert && a.Priority == vrrp.PriorityRelease && m.HandingOver() {
			s.judge.releases(m, 0)
			s.release(m, 0)
		}
		return true
	}),
	done("does not take the addresses when it takes over", func(_ *scenario, m *member, a *vrrp.Action) bool {
		return a.Kind != vrrp.ActionHoldAddresses || m.node.index != 0
	}),
}

// mutantSeeds is how many seeds must be enough to find any mutant.
const mutantSeeds = 500

// TestMutants shows that the simulator sees: it finds every broken rule.
func TestMutants(t *testing.T) {
	for _, mutant := range mutants {
		t.Run(mutant.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= mutantSeeds; seed++ {
				if v := play(seed, false, &mutant.twist); v.Broken != "" {
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
