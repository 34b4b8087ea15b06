package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vip"
	"vrrpd/vrrp"
)

const (
	// drillReturn is the longest a drill waits for a return.
	drillReturn = 10 * time.Minute
	// drillHoldMax bounds how long it watches the successor.
	drillHoldMax = 10 * time.Second
	// drillOverlap is how long two hosts may answer for an address that moves:
	// the longest linger of a handover, and a moment. It is less than drillHold.
	drillOverlap = 1500 * time.Millisecond
)

// A memberStanding is how an instance that is drilled stands.
type memberStanding struct {
	standing
	leaving bool   // handing over
	demoted bool   // whoever did it
	foreign bool   // somebody else promoted or demoted it since the drill began
	held    string // what keeps it from being active
}

// A lifted is how a promotion went.
type lifted struct {
	at     time.Time
	stays  string        // why an instance does not return by itself; "": they all do
	within time.Duration // they return
}

// A demoteWorld is what a drill of the kind demote moves and looks at.
type demoteWorld interface {
	// Listen has an ear hear of the instances; nil ends that.
	Listen(e *ear) error
	// Here reports whether the address of a record is on this node.
	Here(r *record) bool
	// Release demotes the instances. at is when priority 0 had left. With an
	// error nothing was done.
	Release() (at time.Time, err error)
	// Lift lifts the demotion, unless somebody did. What nobody has taken over
	// is active again at once.
	Lift() (lifted, error)
	// Standings are those of the instances; one that is gone is left out.
	Standings(ctx context.Context) ([]memberStanding, error)
	// Ask sends one request for the n-th address. Answers come to its record.
	Ask(n int) error
}

// A demoteDrill demotes an instance with its group, watches somebody take over,
// and promotes it. Whatever happens on the way, it ends without the demotion.
type demoteDrill struct {
	world    demoteWorld
	records  []*record
	timeout  time.Duration // of the handover
	patience time.Duration // with which somebody is waited for to take over: until the routers themselves give up, and a moment
	hold     time.Duration // the successor is watched
	foretold string        // why it will not return; "": it will
	say      func(text string)
	report   control.DrillReport

	ear        *ear
	moments    []moment // heard so far
	before     []memberStanding
	now        []memberStanding
	successors map[string]moment // the first advertisement after the release
	released   time.Time         // zero: nothing was moved
	lifted     time.Time         // zero: the return was not watched
}

// An outcome is how a part of a drill ended.
type outcome uint8

const (
	reached   outcome = iota + 1
	overdue           // the time was over
	broken            // the reasons say why
	abandoned         // interrupted, or somebody stepped in
)

// run runs the drill; the end of ctx ends it early. The report says before what
// it is about.
func (d *demoteDrill) run(ctx context.Context) *control.DrillReport {
	r := &d.report
	r.Started, r.Reasons = time.Now(), []string{}
	defer func() { r.Seconds = time.Since(r.Started).Seconds() }()
	d.ear, d.successors = newEar(), map[string]moment{}
	if err := d.world.Listen(d.ear); err != nil {
		d.fail("%v", err)
		return r
	}
	var err error
	if d.before, err = d.world.Standings(ctx); err != nil {
		d.fail("the instances cannot be looked at: %v", err)
		return r
	}
	d.now = d.before
	for _, rec := range d.records {
		if d.world.Here(rec) {
			rec.came(time.Now())
		}
	}
	stopAsking := d.ask()
	d.rehearse(ctx)
	if err := stopAsking(); err != nil && len(r.Reasons) > 0 {
		d.fail("a request could not be sent: %v", err)
	}
	d.finish(context.WithoutCancel(ctx))
	return r
}

func (d *demoteDrill) rehearse(ctx context.Context) {
	if !d.calm(ctx) {
		return
	}
	at, err := d.world.Release()
	if err != nil {
		d.fail("%v; nothing was moved", err)
		return
	}
	d.released = at
	d.say("released: priority 0 has left; waiting for another router, at most " + d.timeout.String())
	out := d.takeover(ctx)
	if out == reached {
		d.say(fmt.Sprintf("watching %s for %s", d.report.Other, d.hold))
		out = d.lookOn(ctx, d.hold, nil, d.goodThere)
	}
	switch out {
	case overdue:
		d.resume()
	case abandoned:
		if _, err := d.world.Lift(); err != nil && !errors.Is(err, errStopped) {
			d.fail("the demotion could not be lifted: %v", err)
		}
	default:
		d.back(ctx, out == reached)
	}
}

// fail notes one reason why the drill did not hold.
func (d *demoteDrill) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(d.report.Reasons, text) {
		d.report.Reasons = append(d.report.Reasons, text)
	}
}

// ask asks for the addresses all the while. The function it returns ends that,
// and says what was the first that went wrong with it.
func (d *demoteDrill) ask() (stop func() error) {
	quit, first := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		defer func() { first <- err }()
		t := time.NewTicker(askEvery)
		defer t.Stop()
		for {
			for n, rec := range d.records {
				if !rec.asked(time.Now()) {
					continue
				}
				if askErr := d.world.Ask(n); err == nil {
					err = askErr
				}
			}
			select {
			case <-quit:
				return
			case <-t.C:
			}
		}
	}()
	return func() error {
		close(quit)
		err := <-first
		settled := func(r *record) bool { _, waiting := r.silent(time.Now()); return waiting == 0 }
		for deadline := time.Now().Add(drillSettle); time.Now().Before(deadline); time.Sleep(askEvery / 4) {
			if !slices.ContainsFunc(d.records, func(r *record) bool { return !settled(r) }) {
				break
			}
		}
		return err
	}
}

// calm looks whether everything is as it should be before anything is moved.
func (d *demoteDrill) calm(ctx context.Context) bool {
	d.say(fmt.Sprintf("asking for %s every %s", strings.Join(d.asked(), ", "), askEvery))
	for _, rec := range d.records {
		if !rec.isHere() {
			d.fail("%s is not on %s, although the instance is active; nothing was moved", rec.addr, rec.iface)
		}
	}
	out := d.lookOn(ctx, drillCalm, nil, func() bool {
		for _, rec := range d.records {
			if a, ok := rec.lastAnswer(); ok {
				d.fail("%s answers for %s beside this node; nothing was moved", hostName(a.MAC.String()), rec.addr)
			}
		}
		return len(d.report.Reasons) == 0
	})
	return out == reached
}

func hostName(mac string) string {
	if mac == "" {
		return "another host"
	}
	return mac
}

func (d *demoteDrill) asked() (names []string) {
	for _, rec := range d.records {
		names = append(names, rec.addr.String())
	}
	return names
}

// hear takes what is new.
func (d *demoteDrill) hear() {
	news := d.ear.since(len(d.moments))
	d.moments = append(d.moments, news...)
	for _, m := range news {
		switch m.what {
		case came, went, gone:
			d.moved(m)
		case heard:
			if _, known := d.successors[m.inst]; !known && m.priority > 0 && !d.released.IsZero() && !m.at.Before(d.released) {
				d.successors[m.inst] = m
			}
		}
	}
}

// moved has the records follow addresses that came or went.
func (d *demoteDrill) moved(m moment) {
	for _, rec := range d.records {
		switch here := slices.ContainsFunc(m.addrs, func(a vip.Address) bool { return a.Prefix.Addr() == rec.addr && a.Interface == rec.iface }); {
		case here && m.what == came:
			rec.came(m.at)
		case here:
			rec.went(m.at)
		}
	}
}

// lookOn looks at everything until done, or something is not good. Without done
// it is done when the time is over.
func (d *demoteDrill) lookOn(ctx context.Context, limit time.Duration, done, good func() bool) outcome {
	over := time.NewTimer(limit)
	defer over.Stop()
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		now, err := d.world.Standings(ctx)
		switch {
		case ctx.Err() != nil:
			d.fail("interrupted: %s", interruption(ctx))
			return abandoned
		case errors.Is(err, errStopped):
			d.fail("interrupted: %s", errStopped)
			return abandoned
		case err != nil:
			d.fail("the instances cannot be looked at: %v", err)
			return broken
		}
		d.now = now
		d.hear()
		for _, s := range d.now {
			if s.foreign {
				d.fail("an operator promoted or demoted %s meanwhile, and it is left so", s.name)
				return abandoned
			}
		}
		if !good() {
			return broken
		}
		if done != nil && done() {
			return reached
		}
		select {
		case <-over.C:
			if done == nil {
				return reached
			}
			return overdue
		case <-ctx.Done():
		case <-d.ear.news:
		case <-t.C:
		}
	}
}

// takeover waits for another router, and for its answers.
func (d *demoteDrill) takeover(ctx context.Context) outcome {
	alone := false
	out := d.lookOn(ctx, d.patience, func() bool {
		// Whoever is active without leaving has taken the demotion back, or
		// has taken over as the last that is left.
		alone = !slices.ContainsFunc(d.now, func(s memberStanding) bool { return !s.serves() })
		return alone || len(d.successors) >= len(d.before)
	}, d.goodAny)
	switch {
	case out == reached && alone:
		return overdue
	case out != reached:
		return out
	}
	s := d.successors[d.before[0].name]
	d.report.Other = s.peer.String()
	d.say(fmt.Sprintf("%s (priority %d) took over: advertised after %s", s.peer, s.priority, drillTime(s.at.Sub(d.released))))
	out = d.lookOn(ctx, drillPatience, func() bool {
		return !slices.ContainsFunc(d.records, func(r *record) bool { _, ok := r.firstAnswer(d.released); return !ok })
	}, d.goodAny)
	if out == overdue {
		for _, rec := range d.records {
			if _, ok := rec.firstAnswer(d.released); !ok {
				d.fail("%s advertises, but nobody answers for %s", d.report.Other, rec.addr)
			}
		}
		return broken
	}
	if out == reached {
		a, _ := d.records[0].firstAnswer(d.released)
		d.say(fmt.Sprintf("%s answered by %s after %s", d.records[0].addr, hostName(a.MAC.String()), drillTime(a.At.Sub(d.released))))
	}
	return out
}

// serves reports whether an instance is active and means to stay so.
func (s *memberStanding) serves() bool { return s.state == vrrp.Active && !s.leaving }

// goodAny reports whether every instance is there and without fault.
func (d *demoteDrill) goodAny() bool {
	good := true
	for _, b := range d.before {
		i := slices.IndexFunc(d.now, func(s memberStanding) bool { return s.name == b.name })
		switch {
		case i < 0:
			d.fail("%s is gone", b.name)
		case d.now[i].state == vrrp.Fault:
			d.fail("%s is in fault: %s", b.name, d.now[i].held)
		default:
			continue
		}
		good = false
	}
	return good
}

// answered reports whether the addresses do not stay silent.
func (d *demoteDrill) answered() bool {
	good := true
	for _, rec := range d.records {
		silence, unanswered := rec.silent(time.Now())
		if silence > drillPatience && unanswered >= int(drillPatience/askEvery/2) {
			d.fail("nobody has answered for %s for %s", rec.addr, drillPatience)
			good = false
		}
	}
	return good
}

// goodThere reports whether the successor goes on serving.
func (d *demoteDrill) goodThere() bool {
	good := d.goodAny() && d.answered()
	for i := range d.now {
		if d.now[i].serves() {
			d.fail("%s fell silent: %s is active here again", d.report.Other, d.now[i].name)
			good = false
		}
	}
	return good
}

// goodHere reports whether every instance goes on serving.
func (d *demoteDrill) goodHere() bool {
	good := d.goodAny()
	for i := range d.now {
		if s := &d.now[i]; !s.serves() {
			d.fail("%s did not stay active: it is %s%s", s.name, s.state, s.why())
			good = false
		}
	}
	return good
}

// resume ends a drill that nobody took over in.
func (d *demoteDrill) resume() {
	var left []string
	for _, b := range d.before {
		if _, ok := d.successors[b.name]; !ok {
			left = append(left, b.name)
		}
	}
	what := ""
	if len(d.before) > 1 && len(left) < len(d.before) {
		what = " " + strings.Join(left, ", ")
	}
	d.report.Refused = true
	d.fail("nobody took over%s within %s, so the service was resumed", what, drillTime(time.Since(d.released)))
	if _, err := d.world.Lift(); err != nil {
		d.fail("the demotion could not be lifted: %v", err)
		return
	}
	// Nothing keeps us from seeing to this, so it hears of no interruption.
	d.lookOn(context.Background(), drillPatience, d.allServe, d.goodAny)
}

func (d *demoteDrill) allServe() bool {
	return len(d.now) == len(d.before) && !slices.ContainsFunc(d.now, func(s memberStanding) bool { return !s.serves() || s.demoted })
}

// back promotes and watches the return, if there is one.
func (d *demoteDrill) back(ctx context.Context, well bool) {
	l, err := d.world.Lift()
	if err != nil {
		if !errors.Is(err, errStopped) {
			d.fail("the demotion could not be lifted: %v", err)
		}
		return
	}
	d.lifted = l.at
	if l.stays != "" && !d.allServe() {
		d.report.Stays = l.stays
		d.say("promoted; " + l.stays + ": the service stays with " + d.report.Other)
		if d.foretold == "" {
			d.fail("%s: the service stays with %s", l.stays, d.report.Other)
		}
		if well {
			d.lookOn(ctx, drillHold, nil, d.goodThere)
		}
		return
	}
	d.say("promoted; active again within " + l.within.Round(time.Second/10).String())
	good := func() bool { return d.goodAny() && (!well || d.answered()) }
	switch d.lookOn(ctx, l.within, d.allServe, good) {
	case overdue:
		for _, s := range d.now {
			if !s.serves() {
				d.fail("%s has not returned within %s: it is %s%s", s.name, l.within, s.state, s.why())
			}
		}
		return
	case reached:
	default:
		return
	}
	if d.lookOn(ctx, drillPatience, func() bool {
		return !slices.ContainsFunc(d.records, func(r *record) bool { return !r.isHere() })
	}, d.goodAny) == overdue {
		for _, rec := range d.records {
			if !rec.isHere() {
				d.fail("%s has not come back to %s", rec.addr, rec.iface)
			}
		}
		return
	}
	d.say("active again after " + drillTime(time.Since(d.lifted)))
	d.lookOn(ctx, drillHold, nil, d.goodHere)
}

func (s *memberStanding) why() string {
	if s.held == "" {
		return ""
	}
	return " (" + s.held + ")"
}
