package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/whohas"
)

// kindDrill is a note about a rehearsal.
const kindDrill = "drill"

// drillSteps is how much progress may wait for a client; a drill tells less.
const drillSteps = 32

// errClientLeft ends a drill that nobody waits for.
var errClientLeft = errors.New("vrrpctl has gone away")

// A rehearsal is a drill that is ready to begin.
type rehearsal struct {
	begins  string // what is about to happen
	run     func(ctx context.Context) *control.DrillReport
	note    func(*control.DrillReport) (level, string) // the drill in one sentence
	askers  []asker
	outline control.DrillReport // for a dry run
}

// An asker is a question, and who hears the answers.
type asker struct {
	probe whohas.Prober
	hear  func(whohas.Answer)
}

func (r *rehearsal) close() (err error) {
	for _, a := range r.askers {
		err = errors.Join(err, a.probe.Close())
	}
	return err
}

// Drill rehearses a failure: of the active link of a bond, or of this node. It
// runs on the daemon's own time: a client that goes away, or a daemon that
// stops, makes it put back what it changed and end.
func (d *Daemon) Drill(ctx context.Context, q control.DrillRequest, progress func(control.DrillProgress)) (*control.DrillReport, error) {
	prepare := d.prepareDemotion
	switch q.Kind {
	case control.DrillDemote, "":
		q.Kind = control.DrillDemote
	case control.DrillBond:
		prepare = d.prepareBondDrill
	default:
		return nil, refuse(http.StatusBadRequest, "there is no drill of the kind %q; %s and %s are two", q.Kind, control.DrillDemote, control.DrillBond)
	}
	if !d.desk.beginDrill() {
		return nil, refuse(http.StatusConflict, "a drill is under way already")
	}
	steps, done := make(chan control.DrillProgress, drillSteps), make(chan *control.DrillReport, 1)
	r, err := prepare(ctx, q, func(text string) {
		select {
		case steps <- control.DrillProgress{Time: time.Now(), Text: text}:
		default: // the client does not keep up; the report tells all
		}
	})
	if err != nil {
		d.desk.endDrill()
		return nil, err
	}
	if q.DryRun {
		d.desk.endDrill()
		return &r.outline, r.close()
	}
	leave, ok := d.startDrill(r, done)
	if !ok {
		d.desk.endDrill()
		return nil, errors.Join(errStopped, r.close())
	}
	for {
		select {
		case p := <-steps:
			progress(p)
		case report := <-done:
			for len(steps) > 0 {
				progress(<-steps)
			}
			return report, nil
		case <-ctx.Done():
			leave(errClientLeft)
			return nil, ctx.Err()
		}
	}
}

// startDrill runs a drill on the daemon's own time and reports false if the
// daemon is stopping. leave ends it early.
func (d *Daemon) startDrill(r *rehearsal, done chan<- *control.DrillReport) (leave context.CancelCauseFunc, ok bool) {
	ctx, leave := context.WithCancelCause(d.ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		leave(errStopped)
		return leave, false
	}
	d.say(levelInfo, kindDrill, r.begins)
	d.background.Go(func() {
		defer leave(nil)
		received := make(chan error, len(r.askers))
		for _, a := range r.askers {
			go func() { received <- a.probe.Receive(a.hear) }()
		}
		report := r.run(ctx)
		err := r.close()
		for range r.askers {
			err = errors.Join(err, <-received)
		}
		if err != nil {
			d.say(levelWarn, kindDrill, err.Error())
		}
		lvl, text := r.note(report)
		d.say(lvl, kindDrill, text)
		d.desk.endDrill() // who has the report may begin the next
		done <- report
	})
	return leave, true
}

func joined(reasons []string) string { return strings.Join(reasons, "; ") }

func refuse(code int, format string, args ...any) error {
	return &control.StatusError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// beginDrill reports whether a drill may begin: there is one at a time.
func (b *bondDesk) beginDrill() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drilling || b.closed {
		return false
	}
	b.drilling = true
	return true
}

func (b *bondDesk) endDrill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drilling = false
}
