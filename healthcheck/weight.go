package healthcheck

// owner is the priority of the router that owns the addresses (RFC 9568
// section 5.2.4). Weights do not apply to it.
const owner = 255

// The priorities a router that does not own the addresses may have.
const (
	priorityMin = 1
	priorityMax = 254
)

// WeightMax is the greatest weight, either way: it takes the lowest priority of
// a router that does not own the addresses to the highest.
const WeightMax = priorityMax - priorityMin

// A Part is one thing that moves a priority.
type Part struct {
	Source string // such as "check:nginx"
	Weight int
}

// Effective returns base plus the weights of parts, kept within 1..254. The
// owner's priority, 255, never changes.
func Effective(base uint8, parts []Part) uint8 {
	if base == owner {
		return owner
	}
	sum := int(base)
	for _, p := range parts {
		sum += p.Weight
	}
	return uint8(min(max(sum, priorityMin), priorityMax))
}

// Contribution returns what a check of this weight adds to a priority: a
// negative weight is added while the check fails, a positive one while it
// passes. Weight 0 adds nothing, since such a check means fault (see [Assess]),
// and neither does a check without a verdict.
func Contribution(weight int, v Verdict) int {
	switch {
	case v == Failing && weight < 0, v == Passing && weight > 0:
		return weight
	default:
		return 0
	}
}

// Tracked is a check as one virtual router tracks it.
type Tracked struct {
	Name          string
	Weight        int // 0: failing means fault
	WarningWeight int // added while it passes with a warning
	Verdict       Verdict
	Initial       Verdict // what Unknown counts as
	Warning       bool    // it passes with a warning
	// Spared: failing means no fault here, whatever the weight: it does for
	// another member of the same group.
	Spared bool
	// Number: the weights do not matter; Value is added while the check passes,
	// and nothing otherwise.
	Number bool
	Value  int
}

// counts is the verdict that matters.
func (t Tracked) counts() Verdict {
	if t.Verdict == Unknown {
		return t.Initial
	}
	return t.Verdict
}

// Adds is what the check adds to the priority now.
func (t Tracked) Adds() int {
	v := t.counts()
	if t.Number {
		if v != Passing {
			return 0
		}
		return min(max(t.Value, -WeightMax), WeightMax)
	}
	w := Contribution(t.Weight, v)
	if v == Passing && t.Warning {
		w += t.WarningWeight
	}
	return w
}

// Faults reports whether the check means fault while it fails.
func (t Tracked) Faults() bool { return t.Weight == 0 && !t.Number && !t.Spared }

// Assess says what tracked checks do to a virtual router, in the order given:
// the parts they add to its priority, why it is in fault, and why it must not
// be promoted yet. A check of weight 0 that has no verdict yet only holds: it
// keeps a Backup from being promoted, and never drops a router that is Active.
// If such a check is to count as failing at first, it is a fault at first.
func Assess(tracked []Tracked) (parts []Part, faults, holds []string) {
	for _, t := range tracked {
		if w := t.Adds(); w != 0 {
			parts = append(parts, Part{Source: "check:" + t.Name, Weight: w})
		}
		if !t.Faults() {
			continue
		}
		switch t.counts() {
		case Failing:
			why := " is failing"
			if t.Verdict == Unknown {
				why = " has no verdict yet, which counts as failing"
			}
			faults = append(faults, "check "+t.Name+why)
		case Unknown:
			holds = append(holds, "check "+t.Name+" has no verdict yet")
		}
	}
	return parts, faults, holds
}
