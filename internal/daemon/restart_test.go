package daemon

import (
	"reflect"
	"strings"
	"testing"

	"vrrpd/internal/config"
)

// What a reload cannot change stays as it was in the plan too, which config show
// prints, and is told.
func TestKeepUntilRestart(t *testing.T) {
	plan := func(more string) *config.Plan {
		t.Helper()
		p, problems := config.Parse("vrrpd.toml", []byte(more), config.Env{})
		if p == nil {
			t.Fatal(problems)
		}
		return p
	}
	const instance = "\n[instance.web]\ninterface = \"eth0\"\nvrid = 1\naddresses = [\"192.0.2.1/32\"]\n"
	for _, c := range []struct{ name, before, after, told string }{
		{"nothing", instance, instance, ""},
		{"socket", instance, "[control]\nsocket = \"/run/other.sock\"" + instance, "control.*"},
		{"format", "[log]\nformat = \"json\"" + instance, instance, "log.format"},
		{"realtime", instance, "[node]\nrealtime = \"off\"" + instance, "node.realtime"},
		{"level", instance, "[log]\nlevel = \"debug\"" + instance, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, now := plan(c.before), plan(c.after)
			warnings := keepUntilRestart(now, old)
			if now.Control != old.Control || now.Log.Format != old.Log.Format || now.Realtime != old.Realtime {
				t.Errorf("the plan says %+v, %q, %q", now.Control, now.Log.Format, now.Realtime)
			}
			if c.told == "" && warnings != nil || c.told != "" && (len(warnings) != 1 || !strings.HasPrefix(warnings[0], c.told+": ")) {
				t.Errorf("told %q, want one of %q", warnings, c.told)
			}
			if c.name == "level" && (now.Log.Level != "debug" || reflect.DeepEqual(now, old)) {
				t.Error("the level was not changed")
			}
		})
	}
}
