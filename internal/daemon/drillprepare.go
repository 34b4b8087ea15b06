package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/internal/whohas"
	"vrrpd/vrrp"
)

// drillAddresses bounds how many addresses are asked for, each 50 times a
// second, in frames that everybody on the network gets.
const drillAddresses = 4

// prepareDemotion finds everything that a drill of the kind demote needs, and
// changes nothing.
func (d *Daemon) prepareDemotion(ctx context.Context, q control.DrillRequest, say func(string)) (*rehearsal, error) {
	if q.Target != "" {
		return nil, refuse(http.StatusBadRequest, "a drill of the kind demote asks for the instance's own addresses; a target is for the kind bond")
	}
	w := &nodeWorld{daemon: d}
	var refusal error
	dr := &demoteDrill{world: w, say: say}
	r := &dr.report
	if err := d.loop.call(ctx, func(vrrp.Instant) {
		if w.under, refusal = d.engine.drillMembers(q.Instance); refusal == nil {
			r.Found = w.under[0].inst.router.Source().String()
		}
	}); err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	var members []*config.Instance
	plan := d.planned()
	for _, u := range w.under {
		i := slices.IndexFunc(plan.Instances, func(in config.Instance) bool { return in.Name == u.name })
		if i < 0 {
			return nil, refuse(http.StatusConflict, "the configuration is being reloaded")
		}
		members = append(members, &plan.Instances[i])
	}
	dr.records, w.probes, r.Warnings = openRecords(members, plan)
	rh := &rehearsal{run: dr.run, note: dr.note}
	for n, rec := range dr.records {
		rh.askers = append(rh.askers, asker{w.probes[n], rec.answered})
	}
	if len(dr.records) == 0 {
		return nil, refuse(http.StatusConflict, "none of the addresses can be asked for: %s", strings.Join(r.Warnings, "; "))
	}
	r.Kind, r.Instance, r.Interface, r.Target = q.Kind, q.Instance, dr.records[0].iface, dr.records[0].addr.String()
	if r.Instance == "" {
		r.Instance = w.under[0].name
	}
	dr.hold = drillHold
	for _, in := range members {
		// Longer than any backup waits for an advertisement (RFC 9568 §6.1).
		dr.hold = min(max(dr.hold, 4*in.AdvertInterval), drillHoldMax)
		dr.timeout = max(dr.timeout, in.HandoverTimeout)
		dr.patience = max(dr.patience, patienceFor(in))
		if why := staysAway(in); why != "" && dr.foretold == "" {
			dr.foretold = why
		}
	}
	r.Stays = dr.foretold
	r.Warnings = append(r.Warnings, warnOf(members, dr.foretold)...)
	rh.outline = *r
	rh.outline.Reasons = []string{}
	for _, u := range w.under {
		rh.outline.Instances = append(rh.outline.Instances, control.DrillInstance{Name: u.name, Before: vrrp.Active.String(), After: vrrp.Active.String()})
	}
	r.Stays = ""
	rh.begins = fmt.Sprintf("a drill begins: %s hands over and comes back, asking for %s", strings.Join(w.names(), ", "), strings.Join(dr.asked(), ", "))
	if !q.DryRun {
		for _, text := range r.Warnings {
			say("warning: " + text)
		}
	}
	return rh, nil
}

// patienceFor is how long a drill waits for somebody to take over: until the
// router itself gives up, and a moment.
func patienceFor(in *config.Instance) time.Duration {
	if in.Handover == "immediate" {
		return in.HandoverTimeout
	}
	return in.HandoverTimeout + in.AdvertInterval + time.Second
}

// staysAway is why an instance does not return when it is promoted, as far as
// its own configuration tells; "" if it does.
func staysAway(in *config.Instance) string {
	switch {
	case in.Owner():
		return ""
	case !in.Preempt:
		return in.Name + " does not preempt (preempt = false)"
	case in.PreemptDelay > drillReturn:
		return fmt.Sprintf("%s preempts only after preempt_delay = %s", in.Name, in.PreemptDelay)
	}
	return ""
}

// warnOf says what an operator should know before.
func warnOf(members []*config.Instance, foretold string) (out []string) {
	if foretold != "" {
		out = append(out, foretold+": after the drill the service stays with whoever took over")
	}
	for _, in := range members {
		if in.PreemptDelay > 0 && in.PreemptDelay <= drillReturn && in.Preempt {
			out = append(out, fmt.Sprintf("%s returns only after preempt_delay = %s", in.Name, in.PreemptDelay))
		}
		if in.Handover == "immediate" {
			out = append(out, fmt.Sprintf("%s releases at once (handover = \"immediate\"): nobody serves until another router has taken over", in.Name))
		}
	}
	return out
}

// openRecords opens the questions: for the first address of every member, and
// more as long as there are few. What cannot be asked for is warned of.
func openRecords(members []*config.Instance, plan *config.Plan) (records []*record, probes []whohas.Prober, warnings []string) {
	var list []config.Address
	for n := 0; ; n++ {
		before := len(list)
		for _, in := range members {
			if all := slices.Concat(in.Addresses, in.Extra); n < len(all) {
				list = append(list, all[n])
			}
		}
		if len(list) == before {
			break
		}
	}
	avoid := virtualAddresses(plan)
	for n, a := range list {
		if len(records) == drillAddresses {
			warnings = append(warnings, fmt.Sprintf("%d of %d addresses are not asked for", len(list)-n, len(list)))
			break
		}
		p, err := openQuestion(whohas.Question{Interface: a.Interface, Target: a.Prefix.Addr(), Avoid: avoid})
		if err != nil {
			warnings = append(warnings, err.Error())
			continue
		}
		records = append(records, &record{addr: a.Prefix.Addr(), iface: a.Interface})
		probes = append(probes, p)
	}
	return records, probes, warnings
}

// openQuestion opens one question, where anybody could answer it.
func openQuestion(q whohas.Question) (whohas.Prober, error) {
	ifi, err := net.InterfaceByName(q.Interface)
	if err != nil {
		return nil, fmt.Errorf("ask for %s over %s: %w", q.Target, q.Interface, err)
	}
	if ifi.Flags&net.FlagLoopback != 0 || len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("ask for %s over %s: not an Ethernet interface", q.Target, q.Interface)
	}
	return whohas.Open(q)
}

// A nodeWorld is this node, with the instances that are drilled.
type nodeWorld struct {
	daemon *Daemon
	under  []demoting // the demotion, once there is one
	probes []whohas.Prober
}

func (w *nodeWorld) names() (names []string) {
	for _, u := range w.under {
		names = append(names, u.name)
	}
	return names
}

// call runs a function on the loop, unless the daemon is stopping.
func (w *nodeWorld) call(ctx context.Context, f func(now vrrp.Instant) error) error {
	var failed error
	err := w.daemon.loop.call(ctx, func(now vrrp.Instant) {
		if w.daemon.engine.idle != nil {
			failed = errStopped
			return
		}
		failed = f(now)
	})
	return errors.Join(err, failed)
}

func (w *nodeWorld) Listen(e *ear) error {
	return w.call(context.Background(), func(vrrp.Instant) error {
		for _, u := range w.under {
			u.inst.listen(e)
		}
		return nil
	})
}

func (w *nodeWorld) Here(r *record) bool {
	for _, u := range w.under {
		for _, a := range w.daemon.keeper.Installed(u.name) {
			if a.Prefix.Addr() == r.addr && a.Interface == r.iface {
				return true
			}
		}
	}
	return false
}

func (w *nodeWorld) Release() (at time.Time, err error) {
	err = w.call(context.Background(), func(now vrrp.Instant) error {
		w.daemon.engine.order(func() { at = time.Now() }) // before all that is put off by the demotion
		return w.daemon.engine.release(now, w.under)
	})
	return at, err
}

func (w *nodeWorld) Lift() (l lifted, err error) {
	err = w.call(context.Background(), func(now vrrp.Instant) error {
		w.daemon.engine.then(func() { l.at = time.Now() })
		l = w.daemon.engine.lift(now, w.under)
		return nil
	})
	return l, err
}

func (w *nodeWorld) Standings(ctx context.Context) (out []memberStanding, err error) {
	err = w.call(ctx, func(vrrp.Instant) error {
		out = w.daemon.engine.standings(w.under)
		return nil
	})
	return out, err
}

func (w *nodeWorld) Ask(n int) error { return w.probes[n].Ask() }
