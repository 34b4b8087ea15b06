package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"

	"vrrpd/internal/control"
)

// Exit statuses; scripts rely on them.
const (
	exitDone     = 0
	exitFailed   = 1 // it could not be done; the reason is on stderr
	exitUsage    = 2 // usage or configuration error
	exitNoDaemon = 3 // no daemon on the socket
	exitRefused  = 4 // refused to keep the service up
	exitFindings = 5 // config check --strict, or bond doctor, found something
)

// An exitError is an error that chooses the exit status. What it has to say stands
// in its lines; none: everything has been said.
type exitError struct {
	code  int
	lines []string
}

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// usage is a mistake in how vrrpctl was called.
func usage(format string, args ...any) error {
	return &exitError{code: exitUsage, lines: []string{"vrrpctl: " + fmt.Sprintf(format, args...)}}
}

// ran marks the errors of a command that was understood, so that the rest,
// cobra's own, are usage errors.
type ran struct{ error }

func (r ran) Unwrap() error { return r.error }

// report writes what an error has to say and returns the exit status.
func report(w io.Writer, err error) int {
	var (
		st *exitError
		se *control.StatusError
		r  ran
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &st):
		for _, line := range st.lines {
			fmt.Fprintln(w, printable(line))
		}
		return st.code
	case !errors.As(err, &r):
		fmt.Fprintf(w, "vrrpctl: %v\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "vrrpctl: interrupted")
		return exitFailed
	case errors.Is(err, control.ErrNoDaemon):
		fmt.Fprintf(w, "vrrpctl: %v\nIs vrrpd running? Is this its socket (--socket, control.socket of its configuration)?\n", err)
		return exitNoDaemon
	case errors.As(err, &se):
		for _, p := range se.Problems {
			fmt.Fprintln(w, printable(p))
		}
		fmt.Fprintf(w, "vrrpctl: %s\n", printable(se.Message))
		if se.Code == http.StatusUnprocessableEntity {
			return exitUsage
		}
		return exitFailed
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(w, "vrrpctl: the daemon does not answer; it may hang or be stopped")
		return exitFailed
	}
	fmt.Fprintf(w, "vrrpctl: %v\n", err)
	if errors.Is(err, fs.ErrPermission) {
		fmt.Fprintln(w, "This user may not open the socket.")
	}
	return exitFailed
}
