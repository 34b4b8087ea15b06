package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vrrpd/vip"
	"vrrpd/vrrp"
)

// addressEvent takes news of the addresses, after what is still to be told of the
// instance itself.
func (e *engine) addressEvent(ev vip.Event) {
	inst := e.named(ev.Owner)
	e.then(func() { e.addressNews(inst, ev) })
}

// addressNews tells of an instance's addresses; nil: nobody's any more.
func (e *engine) addressNews(inst *instance, ev vip.Event) {
	n := addressNote(ev)
	if inst != nil && inst.ear != nil {
		inst.ear.addresses(inst.cfg.Name, &ev)
	}
	if inst != nil {
		e.conflict(inst, ev, n.text)
	}
	if ev.Kind == vip.Held && inst != nil && inst.router.State() == vrrp.Active && !inst.promotedAt.IsZero() {
		took := max(0, ev.At.Sub(inst.promotedAt))
		inst.promotedAt = time.Time{}
		n.text += fmt.Sprintf(", announced %s after the timer", vrrp.Seconds(took))
		e.out.took(took)
	}
	e.tell(n)
}

// conflict follows claims of other hosts: for as long as one lasts the instance
// has a condition.
func (e *engine) conflict(inst *instance, ev vip.Event, text string) {
	same := func(a vip.Address) bool { return a == ev.Address }
	switch ev.Kind {
	case vip.Conflict:
		inst.conflicts += uint64(ev.Claims)
		if inst.router.State() != vrrp.Active {
			return // not any more
		}
		if !slices.ContainsFunc(inst.contested, same) {
			inst.contested = append(inst.contested, ev.Address)
		}
		e.raise(inst, conditionAddress, text)
	case vip.ConflictOver:
		inst.contested = slices.DeleteFunc(inst.contested, same)
		if len(inst.contested) == 0 {
			e.end(inst, conditionAddress)
		}
	}
}

// addressNote is the news in words.
func addressNote(ev vip.Event) note {
	n := note{at: ev.At, kind: kindAddress, level: levelInfo, instance: ownerName(ev.Owner)}
	switch ev.Kind {
	case vip.Held:
		n.text = "holds " + listed(ev.Addresses)
	case vip.Quieted:
		n.level = levelDebug
		n.text = "no longer answers for " + listed(ev.Addresses) + "; what still arrives is served a moment longer"
	case vip.Released:
		if n.text = "released " + listed(ev.Addresses); len(ev.Addresses) == 0 {
			n.text = "had no addresses left to release"
		}
	case vip.Restored:
		n.level = levelWarn
		n.text = ev.Address.String() + " was removed by somebody else and has been put back"
	case vip.Foreign:
		n.level = levelWarn
		n.text = ev.Address.String() + " was here although this node is not active; removed"
	case vip.Conflict:
		n.level = levelWarn
		n.text = fmt.Sprintf("%s answers for %s too (%s): it has the address configured, or is a node that was active and did not let go of it", ev.MAC, ev.Address, plural(ev.Claims, "claim"))
	case vip.ConflictOver:
		n.text = "nobody else answers for " + ev.Address.String() + " any more"
	case vip.Failed:
		n.level = levelError
		n.text = ev.Err.Error()
		if len(ev.Addresses) > 1 {
			n.text += fmt.Sprintf(" (and %d more addresses)", len(ev.Addresses)-1)
		}
	case vip.PromoteSet:
		n.instance = ""
		n.text = "set net.ipv4.conf." + ev.Interface + ".promote_secondaries = 1, so that removing one address does not take others along"
	default:
		n.text = ev.Kind.String()
	}
	return n
}

// listed names some addresses and counts the rest.
func listed(list []vip.Address) string {
	const most = 4
	names := addressNames(list)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
