package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// overdueSlack is how much later than the timeout a Spawner waits for word
	// of it, before it says so itself.
	overdueSlack = 50 * time.Millisecond

	// spawnPatience is how much longer than a command may take its process may
	// take to say what became of it. One that does not is given up.
	spawnPatience = deathPatience + 5*time.Second

	// respawn is how long after a process was started the next one may be.
	respawn = time.Second
)

var (
	errSpawnerGone   = errors.New("the process that runs commands has ended")
	errSpawnerClosed = errors.New("commands are not run any more")
)

// A Spawner is an Executor that has another process fork: this program once
// more, whose main function then calls [Spawned]. Whatever that process has to
// wait for, this one does not.
//
// It is started with the first command. Should it end, or not answer any more,
// it is killed with all that it runs and replaced, and what was under way is run
// once more. It ends when this process does, and kills what runs then.
type Spawner struct {
	argv     []string
	patience time.Duration // spawnPatience

	starting sync.Mutex // held by who starts a process

	mu      sync.Mutex
	closed  bool
	started time.Time // the last process
	link    *spawnLink
	last    uint64 // number of the last order
}

// A spawnLink is one process of a Spawner, and what it was asked for.
type spawnLink struct {
	wire   *wire
	failed atomic.Bool   // it is of no use any more
	over   chan struct{} // closed when the process is gone

	mu      sync.Mutex
	waiting map[uint64]chan report // each takes what comes of one order
	stuck   map[uint64]chan struct{}
	loose   string // why commands have no cgroups
}

// NewSpawner returns a Spawner that starts this program with these arguments;
// the first is what it is called.
func NewSpawner(argv ...string) *Spawner { return &Spawner{argv: argv, patience: spawnPatience} }

// Execute runs a command.
func (s *Spawner) Execute(ctx context.Context, spec ExecSpec) Outcome {
	at := time.Now()
	for try := 0; ; try++ {
		link, err := s.connect(ctx)
		switch {
		case ctx.Err() != nil:
			return Outcome{Ending: Cancelled, At: at, Timeout: spec.Timeout}
		case err != nil:
			return Outcome{Ending: NotStarted, Err: err, At: at, Timeout: spec.Timeout}
		}
		out, lost := s.run(ctx, link, spec)
		if !lost {
			return out
		}
		if try > 0 {
			return Outcome{Ending: NotStarted, Err: errSpawnerGone, At: at, Timeout: spec.Timeout, Duration: time.Since(at)}
		}
	}
}

// connect returns the process, which it starts if there is none.
func (s *Spawner) connect(ctx context.Context) (*spawnLink, error) {
	s.starting.Lock()
	defer s.starting.Unlock()
	s.mu.Lock()
	link, closed, next := s.link, s.closed, s.started.Add(respawn)
	s.mu.Unlock()
	if closed {
		return nil, errSpawnerClosed
	}
	if link != nil && !link.failed.Load() {
		return link, nil
	}
	if link != nil {
		t := time.NewTimer(time.Until(next))
		defer t.Stop()
		select {
		case <-link.over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	started := time.Now()
	link, err := spawn(s.argv)
	if err != nil {
		return nil, fmt.Errorf("start the process that runs commands: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link, s.started = link, started
	if s.closed { // meanwhile
		link.giveUp()
		return nil, errSpawnerClosed
	}
	return link, nil
}

// spawn starts the process.
func spawn(argv []string) (*spawnLink, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "spawned"), os.NewFile(uintptr(fds[1]), "spawner")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer null.Close()
	child, err := os.StartProcess("/proc/self/exe", argv, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{}, // nothing of it would reach a command
		Files: []*os.File{null, null, os.Stderr, theirs},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		conn.Close()
		return nil, startError(err)
	}
	l := &spawnLink{wire: newWire(conn.(*net.UnixConn)), waiting: map[uint64]chan report{}, stuck: map[uint64]chan struct{}{}, over: make(chan struct{})}
	go l.listen(child)
	return l, nil
}

// listen takes reports until the process is gone, and reaps it. One that has
// failed may still kill what it runs; it is killed itself if that takes long.
func (l *spawnLink) listen(child *os.Process) {
	for {
		var r report
		if l.wire.in.Decode(&r) != nil {
			break
		}
		l.take(r)
	}
	l.giveUp()
	kill := time.AfterFunc(2*deathPatience, func() { _ = child.Kill() }) // an error: it has ended
	_, _ = child.Wait()                                                  // nothing else waits for it
	kill.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, gone := range l.stuck {
		close(gone)
	}
	l.stuck = nil
	close(l.over)
}

func (l *spawnLink) take(r report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loose = r.Loose
	switch {
	case r.Hello:
	case r.Gone:
		if gone := l.stuck[r.ID]; gone != nil {
			close(gone)
			delete(l.stuck, r.ID)
		}
	default:
		if !r.Overdue && r.Outcome.Stuck {
			l.stuck[r.ID] = make(chan struct{})
		}
		if c := l.waiting[r.ID]; c != nil {
			c <- r // there is room for both that can come
		}
	}
}

// run has a process run a command. It is lost if the process ended meanwhile.
func (s *Spawner) run(ctx context.Context, l *spawnLink, spec ExecSpec) (out Outcome, lost bool) {
	out = Outcome{At: time.Now(), Timeout: spec.Timeout}
	if ctx.Err() != nil {
		out.Ending = Cancelled
		return out, false
	}
	s.mu.Lock()
	s.last++
	id := s.last
	s.mu.Unlock()
	reports := make(chan report, 2)
	l.mu.Lock()
	l.waiting[id] = reports
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, id)
		l.mu.Unlock()
	}()
	if l.wire.send(order{ID: id, Run: spec.wire()}) != nil {
		l.giveUp()
		return out, true
	}
	w := spawnWait{link: l, id: id, spec: &spec, at: out.At, patience: s.patience}
	return w.wait(ctx, reports)
}

// giveUp parts with a process that does not do what it should; listen does the
// rest.
func (l *spawnLink) giveUp() {
	l.failed.Store(true)
	l.wire.conn.Close()
}

// A spawnWait waits for what becomes of one order.
type spawnWait struct {
	link *spawnLink
	id   uint64
	spec *ExecSpec
	at   time.Time
	told bool // that it is overdue

	patience time.Duration
}

func (w *spawnWait) wait(ctx context.Context, reports <-chan report) (out Outcome, lost bool) {
	var overdue, hopeless <-chan time.Time
	if w.spec.Timeout > 0 {
		t := time.NewTimer(w.spec.Timeout + overdueSlack)
		defer t.Stop()
		overdue = t.C
		h := time.NewTimer(w.spec.Timeout + w.spec.Grace + w.patience)
		defer h.Stop()
		hopeless = h.C
	}
	cancelled := ctx.Done()
	for {
		select {
		case r := <-reports:
			out = r.Outcome.outcome(w.at, w.spec.Timeout)
			if r.Overdue {
				w.tell(out)
				continue
			}
			if r.Outcome.Stuck {
				w.link.mu.Lock()
				if gone := w.link.stuck[w.id]; gone != nil {
					out.Gone = gone
				}
				w.link.mu.Unlock()
			}
			return out, false
		case <-overdue:
			w.tell(Outcome{Ending: TimedOut, At: w.at, Timeout: w.spec.Timeout, Duration: time.Since(w.at)})
		case <-cancelled:
			cancelled = nil
			h := time.NewTimer(w.patience)
			defer h.Stop()
			hopeless = h.C
			if w.link.wire.send(order{ID: w.id, Cancel: true}) != nil {
				w.link.giveUp()
			}
		case <-w.link.over:
			if ctx.Err() != nil {
				return Outcome{Ending: Cancelled, At: w.at, Duration: time.Since(w.at)}, false
			}
			return w.late(), !w.told
		case <-hopeless:
			w.link.giveUp()
			if ctx.Err() != nil {
				return Outcome{Ending: Cancelled, At: w.at, Duration: time.Since(w.at)}, false
			}
			return w.late(), false
		}
	}
}

// late is what is known of a command that came to its timeout, and of no more.
func (w *spawnWait) late() Outcome {
	return Outcome{Ending: TimedOut, At: w.at, Timeout: w.spec.Timeout, Duration: time.Since(w.at)}
}

func (w *spawnWait) tell(out Outcome) {
	if w.told {
		return
	}
	w.told = true
	if w.spec.Overdue != nil {
		w.spec.Overdue(out)
	}
}

// Release removes the cgroup of a cell.
func (s *Spawner) Release(cell string) {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l != nil && !l.failed.Load() && l.wire.send(order{Release: cell}) != nil {
		l.giveUp()
	}
}

// Confinement says why commands have no cgroups, or nil; also before a first
// command has been run.
func (s *Spawner) Confinement() error {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loose != "" {
		return errors.New(l.loose)
	}
	return nil
}

// Close ends the process, and with it what it runs.
func (s *Spawner) Close() error {
	s.mu.Lock()
	s.closed = true
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	// It ends by itself when it has cleaned up, and is killed if it does not.
	l.failed.Store(true)
	if err := l.wire.conn.CloseWrite(); err != nil {
		l.giveUp()
	}
	t := time.NewTimer(s.patience)
	defer t.Stop()
	select {
	case <-l.over:
		return nil
	case <-t.C:
		l.giveUp()
		<-l.over
		return errors.New("the process that runs commands did not end, and was killed")
	}
}
