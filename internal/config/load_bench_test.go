package config

import (
	"fmt"
	"strings"
	"testing"
)

// routers is a file of n instances, up to 255 on each interface.
func routers(n int) []byte {
	var text strings.Builder
	text.WriteString("[node]\nname = \"a\"\n")
	for i := range n {
		iface, vrid := i/255, i%255+1
		fmt.Fprintf(&text, "[instance.i%d_%d]\ninterface = \"v%d\"\nvrid = %d\npriority = 200\nadvert_interval = \"100ms\"\naddresses = [\"10.%d.0.%d/32\"]\n",
			iface, vrid, iface, vrid, iface, vrid)
	}
	return []byte(text.String())
}

// BenchmarkParse reads files of up to as many instances as a host can run: a
// start and every reload wait for it.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 255, 2040} {
		data := routers(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if plan, problems := Parse("bench.toml", data, Env{}); plan == nil {
					b.Fatal(problems)
				}
			}
		})
	}
}
