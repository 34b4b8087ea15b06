package daemon

import (
	"context"
	"errors"

	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// ErrRunning says that a daemon is running with the configuration's control
// socket.
var ErrRunning = errRunning

// Release hands over in place of a daemon that ended without a word (killed,
// out of memory, a fault of its own): each instance that was active says
// priority 0 at once, and its addresses go on being served, and their leases
// renewed, until another router has taken over. Addresses that nobody takes
// over are left to their lease, if they have one. After a clean stop there is
// nothing to do. It is an error if a daemon holds the lock (ErrRunning).
//
// It ends early, like that of a daemon that is told to stop twice, when hurry
// is done.
func (d *Daemon) Release(hurry context.Context) error {
	defer d.scribe.close()
	defer d.cancel()
	plan := d.plan
	before, err := d.claim(plan.Control.Socket)
	if err != nil {
		return err
	}
	defer d.lock.release()
	defer d.beats.Close()
	// The state file is the daemon's: this process knows a part of it only.
	d.state.close()
	d.state = nil
	plan.Instances, plan.Groups = wereActive(plan.Instances, before), nil
	for i := range plan.Bonds {
		plan.Bonds[i].Managed = nil // this is no time for repairs
	}
	if len(plan.Instances) == 0 {
		return nil
	}
	if err := d.open(); err != nil {
		return err
	}
	d.engine.replaces = true
	return d.handOver(hurry, before)
}

// wereActive picks the instances that were active to the last. In a group all
// of them were, or were leaving together, so each can leave by itself.
func wereActive(list []config.Instance, before past) (active []config.Instance) {
	for _, c := range list {
		if _, ok := before.beats[identityOf(&c).key()]; ok {
			active = append(active, c)
		}
	}
	return active
}

// handOver is the life of a daemon that does nothing else.
func (d *Daemon) handOver(hurry context.Context, before past) error {
	defer d.background.Wait()
	defer d.cancel()
	d.bonds.configure(d.plan)
	o, ifaces, err := d.operate()
	if err != nil {
		return err
	}
	defer o.stopKeeping()
	bonds, under := d.bonds.read()
	d.background.Go(func() { d.bonds.run(d.ctx) })
	_ = d.loop.call(d.ctx, func(now vrrp.Instant) { // an error is told as the loop's own
		if d.engine.ifaces == nil {
			d.engine.ifaces = ifaces
		}
		d.engine.bondUpdate, d.engine.under = bonds, under
		d.engine.apply(now, d.plan, before)
	})
	err = o.end(hurry)
	select {
	case failed := <-o.failed:
		err = errors.Join(failed, err)
	default:
	}
	d.background.Wait()
	d.desk.close()
	return errors.Join(err, d.loop.poller.Close())
}
