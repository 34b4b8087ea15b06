package probe

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what a person gets to read, in bytes.
const (
	detailLimit = 300
	outputLimit = 200
)

// oneLine returns the first line of s that is not blank, as printable UTF-8 of
// at most limit bytes: nothing in it may confuse a terminal or a log.
func oneLine(s string, limit int) string {
	s = strings.TrimLeft(s, " \t\r\n")
	if end := strings.IndexAny(s, "\r\n"); end >= 0 {
		s = s[:end]
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case r == '\t':
			r = ' '
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ")
}

// A look is one run of a probe.
type look struct {
	ctx   context.Context
	began time.Time
	limit time.Duration // 0: none
}

func begin(ctx context.Context) look {
	l := look{ctx: ctx, began: time.Now()}
	if deadline, ok := ctx.Deadline(); ok {
		// Rounded, because some of the timeout has passed already and a person
		// looks for the number that is in the configuration.
		step := 10 * time.Millisecond
		if deadline.Sub(l.began) < 10*step {
			step = time.Millisecond
		}
		l.limit = max(deadline.Sub(l.began).Round(step), step)
	}
	return l
}

// took is how long the look has lasted, as a person wants to read it.
func (l look) took() time.Duration {
	d := time.Since(l.began)
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond)
	case d < time.Second:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// why puts an error in few words, without the names of functions and operands
// that the standard library puts in front.
func (l look) why(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(l.ctx.Err(), context.Canceled):
		return "cancelled"
	case l.ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return l.late()
	case errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, syscall.ETIMEDOUT) && l.over():
		// Go's own deadlines may fire a moment before the context does.
		return l.late()
	}
	return reason(err)
}

// reason is why for an error that has nothing to do with time.
func reason(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "look up " + dns.Name + ": " + dns.Err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}

// over reports whether the time is up, or will be within a moment.
func (l look) over() bool {
	deadline, ok := l.ctx.Deadline()
	return ok && time.Until(deadline) < 5*time.Millisecond
}

func (l look) late() string {
	if l.limit == 0 {
		return "no answer in time"
	}
	return "no answer within " + l.limit.String()
}
