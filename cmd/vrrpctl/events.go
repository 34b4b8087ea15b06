package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vrrpd/internal/control"
)

func (a *app) eventsCommand() *cobra.Command {
	var (
		follow bool
		back   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print every transition, check, address and demotion, with its cause",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if back < 0 {
				return usage("--since %s: a span to look back, such as 1h", back)
			}
			var from time.Time
			if back > 0 {
				from = a.now().Add(-back)
			}
			do := a.events
			if follow {
				do = a.follow
			}
			if err := do(cmd.Context(), from); err != nil {
				return ran{err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new events until Ctrl-C")
	cmd.Flags().DurationVar(&back, "since", 0, "only the last `span`, such as 90s or 1h (default: all the daemon still has)")
	return cmd
}

func (a *app) events(ctx context.Context, from time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	events, err := c.Events(ctx, from)
	if err != nil {
		return err
	}
	o := a.style()
	return a.print(events, func(w io.Writer) error {
		for _, e := range events {
			if _, err := fmt.Fprintln(w, eventLine(e, o)); err != nil {
				return err
			}
		}
		return nil
	})
}

// follow prints the events so far and then new ones. The stream is opened
// before the journal is read, so that none falls between the two; one that is
// in both has the same ID.
func (a *app) follow(ctx context.Context, from time.Time) error {
	c := a.client()
	defer c.Close()
	stream, err := c.Follow(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	events, err := c.Events(asking, from)
	if err != nil {
		return err
	}
	var last uint64
	for _, e := range events {
		if err := a.printEvent(e); err != nil {
			return err
		}
		last = e.ID
	}
	for {
		e, err := stream.Next()
		switch {
		case ctx.Err() != nil: // Ctrl-C is how it ends
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the daemon has ended the stream of events: it is stopping, or this reader was too slow")
		case err != nil:
			return err
		case e.ID <= last:
			continue
		case last > 0 && e.ID > last+1:
			fmt.Fprintf(a.err, "vrrpctl: %s lost: this reader is too slow\n", plural(int(e.ID-last-1), "event"))
		}
		last = e.ID
		if err := a.printEvent(e); err != nil {
			return err
		}
	}
}

// printEvent prints one event of a stream: a line, a JSON line, or a YAML
// document.
func (a *app) printEvent(e control.Event) error {
	var buf bytes.Buffer
	switch a.format {
	case asJSON:
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(e); err != nil {
			return err
		}
	case asYAML:
		buf.WriteString("---\n")
		if err := writeYAML(&buf, e); err != nil {
			return err
		}
	default:
		fmt.Fprintln(&buf, eventLine(e, a.style()))
	}
	_, err := a.out.Write(buf.Bytes())
	return err
}

// eventLine is one event on one line: time, kind, who, from -> to, text.
func eventLine(e control.Event, o Options) string {
	who := e.Instance
	if who == "" {
		who = e.Check
	}
	if who == "" {
		who = "-"
	}
	parts := []string{
		e.Time.In(o.Now.Location()).Format("2006-01-02 15:04:05.000"),
		fmt.Sprintf("%-10s", printable(e.Kind)),
		fmt.Sprintf("%-10s", printable(who)),
	}
	if e.From != "" || e.To != "" {
		c := plain
		switch e.To {
		case "active":
			c = green
		case "fault":
			c = red
		}
		parts = append(parts, o.paint(c, printable(e.From+" -> "+e.To)))
	}
	return strings.TrimRight(strings.Join(append(parts, printable(e.Text)), "  "), " ")
}
