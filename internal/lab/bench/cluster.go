package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// The hosts' priorities. The backup's decides the floor.
const (
	activePriority = 200
	backupPriority = 100
)

// vip is the address of a lone router, the one a client probes.
const vip = "192.0.2.100"

// A cluster is the topology everything is measured in: two hosts and a client
// on one or several switches, all of which are recorded. Both contenders run on
// the same one, in turns.
type cluster struct {
	s        *stage
	terms    terms
	lab      *lab.Lab
	switches []*lab.Switch
	a, b     *lab.Host // the active router, and the backup
	client   *lab.Host // on the first switch
	rec      *lab.Recorder
	own      map[*lab.Host]map[netip.Addr]bool // addresses that are not virtual
}

// newCluster makes a cluster of that many switches; a host's interface on the
// n-th is eth(n-1).
func newCluster(s *stage, t terms, switches int) *cluster {
	c := &cluster{s: s, terms: t, lab: lab.New(s), own: map[*lab.Host]map[netip.Addr]bool{}}
	c.a, c.b, c.client = c.lab.Host("a"), c.lab.Host("b"), c.lab.Host("client")
	for i := range switches {
		sw := c.lab.Switch(fmt.Sprintf("switch%d", i))
		c.switches = append(c.switches, sw)
		net := "192.0.2"
		if i > 0 {
			net = fmt.Sprintf("198.18.%d", i)
		}
		sw.Attach(c.a, ifname(i), net+".1/24")
		sw.Attach(c.b, ifname(i), net+".2/24")
	}
	c.switches[0].Attach(c.client, "eth0", "192.0.2.9/24")
	for _, h := range []*lab.Host{c.a, c.b} {
		c.own[h] = map[netip.Addr]bool{}
		for _, addr := range c.addresses(h) {
			c.own[h][addr] = true
		}
	}
	c.rec = lab.Record(c.switches...)
	return c
}

func ifname(i int) string { return fmt.Sprintf("eth%d", i) }

// perSwitch is how many virtual routers fit on one: VRIDs 1 to 255.
const perSwitch = 255

// switchesFor is how many switches n routers need.
func switchesFor(n int) int { return (n + perSwitch - 1) / perSwitch }

// routers configures n virtual routers of one address each, from the first
// switch on, VRID 1 upwards. A lone one has the address that clients probe.
func routers(n int, interval time.Duration, priority int) []lab.Router {
	var list []lab.Router
	for i := range n {
		r := lab.Router{VRID: i%perSwitch + 1, Interval: interval, Priority: priority, Interface: ifname(i / perSwitch),
			Addresses: []string{fmt.Sprintf("10.100.%d.%d/32", i/perSwitch, i%perSwitch+1)}}
		if i == 0 {
			r.Addresses = []string{vip + "/24"}
		}
		list = append(list, r)
	}
	return list
}

// addresses lists all of a host's.
func (c *cluster) addresses(h *lab.Host) (list []netip.Addr) {
	addrs, err := h.Netlink().AddrList(nil, unix.AF_INET)
	if err != nil {
		c.s.Fatalf("addresses of %s: %v", h.Name, err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			list = append(list, ip.Unmap())
		}
	}
	return list
}

// primary is the host's own address on an interface.
func (c *cluster) primary(h *lab.Host, ifname string) [4]byte {
	addrs, err := h.Netlink().AddrList(h.Link(ifname), unix.AF_INET)
	if err != nil || len(addrs) == 0 {
		c.s.Fatalf("addresses of %s on %s: %d, %v", ifname, h.Name, len(addrs), err)
	}
	return [4]byte(addrs[0].IP.To4())
}

// wipe takes away what daemons left on a host, as a reboot does.
func (c *cluster) wipe(h *lab.Host) {
	addrs, err := h.Netlink().AddrList(nil, unix.AF_INET)
	if err != nil {
		c.s.Fatalf("addresses of %s: %v", h.Name, err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		if c.own[h][ip.Unmap()] {
			continue
		}
		a.Label = ""
		err := h.Netlink().AddrDel(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: a.LinkIndex}}, &a)
		// With a primary its secondaries may have gone.
		if err != nil && err != unix.EADDRNOTAVAIL {
			c.s.Fatalf("wipe %s off %s: %v", a.IPNet, h.Name, err)
		}
	}
}

// cut is the loss of power of the active router: nothing leaves it any more.
func (c *cluster) cut() {
	for i, sw := range c.switches {
		sw.CutPort(c.a, ifname(i))
	}
}

// reset ends every daemon and puts both hosts back as they were.
func (c *cluster) reset(daemons ...*daemon) {
	for _, d := range daemons {
		if d != nil && !d.Exited() {
			d.Kill()
		}
	}
	c.s.together(func() { c.wipe(c.a) }, func() { c.wipe(c.b) })
	for i, sw := range c.switches {
		sw.HealPort(c.a, ifname(i))
	}
	for i := range c.switches {
		lab.Until(c.s, startLimit, "carrier", func() bool {
			return c.a.Link(ifname(i)).Attrs().RawFlags&unix.IFF_RUNNING != 0
		})
	}
	c.rec.Settle() // nothing of this turn may come up in the next
	c.rec.Forget()
}

// routerID tells the routers of a cluster apart.
type routerID struct{ sw, vrid uint8 }

// waitAdvertised waits until a host has advertised for at least n routers since
// the mark.
func (c *cluster) waitAdvertised(mark int, h *lab.Host, n int, limit time.Duration) bool {
	host, heard := c.rec.Host(h), map[routerID]bool{}
	return c.rec.Wait(mark, limit, func(part []lab.Seen) bool {
		for _, s := range part {
			if s.Kind == lab.SeenAdvert && s.Host == host && s.Priority != 0 {
				heard[routerID{s.Switch, s.VRID}] = true
			}
		}
		return len(heard) >= n
	})
}

// jitter is a random part of an interval, so that events fall anywhere in it.
func jitter(interval time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(interval)))
}
