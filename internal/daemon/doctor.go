package daemon

import (
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"vrrpd/bonding"
	"vrrpd/internal/config"
	"vrrpd/internal/control"
	"vrrpd/internal/whohas"
)

// How long a target of the ARP monitor has for an answer, and how often it is
// asked meanwhile.
const (
	targetPatience = time.Second
	targetEvery    = 100 * time.Millisecond
)

// DiagnoseBonds finds what is misconfigured about the bonds. It asks the
// targets of their ARP monitors, and changes nothing.
func (d *Daemon) DiagnoseBonds(ctx context.Context, name string) (*control.Diagnosis, error) {
	h, err := d.desk.open()
	if err != nil {
		return nil, err
	}
	bonds, err := readBonds(h, name)
	if err != nil {
		return nil, err
	}
	plan := d.planned()
	over, host := overBonds(h, plan), bonding.Hypervisor(os.DirFS("/sys"))
	out := &control.Diagnosis{}
	for i := range bonds {
		b := &bonds[i]
		in := bonding.DoctorInput{Hypervisor: host, Requested: requested(plan, b.Name), TargetAnswers: d.askTargets(ctx, h, b, plan, over[b.Name])}
		for _, inst := range over[b.Name] {
			in.Instances = append(in.Instances, bonding.Instance{Name: inst.Name, AdvertInterval: inst.AdvertInterval})
		}
		out.Bonds = append(out.Bonds, b.Name)
		for _, f := range bonding.Diagnose(*b, in) {
			out.Findings = append(out.Findings, control.Finding{Bond: f.Bond, Link: f.Link, Code: f.Code, Severity: f.Severity.String(),
				What: f.What, Cost: f.Cost, Do: f.Do, Fix: f.Fix})
		}
	}
	return out, ctx.Err()
}

// requested is what the configuration asks of a bond; nil: nothing.
func requested(plan *config.Plan, name string) *bonding.Managed {
	for i := range plan.Bonds {
		b := &plan.Bonds[i]
		switch {
		case b.Name != name:
		case b.Managed != nil:
			return b.Managed
		case b.Mode != "":
			mode, err := bonding.ParseMode(b.Mode)
			if err != nil {
				return nil // cannot be: the configuration was checked
			}
			return &bonding.Managed{Name: name, Mode: mode}
		}
	}
	return nil
}

// askTargets asks every target of a bond's ARP monitor whether it is there. One
// that cannot be asked is left out.
func (d *Daemon) askTargets(ctx context.Context, h *bonding.Handle, b *bonding.Bond, plan *config.Plan, over []*config.Instance) map[netip.Addr]bool {
	if b.ARPInterval == 0 || len(b.ARPTargets) == 0 {
		return nil
	}
	d.desk.asking.Lock()
	defer d.desk.asking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, targetPatience)
	defer cancel()
	var (
		mu      sync.Mutex
		asked   sync.WaitGroup
		answers = map[netip.Addr]bool{}
	)
	for _, target := range b.ARPTargets { // the driver takes 16 at most
		asked.Go(func() {
			answered, err := isThere(ctx, whohas.Question{Interface: interfaceTo(h, b.Name, target, over), Target: target, Avoid: virtualAddresses(plan)})
			if err != nil {
				return
			}
			mu.Lock()
			answers[target] = answered
			mu.Unlock()
		})
	}
	asked.Wait()
	return answers
}

// interfaceTo is where the driver's monitor would look for a target: the bond,
// or what is above it on the target's subnet.
func interfaceTo(h *bonding.Handle, bond string, target netip.Addr, over []*config.Instance) string {
	names := []string{bond}
	if devices, err := h.Devices(bond); err == nil {
		names = append(names, devices[bond].Above...)
	}
	for _, inst := range over {
		names = append(names, inst.Interface)
	}
	for _, name := range names {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			continue
		}
		addrs, err := ifi.Addrs()
		if err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
			p, err := netip.ParsePrefix(a.String())
			return err == nil && p.Contains(target)
		}) {
			return name
		}
	}
	return bond
}

// isThere asks until there is an answer or ctx ends. The error is that it
// could not be asked.
func isThere(ctx context.Context, q whohas.Question) (bool, error) {
	p, err := whohas.Open(q)
	if err != nil {
		return false, err
	}
	answered, over := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		over <- p.Receive(func(whohas.Answer) {
			select {
			case answered <- struct{}{}:
			default:
			}
		})
	}()
	defer func() {
		_ = p.Close()
		<-over
	}()
	again := time.NewTicker(targetEvery)
	defer again.Stop()
	for {
		if err := p.Ask(); err != nil {
			return false, err
		}
		select {
		case <-answered:
			return true, nil
		case <-ctx.Done():
			return false, nil
		case <-again.C:
		}
	}
}
