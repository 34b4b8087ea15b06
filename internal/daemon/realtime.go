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

// privileges are what has the daemon run in time on a busy host, as far as it is
// permitted, and what to say of that.
type privileges struct {
	have, lack []string
	said       string // in place of, or behind these
}

// raise puts the loop ahead of everything ordinary on the host, and returns its
// priority, 0 for none. Where that is not permitted, it at least waits for others as
// little as an ordinary thread can. Called on the loop's thread.
func (p *privileges) raise(plan *config.Plan) (priority int) {
	if plan.Realtime == "off" {
		p.said = "without real-time priority: node.realtime is off"
	} else if p.ask("real-time priority", "CAP_SYS_NICE", func() error { return transport.SetRealTime(realtimePriority) }) {
		return realtimePriority
	}
	if err := transport.SetSlice(ordinarySlice); err != nil {
		p.said += "; " + err.Error()
	}
	return 0
}

// lockMemory has nothing paged out any more. It takes a millisecond for each few
// megabytes, in which nobody of this process gets a page: not before the routers have begun.
func (p *privileges) lockMemory(plan *config.Plan) {
	if plan.Realtime != "off" {
		p.ask("locked memory", "CAP_IPC_LOCK", transport.LockMemory)
	}
}

func (p *privileges) ask(name, grant string, set func() error) (granted bool) {
	switch err := set(); {
	case err == nil:
		p.have = append(p.have, name)
		return true
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOMEM):
		p.lack = append(p.lack, name+" (needs "+grant+")")
	default:
		p.lack = append(p.lack, name+": "+err.Error())
	}
	return false
}

func (p *privileges) String() string {
	var parts []string
	if len(p.have) > 0 {
		parts = append(parts, "with "+strings.Join(p.have, " and "))
	}
	if len(p.lack) > 0 {
		parts = append(parts, "without "+strings.Join(p.lack, " and "))
	}
	return strings.Join(parts, ", ") + p.said
}
