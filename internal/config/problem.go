package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing wrong, or doubtful, in a configuration file.
type Problem struct {
	File    string
	Line    int    // from 1
	Column  int    // from 1, in characters
	Key     string // path of the key, as in instance.web.addresses[1]; "" if there is none
	What    string // what is wrong
	Instead string // what to write instead
	Warning bool   // the file is usable all the same
}

// String is the problem on one line, without its severity:
//
//	FILE:LINE:COLUMN: key.path: what is wrong; what to write instead
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Key != "" {
		b.WriteString(oneLine(p.Key) + ": ")
	}
	b.WriteString(oneLine(p.What))
	if p.Instead != "" {
		b.WriteString("; " + oneLine(p.Instead))
	}
	return b.String()
}

// Problems are the findings in one file, in the order of their positions.
type Problems []Problem

// Errors are the problems that make the file unusable.
func (ps Problems) Errors() Problems { return ps.only(false) }

// Warnings are the problems that do not.
func (ps Problems) Warnings() Problems { return ps.only(true) }

func (ps Problems) only(warning bool) Problems {
	var out Problems
	for _, p := range ps {
		if p.Warning == warning {
			out = append(out, p)
		}
	}
	return out
}

// Strings are the problems as lines of text.
func (ps Problems) Strings() []string {
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

// sorted orders by position and drops exact repetitions.
func (ps Problems) sorted() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}

// oneLine keeps a report to one line whatever the file contained.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
