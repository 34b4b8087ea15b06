package vip

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// This file makes a client: a host of its own at the far end of a cable, that
// knows the hardware address of the virtual ones whatever anybody answers.

var pings atomic.Int32

type client struct {
	*cable
	calls  chan func()
	handle *netlink.Handle
	far    netlink.Link
	near   net.HardwareAddr

	mu     sync.Mutex
	claims []lesson
}

// A lesson is a frame from which neighbours learn who has an address.
type lesson struct {
	ip   netip.Addr
	at   time.Time // when the kernel received it
	what string
}

// newClient moves the far end of the cable to a namespace of its own, where it
// gets the address own.
func newClient(c *cable, own string) *client {
	c.t.Helper()
	lo, err := netlink.LinkByName("lo")
	must(c.t, err)
	must(c.t, netlink.LinkSetUp(lo))
	cl := &client{cable: c, calls: make(chan func()), near: c.link(c.near).Attrs().HardwareAddr}
	opened := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		ns, err := netns.New()
		if err != nil {
			c.t.Errorf("network namespace of the client: %v", err)
		}
		opened <- ns
		for call := range cl.calls {
			call()
		}
		ns.Close()
	}()
	c.t.Cleanup(func() { close(cl.calls) })
	ns := <-opened
	must(c.t, netlink.LinkSetNsFd(c.link(c.far), int(ns)))
	cl.handle, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	must(c.t, err)
	c.t.Cleanup(func() { must(c.t, cl.handle.Close()) })
	cl.far, err = cl.handle.LinkByName(c.far)
	must(c.t, err)
	must(c.t, cl.handle.LinkSetUp(cl.far))
	must(c.t, cl.handle.AddrAdd(cl.far, address(own)))
	c.eventually("the cable carries frames", func() bool { return c.link(c.near).Attrs().OperState == netlink.OperUp })
	c.eventually("the near end has a link-local address", func() bool { // without, it cannot ask for IPv6 neighbours
		as, err := netlink.AddrList(c.link(c.near), netlink.FAMILY_V6)
		must(c.t, err)
		return len(as) > 0 && as[0].Flags&unix.IFA_F_TENTATIVE == 0
	})
	return cl
}

// inside runs f in the client's namespace.
func (cl *client) inside(f func()) {
	done := make(chan struct{})
	cl.calls <- func() { defer close(done); f() }
	<-done
}

// knows has the client know ip without asking.
func (cl *client) knows(ip netip.Addr) {
	cl.t.Helper()
	must(cl.t, cl.handle.NeighSet(&netlink.Neigh{LinkIndex: cl.far.Attrs().Index, IP: ip.AsSlice(), HardwareAddr: cl.near, State: netlink.NUD_PERMANENT}))
}

// forgetNeighbours has the near end forget whom it knows.
func (c *cable) forgetNeighbours() {
	c.t.Helper()
	index := c.link(c.near).Attrs().Index
	ns, err := netlink.NeighList(index, netlink.FAMILY_ALL)
	must(c.t, err)
	for _, n := range ns {
		if n.State&netlink.NUD_NOARP == 0 {
			_ = netlink.NeighDel(&n) // may have gone by itself
		}
	}
}

// probe asks who has the addresses every millisecond, all neighbours and the
// near end alone by turns, and collects claims, until the test ends.
func (cl *client) probe(ips ...netip.Addr) {
	cl.t.Helper()
	all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	var fd int
	var err error
	cl.inside(func() { fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) })
	must(cl.t, err)
	must(cl.t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	must(cl.t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, timeval(20*time.Millisecond)))
	must(cl.t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: cl.far.Attrs().Index}))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			for _, ip := range ips {
				_, _ = unix.Write(fd, cl.request(ip, n%2 == 0)) // fails while the cable is unplugged
			}
			time.Sleep(time.Millisecond)
		}
	})
	wg.Go(func() {
		buf, oob := make([]byte, 2048), make([]byte, 256)
		for ctx.Err() == nil {
			n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
			if err != nil {
				continue // the timeout
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING {
				cl.collect(buf[:n], oob[:oobn])
			}
		}
	})
	cl.t.Cleanup(func() {
		cancel()
		wg.Wait()
		unix.Close(fd)
	})
}

// request returns an ARP request or a neighbour solicitation.
func (cl *client) request(ip netip.Addr, toAll bool) []byte {
	mac := cl.far.Attrs().HardwareAddr
	to := cl.near
	if ip.Is4() {
		if toAll {
			to = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
		return slices.Concat(to, mac, []byte{0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1}, mac, make([]byte, 4), make([]byte, 6), ip.AsSlice())
	}
	dst, src := ip.AsSlice(), netip.MustParseAddr("fe80::c").AsSlice()
	if toAll {
		dst = slices.Concat(netip.MustParseAddr("ff02::1:ff00:0").AsSlice()[:13], ip.AsSlice()[13:])
		to = slices.Concat(net.HardwareAddr{0x33, 0x33}, dst[12:])
	}
	m := icmp.Message{Type: ipv6.ICMPTypeNeighborSolicitation,
		Body: &icmp.RawBody{Data: slices.Concat(make([]byte, 4), ip.AsSlice(), []byte{1, 1}, mac)}}
	body, err := m.Marshal(icmp.IPv6PseudoHeader(src, dst))
	if err != nil {
		panic(err)
	}
	return slices.Concat(to, mac, []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(body)), 58, 255}, src, dst, body)
}

// collect notes what a frame claims.
func (cl *client) collect(f, oob []byte) {
	var c lesson
	const icmpType = 14 + 40
	switch {
	case len(f) >= 14+28 && f[12] == 0x08 && f[13] == 0x06:
		c.ip, c.what = netip.AddrFrom4([4]byte(f[14+14:])), fmt.Sprintf("ARP operation %d", f[14+7])
	case len(f) >= icmpType+24 && f[12] == 0x86 && f[13] == 0xdd && f[14+6] == 58 && f[icmpType] == 136:
		c.ip, c.what = netip.AddrFrom16([16]byte(f[icmpType+8:])), "neighbour advertisement"
	case len(f) >= icmpType+24 && f[12] == 0x86 && f[13] == 0xdd && f[14+6] == 58 && f[icmpType] == 135:
		c.ip, c.what = netip.AddrFrom16([16]byte(f[14+8:])), "neighbour solicitation"
	default:
		return
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) == 0 || len(msgs[0].Data) < 16 {
		cl.t.Errorf("no timestamp: %v", err)
		return
	}
	c.at = time.Unix(int64(binary.NativeEndian.Uint64(msgs[0].Data)), int64(binary.NativeEndian.Uint64(msgs[0].Data[8:])))
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.claims = append(cl.claims, c)
}

// claimed returns the claims to ip from a moment on.
func (cl *client) claimed(ip netip.Addr, from time.Time) []lesson {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(cl.claims), func(c lesson) bool { return c.ip != ip || c.at.Before(from) })
}

// ping returns how many of n echo requests, 2 ms apart, are answered.
func (cl *client) ping(ip netip.Addr, n int) int {
	cl.t.Helper()
	network, local, kind, protocol := "ip4:icmp", "0.0.0.0", icmp.Type(ipv4.ICMPTypeEcho), 1
	reply := icmp.Type(ipv4.ICMPTypeEchoReply)
	if ip.Is6() {
		network, local, kind, protocol = "ip6:ipv6-icmp", "::", ipv6.ICMPTypeEchoRequest, 58
		reply = ipv6.ICMPTypeEchoReply
	}
	var conn *icmp.PacketConn
	var err error
	cl.inside(func() { conn, err = icmp.ListenPacket(network, local) })
	must(cl.t, err)
	defer conn.Close()
	to := &net.IPAddr{IP: ip.AsSlice()}
	if localRouted(ip) {
		to.Zone = fmt.Sprint(cl.far.Attrs().Index) // by number: the name means nothing out here
	}
	id := int(pings.Add(1)) & 0xffff
	go func() {
		for seq := range n {
			m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: id, Seq: seq}}
			b, err := m.Marshal(nil)
			if err == nil {
				_, err = conn.WriteTo(b, to)
			}
			if err != nil {
				cl.t.Errorf("ping %s: %v", ip, err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	must(cl.t, conn.SetReadDeadline(time.Now().Add(time.Duration(n)*2*time.Millisecond+300*time.Millisecond)))
	answered := 0
	for buf := make([]byte, 1500); answered < n; {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			break
		}
		m, err := icmp.ParseMessage(protocol, buf[:size])
		if err != nil || m.Type != reply || !from.(*net.IPAddr).IP.Equal(ip.AsSlice()) {
			continue
		}
		if e, ok := m.Body.(*icmp.Echo); ok && e.ID == id {
			answered++
		}
	}
	return answered
}

// A talk is a connection on which everything is said twice.
type talk struct {
	t    testing.TB
	name string
	conn net.Conn
}

// talkTo opens a TCP connection to ip and a UDP flow to a socket that is bound
// to local.
func (cl *client) talkTo(ip netip.Addr, local net.UDPAddr) []*talk {
	cl.t.Helper()
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv6Unspecified(), 0)))
	must(cl.t, err)
	echo := func(c net.Conn) {
		buf := make([]byte, 64)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	var wg sync.WaitGroup
	accepted := make(chan net.Conn, 1)
	wg.Go(func() {
		if c, err := ln.Accept(); err == nil {
			accepted <- c
			echo(c)
		}
	})
	pc, err := net.ListenUDP("udp", &local)
	must(cl.t, err)
	wg.Go(func() {
		buf := make([]byte, 64)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(buf[:n], from) // a lost answer is the client's to see
		}
	})
	zone := ""
	if localRouted(ip) {
		zone = fmt.Sprint(cl.far.Attrs().Index)
	}
	var tcp, udp net.Conn
	var tcpErr, udpErr error
	cl.inside(func() {
		tcp, tcpErr = net.DialTCP("tcp", nil, &net.TCPAddr{IP: ip.AsSlice(), Port: ln.Addr().(*net.TCPAddr).Port, Zone: zone})
		udp, udpErr = net.DialUDP("udp", nil, &net.UDPAddr{IP: ip.AsSlice(), Port: pc.LocalAddr().(*net.UDPAddr).Port, Zone: zone})
	})
	must(cl.t, tcpErr)
	must(cl.t, udpErr)
	cl.t.Cleanup(func() {
		ln.Close()
		pc.Close()
		(<-accepted).Close() // the client's end may be cut off
		tcp.Close()
		udp.Close()
		wg.Wait()
	})
	return []*talk{{cl.t, "TCP", tcp}, {cl.t, "UDP", udp}}
}

// say says something n times, a millisecond apart, and returns how often it
// was said back.
func (k *talk) say(n int) int {
	k.t.Helper()
	said := 0
	buf := make([]byte, 64)
	for i := range n {
		word := fmt.Sprintf("%08d", i)
		must(k.t, k.conn.SetDeadline(time.Now().Add(300*time.Millisecond)))
		if _, err := k.conn.Write([]byte(word)); err != nil {
			k.t.Errorf("%s: %v", k.name, err)
			return said
		}
		if got, err := k.conn.Read(buf); err != nil || string(buf[:got]) != word {
			k.t.Errorf("%s: read %q, %v", k.name, buf[:got], err)
			return said
		}
		said++
		time.Sleep(time.Millisecond)
	}
	return said
}
