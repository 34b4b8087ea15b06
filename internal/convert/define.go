package convert

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds on what a few lines can become.
const (
	maxDepth  = 32      // definitions within each other
	maxValues = 65_536  // of a ~SEQ
	maxText   = 1 << 18 // bytes of a line with its definitions
	maxWork   = 1 << 25 // bytes that are looked at, together
)

// nameEnd is how much of a text is the name of a definition.
func nameEnd(text string) int {
	for i := 0; i < len(text); i++ {
		c := text[i]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(text)
}

// isDefinition reports whether a line is of the form $NAME=VALUE. With a blank
// before the = it is none to keepalived.
func isDefinition(text string) bool {
	if !strings.HasPrefix(text, "$") {
		return false
	}
	n := nameEnd(text[1:])
	return n > 0 && strings.HasPrefix(text[1+n:], "=")
}

// substitute replaces the definitions that a line uses by their values, once.
func (r *reader) substitute(l line) (string, bool) {
	var b strings.Builder
	changed := false
	for text := l.text; ; {
		at := strings.IndexByte(text, '$')
		if at < 0 {
			b.WriteString(text)
			return b.String(), changed
		}
		b.WriteString(text[:at])
		text = text[at:]
		name, rest := "", ""
		if inner, ok := strings.CutPrefix(text, "${"); ok {
			name, rest, ok = strings.Cut(inner, "}")
			if !ok {
				name = ""
			}
		} else if n := nameEnd(text[1:]); n+1 == len(text) || strings.ContainsAny(text[1+n:2+n], " \t\n") {
			name, rest = text[1:1+n], text[1+n:]
		}
		value, ok := r.value(name, l.place)
		if !ok { // as keepalived has it, it stands for itself
			b.WriteByte('$')
			text = text[1:]
			continue
		}
		b.WriteString(value)
		text, changed = rest, true
	}
}

// value is what a name stands for.
func (r *reader) value(name string, at place) (string, bool) {
	word, arg, _ := strings.Cut(name, " ")
	switch word {
	case "":
		return "", false
	case "_PWD":
		return filepath.Dir(at.file), true
	case "_INSTANCE":
		return r.env.ID, true
	case "_ENV":
		return r.env.Getenv(strings.TrimSpace(arg)), true
	case "_HASH":
		return "#", true
	case "_BANG":
		return "!", true
	case "_RANDOM":
		r.report(at, "${_RANDOM}", "keepalived makes up a number each time it starts", "write a number", false)
		return "0", true
	}
	value, ok := r.defs[name]
	return value, ok
}

// sequence repeats the rest of a line for each value of a ~SEQ, ~SEQx or ~LST.
func (r *reader) sequence(l line, depth int) {
	kind, rest, ok := strings.Cut(l.text, "(")
	list, body, closed := strings.Cut(rest, ")")
	if !ok || !closed || kind != "~SEQ" && kind != "~SEQx" && kind != "~LST" {
		r.report(l.place, "", l.text+" cannot be read", "write the lines out", false)
		return
	}
	list, _ = r.substitute(line{l.place, list}) // the body is, for each value
	var args []string
	for a := range strings.SplitSeq(list, ",") {
		args = append(args, strings.TrimSpace(a))
	}
	name, values, err := args[0], args[1:], error(nil)
	if kind != "~LST" {
		values, err = counted(values, kind == "~SEQx")
	}
	if n := nameEnd(name); err != nil || n == 0 || n < len(name) || len(values) == 0 {
		r.report(l.place, "", kind+"("+list+") cannot be read", "write the lines out", false)
		return
	}
	before, was := r.defs[name]
	for _, v := range values {
		if r.full {
			break
		}
		r.defs[name] = v
		r.line(line{l.place, strings.TrimSpace(body)}, depth+1)
	}
	delete(r.defs, name)
	if was {
		r.defs[name] = before
	}
}

// counted are the values of ~SEQ(name, [start, [step,]] end). Without a step
// it counts up or down by one; without a start, from one.
func counted(args []string, hex bool) ([]string, error) {
	var n []int
	for _, a := range args {
		v, err := strconv.ParseInt(a, 0, 32)
		if err != nil {
			return nil, err
		}
		n = append(n, int(v))
	}
	start, step := 1, 1
	var end int
	switch len(n) {
	case 1:
		end = n[0]
	case 2:
		start, end = n[0], n[1]
	case 3:
		start, step, end = n[0], n[1], n[2]
	default:
		return nil, fmt.Errorf("%d numbers", len(n))
	}
	if len(n) < 3 && end < start {
		step = -1
	}
	if step == 0 || (end-start)/step < 0 || (end-start)/step >= maxValues {
		return nil, fmt.Errorf("from %d by %d to %d", start, step, end)
	}
	var values []string
	for v := start; step > 0 && v <= end || step < 0 && v >= end; v += step {
		if hex {
			values = append(values, strconv.FormatInt(int64(v), 16))
		} else {
			values = append(values, strconv.Itoa(v))
		}
	}
	return values, nil
}
