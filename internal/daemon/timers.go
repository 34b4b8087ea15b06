package daemon

import (
	"cmp"
	"slices"

	"vrrpd/vrrp"
)

// timers orders instances by the moment their timer fires, and has those whose
// takeover is due wait in a row of their own: thousands may be due at once.
type timers struct {
	heap    []timer     // the earliest first, see container/heap
	overdue []*instance // by deadline; those whose slot says otherwise are no longer
	ranks   int
}

// A timer repeats its instance's deadline, so that comparing touches no other
// memory. Of those due at the same moment, always the same is first: each
// advertisement takes microseconds to leave, and where thousands leave together
// its place among them must not change, or the interval would.
type timer struct {
	at   vrrp.Instant
	rank int
	inst *instance
}

func (v timer) before(w timer) bool { return v.at < w.at || v.at == w.at && v.rank < w.rank }

// Slots of an instance that is not in the heap.
const (
	noSlot      = -1 // its timer is not set
	overdueSlot = -2 // it waits for its takeover
	plannedSlot = -3 // it is part of a plan
)

func (t *timers) set(inst *instance, at vrrp.Instant) {
	inst.deadline, inst.bondsRead = at, false
	if inst.rank == 0 {
		t.ranks++
		inst.rank = t.ranks
	}
	v := timer{at, inst.rank, inst}
	if inst.slot < 0 {
		inst.slot = len(t.heap)
		t.heap = append(t.heap, v)
	}
	t.move(inst.slot, v)
}

func (t *timers) stop(inst *instance) {
	if inst.slot >= 0 {
		t.remove(inst.slot)
	}
	inst.slot = noSlot
}

// postpone has an instance whose timer is due wait for takeOverdue.
func (t *timers) postpone(inst *instance) {
	t.stop(inst)
	inst.slot = overdueSlot
	if !inst.inRow {
		inst.inRow = true
		t.overdue = append(t.overdue, inst)
	}
}

// takeOverdue returns the instance that has been due for longest, nil if there
// is none, and takes it out.
func (t *timers) takeOverdue() *instance {
	inst := t.firstOverdue()
	if inst != nil {
		inst.slot, inst.inRow = noSlot, false
		t.overdue = t.overdue[1:]
	}
	return inst
}

func (t *timers) firstOverdue() *instance {
	for len(t.overdue) > 0 {
		inst := t.overdue[0]
		if inst.slot == overdueSlot {
			return inst
		}
		inst.inRow = false
		t.overdue = t.overdue[1:]
	}
	t.overdue = nil
	return nil
}

// takeAll takes the instances of one kind out of the heap and appends them to
// taken, in the order of their timers.
func (t *timers) takeAll(taken []*instance, which func(*instance) bool) []*instance {
	others := t.heap[:0]
	for _, v := range t.heap {
		if which(v.inst) {
			v.inst.slot = noSlot
			taken = append(taken, v.inst)
			continue
		}
		others = append(others, v)
	}
	if len(others) == len(t.heap) {
		return taken // nothing has moved
	}
	clear(t.heap[len(others):])
	t.heap = others[:0]
	for _, v := range others {
		v.inst.slot = len(t.heap)
		t.heap = append(t.heap, v)
		t.move(v.inst.slot, v)
	}
	slices.SortFunc(taken, func(a, b *instance) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.rank, b.rank))
	})
	return taken
}

// first is the instance whose timer is the next in the heap; nil: none is set.
func (t *timers) first() *instance {
	if len(t.heap) == 0 {
		return nil
	}
	return t.heap[0].inst
}

// next returns when the first timer fires, or should have.
func (t *timers) next() (vrrp.Instant, bool) {
	if inst := t.firstOverdue(); inst != nil {
		return inst.deadline, true
	}
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].at, true
}

// due counts the timers that will have fired at a moment.
func (t *timers) due(at vrrp.Instant) (n int) {
	for _, v := range t.heap {
		if v.at <= at {
			n++
		}
	}
	return n
}

// remove takes the timer at i out of the heap.
func (t *timers) remove(i int) {
	last := len(t.heap) - 1
	moved := t.heap[last]
	t.heap[last] = timer{}
	t.heap = t.heap[:last]
	if i < last {
		t.move(i, moved)
	}
}

// move puts v, for which there is room at i, where it belongs.
func (t *timers) move(i int, v timer) {
	h := t.heap
	for i > 0 {
		above := (i - 1) / 2
		if h[above].before(v) {
			break
		}
		h[i] = h[above]
		h[i].inst.slot = i
		i = above
	}
	for {
		below := 2*i + 1
		if below >= len(h) {
			break
		}
		if right := below + 1; right < len(h) && h[right].before(h[below]) {
			below = right
		}
		if v.before(h[below]) {
			break
		}
		h[i] = h[below]
		h[i].inst.slot = i
		i = below
	}
	h[i] = v
	v.inst.slot = i
}
