package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"vrrpd/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:                        "config",
		Short:                      "Check configuration files; show the running configuration; convert one of keepalived",
		Args:                       subcommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       needSubcommand,
	}
	cmd.AddCommand(a.configCheckCommand(), a.configShowCommand(), a.configConvertCommand())
	return cmd
}

func (a *app) configCheckCommand() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "check FILE [FILE2]",
		Short: "Find what is wrong with a configuration, and whether two nodes' fit together",
		Long: `Find everything that is wrong with FILE, as this host's configuration, and show
the priorities that follow from it. With FILE2, the other node's, also say
where the two do not fit together, and who would be active whichever check
fails; FILE2 is read without looking for its commands and users on this host.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: does(func(_ context.Context, args []string) error { return a.configCheck(args, strict) }),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit 5 if there are warnings")
	return cmd
}

// A checked file is what `config check` says of it.
type checkedFile struct {
	File      string   `json:"file"`
	OK        bool     `json:"ok"`
	Node      string   `json:"node,omitempty"`
	Instances int      `json:"instances"`
	Checks    int      `json:"checks"`
	Errors    []string `json:"errors"`
	Warnings  []string `json:"warnings"`
}

// A checkReport is the JSON of `config check`.
type checkReport struct {
	Files      []checkedFile `json:"files"`
	Warnings   []string      `json:"warnings"` // of the two together
	Priorities []priorityRow `json:"priorities"`
	nodes      []string      // column titles, of two
}

func (a *app) configCheck(files []string, strict bool) error {
	env := config.HostEnv()
	env.InterfaceExists, env.BondsUnder = config.InterfaceExists, config.BondsUnder
	r := checkFiles(files, env)
	end := &exitError{}
	var warnings []string
	for _, f := range r.Files {
		end.lines = append(end.lines, f.Errors...)
		warnings = append(warnings, f.Warnings...)
		if !f.OK {
			end.code = exitUsage
		}
	}
	for _, w := range append(warnings, r.Warnings...) {
		end.lines = append(end.lines, "warning: "+w)
		if strict && end.code == exitDone {
			end.code = exitFindings
		}
	}
	if err := a.print(r, func(w io.Writer) error { return renderCheck(w, r, a.style()) }); err != nil {
		return err
	}
	if len(end.lines) == 0 {
		return nil
	}
	return end // with code 0: warnings to print, and nothing else
}

// checkFiles loads one or two files and compares two.
func checkFiles(files []string, env config.Env) *checkReport {
	r := &checkReport{Warnings: []string{}, Priorities: []priorityRow{}}
	var plans []*config.Plan
	for i, file := range files {
		if i > 0 { // another host's: its commands, users and interfaces are not here
			env.Vet, env.LookupUser, env.InterfaceExists, env.BondsUnder = nil, nil, nil, nil
		}
		plan, problems := config.Load(file, env)
		f := checkedFile{
			File: file, OK: plan != nil,
			Errors: problems.Errors().Strings(), Warnings: problems.Warnings().Strings(),
		}
		if plan != nil {
			f.Node, f.Instances, f.Checks = plan.Node, len(plan.Instances), len(plan.Checks)
			plans = append(plans, plan)
		}
		r.Files = append(r.Files, f)
	}
	switch {
	case len(plans) < len(files):
	case len(plans) == 1:
		r.Priorities = append(r.Priorities, priorityTable(plans[0])...)
	default:
		nodeA, nodeB := nodeNames(plans[0], plans[1], files)
		r.nodes = []string{nodeA, nodeB}
		r.Warnings = append(r.Warnings, compare(plans[0], plans[1], nodeA, nodeB)...)
		both, _, _ := pairs(plans[0], plans[1])
		r.Priorities = append(r.Priorities, electionTable(both, nodeA, nodeB)...)
	}
	return r
}

// nodeNames tells two nodes apart: by their names, or by their files, if the
// name is the same or left to the host.
func nodeNames(a, b *config.Plan, files []string) (string, string) {
	if a.Node != b.Node {
		return a.Node, b.Node
	}
	x, y := filepath.Base(files[0]), filepath.Base(files[1])
	if x != y {
		return x, y
	}
	return files[0], files[1]
}

// renderCheck writes what `config check` prints of files that are usable.
func renderCheck(w io.Writer, r *checkReport, o Options) error {
	for _, f := range r.Files {
		if !f.OK {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: ok, %s, %s\n", printable(f.File), plural(f.Instances, "instance"), plural(f.Checks, "check")); err != nil {
			return err
		}
	}
	if len(r.Priorities) == 0 {
		return nil
	}
	g := &grid{opts: o}
	titles := []string{"INSTANCE", "VRID", "FAILING"}
	if r.nodes == nil {
		g.head(append(titles, "PRIORITY")...)
	} else {
		g.head(append(append(titles, r.nodes...), "ACTIVE")...)
	}
	for _, p := range r.Priorities {
		name, vrid, failing := cell{p.Instance, bold}, cell{text: fmt.Sprintf("%d %s", p.VRID, p.Family)}, p.Failing
		if failing == "" {
			failing = "nothing"
		} else {
			name, vrid = cell{}, cell{}
		}
		if p.On != "" {
			failing += " on " + p.On
		}
		cells := []cell{name, vrid, {text: failing}}
		for _, n := range p.Nodes {
			cells = append(cells, cell{text: n.String()})
		}
		g.row(append(cells, cell{text: p.Active})...)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return g.write(w)
}

func (a *app) configShowCommand() *cobra.Command {
	var defaults bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the running configuration with every default filled in",
		Args:  cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			if defaults {
				return a.configDefaults()
			}
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			c := a.client()
			defer c.Close()
			text, err := c.Config(ctx)
			if err != nil {
				return err
			}
			return a.printTOML(text)
		}),
	}
	cmd.Flags().BoolVar(&defaults, "defaults", false, "print every key there is with its default instead; needs no daemon")
	return cmd
}

// printTOML prints a configuration as it is, or as JSON or YAML.
func (a *app) printTOML(text string) error {
	v := map[string]any{}
	if a.format != asTable {
		if _, err := toml.Decode(text, &v); err != nil {
			return fmt.Errorf("the running configuration: %w", err)
		}
	}
	return a.print(v, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}
