package healthcheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// silence is how long after a command's timeout its process may say nothing
	// of it, before it is taken to hang. Then it is not known what the command
	// would have done.
	silence = 5 * time.Second

	// spawnPatience is how much longer than a command may take its process may
	// take to say what became of it. One that does not is given up.
	spawnPatience = deathPatience + 5*time.Second

	// respawn is how long after a process was started the next one may be.
	respawn = time.Second

	// deathsAwaited is how many processes that were killed may still be there
	// when another is started: one that sleeps in the kernel stays.
	deathsAwaited = 4
)

var (
	errSpawnerGone   = errors.New("the process that runs commands has ended, and the next one as well")
	errSpawnerDeaf   = errors.New("it hangs, and was killed")
	errSpawnerStays  = errors.New("the processes that ran commands hang and do not die")
	errSpawnerClosed = errors.New("commands are not run any more")
)

// A Spawner is an Executor that has another process fork: this program once
// more, whose main function then calls [Spawned]. Whatever that process has to
// wait for, this one does not.
//
// It is started with the first command. Should it end, or not answer any more,
// it is killed with all that it runs and replaced, and what was under way is run
// once more. If that fails as well the outcome is Lost. It ends when this
// process does, and kills what runs then.
type Spawner struct {
	argv     []string
	patience time.Duration // spawnPatience
	silence  time.Duration // silence
	starting chan struct{} // holds a token while somebody starts a process

	mu      sync.Mutex
	closed  bool
	started time.Time // the last process
	link    *spawnLink
	dying   []*spawnLink // given up, and perhaps still there
	last    uint64       // number of the last order
	lost    func(error)  // see Watch
	losses  uint64
}

// A spawnLink is one process of a Spawner, and what it was asked for.
type spawnLink struct {
	wire   *wire
	failed atomic.Bool   // it is of no use any more
	over   chan struct{} // closed when the process is gone
	lost   func(error)   // called if that was not wanted

	mu      sync.Mutex
	waiting map[uint64]chan report // each takes what comes of one order
	stuck   map[uint64]chan struct{}
	loose   string // why commands have no cgroups
	why     error  // it was given up
	quit    bool   // it shall end
}

// NewSpawner returns a Spawner that starts this program with these arguments;
// the first is what it is called.
func NewSpawner(argv ...string) *Spawner {
	return &Spawner{argv: argv, patience: spawnPatience, silence: silence, starting: make(chan struct{}, 1), lost: func(error) {}}
}

// Watch has lost called whenever a process has ended that should not have, with
// the reason. Call it before anything else.
func (s *Spawner) Watch(lost func(error)) { s.lost = lost }

// Losses counts these processes.
func (s *Spawner) Losses() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.losses
}

// Execute runs a command.
func (s *Spawner) Execute(ctx context.Context, spec ExecSpec) Outcome {
	at := time.Now()
	for try := 0; ; try++ {
		link, err := s.connect(ctx)
		switch {
		case ctx.Err() != nil:
			return Outcome{Ending: Cancelled, At: at, Timeout: spec.Timeout}
		case errors.Is(err, errSpawnerClosed):
			return Outcome{Ending: NotStarted, Err: err, At: at, Timeout: spec.Timeout}
		case err != nil:
			return Outcome{Ending: Lost, Err: err, At: at, Timeout: spec.Timeout, Duration: time.Since(at)}
		}
		out, lost := s.run(ctx, link, spec)
		if !lost {
			return out
		}
		if try > 0 {
			return Outcome{Ending: Lost, Err: errSpawnerGone, At: at, Timeout: spec.Timeout, Duration: time.Since(at)}
		}
	}
}

// connect returns the process, which it starts if there is none.
func (s *Spawner) connect(ctx context.Context) (*spawnLink, error) {
	select {
	case s.starting <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.starting }()
	s.mu.Lock()
	link, closed, next := s.link, s.closed, s.started.Add(respawn)
	s.mu.Unlock()
	if closed {
		return nil, errSpawnerClosed
	}
	if link != nil && !link.failed.Load() {
		return link, nil
	}
	if err := s.pause(ctx, link, next); err != nil {
		return nil, err
	}
	started := time.Now()
	link, err := spawn(s.argv, s.lose)
	if err != nil {
		return nil, fmt.Errorf("start the process that runs commands: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link, s.started = link, started
	if s.closed { // meanwhile
		link.giveUp(errSpawnerClosed)
		return nil, errSpawnerClosed
	}
	return link, nil
}

// pause waits until another process may be started after the one before: it is
// gone, or has had the time for that.
func (s *Spawner) pause(ctx context.Context, before *spawnLink, next time.Time) error {
	if before == nil {
		return nil
	}
	killed := time.NewTimer(s.patience)
	defer killed.Stop()
	select {
	case <-before.over:
	case <-killed.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	if !slices.Contains(s.dying, before) {
		s.dying = append(s.dying, before)
	}
	s.dying = slices.DeleteFunc(s.dying, (*spawnLink).isOver)
	many := len(s.dying) >= deathsAwaited
	s.mu.Unlock()
	if many {
		return errSpawnerStays
	}
	t := time.NewTimer(time.Until(next))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// lose takes note of a process that ended and should not have.
func (s *Spawner) lose(why error) {
	s.mu.Lock()
	s.losses++
	s.mu.Unlock()
	s.lost(why)
}

// spawn starts the process.
func spawn(argv []string, lost func(error)) (*spawnLink, error) {
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
	children.add(child.Pid)
	l := &spawnLink{wire: newWire(conn.(*net.UnixConn)), waiting: map[uint64]chan report{}, stuck: map[uint64]chan struct{}{}, over: make(chan struct{}), lost: lost}
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
	l.giveUp(nil)
	kill := time.AfterFunc(2*deathPatience, func() { _ = child.Kill() }) // an error: it has ended
	state, err := child.Wait()
	kill.Stop()
	children.remove(child.Pid)
	l.mu.Lock()
	for _, gone := range l.stuck {
		close(gone)
	}
	l.stuck = nil
	why, quit := l.why, l.quit
	l.mu.Unlock()
	if why == nil && err == nil {
		why = errors.New(state.String())
	}
	if !quit {
		l.lost(fmt.Errorf("pid %d: %w", child.Pid, cmp.Or(why, err)))
	}
	close(l.over)
}

func (l *spawnLink) isOver() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
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
	if err := l.wire.send(order{ID: id, Run: spec.wire()}); err != nil {
		l.giveUp(err)
		return out, true
	}
	w := spawnWait{link: l, id: id, spec: &spec, at: out.At, patience: s.patience, silence: s.silence}
	return w.wait(ctx, reports)
}

// giveUp parts with a process that does not do what it should; listen does the
// rest.
func (l *spawnLink) giveUp(why error) {
	if errors.Is(why, os.ErrDeadlineExceeded) { // of a message
		why = errSpawnerDeaf
	}
	l.mu.Lock()
	if !l.failed.Swap(true) && why == errSpawnerDeaf {
		l.why = why // else how it ended says more
	}
	l.mu.Unlock()
	l.wire.conn.Close()
}

// Release removes the cgroup of a cell.
func (s *Spawner) Release(cell string) {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil || l.failed.Load() {
		return
	}
	if err := l.wire.send(order{Release: cell}); err != nil {
		l.giveUp(err)
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
	l.mu.Lock()
	l.quit = true
	l.mu.Unlock()
	l.failed.Store(true)
	if err := l.wire.conn.CloseWrite(); err != nil {
		l.giveUp(err)
	}
	t := time.NewTimer(s.patience)
	defer t.Stop()
	select {
	case <-l.over:
		return nil
	case <-t.C:
	}
	l.giveUp(errSpawnerDeaf)
	t.Reset(s.patience)
	select {
	case <-l.over:
		return errors.New("the process that runs commands did not end, and was killed")
	case <-t.C:
		return errSpawnerStays
	}
}
