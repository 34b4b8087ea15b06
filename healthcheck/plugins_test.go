package healthcheck

import (
	"os"
	"strings"
	"testing"
)

const plugins = "/usr/lib/nagios/plugins"

// TestMonitoringPlugins runs check plugins as Debian ships them, as the user
// that checks run as by default.
func TestMonitoringPlugins(t *testing.T) {
	_, err := os.Stat(plugins + "/check_dummy")
	need(t, err == nil, "package monitoring-plugins-basic")
	tests := []struct {
		command []string
		detail  string
		output  string
	}{
		{[]string{plugins + "/check_dummy", "0", "all is well"}, "exit status 0", "OK: all is well"},
		{[]string{plugins + "/check_dummy", "1", "hm"}, "exit status 1", "WARNING: hm"},
		{[]string{plugins + "/check_dummy", "2", "broken"}, "exit status 2", "CRITICAL: broken"},
		{[]string{plugins + "/check_dummy", "3"}, "exit status 3", "UNKNOWN"},
		{[]string{plugins + "/check_procs", "-c", "1:"}, "exit status 0", "PROCS OK: "},
		{[]string{plugins + "/check_procs", "-c", "1:", "-C", "no-such-command"}, "exit status 2", "PROCS CRITICAL: 0 processes"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.command[1:], " "), func(t *testing.T) {
			user := DefaultUser()
			if err := Vet(tt.command, user); err != nil {
				t.Fatal(err)
			}
			out := run(t, ExecSpec{Command: tt.command, RunAs: user})
			if out.Detail() != tt.detail || !strings.HasPrefix(out.Output, tt.output) {
				t.Errorf("%s, %q; want %s, %q", out.Detail(), out.Output, tt.detail, tt.output)
			}
		})
	}
}
