package healthcheck

import (
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestOutputText(t *testing.T) {
	tests := []struct {
		name, in string
		limit    int
		want     string
		cut      bool
	}{
		{"plain", "OK: fine\n", 64, "OK: fine", false},
		{"lines and tabs stay", "a\tb\nc\n\n", 64, "a\tb\nc", false},
		{"CR LF", "a\r\nb\r\n", 64, "a\nb", false},
		{"a lone CR could overwrite the line", "good\rbad", 64, "good?bad", false},
		{"escape sequence", "\x1b[31mred\x1b[0m", 64, "?[31mred?[0m", false},
		{"NUL and DEL", "a\x00b\x7f", 64, "a?b?", false},
		{"right-to-left override", "a\u202eb", 64, "a?b", false},
		{"UTF-8", "Größe 5 µs ✓", 64, "Größe 5 µs ✓", false},
		{"a real replacement character", "a\ufffdb", 64, "a\ufffdb", false},
		{"Latin-1", "Gr\xf6\xdfe", 64, "Gr??e", false},
		{"exactly the limit", "abcd", 4, "abcd", false},
		{"beyond the limit", "abcdef", 4, "abcd", true},
		{"the limit cuts a rune", "abcö", 4, "abc", true},
		{"the limit cuts a long rune", "ab\U0001F600", 4, "ab", true},
		{"the limit falls between runes", "abcde", 3, "abc", true},
		{"cut garbage", "\xff\xff\xff\xff\xff", 3, "???", true},
		{"empty", "", 4, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &output{limit: tt.limit}
			o.drain(iotest.OneByteReader(strings.NewReader(tt.in)))
			if got, cut := o.text(); got != tt.want || cut != tt.cut {
				t.Errorf("got %q, cut %v; want %q, %v", got, cut, tt.want, tt.cut)
			}
		})
	}
}

func FuzzOutputText(f *testing.F) {
	f.Add([]byte("OK - load average: 0.1|load1=0.1;5;10\n"))
	f.Add([]byte("\x1b]0;title\x07\xe2\x82"))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 32
		o := &output{limit: limit}
		o.drain(strings.NewReader(string(in)))
		got, _ := o.text()
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\r\x7f") {
			t.Errorf("%q becomes %q", in, got)
		}
	})
}
