package daemon

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/config"
	"vrrpd/vrrp/transport"
)

// realtimePriority is above every ordinary thread and below the kernel's own
// (50 is that of threaded interrupts).
const realtimePriority = 10

// ordinarySlice is what the loop asks for where it is not ahead of others: a turn
// takes less, and waits for nobody who asked for the usual 3 ms.
const ordinarySlice = 100 * time.Microsecond

// realtime puts the loop ahead of everything ordinary on the host, as far as
// that is permitted, and returns its priority, 0 for none, and what to say of it. Where it
// is not, it at least waits for others as little as an ordinary thread can. Called
// on the loop's thread.
func realtime(plan *config.Plan) (priority int, said string) {
	if priority, said = privileged(plan); priority > 0 {
		return priority, said
	}
	if err := transport.SetSlice(ordinarySlice); err != nil {
		said += "; " + err.Error()
	}
	return 0, said
}

// privileged is realtime but for the last resort.
func privileged(plan *config.Plan) (priority int, said string) {
	if plan.Realtime == "off" {
		return 0, "without real-time priority: node.realtime is off"
	}
	var have, lack []string
	for _, part := range []struct {
		name, grant string
		set         func() error
	}{
		{"real-time priority", "CAP_SYS_NICE", func() error { return transport.SetRealTime(realtimePriority) }},
		{"locked memory", "CAP_IPC_LOCK", transport.LockMemory},
	} {
		switch err := part.set(); {
		case err == nil:
			if part.grant == "CAP_SYS_NICE" {
				priority = realtimePriority
			}
			have = append(have, part.name)
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOMEM):
			lack = append(lack, part.name+" (needs "+part.grant+")")
		default:
			lack = append(lack, part.name+": "+err.Error())
		}
	}
	var parts []string
	if len(have) > 0 {
		parts = append(parts, "with "+strings.Join(have, " and "))
	}
	if len(lack) > 0 {
		parts = append(parts, "without "+strings.Join(lack, " and "))
	}
	return priority, strings.Join(parts, ", ")
}
