package main

import (
	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:                        "config",
		Short:                      "Check configuration files; show the running configuration",
		Args:                       subcommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       needSubcommand,
	}
	return cmd
}
