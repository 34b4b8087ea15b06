package healthcheck

import "strings"

// A Contract says what the exit status of a command means.
type Contract uint8

const (
	// ByStatus is the contract of most programs: 0 is good, all else is bad.
	ByStatus Contract = iota

	// Nagios is that of Nagios, Icinga and the monitoring plugins: 0 ok, 1
	// warning, 2 critical, 3 unknown. Any other status, a signal, a timeout and
	// a command that cannot be started are bad: the plugin itself is broken.
	// What follows a | in the output is performance data; what the plugin
	// writes to its error output counts only if it writes nothing else.
	Nagios
)

// nagiosOutputLimit is how much of a plugin's output is kept, in bytes. It is
// what Nagios itself reads of one.
const nagiosOutputLimit = 8 << 10

// A Grade is what one run found.
type Grade uint8

const (
	_       Grade = iota
	Good          // it passes
	Warned        // it passes, with a warning
	Bad           // it fails
	Unclear       // it cannot tell
)

// String returns "ok", "warning", "failed" or "unknown".
func (g Grade) String() string {
	switch g {
	case Good:
		return "ok"
	case Warned:
		return "warning"
	case Bad:
		return "failed"
	case Unclear:
		return "unknown"
	default:
		return "none"
	}
}

// grade judges how a command ended.
func (c Contract) grade(o Outcome) Grade {
	switch {
	case o.Passed():
		return Good
	case o.Ending == Lost: // which tells of us, not of what is checked
		return Unclear
	case c != Nagios || o.Ending != Exited:
		return Bad
	case o.Status == 1:
		return Warned
	case o.Status == 3:
		return Unclear
	default:
		return Bad
	}
}

// summary is the first line of what a command wrote, without performance data.
func (c Contract) summary(output string) string {
	first, _, _ := strings.Cut(strings.TrimLeft(output, "\n"), "\n")
	if c == Nagios {
		first, _, _ = strings.Cut(first, "|")
	}
	return strings.TrimSpace(first)
}
