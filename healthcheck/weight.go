package healthcheck

// owner is the priority of the router that owns the addresses (RFC 9568
// section 5.2.4). Weights do not apply to it.
const owner = 255

// The priorities a router that does not own the addresses may have.
const (
	priorityMin = 1
	priorityMax = 254
)

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
	Name    string
	Weight  int // 0: failing means fault
	Verdict Verdict
}

// Assess says what tracked checks do to a virtual router, in the order given:
// the parts they add to its priority, why it is in fault, and why it must not
// be promoted yet. A check of weight 0 that has no verdict yet only holds: it
// keeps a Backup from being promoted, and never drops a router that is Active.
func Assess(tracked []Tracked) (parts []Part, faults, holds []string) {
	for _, t := range tracked {
		if w := Contribution(t.Weight, t.Verdict); w != 0 {
			parts = append(parts, Part{Source: "check:" + t.Name, Weight: w})
		}
		if t.Weight != 0 {
			continue
		}
		switch t.Verdict {
		case Failing:
			faults = append(faults, "check "+t.Name+" is failing")
		case Unknown:
			holds = append(holds, "check "+t.Name+" has no verdict yet")
		}
	}
	return parts, faults, holds
}
