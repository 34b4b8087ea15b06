package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"vrrpd/bonding"
)

// Load reads a configuration file. The plan is nil if one of the problems is
// an error; warnings come with a plan.
func Load(path string, env Env) (*Plan, Problems) {
	unreadable := func(err error) (*Plan, Problems) {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, Problems{{File: path, Line: 1, Column: 1, What: "the file cannot be read: " + err.Error(), Instead: "name a file that can, with -c"}}
	}
	if env.ReadFile == nil {
		return unreadable(errors.New("no way to read files was given"))
	}
	data, mode, err := env.ReadFile(path)
	if err != nil {
		return unreadable(err)
	}
	return parse(path, data, mode, env)
}

// Parse reads a configuration from memory. Its name is for messages and
// Plan.File.
func Parse(name string, data []byte, env Env) (*Plan, Problems) {
	return parse(name, data, 0, env)
}

func parse(name string, data []byte, mode fs.FileMode, env Env) (*Plan, Problems) {
	r := &reader{file: name, env: env}
	r.src = readSource(data, env.Parsers, r.syntax)
	r.src.damaged = append(r.src.damaged, r.meant...)
	b := &builder{reader: r, mode: mode, plan: &Plan{File: name}, links: map[string]string{}, checks: map[string]Check{}, instances: map[string]*instance{}, tracked: map[string]bool{}, bondsUnder: map[string][]bonding.Bond{}}
	b.build()
	problems := r.problems.sorted()
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	return b.plan, problems
}

// syntax reports a mistake in the syntax. Somebody who wrote a word of
// keepalived's there is told the word of this language.
func (r *reader) syntax(d *document, at int, path []string, what, instead string) {
	spec, rest := specOf(path)
	if spec != nil && len(rest) == 1 && strings.HasPrefix(what, "there is no =") {
		var meant string
		if k := spec.find(rest[0]); k != nil && k.kind == kindDuration {
			instead = "write " + k.name + " = " + k.example()
		} else if k != nil {
			// The scanner's own proposal will do.
		} else if instead, meant = suggestion(spec, rest[0]); meant != "" {
			r.meant = append(r.meant, append(slices.Clone(path[:len(path)-1]), meant))
		}
	}
	r.report(d, at, keyPath(path), what, instead, false)
}

// specOf finds the table a path leads into, and what is left of the path.
func specOf(path []string) (*table, []string) {
	for _, p := range places {
		base := strings.TrimSuffix(p.table.name, ".NAME")
		if len(path) == 0 || path[0] != base {
			continue
		}
		if p.named && len(path) >= 2 {
			return p.table, path[2:]
		}
		return p.table, path[1:]
	}
	return nil, path
}

// A builder puts the plan together from the values of a file.
type builder struct {
	*reader
	mode      fs.FileMode // of the file; 0 if unknown
	plan      *Plan
	links     map[string]string // the managed bond of each link
	checks    map[string]Check
	instances map[string]*instance
	order     []*instance
	groups    []*group
	notified  []*section
	tracked   map[string]bool // checks that an instance follows
	// bondsUnder are the host's bonds under the interfaces asked for so far: many
	// instances are on few.
	bondsUnder map[string][]bonding.Bond
}

func (b *builder) build() {
	root, raw := b.src.doc.root, b.src.values
	b.topLevel(root, raw)
	for _, p := range places {
		name := strings.TrimSuffix(p.table.name, ".NAME")
		switch {
		case p.list:
			for i, t := range b.list(name, p) {
				if t == nil {
					continue
				}
				b.notify(b.open(p.table, []string{name}, fmt.Sprintf("%s[%d]", name, i), root.field(name).item(i), t))
			}
		case p.named:
			b.named(p, name)
		default:
			t, _ := b.tableAt(raw[name], root.field(name), name, "write "+p.header(""))
			n := root.field(name)
			if n == nil {
				n = root
			}
			b.single(p.table, b.open(p.table, []string{name}, name, n, t))
		}
	}
	b.relations()
}

// topLevel reports what does not belong outside of all tables.
func (b *builder) topLevel(root *node, raw map[string]any) {
	spec := &table{}
	for _, p := range places {
		spec.keys = append(spec.keys, key{name: strings.TrimSuffix(p.table.name, ".NAME")})
	}
	for _, name := range inOrder(raw, root) {
		if spec.find(name) != nil {
			continue
		}
		n := root.field(name)
		offset, what := 0, "there is no such key"
		if n != nil {
			offset = n.key
		}
		switch raw[name].(type) {
		case map[string]any, []map[string]any:
			what = "there is no such table"
		}
		instead, meant := suggestion(spec, name)
		if i := slices.IndexFunc(places, func(p place) bool { return strings.TrimSuffix(p.table.name, ".NAME") == meant }); i >= 0 {
			instead = "write " + places[i].header("NAME")
			b.src.damaged = append(b.src.damaged, []string{meant})
		}
		b.report(b.src.doc, offset, TOMLKey(name), what, instead, false)
	}
}

// tableAt returns a value as a table, or reports that it is none.
func (b *builder) tableAt(v any, n *node, shown, instead string) (map[string]any, bool) {
	if v == nil {
		return nil, false
	}
	t, ok := v.(map[string]any)
	if !ok {
		offset := 0
		if n != nil {
			offset = n.value
		}
		b.report(b.src.doc, offset, shown, "it is "+typeName(v)+", must be a table", instead, false)
	}
	return t, ok
}

// list returns the tables of an array of tables, nil for what is none.
func (b *builder) list(name string, p place) []map[string]any {
	v, ok := b.src.values[name]
	if !ok {
		return nil
	}
	n := b.src.doc.root.field(name)
	elements, ok := list(v)
	if !ok {
		b.report(b.src.doc, n.value, name, "it is "+typeName(v)+", must be an array of tables", "write "+p.header(""), false)
		return nil
	}
	out := make([]map[string]any, 0, len(elements))
	for i, e := range elements {
		t, _ := b.tableAt(e, n.item(i), fmt.Sprintf("%s[%d]", name, i), "write "+p.header(""))
		out = append(out, t)
	}
	return out
}

// named reads the tables below [check], [instance], [group], [bond].
func (b *builder) named(p place, kind string) {
	v, ok := b.src.values[kind]
	if !ok {
		return
	}
	n := b.src.doc.root.field(kind)
	all, ok := b.tableAt(v, n, kind, "write "+p.header("NAME"))
	if !ok {
		return
	}
	for _, name := range inOrder(all, n) {
		shown := kind + "." + TOMLKey(name)
		at := n.field(name)
		t, isTable := all[name].(map[string]any)
		if !isTable {
			if p.table.find(name) != nil || at == nil {
				b.report(b.src.doc, n.value, kind, "the table has no name", "write "+p.header("NAME"), false)
				b.src.damaged = append(b.src.damaged, []string{kind})
				return // one complaint for all its keys
			}
			b.tableAt(all[name], at, shown, "write "+p.header(name))
			continue
		}
		if !b.name(name, shown, at) {
			continue
		}
		s := b.open(p.table, []string{kind, name}, shown, at, t)
		switch p.table {
		case bondTable:
			b.bond(name, s)
		case checkTable:
			b.check(name, s)
		case instanceTable:
			b.instance(name, s)
		case groupTable:
			b.group(name, s)
		}
	}
}

// NameMax is how long a name may be, NameCharacters what it may consist of.
const (
	NameMax        = 64
	NameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
)

// name checks the name of a bond, a check, an instance or a group.
func (b *builder) name(name, shown string, n *node) bool {
	ok := name != "" && len(name) <= NameMax && strings.Trim(name, NameCharacters) == ""
	if !ok {
		b.report(b.src.doc, n.key, shown, quoteShort(name)+" will not do as a name",
			fmt.Sprintf("use up to %d letters, digits, and the characters _ . -", NameMax), false)
	}
	return ok
}

// missing complains about a reference to a named table that is not there, with
// the nearest name, unless something that could not be read may be that table.
func (b *builder) missing(kinds []string, known []string, name string, fail func(what, instead string)) {
	for _, kind := range kinds {
		if b.src.damagedAt([]string{kind}, name) {
			return
		}
	}
	what := fmt.Sprintf("there is no %s %s", strings.Join(kinds, " or "), quoteShort(name))
	instead := fmt.Sprintf("add [%s.%s]", kinds[0], TOMLKey(short(name)))
	if near := nearest(name, known); near != "" {
		instead = fmt.Sprintf("did you mean %q?", near)
	}
	fail(what, instead)
}
