package daemon

import (
	"fmt"
	"strings"
	"time"

	"vrrpd/vip"
	"vrrpd/vrrp"
)

// addressEvent takes news of the addresses.
func (e *engine) addressEvent(ev vip.Event) {
	n := addressNote(ev)
	inst := e.named(ev.Owner)
	if inst != nil && inst.ear != nil {
		inst.ear.addresses(inst.cfg.Name, &ev)
	}
	if ev.Kind == vip.Held && inst != nil && inst.router.State() == vrrp.Active && !inst.promotedAt.IsZero() {
		took := max(0, ev.At.Sub(inst.promotedAt))
		inst.promotedAt = time.Time{}
		n.text += fmt.Sprintf(", announced %s after the timer", vrrp.Seconds(took))
		e.out.took(took)
	}
	e.tell(n)
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
