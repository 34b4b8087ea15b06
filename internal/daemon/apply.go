package daemon

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/beats"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// A past is what an earlier run of the daemon left.
type past struct {
	state *savedState           // nil: nothing
	beats map[uint64]beats.Beat // by identity.key: the last one of each that was active
}

// restored is what it left for one instance.
type restored struct {
	form  vrrp.ChecksumForm
	hard  bool
	down  bool      // demoted with --persist
	until time.Time // … and with --for; zero: without an end
}

// apply makes a plan the one in force. It changes only what differs: an
// instance that stays the same keeps its state, timers and addresses, and so
// does one that changed only its name. Checks are the caller's.
func (e *engine) apply(now vrrp.Instant, plan *config.Plan, before past) (changes []string) {
	e.endPlan()
	wanted := map[identity]*config.Instance{}
	for i := range plan.Instances {
		wanted[identityOf(&plan.Instances[i])] = &plan.Instances[i]
	}
	restored := before.state.restore()
	kept := map[identity]*instance{}
	var gone []*instance
	for _, inst := range e.instances {
		c := wanted[inst.id]
		if c == nil || c.Version != inst.cfg.Version {
			gone = append(gone, inst)
			changes = append(changes, "instance "+inst.cfg.Name+" removed")
			continue
		}
		kept[inst.id] = inst
	}
	left := e.dissolve(func(g *group) bool { return !g.stays(plan, gone) })
	e.remove(now, gone, func(id identity) bool { return wanted[id] != nil })
	e.giveOrders(false) // those in the names of before, see rename

	var fresh []*instance
	instances, byName := make([]*instance, 0, len(plan.Instances)), make(map[string]*instance, len(plan.Instances))
	var renames [][2]string
	for i := range plan.Instances {
		c := &plan.Instances[i]
		inst := kept[identityOf(c)]
		if inst == nil {
			id := identityOf(c)
			inst = newInstance(c, restored[id].form, e.out.slot(id))
			fresh = append(fresh, inst)
			changes = append(changes, "instance "+c.Name+" added")
		} else if !reflect.DeepEqual(inst.cfg, c) {
			if inst.cfg.Name != c.Name {
				renames = append(renames, [2]string{inst.cfg.Name, c.Name})
			}
			changes = append(changes, "instance "+c.Name+" changed")
			e.change(now, inst, c)
		} else {
			inst.cfg = c // or the last plan would be kept for it
		}
		instances = append(instances, inst)
		byName[c.Name] = inst
	}
	e.rename(renames)
	e.instances, e.byName = instances, byName
	for _, inst := range fresh {
		e.countVirtual(inst, +1)
	}
	for _, inst := range fresh {
		e.attach(inst)
		inst.waits = inst.port.deaf
	}
	e.regroup(plan.Groups)
	for _, inst := range left {
		if inst.group == nil && !slices.Contains(gone, inst) {
			e.step(now, inst, vrrp.Event{Kind: vrrp.EventAlone})
		}
	}
	e.setBonds(plan.Bonds)
	e.judgeBonds(now)
	for _, inst := range fresh {
		if b := restored[inst.id]; b.down && (b.until.IsZero() || time.Now().Before(b.until)) {
			inst.persist, inst.until = true, b.until
			e.step(now, inst, vrrp.Event{Kind: vrrp.EventDemote, Demotion: demotionOf(b.hard)})
		}
	}
	for _, inst := range fresh {
		if !inst.waits {
			e.start(now, inst, before)
		}
	}
	e.runs = true
	e.save()
	return changes
}

// stays reports whether a group goes on under a plan: the same names for the
// same routers. Names may have been swapped.
func (g *group) stays(plan *config.Plan, gone []*instance) bool {
	same := slices.ContainsFunc(plan.Groups, func(c config.Group) bool { return reflect.DeepEqual(g.cfg, c) })
	if !same {
		return false
	}
	for i, m := range g.members {
		at := slices.IndexFunc(plan.Instances, func(c config.Instance) bool { return c.Name == g.cfg.Instances[i] })
		if at < 0 || identityOf(&plan.Instances[at]) != m.id || slices.Contains(gone, m) {
			return false
		}
	}
	return true
}

// start starts an instance. Its addresses must not be here until it says so,
// which it does at once where it goes on for an earlier process.
func (e *engine) start(now vrrp.Instant, inst *instance, before past) {
	inst.waits = false
	e.order(func() {
		if inst.router.State() != vrrp.Active {
			e.out.addresses.Set(inst.owner, inst.want(false))
		}
	})
	e.step(now, inst, vrrp.Event{Kind: vrrp.EventStartup, Leave: e.replaces, Resume: e.resumes(inst, before)})
}

// resumes reports whether an instance, with all its group, was active when an
// earlier process ended, so short ago that nobody can have taken over.
func (e *engine) resumes(inst *instance, before past) bool {
	members := []*instance{inst}
	if inst.group != nil {
		members = inst.group.members
	}
	at := e.out.boottime()
	for _, m := range members {
		b, ok := before.beats[m.id.key()]
		if !ok || b.Leaving() || b.Age(at) >= vrrp.ResumeWithin(m.cfg.AdvertInterval) {
			return false
		}
	}
	return true
}

// change gives an instance another configuration.
func (e *engine) change(now vrrp.Instant, inst *instance, c *config.Instance) {
	e.countVirtual(inst, -1)
	inst.configure(c)
	e.countVirtual(inst, +1)
	inst.mismatch, inst.mismatched = mismatch{}, 0
	if inst.router.State() != vrrp.Active {
		name, want := c.Name, inst.want(false)
		e.order(func() { e.out.addresses.Set(name, want) })
	}
	e.step(now, inst, vrrp.Event{Kind: vrrp.EventReconfigure, Config: inst.routerConfig()})
}

// rename tells the keeper of addresses about new names, before any order in a
// new name reaches it, and after all in the names of before. Names may have been swapped, so each goes through one
// that nobody has.
func (e *engine) rename(pairs [][2]string) {
	if len(pairs) == 0 {
		return
	}
	pending := e.orders
	e.orders = nil
	for _, p := range pairs {
		e.order(func() { e.out.addresses.Rename(p[0], "\x00"+p[1]) })
	}
	for _, p := range pairs {
		e.order(func() { e.out.addresses.Rename("\x00"+p[1], p[1]) })
	}
	e.orders = append(e.orders, pending...)
}

// remove stops instances and takes their addresses away: those of an active
// one when somebody has taken over, unless another router replaces it here.
func (e *engine) remove(now vrrp.Instant, gone []*instance, replaced func(identity) bool) {
	for _, inst := range gone {
		e.step(now, inst, vrrp.Event{Kind: vrrp.EventShutdown, Now: replaced(inst.id)})
		if inst.router.State() == vrrp.Active {
			e.depart(inst)
			continue
		}
		owner := inst.owner
		e.order(func() { e.out.addresses.Forget(owner) })
		e.countVirtual(inst, -1)
	}
	e.flush(now) // priority 0 must leave before the socket is closed
	for _, inst := range gone {
		if inst.router.State() != vrrp.Active {
			e.detach(inst)
		}
		e.instances = slices.DeleteFunc(e.instances, func(o *instance) bool { return o == inst })
		delete(e.byName, inst.cfg.Name)
	}
}

// dissolve unties the members of some groups and returns them. What becomes
// of each is for the caller to say: stopped, in another group, or alone.
func (e *engine) dissolve(which func(*group) bool) (left []*instance) {
	e.groups = slices.DeleteFunc(e.groups, func(g *group) bool {
		if !which(g) {
			return false
		}
		g.machine.Dissolve()
		for _, m := range g.members {
			m.group = nil
		}
		left = append(left, g.members...)
		return true
	})
	return left
}

// regroup makes the groups of a plan that are not there yet, and puts all in
// the plan's order.
func (e *engine) regroup(plan []config.Group) {
	groups := make([]*group, 0, len(plan))
	for _, c := range plan {
		if i := slices.IndexFunc(e.groups, func(g *group) bool { return g.cfg.Name == c.Name }); i >= 0 {
			groups = append(groups, e.groups[i])
			continue
		}
		g := &group{cfg: c}
		var routers []*vrrp.Router
		for i, name := range c.Instances {
			inst := e.named(name)
			inst.group, inst.member = g, i
			g.members = append(g.members, inst)
			routers = append(routers, inst.router)
		}
		g.machine = vrrp.NewGroup(routers, c.Instances)
		g.state = g.machine.State()
		if within := g.machine.JoinWithin(); within > 0 {
			e.out.again(within, func(now vrrp.Instant) { e.settle(now, g) })
		}
		groups = append(groups, g)
	}
	e.groups = groups
}

// named finds an instance; nil if there is none of that name.
func (e *engine) named(name string) *instance { return e.byName[name] }

// stop has everything hand over and stop, or stop at once. e.idle is closed
// when that is done.
func (e *engine) stop(now vrrp.Instant, atOnce bool) {
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	groups := slices.Clone(e.groups)
	e.saveLearned()
	e.dissolve(func(*group) bool { return true })
	for _, inst := range slices.Concat(e.instances, e.departing) {
		e.step(now, inst, vrrp.Event{Kind: vrrp.EventShutdown, Now: atOnce})
	}
	for _, g := range groups {
		e.groupChanged(g)
	}
	e.flush(now)
}

// closePorts closes what the instances used, after they have stopped.
func (e *engine) closePorts() {
	for _, inst := range e.instances {
		e.detach(inst)
	}
}

// resolve turns names of instances and groups into instances, each with the
// rest of its group. None named is all of them.
func (e *engine) resolve(names []string) ([]*instance, error) {
	if len(names) == 0 {
		return slices.Clone(e.instances), nil
	}
	var out []*instance
	add := func(list ...*instance) {
		for _, inst := range list {
			if !slices.Contains(out, inst) {
				out = append(out, inst)
			}
		}
	}
	for _, name := range names {
		if inst := e.named(name); inst != nil {
			if inst.group != nil {
				add(inst.group.members...)
			} else {
				add(inst)
			}
			continue
		}
		i := slices.IndexFunc(e.groups, func(g *group) bool { return g.cfg.Name == name })
		if i < 0 {
			return nil, e.unknown(name)
		}
		add(e.groups[i].members...)
	}
	return out, nil
}

// unknown is the error for a name that nothing has.
func (e *engine) unknown(name string) error {
	var have []string
	for _, inst := range e.instances {
		have = append(have, inst.cfg.Name)
	}
	return fmt.Errorf("there is no instance %q; there are: %s", name, strings.Join(have, ", "))
}

func demotionOf(hard bool) vrrp.Demotion {
	if hard {
		return vrrp.DemotedHard
	}
	return vrrp.Demoted
}
