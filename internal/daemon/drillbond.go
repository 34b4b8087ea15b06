package daemon

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"vrrpd/bonding"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/internal/whohas"
	"vrrpd/vrrp"
)

// prepareBondDrill finds everything that the drill of a bond needs, and changes
// nothing.
func (d *Daemon) prepareBondDrill(ctx context.Context, q control.DrillRequest, say func(string)) (*rehearsal, error) {
	h, err := d.desk.open()
	if err != nil {
		return nil, err
	}
	plan := d.planned()
	over := overBonds(h, plan)
	inst, bondName, err := chooseBond(plan, over, q.Instance)
	if err != nil {
		return nil, err
	}
	b, err := h.Bond(bondName)
	if err != nil {
		return nil, err
	}
	other, err := otherLink(&b)
	if err != nil {
		return nil, err
	}
	target, err := d.drillTarget(ctx, inst, q.Target)
	if err != nil {
		return nil, err
	}
	probe, err := whohas.Open(whohas.Question{Interface: inst.Interface, Target: target, Avoid: virtualAddresses(plan)})
	if err != nil {
		return nil, err
	}
	hold := drillHold
	var names []string
	for _, in := range over[bondName] {
		// Longer than any backup waits for an advertisement (RFC 9568 §6.1).
		hold = max(hold, 4*in.AdvertInterval)
		names = append(names, in.Name)
	}
	dr := &drill{
		world: &bondWorld{daemon: d, handle: h, bond: bondName, instances: names, probe: probe},
		meter: newMeter(), hold: hold, say: say,
		report: control.DrillReport{Kind: q.Kind, Bond: bondName, Interface: inst.Interface, Target: target.String(), Found: b.ActiveLink, Other: other},
	}
	r := &dr.report
	return &rehearsal{
		begins:  fmt.Sprintf("a drill begins on %s: active link from %s to %s and back, asking %s over %s", r.Bond, r.Found, r.Other, r.Target, r.Interface),
		run:     dr.run,
		note:    bondDrillNote,
		askers:  []asker{{probe, func(a whohas.Answer) { dr.meter.answered(a.At) }}},
		outline: *r,
	}, nil
}

// bondDrillNote is the drill of a bond in one sentence.
func bondDrillNote(r *control.DrillReport) (level, string) {
	if !r.Held {
		return levelWarn, fmt.Sprintf("the drill on %s did not hold: %s", r.Bond, joined(r.Reasons))
	}
	sent, lost, longest := 0, 0, 0.0
	for _, p := range r.Phases {
		sent, lost, longest = sent+p.Sent, lost+p.Lost, max(longest, p.LongestSilenceSeconds)
	}
	return levelInfo, fmt.Sprintf("the drill on %s held: %d of %d replies lost, at most %.0f ms without one; the active link is %s again",
		r.Bond, lost, sent, longest*1000, r.Found)
}

// chooseBond finds the bond under an instance. Without a name, it is the only
// bond under any.
func chooseBond(plan *config.Plan, over map[string][]*config.Instance, name string) (*config.Instance, string, error) {
	var found []string
	instOver := map[string]*config.Instance{} // the first over each
	known := name == ""
	for i := range plan.Instances {
		in := &plan.Instances[i]
		if name != "" && in.Name != name {
			continue
		}
		known = true
		for bond, list := range over {
			if slices.Contains(list, in) && instOver[bond] == nil {
				instOver[bond] = in
				found = append(found, bond)
			}
		}
	}
	slices.Sort(found)
	switch {
	case !known:
		return nil, "", refuse(http.StatusNotFound, "there is no instance %q", name)
	case len(found) == 1:
		return instOver[found[0]], found[0], nil
	case len(found) == 0 && name != "":
		return nil, "", refuse(http.StatusConflict, "there is no bond under %s, which runs on %s", name, instanceNamed(plan, name).Interface)
	case len(found) == 0:
		return nil, "", refuse(http.StatusConflict, "no instance runs over a bond")
	case name != "":
		return nil, "", refuse(http.StatusConflict, "%s runs over several bonds (%s): a drill moves one", name, strings.Join(found, ", "))
	}
	var choices []string
	for _, bond := range found {
		choices = append(choices, instOver[bond].Name+" for "+bond)
	}
	return nil, "", refuse(http.StatusBadRequest, "which bond? name an instance: %s", strings.Join(choices, ", "))
}

func instanceNamed(plan *config.Plan, name string) *config.Instance {
	i := slices.IndexFunc(plan.Instances, func(in config.Instance) bool { return in.Name == name })
	return &plan.Instances[i] // it was found before
}

// otherLink is where the active link can be moved to.
func otherLink(b *bonding.Bond) (string, error) {
	if b.Mode != bonding.ModeActiveBackup {
		return "", refuse(http.StatusConflict, "%s is in mode %s: only an active-backup bond has its active link moved", b.Name, b.Mode)
	}
	if b.ActiveLink == "" {
		return "", refuse(http.StatusConflict, "%s has no active link", b.Name)
	}
	var not []string
	for i := range b.Links {
		l := &b.Links[i]
		switch {
		case l.Name == b.ActiveLink:
		case b.Usable(l):
			return l.Name, nil
		default:
			not = append(not, l.Name)
		}
	}
	if len(not) == 0 {
		return "", refuse(http.StatusConflict, "%s has no link besides %s", b.Name, b.ActiveLink)
	}
	return "", refuse(http.StatusConflict, "%s has no usable link besides %s: %s cannot be used", b.Name, b.ActiveLink, strings.Join(not, ", "))
}

// drillTarget is who is asked: the address named, the default gateway of the
// interface, a peer, or the router that is active.
func (d *Daemon) drillTarget(ctx context.Context, inst *config.Instance, named string) (netip.Addr, error) {
	if named != "" {
		a, err := netip.ParseAddr(named)
		if err != nil {
			return a, refuse(http.StatusBadRequest, "target %q is not an address", named)
		}
		return a, nil
	}
	for _, ipv6 := range []bool{inst.IPv6, !inst.IPv6} {
		gateway, err := whohas.Gateway(inst.Interface, ipv6)
		if err != nil {
			return gateway, err
		}
		if gateway.IsValid() {
			return gateway, nil
		}
	}
	if inst.Unicast != nil && len(inst.Unicast.Peers) > 0 {
		return inst.Unicast.Peers[0], nil
	}
	var peer netip.Addr
	err := d.on(ctx, []string{inst.Name}, func(_ vrrp.Instant, list []*instance) {
		if a := list[0].router.ActiveRouter(); a.Address != list[0].router.Source() {
			peer = a.Address
		}
	})
	if err != nil {
		return peer, err
	}
	if !peer.IsValid() {
		return peer, refuse(http.StatusConflict, "whom to ask meanwhile? %s has no default gateway, and no other router is known; name an address of its network with --target", inst.Interface)
	}
	return peer, nil
}

// A bondWorld is a real bond, with the real instances over it.
type bondWorld struct {
	daemon    *Daemon
	handle    *bonding.Handle
	bond      string
	instances []string
	probe     whohas.Prober
}

func (w *bondWorld) ActiveLink() (string, error) {
	b, err := w.handle.Bond(w.bond)
	return b.ActiveLink, err
}

func (w *bondWorld) Move(link string) error {
	_, err := w.handle.SetActive(w.bond, link)
	return err
}

func (w *bondWorld) Standings(ctx context.Context) ([]standing, error) {
	var out []standing
	e := w.daemon.engine
	err := w.daemon.loop.call(ctx, func(vrrp.Instant) {
		for _, name := range w.instances {
			inst := e.named(name)
			if inst == nil {
				continue
			}
			s := standing{name: name, state: inst.router.State()}
			for _, n := range inst.transitions {
				s.transitions += n
			}
			out = append(out, s)
		}
	})
	return out, err
}

func (w *bondWorld) Ask() error { return w.probe.Ask() }
