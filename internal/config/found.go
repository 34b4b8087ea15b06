package config

import (
	"slices"
	"time"
)

// A found is what a table of a file says of one key.
type found struct {
	value any  // the right value, or the default; nil if there is neither
	given bool // value stands in the file
	there bool // the key stands in the file, right or not
}

// absent is what is found of the keys of a table of which none is there. Every
// table begins with it, so the defaults are converted once.
func (t *table) absent() []found {
	t.once.Do(func() {
		t.defaults = make([]found, len(t.keys))
		for i := range t.keys {
			if k := &t.keys[i]; k.def != "" && !k.unbuilt {
				t.defaults[i].value, _ = k.convert(constant(k.def)) // a test converts all of them
			}
		}
	})
	return slices.Clone(t.defaults)
}

// of is what was found of a key; nothing if the table has no such key.
func (s *section) of(name string) found {
	if i := s.spec.index(name); i >= 0 {
		return s.found[i]
	}
	return found{}
}

// given reports whether the file has a right value of a key.
func (s *section) given(name string) bool { return s.of(name).given }

// there reports whether a key stands in the file, right or not.
func (s *section) there(name string) bool { return s.of(name).there }

// sure reports whether a key has a value that can be relied on, be it from the
// file or by default.
func (s *section) sure(name string) bool { return s.of(name).value != nil }

func (s *section) text(name string) string  { v, _ := s.of(name).value.(string); return v }
func (s *section) integer(name string) int  { v, _ := s.of(name).value.(int); return v }
func (s *section) boolean(name string) bool { v, _ := s.of(name).value.(bool); return v }
func (s *section) duration(name string) time.Duration {
	v, _ := s.of(name).value.(time.Duration)
	return v
}

// texts returns nil for an empty array, so that equal plans compare equal.
func (s *section) texts(name string) []string {
	v, _ := s.of(name).value.([]string)
	if len(v) == 0 {
		return nil
	}
	return v
}

func (s *section) elements(name string) []any { v, _ := s.of(name).value.([]any); return v }

// table is the value of a key that is a table, nil if it is none.
func (s *section) table(name string) map[string]any {
	v, _ := s.of(name).value.(map[string]any)
	return v
}
