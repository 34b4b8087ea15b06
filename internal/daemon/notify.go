package daemon

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
)

// notifyTimeout ends a notification command that does not come back.
const notifyTimeout = 60 * time.Second

// A notifier runs the commands of [[notify]]: for each command and instance
// one at a time, in order, and the latest state wins. A state that was
// overtaken while an earlier command ran is not told.
type notifier struct {
	exec    healthcheck.Executor
	failed  func(text string)
	timeout time.Duration
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu       sync.Mutex
	commands []config.Notify
	queues   map[notifyKey]*notifyQueue
}

type notifyKey struct {
	command string // its words, joined: a reload may renumber them
	group   bool
	name    string

	condition string
}

// A notifyQueue exists while its command runs.
type notifyQueue struct {
	next *notification
}

func newNotifier(exec healthcheck.Executor, failed func(string)) *notifier {
	ctx, cancel := context.WithCancel(context.Background())
	return &notifier{exec: exec, failed: failed, timeout: notifyTimeout, ctx: ctx, cancel: cancel, queues: map[notifyKey]*notifyQueue{}}
}

// configure replaces the commands.
func (n *notifier) configure(commands []config.Notify) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.commands = commands
}

// tell has every command that wants to know told of a state; it never waits.
func (n *notifier) tell(what notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.commands {
		if len(c.Instances) > 0 && !slices.Contains(c.Instances, what.name) {
			continue
		}
		if what.condition != "" && !c.Conditions {
			continue
		}
		key := notifyKey{joinWords(c.Command), what.group, what.name, what.condition}
		q := n.queues[key]
		idle := q == nil
		if idle {
			q = &notifyQueue{}
			n.queues[key] = q
		}
		q.next = &what
		if idle {
			n.wg.Go(func() { n.work(key, q, c) })
		}
	}
}

// work runs a command until nothing newer is to be told.
func (n *notifier) work(key notifyKey, q *notifyQueue, c config.Notify) {
	for {
		n.mu.Lock()
		what := q.next
		q.next = nil
		if what == nil {
			delete(n.queues, key)
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		n.run(c, *what)
	}
}

func (n *notifier) run(c config.Notify, what notification) {
	kind, state := "INSTANCE", what.state
	if what.group {
		kind = "GROUP"
	}
	if c.KeepalivedNames && state == "ACTIVE" {
		state = "MASTER"
	}
	command := append(slices.Clone(c.Command), kind, what.name, state, strconv.Itoa(int(what.priority)))
	if what.condition != "" {
		command = append(command, what.condition, what.turned)
	}
	out := n.exec.Execute(n.ctx, healthcheck.ExecSpec{Command: command, Timeout: n.timeout})
	if !out.Passed() {
		text := "notification command " + c.Command[0] + " for " + what.name + " " + state + ": " + out.Detail()
		if out.Output != "" {
			first, _, _ := strings.Cut(out.Output, "\n")
			text += ": " + first
		}
		n.failed(text)
	}
}

// close waits for the commands that run or are due, and kills what is left
// when patience ends.
func (n *notifier) close(patience <-chan struct{}) {
	done := make(chan struct{})
	go func() { n.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-patience:
		n.cancel()
		<-done
	}
	n.cancel()
}

func joinWords(words []string) string {
	s := ""
	for _, w := range words {
		s += strconv.Quote(w)
	}
	return s
}
