package daemon

import (
	"math/rand/v2"
	"slices"
	"testing"

	"vrrpd/vrrp"
)

// Whatever is set, moved, stopped and postponed: the earliest comes first.
func TestTimers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q timers
	all := make([]*instance, 60)
	for i := range all {
		all[i] = &instance{slot: noSlot}
	}
	for range 20000 {
		inst := all[r.IntN(len(all))]
		switch r.IntN(8) {
		case 0:
			q.stop(inst)
			if r.IntN(20) > 0 {
				break
			}
			taken := q.takeAll(nil, func(i *instance) bool { return i.deadline%3 == 0 })
			for i, inst := range taken {
				if inst.slot != noSlot || inst.deadline%3 != 0 || i > 0 && taken[i-1].deadline > inst.deadline {
					t.Fatal("it is still in, another kind, or not in order")
				}
			}
			for _, v := range q.heap {
				if v.inst.deadline%3 == 0 {
					t.Fatal("one was left")
				}
			}
		case 1:
			if first := q.first(); first != nil {
				q.postpone(first)
			}
		case 2:
			if late := q.takeOverdue(); late != nil && late.slot != noSlot {
				t.Fatal("it is still in")
			}
		default:
			q.set(inst, vrrp.Instant(r.IntN(1000)))
		}
		var least, overdue []vrrp.Instant
		for _, inst := range all {
			switch {
			case inst.slot >= 0:
				if q.heap[inst.slot] != (timer{inst.deadline, inst.rank, inst}) {
					t.Fatalf("slot %d is another's", inst.slot)
				}
				least = append(least, inst.deadline)
			case inst.slot == overdueSlot:
				overdue = append(overdue, inst.deadline)
			}
		}
		if len(q.heap) != len(least) || len(q.overdue) > len(all) {
			t.Fatalf("%d in the heap, want %d; %d in the row", len(q.heap), len(least), len(q.overdue))
		}
		at, armed := q.next()
		switch {
		case len(overdue) > 0:
			if !armed || !slices.Contains(overdue, at) {
				t.Fatalf("next is %d, %t; overdue are %v", at, armed, overdue)
			}
		case len(least) > 0:
			if !armed || at != slices.Min(least) {
				t.Fatalf("next is %d, %t; the least is %d", at, armed, slices.Min(least))
			}
		case armed:
			t.Fatalf("next is %d, and nothing is set", at)
		}
	}
}

// Those that are overdue come in the order they became it.
func TestOverdue(t *testing.T) {
	var q timers
	var all []*instance
	for i := range 5 {
		inst := &instance{slot: noSlot}
		all = append(all, inst)
		q.set(inst, vrrp.Instant(i))
	}
	for range all {
		q.postpone(q.first())
	}
	q.stop(all[1])
	q.set(all[2], 99)
	q.set(all[0], 100)
	q.postpone(all[0]) // it keeps its place
	for _, want := range []*instance{all[0], all[3], all[4], nil} {
		if got := q.takeOverdue(); got != want {
			t.Fatalf("got the one of %v, want that of %v", got, want)
		}
	}
	if at, armed := q.next(); at != 99 || !armed || len(q.overdue) != 0 {
		t.Error(at, armed, len(q.overdue))
	}
}

// Of those due at the same moment the order is the same every time, whatever
// was done with others meanwhile.
func TestTimersKeepTheirOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q timers
	all := make([]*instance, 100)
	for i := range all {
		all[i] = &instance{slot: noSlot}
		q.set(all[i], 1)
	}
	for round := vrrp.Instant(1); round < 20; round++ {
		for range 50 {
			inst := all[r.IntN(len(all))]
			q.set(inst, round+vrrp.Instant(r.IntN(3)))
			q.set(inst, round)
		}
		var seen []*instance
		for inst := q.first(); inst != nil && inst.deadline == round; inst = q.first() {
			q.stop(inst)
			seen = append(seen, inst)
			q.set(inst, round+1)
		}
		if !slices.Equal(seen, all) {
			t.Fatalf("round %d: another order", round)
		}
	}
}
