package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vrrpd/internal/build"
	"vrrpd/internal/control"
)

const (
	defaultSocket = "/run/vrrpd/vrrpd.sock"
	// patience is how long the daemon may take to answer anything but a
	// demotion, which takes as long as the successor does.
	patience = 15 * time.Second
)

// app is one call of vrrpctl.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	now      func() time.Time
	format   format
	socket   string
}

func newApp(out, err io.Writer, getenv func(string) string) *app {
	return &app{in: os.Stdin, out: out, err: err, getenv: getenv, now: time.Now, format: asTable}
}

// run does what the arguments say and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return report(a.err, root.ExecuteContext(ctx))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:                        "vrrpctl",
		Short:                      "Show and steer the vrrpd daemon of this host",
		Version:                    build.Version,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       subcommand,
		RunE:                       needSubcommand,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true}) // --help does
	root.SetVersionTemplate("vrrpctl {{.Version}}\n")
	socket := a.getenv("VRRPD_SOCKET")
	if socket == "" {
		socket = defaultSocket
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", socket, "control socket of the daemon (environment: VRRPD_SOCKET)")
	flags.VarP(&a.format, "output", "o", "table, json or yaml")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)))
	root.AddCommand(
		a.statusCommand(), a.explainCommand(), a.eventsCommand(),
		a.demoteCommand(), a.promoteCommand(), a.announceCommand(), a.reloadCommand(),
		a.checkCommand(), a.bondCommand(), a.drillCommand(),
		a.configCommand(), a.completionCommand(), a.versionCommand(),
	)
	return root
}

// must is for what only a mistake in this program can break.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// subcommand refuses a word that is no subcommand of cmd.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage("there is no command %q; see %s --help%s", cmd.CommandPath()+" "+args[0], cmd.CommandPath(), didYouMean(cmd.SuggestionsFor(args[0])))
}

func needSubcommand(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	if err := cmd.Help(); err != nil {
		return err
	}
	return &exitError{code: exitUsage}
}

func didYouMean(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", words[0])
}

// similar are the names like a mistyped one, as cobra judges commands.
func similar(name string, names []string) []string {
	judge := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, n := range names {
		judge.AddCommand(&cobra.Command{Use: n, Run: func(*cobra.Command, []string) {}})
	}
	return judge.SuggestionsFor(name)
}

// does is the RunE of a command that was called well.
func does(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd.Context(), args); err != nil {
			return ran{err}
		}
		return nil
	}
}

// client asks the daemon.
func (a *app) client() *control.Client { return control.NewClient(a.socket) }

// instanceNames completes the names of instances that are not there yet.
func (a *app) instanceNames(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if most > 0 && len(args) >= most {
			return nil, none
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		s, err := a.client().Status(ctx, "")
		if err != nil {
			return nil, none // nothing to offer is all a shell can be told
		}
		given := map[string]bool{}
		for _, arg := range args {
			given[arg] = true
		}
		var names []string
		for _, in := range s.Instances {
			if !given[in.Name] {
				names = append(names, in.Name+"\t"+stateWord(in.State))
			}
		}
		return names, none
	}
}

// style is how to write for the terminal behind stdout, if it is one.
func (a *app) style() Options {
	o := Options{Now: a.now()}
	if f, ok := a.out.(*os.File); ok && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" {
		o.Color = isTerminal(f)
	}
	return o
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of vrrpctl",
		Args:  cobra.NoArgs,
		RunE: does(func(context.Context, []string) error {
			return a.print(map[string]string{"version": build.Version}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "vrrpctl %s\n", build.Version)
				return err
			})
		}),
	}
}

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:       "completion bash|zsh|fish",
		Short:     "Print the completion script for a shell",
		Long:      "Print the completion script for a shell. For bash:\n\n    vrrpctl completion bash > /etc/bash_completion.d/vrrpctl",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			var err error
			switch args[0] {
			case "bash":
				err = root.GenBashCompletionV2(a.out, true)
			case "zsh":
				err = root.GenZshCompletion(a.out)
			case "fish":
				err = root.GenFishCompletion(a.out, true)
			}
			if err != nil {
				return ran{err}
			}
			return nil
		},
	}
}
