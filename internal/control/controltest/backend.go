// Package controltest has a daemon made of canned answers, for tests of what
// talks to one.
package controltest

import (
	"context"
	"slices"
	"sync"
	"time"

	"vrrpd/internal/control"
)

// A Backend answers with what it was given. The zero value knows no instance.
// Set the fields before it is served.
type Backend struct {
	State        control.Status
	Explanations map[string]*control.Explanation
	Journal      []control.Event
	Config       string
	BondList     []control.BondDetail
	Diagnosis    control.Diagnosis
	CheckRun     control.CheckRun
	// Progress and Report are how a drill goes.
	Progress []string
	Report   control.DrillReport
	// Outcome answers every command, unless Err does.
	Outcome control.Outcome
	Err     error
	// Wait, if not nil, holds every command back until it is closed or the
	// asker has left.
	Wait chan struct{}

	mu        sync.Mutex
	followers []chan control.Event
	asked     []any
}

var _ control.Backend = (*Backend)(nil)

// Asked is every command so far, as the name of the command or the request.
func (b *Backend) Asked() []any {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

// Followers is how many follow now.
func (b *Backend) Followers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.followers)
}

// Emit hands an event to every follower that has room for it, and reports how
// many had none.
func (b *Backend) Emit(e control.Event) (lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.followers {
		select {
		case f <- e:
		default:
			lost++
		}
	}
	return lost
}

// Status answers State.
func (b *Backend) Status(context.Context) (*control.Status, error) {
	s := b.State
	return &s, b.Err
}

// Explain answers from Explanations.
func (b *Backend) Explain(_ context.Context, instance string) (*control.Explanation, error) {
	if e := b.Explanations[instance]; e != nil {
		return e, b.Err
	}
	return nil, &control.StatusError{Code: 404, Message: "there is no instance \"" + instance + "\""}
}

// Events answers the part of Journal that is not older than since.
func (b *Backend) Events(_ context.Context, since time.Time) ([]control.Event, error) {
	var out []control.Event
	for _, e := range b.Journal {
		if !e.Time.Before(since) {
			out = append(out, e)
		}
	}
	return out, b.Err
}

// Follow delivers what is handed to Emit.
func (b *Backend) Follow(ctx context.Context) <-chan control.Event {
	f := make(chan control.Event, 64)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.followers = append(b.followers, f)
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.followers = slices.DeleteFunc(b.followers, func(g chan control.Event) bool { return g == f })
		close(f)
	})
	return f
}

// Demote answers Outcome.
func (b *Backend) Demote(ctx context.Context, r control.DemoteRequest) (*control.Outcome, error) {
	return b.command(ctx, r)
}

// Promote answers Outcome.
func (b *Backend) Promote(ctx context.Context, r control.Names) (*control.Outcome, error) {
	return b.command(ctx, r)
}

// Announce answers Outcome.
func (b *Backend) Announce(ctx context.Context, r control.Names) (*control.Outcome, error) {
	return b.command(ctx, r)
}

// Reload answers Outcome.
func (b *Backend) Reload(ctx context.Context) (*control.Outcome, error) {
	return b.command(ctx, "reload")
}

// RunCheck answers CheckRun.
func (b *Backend) RunCheck(ctx context.Context, r control.CheckRunRequest) (*control.CheckRun, error) {
	if _, err := b.command(ctx, r); err != nil {
		return nil, err
	}
	run := b.CheckRun
	return &run, nil
}

// ConfigText answers Config.
func (b *Backend) ConfigText(context.Context) (string, error) { return b.Config, b.Err }

// Bonds answers from BondList.
func (b *Backend) Bonds(_ context.Context, name string) ([]control.BondDetail, error) {
	if name == "" || b.Err != nil {
		return b.BondList, b.Err
	}
	for _, d := range b.BondList {
		if d.Name == name {
			return []control.BondDetail{d}, nil
		}
	}
	return nil, &control.StatusError{Code: 404, Message: "there is no bond \"" + name + "\" on this host"}
}

// DiagnoseBonds answers Diagnosis.
func (b *Backend) DiagnoseBonds(_ context.Context, name string) (*control.Diagnosis, error) {
	d := b.Diagnosis
	return &d, b.Err
}

// Drill tells Progress and answers Report; of a dry run there is no progress.
func (b *Backend) Drill(ctx context.Context, r control.DrillRequest, progress func(control.DrillProgress)) (*control.DrillReport, error) {
	if b.Err == nil && !r.DryRun {
		for _, text := range b.Progress {
			progress(control.DrillProgress{Time: time.Now(), Text: text})
		}
	}
	if _, err := b.command(ctx, r); err != nil {
		return nil, err
	}
	rep := b.Report
	return &rep, nil
}

func (b *Backend) command(ctx context.Context, r any) (*control.Outcome, error) {
	b.mu.Lock()
	b.asked = append(b.asked, r)
	b.mu.Unlock()
	if b.Wait != nil {
		select {
		case <-b.Wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if b.Err != nil {
		return nil, b.Err
	}
	o := b.Outcome
	return &o, nil
}
