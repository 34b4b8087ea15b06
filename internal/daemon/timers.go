package daemon

import (
	"container/heap"

	"vrrpd/vrrp"
)

// timers orders instances by the moment their timer fires.
type timers []*instance

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].deadline < t[j].deadline }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i, j
}
func (t *timers) Push(x any) {
	inst := x.(*instance)
	inst.slot = len(*t)
	*t = append(*t, inst)
}
func (t *timers) Pop() any {
	old := *t
	inst := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	inst.slot = noSlot
	return inst
}

// noSlot is the slot of an instance whose timer is not set.
const noSlot = -1

func (t *timers) set(inst *instance, at vrrp.Instant) {
	inst.deadline, inst.bondsRead = at, false
	if inst.slot == noSlot {
		heap.Push(t, inst)
	} else {
		heap.Fix(t, inst.slot)
	}
}

func (t *timers) stop(inst *instance) {
	if inst.slot != noSlot {
		heap.Remove(t, inst.slot)
	}
}

// next returns when the first timer fires.
func (t timers) next() (vrrp.Instant, bool) {
	if len(t) == 0 {
		return 0, false
	}
	return t[0].deadline, true
}
