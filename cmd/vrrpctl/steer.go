package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"vrrpd/internal/control"
)

func (a *app) demoteCommand() *cobra.Command {
	var r control.DemoteRequest
	cmd := &cobra.Command{
		Use:   "demote [INSTANCE...]",
		Short: "Hand over and stay down; none named: all",
		Long: `Hand over and stay down until promoted: for maintenance. Returns when the
successor has taken over. An instance that finds none goes on serving, and
vrrpctl exits 4. A demoted instance is a backup of priority 1: the last to take
over, but it does when every other node is gone.`,
		ValidArgsFunction: a.instanceNames(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("for") && r.For <= 0 {
				return usage("--for %s: how long? such as 10m", r.For)
			}
			r.Instances = named(args)
			if err := a.steer(cmd.Context(), args, func(ctx context.Context, c *control.Client) (*control.Outcome, error) {
				return c.Demote(ctx, r) // takes as long as the successor does; the daemon bounds it
			}); err != nil {
				return ran{err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.DurationVar(&r.For, "for", 0, "promote again after this `span`, such as 10m")
	f.BoolVar(&r.Force, "force", false, "stay down even if nobody takes over")
	f.BoolVar(&r.Hard, "hard", false, "never take over while demoted, even if every other node is gone")
	f.BoolVar(&r.Persist, "persist", false, "stay demoted over a restart of the daemon")
	f.BoolVar(&r.NoWait, "no-wait", false, "do not wait for the successor")
	return cmd
}

func (a *app) promoteCommand() *cobra.Command {
	return a.namesCommand("promote", "Lift a demotion; none named: all", (*control.Client).Promote)
}

func (a *app) announceCommand() *cobra.Command {
	return a.namesCommand("announce", "Send gratuitous ARP and unsolicited neighbour advertisements again; none named: all", (*control.Client).Announce)
}

// namesCommand is a command that takes nothing but instances.
func (a *app) namesCommand(name, short string, ask func(*control.Client, context.Context, control.Names) (*control.Outcome, error)) *cobra.Command {
	return &cobra.Command{
		Use:               name + " [INSTANCE...]",
		Short:             short,
		ValidArgsFunction: a.instanceNames(0),
		RunE: does(func(ctx context.Context, args []string) error {
			return a.steer(ctx, args, func(ctx context.Context, c *control.Client) (*control.Outcome, error) {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				return ask(c, ctx, control.Names{Instances: named(args)})
			})
		}),
	}
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its configuration again; a bad file changes nothing",
		Args:  cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			return a.steer(ctx, nil, func(ctx context.Context, c *control.Client) (*control.Outcome, error) {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				return c.Reload(ctx)
			})
		}),
	}
}

// named is args, as JSON's [] rather than null.
func named(args []string) []string { return append([]string{}, args...) }

// steer asks for something and prints what came of it: what was done on
// stdout, what was not on stderr.
func (a *app) steer(ctx context.Context, names []string, ask func(context.Context, *control.Client) (*control.Outcome, error)) error {
	c := a.client()
	defer c.Close()
	o, err := ask(ctx, c)
	if err != nil {
		if len(names) == 0 {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return suggest(ctx, c, err, names...)
	}
	err = a.print(o, func(w io.Writer) error {
		for _, r := range o.Results {
			if r.OK {
				if _, err := fmt.Fprintln(w, resultLine(r)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range o.Warnings {
		fmt.Fprintln(a.err, "warning: "+printable(w))
	}
	return verdict(o)
}

// verdict is nil if everything was done, else what was not and the exit
// status. A refusal outranks a failure: it says that the service is up.
func verdict(o *control.Outcome) error {
	st := &exitError{}
	for _, r := range o.Results {
		switch {
		case r.Refused:
			st.code = exitRefused
		case !r.OK && st.code == 0:
			st.code = exitFailed
		}
		if r.Refused || !r.OK {
			st.lines = append(st.lines, "vrrpctl: "+resultLine(r))
		}
	}
	if st.code == 0 {
		return nil
	}
	return st
}

// resultLine is "web: demoted; 192.0.2.12 took over after 0.61s".
func resultLine(r control.Result) string {
	text := r.Text
	if text == "" {
		switch {
		case r.Unchanged:
			text = "nothing to do"
		case r.OK:
			text = "done"
		default:
			text = "not done"
		}
	}
	if r.Instance == "" {
		return printable(text)
	}
	return printable(r.Instance + ": " + text)
}
