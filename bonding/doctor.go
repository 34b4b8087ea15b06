package bonding

import (
	"fmt"
	"net/netip"
	"time"
)

// A Severity says how soon a finding will hurt.
type Severity uint8

// The severities, gravest first.
const (
	_       Severity = iota
	Error            // the next failure is an outage, or one is going on
	Warning          // a failure takes longer, or more, than it should
	Notice           // not as intended, harmless today
)

// String is error, warning or notice.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Notice:
		return "notice"
	default:
		return fmt.Sprintf("unknown severity %d", uint8(s))
	}
}

// A Finding is one thing that is wrong with a bond.
type Finding struct {
	Code     string // stable, for scripts: no_monitor, …
	Severity Severity
	Bond     string
	Link     string // "" if it is about the bond
	What     string // what is wrong, one sentence
	Cost     string // what it will cost, one sentence
	Do       string // what to do outside the host's network settings; may be empty
	// Fix is the exact setting by the name of the network manager: those of
	// Managers, and "now" for a command that lasts until the next start. Empty
	// where no setting helps.
	Fix map[string]string
}

// An Instance is a virtual router that runs over the bond.
type Instance struct {
	Name           string
	AdvertInterval time.Duration
}

// DoctorInput is what Diagnose cannot read from the bond itself.
type DoctorInput struct {
	Hypervisor string     // what this machine runs on, "" if it is hardware; see Hypervisor
	Instances  []Instance // those over the bond
	// Requested is what a configuration asks for, as far as it is known. What
	// the kernel did not take over cannot be seen in the bond any more.
	Requested *Managed
	// TargetAnswers says of each arp_ip_target whether it answered when asked;
	// those absent from it were not asked.
	TargetAnswers map[netip.Addr]bool
}

// Diagnose finds what is misconfigured about a bond, gravest first. A bond set
// up as in examples/bond has no findings. Whether it is healthy right now is
// another question; see Judge.
func Diagnose(b Bond, in DoctorInput) []Finding {
	d := doctor{b: &b, in: in}
	for _, examine := range []func(){
		d.monitor, d.requested, d.delays, d.links, d.sameCard, d.unlike,
		d.lacp, d.arpMonitor, d.virtual, d.primary, d.announcements,
		d.duplicates, d.adverts,
	} {
		examine()
	}
	var sorted []Finding
	for s := Error; s <= Notice; s++ {
		for _, f := range d.found {
			if f.Severity == s {
				sorted = append(sorted, f)
			}
		}
	}
	return sorted
}

type doctor struct {
	b     *Bond
	in    DoctorInput
	found []Finding
}

// finding notes one; the caller fills in the rest.
func (d *doctor) finding(code string, s Severity, link string) *Finding {
	d.found = append(d.found, Finding{Code: code, Severity: s, Bond: d.b.Name, Link: link})
	return &d.found[len(d.found)-1]
}

// FailoverTime is how long the driver may take, at worst, from the failure of a
// link until it uses another one; false if it never does. A miimon poll finds
// the failure and downdelay is waited for; the ARP monitor misses
// arp_missed_max answers after the last one.
func (b *Bond) FailoverTime() (time.Duration, bool) {
	switch {
	case b.MIIMon > 0:
		return b.MIIMon + b.DownDelay, true
	case b.ARPInterval > 0:
		missed := b.ARPMissedMax
		if missed == 0 {
			missed = 2 // fixed before Linux 5.17
		}
		return time.Duration(missed+1) * b.ARPInterval, true
	default:
		return 0, false
	}
}

// MinAdvertInterval is the shortest advert interval with which a failover of
// the bond goes unnoticed by the election; zero if the bond never fails over.
//
// A backup waits for three intervals and a skew that can be next to nothing
// (RFC 9568 §6.1), counted from the last advert it got, which may be one
// interval older than the failure; the next one may leave one interval after
// the failover. That leaves two intervals for the driver. A poll that finds the
// kernel's lock taken is put off, and a switch must learn the new port, so two
// polls are added to what miimon promises.
func (b *Bond) MinAdvertInterval() time.Duration {
	t, ok := b.FailoverTime()
	if !ok {
		return 0
	}
	if b.MIIMon > 0 {
		t += 2 * b.MIIMon
	}
	const step = 10 * time.Millisecond // an interval is whole centiseconds
	return (t/2 + step - 1) / step * step
}
