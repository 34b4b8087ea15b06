package config

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// defaultText is the default of a key for a reader.
func (k *key) defaultText() string {
	switch {
	case k.required:
		return "required"
	case k.def != "":
		return k.def
	case k.when != "":
		return k.when
	case k.managed:
		return "left as it is"
	}
	return "none"
}

// limitsText are the limits of a key for a reader.
func (k *key) limitsText() string {
	var parts []string
	if k.min != 0 || k.max != 0 {
		parts = append(parts, fmt.Sprintf("%d to %d", k.min, k.max))
	}
	if k.top != 0 && !strings.Contains(k.limits, duration(k.low).String()) {
		parts = append(parts, fmt.Sprintf("%s to %s", duration(k.low), duration(k.top)))
	}
	for _, word := range k.words {
		parts = append(parts, `or "`+word+`"`)
	}
	if k.choices != nil {
		parts = append(parts, strings.Join(k.choices, ", "))
	}
	if k.limits != "" {
		parts = append(parts, k.limits)
	}
	if k.managed {
		parts = append(parts, "only with manage = true")
	}
	if k.unbuilt {
		parts = append(parts, notBuilt(k))
	}
	return strings.Join(parts, "; ")
}

func notBuilt(k *key) string {
	if k.only != "" {
		return "only " + k.only + " is built in this version"
	}
	return "not built yet, refused"
}

// Defaults is the table of all keys with their defaults and limits, as text.
func Defaults() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tDEFAULT\tLIMITS")
	for _, t := range allTables() {
		for i := range t.keys {
			k := &t.keys[i]
			fmt.Fprintf(w, "%s.%s\t%s\t%s\n", t.name, k.name, k.defaultText(), k.limitsText())
		}
	}
	w.Flush() // a strings.Builder takes everything
	return b.String()
}

// allTables are the tables in the order of the reference, inner ones behind
// those that hold them.
func allTables() []*table {
	var out []*table
	for _, p := range places {
		out = append(out, p.table)
		for _, in := range innerTables {
			if in.of == p.table {
				out = append(out, in.table)
			}
		}
	}
	return out
}

// ReferenceMarkdown is the text of docs/reference.md.
func ReferenceMarkdown() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from internal/config/keys.go by: go generate ./internal/config -->

# Configuration reference

The configuration is one [TOML](https://toml.io) file, by default ` + "`/etc/vrrpd.toml`" + `.
[reference.toml](reference.toml) shows every key in place.

- Durations are strings with a unit: ` + "`\"10ms\"`, `\"1.5s\"`, `\"2m\"`" + `. Units are ns, us, ms, s, m, h.
- Keys are case-sensitive. An unknown key is an error.
- Checks, instances and groups are named with up to 64 letters, digits, and the characters ` + "`_ . -`" + `;
  a name with a dot is written in quotes: ` + "`[instance.\"web.1\"]`" + `. The name of a bond is that of its interface.
- A key that is part of the language but not built yet is refused, not ignored.
- Problems are reported all at once, as
  ` + "`FILE:LINE:COLUMN: key.path: what is wrong; what to write instead`" + `. Columns count characters, array elements count from 0.
- The file must not be larger than 1 MiB.
`)
	for _, t := range allTables() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", headline(t), t.about)
		b.WriteString("\n| key | type | default | limits | meaning |\n| --- | --- | --- | --- | --- |\n")
		var unbuilt []string
		for i := range t.keys {
			k := &t.keys[i]
			if k.unbuilt && k.only == "" {
				unbuilt = append(unbuilt, "`"+k.name+"`")
				continue
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name, k.kind, cell(k.defaultMarkdown()), cell(k.limitsText()), cell(k.about))
		}
		if unbuilt != nil {
			fmt.Fprintf(&b, "\nNot built yet in this version, and refused: %s.\n", strings.Join(unbuilt, ", "))
		}
	}
	return b.String()
}

func (k *key) defaultMarkdown() string {
	if k.def != "" {
		return "`" + k.def + "`"
	}
	return k.defaultText()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// headline is how a table is written in a file.
func headline(t *table) string {
	for _, p := range places {
		if p.table == t {
			return "`" + p.header("NAME") + "`"
		}
	}
	outer, name, _ := strings.Cut(t.name, ".NAME.")
	if base, ok := strings.CutSuffix(name, "[]"); ok {
		return "An element of `" + base + "` in `[" + outer + ".NAME]`"
	}
	return "`" + name + " = { … }` in `[" + outer + ".NAME]`"
}

// ReferenceTOML is the text of docs/reference.toml: a file that loads, and
// shows every key.
func ReferenceTOML() string {
	var b strings.Builder
	b.WriteString("# Generated from internal/config/keys.go by: go generate ./internal/config\n" +
		"# Every key of the configuration. Values are examples, defaults stand in the comments.\n")
	sample := map[*table]string{bondTable: "bond0", checkTable: "nginx", instanceTable: "web", groupTable: "site"}
	for _, p := range places {
		fmt.Fprintf(&b, "\n# %s\n", p.table.about)
		b.WriteString(p.header(sample[p.table]) + "\n")
		for i := range p.table.keys {
			referenceKey(&b, &p.table.keys[i])
			for _, in := range innerTables {
				if p.table == in.of && in.key == p.table.keys[i].name {
					referenceInner(&b, in.table)
				}
			}
		}
	}
	return b.String()
}

func referenceKey(b *strings.Builder, k *key) {
	if k.unbuilt && k.only == "" {
		fmt.Fprintf(b, "# %s: %s\n", k.name, notBuilt(k))
		return
	}
	fmt.Fprintf(b, "# %s\n#%s\n", k.about, k.terms())
	if k.shy || k.managed {
		b.WriteString("# ")
	}
	fmt.Fprintf(b, "%s = %s\n", k.name, k.example())
}

// referenceInner lists the keys of an inline table in a comment.
func referenceInner(b *strings.Builder, t *table) {
	for i := range t.keys {
		k := &t.keys[i]
		fmt.Fprintf(b, "#   %s: %s%s\n", k.name, k.about, k.terms())
	}
}

// terms are default and limits of a key as sentences.
func (k *key) terms() string {
	out := " Default: " + k.defaultText() + "."
	if k.required {
		out = " Required."
	}
	if l := k.limitsText(); l != "" {
		out += " Limits: " + l + "."
	}
	return out
}
