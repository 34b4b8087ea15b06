package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A reader collects what is wrong while a plan is put together.
type reader struct {
	file     string
	src      *source
	env      Env
	problems Problems
	meant    [][]string // keys that a statement which cannot be read was meant to set
}

func (r *reader) report(d *document, at int, key, what, instead string, warning bool) {
	line, column := d.position(at)
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Column: column, Key: key, What: what, Instead: instead, Warning: warning})
}

// A section is one table of a file while it is read. Its accessors return the
// value of a key if it is there and right, else the default, else zero; what
// is wrong with it has been reported by then.
type section struct {
	r     *reader
	spec  *table
	path  []string // of the table, as in the file
	shown string   // of the table, as in messages: it has indexes too
	node  *node
	raw   map[string]any
	found []found // of the keys of spec, in their order
}

// open reads a table: types, ranges and choices of its keys, unknown keys,
// missing ones. The rest is up to the caller.
func (r *reader) open(spec *table, path []string, shown string, n *node, raw map[string]any) *section {
	s := &section{r: r, spec: spec, path: path, shown: shown, node: n, raw: raw, found: spec.absent()}
	if s.strange() { // sorting what is well known would be a waste
		for _, name := range s.names() {
			if spec.find(name) == nil {
				s.unknown(name)
			}
		}
	}
	for i := range spec.keys {
		s.read(&spec.keys[i], &s.found[i])
	}
	return s
}

// strange reports whether there are keys that the table does not have.
func (s *section) strange() bool {
	for name := range s.raw {
		if s.spec.find(name) == nil {
			return true
		}
	}
	return false
}

// names are the keys of the table in the order of the file.
func (s *section) names() []string { return inOrder(s.raw, s.node) }

// inOrder sorts the keys of a table by their positions.
func inOrder(raw map[string]any, n *node) []string {
	type placed struct {
		name string
		node *node
	}
	keys := make([]placed, 0, len(raw))
	for name := range raw {
		keys = append(keys, placed{name, n.field(name)})
	}
	slices.SortFunc(keys, func(a, b placed) int {
		if a.node == nil || b.node == nil || a.node.key == b.node.key {
			return strings.Compare(a.name, b.name)
		}
		return a.node.key - b.node.key
	})
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// read checks one key of the specification, of which f says the default.
func (s *section) read(k *key, f *found) {
	v, ok := s.raw[k.name]
	f.there = f.there || ok || s.r.src.damagedAt(s.path, k.name)
	switch {
	case k.unbuilt && ok:
		if k.only == "" || v != constant(k.only) {
			s.unbuilt(k)
		}
		return
	case k.unbuilt:
		return
	case !ok:
		if k.required && !f.there {
			s.r.report(s.r.src.doc, s.node.value, s.key(k.name), "it is missing", "write "+k.name+" = "+k.example(), false)
		}
		return
	}
	var wrong *mismatch
	if f.value, wrong = k.convert(v); wrong == nil {
		f.given = true
		return
	}
	n := s.node.field(k.name)
	shown := s.key(k.name)
	if wrong.index >= 0 {
		n, shown = n.item(wrong.index), fmt.Sprintf("%s[%d]", shown, wrong.index)
	}
	s.at(n, shown, wrong.what, wrong.instead, false)
}

func (s *section) unbuilt(k *key) {
	instead := "remove it"
	if k.only != "" {
		instead = "remove it, or write " + k.only
	}
	s.r.report(s.r.src.doc, s.place(k.name).key, s.key(k.name), "it is not built yet in this version", instead, false)
}

// example is what a complaint suggests to write.
func (k *key) example() string {
	if k.sample != "" {
		return k.sample
	}
	if k.def != "" {
		return k.def
	}
	return "…"
}

// constant is the value of a TOML literal in the table of keys.
func constant(literal string) any {
	var out struct{ V any }
	if _, err := toml.Decode("V = "+literal, &out); err != nil {
		panic("table of keys: " + literal + ": " + err.Error()) // a test reads all of them
	}
	return out.V
}

// A mismatch is why a value does not do for its key.
type mismatch struct {
	index         int // of the array element at fault, or -1
	what, instead string
}

func wrongType(k kind, v any, instead string) *mismatch {
	return &mismatch{index: -1, what: fmt.Sprintf("it is %s, must be %s", typeName(v), k), instead: instead}
}

// convert checks a value by the table of keys alone and returns it as a
// string, int, bool, time.Duration or []string, or as it came if it has an
// inner structure.
func (k *key) convert(v any) (any, *mismatch) {
	switch k.kind {
	case kindString:
		return k.toString(v)
	case kindInteger:
		return k.toInteger(v)
	case kindBoolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		if text, ok := v.(string); ok {
			if l := literal(text); l == "true" || l == "false" {
				return nil, wrongType(k.kind, v, "write "+l+" without quotes")
			}
		}
		return nil, wrongType(k.kind, v, "write true or false, without quotes")
	case kindDuration:
		return k.toDuration(v)
	case kindStrings:
		return k.toStrings(v)
	case kindTable:
		if t, ok := v.(map[string]any); ok {
			return t, nil
		}
		return nil, wrongType(k.kind, v, "write "+k.example())
	case kindProbe:
		switch v := v.(type) {
		case map[string]any:
			return v, nil
		case string:
			return k.toString(v)
		}
		return nil, wrongType(k.kind, v, "write "+k.example())
	case kindAddresses, kindTracks:
		if l, ok := list(v); ok {
			return l, nil
		}
		if text, ok := v.(string); ok {
			return nil, wrongType(k.kind, v, "write ["+strconv.Quote(text)+"]")
		}
		return nil, wrongType(k.kind, v, "write "+k.example())
	}
	return nil, &mismatch{index: -1, what: "it cannot be read", instead: "remove it"}
}

func (k *key) toString(v any) (any, *mismatch) {
	text, ok := v.(string)
	switch {
	case !ok:
		return nil, wrongType(k.kind, v, "write it in quotes, such as "+k.example())
	case strings.ContainsRune(text, 0):
		return nil, &mismatch{-1, "it contains a NUL character", "remove it"}
	case k.choices != nil && !slices.Contains(k.choices, text):
		instead := "write " + enumerate(k.choices)
		if near := nearest(text, k.choices); near != "" {
			instead = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, &mismatch{-1, quoteShort(text) + " is not among its values", instead}
	}
	return v, nil
}

func (k *key) toInteger(v any) (any, *mismatch) {
	i, ok := v.(int64)
	if !ok {
		if text, isText := v.(string); isText {
			if _, err := strconv.Atoi(text); err == nil {
				return nil, wrongType(k.kind, v, "write "+text+" without quotes")
			}
		}
		return nil, wrongType(k.kind, v, "write a number such as "+k.example())
	}
	if i < k.min || i > k.max {
		return nil, &mismatch{-1, fmt.Sprintf("%d is out of range", i), fmt.Sprintf("write a number from %d to %d", k.min, k.max)}
	}
	return int(i), nil
}

func (k *key) toDuration(v any) (any, *mismatch) {
	if i, ok := v.(int64); ok {
		return nil, &mismatch{-1, "it is an integer, must be a string with a unit", fmt.Sprintf(`write "%ds"`, i)}
	}
	if f, ok := v.(float64); ok {
		return nil, &mismatch{-1, "it is a number, must be a string with a unit", fmt.Sprintf(`write "%gs"`, f)}
	}
	text, ok := v.(string)
	if !ok {
		return nil, &mismatch{-1, "it is " + typeName(v) + ", must be a string with a unit", `write "1s"`}
	}
	if slices.Contains(k.words, text) {
		return text, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		instead := `write a number and a unit (ms, s, m, h), such as "1.5s"`
		for _, word := range k.words {
			instead += fmt.Sprintf(", or %q", word)
		}
		if _, err := strconv.ParseFloat(text, 64); err == nil && text != "" {
			instead = fmt.Sprintf(`write "%ss"`, text)
		}
		return nil, &mismatch{-1, quoteShort(text) + " is not a duration", instead}
	}
	if d < k.low || d > k.top {
		return nil, &mismatch{-1, quoteShort(text) + " is out of range", fmt.Sprintf("write a duration from %s to %s", duration(k.low), duration(k.top))}
	}
	return d, nil
}

func (k *key) toStrings(v any) (any, *mismatch) {
	l, ok := list(v)
	if !ok {
		if text, isText := v.(string); isText {
			quoted := []string{}
			for word := range strings.FieldsSeq(text) {
				quoted = append(quoted, strconv.Quote(word))
			}
			return nil, wrongType(k.kind, v, "write ["+strings.Join(quoted, ", ")+"]")
		}
		return nil, wrongType(k.kind, v, "write "+k.example())
	}
	out := make([]string, 0, len(l))
	for i, e := range l {
		text, ok := e.(string)
		if n, isNumber := e.(int64); isNumber && k.numbers {
			text, ok = strconv.FormatInt(n, 10), true
		}
		if !ok {
			return nil, &mismatch{i, "it is " + typeName(e) + ", must be a string", "write it in quotes"}
		}
		if strings.ContainsRune(text, 0) {
			return nil, &mismatch{i, "it contains a NUL character", "remove it"}
		}
		out = append(out, text)
	}
	return out, nil
}

// list returns the elements of an array of either kind.
func list(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []map[string]any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = v[i]
		}
		return out, true
	}
	return nil, false
}

// typeName says what a value is.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a number with a fraction"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "something else"
}

func enumerate(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	if last := len(quoted) - 1; last > 0 {
		return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
	}
	return strings.Join(quoted, "")
}

// key is the path of a key of the section, for messages.
func (s *section) key(name string) string {
	if s.shown == "" {
		return TOMLKey(name)
	}
	return s.shown + "." + TOMLKey(name)
}

// place is where a complaint about a key goes: its value, or the table if it
// has none.
func (s *section) place(name string) *node {
	if n := s.node.field(name); n != nil {
		return n
	}
	return s.node
}

func (s *section) at(n *node, shown, what, instead string, warning bool) {
	offset := 0
	if n != nil {
		offset = n.value
	}
	s.r.report(s.r.src.doc, offset, shown, what, instead, warning)
}

// fail reports an error in the value of a key.
func (s *section) fail(name, what, instead string) {
	s.at(s.place(name), s.key(name), what, instead, false)
}

// warn reports a doubt about the value of a key.
func (s *section) warn(name, what, instead string) {
	s.at(s.place(name), s.key(name), what, instead, true)
}

// failItem and warnItem are for an element of an array.
func (s *section) failItem(name string, i int, what, instead string) {
	s.at(s.node.field(name).item(i), fmt.Sprintf("%s[%d]", s.key(name), i), what, instead, false)
}
