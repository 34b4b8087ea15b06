package config

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// TestEffortPerInstance: reading an instance must not cost more the more of
// them there are. Each follows a check of its own here, and all are in one
// group and named to one command, so that all references are resolved.
func TestEffortPerInstance(t *testing.T) {
	few, many := bytesPerInstance(t, 255), bytesPerInstance(t, 2040)
	if many > few*3/2 {
		t.Errorf("Parse allocates %d bytes for each of 255 instances, %d for each of 2040", few, many)
	}
}

// bytesPerInstance is what Parse allocates for a file of n instances, divided
// by n. It is bytes that are counted: a slice of all names, made anew for each
// instance, is one allocation no matter how long it is.
func bytesPerInstance(t *testing.T, n int) int {
	t.Helper()
	var text, names bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "[check.c%d]\nfile = \"/run/c%d\"\n", i, i)
		fmt.Fprintf(&text, "[instance.i%d]\ninterface = \"v%d\"\nvrid = %d\naddresses = [\"10.0.%d.%d/32\"]\ntrack = [\"c%d\"]\n", i, i/255, i%255+1, i/255, i%255+1, i)
		fmt.Fprintf(&names, "\"i%d\",", i)
	}
	fmt.Fprintf(&text, "[group.all]\ninstances = [%s]\n[[notify]]\ncommand = [\"/bin/true\"]\ninstances = [%s]\n", &names, &names)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	plan, problems := Parse("effort.toml", text.Bytes(), Env{})
	runtime.ReadMemStats(&after)
	if plan == nil || len(problems) > 0 {
		t.Fatal(problems.Strings())
	}
	return int(after.TotalAlloc-before.TotalAlloc) / n
}
