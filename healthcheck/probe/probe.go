package probe

import (
	"context"
	"fmt"
)

// A Probe looks at one thing.
type Probe interface {
	// Probe looks once. It returns when ctx ends, at the latest, with a failure
	// that says so; the caller tells a timeout of its own from being stopped.
	// It may be called from several goroutines.
	Probe(ctx context.Context) Outcome
	// String says in a few words what is looked at: "tcp 192.0.2.1:80".
	String() string
}

// A Watcher is a Probe that notices by itself when a look is worth it.
type Watcher interface {
	Probe
	// Watch calls wake once when it has begun to watch, and then whenever
	// Probe may have something new to say, until ctx ends; then it returns nil.
	// It returns an error if it cannot watch or go on watching: the check then
	// lives by its interval, and Watch may be tried again. Calls of wake can
	// come in bursts; it must return at once and should gather them. Only one
	// Watch may run at a time.
	Watch(ctx context.Context, wake func()) error
}

// A Spec describes what to look at. It is plain data: two that are deeply equal
// make probes that do the same.
type Spec interface {
	// New returns the Probe, or a [*FieldError].
	New() (Probe, error)
}

// An Outcome is what one look found.
type Outcome struct {
	Passed bool
	// Detail says in one line for a person what was found or what went wrong:
	// "connect 192.0.2.1:80: connection refused".
	Detail string
	// Output is the beginning of what was read (the first line of a body, of a
	// file), in one line of printable text; empty for kinds that read nothing.
	Output string
	// Value is the number that was read, if HasValue: see [File].
	Value    int
	HasValue bool
}

// A FieldError says which field of a Spec cannot be as it is.
type FieldError struct {
	Field   string // in snake case, as a configuration would have it: "server_name"
	Problem string // what is wrong: "it is not an address"
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

func pass(format string, args ...any) Outcome {
	return Outcome{Passed: true, Detail: oneLine(fmt.Sprintf(format, args...), detailLimit)}
}

func fail(format string, args ...any) Outcome {
	return Outcome{Detail: oneLine(fmt.Sprintf(format, args...), detailLimit)}
}

// A Func is a Probe that somebody else supplies, such as the health of a bond
// that is watched already.
type Func struct {
	What string // what it looks at: "bond bond0"
	Look func(ctx context.Context) Outcome
	// Follow is its Watch; nil: it never wakes anybody.
	Follow func(ctx context.Context, wake func()) error
}

// Probe calls Look.
func (f Func) Probe(ctx context.Context) Outcome { return f.Look(ctx) }

func (f Func) String() string { return f.What }

// Watch calls Follow, or waits for the end of ctx without one.
func (f Func) Watch(ctx context.Context, wake func()) error {
	if f.Follow != nil {
		return f.Follow(ctx, wake)
	}
	wake()
	<-ctx.Done()
	return nil
}
