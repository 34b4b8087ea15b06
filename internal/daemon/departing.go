package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vrrpd/vrrp"
)

// departingOwner begins the name that the keeper of addresses knows a
// departing instance by: its own may be given to another one meanwhile.
const departingOwner = "\x00departing "

// forgetAfter is when the addresses of an instance that has departed are
// forgotten: after the longest linger of a handover.
const forgetAfter = 2 * time.Second

// depart takes an active instance that a reload dropped out of the
// configuration. It goes on handing over until somebody has taken over.
func (e *engine) depart(inst *instance) {
	e.departures++
	from, to := inst.owner, fmt.Sprintf("%s%d %s", departingOwner, e.departures, inst.cfg.Name)
	inst.owner = to
	e.order(func() { e.out.addresses.Rename(from, to) })
	e.departing = append(e.departing, inst)
}

// departed ends a departure, if there is one.
func (e *engine) departed(inst *instance) {
	i := slices.Index(e.departing, inst)
	if i < 0 {
		return
	}
	e.departing = slices.Delete(e.departing, i, i+1)
	owner := inst.owner
	e.then(func() {
		e.countVirtual(inst, -1)
		e.detach(inst)
		e.out.again(forgetAfter, func(vrrp.Instant) { e.out.addresses.Forget(owner) })
	})
}

// succeeds tells one that hands over what happened to an instance of the same
// identity, configured again meanwhile: that one hears in its place, and may
// itself become active, which is what it waits for.
func (e *engine) succeeds(now vrrp.Instant, inst *instance, ev vrrp.Event) {
	if old := e.predecessor(inst); old != nil {
		e.step(now, old, ev)
	}
}

// predecessor is the one that hands over and has the same identity; nil: there
// is none.
func (e *engine) predecessor(inst *instance) *instance {
	for _, old := range e.departing {
		if old.id == inst.id && old != inst {
			return old
		}
	}
	return nil
}

// ownerName is the name of the instance behind an owner of addresses.
func ownerName(owner string) string {
	if rest, ok := strings.CutPrefix(owner, departingOwner); ok {
		_, name, _ := strings.Cut(rest, " ")
		return name
	}
	if owner == leftoverOwner {
		return ""
	}
	return owner
}

// checkIdle tells whoever stops the daemon that nothing is left to stop.
func (e *engine) checkIdle() {
	if e.idle == nil || len(e.departing) > 0 ||
		slices.ContainsFunc(e.instances, func(i *instance) bool { return i.router.State() != vrrp.Initialize }) {
		return
	}
	select {
	case <-e.idle:
	default:
		close(e.idle)
	}
}
