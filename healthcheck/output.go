package healthcheck

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An output keeps the beginning of what a command writes.
type output struct {
	limit     int // bytes kept
	kept      []byte
	truncated bool
}

// drain reads r to its end, keeping the beginning only: a command that floods
// its output is neither blocked nor stored. An error ends it like the end does:
// it is the read deadline or the closing of the pipe, which Execute causes.
func (o *output) drain(r io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		room := min(n, o.limit-len(o.kept))
		o.kept = append(o.kept, buf[:room]...)
		o.truncated = o.truncated || room < n
		if err != nil {
			return
		}
	}
}

// text returns what was kept as printable UTF-8 without trailing white space.
// Newlines and tabs stay; everything that could confuse a terminal or a log
// (escapes, other controls, invalid bytes) becomes a question mark, which never
// makes the text longer than the bytes were.
func (o *output) text() string {
	kept := o.kept
	if o.truncated {
		kept = wholeRunes(kept)
	}
	var b strings.Builder
	b.Grow(len(kept))
	for len(kept) > 0 {
		r, size := utf8.DecodeRune(kept)
		switch {
		case r == '\r' && size < len(kept) && kept[size] == '\n':
			// The carriage return of a CR LF.
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
		kept = kept[size:]
	}
	return strings.TrimRight(b.String(), " \t\n")
}

// wholeRunes drops a rune that the limit cut in two at the end of b.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}
