package control

import "time"

// Kinds of drills.
const (
	DrillDemote = "demote" // an instance hands over and comes back
	DrillBond   = "bond"   // the active link of a bond is moved to another one and back
)

// DrillRequest asks for a rehearsal.
type DrillRequest struct {
	Kind     string `json:"kind"`               // DrillDemote or DrillBond; "": DrillDemote
	Instance string `json:"instance,omitempty"` // or a group; "": the one there is, or whose bond is the only one
	Target   string `json:"target,omitempty"`   // DrillBond: who is asked all the while; "": found by the daemon
	DryRun   bool   `json:"dry_run,omitempty"`  // only see whether it could begin: the report says what it would do
}

// DrillMessage is one line of the answer to a DrillRequest: progress, as it
// comes, and in the end the report.
type DrillMessage struct {
	Progress *DrillProgress `json:"progress,omitempty"`
	Report   *DrillReport   `json:"report,omitempty"`
	Error    string         `json:"error,omitempty"` // in place of the report
}

// DrillProgress is what a drill does now.
type DrillProgress struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// DrillReport is what a drill did, and whether everything held.
type DrillReport struct {
	Kind      string          `json:"kind"`
	Bond      string          `json:"bond,omitempty"`     // DrillBond
	Instance  string          `json:"instance,omitempty"` // DrillDemote: what handed over, by the name of the request
	Interface string          `json:"interface"`          // the target was asked over it
	Target    string          `json:"target"`             // DrillDemote: the first of Addresses
	Found     string          `json:"found"`              // the active link before, to which the bond is put back; DrillDemote: this node's address
	Other     string          `json:"other"`              // the link it was moved to; DrillDemote: who took over, "": nobody
	Started   time.Time       `json:"started"`
	Seconds   float64         `json:"seconds"`
	Phases    []DrillPhase    `json:"phases"`
	Instances []DrillInstance `json:"instances"`
	Restored  bool            `json:"restored"` // the active link is the one that was found; DrillDemote: every instance is active here
	Held      bool            `json:"held"`
	Reasons   []string        `json:"reasons"` // why it did not hold; never null

	// What follows is a DrillDemote's.
	Refused   bool           `json:"refused,omitempty"`   // nobody took over, so the service was resumed
	Stays     string         `json:"stays,omitempty"`     // why it does not return to this node by itself
	Warnings  []string       `json:"warnings,omitempty"`  // what was known beforehand
	Addresses []DrillAddress `json:"addresses,omitempty"` // that were asked for
	Timeline  []DrillMoment  `json:"timeline,omitempty"`  // who was active when, and what happened
}

// DrillPhase is one part of a drill. A silence is the time between two replies;
// without any loss that is the time between two requests, 0.02 s. An address
// that is on this node counts as answered without a gap: a host does not hear
// its own answers.
type DrillPhase struct {
	Name                  string  `json:"name"` // before, there, back
	ActiveLink            string  `json:"active_link,omitempty"`
	ActiveRouter          string  `json:"active_router,omitempty"`       // in the end; DrillDemote
	MoveSeconds           float64 `json:"move_seconds,omitempty"`        // until the kernel had moved it. DrillDemote: from the release to the successor's first advertisement; from the promotion to ours
	FirstReplySeconds     float64 `json:"first_reply_seconds,omitempty"` // from the move to a reply over the new link; 0: none. DrillDemote: from the release to the successor's answers for all addresses; from the promotion to our announcements
	LongestSilenceSeconds float64 `json:"longest_silence_seconds"`
	Sent                  int     `json:"sent"`
	Lost                  int     `json:"lost"`
}

// DrillInstance is what became of an instance over the bond, or of one that
// handed over.
type DrillInstance struct {
	Name        string          `json:"name"`
	Before      string          `json:"before"`              // state
	After       string          `json:"after"`               // state; "": it is gone
	Transitions uint64          `json:"transitions"`         // meanwhile
	Successor   *DrillSuccessor `json:"successor,omitempty"` // DrillDemote; nil: nobody
}

// DrillSuccessor is the first router that was heard after the release.
type DrillSuccessor struct {
	Address  string  `json:"address"`
	Priority int     `json:"priority"`
	Seconds  float64 `json:"seconds"` // from the release to its first advertisement
}

// DrillAddress is what was seen of one address all through a drill.
type DrillAddress struct {
	Address               string         `json:"address"`
	Interface             string         `json:"interface"`
	FirstReplySeconds     float64        `json:"first_reply_seconds,omitempty"` // from the release to an answer from another host; 0: none
	LongestSilenceSeconds float64        `json:"longest_silence_seconds"`
	Sent                  int            `json:"sent"`
	Lost                  int            `json:"lost"`
	Answered              []DrillAnswers `json:"answered"` // by whom, in the order of the first; this node's own are not heard
}

// DrillAnswers are the answers of one host. Seconds count from the release.
type DrillAnswers struct {
	MAC     string  `json:"mac"` // "": it did not say
	Answers int     `json:"answers"`
	First   float64 `json:"first_seconds"`
	Last    float64 `json:"last_seconds"`
}

// DrillMoment is something that happened.
type DrillMoment struct {
	Time     time.Time `json:"time"`
	Seconds  float64   `json:"seconds"` // since the release; negative: before it
	Instance string    `json:"instance,omitempty"`
	Active   string    `json:"active,omitempty"` // the router that is active from then on; "": nothing new is known
	Text     string    `json:"text"`
}
