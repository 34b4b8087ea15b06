package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"vrrpd/internal/control"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:                        "check",
		Short:                      "Show the health checks; run one by hand",
		Args:                       subcommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       needSubcommand,
	}
	cmd.AddCommand(a.checkListCommand(), a.checkShowCommand(), a.checkRunCommand())
	return cmd
}

func (a *app) checkListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the checks: what they look at, what they found, and who tracks them",
		Args:  cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			s, err := a.wholeStatus(ctx)
			if err != nil {
				return err
			}
			return a.print(s.Checks, func(w io.Writer) error { return RenderChecks(w, s.Checks, a.style()) })
		}),
	}
}

func (a *app) checkShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show all of a check: its last run, performance data, and what it does to the instances",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.checkNames,
		RunE: does(func(ctx context.Context, args []string) error {
			s, err := a.wholeStatus(ctx)
			if err != nil {
				return err
			}
			var names []string
			for i := range s.Checks {
				if c := &s.Checks[i]; c.Name == args[0] {
					return a.print(c, func(w io.Writer) error { return RenderCheck(w, c, s.Instances, a.style()) })
				}
				names = append(names, s.Checks[i].Name)
			}
			return &control.StatusError{Code: http.StatusNotFound, Message: fmt.Sprintf("there is no check %q%s", args[0], didYouMean(similar(args[0], names)))}
		}),
	}
}

func (a *app) checkRunCommand() *cobra.Command {
	var r control.CheckRunRequest
	cmd := &cobra.Command{
		Use:   "run NAME",
		Short: "Run a check once, by hand, and say what came of it",
		Long: `Have the daemon run a check once: with the same command, user, environment and
timeout as ever, after the run that may be under way. It says what came of it,
and what the verdict would be if it counted; it does not count. Exit status 5 if
it did not pass.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.checkNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Check = args[0]
			if err := a.runCheck(cmd.Context(), r); err != nil {
				return ran{err}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&r.AsInstance, "as-instance", "", "as though this `instance`, and no other, tracked it: in what the command is told, and in the effect")
	must(cmd.RegisterFlagCompletionFunc("as-instance", a.instanceNames(0)))
	return cmd
}

// runCheck waits as long as the check may take; the daemon bounds that.
func (a *app) runCheck(ctx context.Context, r control.CheckRunRequest) error {
	c := a.client()
	defer c.Close()
	run, err := c.RunCheck(ctx, r)
	var se *control.StatusError
	if errors.As(err, &se) && se.Code == http.StatusNotFound {
		return a.suggestCheck(ctx, c, r, se)
	}
	if err != nil {
		return err
	}
	if err := a.print(run, func(w io.Writer) error { return RenderCheckRun(w, run, a.style()) }); err != nil {
		return err
	}
	if !run.Passed {
		return &exitError{code: exitFindings}
	}
	return nil
}

// suggestCheck adds to an unknown name what may have been meant.
func (a *app) suggestCheck(ctx context.Context, c *control.Client, r control.CheckRunRequest, unknown *control.StatusError) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := c.Status(ctx, "")
	if err != nil {
		return unknown // the first error is the one to tell
	}
	var checks []string
	for _, k := range s.Checks {
		if k.Name == r.Check {
			return suggest(ctx, c, unknown, r.AsInstance)
		}
		checks = append(checks, k.Name)
	}
	if near := similar(r.Check, checks); len(near) > 0 {
		return &control.StatusError{Code: unknown.Code, Message: unknown.Message + didYouMean(near)}
	}
	return unknown
}

// wholeStatus asks for the status of everything.
func (a *app) wholeStatus(ctx context.Context) (*control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	return c.Status(ctx, "")
}

// checkNames completes the name of a check.
func (a *app) checkNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	s, err := a.client().Status(ctx, "")
	if err != nil {
		return nil, none // nothing to offer is all a shell can be told
	}
	var names []string
	for _, c := range s.Checks {
		names = append(names, c.Name+"\t"+c.Verdict)
	}
	return names, none
}
