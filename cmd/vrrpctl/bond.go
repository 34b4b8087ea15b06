package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vrrpd/bonding"
	"vrrpd/internal/control"
)

func (a *app) bondCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "bond [NAME]",
		Short:             "Show the bonds of this host and their links, or one; `bond doctor` finds what is misconfigured",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.bondNames,
		RunE: does(func(ctx context.Context, args []string) error {
			return a.askBonds(ctx, args, func(ctx context.Context, c *control.Client, name string) error {
				bonds, err := c.Bonds(ctx, name)
				if err != nil {
					return err
				}
				return a.print(bonds, func(w io.Writer) error { return RenderBonds(w, bonds, a.style()) })
			})
		}),
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "doctor [NAME]",
		Short: "Find what is misconfigured about the bonds, or one: what it will cost, and the setting that helps",
		Long: `Find what is misconfigured about the bonds of this host, or about one: what is
wrong, what it will cost, and the exact setting for netplan, NetworkManager,
ifcfg files, systemd-networkd and Talos. The targets of an ARP monitor are asked
whether they answer; nothing is changed. Exit status 5 if there are findings.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.bondNames,
		RunE: does(func(ctx context.Context, args []string) error {
			return a.askBonds(ctx, args, func(ctx context.Context, c *control.Client, name string) error {
				d, err := c.DiagnoseBonds(ctx, name)
				if err != nil {
					return err
				}
				if err := a.print(d, func(w io.Writer) error { return RenderDiagnosis(w, d) }); err != nil {
					return err
				}
				if len(d.Findings) > 0 {
					return &exitError{code: exitFindings}
				}
				return nil
			})
		}),
	})
	return cmd
}

// askBonds asks about the bond that the arguments name, or all; an unknown name
// comes back with a suggestion.
func (a *app) askBonds(ctx context.Context, args []string, ask func(context.Context, *control.Client, string) error) error {
	name := ""
	if len(args) == 1 {
		name = args[0]
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := a.client()
	defer c.Close()
	err := ask(ctx, c, name)
	var se *control.StatusError
	if !errors.As(err, &se) || se.Code != http.StatusNotFound {
		return err
	}
	bonds, listErr := c.Bonds(ctx, "")
	if listErr != nil {
		return err // the first error is the one to tell
	}
	var names []string
	for _, b := range bonds {
		names = append(names, b.Name)
	}
	if near := similar(name, names); len(near) > 0 {
		return &control.StatusError{Code: se.Code, Message: se.Message + didYouMean(near)}
	}
	return err
}

// bondNames completes the name of a bond.
func (a *app) bondNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	bonds, err := a.client().Bonds(ctx, "")
	if err != nil {
		return nil, none // nothing to offer is all a shell can be told
	}
	var names []string
	for _, b := range bonds {
		names = append(names, b.Name+"\t"+b.Health)
	}
	return names, none
}

// RenderBonds writes what `vrrpctl bond` prints: of each bond the facts, then a
// line for each link.
func RenderBonds(w io.Writer, bonds []control.BondDetail, o Options) error {
	b := &strings.Builder{}
	if len(bonds) == 0 {
		b.WriteString("no bonds on this host\n")
	}
	for i := range bonds {
		if i > 0 {
			b.WriteByte('\n')
		}
		if err := renderBond(b, &bonds[i], o); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func renderBond(b *strings.Builder, bd *control.BondDetail, o Options) error {
	health := healthCell(bd.Health)
	fmt.Fprintf(b, "%s: %s, %s\n", o.paint(bold, printable(bd.Name)), o.paint(health.color, health.text), printable(bd.Mode))
	g := &grid{opts: o}
	bondFacts(g, bd)
	if err := g.write(b); err != nil {
		return err
	}
	b.WriteByte('\n')
	if len(bd.Links) == 0 {
		b.WriteString("no links\n")
		return nil
	}
	return linkGrid(bd, o).write(b)
}

func healthCell(health string) cell {
	switch health {
	case "degraded":
		return cell{"DEGRADED", yellow}
	case "failed":
		return cell{"FAILED", red}
	}
	return cell{health, green}
}

// bondFacts are the lines of a bond: a name, and what there is to say.
func bondFacts(g *grid, bd *control.BondDetail) {
	fact := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			g.row(cell{name, dim}, cell{text: text})
		}
	}
	for _, r := range bd.Reasons {
		g.row(cell{"why", dim}, cell{r, yellow})
	}
	switch {
	case bd.Reselect != "" && bd.Primary != "":
		fact("active link", "%s, primary %s (primary_reselect %s)", orNone(bd.ActiveLink), bd.Primary, bd.Reselect)
	case bd.Reselect != "":
		fact("active link", "%s, no primary", orNone(bd.ActiveLink))
	}
	fact("monitor", "%s", monitorText(bd))
	fact("address", "%s%s", bd.MAC, behind(", fail_over_mac ", bd.FailOverMAC))
	fact("after failover", "num_grat_arp %d, resend_igmp %d", bd.NumGratARP, bd.ResendIGMP)
	if bd.MinLinks > 0 {
		fact("min_links", "%d (the driver's own)", bd.MinLinks)
	}
	fact("xmit_hash_policy", "%s", bd.HashPolicy)
	if l := bd.LACP; l != nil {
		partner := "nobody answers"
		if l.Partner != "" {
			partner = fmt.Sprintf("partner %s (key %d)", l.Partner, l.PartnerKey)
		}
		fact("LACP", "rate %s, aggregator %d of %s, %s", l.Rate, l.Aggregator, plural(l.Ports, "port"), partner)
	}
	switch {
	case !bd.Up:
		g.row(cell{"state", dim}, cell{"set down", red})
	case !bd.Carrier:
		g.row(cell{"state", dim}, cell{"no carrier", red})
	}
	carries := "no instance"
	if len(bd.Instances) > 0 {
		carries = strings.Join(bd.Instances, ", ")
	}
	fact("carries", "%s", carries)
}

// monitorText says how a failed link is found, and how fast.
func monitorText(bd *control.BondDetail) string {
	var text string
	switch bd.Monitor {
	case "miimon":
		text = fmt.Sprintf("miimon %d ms, updelay %d ms, downdelay %d ms", bd.MIIMon, bd.UpDelay, bd.DownDelay)
	case "arp":
		text = fmt.Sprintf("ARP every %d ms to %s, arp_validate %s", bd.ARPInterval, orNone(strings.Join(bd.ARPTargets, ", ")), bd.ARPValidate)
	default:
		return "NONE: a failed link is not noticed"
	}
	if bd.FailoverTime > 0 {
		text += "; a failover takes at most " + seconds(bd.FailoverTime)
	}
	return text
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// behind is s with something before it, unless it is empty.
func behind(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

// linkGrid is a line for each link, and under LACP the two ends' states.
func linkGrid(bd *control.BondDetail, o Options) *grid {
	g := &grid{opts: o}
	g.head("LINK", "USABLE", "ACTIVE", "MII", "CARRIER", "SPEED", "FAILURES", "PERMANENT MAC", "CARD")
	yes := func(v bool, word string) string {
		if v {
			return word
		}
		return "-"
	}
	for i := range bd.Links {
		l := &bd.Links[i]
		usable, carrier := cell{"yes", green}, cell{text: "yes"}
		if !l.Up {
			usable = cell{"NO", red}
		}
		switch {
		case !l.AdminUp:
			carrier = cell{"set down", red}
		case !l.Carrier:
			carrier = cell{"NO", red}
		}
		card := strings.TrimSpace(l.Driver + " " + l.Bus)
		g.row(cell{l.Name, bold}, usable, cell{text: yes(l.Active, "active")}, cell{text: l.MII}, carrier,
			cell{text: speed(l)}, cell{text: fmt.Sprint(l.Failures)}, cell{text: l.PermMAC}, cell{text: card})
		if l.LACP != nil {
			g.note(dim, fmt.Sprintf("aggregator %d; we are: %s", l.LACP.Aggregator, orNone(l.LACP.Actor)))
			g.note(dim, "the partner is: "+orNone(l.LACP.Partner))
		}
	}
	return g
}

func speed(l *control.LinkDetail) string {
	if l.SpeedMbps == 0 {
		return "unknown"
	}
	text := fmt.Sprintf("%d Mb/s", l.SpeedMbps)
	if l.Duplex != "full" {
		text += " " + l.Duplex
	}
	return text
}

// RenderDiagnosis writes what `vrrpctl bond doctor` prints.
func RenderDiagnosis(w io.Writer, d *control.Diagnosis) error {
	switch {
	case len(d.Bonds) == 0:
		_, err := io.WriteString(w, "no bonds on this host\n")
		return err
	case len(d.Findings) == 0:
		_, err := fmt.Fprintf(w, "nothing to find fault with: %s\n", printable(strings.Join(d.Bonds, ", ")))
		return err
	}
	findings := make([]bonding.Finding, 0, len(d.Findings))
	for _, f := range d.Findings {
		fix := map[string]string{}
		for m, text := range f.Fix {
			fix[m] = printable(text)
		}
		findings = append(findings, bonding.Finding{Code: printable(f.Code), Severity: severity(f.Severity), Bond: printable(f.Bond), Link: f.Link,
			What: printable(f.What), Cost: printable(f.Cost), Do: printable(f.Do), Fix: fix})
	}
	_, err := io.WriteString(w, bonding.Text(findings))
	return err
}

// severity is the one of that name; one that this tool does not know is no
// reason to hide the finding.
func severity(name string) bonding.Severity {
	all := []bonding.Severity{bonding.Error, bonding.Warning, bonding.Notice}
	i := slices.IndexFunc(all, func(s bonding.Severity) bool { return s.String() == name })
	if i < 0 {
		return bonding.Error
	}
	return all[i]
}
