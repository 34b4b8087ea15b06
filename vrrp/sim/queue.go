package sim

import (
	"net/netip"

	"vrrpd/vrrp"
)

// An event is something that will happen on the network: the timer of a
// router, a datagram at its end, or a call.
type event struct {
	at     vrrp.Instant
	serial int // of two events at the same instant, the one put in first is first
	to     *member
	packet *packet // nil: to's timer
	do     func()  // if to is nil
}

// A packet is an advertisement on its way.
type packet struct {
	source, destination netip.Addr
	message             []byte
}

// A queue is a binary heap of events. It is typed, for the simulator spends
// its time here.
type queue []event

func (q queue) less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].serial < q[j].serial
}

func (q *queue) push(e event) {
	*q = append(*q, e)
	h := *q
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (q *queue) pop() event {
	h := *q
	first, last := h[0], len(h)-1
	h[0] = h[last]
	h[last] = event{} // lets go of the packet
	h = h[:last]
	*q = h
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			return first
		}
		if right := least + 1; right < last && h.less(right, least) {
			least = right
		}
		if !h.less(least, i) {
			return first
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
