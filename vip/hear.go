package vip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// This file listens for claims: ARP through a packet socket, neighbour
// advertisements through a raw ICMPv6 socket (a packet socket for IPv6 would
// have the kernel copy every packet that it forwards). Both hear nothing but
// what their filters pass.

const (
	hearBuffer    = 128 << 10 // receive buffer, bytes: what a flood brings beyond it is dropped
	hearBurst     = 64        // packets read at most …
	hearWindow    = 20 * time.Millisecond
	filteredMax   = 128 // addresses that a filter chooses by; with more all ARP and advertisements are read
	arpLen        = 28
	arpSenderMAC  = 8
	arpSenderIP   = 14
	naTarget      = 8 // in the ICMPv6 message
	naMaximum     = 1500
	ethernetInARP = 0x0604 // lengths of hardware and protocol addresses
)

// ears are the sockets of kernelSockets that listen.
type ears struct {
	arp   *os.File
	bound bool             // arp hears ARP
	na    *ipv6.PacketConn // nil: there is no IPv6
}

func openEars() (e ears, err error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return e, err
	}
	e.arp = os.NewFile(uintptr(fd), "arp")
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, hearBuffer)
	c, naErr := net.ListenPacket("ip6:ipv6-icmp", "::")
	switch {
	case errors.Is(naErr, unix.EAFNOSUPPORT), errors.Is(naErr, unix.EADDRNOTAVAIL):
		return e, err
	case naErr != nil:
		return e, errors.Join(err, naErr)
	}
	e.na = ipv6.NewPacketConn(c)
	var f ipv6.ICMPFilter
	f.SetAll(true)
	return e, errors.Join(err,
		e.na.SetICMPFilter(&f),
		e.na.SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true),
		c.(*net.IPConn).SetReadBuffer(hearBuffer))
}

func (e *ears) close() error {
	var errs []error
	if e.arp != nil {
		errs = append(errs, e.arp.Close())
	}
	if e.na != nil {
		errs = append(errs, e.na.Close())
	}
	return errors.Join(errs...)
}

// listen chooses the addresses whose claims are heard.
func (k *kernelSockets) listen(ips []netip.Addr) error {
	var v4, v6 []uint32
	for _, ip := range ips {
		b := ip.AsSlice()
		last := binary.BigEndian.Uint32(b[len(b)-4:])
		if ip.Is4() {
			v4 = append(v4, last)
		} else {
			v6 = append(v6, last) // of the target; the rest is compared later
		}
	}
	return errors.Join(k.ears.listenARP(v4), k.ears.listenNA(v6))
}

func (e *ears) listenARP(senders []uint32) error {
	conn, err := e.arp.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = conn.Control(func(fd uintptr) {
		failure = attachFilter(int(fd), append([]bpf.Instruction{
			bpf.LoadAbsolute{Off: 4, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: ethernetInARP, SkipTrue: 1},
			bpf.RetConstant{Val: 0},
		}, oneOf(arpSenderIP, senders)...))
		if failure != nil || e.bound || len(senders) == 0 {
			return
		}
		// Only now: to unbind it again the kernel would take long.
		failure = unix.Bind(int(fd), &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ARP)})
		e.bound = failure == nil
	})
	if err = errors.Join(err, failure); err != nil {
		return fmt.Errorf("listen for ARP: %w", err)
	}
	return nil
}

func (e *ears) listenNA(targets []uint32) error {
	if e.na == nil {
		return nil
	}
	program, err := bpf.Assemble(oneOf(naTarget+12, targets))
	if err != nil {
		return err
	}
	var f ipv6.ICMPFilter
	f.SetAll(true)
	if len(targets) > 0 {
		f.Accept(ipv6.ICMPTypeNeighborAdvertisement)
	}
	if err := errors.Join(e.na.SetBPF(program), e.na.SetICMPFilter(&f)); err != nil {
		return fmt.Errorf("listen for neighbour advertisements: %w", err)
	}
	return nil
}

// oneOf passes packets that have one of the words at an offset; all, if there
// are too many.
func oneOf(offset uint32, words []uint32) []bpf.Instruction {
	if len(words) > filteredMax {
		return []bpf.Instruction{bpf.RetConstant{Val: math.MaxUint32}}
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: 4}}
	for i, word := range words {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: word, SkipTrue: uint8(len(words) - i)})
	}
	return append(program, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: math.MaxUint32})
}

// hear reads claims until ctx ends.
func (k *kernelSockets) hear(ctx context.Context, heard func(claim)) error {
	done := make(chan error, 1)
	go func() { done <- k.ears.hearNA(ctx, heard) }()
	return errors.Join(k.ears.hearARP(ctx, heard), <-done)
}

// A throttle bounds what a flood costs: the kernel drops what is not read.
type throttle struct {
	since time.Time
	count int
}

// wait is called before each packet is read.
func (t *throttle) wait(ctx context.Context) {
	if t.count++; t.count <= hearBurst {
		return
	}
	if left := hearWindow - time.Since(t.since); left > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(left):
		}
	}
	t.since, t.count = time.Now(), 1
}

// pause follows an error that will go away.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(retryWatch):
	}
}

func (e *ears) hearARP(ctx context.Context, heard func(claim)) error {
	conn, err := e.arp.SyscallConn()
	if err != nil {
		return err
	}
	// Ends the wait below; an error would only say that it is closed already.
	stop := context.AfterFunc(ctx, func() { _ = e.arp.SetReadDeadline(time.Now()) })
	defer stop()
	var t throttle
	buf := make([]byte, arpLen)
	for ctx.Err() == nil {
		t.wait(ctx)
		var n int
		var from unix.Sockaddr
		var failure error
		err := conn.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, 0)
			return failure != unix.EAGAIN
		})
		switch l, ok := from.(*unix.SockaddrLinklayer); {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case failure == unix.EINTR:
		case failure != nil:
			heard(claim{err: fmt.Errorf("listen for ARP: %w", failure)})
			pause(ctx)
		case ok && n == arpLen && l.Pkttype != unix.PACKET_OUTGOING:
			ip := netip.AddrFrom4([4]byte(buf[arpSenderIP:]))
			heard(claim{at: spot{l.Ifindex, ip}, mac: mac(buf[arpSenderMAC:])})
		}
	}
	return nil
}

func (e *ears) hearNA(ctx context.Context, heard func(claim)) error {
	if e.na == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = e.na.SetReadDeadline(time.Now()) })
	defer stop()
	var t throttle
	buf := make([]byte, naMaximum)
	for ctx.Err() == nil {
		t.wait(ctx)
		n, about, _, err := e.na.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			heard(claim{err: fmt.Errorf("listen for neighbour advertisements: %w", err)})
			pause(ctx)
		case about != nil && about.HopLimit == hopLimitMaximum:
			if c, ok := readAdvertisement(buf[:n]); ok {
				c.at.index = about.IfIndex
				heard(c)
			}
		}
	}
	return nil
}

// readAdvertisement reads what a neighbour advertisement says (RFC 4861
// section 4.4). One that names no hardware address tells nobody anything new.
func readAdvertisement(b []byte) (claim, bool) {
	m, err := ndp.ParseMessage(b)
	if err != nil {
		return claim{}, false
	}
	na, ok := m.(*ndp.NeighborAdvertisement)
	if !ok {
		return claim{}, false
	}
	for _, o := range na.Options {
		if l, ok := o.(*ndp.LinkLayerAddress); ok && l.Direction == ndp.Target && len(l.Addr) == len(mac{}) {
			return claim{at: spot{ip: na.TargetAddress}, mac: mac(l.Addr)}, true
		}
	}
	return claim{}, false
}
