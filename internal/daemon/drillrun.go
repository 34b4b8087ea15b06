package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vrrpd/internal/control"
	"vrrpd/vrrp"
)

// Times of a drill.
const (
	askEvery      = 20 * time.Millisecond
	watchEvery    = 100 * time.Millisecond // the bond and the instances are looked at
	drillPatience = 2 * time.Second        // without a reply: the way is dead
	drillCalm     = 500 * time.Millisecond // of the first phase, in which nothing is moved
	drillHold     = 2 * time.Second        // at least, on each link
	drillSettle   = 200 * time.Millisecond // for the last answer
	restoreTries  = 5
	restoreEvery  = 200 * time.Millisecond
)

// A standing is how an instance over the bond stands.
type standing struct {
	name        string
	state       vrrp.State
	transitions uint64
}

// A drillWorld is what a drill moves and looks at.
type drillWorld interface {
	ActiveLink() (string, error)
	Move(link string) error
	// Standings are those of the instances over the bond; one that is gone is
	// left out.
	Standings(ctx context.Context) ([]standing, error)
	// Ask sends one request to the target. Replies come to the meter.
	Ask() error
}

// A drill moves the active link of a bond to another one and back. Whatever
// happens on the way, it ends with the link that it found, unless that is not
// usable any more.
type drill struct {
	world  drillWorld
	meter  *meter
	hold   time.Duration // on each link
	say    func(text string)
	report control.DrillReport

	before []standing
	asking chan error // the first error of Ask; nil at the end
}

// run runs the drill; the end of ctx ends it early. The report's bond,
// interface, target and links are set before.
func (d *drill) run(ctx context.Context) *control.DrillReport {
	r := &d.report
	r.Started, r.Reasons, r.Restored = time.Now(), []string{}, true
	defer func() { r.Seconds = time.Since(r.Started).Seconds() }()
	var err error
	if d.before, err = d.world.Standings(ctx); err != nil {
		d.fail("the instances cannot be looked at: %v", err)
		return r
	}
	stopAsking := d.ask()
	if d.warmUp(ctx) && d.phase(ctx, "before", "", drillCalm) {
		well := d.phase(ctx, "there", r.Other, d.hold)
		d.back(ctx, well)
	}
	// By itself that is a lost reply, like others.
	if err := stopAsking(); err != nil && len(r.Reasons) > 0 {
		d.fail("a request could not be sent: %v", err)
	}
	d.meter.fill(r.Phases)
	d.compare(context.WithoutCancel(ctx))
	r.Held = len(r.Reasons) == 0
	return r
}

// fail notes one reason why the drill did not hold.
func (d *drill) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(d.report.Reasons, text) {
		d.report.Reasons = append(d.report.Reasons, text)
	}
}

// ask asks the target all the while. The function it returns ends that, and
// says what was the first that went wrong with it.
func (d *drill) ask() (stop func() error) {
	quit, first := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		defer func() { first <- err }()
		t := time.NewTicker(askEvery)
		defer t.Stop()
		for {
			d.meter.asked(time.Now())
			if askErr := d.world.Ask(); err == nil {
				err = askErr
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
		for deadline := time.Now().Add(drillSettle); !d.meter.settled() && time.Now().Before(deadline); {
			time.Sleep(askEvery / 4)
		}
		return err
	}
}

// warmUp waits for the first reply. Without one nothing is moved.
func (d *drill) warmUp(ctx context.Context) bool {
	d.say(fmt.Sprintf("asking %s over %s every %s", d.report.Target, d.report.Interface, askEvery))
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for started := time.Now(); ; {
		if d.meter.heard() {
			return true
		}
		if time.Since(started) > drillPatience {
			d.fail("%s does not answer over %s, so nothing was moved; name another address with --target", d.report.Target, d.report.Interface)
			return false
		}
		select {
		case <-ctx.Done():
			d.fail("interrupted before anything was moved: %s", interruption(ctx))
			return false
		case <-t.C:
		}
	}
}

// interruption says what ended ctx: a cause that was given, or the daemon's end.
func interruption(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return errStopped
}

// phase makes a link the active one, "" being the one that is, and looks on for
// a time. It reports whether all went well.
func (d *drill) phase(ctx context.Context, name, link string, hold time.Duration) bool {
	p := control.DrillPhase{Name: name, ActiveLink: link}
	d.meter.begin()
	defer func() {
		d.meter.end(time.Now())
		d.report.Phases = append(d.report.Phases, p)
	}()
	if link == "" {
		p.ActiveLink = d.report.Found
	} else {
		d.say(fmt.Sprintf("moving the active link to %s, for %s", link, hold))
		began := time.Now()
		// Even a move that the kernel calls failed may have been made.
		d.report.Restored = false
		if err := d.world.Move(link); err != nil {
			d.fail("%v", err)
			return false
		}
		at := time.Now()
		p.MoveSeconds = at.Sub(began).Seconds()
		d.meter.moved(at)
	}
	return d.lookOn(ctx, p.ActiveLink, hold)
}

// lookOn watches the replies, the bond and the instances.
func (d *drill) lookOn(ctx context.Context, link string, hold time.Duration) bool {
	over := time.NewTimer(hold)
	defer over.Stop()
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			d.fail("interrupted: %s", interruption(ctx))
			return false
		case <-over.C:
			return d.good(ctx, link)
		case <-t.C:
			if !d.good(ctx, link) {
				return false
			}
		}
	}
}

// good reports whether the drill may go on.
func (d *drill) good(ctx context.Context, link string) bool {
	known := len(d.report.Reasons)
	silence, unanswered := d.meter.silent(time.Now())
	if silence > drillPatience && unanswered >= int(drillPatience/askEvery/2) {
		d.fail("no reply from %s over %s for %s", d.report.Target, link, drillPatience)
	}
	switch active, err := d.world.ActiveLink(); {
	case err != nil:
		d.fail("%v", err)
	case active != link:
		d.fail("the active link became %s by itself, while it should be %s", linkName(active), link)
	}
	switch now, err := d.world.Standings(ctx); {
	case ctx.Err() != nil: // noticed where it belongs
	case err != nil:
		d.fail("the instances cannot be looked at: %v", err)
	default:
		for _, text := range stirred(d.before, now) {
			d.fail("%s", text)
		}
	}
	return len(d.report.Reasons) == known
}

func linkName(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// stirred says which instances did not stay as they were.
func stirred(before, now []standing) []string {
	var out []string
	for _, b := range before {
		i := slices.IndexFunc(now, func(s standing) bool { return s.name == b.name })
		switch {
		case i < 0:
			out = append(out, b.name+" is gone")
		case now[i].state != b.state:
			out = append(out, fmt.Sprintf("%s went from %s to %s", b.name, b.state, now[i].state))
		case now[i].transitions != b.transitions:
			out = append(out, fmt.Sprintf("%s left %s and returned", b.name, b.state))
		}
	}
	return out
}

// back puts the bond back, and looks on if all went well so far.
func (d *drill) back(ctx context.Context, well bool) {
	r := &d.report
	if well {
		well = d.phase(ctx, "back", r.Found, d.hold)
	}
	if well {
		r.Restored = true
		return
	}
	// What went wrong is known. Nothing may keep us from this, so it hears of
	// no interruption.
	d.say("putting the active link back to " + r.Found)
	var err error
	for try := range restoreTries {
		if try > 0 {
			time.Sleep(restoreEvery)
		}
		if err = d.world.Move(r.Found); err != nil {
			continue
		}
		if active, readErr := d.world.ActiveLink(); readErr != nil || active != r.Found {
			err = errors.Join(readErr, fmt.Errorf("the active link is %s", linkName(active)))
			continue
		}
		r.Restored = true
		return
	}
	d.fail("the active link could not be put back to %s: %v", r.Found, err)
}

// compare fills in what became of the instances.
func (d *drill) compare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drillPatience)
	defer cancel()
	now, err := d.world.Standings(ctx)
	if err != nil && !errors.Is(err, errStopped) {
		d.fail("the instances cannot be looked at: %v", err)
	}
	if err == nil {
		for _, text := range stirred(d.before, now) {
			d.fail("%s", text)
		}
	}
	for _, b := range d.before {
		in := control.DrillInstance{Name: b.name, Before: b.state.String()}
		if i := slices.IndexFunc(now, func(s standing) bool { return s.name == b.name }); i >= 0 {
			in.After = now[i].state.String()
			in.Transitions = now[i].transitions
			if in.Transitions >= b.transitions { // else it was made anew
				in.Transitions -= b.transitions
			}
		}
		d.report.Instances = append(d.report.Instances, in)
	}
}
