package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// stateWord is an instance's state as an operator reads it, with the word that
// keepalived and RFC 3768 use for the one that matters.
func stateWord(state string) string {
	if state == "active" {
		return "ACTIVE (MASTER)"
	}
	return strings.ToUpper(state)
}

// span is how long something took or has lasted, in at most two units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return fmt.Sprintf("%.2gms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// seconds is a span of seconds.
func seconds(s float64) string { return span(time.Duration(s * float64(time.Second))) }

// since is how long ago t was; a clock that was set back shows as 0s.
func since(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t))
}

// moment is t in the zone of now, to the second.
func moment(now, t time.Time) string {
	return t.In(now.Location()).Format("2006-01-02 15:04:05")
}

// printable keeps a text to one line and away from the terminal's controls:
// what a check prints may come from anybody.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.TrimSpace(s))
}

// plural is "1 instance", "2 instances".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
