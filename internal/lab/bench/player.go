package main

import (
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// A player sends the advertisements of an active host: those of all its routers
// at once, every interval, as fast as one processor can. What a backup is to do
// is then the same whoever it is. A daemon spreads them by its own way of
// starting, and with luck in a way that leaves its peer time for each.
type player struct {
	stop, done chan struct{}
}

// play starts to play host a of the cluster.
func (c *cluster) play(routers []lab.Router, interval time.Duration) *player {
	type shot struct {
		frame []byte
		to    *unix.SockaddrLinklayer
	}
	var shots []shot
	for _, r := range routers {
		if r.Priority != activePriority {
			continue // the backup's own
		}
		eth := c.a.Link(r.Interface).Attrs()
		f := advert(r, c.primary(c.a, r.Interface))
		copy(f[6:12], eth.HardwareAddr)
		shots = append(shots, shot{f, &unix.SockaddrLinklayer{Ifindex: eth.Index}})
	}
	fd := c.raw(c.a)
	p := &player{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer unix.Close(fd)
		for next := time.Now(); ; next = next.Add(interval) {
			time.Sleep(time.Until(next))
			select {
			case <-p.stop:
				return
			default:
			}
			for _, s := range shots {
				// What is not sent is not seen, and has no floor.
				_ = unix.Sendto(fd, s.frame, 0, s.to)
			}
		}
	}()
	c.s.Cleanup(p.halt)
	return p
}

// halt ends it, after a whole round.
func (p *player) halt() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	<-p.done
}

// raw opens a packet socket on a host that sends only.
func (c *cluster) raw(h *lab.Host) (fd int) {
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		c.s.Fatalf("packet socket on %s: %v", h.Name, err)
	}
	return fd
}
