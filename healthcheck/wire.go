package healthcheck

import (
	"encoding/gob"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// What a Spawner and the process that it has fork say to each other: gob over
// a pair of unix sockets, an order or a report at a time.

// An order asks for one thing.
type order struct {
	ID      uint64
	Run     *wireSpec // run this
	Cancel  bool      // end ID without grace
	Release string    // this cell
}

// A report is what became of an order.
type report struct {
	ID      uint64
	Overdue bool // the command comes to its timeout; its end is still to come
	Outcome wireOutcome
	Gone    bool   // one that did not die is gone now
	Hello   bool   // the first report
	Loose   string // why commands have no cgroups
}

type wireSpec struct {
	Command     []string
	Env         []string
	RunAs       *Credential
	Timeout     time.Duration
	Grace       time.Duration
	OutputLimit int
	Apart       bool
	Cell        string
}

type wireOutcome struct {
	Ending   Ending
	Status   int
	Signal   syscall.Signal
	Err      string
	Output   string
	Cut      bool
	Duration time.Duration
	Stuck    bool
}

func (s *ExecSpec) wire() *wireSpec {
	return &wireSpec{s.Command, s.Env, s.RunAs, s.Timeout, s.Grace, s.OutputLimit, s.Apart, s.Cell}
}

func (w *wireSpec) spec() ExecSpec {
	return ExecSpec{Command: w.Command, Env: w.Env, RunAs: w.RunAs, Timeout: w.Timeout, Grace: w.Grace, OutputLimit: w.OutputLimit, Apart: w.Apart, Cell: w.Cell}
}

func (o *Outcome) wire() wireOutcome {
	w := wireOutcome{Ending: o.Ending, Status: o.Status, Signal: o.Signal, Output: o.Output, Cut: o.Cut, Duration: o.Duration, Stuck: o.Gone != nil}
	if o.Err != nil {
		w.Err = o.Err.Error()
	}
	return w
}

// outcome is what was sent, but for Gone.
func (w *wireOutcome) outcome(at time.Time, timeout time.Duration) Outcome {
	o := Outcome{Ending: w.Ending, Status: w.Status, Signal: w.Signal, Output: w.Output, Cut: w.Cut, At: at, Duration: w.Duration, Timeout: timeout}
	if w.Err != "" {
		o.Err = errors.New(w.Err)
	}
	return o
}

// sendPatience is how long the other side may take to make room for a message.
// Both sides read all the time; one that does not is as good as dead.
const sendPatience = 2 * time.Second

// A wire is one end of the connection.
type wire struct {
	conn *net.UnixConn
	in   *gob.Decoder

	mu  sync.Mutex
	out *gob.Encoder
}

func newWire(conn *net.UnixConn) *wire {
	return &wire{conn: conn, in: gob.NewDecoder(conn), out: gob.NewEncoder(conn)}
}

func (w *wire) send(message any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.conn.SetWriteDeadline(time.Now().Add(sendPatience)); err != nil {
		return err
	}
	return w.out.Encode(message)
}
