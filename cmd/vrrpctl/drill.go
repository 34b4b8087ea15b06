package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vrrpd/internal/control"
)

func (a *app) drillCommand() *cobra.Command {
	var (
		r   control.DrillRequest
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "drill [INSTANCE] [--kind demote|bond]",
		Short: "Rehearse a failure, see whether the service holds, put everything back, report",
		Long: `Rehearse a failure.

--kind demote: the daemon demotes the instance with its group, watches another
node take over, asks for the addresses all the while (by ARP, IPv6 by neighbour
solicitation), promotes, and watches the return. Exit status 0 if everything
held, 4 if nobody took over and the service was resumed, 1 otherwise.

--kind bond: the daemon moves the active link of the active-backup bond under
the instance to another usable link and back, asks a target over it all the
while, and checks that every instance over the bond stays as it is. Exit status
0 if everything held, 1 if not.

What was changed is put back even if vrrpctl is interrupted.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.instanceNames(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkDrill(r); err != nil {
				return err
			}
			if len(args) == 1 {
				r.Instance = args[0]
			}
			if !yes {
				if err := a.confirm(cmd.Context(), r); err != nil {
					return err
				}
			}
			return a.drill(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Kind, "kind", control.DrillDemote, "what to rehearse: `demote`, the loss of this node, or bond, the failover of a bond")
	f.StringVar(&r.Target, "target", "", "with --kind bond, who is asked all the while: an `address` (default: the gateway, else the other router)")
	f.BoolVar(&yes, "yes", false, "do not ask before it begins")
	must(cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{control.DrillDemote, control.DrillBond}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func checkDrill(r control.DrillRequest) error {
	switch r.Kind {
	case control.DrillBond:
		if r.Target != "" {
			if _, err := netip.ParseAddr(r.Target); err != nil {
				return usage("--target %q: an address of the bond's network, such as 192.0.2.1", r.Target)
			}
		}
	case control.DrillDemote:
		if r.Target != "" {
			return usage("--target is for --kind bond: a demotion asks for the instance's own addresses")
		}
	default:
		return usage("--kind %q: there is no such drill; demote and bond are two", r.Kind)
	}
	return nil
}

// confirm asks on the terminal whether to go on.
func (a *app) confirm(ctx context.Context, r control.DrillRequest) error {
	if f, ok := a.in.(*os.File); !ok || !isTerminal(f) {
		return usage("a drill moves live traffic: without a terminal to ask on it takes --yes")
	}
	what, err := a.announceDrill(ctx, r)
	if err != nil {
		return err
	}
	fmt.Fprint(a.err, what+"\nGo on? [y/N] ")
	answers := make(chan string, 1)
	go func() { // it may wait for ever; the program does not
		answer, _ := bufio.NewReader(a.in).ReadString('\n') // no answer is a no
		answers <- answer
	}()
	var answer string
	select {
	case answer = <-answers:
	case <-ctx.Done():
		fmt.Fprintln(a.err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &exitError{code: exitFailed, lines: []string{"vrrpctl: nothing was done"}}
}

// announceDrill says what is going to happen. For a demotion the daemon knows.
func (a *app) announceDrill(ctx context.Context, r control.DrillRequest) (string, error) {
	if r.Kind == control.DrillBond {
		what := "the active link of the bond"
		if r.Instance != "" {
			what += " under " + printable(r.Instance)
		}
		return "This moves " + what + " to another link and back. What runs over it may pause for a moment.", nil
	}
	c := a.client()
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.DryRun = true
	plan, err := c.Drill(ctx, r, func(control.DrillProgress) {})
	if err != nil {
		return "", a.drillError(ctx, c, r, err)
	}
	names := make([]string, 0, len(plan.Instances))
	for _, in := range plan.Instances {
		names = append(names, printable(in.Name))
	}
	end := " and takes it back."
	if plan.Stays != "" {
		end = "."
	}
	what := "This hands " + strings.Join(names, ", ") + " over to whichever node takes over" + end
	for _, w := range plan.Warnings {
		what += "\nwarning: " + printable(w)
	}
	return what, nil
}

// drillError is err, with a suggestion if the instance is mistyped.
func (a *app) drillError(ctx context.Context, c *control.Client, r control.DrillRequest, err error) error {
	if r.Instance == "" {
		return ran{err}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return ran{suggest(ctx, c, err, r.Instance)}
}

// drill has it done, shows on stderr how it goes, and prints the report.
func (a *app) drill(ctx context.Context, r control.DrillRequest) error {
	c := a.client()
	defer c.Close()
	rep, err := c.Drill(ctx, r, func(p control.DrillProgress) {
		if a.format == asTable {
			fmt.Fprintf(a.err, "%s  %s\n", p.Time.In(a.now().Location()).Format("15:04:05.000"), printable(p.Text))
		}
	})
	switch {
	case err != nil && ctx.Err() != nil: // whether it has begun is the daemon's to know
		undone := "lifts the demotion"
		if r.Kind == control.DrillBond {
			undone = "puts the active link back"
		}
		return &exitError{code: exitFailed, lines: []string{"vrrpctl: interrupted; the daemon " + undone + " (see vrrpctl events)"}}
	case err != nil:
		return a.drillError(ctx, c, r, err)
	}
	render := RenderDrill
	if rep.Kind == control.DrillDemote {
		render = RenderDemoteDrill
	}
	if err := a.print(rep, func(w io.Writer) error { return render(w, rep, a.style()) }); err != nil {
		return ran{err}
	}
	if rep.Held {
		return nil
	}
	st := &exitError{code: exitFailed}
	if rep.Refused {
		st.code = exitRefused
	}
	for _, reason := range rep.Reasons {
		st.lines = append(st.lines, "vrrpctl: the drill did not hold: "+reason)
	}
	return st
}

// RenderDrill writes the report of the drill of a bond.
func RenderDrill(w io.Writer, r *control.DrillReport, o Options) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s: active link %s to %s and back, asking %s over %s, %s\n", o.paint(bold, printable(r.Bond)),
		printable(r.Found), printable(r.Other), printable(r.Target), printable(r.Interface), seconds(r.Seconds))
	if len(r.Phases) > 0 {
		b.WriteByte('\n')
		if err := phaseGrid(r, o).write(b); err != nil {
			return err
		}
	}
	b.WriteByte('\n')
	for _, in := range r.Instances {
		text, c := "stayed "+stateWord(in.Before), green
		switch {
		case in.After == "":
			text, c = "was "+stateWord(in.Before)+", is gone", red
		case in.After != in.Before:
			text, c = stateWord(in.Before)+" became "+stateWord(in.After), red
		case in.Transitions > 0:
			text, c = fmt.Sprintf("left %s and returned (%s)", stateWord(in.Before), plural(int(in.Transitions), "transition")), red
		}
		fmt.Fprintf(b, "%s: %s\n", printable(in.Name), o.paint(c, text))
	}
	restored := o.paint(green, "the active link is "+printable(r.Found)+" again")
	switch {
	case !r.Restored:
		restored = o.paint(red, "the active link is NOT "+printable(r.Found)+" again")
	case len(r.Phases) < 2:
		restored = "nothing was moved"
	}
	fmt.Fprintf(b, "%s: %s\n", printable(r.Bond), restored)
	b.WriteString(verdictLine(r, o))
	_, err := io.WriteString(w, b.String())
	return err
}

func verdictLine(r *control.DrillReport, o Options) string {
	if r.Held {
		return o.paint(green, "held") + "\n"
	}
	return o.paint(red, "DID NOT HOLD") + "\n"
}

// phaseGrid has a line for each phase.
func phaseGrid(r *control.DrillReport, o Options) *grid {
	g := &grid{opts: o}
	g.head("PHASE", "ACTIVE LINK", "MOVED IN", "FIRST REPLY", "LONGEST SILENCE", "LOST")
	for _, p := range r.Phases {
		moved, first := "-", "-"
		if p.MoveSeconds > 0 {
			moved = seconds(p.MoveSeconds)
			first = "NONE"
		}
		if p.FirstReplySeconds > 0 {
			first = seconds(p.FirstReplySeconds)
		}
		g.row(cell{p.Name, bold}, cell{text: p.ActiveLink}, cell{text: moved}, cell{text: first}, cell{text: seconds(p.LongestSilenceSeconds)}, lostOf(p.Lost, p.Sent))
	}
	return g
}

func lostOf(lost, sent int) cell {
	c := cell{text: fmt.Sprintf("%d of %d", lost, sent)}
	if lost > 0 {
		c.color = yellow
	}
	return c
}
