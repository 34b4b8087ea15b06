package main

import (
	"os"
	"strconv"
	"strings"
)

// ticks is processor time since the machine started, in the kernel's ticks: what
// was wanted, and what a hypervisor gave to others of that ("steal" in proc_stat(5)).
type ticks struct{ wanted, stolen float64 }

// readTicks reads them; zero if they cannot be read.
func readTicks() ticks {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return parseTicks(line)
}

// parseTicks reads the line of all processors: user, nice, system, idle, iowait,
// irq, softirq and steal. The guests' time after them is contained in the first two.
func parseTicks(line string) (t ticks) {
	fields := strings.Fields(strings.TrimPrefix(line, "cpu "))
	for i, field := range fields[:min(len(fields), 8)] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return ticks{}
		}
		switch i {
		case 3, 4: // nobody wanted it
			continue
		case 7:
			t.stolen = n
		}
		t.wanted += n
	}
	return t
}

// since is the percentage that was stolen from then to now.
func (t ticks) since() float64 {
	now := readTicks()
	if now.wanted <= t.wanted {
		return 0
	}
	return 100 * (now.stolen - t.stolen) / (now.wanted - t.wanted)
}
