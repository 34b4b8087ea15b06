package probe

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestOneLine(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"OK\n", "OK"},
		{"\r\n\r\n  first \r\nsecond", "first"},
		{"a\tb", "a b"},
		{"\x1b[31mred\x1b[0m", "?[31mred?[0m"},
		{"bad \xff byte", "bad ? byte"},
		{"grün", "grün"},
		{"0123456789abcdef", "0123456789abcde"},
		{"0123456789abcdü", "0123456789abcd"},
	} {
		if got := oneLine(c.in, 15); got != c.want {
			t.Errorf("oneLine(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	if got := oneLine(strings.Repeat("ü", 1<<20), 200); len(got) != 200 || !utf8.ValidString(got) {
		t.Errorf("a long line has %d bytes", len(got))
	}
}

func TestFunc(t *testing.T) {
	f := Func{What: "bond bond0", Look: func(context.Context) Outcome { return Outcome{Passed: true, Detail: "healthy"} }}
	wantPass(t, f, "healthy")
	if f.String() != "bond bond0" {
		t.Error(f.String())
	}
	// Without Follow it wakes once, and waits.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	woken := 0
	if err := f.Watch(ctx, func() { woken++ }); err != nil || woken != 1 || ctx.Err() == nil {
		t.Errorf("Watch: %v, woken %d, %v", err, woken, ctx.Err())
	}
}

// TestLimit: a timeout is told as it was configured.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			timeout time.Duration
			want    string
		}{{200 * time.Millisecond, "no answer within 200ms"}, {time.Second, "no answer within 1s"}, {996 * time.Millisecond, "no answer within 1s"}, {time.Millisecond, "no answer within 1ms"}} {
			ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
			l := begin(ctx)
			<-ctx.Done()
			if got := l.why(ctx.Err()); got != c.want {
				t.Errorf("%s: %q, want %q", c.timeout, got, c.want)
			}
			cancel()
		}
	})
}
