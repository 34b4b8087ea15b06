package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"vrrpd/internal/control"
)

// RenderInstance writes the screen of `vrrpctl status INSTANCE`. The status is
// restricted to that instance.
func RenderInstance(w io.Writer, s *control.Status, o Options) error {
	if len(s.Instances) != 1 {
		return fmt.Errorf("status of one instance: the daemon answered with %d", len(s.Instances))
	}
	in := &s.Instances[0]
	b := &strings.Builder{}
	st := stateCell(in)
	fmt.Fprintf(b, "%s on %s: %s for %s, since %s\n", o.paint(bold, printable(in.Name)), printable(s.Node),
		o.paint(st.color, st.text), since(o.Now, in.Since), moment(o.Now, in.Since))
	warnings(b, s, o)
	b.WriteByte('\n')
	g := &grid{opts: o}
	facts(g, in, o)
	if err := g.write(b); err != nil {
		return err
	}
	if err := lower(b, s, o); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// facts are the lines of an instance: a name, and what there is to say.
func facts(g *grid, in *control.Instance, o Options) {
	fact := func(name string, lines ...cell) {
		for _, l := range lines {
			if l.text != "" {
				g.row(cell{name, dim}, l)
				name = ""
			}
		}
	}
	fact("why", cell{text: in.Cause})
	for _, r := range in.Reasons {
		fact("held", cell{r, yellow})
	}
	for _, n := range instanceNotes(in, o.Now) {
		fact("note", cell{n, yellow})
	}
	if next := in.NextEvent; next != nil && next.What != "" {
		fact("next", cell{text: fmt.Sprintf("%s, in %s", next.What, seconds(max(0, next.InSeconds)))})
	}
	fact("priority", cell{text: priority(in.Priority)})
	preempt := "takes over from a lower priority"
	if !in.Preempt {
		preempt = "does not take over from a lower priority (preempt = false)"
	}
	fact("", cell{text: preempt})
	router := fmt.Sprintf("VRID %d, VRRPv%d, %s on %s", in.VRID, in.Version, in.Family, in.Interface)
	if in.Source != "" {
		router += ", from " + in.Source
	}
	fact("virtual router", cell{text: router})
	fact("group", cell{text: in.Group})
	fact("active router", cell{text: activeRouter(in)})
	var addresses []cell
	for _, a := range in.Addresses {
		addresses = append(addresses, addressCell(in, a, ""))
	}
	for _, a := range in.Extra {
		addresses = append(addresses, addressCell(in, a, "extra, "))
	}
	fact("addresses", addresses...)
	adverts := fmt.Sprintf("%d sent, %d received", in.Adverts.Sent, in.Adverts.Received)
	if len(in.Adverts.Errors) > 0 {
		adverts += ", rejected: " + counts(in.Adverts.Errors)
	}
	fact("adverts", cell{text: adverts})
	fact("transitions", cell{text: fmt.Sprint(in.Transitions)})
	fact("checks", cell{text: strings.Join(in.Track, ", ")})
}

// addressCell is an address and whether this node has it, marked if it should
// be the other way round.
func addressCell(in *control.Instance, address, kind string) cell {
	installed := slices.Contains(in.Installed, address)
	switch {
	case installed && (in.State == "active" || in.HandingOver):
		return cell{address + "  (" + kind + "here)", green}
	case installed:
		return cell{address + "  (" + kind + "HERE, although not active)", red}
	case in.State == "active":
		return cell{address + "  (" + kind + "MISSING)", red}
	}
	return cell{text: address + "  (" + kind + "not here)"}
}
