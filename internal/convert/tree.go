package convert

import (
	"strconv"
	"strings"
)

// A statement is a keyword with what follows it, and the block it opens.
type statement struct {
	place
	words []string     // of the statement; the first is the keyword
	raw   string       // what follows the keyword, as it was written
	from  int          // where that begins in its line
	block []*statement // what stands between { and }
	open  bool         // there is a block, be it empty
}

func (s *statement) word() string { return s.words[0] }

// arg is the first word after the keyword, "" if there is none.
func (s *statement) arg() string {
	if len(s.words) < 2 {
		return ""
	}
	return s.words[1]
}

// find returns the last statement of a keyword in the block: of a value that
// is given twice keepalived takes the later one.
func (s *statement) find(word string) *statement {
	var found *statement
	for _, in := range s.block {
		if in.word() == word {
			found = in
		}
	}
	return found
}

// list is all the words of a block, in order. It is for blocks of names.
func (s *statement) list() []item {
	var all []item
	for _, in := range s.block {
		for _, w := range in.words {
			all = append(all, item{in.place, w})
		}
	}
	return all
}

// An item is a word and where it stands.
type item struct {
	place
	word string
}

// tree puts the lines together. Braces that do not match are reported: what
// keepalived makes of them is seldom what was meant.
func (r *reader) tree() []*statement {
	root := &statement{words: []string{""}}
	within := []*statement{root}
	for _, l := range r.lines {
		var current *statement // of this line
		for _, w := range split(l.text) {
			top := within[len(within)-1]
			switch {
			case w.text == "{" && !w.quoted:
				current.until(l.text, w)
				opener := current
				if opener == nil && len(top.block) > 0 {
					opener = top.block[len(top.block)-1] // the brace has a line of its own
				}
				if opener == nil || opener.open {
					r.report(l.place, "", "a { without a keyword before it", "remove it", false)
					opener = &statement{place: l.place, words: []string{""}}
				}
				opener.open = true
				within = append(within, opener)
				current = nil
			case w.text == "}" && !w.quoted:
				current.until(l.text, w)
				if len(within) == 1 {
					r.report(l.place, "", "a } without a { before it", "remove it", false)
				} else {
					within = within[:len(within)-1]
				}
				current = nil
			case current == nil:
				current = &statement{place: l.place, words: []string{w.text}, raw: l.text[w.end:], from: w.end}
				top.block = append(top.block, current)
			default:
				current.words = append(current.words, w.text)
			}
		}
	}
	for _, s := range within[1:] {
		r.report(s.place, "", "the block is not closed", "add the missing }", false)
	}
	return root.block
}

// until ends a statement before a brace on the same line.
func (s *statement) until(text string, brace token) {
	if s != nil {
		s.raw = text[s.from:brace.start]
	}
}

// A token is a word of a line.
type token struct {
	text   string
	quoted bool
	start  int // its offset
	end    int // that of what follows it
}

// split separates a line at blanks outside of double quotes, in which there are
// no escapes. A brace is a word of its own.
func split(text string) []token {
	var all []token
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '"':
			n := strings.IndexByte(text[i+1:], '"')
			if n < 0 {
				n = len(text) - i - 1
			}
			end := min(i+n+2, len(text))
			all = append(all, token{text[i+1 : i+1+n], true, i, end})
			i = end
		default:
			end := len(text)
			if c == '{' || c == '}' {
				end = i + 1
			} else if n := strings.IndexAny(text[i:], " \t\"{}"); n >= 0 {
				end = i + n
			}
			all = append(all, token{text[i:end], false, i, end})
			i = end
		}
	}
	return all
}

// arguments separates the words of a command, as keepalived does for scripts:
// with either kind of quotes, and escapes after a backslash.
func arguments(text string) []string {
	var all []string
	var b strings.Builder
	quote, within := byte(0), false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			escaped, n := escape(text[i+1:])
			b.WriteByte(escaped)
			i += n
			within = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, within = c, true
		case quote == 0 && strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			if within {
				all = append(all, b.String())
				b.Reset()
				within = false
			}
		default:
			b.WriteByte(c)
			within = true
		}
	}
	if within {
		all = append(all, b.String())
	}
	return all
}

// escape is what stands behind a backslash, and how much of it: \n and its
// like, \101 (octal), \x41, \cC for a control character, else itself.
func escape(text string) (c byte, length int) {
	if i := strings.IndexByte("abEfnrtv", text[0]); i >= 0 {
		return "\a\b\x1b\f\n\r\t\v"[i], 1
	}
	digits := func(from string, base, most int) (byte, int) {
		n := 0
		for n < min(len(from), most) {
			if _, err := strconv.ParseUint(from[:n+1], base, 16); err != nil {
				break
			}
			n++
		}
		value, _ := strconv.ParseUint(from[:n], base, 16) // of no digits 0
		return byte(value), n
	}
	switch {
	case text[0] >= '0' && text[0] <= '7':
		return digits(text, 8, 3)
	case text[0] == 'x' && len(text) > 1:
		if c, n := digits(text[1:], 16, 2); n > 0 {
			return c, 1 + n
		}
	case text[0] == 'c' && len(text) > 1:
		return text[1] & 0x1f, 2
	}
	return text[0], 1
}

// command is the first word after the keyword, which is a command with its
// arguments, and what follows it.
func (s *statement) command() (words, rest []string) {
	words = arguments(s.raw)
	if len(words) == 0 {
		return nil, nil
	}
	return arguments(words[0]), words[1:]
}
