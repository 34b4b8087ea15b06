package healthcheck

import (
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// An output keeps the beginning of what a command writes.
type output struct {
	limit int // bytes kept

	mu        sync.Mutex
	kept      []byte
	truncated bool
}

func newOutput(limit int) *output {
	if limit <= 0 {
		limit = OutputLimit
	}
	return &output{limit: limit}
}

// A command that writes without end must not take the processor from others:
// beyond floodFree bytes it is read floodPart at a time with pauses in between.
// That still takes in 6 MB/s, so that a command with much to say is not held up
// beyond its timeout.
const (
	floodFree  = 8 << 20
	floodPart  = 64 << 10
	floodPause = 10 * time.Millisecond
)

// drain reads r to its end, keeping the beginning only: a command that floods
// its output is neither blocked nor stored. An error ends it like the end does:
// it is the read deadline or the closing of the pipe, which Execute causes.
func (o *output) drain(r io.Reader) {
	buf := make([]byte, 16<<10)
	total, pauseAt := 0, floodFree
	for {
		n, err := r.Read(buf)
		o.keep(buf[:n])
		if err != nil {
			return
		}
		if total += n; total >= pauseAt {
			time.Sleep(floodPause)
			pauseAt = total + floodPart
		}
	}
}

func (o *output) keep(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	room := min(len(b), o.limit-len(o.kept))
	o.kept = append(o.kept, b[:room]...)
	o.truncated = o.truncated || room < len(b)
}

// text returns what was kept as printable UTF-8 without trailing white space.
// Newlines and tabs stay; everything that could confuse a terminal or a log
// (escapes, other controls, invalid bytes) becomes a question mark, which never
// makes the text longer than the bytes were.
// It also tells whether there was more.
func (o *output) text() (text string, truncated bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
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
	return strings.TrimRight(b.String(), " \t\n"), o.truncated
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
