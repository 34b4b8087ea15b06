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
		Use:   "drill [INSTANCE] --kind bond",
		Short: "Rehearse a failure, see whether the service holds, put everything back, report",
		Long: `Rehearse a failure. --kind bond: the daemon moves the active link of the
active-backup bond under the instance to another usable link and back, asks a
target over it all the while (by ARP; an IPv6 target by neighbour solicitation),
and checks that every instance over the bond stays as it is. The active link
that was found is put back even if vrrpctl is interrupted. Exit status 0 if
everything held, 1 if not.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.instanceNames(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := knownDrill(r.Kind); err != nil {
				return err
			}
			if r.Target != "" {
				if _, err := netip.ParseAddr(r.Target); err != nil {
					return usage("--target %q: an address of the bond's network, such as 192.0.2.1", r.Target)
				}
			}
			if len(args) == 1 {
				r.Instance = args[0]
			}
			if !yes {
				if err := a.confirm(cmd.Context(), r.Instance); err != nil {
					return err
				}
			}
			return a.drill(cmd.Context(), r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Kind, "kind", "", "what to rehearse: `bond`, the failover of a bond")
	f.StringVar(&r.Target, "target", "", "who is asked all the while: an `address` (default: the gateway, else the other router)")
	f.BoolVar(&yes, "yes", false, "do not ask before it begins")
	must(cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{control.DrillBond}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func knownDrill(kind string) error {
	switch kind {
	case control.DrillBond:
		return nil
	case "":
		return usage("which drill? --kind bond is the one there is (--kind demote is not built yet)")
	case "demote":
		return usage("--kind demote is not built yet; --kind bond is")
	}
	return usage("--kind %q: there is no such drill; --kind bond is one", kind)
}

// confirm asks on the terminal whether to go on.
func (a *app) confirm(ctx context.Context, instance string) error {
	if f, ok := a.in.(*os.File); !ok || !isTerminal(f) {
		return usage("a drill moves live traffic: without a terminal to ask on it takes --yes")
	}
	what := "the active link of the bond"
	if instance != "" {
		what += " under " + instance
	}
	fmt.Fprintf(a.err, "This moves %s to another link and back. What runs over it may pause for a moment.\nGo on? [y/N] ", printable(what))
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
		return &exitError{code: exitFailed, lines: []string{"vrrpctl: interrupted; the daemon puts the active link back (see vrrpctl events)"}}
	case err != nil && r.Instance != "":
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return ran{suggest(ctx, c, err, r.Instance)}
	case err != nil:
		return ran{err}
	}
	if err := a.print(rep, func(w io.Writer) error { return RenderDrill(w, rep, a.style()) }); err != nil {
		return ran{err}
	}
	if rep.Held {
		return nil
	}
	st := &exitError{code: exitFailed}
	for _, reason := range rep.Reasons {
		st.lines = append(st.lines, "vrrpctl: the drill did not hold: "+reason)
	}
	return st
}

// RenderDrill writes the report of a drill.
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
	if r.Held {
		b.WriteString(o.paint(green, "held") + "\n")
	} else {
		b.WriteString(o.paint(red, "DID NOT HOLD") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
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
		lost := cell{text: fmt.Sprintf("%d of %d", p.Lost, p.Sent)}
		if p.Lost > 0 {
			lost.color = yellow
		}
		g.row(cell{p.Name, bold}, cell{text: p.ActiveLink}, cell{text: moved}, cell{text: first}, cell{text: seconds(p.LongestSilenceSeconds)}, lost)
	}
	return g
}
