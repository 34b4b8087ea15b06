package config

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// Bounds on what is handed to the TOML parser, which recurses into values.
const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 32      // arrays and inline tables within each other
	maxParts = 16      // parts of a dotted key
)

// A node is a key, an array element or a table, and where it stands. Offsets
// are in bytes.
type node struct {
	key    int // the name; for an array element the same as value
	value  int // the value; for a table with a header its opening bracket
	fields map[string]*node
	items  []*node
	tables bool // items come from [[header]]s
	header bool // has a [header] of its own
}

func (n *node) field(name string) *node {
	if n == nil {
		return nil
	}
	return n.fields[name]
}

func (n *node) item(i int) *node {
	if n == nil || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}

// child returns the named field, which it makes if need be.
func (n *node) child(name string, key, value int) *node {
	if c := n.fields[name]; c != nil {
		return c
	}
	if n.fields == nil {
		n.fields = make(map[string]*node)
	}
	c := &node{key: key, value: value}
	n.fields[name] = c
	return c
}

// latest is where the keys below n go: the last element of an array of tables.
func (n *node) latest() *node {
	if n.tables && len(n.items) > 0 {
		return n.items[len(n.items)-1]
	}
	return n
}

// A statement is a [header] or a `key = value`.
type statement struct {
	start, end int // the bytes it takes up, without the newline
	header     bool
	section    int      // index of the header it stands under, -1 for none and for headers
	path       []string // of the key or table, as far as it could be read
	fault      *fault   // nil: well formed, as far as the scanner can tell
}

// A fault is why a statement cannot be read.
type fault struct {
	at            int
	what, instead string
	unsafe        bool // must not even be shown to the TOML parser
}

// A document is the index of a file: where everything stands.
type document struct {
	src        string
	lines      []int // offset of each line
	root       *node
	statements []statement
}

// position converts an offset to a line and a column, both from 1.
func (d *document) position(at int) (line, column int) {
	at = min(max(at, 0), len(d.src))
	line = sort.Search(len(d.lines), func(i int) bool { return d.lines[i] > at })
	return line, utf8.RuneCountInString(d.src[d.lines[line-1]:at]) + 1
}

// lineRange is the line around an offset, without its newline.
func (d *document) lineRange(at int) (start, end int) {
	line, _ := d.position(at)
	start, end = d.lines[line-1], len(d.src)
	if i := strings.IndexByte(d.src[start:], '\n'); i >= 0 {
		end = start + i
	}
	return start, end
}

// scan indexes a file. It never fails: what it cannot read is a statement with
// a fault, and it goes on at the next line that can be the start of one.
func scan(src string) *document {
	lines := 1 + strings.Count(src, "\n")
	d := &document{src: src, lines: make([]int, 1, lines), root: &node{},
		statements: make([]statement, 0, min(lines, len(src)/8))} // seldom are there more, and many empty lines are not worth the room
	for i := range len(src) {
		if src[i] == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	s := &scanner{doc: d, src: src, table: d.root, section: -1}
	for s.blank(true); s.pos < len(src); s.blank(true) {
		s.statement()
	}
	return d
}

// A scanner is the state of one scan.
type scanner struct {
	doc     *document
	src     string
	pos     int
	table   *node    // the table keys go to now
	path    []string // its path
	section int
	parts   []part // of the last key
	open    []int  // offsets of the brackets that are open
	token   int    // end of the last token
}

// A part is one part of a dotted key, and where it stands.
type part struct {
	name string
	at   int
}

// below is the path of a key below a table.
func below(table []string, parts []part) []string {
	path := make([]string, 0, len(table)+len(parts))
	path = append(path, table...)
	for _, p := range parts {
		path = append(path, p.name)
	}
	return path
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) at(prefix string) bool { return strings.HasPrefix(s.src[s.pos:], prefix) }

// blank skips white space and, if asked, newlines and comments.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case lines && (c == '\n' || c == '\r'):
			s.pos++
		case lines && c == '#':
			s.pos = s.lineEnd(s.pos)
		default:
			return
		}
	}
}

func (s *scanner) lineEnd(from int) int {
	if i := strings.IndexByte(s.src[from:], '\n'); i >= 0 {
		return from + i
	}
	return len(s.src)
}

// statement reads one statement and leaves pos behind it.
func (s *scanner) statement() {
	st := statement{start: s.pos, section: s.section}
	s.open, s.token = s.open[:0], s.pos
	if s.peek() == '[' {
		st.header, st.section = true, -1
		st.path, st.fault = s.header()
		s.section = len(s.doc.statements)
	} else {
		st.path, st.fault = s.assignment()
	}
	if st.fault == nil {
		st.fault = s.endOfLine()
	}
	if st.fault != nil {
		s.recover()
		if st.header {
			s.table, s.path = &node{}, nil // keys below it must not land in the table above
		}
	}
	s.pos = max(s.pos, st.start+1)
	st.end = s.pos
	s.doc.statements = append(s.doc.statements, st)
}

// endOfLine accepts what may follow a statement: white space and a comment.
func (s *scanner) endOfLine() *fault {
	s.blank(false)
	if s.pos >= len(s.src) || s.peek() == '#' || s.peek() == '\n' || s.at("\r\n") {
		s.pos = s.lineEnd(s.pos)
		return nil
	}
	return &fault{at: s.pos, what: quoteShort(s.restOfLine()) + " follows where the line should end",
		instead: "write each key on a line of its own, comments behind #"}
}

func (s *scanner) restOfLine() string {
	return strings.TrimSpace(s.src[s.pos:s.lineEnd(s.pos)])
}

// header reads [a.b] or [[a.b]].
func (s *scanner) header() ([]string, *fault) {
	start, closing := s.pos, "]"
	s.pos++
	if s.peek() == '[' {
		s.pos++
		closing = "]]"
	}
	f := s.dotted()
	names := below(nil, s.parts)
	if f != nil {
		return names, f
	}
	if !s.at(closing) {
		return names, &fault{at: start, what: "the table header is not closed",
			instead: "write " + strings.Repeat("[", len(closing)) + keyPath(names) + closing}
	}
	s.pos += len(closing)
	t := s.doc.root
	around, last := s.parts[:len(names)-1], s.parts[len(names)-1]
	for _, p := range around {
		t = t.child(p.name, p.at, start).latest()
	}
	fresh := t.field(last.name) == nil
	t = t.child(last.name, last.at, start)
	switch {
	case closing == "]]":
		t.tables = true
		item := &node{key: start, value: start, header: true}
		t.items = append(t.items, item)
		t = item
	case t.header || t.tables:
		t = &node{key: last.at, value: start} // given twice: the parser says so; the first keeps its positions
	case !fresh:
		t.key, t.value = last.at, start // known from [a.b.c] so far: its own header is the better place
	}
	t.header = true
	s.table, s.path = t, names
	return names, nil
}

// assignment reads `key = value`.
func (s *scanner) assignment() ([]string, *fault) {
	f := s.dotted()
	path := below(s.path, s.parts)
	if f != nil {
		return path, f
	}
	if s.peek() != '=' {
		rest := s.restOfLine()
		f := &fault{at: s.parts[0].at, what: "there is no = behind the key"}
		own := keyPath(path[len(s.path):])
		if f.instead = "write " + own + " = …"; rest != "" {
			f.instead = "write " + own + " = " + literal(rest)
		}
		return path, f
	}
	s.pos++
	s.token = s.pos
	s.blank(false)
	n := s.table
	for _, p := range s.parts {
		n = n.latest().child(p.name, p.at, s.pos)
	}
	if n.value != s.pos { // given twice
		n = &node{}
	}
	n.value = s.pos
	return path, s.value(n)
}

// dotted reads a key into s.parts: bare and quoted parts with dots between
// them.
func (s *scanner) dotted() *fault {
	s.parts = s.parts[:0]
	for {
		s.blank(false)
		start := s.pos
		name, f := s.name()
		if f != nil {
			return f
		}
		s.parts = append(s.parts, part{name, start})
		if len(s.parts) > maxParts {
			return &fault{at: start, what: "the key has too many parts", instead: "see the reference", unsafe: true}
		}
		s.token = s.pos
		s.blank(false)
		if s.peek() != '.' {
			return nil
		}
		s.pos++
	}
}

// name reads one part of a key.
func (s *scanner) name() (string, *fault) {
	start := s.pos
	switch s.peek() {
	case '"', '\'':
		quote := s.peek()
		if f := s.line(); f != nil {
			return "", f
		}
		text := s.src[start+1 : s.pos-1]
		if quote == '"' {
			text = unescape(text)
		}
		return text, nil
	}
	for s.pos < len(s.src) && isBare(s.src[s.pos]) {
		s.pos++
	}
	if s.pos == start {
		return "", &fault{at: start, what: "a key is expected, not " + quoteShort(s.restOfLine()), instead: "write key = value, or put # before a comment"}
	}
	return s.src[start:s.pos], nil
}

func isBare(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}
