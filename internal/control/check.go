package control

import "time"

// Check is the state of one health check.
type Check struct {
	Name            string     `json:"name"`
	Kind            string     `json:"kind"`   // command, tcp, http, …
	Target          string     `json:"target"` // what is looked at, for a person
	Passing         bool       `json:"passing"`
	Verdict         string     `json:"verdict"`                    // passing | failing | unknown
	Initial         string     `json:"initial,omitempty"`          // what unknown counts as, if not as such
	Warning         bool       `json:"warning,omitempty"`          // passing with a warning
	Weight          *int       `json:"weight,omitempty"`           // the number that was found last, where that is the weight
	Since           time.Time  `json:"since"`                      // of the verdict
	HeldUntil       *time.Time `json:"held_until,omitempty"`       // it passes again, but hold_down keeps it failing
	Grade           string     `json:"grade,omitempty"`            // of the last run: ok | warning | failed | unknown
	Result          string     `json:"result,omitempty"`           // how the last run ended: "exit status 2", "killed at the timeout of 1s", …
	Summary         string     `json:"summary,omitempty"`          // the first line of its output, without performance data
	Output          string     `json:"output"`                     // the beginning of it
	PerfData        []PerfData `json:"perfdata,omitempty"`         // performance data, at most 32 values
	PerfDropped     int        `json:"perfdata_dropped,omitempty"` // values that were malformed, or too many
	DurationSeconds float64    `json:"duration_seconds"`
	LastRun         time.Time  `json:"last_run,omitzero"`
	Runs            uint64     `json:"runs"`
	Overruns        uint64     `json:"overruns"`            // runs skipped because there was no time for them
	Unwatched       string     `json:"unwatched,omitempty"` // why it lives by its interval, although its kind can notice changes
	IntervalSeconds float64    `json:"interval_seconds"`
	Instances       []string   `json:"instances"` // those that track it
	Command         []string   `json:"command,omitempty"`
	User            string     `json:"user,omitempty"`
	Confinement     string     `json:"confinement,omitempty"` // what a command is killed with: cgroup, or process group and why
}

// PerfData is one value of a plugin's performance data.
type PerfData struct {
	Label string   `json:"label"`
	Value *float64 `json:"value"` // null: the plugin could not tell
	Unit  string   `json:"unit,omitempty"`
	Warn  string   `json:"warn,omitempty"` // ranges, as the plugin writes them
	Crit  string   `json:"crit,omitempty"`
	Min   string   `json:"min,omitempty"`
	Max   string   `json:"max,omitempty"`
}

// CheckRunRequest asks for one run of a check by hand.
type CheckRunRequest struct {
	Check      string `json:"check"`
	AsInstance string `json:"as_instance,omitempty"` // as though this instance, and no other, tracked it
}

// CheckRun is what became of a run by hand. It counts for nothing.
type CheckRun struct {
	Check   Check         `json:"check"`         // as the run found it; its verdict is what it would be now
	Before  string        `json:"verdict_now"`   // the verdict that counts
	Env     []string      `json:"env,omitempty"` // the environment of the command
	Passed  bool          `json:"passed"`
	Effects []CheckEffect `json:"effects"` // what that verdict would do to the instances
}

// CheckEffect is what a check does to one instance.
type CheckEffect struct {
	Instance string `json:"instance"`
	Weight   int    `json:"weight"` // on the priority
	Fault    bool   `json:"fault,omitempty"`
	Hold     bool   `json:"hold,omitempty"` // a backup is not promoted
}
