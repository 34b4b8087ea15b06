package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// value reads any value, whose position n holds already.
func (s *scanner) value(n *node) *fault {
	defer func() { s.token = max(s.token, s.pos) }()
	switch {
	case s.at(`"""`):
		return s.block(`"""`)
	case s.at(`'''`):
		return s.block(`'''`)
	}
	switch s.peek() {
	case '"', '\'':
		return s.line()
	case '[':
		return s.array(n)
	case '{':
		return s.inline(n)
	}
	return s.bare()
}

// line reads a string that must end on its line.
func (s *scanner) line() *fault {
	start, quote := s.pos, s.peek()
	for i := start + 1; i < len(s.src) && s.src[i] != '\n'; i++ {
		switch s.src[i] {
		case '\\':
			if quote == '"' && i+1 < len(s.src) && s.src[i+1] != '\n' {
				i++
			}
		case quote:
			s.pos = i + 1
			return nil
		}
	}
	s.pos = s.lineEnd(start)
	return &fault{at: start, what: "the string is not closed on its line", instead: "end it with " + string(quote)}
}

// block reads a multi-line string.
func (s *scanner) block(quotes string) *fault {
	start := s.pos
	for i := start + 3; i < len(s.src); i++ {
		switch {
		case s.src[i] == '\\' && quotes == `"""`:
			i++
		case strings.HasPrefix(s.src[i:], quotes):
			i += 3
			for extra := 0; extra < 2 && i < len(s.src) && s.src[i] == quotes[0]; extra++ {
				i++ // up to two quotes may stand right before the closing ones
			}
			s.pos = i
			return nil
		}
	}
	// The lines behind it were surely not meant to be part of the string.
	s.pos = s.lineEnd(start)
	s.open = s.open[:0]
	return &fault{at: start, what: "the string is never closed", instead: "end it with " + quotes}
}

// tooDeep opens a bracket unless too many are open.
func (s *scanner) tooDeep() *fault {
	s.open = append(s.open, s.pos)
	if len(s.open) <= maxDepth {
		return nil
	}
	return &fault{at: s.pos, what: "values are nested too deeply", instead: "see the reference", unsafe: true}
}

func (s *scanner) array(n *node) *fault {
	if f := s.tooDeep(); f != nil {
		return f
	}
	start := s.pos
	n.items = nil
	s.pos++
	for {
		s.token = s.pos
		s.blank(true)
		if s.peek() == ']' {
			s.close()
			return nil
		}
		if s.pos >= len(s.src) || s.newStatement() {
			return s.unclosed(start, "array", "]")
		}
		item := &node{key: s.pos, value: s.pos}
		n.items = append(n.items, item)
		if f := s.value(item); f != nil {
			return f
		}
		s.blank(true)
		switch {
		case s.peek() == ',':
			s.pos++
		case s.peek() == ']':
		case s.pos >= len(s.src) || s.newStatement():
			return s.unclosed(start, "array", "]")
		default:
			return &fault{at: s.pos, what: "a comma or ] is missing before " + quoteShort(s.restOfLine()), instead: "write a comma between the elements"}
		}
	}
}

func (s *scanner) inline(n *node) *fault {
	if f := s.tooDeep(); f != nil {
		return f
	}
	start := s.pos
	s.pos++
	for {
		s.token = s.pos
		s.blank(true)
		if s.peek() == '}' {
			s.close()
			return nil
		}
		if s.pos >= len(s.src) {
			return s.unclosed(start, "inline table", "}")
		}
		if f := s.pair(n); f != nil {
			return f
		}
		line := s.lineEnd(s.token)
		s.blank(true)
		switch {
		case s.peek() == ',':
			s.pos++
		case s.peek() == '}':
		case s.pos > line || s.pos >= len(s.src):
			return s.unclosed(start, "inline table", "}")
		default:
			return &fault{at: s.pos, what: "a comma or } is missing before " + quoteShort(s.restOfLine()), instead: "write a comma between the keys"}
		}
	}
}

// pair reads one `key = value` of an inline table.
func (s *scanner) pair(n *node) *fault {
	if f := s.dotted(); f != nil {
		return f
	}
	if s.peek() != '=' {
		return &fault{at: s.parts[0].at, what: "there is no = behind the key", instead: "write " + keyPath(below(nil, s.parts)) + " = …"}
	}
	s.pos++
	s.blank(false)
	for _, p := range s.parts {
		n = n.child(p.name, p.at, s.pos)
	}
	return s.value(n)
}

func (s *scanner) close() {
	s.pos++
	s.token = s.pos
	s.open = s.open[:len(s.open)-1]
}

// unclosed ends the statement with the line of its last token, so that the
// statements behind it are read as such.
func (s *scanner) unclosed(start int, kind, bracket string) *fault {
	s.pos = s.lineEnd(s.token)
	s.open = s.open[:0]
	return &fault{at: start, what: "the " + kind + " is not closed", instead: "end it with " + bracket}
}

var (
	assignmentLine = lazily(`\A(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*[ \t]*=`)
	headerLine     = lazily(`\A\[\[?[ \t]*[A-Za-z_][A-Za-z0-9_-]*(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*[ \t]*\]\]?[ \t]*\r?(?:#|\n|\z)`)
	keywordLine    = lazily(`\A\[\[?[ \t]*(?:true|false|inf|nan)[ \t]*\]`)
)

// newStatement reports whether a line begins here that cannot be the element
// of an array, but can be a statement.
func (s *scanner) newStatement() bool {
	begin := strings.LastIndexByte(s.src[:s.pos], '\n') + 1
	if strings.TrimSpace(s.src[begin:s.pos]) != "" {
		return false
	}
	rest := s.src[s.pos:s.lineEnd(s.pos)]
	return assignmentLine().MatchString(rest) || headerLine().MatchString(rest) && !keywordLine().MatchString(rest)
}

// recover moves behind a faulty statement: to the end of the line on which all
// its brackets are closed, or before the line that begins another one.
func (s *scanner) recover() {
	for depth := len(s.open); s.pos < len(s.src); s.pos++ {
		switch s.src[s.pos] {
		case '"', '\'':
			s.line()
			s.pos--
		case '#':
			s.pos = s.lineEnd(s.pos) - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '\n':
			if depth <= 0 {
				return
			}
			s.pos++
			s.blank(true)
			if s.newStatement() {
				s.pos = strings.LastIndexByte(s.src[:s.pos], '\n')
				return
			}
			s.pos--
		}
	}
	s.pos = min(s.pos, len(s.src))
}

var notTOML = lazily(`\A(?:[^0-9+-].*|[0-9.]+(?:ns|us|µs|ms|s|m|h)|[0-9]+\.[0-9]+\.[0-9.]+(?:/[0-9]+)?|[0-9a-fA-F:]*::[0-9a-fA-F:]*(?:/[0-9]+)?)\z`)

// lazily compiles an expression when it is needed, which for most files is never:
// a start would wait for all of them.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// bare reads a number, boolean or date: all that has no brackets or quotes.
func (s *scanner) bare() *fault {
	start := s.pos
	for s.pos < len(s.src) && !strings.ContainsRune(",]}#\n\r", rune(s.src[s.pos])) {
		s.pos++
	}
	text := strings.TrimRight(s.src[start:s.pos], " \t")
	s.pos = start + len(text)
	if text == "" {
		return &fault{at: start, what: "the value is missing", instead: "write one behind the ="}
	}
	if strings.Trim(text, "0123456789") == "" {
		return nil // as most are
	}
	switch text {
	case "true", "false", "inf", "nan":
		return nil
	}
	if notTOML().MatchString(text) {
		what, instead := short(text)+" is not in quotes", literal(text)
		if instead == "true" || instead == "false" {
			what = short(text) + " is not a TOML value"
		}
		return &fault{at: start, what: what, instead: "write " + instead}
	}
	return nil
}

// literal guesses the TOML for a value that was written without quotes.
func literal(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case anyFold(text, "true", "yes", "on"):
		return "true"
	case anyFold(text, "false", "no", "off"):
		return "false"
	}
	if _, err := strconv.Atoi(text); err == nil || strings.ContainsAny(text, "\"'[]{}=") {
		return short(text)
	}
	return strconv.Quote(short(text))
}

// anyFold reports whether a text is one of some words, in whatever case.
func anyFold(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(text, w) })
}

// short cuts a text from the file to what fits in a message.
func short(text string) string {
	if utf8.RuneCountInString(text) > 40 {
		text = string([]rune(text)[:39]) + "…"
	}
	return text
}

func quoteShort(text string) string {
	if text == "" {
		return "the end of the line"
	}
	return strconv.Quote(short(text))
}

// unescape resolves the escapes of a basic string. It is for keys: what is
// invalid stays as it is, since the TOML parser will refuse it.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch c := text[i]; c {
		case 'b':
			b.WriteByte('\b')
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'f':
			b.WriteByte('\f')
		case 'r':
			b.WriteByte('\r')
		case 'e':
			b.WriteByte(0x1b)
		case 'x', 'u', 'U':
			digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			end := min(i+1+digits, len(text))
			if code, err := strconv.ParseUint(text[i+1:end], 16, 32); err == nil {
				b.WriteRune(rune(code))
			}
			i = end - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// keyPath writes a path the way a file would.
func keyPath(path []string) string {
	var b strings.Builder
	for i, p := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(TOMLKey(p))
	}
	return b.String()
}

// TOMLKey quotes a name if a bare key cannot hold it.
func TOMLKey(name string) string {
	for i := range len(name) {
		if !isBare(name[i]) {
			return strconv.Quote(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}
