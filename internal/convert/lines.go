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
		if !r.full {
			r.full = true
			r.report(at, "include", fmt.Sprintf("files include each other, or more than %d deep, or they are more than %d", maxIncludes, maxFiles), "write their contents in one file", false)
		}
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
			r.report(at, "", fmt.Sprintf("keepalived drops a line of more than %d bytes, or with a NUL", maxLine), "split the line, or remove it", false)
			continue
		}
		if !utf8.ValidString(raw) {
			raw = strings.ToValidUTF8(raw, "?")
			r.report(at, "", "the line is not UTF-8", "save the file as UTF-8", false)
		}
		text := uncomment(strings.TrimSuffix(raw, "\r"))
		at.column += utf8.RuneCountInString(text) - utf8.RuneCountInString(strings.TrimLeft(text, " \t"))
		text = strings.TrimSpace(text)
		if joined != nil {
			more, goesOn := strings.CutSuffix(text, `\`)
			joined.text += "\n" + strings.TrimSpace(more)
			if !goesOn {
				r.line(*joined)
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
		r.line(line{at, text})
	}
	if joined != nil {
		r.line(*joined)
	}
}

// line takes in a line of a file: an include, a definition, or something that
// is there only for one configuration ID.
func (r *reader) line(l line) {
	if r.full {
		return
	}
	word, rest, _ := strings.Cut(l.text, " ")
	switch word {
	case "include", "includer", "includem", "includew", "includeb", "includea":
		r.include(strings.Trim(strings.TrimSpace(rest), `"`), l.place)
		return
	}
	if strings.HasPrefix(word, "@") {
		id, unless := strings.CutPrefix(word[1:], "^")
		if (id == r.env.ID) == unless {
			return
		}
		if l.text = strings.TrimSpace(rest); l.text == "" {
			return
		}
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
	r.expand(l, 0)
}

// include reads all files that a pattern names.
func (r *reader) include(pattern string, at place) {
	if pattern == "" {
		r.report(at, "include", "it names no file", "remove it", false)
		return
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(at.file), pattern)
	}
	paths, err := r.env.Glob(pattern)
	switch {
	case err != nil:
		r.report(at, "include", "the pattern cannot be read: "+err.Error(), "write the files out", false)
	case len(paths) == 0 && !strings.ContainsAny(pattern, "*?["):
		r.report(at, "include", pattern+" is not there, and keepalived leaves it out in silence", "remove the include, or mend it", false)
	case len(paths) == 0:
		r.report(at, "include", "no file is named "+pattern, "", true)
	}
	for _, path := range paths {
		if !r.full {
			r.file(path, at)
		}
	}
}

// add appends a line that is final.
func (r *reader) add(l line) {
	if l.text == "" || r.full {
		return
	}
	if len(r.lines) == maxLines {
		r.overflow(l.place)
		return
	}
	r.lines = append(r.lines, l)
}

// overflow ends the reading of what has become too much.
func (r *reader) overflow(at place) {
	if !r.full {
		r.full = true
		r.report(at, "", fmt.Sprintf("there are more than %d lines when everything is expanded", maxLines), "split the instances between several daemons", false)
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
