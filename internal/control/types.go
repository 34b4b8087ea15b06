package control

import "time"

// Status is the answer to `vrrpctl status -o json`. Its field names are fixed.
type Status struct {
	Node          string      `json:"node"`
	Version       string      `json:"version"`
	UptimeSeconds float64     `json:"uptime_seconds"`
	Realtime      string      `json:"realtime,omitempty"` // what of it the loop runs with, and what not, in words
	Instances     []Instance  `json:"instances"`
	Groups        []Group     `json:"groups,omitempty"`
	Checks        []Check     `json:"checks"`
	Bonds         []Bond      `json:"bonds"`
	Interfaces    []Interface `json:"interfaces"`
	Warnings      []string    `json:"warnings,omitempty"` // what an operator should know now: no peer heard, lock not held, …
}

// Instance is the state of one virtual router.
type Instance struct {
	Name         string        `json:"name"`
	VRID         uint8         `json:"vrid"`
	Version      int           `json:"version"`
	Family       string        `json:"family"` // ipv4 | ipv6
	Interface    string        `json:"interface"`
	State        string        `json:"state"` // initialize | backup | active | fault
	Since        time.Time     `json:"since"`
	Cause        string        `json:"cause"`
	Reasons      []string      `json:"reasons,omitempty"` // what holds it in fault, or back from promotion
	Priority     Priority      `json:"priority"`
	Preempt      bool          `json:"preempt"`
	Group        string        `json:"group,omitempty"`
	Track        []string      `json:"track,omitempty"` // the checks it follows, in the order of the file; nil: not told
	Demoted      bool          `json:"demoted"`
	Hard         bool          `json:"hard,omitempty"`          // demoted with --hard
	DemotedUntil *time.Time    `json:"demoted_until,omitempty"` // demoted with --for
	HandingOver  bool          `json:"handing_over"`
	Addresses    []string      `json:"addresses"`
	Installed    []string      `json:"installed"` // those of Addresses and extra addresses that the kernel has now
	Extra        []string      `json:"extra_addresses,omitempty"`
	Source       string        `json:"source,omitempty"` // address its adverts come from
	ActiveRouter *ActiveRouter `json:"active_router"`    // null while nobody is known to be active
	Transitions  uint64        `json:"transitions"`
	Adverts      Adverts       `json:"adverts"`
	NextEvent    *NextEvent    `json:"next_event,omitempty"`
	DualActive   bool          `json:"dual_active,omitempty"`
	Conflicts    uint64        `json:"address_conflicts"`    // claims of other hosts to the addresses, so far
	Conditions   []Condition   `json:"conditions,omitempty"` // what is wrong and lasts
	Warnings     []string      `json:"warnings,omitempty"`
}

// Condition is something that is wrong with an instance and lasts.
type Condition struct {
	Name  string    `json:"name"` // dual_active, owner_conflict, same_address, address_conflict, no_carrier
	Since time.Time `json:"since"`
	Text  string    `json:"text"`
}

// Priority is a priority and how it came about.
type Priority struct {
	Configured int    `json:"configured"`
	Effective  int    `json:"effective"`
	Parts      []Part `json:"parts"`
}

// Part is one thing that moves a priority.
type Part struct {
	Source string `json:"source"` // check:NAME, bond:NAME, demoted
	Weight int    `json:"weight"`
}

// ActiveRouter is the router that serves the addresses, this node included.
type ActiveRouter struct {
	Address  string `json:"address"`
	Priority int    `json:"priority"`
}

// Adverts counts advertisements since the instance was created.
type Adverts struct {
	Sent     uint64            `json:"sent"`
	Received uint64            `json:"received"` // valid ones
	Errors   map[string]uint64 `json:"errors"`   // by reason; never null
}

// NextEvent is what the instance waits for.
type NextEvent struct {
	What      string  `json:"what"` // "becomes active unless an advertisement is heard", …
	InSeconds float64 `json:"in_seconds"`
}

// Group is the state of instances that move together.
type Group struct {
	Name      string   `json:"name"`
	State     string   `json:"state"`
	Instances []string `json:"instances"`
}

// Bond is the state of one bond.
type Bond struct {
	Name       string   `json:"name"`
	Mode       string   `json:"mode"`
	Health     string   `json:"health"` // healthy | degraded | failed
	ActiveLink string   `json:"active_link"`
	Reasons    []string `json:"reasons"`
	Links      []Link   `json:"links"`
}

// Link is one link of a bond.
type Link struct {
	Name      string `json:"name"`
	Up        bool   `json:"up"`
	Active    bool   `json:"active"`
	Failures  uint64 `json:"failures"`
	SpeedMbps int    `json:"speed_mbps"`
}

// Interface is what the daemon knows of an interface it sends adverts on.
type Interface struct {
	Name   string            `json:"name"`
	Index  int               `json:"index"`  // 0: absent
	Up     bool              `json:"up"`     // administratively up and with carrier
	Errors map[string]uint64 `json:"errors"` // packets that belong to no instance, by reason; never null
}

// Event is one entry of the journal that `vrrpctl events` prints.
type Event struct {
	ID       uint64    `json:"id"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"` // transition, check, address, interface, bond, drill, demote, promote, reload, warning, …
	Instance string    `json:"instance,omitempty"`
	Check    string    `json:"check,omitempty"`
	From     string    `json:"from,omitempty"`  // transition
	To       string    `json:"to,omitempty"`    // transition
	Cause    string    `json:"cause,omitempty"` // short name, as in the metric vrrpd_instance_transitions_total
	Text     string    `json:"text"`            // one sentence for a person
}

// Explanation answers `vrrpctl explain INSTANCE`.
type Explanation struct {
	Instance Instance `json:"instance"`
	Why      []string `json:"why"`      // sentences, most important first
	Changes  []string `json:"changes"`  // what would change the state, and when
	Timeline []Event  `json:"timeline"` // the last events of the instance
}

// DemoteRequest asks instances to hand over and stay down.
type DemoteRequest struct {
	Instances []string      `json:"instances"` // none: all
	For       time.Duration `json:"for,omitempty"`
	Force     bool          `json:"force,omitempty"`   // stay down even if nobody takes over
	Hard      bool          `json:"hard,omitempty"`    // never take over while demoted
	Persist   bool          `json:"persist,omitempty"` // over a restart too
	NoWait    bool          `json:"no_wait,omitempty"` // do not wait for the successor
}

// Names selects instances; none: all.
type Names struct {
	Instances []string `json:"instances"`
}

// Outcome is what a command did, instance by instance.
type Outcome struct {
	Results  []Result `json:"results"`
	Warnings []string `json:"warnings,omitempty"`
}

// Result is what a command did to one instance.
type Result struct {
	Instance  string  `json:"instance"`
	OK        bool    `json:"ok"`
	Unchanged bool    `json:"unchanged,omitempty"` // it was so already
	Refused   bool    `json:"refused,omitempty"`   // refused to keep the service up (exit status 4)
	Text      string  `json:"text"`                // "demoted; 192.0.2.12 took over after 0.61s"
	Successor string  `json:"successor,omitempty"`
	Seconds   float64 `json:"seconds,omitempty"`
}

// Failure is the body of every answer that is not 2xx.
type Failure struct {
	Error    string   `json:"error"`
	Problems []string `json:"problems,omitempty"` // configuration problems, one line each
}
