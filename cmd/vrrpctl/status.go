package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vrrpd/internal/control"
)

// watchEvery is how often --watch redraws.
const watchEvery = time.Second

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:               "status [INSTANCE]",
		Short:             "Show every instance, or one in detail: state, why, priority, addresses, checks",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.instanceNames(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			if watch && a.format != asTable {
				return usage("--watch draws tables; for a program, `events -f -o json` tells what changes")
			}
			do := a.status
			if watch {
				do = a.watch
			}
			if err := do(cmd.Context(), name); err != nil {
				return ran{err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "redraw every second until Ctrl-C")
	return cmd
}

func (a *app) status(ctx context.Context, name string) error {
	s, err := a.fetch(ctx, name)
	if err != nil {
		return err
	}
	return a.print(s, func(w io.Writer) error { return render(w, s, name, a.style()) })
}

// fetch asks for the status; an unknown name comes back with a suggestion.
func (a *app) fetch(ctx context.Context, name string) (*control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	s, err := c.Status(ctx, name)
	if err != nil {
		return nil, suggest(ctx, c, err, name)
	}
	return s, nil
}

// suggest adds to "there is no such instance" the name that was meant.
func suggest(ctx context.Context, c *control.Client, err error, names ...string) error {
	var se *control.StatusError
	if !errors.As(err, &se) || se.Code != http.StatusNotFound || strings.Contains(se.Message, "did you mean") {
		return err
	}
	s, statusErr := c.Status(ctx, "")
	if statusErr != nil {
		return err // the first error is the one to tell
	}
	known := map[string]bool{}
	var all []string
	for _, in := range s.Instances {
		known[in.Name] = true
		all = append(all, in.Name)
	}
	for _, n := range names {
		if near := similar(n, all); !known[n] && len(near) > 0 {
			return &control.StatusError{Code: se.Code, Message: se.Message + didYouMean(near), Problems: se.Problems}
		}
	}
	return err
}

func render(w io.Writer, s *control.Status, name string, o Options) error {
	if name != "" {
		return RenderInstance(w, s, o)
	}
	return Render(w, s, o)
}

// watch redraws the status until ctx ends. A daemon that goes away is waited
// for: it is being restarted, and somebody watches for it to return.
func (a *app) watch(ctx context.Context, name string) error {
	s, err := a.fetch(ctx, name)
	if err != nil {
		return err
	}
	screen := newScreen(a.out)
	if err := screen.open(); err != nil {
		return err
	}
	defer screen.close()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		var buf bytes.Buffer
		o := a.style()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintf(&buf, "%s  %s\n\n%s\n", o.Now.Format(time.TimeOnly), o.paint(red, printable(err.Error())), "waiting for it; Ctrl-C ends")
		default:
			fmt.Fprintf(&buf, "%s  every %s; Ctrl-C ends\n\n", o.Now.Format(time.TimeOnly), watchEvery)
			if err := render(&buf, s, name, o); err != nil {
				return err
			}
		}
		if err := screen.draw(buf.String()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s, err = a.fetch(ctx, name)
	}
}

// A screen is redrawn in place if it is a terminal, and written on otherwise.
type screen struct {
	w   io.Writer
	tty *os.File
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		s.tty = f
	}
	return s
}

// open hides the cursor, stops long lines from wrapping (which would shift
// what is drawn over) and clears.
func (s *screen) open() error {
	if s.tty == nil {
		return nil
	}
	_, err := io.WriteString(s.w, "\x1b[?25l\x1b[?7l\x1b[2J")
	return err
}

// close undoes open. That the terminal is gone needs no saying.
func (s *screen) close() {
	if s.tty != nil {
		io.WriteString(s.w, "\x1b[?7h\x1b[?25h")
	}
}

func (s *screen) draw(text string) error {
	if s.tty == nil {
		_, err := io.WriteString(s.w, text+"\n")
		return err
	}
	rows := 0
	if ws, err := unix.IoctlGetWinsize(int(s.tty.Fd()), unix.TIOCGWINSZ); err == nil {
		rows = int(ws.Row)
	}
	_, err := io.WriteString(s.w, frame(text, rows))
	return err
}

// frame draws text from the top left corner over what is there, without a
// flicker, and cuts what does not fit into so many rows (0: unknown).
func frame(text string, rows int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rows > 1 && len(lines) >= rows {
		more := len(lines) - (rows - 2)
		lines = append(lines[:rows-2:rows-2], fmt.Sprintf("… %d more lines", more))
	}
	return "\x1b[H" + strings.Join(lines, "\x1b[K\r\n") + "\x1b[K\r\n\x1b[J"
}
