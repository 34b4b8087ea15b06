package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxRounds bounds how often a file is parsed again after a statement that
// cannot be read was taken out of it.
const maxRounds = 40

// A source is what could be read of a file.
type source struct {
	doc    *document
	values map[string]any
	// damaged are the paths of keys and tables that are there but could not be
	// read. Nothing that is said of them may be called missing.
	damaged [][]string
	// vague: something is there of which not even the path is known.
	vague bool
}

// damagedAt reports whether a key of a table, or the table, or one around it,
// could not be read.
func (s *source) damagedAt(table []string, name string) bool {
	return s.vague || slices.ContainsFunc(s.damaged, func(d []string) bool {
		if n := len(table); len(d) > n {
			return len(d) == n+1 && d[n] == name && slices.Equal(d[:n], table)
		}
		return slices.Equal(d, table[:len(d)])
	})
}

// damagedIn reports whether something in a table could not be read.
func (s *source) damagedIn(path []string) bool {
	return s.vague || slices.ContainsFunc(s.damaged, func(d []string) bool {
		return len(d) >= len(path) && slices.Equal(d[:len(path)], path)
	})
}

var keepalivedBlock = lazily(`(?m)^[ \t]*(?:vrrp_instance|vrrp_script|vrrp_sync_group|global_defs)\b[^=\n]*\{`)

// keepalived is where a block of keepalived's language begins, -1 if there is
// none. A plain search tells most files from one much sooner than the
// expression does.
func keepalived(text string) int {
	if !strings.Contains(text, "vrrp_") && !strings.Contains(text, "global_defs") {
		return -1
	}
	at := keepalivedBlock().FindStringIndex(text)
	if at == nil {
		return -1
	}
	return at[1] - len(strings.TrimLeft(text[at[0]:at[1]], " \t"))
}

// readSource parses as much of a file as can be, with as many parsers. The
// complaints are about its syntax only.
func readSource(data []byte, parsers int, complain complaint) *source {
	text := strings.TrimLeft(string(data), "\ufeff") // byte order marks, as the parser does
	s := &source{doc: scan(""), values: map[string]any{}}
	refuse := func(at int, what, instead string) *source {
		complain(s.doc, at, nil, what, instead)
		s.vague = true
		return s
	}
	switch {
	case len(text) > maxFile:
		return refuse(0, fmt.Sprintf("the file is larger than %d bytes", maxFile), "split the instances between several daemons")
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.IndexByte(text[:min(6, len(text))], 0) >= 0:
		return refuse(0, "the file is not UTF-8", "save it as UTF-8")
	}
	s.doc = scan(text)
	if start := keepalived(text); start >= 0 {
		return refuse(start,
			"this is a keepalived configuration, vrrpd reads TOML", "have `vrrpctl config convert` make one of vrrpd of it")
	}
	s.blankUnsafe(complain)
	for round := 0; ; round++ {
		err := s.decode(parsers)
		if err == nil {
			return s
		}
		if round == maxRounds {
			return refuse(0, "there are more mistakes in the syntax than are looked at at once", "correct those below first")
		}
		if round == 0 && s.blankFaulty(complain) {
			continue
		}
		s.blankRejected(err, complain)
	}
}

// decode reads the values, with as many parsers.
func (s *source) decode(parsers int) (err error) {
	ok := false
	if s.values, ok = decodeParts(s.doc, partSize, parsers); !ok {
		s.values, _, err = decodeText(s.doc.src)
	}
	return err
}

type complaint = func(d *document, at int, key []string, what, instead string)

// blankUnsafe takes out what the parser had better not see.
func (s *source) blankUnsafe(complain complaint) {
	s.blankWhere(complain, func(st statement) bool { return st.fault != nil && st.fault.unsafe })
}

// blankFaulty takes out what the scanner could not read either, and reports
// whether there was any.
func (s *source) blankFaulty(complain complaint) bool {
	return s.blankWhere(complain, func(st statement) bool { return st.fault != nil })
}

func (s *source) blankWhere(complain complaint, bad func(statement) bool) bool {
	var gone []int
	for i, st := range s.doc.statements {
		if bad(st) {
			complain(s.doc, st.fault.at, st.path, st.fault.what, st.fault.instead)
			gone = append(gone, i)
		}
	}
	s.blank(gone)
	return len(gone) > 0
}

// blankRejected takes out the statement the parser has stumbled over.
func (s *source) blankRejected(err error, complain complaint) {
	var pe toml.ParseError
	at := -1
	if errors.As(err, &pe) {
		at = pe.Position.Start
	}
	at = min(max(at, 0), len(s.doc.src))
	which := -1
	for i, st := range s.doc.statements {
		if st.start <= at {
			which = i
		}
	}
	if which < 0 || at > s.doc.statements[which].end {
		// Not in a statement: a control character in a comment, say.
		start, end := s.doc.lineRange(at)
		if pe.Position.Start < 0 || strings.TrimSpace(s.doc.src[start:end]) == "" {
			start, end = 0, len(s.doc.src)
			s.vague = true
		}
		complain(s.doc, at, nil, plain(err), "remove it")
		s.replace(start, end)
		return
	}
	st := s.doc.statements[which]
	what, instead := plain(err), "see https://toml.io"
	switch {
	case strings.Contains(what, "already"):
		at = st.start
		what, instead = "it is given twice", "keep one of the two"
		if first := s.first(which); first >= 0 {
			line, _ := s.doc.position(first)
			what = fmt.Sprintf("it is given twice, first on line %d", line)
		}
	case strings.Contains(what, "escape"):
		instead = `write \\ for a backslash, or put the text between single quotes`
	case strings.Contains(what, "UTF-8"), strings.Contains(what, "control char"):
		instead = "remove it"
	case strings.Contains(what, "to end with a newline"):
		what, instead = "something follows the value that does not belong to it", "remove it"
	case strings.Contains(what, "leading zeroes"):
		instead = "write the number without them"
	}
	complain(s.doc, at, st.path, what, instead)
	s.blank([]int{which})
}

// first finds where the path of a statement was given before it.
func (s *source) first(which int) int {
	for _, st := range s.doc.statements[:which] {
		if slices.Equal(st.path, s.doc.statements[which].path) {
			return st.start
		}
	}
	return -1
}

// plain is a parser's message as part of a sentence.
func plain(err error) string {
	text := err.Error()
	var pe toml.ParseError
	if errors.As(err, &pe) {
		text = pe.Message
	}
	if r, n := utf8.DecodeRuneInString(text); n > 0 {
		text = strings.ToLower(string(r)) + text[n:]
	}
	return strings.TrimSuffix(strings.ToValidUTF8(text, "?"), ".")
}

// blank takes statements out of the text, a header with all that stands under
// it, and indexes the file again. Offsets stay what they were.
func (s *source) blank(which []int) {
	if len(which) == 0 {
		return
	}
	text := []byte(s.doc.src)
	for _, i := range which {
		st := s.doc.statements[i]
		wipe(text, st.start, st.end)
		if len(st.path) == 0 {
			s.vague = s.vague || st.header
		} else if s.first(i) < 0 {
			s.damaged = append(s.damaged, st.path)
		}
		if !st.header {
			continue
		}
		for _, under := range s.doc.statements[i+1:] {
			if under.section == i {
				wipe(text, under.start, under.end)
			}
		}
	}
	s.doc = scan(string(text))
}

func (s *source) replace(start, end int) {
	text := []byte(s.doc.src)
	wipe(text, start, end)
	s.doc = scan(string(text))
}

func wipe(text []byte, start, end int) {
	for i := start; i < min(end, len(text)); i++ {
		if text[i] != '\n' {
			text[i] = ' '
		}
	}
}
