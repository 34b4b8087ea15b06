package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"vrrpd/healthcheck"
)

// check takes over one [check.NAME].
func (b *builder) check(name string, s *section) {
	c := Check{
		Name:     name,
		Interval: s.duration("interval"),
		Timeout:  s.duration("timeout"),
		Rise:     s.integer("rise"),
		Fall:     s.integer("fall"),
		HoldDown: s.duration("hold_down"),
		Weight:   s.integer("weight"),
		Initial:  map[string]healthcheck.Verdict{"passing": healthcheck.Passing, "failing": healthcheck.Failing}[s.text("initial")],
	}
	switch {
	case !s.there("timeout"):
		c.Timeout = c.Interval
	case s.given("timeout") && s.sure("interval") && c.Timeout > c.Interval:
		s.warn("timeout", fmt.Sprintf("it is longer than the interval, so a run that takes long skips others: fall = %d can take %s", c.Fall, duration(longest(c))),
			"write at most "+TOMLDuration(c.Interval)+", or a longer interval")
	}
	switch kind := b.kind(name, s); {
	case kind == nil:
	case kind.key == "command":
		b.command(&c, s)
	default:
		b.probe(&c, s, kind)
		for _, k := range commandKeys {
			if s.there(k) {
				s.fail(k, "it is about commands, and this check runs none", "remove it")
			}
		}
	}
	if c.Number() {
		if s.given("weight") {
			s.fail("weight", "the number in the file is the weight", "remove it")
		}
		if c.Initial != healthcheck.Unknown {
			s.fail("initial", "there is no weight before a number was read", "remove it")
		}
	}
	b.plan.Checks = append(b.plan.Checks, c)
	b.checks[name] = c
}

// commandKeys are about commands, beside command itself.
var commandKeys = []string{"contract", "warning_weight", "unknown_grace", "kill_grace", "user"}

// commandKind stands for command among the kinds.
var commandKind = probeKind{key: "command"}

// kind is what the check looks at; nil: that is not known, and told.
func (b *builder) kind(name string, s *section) *probeKind {
	keys := []string{"command"}
	kinds := map[string]*probeKind{"command": &commandKind}
	for i := range probeKinds {
		keys = append(keys, probeKinds[i].key)
		kinds[probeKinds[i].key] = &probeKinds[i]
	}
	var there []string
	damaged := false
	for _, k := range s.names() {
		if known := s.spec.find(k); known != nil && known.unbuilt {
			damaged = true // told already
		}
		if kinds[k] != nil {
			there = append(there, k)
		}
	}
	for _, k := range keys { // those that a line which cannot be read was meant to set
		damaged = damaged || s.there(k) && !slices.Contains(there, k)
	}
	switch {
	case len(there) == 0 && damaged:
		return nil
	case len(there) == 0:
		s.r.report(s.r.src.doc, s.node.value, s.shown, "it does not say what to look at",
			"write command = "+checkTable.find("command").example()+", or one of "+strings.Join(keys[1:], ", "), false)
		return nil
	}
	for _, k := range there[1:] {
		s.r.report(s.r.src.doc, s.place(k).key, s.key(k), "the check has "+there[0]+" already", "remove one, or write another [check.NAME]", false)
	}
	if !s.given(there[0]) {
		return nil
	}
	return kinds[there[0]]
}

// command takes over the keys of a check that runs one.
func (b *builder) command(c *Check, s *section) {
	c.Command = s.texts("command")
	c.KillGrace = s.duration("kill_grace")
	if s.text("contract") == "nagios" {
		c.Contract = healthcheck.Nagios
		c.WarningWeight, c.UnknownGrace = s.integer("warning_weight"), s.duration("unknown_grace")
	} else if s.sure("contract") {
		for _, k := range []string{"warning_weight", "unknown_grace"} {
			if s.there(k) {
				s.fail(k, "only the contract nagios knows of that", `write contract = "nagios", or remove it`)
			}
		}
	}
	c.User = s.text("user")
	known := b.runAs(c, s)
	if problem := b.vet(c.Command, c.RunAs, known); problem != nil {
		problem.report(s)
	}
}

// longest is how long a check can take to fail if every run hangs.
func longest(c Check) (d duration) {
	period := (c.Timeout + c.Interval - 1) / c.Interval * c.Interval
	return duration(period) * duration(c.Fall)
}

// runAs finds the identity a check runs as, and reports whether it could.
func (b *builder) runAs(c *Check, s *section) bool {
	if !s.given("user") {
		if b.env.DefaultUser != nil && !s.there("user") {
			c.RunAs = b.env.DefaultUser()
		}
		if c.RunAs != nil {
			c.User = c.RunAs.User
		}
		return !s.there("user")
	}
	if c.User == "" {
		s.fail("user", "it is empty", `name a user of this host, such as "nobody"`)
		return false
	}
	if b.env.LookupUser == nil {
		return true
	}
	var err error
	if c.RunAs, err = b.env.LookupUser(c.User); err != nil {
		s.fail("user", err.Error(), `name a user of this host, such as "nobody"`)
	}
	return err == nil
}

// A refusal is why a command must not be configured.
type refusal struct {
	item          int  // element of the array, or -1
	user          bool // it is about the identity
	what, instead string
}

func (p *refusal) report(s *section) {
	switch {
	case p.user && s.given("user"):
		s.fail("user", p.what, p.instead)
	case p.item >= 0 && s.node.field("command").item(p.item) != nil:
		s.failItem("command", p.item, p.what, p.instead)
	default:
		s.fail("command", p.what, p.instead)
	}
}

// vet judges a command. Whether the host would run it is asked only if it is
// known as whom.
func (b *builder) vet(command []string, as *healthcheck.Credential, known bool) *refusal {
	switch {
	case len(command) == 0 || command[0] == "":
		return &refusal{item: -1, what: "the command is empty", instead: "write the absolute path of a program, then its arguments"}
	case !filepath.IsAbs(command[0]):
		instead := "write the full path, such as " + `"/usr/local/bin/check"`
		if strings.ContainsAny(command[0], " |&;<>$") {
			instead = `write ["/bin/sh", "-c", "…"] if a shell is to read it`
		}
		return &refusal{what: quoteShort(command[0]) + " is not an absolute path", instead: instead}
	case len(command) == 1 && strings.Contains(command[0], " ") && b.env.Vet != nil && b.env.Vet(command, as) != nil:
		words := strings.Join(strings.Fields(command[0]), `", "`)
		return &refusal{what: "there is no program " + quoteShort(command[0]), instead: `write path and arguments apart: ["` + words + `"]`}
	case b.env.Vet == nil || !known:
		return nil
	}
	err := b.env.Vet(command, as)
	if err == nil {
		return nil
	}
	var ve *healthcheck.VetError
	if errors.As(err, &ve) {
		return &refusal{what: ve.Problem, instead: ve.Remedy, user: ve.Path == ""}
	}
	return &refusal{what: err.Error(), instead: "correct the path, or the permissions of the file"}
}
