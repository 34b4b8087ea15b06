package lab

import (
	"os"
	"path/filepath"
	"strings"
)

// hostileMark is in the command line of everything that hostile checks leave.
const hostileMark = "47113"

// Hostile are checks as nobody wants them, for `sh -c`. All of them fail. The
// last one leaves its process group: only a cgroup catches it.
var Hostile = []string{
	`exec sleep ` + hostileMark,
	`trap '' TERM HUP INT; while :; do sleep ` + hostileMark + `; done`,
	`for i in 1 2 3 4 5; do (trap '' TERM; sleep ` + hostileMark + `) & done; wait`,
	`while :; do sleep ` + hostileMark + ` & sleep 0.05; done`,
	`exec yes`,
	`head -c 20M /dev/zero >&2; exit 3`,
	`exec >&- 2>&-; sleep ` + hostileMark,
	`kill -STOP $$`,
	`(trap '' TERM HUP; sleep ` + hostileMark + `) & exit 1`,
	`setsid sleep ` + hostileMark + ` & sleep 0.2; exit 1`,
}

// HostileLeft are the processes that hostile checks have left, wherever they are.
func HostileLeft() (pids []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, path := range paths {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), hostileMark) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}
