package config

import (
	"net/netip"
	"time"

	"vrrpd/bonding"
	"vrrpd/healthcheck"
	"vrrpd/healthcheck/probe"
)

// A Plan is a complete configuration: every key validated, every default
// filled in. It is immutable once loaded; a reload makes a new one.
type Plan struct {
	File      string
	Node      string // node name, by default the host name
	Realtime  string // auto or off
	Log       Log
	Control   Control
	HTTP      HTTP
	Bonds     []Bond     // in the order of the file
	Checks    []Check    // in the order of the file
	Instances []Instance // in the order of the file
	Groups    []Group    // in the order of the file
	Notify    []Notify   // in the order of the file
}

// Log says what is logged and how.
type Log struct {
	Level  string // trace, debug, info, warn or error
	Format string // text or json
}

// Control is the operator's socket.
type Control struct {
	Socket string // absolute path
	Group  string // members may change state; "" is nobody but root
}

// HTTP is the read-only listener for metrics and the status API.
type HTTP struct {
	Listen string // host:port; "" is off
}

// A Bond is one [bond.NAME] table: what is asked of a bond that instances run
// over. A bond without a table is judged as one whose table is empty.
type Bond struct {
	Name           string // of the interface
	Mode           string // the kernel's name; "" is any
	MinLinks       int    // 1..255; fewer usable links: failed
	DegradedWeight int    // -253..0, added to the priority while degraded
	DegradedAfter  time.Duration
	HealthyAfter   time.Duration
	RequireMonitor bool
	Managed        *bonding.Managed // what vrrpd keeps the bond to; nil: it leaves the bond alone
}

// A Check is one [check.NAME] table. Exactly one of Command, Probe and Bond is
// there.
type Check struct {
	Name     string
	Command  []string   // absolute path of the program, then its arguments
	Probe    probe.Spec // what to look at without a command
	Bond     *BondCheck // the health of another bond
	Interval time.Duration
	Timeout  time.Duration
	Rise     int
	Fall     int
	HoldDown time.Duration // failing lasts at least that long
	Initial  healthcheck.Verdict
	Weight   int // -253..253; 0: failing means fault

	// Of commands alone.
	Contract      healthcheck.Contract
	WarningWeight int           // -253..0, added while it passes with a warning
	UnknownGrace  time.Duration // how long results of status 3 change nothing
	KillGrace     time.Duration // between SIGTERM at the timeout and SIGKILL
	User          string
	// RunAs is the identity User stands for; nil: the daemon's own.
	RunAs *healthcheck.Credential
}

// Number reports whether the check finds a number that is the weight.
func (c *Check) Number() bool {
	f, ok := c.Probe.(probe.File)
	return ok && f.Test == probe.FileNumber
}

// A BondCheck asks for the health of a bond that instances need not run over.
type BondCheck struct {
	Name     string
	Degraded bool // it passes while degraded, too
}

// An Instance is one [instance.NAME] table: one virtual router of one address
// family.
type Instance struct {
	Name           string
	Interface      string
	VRID           uint8
	Version        int // 2 or 3
	IPv6           bool
	Priority       uint8 // 1..255
	AdvertInterval time.Duration
	Checksum       string // auto, rfc9568 or pseudo_header
	Preempt        bool
	PreemptDelay   time.Duration
	StartDelay     time.Duration
	Addresses      []Address
	Extra          []Address // moved along, not in the advertisement
	Track          []Track
	Unicast        *Unicast // nil: multicast
	Password       string   // RFC 2338 simple text password, "" is none; never printed
	PasswordFile   string   // where it came from, "" if it stands in the configuration itself
	Strict         bool
	Handover       string // hold or immediate
	// HandoverTimeout is how long a node that leaves on purpose waits for its
	// successor.
	HandoverTimeout time.Duration
	// Lease is how long the kernel keeps the addresses without vrrpd, in whole
	// seconds; 0: for ever.
	Lease    time.Duration
	Conflict string // defend or report
	Announce Announce
}

// Owner reports whether the node owns the addresses (priority 255).
func (i *Instance) Owner() bool { return i.Priority == 255 }

// An Address is a virtual address and where it goes.
type Address struct {
	Prefix    netip.Prefix
	Interface string // never empty: the instance's own unless the file says otherwise
	Label     string // IPv4 only, may be empty
}

// Track ties a check to an instance.
type Track struct {
	Check         string
	Weight        int // the check's own unless overridden
	WarningWeight int // likewise
}

// Unicast replaces multicast by a list of peers.
type Unicast struct {
	Source netip.Addr // the zero Addr: the interface's primary (link-local) address
	Peers  []netip.Addr
	MinTTL int // 1..255
}

// Announce paces gratuitous ARP and unsolicited neighbour advertisements.
type Announce struct {
	Burst   int           // announcements of each address on becoming active, 1..20
	Again   time.Duration // until a second burst; 0: none
	Refresh time.Duration // between announcements while active; 0: none
}

// A Group is one [group.NAME] table: instances that move together.
type Group struct {
	Name      string
	Instances []string
}

// Notify is one [[notify]] table.
type Notify struct {
	Command         []string
	Instances       []string // empty: all instances and groups
	KeepalivedNames bool
	Conditions      bool // tell of conditions, too
}
