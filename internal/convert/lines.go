package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"vrrpd/internal/config"
)

// Bounds on what is read.
const (
	maxLine     = 1024    // bytes; keepalived drops longer ones
	maxIncludes = 16      // files within each other
	maxFiles    = 4096    // together
	maxLines    = 100_000 // after everything is expanded
)

// A place is where something was written.
type place struct {
	file         string
	line, column int // from 1; the column in characters
}

// A line is one line of the configuration, without comment and blanks around
// it, and never empty.
type line struct {
	place
	text string
}

// A reader collects the lines of a file and all it includes.
type reader struct {
	env      Env
	lines    []line
	within   []string // the files that are being read
	defs     map[string]string
	problems config.Problems
	files    int  // that were read
	work     int  // bytes that were looked at
	full     bool // a bound was reached, and told
}

func (r *reader) report(at place, key, what, instead string, warning bool) {
	r.problems = append(r.problems, config.Problem{File: at.file, Line: at.line, Column: at.column, Key: key, What: what, Instead: instead, Warning: warning})
}

// file reads a file. The place is that of the include, if it is one.
func (r *reader) file(path string, at place) {
	if r.files++; r.files > maxFiles || len(r.within) >= maxIncludes {
		r.overflow(at, fmt.Sprintf("files include each other, or are more than %d deep, or more than %d", maxIncludes, maxFiles), "write their contents in one file")
		return
	}
	data, err := r.env.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		if len(r.within) > 0 {
			r.report(at, "include", path+" cannot be read: "+err.Error(), "remove the include, or mend it", false)
			return
		}
		r.report(place{path, 1, 1}, "", "the file cannot be read: "+err.Error(), "name a keepalived.conf", false)
		return
	}
	r.within = append(r.within, path)
	defer func() { r.within = r.within[:len(r.within)-1] }()
	text := strings.TrimPrefix(string(data), "\ufeff")
	var joined *line // an unfinished definition, whose line ended in a backslash
	for i, raw := range strings.Split(text, "\n") {
		at := place{path, i + 1, 1}
		if len(raw) > maxLine || strings.IndexByte(raw, 0) >= 0 {
			r.report(at, "", fmt.Sprintf("keepalived does not read a line of more than %d bytes as one, nor what follows a NUL", maxLine), "split the line, or remove it", false)
			continue
		}
		text := uncomment(strings.TrimSuffix(raw, "\r"))
		if !utf8.ValidString(text) {
			text = strings.ToValidUTF8(text, "?")
			r.report(at, "", "the line is not UTF-8", "save the file as UTF-8", false)
		}
		at.column += utf8.RuneCountInString(text) - utf8.RuneCountInString(strings.TrimLeft(text, " \t"))
		text = strings.TrimSpace(text)
		if joined != nil {
			more, goesOn := strings.CutSuffix(text, `\`)
			joined.text += "\n" + strings.TrimSpace(more)
			if !goesOn {
				r.line(*joined, 0)
				joined = nil
			}
			continue
		}
		if text == "" {
			continue
		}
		if head, goesOn := strings.CutSuffix(text, `\`); goesOn && isDefinition(text) {
			joined = &line{at, strings.TrimSpace(head)}
			continue
		}
		r.line(line{at, text}, 0)
	}
	if joined != nil {
		r.line(*joined, 0)
	}
}

// line takes in a line, in keepalived's order: what is there only for one
// configuration ID, definitions, sequences, what definitions stand for, and
// last an include. Each line of a definition of several is a line again, so
// depth says how many definitions it came out of.
func (r *reader) line(l line, depth int) {
	if r.work += 64 + len(l.text); r.work > maxWork {
		r.overflow(l.place, "definitions and sequences make more text of this than is read", "write less with each")
	}
	if r.full || l.text == "" {
		return
	}
	if depth > maxDepth || len(l.text) > maxText {
		r.report(l.place, "", "definitions are used within each other without end", "write the text out", false)
		return
	}
	word, rest := cutWord(l.text)
	if strings.HasPrefix(word, "@") {
		id, unless := strings.CutPrefix(word[1:], "^")
		if (id == r.env.ID) != unless {
			r.line(line{l.place, rest}, depth+1)
		}
		return
	}
	if isDefinition(l.text) {
		name, value, _ := strings.Cut(l.text[1:], "=")
		r.defs[name] = strings.TrimSpace(value)
		return
	}
	if before, _, ok := strings.Cut(l.text, "="); ok && isDefinition(strings.TrimSpace(before)+"=") {
		r.report(l.place, "", "keepalived takes no blank before the = of a definition, and leaves the line out", "write "+strings.TrimSpace(before)+"=…", false)
		return
	}
	if strings.HasPrefix(l.text, "~") {
		r.sequence(l, depth)
		return
	}
	if text, changed := r.substitute(l); changed {
		for part := range strings.SplitSeq(text, "\n") {
			r.line(line{l.place, strings.TrimSpace(part)}, depth+1)
		}
		return
	}
	switch word {
	case "include", "includer", "includem", "includew", "includeb", "includea":
		r.include(rest, l.place)
	default:
		r.add(l)
	}
}

// cutWord separates the first word from the rest.
func cutWord(text string) (word, rest string) {
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

// include reads all files that a pattern names, as a shell would find them.
func (r *reader) include(pattern string, at place) {
	if pattern == "" || strings.Contains(pattern, `"`) {
		r.report(at, "include", "it names no file; quotes are part of the name", "write the path as it is", false)
		return
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(at.file), pattern)
	}
	found := false
	for _, p := range braces(pattern, maxFiles) {
		paths, err := r.env.Glob(p)
		if err != nil {
			r.report(at, "include", "the pattern cannot be read: "+err.Error(), "write the files out", false)
			return
		}
		for _, path := range paths {
			name := filepath.Base(path)
			switch mode, err := r.env.Mode(path); {
			case r.full, strings.HasPrefix(name, ".") && !strings.HasPrefix(filepath.Base(p), "."):
				continue
			case err == nil && (mode.IsDir() || mode&0o111 != 0):
				r.report(at, "include", path+" is left out, as keepalived does with directories and executable files", "", true)
			default:
				r.file(path, at)
			}
			found = true
		}
	}
	switch {
	case found:
	case !strings.ContainsAny(pattern, "*?[{"):
		r.report(at, "include", pattern+" is not there, and keepalived goes on without", "remove the include, or mend it", false)
	default:
		r.report(at, "include", "no file is named "+pattern, "", true)
	}
}

// braces expands {a,b} in a pattern, to no more than most of them.
func braces(pattern string, most int) []string {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	var parts []string
	depth, from := 0, open+1
	for i := open; i < len(pattern); i++ {
		switch pattern[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				parts, from = append(parts, pattern[from:i]), i+1
			}
		case '}':
			if depth--; depth > 0 {
				continue
			}
			var all []string
			for _, part := range append(parts, pattern[from:i]) {
				if len(all) < most {
					all = append(all, braces(pattern[:open]+part+pattern[i+1:], most-len(all))...)
				}
			}
			return all
		}
	}
	return []string{pattern} // not closed
}

// add appends a line that is final.
func (r *reader) add(l line) {
	if len(r.lines) == maxLines {
		r.overflow(l.place, fmt.Sprintf("there are more than %d lines when everything is expanded", maxLines), "split the instances between several daemons")
		return
	}
	if quoted := false; strings.ContainsAny(l.text, "#!") {
		for _, c := range l.text {
			if c == '"' {
				quoted = !quoted
			} else if (c == '#' || c == '!') && !quoted {
				r.report(l.place, "", "keepalived ends a word at # and ! even behind a backslash", "put it between double quotes", false)
				break
			}
		}
	}
	r.lines = append(r.lines, l)
}

// overflow ends the reading of what has become too much.
func (r *reader) overflow(at place, what, instead string) {
	if !r.full {
		r.full = true
		r.report(at, "", what, instead, false)
	}
}

// uncomment removes a comment: # or ! outside of double quotes. With a
// backslash before it, either stands for itself.
func uncomment(text string) string {
	if !strings.ContainsAny(text, "#!") {
		return text
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && !quoted && i+1 < len(text) && (text[i+1] == '#' || text[i+1] == '!'):
			i++
		case c == '"':
			quoted = !quoted
		case (c == '#' || c == '!') && !quoted:
			return b.String()
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
