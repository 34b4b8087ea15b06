package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"vrrpd/internal/control"
)

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "explain INSTANCE",
		Short:             "Say why an instance is in its state, and what would change it",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.instanceNames(1),
		RunE: does(func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			c := a.client()
			defer c.Close()
			e, err := c.Explain(ctx, args[0])
			if err != nil {
				return suggest(ctx, c, err, args[0])
			}
			return a.print(e, func(w io.Writer) error { return RenderExplanation(w, e, a.style()) })
		}),
	}
}

// RenderExplanation writes what `vrrpctl explain` prints.
func RenderExplanation(w io.Writer, e *control.Explanation, o Options) error {
	b := &strings.Builder{}
	in := &e.Instance
	st := stateCell(in)
	fmt.Fprintf(b, "%s: %s for %s, priority %s\n", o.paint(bold, printable(in.Name)), o.paint(st.color, st.text),
		since(o.Now, in.Since), priority(in.Priority))
	for _, text := range instanceWarnings(in) {
		fmt.Fprintln(b, o.paint(red, "WARNING")+"  "+printable(text))
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"Why", e.Why}, {"What would change it", e.Changes}} {
		if len(part.lines) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n%s\n", o.paint(bold, part.title))
		for _, l := range part.lines {
			fmt.Fprintf(b, "  - %s\n", printable(l))
		}
	}
	if len(e.Timeline) > 0 {
		fmt.Fprintf(b, "\n%s\n", o.paint(bold, "What happened"))
		for _, ev := range e.Timeline {
			fmt.Fprintf(b, "  %s\n", eventLine(ev, o))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
