package bonding

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A StepKind is what a Step does.
type StepKind uint8

// The steps of a plan.
const (
	_          StepKind = iota
	StepCreate          // make the bond
	StepDown            // set the bond down; never planned while a link of it works
	StepSet             // set one option
	StepAttach          // attach one link
	StepUp              // set the bond up
)

// A Step is one thing to do to a bond.
type Step struct {
	Kind   StepKind
	Bond   string
	Link   string // StepAttach, and StepSet of the primary
	Option string // StepSet: the kernel's name
	From   string // StepSet
	To     string // StepSet; StepCreate: the mode

	mode  Mode
	attr  uint16
	value []byte
}

// String is the step as an operator would say it, without the outcome.
func (s Step) String() string {
	switch s.Kind {
	case StepCreate:
		return fmt.Sprintf("create %s, mode %s", s.Bond, s.To)
	case StepDown:
		return "set " + s.Bond + " down"
	case StepSet:
		return fmt.Sprintf("set %s of %s to %s, was %s", s.Option, s.Bond, s.To, orNone(s.From))
	case StepAttach:
		return fmt.Sprintf("attach %s to %s", s.Link, s.Bond)
	case StepUp:
		return "set " + s.Bond + " up"
	default:
		return fmt.Sprintf("unknown step %d", uint8(s.Kind))
	}
}

// An Obstacle is a difference that cannot be put right without harm, or at all.
type Obstacle struct {
	Bond string
	Link string // "" if it is not about one link
	What string // one sentence
}

// String is the obstacle for a person.
func (o Obstacle) String() string {
	if o.Link != "" {
		return o.Bond + ": " + o.Link + ": " + o.What
	}
	return o.Bond + ": " + o.What
}

// A Device is what a plan must know of an interface that is to become a link.
// Handle.Devices reads it.
type Device struct {
	Name      string
	Index     int
	Kind      string // bond, bridge, vlan, …; "" for most hardware
	Up        bool
	Master    string         // what it already belongs to
	Addresses []netip.Prefix // link-local ones left out
	Above     []string       // VLANs and macvlans on it
}

// Plan works out how a bond becomes what it should be. cur is the bond as it
// is, nil if there is none; devices are m.Name and m.Links as far as they
// exist.
//
// No step takes a working link down, or the bond while one works. Options that
// the driver only changes on a bond without links, or that is set down, are
// obstacles then. A link that somebody has set down is left down: that is how
// maintenance is done. Links that are attached but not listed stay.
func Plan(cur *Bond, m Managed, devices map[string]Device) ([]Step, []Obstacle) {
	p := planner{m: m}
	for _, bad := range m.Check() {
		p.obstacle("", "%s", bad)
	}
	if len(p.obstacles) > 0 {
		return nil, p.obstacles
	}
	if cur == nil {
		if d, ok := devices[m.Name]; ok {
			p.obstacle("", "exists and is %s, not a bond", article(d.Kind))
			return nil, p.obstacles
		}
		p.steps = append(p.steps, Step{Kind: StepCreate, Bond: m.Name, To: m.Mode.String(), mode: m.Mode})
		cur = &Bond{Name: m.Name, Mode: m.Mode}
		p.fresh = true
	}
	p.cur = cur
	p.options()
	p.attach(devices)
	p.primary()
	if p.down || len(cur.Links) == 0 && !cur.Up {
		p.steps = append(p.steps, Step{Kind: StepUp, Bond: m.Name})
	}
	return p.steps, p.obstacles
}

type planner struct {
	m         Managed
	cur       *Bond
	fresh     bool // about to be created: nothing is known of its options
	down      bool // a step sets it down
	steps     []Step
	obstacles []Obstacle
}

func (p *planner) obstacle(link, format string, args ...any) {
	p.obstacles = append(p.obstacles, Obstacle{Bond: p.m.Name, Link: link, What: fmt.Sprintf(format, args...)})
}

func (p *planner) options() {
	miimon := false
	for _, s := range p.m.settings(p.cur) {
		switch {
		case s.option == "primary":
			continue // once its link is attached
		case p.fresh && s.option == "mode":
			continue // created with it
		case p.fresh:
			s.have = ""
		case miimon && (s.option == "updelay" || s.option == "downdelay"):
			// Kept as a number of polls, so another miimon changes it too.
		case s.want == s.have:
			continue
		}
		if p.mayset(s) {
			miimon = miimon || s.option == "miimon"
			p.set(s, "")
		}
	}
}

// mayset plans what the option needs, or reports why it cannot be had.
func (p *planner) mayset(s setting) bool {
	switch {
	case p.fresh:
		return true
	case s.need == needEmpty && len(p.cur.Links) > 0:
		p.obstacle("", "%s is %s, wanted %s: cannot be set while links are attached", s.option, s.have, s.want)
		return false
	case s.need == needDown && p.cur.Up && p.cur.UsableLinks() > 0:
		p.obstacle("", "%s is %s, wanted %s: cannot be set while the bond is up", s.option, s.have, s.want)
		return false
	case s.need == needNothing || !p.cur.Up || p.down:
		return true
	}
	p.steps = append(p.steps, Step{Kind: StepDown, Bond: p.m.Name})
	p.down = true
	return true
}

func (p *planner) set(s setting, link string) {
	p.steps = append(p.steps, Step{
		Kind: StepSet, Bond: p.m.Name, Link: link, Option: s.option,
		From: s.have, To: s.want, attr: s.attr, value: s.value,
	})
}

func (p *planner) attach(devices map[string]Device) {
	for _, name := range p.m.Links {
		if p.cur.Link(name) != nil {
			continue
		}
		d, ok := devices[name]
		switch {
		case !ok:
			p.obstacle(name, "no such interface")
		case d.Master != "":
			p.obstacle(name, "belongs to %s", d.Master)
		case len(d.Addresses) > 0:
			p.obstacle(name, "has the address %s; a link of a bond has none", d.Addresses[0])
		case len(d.Above) > 0:
			p.obstacle(name, "is in use by %s", strings.Join(d.Above, ", "))
		default:
			p.steps = append(p.steps, Step{Kind: StepAttach, Bond: p.m.Name, Link: name})
		}
	}
}

// primary is set last, when its link is, or is about to be, attached. With
// primary_reselect=always this moves the active link: a failover between two
// working links, not an interruption.
func (p *planner) primary() {
	name := p.m.Primary
	if name == "" || name == p.cur.Primary {
		return
	}
	attached := p.cur.Link(name) != nil || slices.ContainsFunc(p.steps, func(s Step) bool {
		return s.Kind == StepAttach && s.Link == name
	})
	if !attached {
		return // an obstacle of its own says why
	}
	for _, s := range p.m.settings(p.cur) {
		if s.option == "primary" {
			p.set(s, name)
		}
	}
}

func article(kind string) string {
	if kind == "" {
		return "an interface"
	}
	return "a " + kind
}
