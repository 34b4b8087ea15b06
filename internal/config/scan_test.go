package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// crossCheck compares the index of a file with what the TOML parser saw. It
// returns false if the parser refuses the file.
func crossCheck(t *testing.T, text string) bool {
	t.Helper()
	s := &source{doc: scan(text)}
	for _, st := range s.doc.statements {
		if st.start < 0 || st.end > len(text) || st.start > st.end {
			t.Fatalf("a statement from %d to %d in %d bytes", st.start, st.end, len(text))
		}
		if st.fault != nil && st.fault.unsafe {
			return false
		}
	}
	values, meta, err := decodeText(text)
	if parts, ok := decodeParts(s.doc, 1, 2); ok {
		if d := cmp.Diff(values, parts, cmpopts.EquateNaNs()); err != nil || d != "" {
			t.Errorf("read in parts it is another file: %v (-whole +parts):\n%s", err, d)
		}
	}
	if err != nil {
		return false
	}
	for _, st := range s.doc.statements {
		if st.fault != nil {
			t.Errorf("valid, but the scanner says at %d: %s", st.fault.at, st.fault.what)
		}
	}
	seen := meta.Keys() // those within inline tables too, which are no statements
	for _, st := range s.doc.statements {
		i := slices.IndexFunc(seen, func(k toml.Key) bool { return slices.Equal(k, st.path) })
		if i < 0 {
			t.Errorf("the parser saw no %s, or not behind the statement before", keyPath(st.path))
			break
		}
		seen = seen[i+1:]
	}
	compareNodes(t, text, nil, values, s.doc.root)
	return true
}

// compareNodes: each value has a node, whose offset is where a parser of that
// value alone would begin.
func compareNodes(t *testing.T, text string, path []string, v any, n *node) {
	t.Helper()
	if n == nil {
		t.Errorf("%s has no position", keyPath(path))
		return
	}
	if n.key < 0 || n.key > len(text) || n.value < 0 || n.value > len(text) {
		t.Errorf("%s is outside of the file", keyPath(path))
		return
	}
	switch v := v.(type) {
	case map[string]any:
		if len(n.fields) != len(v) {
			t.Errorf("%s has %d keys, the index %d", keyPath(path), len(v), len(n.fields))
		}
		for name, e := range v {
			compareNodes(t, text, append(slices.Clone(path), name), e, n.field(name))
		}
	case []any, []map[string]any:
		elements, _ := list(v)
		if len(n.items) != len(elements) {
			t.Errorf("%s has %d elements, the index %d", keyPath(path), len(elements), len(n.items))
		}
		for i, e := range elements {
			compareNodes(t, text, append(slices.Clone(path), "[]"), e, n.item(i))
		}
	case string:
		if c := text[n.value]; c != '"' && c != '\'' {
			t.Errorf("%s: the string %q begins with %q", keyPath(path), v, c)
		}
	case bool:
		if rest := text[n.value:]; !strings.HasPrefix(rest, "true") && !strings.HasPrefix(rest, "false") {
			t.Errorf("%s: the boolean begins with %.5q", keyPath(path), rest)
		}
	}
}

const everything = "\ufeff# a comment with \"quotes\" and [brackets]\r\n" + `
top = 1
"quoted key" = 'literal \ string'
'single.quoted'."double\u0041\t" = "esc\"aped # not a comment"
site . "dotted" .key=0x1F
date = 1979-05-27 07:32:32Z
time = 07:32:32
float = -1.5e3
inf = +inf
nested = [ [1, 2], ["a", 'b'], [ true ], # comment ]
  [inf],
  [],
]
multi = """
[not.a.table]
key = "value" \
   more \""" and two quotes """""
raw = '''
[neither] ''this'''
inline = { a = 1, b.c = "x", "d e" = [ { f = 1 }, { f = 2, g = {} } ] }
over-lines = {
  a = 1, # comment
  b = [
    1,
  ],
}

[a]
[a.b.c]
x = 1
[a.b]
y = 2
[[list]]
name = "one"
[list.sub]
z = 1
[[list]]
name = "two"
[[list.inner]]
deep = { x = [1] }
[[list.inner]]
[list.sub]
z = 2
[ "sp aced" . 'q' ] # comment
k=1`

func TestScanMatchesParser(t *testing.T) {
	if !crossCheck(t, strings.TrimLeft(everything, "\ufeff")) {
		_, err := toml.Decode(everything, &map[string]any{})
		t.Fatal("the parser refuses the file:", err)
	}
	files, _ := filepath.Glob("../../examples/*/*.toml")
	for _, file := range append(files, "../../docs/reference.toml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !crossCheck(t, string(data)) {
			t.Errorf("%s: the parser refuses the file", file)
		}
	}
}

// TestPositions: line and column of keys and values, in characters.
func TestPositions(t *testing.T) {
	d := scan("é = 'ü' \n[t.\"ä\"] # x\n\tk = [ 1,\n  \"ö\", 3 ]\n")
	if f := d.statements[0].fault; f == nil {
		t.Error("é passes as a bare key")
	}
	at := func(offset int) [2]int { l, c := d.position(offset); return [2]int{l, c} }
	k := d.root.field("t").field("ä").field("k")
	for _, c := range []struct {
		what string
		got  [2]int
		want [2]int
	}{
		{"name of a table", at(d.root.field("t").field("ä").key), [2]int{2, 4}},
		{"header", at(d.root.field("t").field("ä").value), [2]int{2, 1}},
		{"key", at(k.key), [2]int{3, 2}},
		{"value", at(k.value), [2]int{3, 6}},
		{"first element", at(k.item(0).value), [2]int{3, 8}},
		{"second element", at(k.item(1).value), [2]int{4, 3}},
		{"third element", at(k.item(2).value), [2]int{4, 8}},
		{"end", at(1 << 20), [2]int{5, 1}},
		{"before the file", at(-1), [2]int{1, 1}},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

// TestBounds: input made to exhaust the parser is refused in bounded time.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"arrays":   "a = " + strings.Repeat("[", 200_000),
		"tables":   "a = " + strings.Repeat("{a=", 200_000),
		"parts":    strings.Repeat("a.", 200_000) + "b = 1",
		"header":   "[" + strings.Repeat("a.", 200_000) + "b]",
		"size":     strings.Repeat("#", maxFile+1),
		"mistakes": strings.Repeat("a = \"\\q\"\n", 2000),
		"lines":    strings.Repeat("nonsense\n", 50_000),
		"UTF-16":   "\xff\xfe[\x00n\x00o\x00d\x00e\x00]\x00",
		"NUL":      "\x00",
		"control":  "# \x01\n# \x02\n" + minimal,
		"latin-1":  "[node]\nname = \"caf\xe9\"\n",
	} {
		plan, problems := Parse("f", []byte(text), testEnv())
		if plan != nil || len(problems.Errors()) == 0 {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzParse: no panic, every problem inside the file, a plan or an error, and
// an index that agrees with the parser. A plan survives being printed.
func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(minimal))
	for _, pattern := range []string{"testdata/*.toml", "../../examples/*/*.toml", "../../docs/*.toml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		plan, problems := Parse("f", data, testEnv())
		text := strings.TrimLeft(string(data), "\ufeff")
		lines := strings.Split(text, "\n")
		for _, p := range problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 {
				t.Errorf("outside of the file: %s", p)
			}
			if p.What == "" || strings.ContainsAny(p.String(), "\n\r") {
				t.Errorf("not one line: %q", p)
			}
		}
		if !slices.IsSortedFunc(problems, func(a, b Problem) int {
			return cmpPosition(a, b)
		}) {
			t.Error("not sorted")
		}
		if (plan == nil) != (len(problems.Errors()) > 0) {
			t.Errorf("plan %v with %d errors", plan != nil, len(problems.Errors()))
		}
		if len(data) < 1<<16 && !strings.HasPrefix(text, "\xff\xfe") && !strings.HasPrefix(text, "\xfe\xff") {
			crossCheck(t, text)
		}
		if plan != nil {
			roundTrip(t, plan)
		}
	})
}

func cmpPosition(a, b Problem) int {
	if a.Line != b.Line {
		return a.Line - b.Line
	}
	return a.Column - b.Column
}

// roundTrip: what a plan prints loads to an equal plan, and what it says of
// bonds is what the driver takes.
func roundTrip(t *testing.T, plan *Plan) {
	t.Helper()
	for _, in := range plan.Instances {
		if in.Password != "" && in.PasswordFile == "" {
			return // is not printed
		}
	}
	for _, b := range plan.Bonds {
		if b.Managed != nil && len(b.Managed.Check()) > 0 {
			t.Errorf("bond %s passes, but the driver would refuse: %q", b.Name, b.Managed.Check())
		}
	}
	for _, all := range []bool{false, true} {
		text := plan.TOML(all)
		again, problems := Parse(plan.File, []byte(text), testEnv())
		if again == nil {
			t.Errorf("TOML(%t) does not load: %q\n%s", all, problems.Strings(), text)
			return
		}
		if diff := cmp.Diff(plan, again, comparePlans); diff != "" {
			t.Errorf("TOML(%t) loads to another plan (-first +second):\n%s\n%s", all, diff, text)
		}
	}
}
