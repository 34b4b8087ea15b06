package main

import (
	"context"

	"github.com/spf13/cobra"

	"vrrpd/internal/convert"
)

func (a *app) configConvertCommand() *cobra.Command {
	env, strict := convert.HostEnv(), false
	cmd := &cobra.Command{
		Use:   "convert KEEPALIVED.CONF",
		Short: "Turn a configuration of keepalived into one of vrrpd",
		Long: `Turn a configuration of keepalived, and all that it includes, into one of vrrpd,
and print that. What is not carried over, or means something else, is told as a
warning on the error output. What keepalived itself leaves out or replaces is an
error, with which nothing is printed: say first what is meant.

It looks for programs that have no directory, and for the user
keepalived_script, on this host. Check the result where it is to run:

    vrrpctl config convert /etc/keepalived/keepalived.conf > vrrpd.toml
    vrrpctl config check vrrpd.toml`,
		Args: cobra.ExactArgs(1),
		RunE: does(func(_ context.Context, args []string) error { return a.configConvert(args[0], env, strict) }),
	}
	cmd.Flags().StringVar(&env.ID, "config-id", env.ID, "which @ID lines count, as keepalived's -i; else those of this host's name")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit 5 if there are warnings")
	return cmd
}

func (a *app) configConvert(path string, env convert.Env, strict bool) error {
	r := convert.File(path, env)
	end := &exitError{lines: r.Problems.Errors().Strings()}
	for _, w := range r.Problems.Warnings().Strings() {
		end.lines = append(end.lines, "warning: "+w)
	}
	switch {
	case len(r.Problems.Errors()) > 0:
		end.code = exitUsage
		return end
	case strict && len(r.Problems) > 0:
		end.code = exitFindings
	}
	if err := a.printTOML(r.TOML); err != nil {
		return err
	}
	if len(end.lines) == 0 {
		return nil
	}
	return end // with code 0: warnings to print, and nothing else
}
