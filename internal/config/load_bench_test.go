package config

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkParse reads a file of 255 instances: a start waits for it.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 255 {
		fmt.Fprintf(&text, "[instance.i%d]\ninterface = \"eth0\"\nvrid = %d\npriority = 200\nadvert_interval = \"100ms\"\naddresses = [\"10.100.0.%d/32\"]\n", i+1, i+1, i+1)
	}
	data := []byte(text.String())
	b.ReportAllocs()
	for b.Loop() {
		if plan, problems := Parse("bench.toml", data, Env{}); plan == nil {
			b.Fatal(problems)
		}
	}
}
