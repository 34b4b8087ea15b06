package daemon

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"vrrpd/internal/control"
)

// scribeBacklog is how many notes may wait for a log that does not take them.
const scribeBacklog = 100_000

// A scribe writes down what the loop tells: into the journal, into the log,
// and to the notification commands. The loop never waits for it; a log that
// blocks (a full disk, a stopped terminal) holds up nobody but the scribe.
type scribe struct {
	log      hclog.Logger
	journal  *journal
	notifier *notifier

	mu      sync.Mutex
	waiting []note
	lost    int
	wake    chan struct{}
	done    chan struct{}
	closing bool
}

func newScribe(log hclog.Logger, j *journal, n *notifier) *scribe {
	s := &scribe{log: log, journal: j, notifier: n, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// tell takes a note; it never waits.
func (s *scribe) tell(n note) {
	if n.notify != nil {
		s.notifier.tell(*n.notify)
	}
	s.journal.add(control.Event{Time: n.at, Kind: n.kind, Instance: n.instance, Check: n.check,
		From: n.from, To: n.to, Cause: n.cause, Text: n.text})
	s.mu.Lock()
	if len(s.waiting) < scribeBacklog {
		s.waiting = append(s.waiting, n)
	} else {
		s.lost++
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// closePatience is how long a closing scribe waits for a log that does not
// take what is written: a daemon must end even if its terminal is stopped.
const closePatience = 2 * time.Second

// close writes what is left and ends the scribe.
func (s *scribe) close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	select {
	case <-s.done:
	case <-time.After(closePatience):
	}
}

func (s *scribe) run() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		notes, lost, closing := s.waiting, s.lost, s.closing
		s.waiting, s.lost = nil, 0
		s.mu.Unlock()
		for i := range notes {
			s.write(&notes[i])
		}
		if lost > 0 {
			s.log.Warn("log entries were lost because the log was not taking them", "entries", lost)
		}
		if closing {
			return
		}
	}
}

// write logs one note. The message is constant for its kind and the rest
// stands in pairs, so that a log can be searched.
func (s *scribe) write(n *note) {
	var pairs []any
	add := func(key, value string) {
		if value != "" {
			pairs = append(pairs, key, value)
		}
	}
	add("instance", n.instance)
	add("check", n.check)
	message := n.text
	if n.kind == kindTransition || n.kind == kindGroup {
		message = n.kind
		add("from", n.from)
		add("to", n.to)
		add("cause", n.cause)
		add("why", n.text)
	}
	switch n.level {
	case levelDebug:
		s.log.Debug(message, pairs...)
	case levelWarn:
		s.log.Warn(message, pairs...)
	case levelError:
		s.log.Error(message, pairs...)
	default:
		s.log.Info(message, pairs...)
	}
}
