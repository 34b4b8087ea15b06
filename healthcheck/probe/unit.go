package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Unit passes while a unit of systemd is active (or reloading, as with
// "systemctl is-active"). systemd is asked over D-Bus: directly at
// /run/systemd/private, which is for root and needs no bus, or else over the
// system bus, where everybody may ask. A change is noticed at once.
type Unit struct {
	Name string // "nginx.service"; without a type of unit at its end it is a service
}

// unitTypes are those of systemd.unit(5).
var unitTypes = []string{"service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"}

// unitNameMax is UNIT_NAME_MAX of systemd less the NUL.
const unitNameMax = 255

type unitProbe struct {
	name    string
	path    string // of its object on the bus
	sockets []dbusSocket
}

// New judges the spec.
func (s Unit) New() (Probe, error) {
	name := s.Name
	// "service" alone is a name, and no type.
	if dot := strings.LastIndexByte(name, '.'); dot < 0 || !slices.Contains(unitTypes, name[dot+1:]) {
		name += ".service"
	}
	base := name[:strings.LastIndexByte(name, '.')]
	if base == "" || base[0] == '@' || len(name) > unitNameMax || !onlyOf(base, unitCharacters) {
		return nil, invalid("name", "%q cannot be the name of a unit", s.Name)
	}
	if strings.HasSuffix(base, "@") {
		return nil, invalid("name", "%q is a template; name an instance of it", s.Name)
	}
	return &unitProbe{name: name, path: unitPath(name), sockets: []dbusSocket{
		{path: "/run/systemd/private", direct: true},
		{path: "/run/dbus/system_bus_socket"},
	}}, nil
}

// unitCharacters are those of systemd.unit(5).
const unitCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-"

func onlyOf(s, characters string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(characters, r) }) < 0
}

// unitPath is the object of a unit: bytes other than letters and digits, and a
// digit at the beginning, are written in hexadecimal.
func unitPath(name string) string {
	var b strings.Builder
	b.WriteString("/org/freedesktop/systemd1/unit/")
	for i, c := range []byte(name) {
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

func (p *unitProbe) String() string { return "unit " + p.name }

const (
	systemd        = "org.freedesktop.systemd1"
	systemdUnit    = "org.freedesktop.systemd1.Unit"
	dbusProperties = "org.freedesktop.DBus.Properties"
)

func (p *unitProbe) Probe(ctx context.Context) Outcome {
	l := begin(ctx)
	c, stop, err := p.connect(ctx)
	if err != nil {
		return fail("ask systemd: %s", l.whyDialed(err))
	}
	defer c.Close()
	defer stop()
	var active, sub, load string
	for _, property := range []struct {
		name  string
		value *string
	}{{"ActiveState", &active}, {"SubState", &sub}, {"LoadState", &load}} {
		m, err := c.call(systemd, p.path, dbusProperties, "Get", systemdUnit, property.name)
		if err == nil {
			*property.value, err = m.text()
		}
		if err != nil {
			return fail("ask systemd for %s: %s", p.name, l.why(err))
		}
	}
	switch {
	case active == "active" || active == "reloading":
		return pass("%s is %s (%s)", p.name, active, sub)
	case load != "loaded":
		return fail("%s is %s: %s", p.name, active, load)
	}
	return fail("%s is %s (%s)", p.name, active, sub)
}

// A dialError is an error with the place that was dialled.
type dialError struct {
	path string
	err  error
}

func (e *dialError) Error() string { return e.path + ": " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func (l look) whyDialed(err error) string {
	var d *dialError
	if errors.As(err, &d) {
		return d.path + ": " + l.why(d.err)
	}
	return l.why(err)
}

// connect asks at the first place where somebody listens.
func (p *unitProbe) connect(ctx context.Context) (c *dbusConn, stop func() bool, err error) {
	for _, at := range p.sockets {
		c, stop, err = dialDBus(ctx, at)
		if err == nil {
			return c, stop, nil
		}
		err = &dialError{at.path, err}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, err
}

// Watch notices when properties of the unit change.
func (p *unitProbe) Watch(ctx context.Context, wake func()) error {
	c, stop, err := p.connect(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("watch %s: %w", p.name, err)
	}
	defer c.Close()
	defer stop()
	if !c.direct {
		_, err = c.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch",
			"type='signal',sender='"+systemd+"',interface='"+dbusProperties+"',member='PropertiesChanged',path='"+p.path+"'")
	}
	if err == nil {
		// Without it systemd sends no signals.
		_, err = c.call(systemd, "/org/freedesktop/systemd1", systemd+".Manager", "Subscribe")
	}
	for err == nil {
		wake()
		var m *dbusMessage
		for m, err = c.receive(); err == nil; m, err = c.receive() {
			if m.kind == dbusSignal && m.path == p.path && m.member == "PropertiesChanged" {
				break
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch %s: %w", p.name, err)
}
