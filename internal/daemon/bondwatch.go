package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"vrrpd/bonding"
	"vrrpd/internal/config"
	"vrrpd/vrrp"
)

// repairEvery is how often managed bonds are looked at although nothing was
// heard: a replaced card that is not attached yet changes no bond.
const repairEvery = 10 * time.Second

// A bondWatch follows the bonds for the engine, and keeps the managed ones as
// they should be. Everything it does is outside of the loop.
type bondWatch struct {
	daemon  *Daemon
	handle  *bonding.Handle
	watcher *bonding.Watcher
	kick    chan struct{}

	mu      sync.Mutex
	ifaces  []string            // those that instances run on
	tables  []string            // the names of [bond.NAME] tables
	managed []config.Bond       // those to be kept
	known   map[string][]string // the bonds last found under each interface

	told map[string]bool // obstacles and failures that people know of
}

func newBondWatch(d *Daemon) (*bondWatch, error) {
	h, err := bonding.Open()
	if err != nil {
		return nil, fmt.Errorf("bonds: %w", err)
	}
	w, err := bonding.NewWatcher()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bonds: %w", err), h.Close())
	}
	return &bondWatch{daemon: d, handle: h, watcher: w, kick: make(chan struct{}, 1), told: map[string]bool{}}, nil
}

// configure takes the interfaces and the managed bonds of a plan.
func (w *bondWatch) configure(plan *config.Plan) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ifaces, w.managed = nil, nil
	for i := range plan.Instances {
		if name := plan.Instances[i].Interface; !slices.Contains(w.ifaces, name) {
			w.ifaces = append(w.ifaces, name)
		}
	}
	w.tables = nil
	for _, b := range plan.Bonds {
		w.tables = append(w.tables, b.Name)
		if b.Managed != nil {
			w.managed = append(w.managed, b)
		}
	}
}

// read reads the bonds and what runs over them.
func (w *bondWatch) read() (*bonding.Update, map[string][]string) {
	u := w.watcher.Latest()
	if u == nil {
		bonds, err := w.handle.Bonds()
		u = &bonding.Update{Bonds: bonds, At: time.Now(), Err: err}
	}
	return u, w.under()
}

// under finds the bonds under every interface. One that is absent keeps those
// it had, or will be the bond that a table is about: once made it is there
// before anybody looks what it is, and must not pass for one without a bond.
func (w *bondWatch) under() map[string][]string {
	w.mu.Lock()
	ifaces, tables, before := w.ifaces, w.tables, w.known
	w.mu.Unlock()
	out := make(map[string][]string, len(ifaces))
	for _, name := range ifaces {
		bonds, err := w.handle.BondsUnder(name)
		if err != nil {
			if bonds = before[name]; bonds == nil && slices.Contains(tables, name) {
				bonds = []string{name}
			}
		}
		if len(bonds) > 0 {
			out[name] = bonds
		}
	}
	w.mu.Lock()
	w.known = out
	w.mu.Unlock()
	return out
}

// again has everything looked at anew; it does not wait.
func (w *bondWatch) again() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// run follows the bonds until ctx ends.
func (w *bondWatch) run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.watcher.Run(ctx, func(*bonding.Update) { w.again() }); err != nil {
			w.daemon.say(levelError, kindBond, "bonds are not followed any more: "+err.Error())
		}
	}()
	t := time.NewTicker(repairEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			<-done
			_ = w.handle.Close() // nobody is left to be told
			return
		case <-w.kick:
		case <-t.C:
		}
		u, under := w.read()
		w.tellOnce("read", u.Err)
		w.daemon.loop.do(func(now vrrp.Instant) { w.daemon.engine.bondsSeen(now, u, under) })
		w.repair(u)
	}
}

// repair brings managed bonds to what they should be.
func (w *bondWatch) repair(u *bonding.Update) {
	w.mu.Lock()
	managed := w.managed
	w.mu.Unlock()
	for _, b := range managed {
		devices, err := w.handle.Devices(append([]string{b.Name}, b.Managed.Links...)...)
		w.tellOnce("devices of "+b.Name, err)
		if err != nil {
			continue
		}
		var current *bonding.Bond
		if seen, err := w.handle.Bond(b.Name); err == nil {
			current = &seen
		} else if !errors.Is(err, bonding.ErrAbsent) {
			w.tellOnce("read "+b.Name, err)
			continue
		}
		steps, obstacles := bonding.Plan(current, *b.Managed, devices)
		for _, o := range obstacles {
			w.tellOnce(o.String(), errors.New(o.String()))
		}
		for _, r := range w.handle.Apply(steps) {
			if r.Err != nil {
				w.tellOnce(r.Step.String(), fmt.Errorf("%s: %w", r.Step, r.Err))
				continue
			}
			delete(w.told, r.Step.String())
			w.daemon.say(levelInfo, kindBond, "repaired: "+r.Step.String())
		}
	}
}

// tellOnce tells of an error until it is gone and comes back.
func (w *bondWatch) tellOnce(what string, err error) {
	if err == nil {
		delete(w.told, what)
		return
	}
	if !w.told[what] {
		w.told[what] = true
		w.daemon.say(levelWarn, kindBond, err.Error())
	}
}
