package probe

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// slot is when the time is up that one of several requests has until the next
// is sent: the last one's with that of the look, or after a second each.
func (l look) slot(i, count int) time.Time {
	limit := time.Duration(count) * time.Second
	if deadline, ok := l.ctx.Deadline(); ok {
		limit = deadline.Sub(l.began)
	}
	return l.began.Add(limit * time.Duration(i+1) / time.Duration(count))
}

// unanswered says that nobody answered any of the requests.
func (l look) unanswered(sent int) string {
	s := l.late()
	if l.ctx.Err() != nil {
		s = l.why(l.ctx.Err())
	}
	if sent > 1 && !errors.Is(l.ctx.Err(), context.Canceled) {
		s += " to " + strconv.Itoa(sent) + " requests"
	}
	return s
}
