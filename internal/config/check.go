package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"vrrpd/healthcheck"
)

// check takes over one [check.NAME].
func (b *builder) check(name string, s *section) {
	c := Check{
		Name:     name,
		Command:  s.texts("command"),
		Interval: s.duration("interval"),
		Timeout:  s.duration("timeout"),
		Rise:     s.integer("rise"),
		Fall:     s.integer("fall"),
		Weight:   s.integer("weight"),
		User:     s.text("user"),
	}
	switch {
	case !s.there["timeout"]:
		c.Timeout = c.Interval
	case s.given["timeout"] && s.sure("interval") && c.Timeout > c.Interval:
		s.warn("timeout", fmt.Sprintf("it is longer than the interval, so a command that takes long skips runs: fall = %d can take %s", c.Fall, duration(longest(c))),
			"write at most "+quoted(c.Interval)+", or a longer interval")
	}
	known := b.runAs(&c, s)
	if s.given["command"] {
		if problem := b.vet(c.Command, c.RunAs, known); problem != nil {
			problem.report(s)
		}
	}
	b.plan.Checks = append(b.plan.Checks, c)
	b.checks[name] = c
}

// longest is how long a check can take to fail if every run hangs.
func longest(c Check) (d duration) {
	period := (c.Timeout + c.Interval - 1) / c.Interval * c.Interval
	return duration(period) * duration(c.Fall)
}

// runAs finds the identity a check runs as, and reports whether it could.
func (b *builder) runAs(c *Check, s *section) bool {
	if !s.given["user"] {
		if b.env.DefaultUser != nil && !s.there["user"] {
			c.RunAs = b.env.DefaultUser()
		}
		if c.RunAs != nil {
			c.User = c.RunAs.User
		}
		return !s.there["user"]
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
	case p.user && s.given["user"]:
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
