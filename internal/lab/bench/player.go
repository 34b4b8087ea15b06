package main

import (
	"net"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// A player sends the advertisements of an active host: those of all its routers
// at once, every interval, as fast as one processor can, and does nothing else.
// What a backup is to do is then the same whoever it is: a daemon spreads them
// by its own way of starting, and with luck in a way that leaves its peer time
// for each. And what it costs is what sending costs, for any daemon.
type player struct {
	stop, done chan struct{}
	used       time.Duration // processor time of its thread
	took       time.Duration
}

// salvo is what leaves on one interface with one system call.
type salvo struct {
	conn     *ipv4.PacketConn
	messages []ipv4.Message
}

// play starts to play host a of the cluster.
func (c *cluster) play(routers []lab.Router, interval time.Duration) *player {
	var names []string
	byName := map[string]*salvo{}
	for _, r := range routers {
		if r.Priority != activePriority {
			continue // the backup's own
		}
		v := byName[r.Interface]
		if v == nil {
			v = &salvo{conn: c.multicaster(c.a, r.Interface)}
			byName[r.Interface] = v
			names = append(names, r.Interface)
		}
		v.messages = append(v.messages, ipv4.Message{Addr: &net.IPAddr{IP: group[:]}, Buffers: [][]byte{message(r, c.primary(c.a, r.Interface))}})
	}
	var salvos []*salvo
	for _, name := range names {
		salvos = append(salvos, byName[name])
	}
	p := &player{stop: make(chan struct{}), done: make(chan struct{})}
	go p.run(salvos, interval)
	c.s.Cleanup(func() { p.halt() })
	return p
}

func (p *player) run(salvos []*salvo, interval time.Duration) {
	defer close(p.done)
	runtime.LockOSThread() // and never unlocked: the thread ends, and what it used is its own
	began, before := time.Now(), threadTime()
	for next := began; ; next = next.Add(interval) {
		wait := unix.NsecToTimespec(int64(max(time.Until(next), 0)))
		_ = unix.Nanosleep(&wait, nil) // cut short, it is early
		select {
		case <-p.stop:
			p.used, p.took = threadTime()-before, time.Since(began)
			for _, v := range salvos {
				_ = v.conn.Close()
			}
			return
		default:
		}
		for _, v := range salvos {
			for sent := 0; sent < len(v.messages); {
				n, err := v.conn.WriteBatch(v.messages[sent:], 0)
				if err != nil {
					n = 1 // what is not sent is not seen, and has no floor
				}
				sent += n
			}
		}
	}
}

// halt ends it, after a whole round, and returns its share of a processor in percent.
func (p *player) halt() float64 {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	<-p.done
	return share(p.used, p.took)
}

// threadTime is the processor time that the calling thread has used.
func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(ts.Nano())
}

// multicaster opens a raw socket for VRRP on a host that sends only.
func (c *cluster) multicaster(h *lab.Host, ifname string) *ipv4.PacketConn {
	var p *ipv4.PacketConn
	err := h.Do(func() error {
		from := c.primary(h, ifname)
		conn, err := net.ListenPacket("ip4:112", netip.AddrFrom4(from).String()) // and so it receives no multicast
		if err != nil {
			return err
		}
		p = ipv4.NewPacketConn(conn)
		for _, err := range []error{
			p.SetMulticastInterface(&net.Interface{Index: h.Link(ifname).Attrs().Index}),
			p.SetMulticastTTL(255), p.SetMulticastLoopback(false), p.SetTOS(0xc0),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.s.Fatalf("raw socket on %s: %v", h.Name, err)
	}
	return p
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
