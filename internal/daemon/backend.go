package daemon

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

var _ control.Backend = (*Daemon)(nil)

// Snapshot describes the daemon as it is.
func (d *Daemon) Snapshot(ctx context.Context) (*Snapshot, error) {
	s, err := d.engine.snapshot(func(f func(vrrp.Instant)) error { return d.loop.call(ctx, f) })
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	s.Status.Node, s.Status.Warnings = d.plan.Node, slices.Clone(d.warnings)
	d.mu.Unlock()
	s.Status.Version, s.Status.UptimeSeconds = d.opts.Version, time.Since(d.started).Seconds()
	s.Losses = d.losses()
	for i := range s.Status.Checks {
		if c := &s.Status.Checks[i]; c.Command != nil {
			c.Confinement = d.checks.confinement()
		}
	}
	for i := range s.Status.Instances {
		inst := &s.Status.Instances[i]
		inst.Installed = addressNames(d.keeper.Installed(inst.Name))
	}
	return &s, nil
}

// Status is Snapshot for operators.
func (d *Daemon) Status(ctx context.Context) (*control.Status, error) {
	s, err := d.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return &s.Status, nil
}

// Events returns the journal.
func (d *Daemon) Events(_ context.Context, since time.Time) ([]control.Event, error) {
	return d.journal.since(since), nil
}

// Follow delivers events as they happen.
func (d *Daemon) Follow(ctx context.Context) <-chan control.Event { return d.journal.follow(ctx) }

// ConfigText prints the configuration in force.
func (d *Daemon) ConfigText(context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plan.TOML(true), nil
}

// Announce has the active ones of some instances announce their addresses.
func (d *Daemon) Announce(ctx context.Context, r control.Names) (*control.Outcome, error) {
	out := &control.Outcome{}
	err := d.on(ctx, r.Instances, func(_ vrrp.Instant, list []*instance) {
		for _, inst := range list {
			res := control.Result{Instance: inst.cfg.Name, OK: true, Text: "announcing " + addressCount(inst)}
			if inst.router.State() != vrrp.Active {
				res.OK = len(r.Instances) == 0
				res.Unchanged = true
				res.Text = "is " + inst.router.State().String() + ": only an active router announces"
			} else {
				name := inst.cfg.Name
				d.engine.order(func() { d.keeper.Announce(name) })
			}
			out.Results = append(out.Results, res)
		}
	})
	return out, err
}

func addressCount(inst *instance) string {
	n := len(inst.cfg.Addresses) + len(inst.cfg.Extra)
	if n == 1 {
		return "1 address"
	}
	return fmt.Sprintf("%d addresses", n)
}

// plural counts things that take an s.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Promote lifts demotions.
func (d *Daemon) Promote(ctx context.Context, r control.Names) (*control.Outcome, error) {
	out := &control.Outcome{}
	err := d.on(ctx, r.Instances, func(now vrrp.Instant, list []*instance) {
		lifted := d.engine.promote(now, list, false)
		for _, inst := range list {
			res := control.Result{Instance: inst.cfg.Name, OK: true, Text: "promoted; it is " + inst.router.State().String()}
			if !lifted[inst] {
				res.Unchanged, res.Text = true, "was not demoted"
			} else if inst.router.State() == vrrp.Backup {
				res.Text += " and takes part in the election again"
			}
			out.Results = append(out.Results, res)
		}
	})
	d.state.flush(ctx)
	return out, err
}

// Demote hands over and stays down. Where an active instance finds no
// successor within its handover timeout, it resumes unless forced.
func (d *Daemon) Demote(ctx context.Context, r control.DemoteRequest) (*control.Outcome, error) {
	if r.For < 0 {
		return nil, &control.StatusError{Code: http.StatusBadRequest, Message: "for: must not be negative"}
	}
	var under []demoting
	if err := d.on(ctx, r.Instances, func(now vrrp.Instant, list []*instance) { under = d.engine.demote(now, list, r) }); err != nil {
		return nil, err
	}
	d.state.flush(ctx)
	// The wait goes on if the client that asked goes away: a demotion without
	// a successor must not stay one.
	waited := make(chan *control.Outcome, 1)
	go func() { waited <- d.await(under, r.Force) }()
	if r.NoWait {
		out := &control.Outcome{}
		for _, u := range under {
			out.Results = append(out.Results, control.Result{Instance: u.name, OK: true, Unchanged: u.unchanged, Text: "demoted; not waiting for a successor"})
		}
		return out, nil
	}
	select {
	case out := <-waited:
		return out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// await waits for the successors of demoted instances.
func (d *Daemon) await(under []demoting, force bool) *control.Outcome {
	out := &control.Outcome{}
	var alone []demoting
	for _, u := range under {
		res := control.Result{Instance: u.name, OK: true, Unchanged: u.unchanged, Text: "demoted; it was not active"}
		switch {
		case u.unchanged:
			res.Text = "was demoted already"
		case u.successor != nil:
			patience := time.NewTimer(time.Until(u.started.Add(u.timeout)))
			select {
			case <-u.successor:
				res.Seconds = time.Since(u.started).Seconds()
				_ = d.loop.call(d.ctx, func(vrrp.Instant) { res.Successor, _ = d.engine.successorOf(u.inst) })
				res.Text = fmt.Sprintf("demoted; %s took over after %s", res.Successor, vrrp.Seconds(time.Since(u.started)))
			case <-patience.C:
				if res.Successor = d.lateSuccessor(u.inst); res.Successor != "" {
					res.Text = "demoted; " + res.Successor + " took over"
					break
				}
				alone = append(alone, u)
				res.Text = "demoted; nobody took over within " + u.timeout.String()
				if !force {
					res.OK, res.Refused = false, true
					res.Text = "nobody took over within " + u.timeout.String() + "; resumed (--force demotes all the same)"
				}
			case <-d.ctx.Done():
				res.OK, res.Text = false, errStopped.Error()
			}
			patience.Stop()
		}
		out.Results = append(out.Results, res)
	}
	if len(alone) > 0 && !force {
		_ = d.loop.call(d.ctx, func(now vrrp.Instant) { d.engine.resume(now, alone) })
		d.state.flush(d.ctx)
	}
	return out
}

// lateSuccessor names a successor that was heard just as patience ended.
func (d *Daemon) lateSuccessor(inst *instance) (name string) {
	_ = d.loop.call(d.ctx, func(vrrp.Instant) {
		if who, ok := d.engine.successorOf(inst); ok {
			name = who
		}
	})
	return name
}

// on runs a function on the loop with the instances that names mean.
func (d *Daemon) on(ctx context.Context, names []string, f func(now vrrp.Instant, list []*instance)) error {
	var unknown error
	err := d.loop.call(ctx, func(now vrrp.Instant) {
		list, err := d.engine.resolve(names)
		if err != nil {
			unknown = &control.StatusError{Code: http.StatusNotFound, Message: err.Error()}
			return
		}
		f(now, list)
	})
	if err != nil {
		return err
	}
	return unknown
}
