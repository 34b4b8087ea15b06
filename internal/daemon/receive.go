package daemon

import (
	"fmt"
	"time"

	"vrrpd/vrrp"
	"vrrpd/vrrp/transport"
)

const (
	// receiveRounds bounds what is read from one socket in one turn, in
	// batches, so that a flood cannot keep the timers of active routers.
	receiveRounds = 64
	// tellEvery is how often people are told of the same trouble.
	tellEvery = time.Minute
)

// receive reads what waits at a port. It reports whether that was all.
func (e *engine) receive(now vrrp.Instant, token int32) (drained bool) {
	p := e.byToken[token]
	if p == nil || p.wire == nil {
		return true
	}
	for range receiveRounds {
		if e.batch == nil { // not before: it is large, and a rehearsal needs none
			e.batch = transport.NewBatch()
		}
		packets, more, err := p.wire.Receive(e.batch)
		e.packets += len(packets)
		for i := range packets {
			e.packet(now, p, &packets[i])
		}
		if err != nil {
			// The error of a socket is news about the interface (it is down,
			// it is gone), and the watcher of interfaces tells that better.
			return true
		}
		if !more {
			return true
		}
	}
	return false
}

// packet takes one packet as far as it gets. What is rejected is counted, and
// touches nothing else: least of all a timer.
func (e *engine) packet(now vrrp.Instant, p *port, pkt *transport.Packet) {
	d := vrrp.Datagram{Src: pkt.Src, Dst: pkt.Dst, TTL: pkt.HopLimit, Message: pkt.Data}
	reason := vrrp.Accepted
	if p.family == vrrp.IPv4 {
		d, reason = vrrp.ParseIPv4(pkt.Data)
		if reason != vrrp.Accepted && !pkt.Truncated {
			p.errors[reason]++
			return
		}
		if pkt.Truncated && len(pkt.Data) >= 20 {
			d.Message = pkt.Data[min(len(pkt.Data), int(pkt.Data[0]&0x0f)*4):]
			d.Src = pkt.Src
		}
	}
	if pkt.Truncated {
		reason = vrrp.DropTruncated
	}
	vrid, ok := vrrp.VRID(d.Message)
	if !ok {
		p.errors[max(reason, vrrp.DropLength)]++
		return
	}
	inst := p.users[vrid]
	if inst == nil {
		p.errors[vrrp.DropVRID]++
		return
	}
	if reason == vrrp.Accepted {
		reason = vrrp.Decode(d, &e.advert)
	}
	if reason == vrrp.Accepted {
		reason = inst.policy.Check(d, &e.advert)
	}
	if reason != vrrp.Accepted {
		e.drop(now, inst, d, reason)
		return
	}
	at := vrrp.Instant(pkt.At)
	if e.stalled {
		at = now
	}
	e.accept(now, inst, d, at)
}

// drop counts a rejected packet and tells of it at most once a minute and
// reason (RFC 9568 §7.1: log, rate-limited). Our own coming back is usual on
// some networks and not worth a line.
func (e *engine) drop(now vrrp.Instant, inst *instance, d vrrp.Datagram, reason vrrp.Reason) {
	if inst.dropped == nil {
		inst.dropped = new(dropped)
	}
	dropped := inst.dropped
	dropped.counts[reason]++
	if reason == vrrp.DropOwn || dropped.told[reason] != 0 && now.Sub(dropped.told[reason]) < tellEvery {
		return
	}
	dropped.told[reason] = now
	e.tell(note{kind: kindWarning, instance: inst.cfg.Name, level: levelWarn,
		text: fmt.Sprintf("dropped an advertisement from %s: %s (%d so far)", d.Src, e.explainDrop(inst, reason, d), dropped.counts[reason])})
}

// explainDrop says what is wrong with a packet and what to do about it.
func (e *engine) explainDrop(inst *instance, reason vrrp.Reason, d vrrp.Datagram) string {
	switch reason {
	case vrrp.DropLength, vrrp.DropTruncated:
		return "its length does not fit its contents"
	case vrrp.DropVersion:
		return fmt.Sprintf("it is not VRRP version %d; the version must be the same on all nodes", inst.cfg.Version)
	case vrrp.DropType:
		return "it is no ADVERTISEMENT"
	case vrrp.DropChecksum:
		return "its checksum is wrong"
	case vrrp.DropTTL:
		return fmt.Sprintf("its TTL is %d; a router on this link sends 255, so it came from elsewhere (unicast.min_ttl allows less)", d.TTL)
	case vrrp.DropCount:
		return "it lists no addresses"
	case vrrp.DropInterval:
		if inst.cfg.Version == 2 {
			return fmt.Sprintf("its interval is not %s; in VRRP version 2 it must be the same on all nodes", inst.cfg.AdvertInterval)
		}
		return "its interval is zero"
	case vrrp.DropAuth:
		return "its password is not the one configured here; it must be the same on all nodes"
	case vrrp.DropFirstAddress:
		return "its first address is not link-local (strict = true)"
	case vrrp.DropSender:
		return "the sender is not in unicast.peers"
	case vrrp.DropDestination:
		if inst.cfg.Unicast != nil {
			return "it was multicast, and unicast is configured here"
		}
		return "it was unicast, and multicast is configured here"
	}
	return reason.String()
}

// accept feeds a valid advertisement to its router.
func (e *engine) accept(now vrrp.Instant, inst *instance, d vrrp.Datagram, at vrrp.Instant) {
	a := &e.advert
	inst.received++
	inst.heard = true
	if inst.cfg.Checksum == "auto" && a.Version == vrrp.V3 && inst.id.family == vrrp.IPv4 && (a.Checksum != inst.form || !inst.learned) {
		// Send what the others understand: the form they send.
		inst.form, inst.learned, inst.adverts = a.Checksum, true, nil
		e.endPlan()
		e.learned = true
	}
	src := d.Src.WithZone("")
	if what := inst.compare(now, a, src); what != "" {
		e.tell(note{kind: kindWarning, instance: inst.cfg.Name, level: levelWarn, text: what})
	}
	ev := vrrp.Event{Kind: vrrp.EventAdvert,
		Advert: vrrp.Received{Source: src, Priority: a.Priority, Interval: a.Interval, At: min(at, now)}}
	e.advertise(now, inst, ev, d.Message)
	if inst.ear != nil {
		inst.ear.advert(inst.cfg.Name, src, a.Priority, now.Sub(min(at, now)))
	}
	if inst.successor != nil && a.Priority > 0 && inst.router.State() != vrrp.Active {
		close(inst.successor)
		inst.successor = nil
	}
}
