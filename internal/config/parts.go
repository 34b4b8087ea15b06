package config

import (
	"sync"
	"sync/atomic"

	"github.com/BurntSushi/toml"
)

// partSize is about how many bytes of a large file the TOML parser is given at
// once. Its time for a key grows with the number of keys, and what it has read
// of one part becomes garbage before the next.
const partSize = 16 << 10

// partsUnder is the table whose tables make a file large.
const partsUnder = "instance"

// decodeParts has the TOML parser read a file in parts of about so many bytes,
// in one goroutine or more, for the start of thousands of instances is mostly
// reading them.
// It reports false if the file is not large, cannot be cut, or is not well
// formed, be it a part or all of them together; then it has to be read as a
// whole, which says what is wrong.
//
// Each part is a document of its own, which begins with the header of an
// instance. All of them together say what the whole says if no two define the
// same table: that, and that nothing else than headers defines the table of
// all instances, is looked for here. FuzzParse compares the two.
func decodeParts(d *document, size, parsers int) (map[string]any, bool) {
	cuts := cut(d, size)
	if len(cuts) == 0 {
		return nil, false
	}
	cuts = append(append([]int{0}, cuts...), len(d.src))
	parts := make([]map[string]any, len(cuts)-1)
	var next atomic.Int32
	var bad atomic.Bool
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(parts) && !bad.Load(); i = int(next.Add(1)) - 1 {
			var err error
			if parts[i], _, err = decodeText(d.src[cuts[i]:cuts[i+1]]); err != nil {
				bad.Store(true)
			}
		}
	}
	var others sync.WaitGroup
	for range min(parsers, len(parts)) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	if bad.Load() {
		return nil, false
	}
	return merge(parts)
}

// cut chooses offsets of headers of instances at which a large file can be cut
// in parts; none if it cannot.
func cut(d *document, size int) (cuts []int) {
	last := 0
	for i := range d.statements {
		st := &d.statements[i]
		switch {
		case st.fault != nil:
			return nil
		case len(st.path) == 0 || st.path[0] != partsUnder || !st.header && st.section >= 0:
			continue
		case !st.header || len(st.path) < 2:
			return nil
		}
		if st.start-last >= size && len(d.src)-st.start >= size/2 {
			cuts = append(cuts, st.start)
			last = st.start
		}
	}
	return cuts
}

// merge puts the values of parts together, unless two say something of the
// same table.
func merge(parts []map[string]any) (map[string]any, bool) {
	all := parts[0]
	under, _ := all[partsUnder].(map[string]any)
	if under == nil {
		under = map[string]any{}
	}
	for _, part := range parts[1:] {
		for name, v := range part {
			if name != partsUnder {
				if _, ok := all[name]; ok {
					return nil, false
				}
				all[name] = v
				continue
			}
			tables, ok := v.(map[string]any)
			if !ok {
				return nil, false
			}
			for name, v := range tables {
				if _, ok := under[name]; ok {
					return nil, false
				}
				under[name] = v
			}
		}
	}
	all[partsUnder] = under
	return all, true
}

// decodeText runs the TOML parser. A panic of it is a rejection like any other.
func decodeText(text string) (values map[string]any, meta toml.MetaData, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = toml.ParseError{Message: "the parser gave up", Position: toml.Position{Start: -1}}
		}
	}()
	values = map[string]any{}
	meta, err = toml.Decode(text, &values)
	return values, meta, err
}
