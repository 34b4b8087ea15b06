package control

import (
	"context"
	"time"
)

// A Backend is the daemon as the control socket sees it. Its methods may be
// called from any goroutine. An error that is a *StatusError chooses the HTTP
// status; any other is an internal error.
type Backend interface {
	Status(ctx context.Context) (*Status, error)
	Explain(ctx context.Context, instance string) (*Explanation, error)
	// Events returns the journal's entries since the given time, oldest first.
	Events(ctx context.Context, since time.Time) ([]Event, error)
	// Follow delivers events as they happen until ctx ends. A slow reader
	// loses events rather than holding anybody up; a gap shows in the IDs.
	Follow(ctx context.Context) <-chan Event
	Demote(ctx context.Context, r DemoteRequest) (*Outcome, error)
	Promote(ctx context.Context, r Names) (*Outcome, error)
	Announce(ctx context.Context, r Names) (*Outcome, error)
	Reload(ctx context.Context) (*Outcome, error)
	// RunCheck runs a check once, by hand. It counts for nothing.
	RunCheck(ctx context.Context, r CheckRunRequest) (*CheckRun, error)
	// ConfigText is the running configuration with every default filled in, as TOML.
	ConfigText(ctx context.Context) (string, error)
	// Bonds describes the bonds of the host, or the one named, in the order of
	// their names.
	Bonds(ctx context.Context, name string) ([]BondDetail, error)
	// DiagnoseBonds finds what is misconfigured about them.
	DiagnoseBonds(ctx context.Context, name string) (*Diagnosis, error)
	// Drill rehearses a failure and calls progress, from the goroutine it was
	// called on, while it does. If ctx ends first, what was changed is put back
	// all the same, and the error is the context's.
	Drill(ctx context.Context, r DrillRequest, progress func(DrillProgress)) (*DrillReport, error)
}

// StatusError is an error with an HTTP status: 404 for an unknown instance,
// 409 for something that cannot be done now, 422 for a bad configuration.
type StatusError struct {
	Code     int
	Message  string
	Problems []string
}

func (e *StatusError) Error() string { return e.Message }
