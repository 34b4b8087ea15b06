package vip

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	changeBuffer  = 4 << 20  // receive buffer of the socket, bytes
	changeLen     = 64 << 10 // of the longest notification, bytes
	retryWatch    = 100 * time.Millisecond
	changesWanted = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)
)

// openChanges opens a socket that hears of links and addresses. It is read
// with one buffer for ever (nl.NetlinkSocket.Receive takes 64 KiB for every
// message, and a thousand addresses are a thousand messages), and it survives
// an overrun, so it is never opened again in what might be another namespace.
// It does not hear what was done through port.
func openChanges(port uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	// Beyond the system's limit only with CAP_NET_ADMIN in the initial user
	// namespace. A smaller buffer costs an overrun, which is provided for.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, changeBuffer) != nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, changeBuffer)
	}
	if err == nil {
		err = ignoreOwn(fd, port)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: changesWanted})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ignoreOwn has the kernel drop notifications of what was done through port,
// before they wake anybody: a thousand addresses would wake the reader a
// thousand times, with every renewal of their leases. IPv4 notifications name
// the port in their header. IPv6 ones do not; those of additions and changes
// (removals are always heard) are known by the mark, from Linux 5.18 on.
func ignoreOwn(fd int, port uint32) error {
	const ( // in struct nlmsghdr, and of what follows it
		typeOffset, portOffset = 4, 12
		familyOffset           = unix.SizeofNlMsghdr
		attrsOffset            = unix.SizeofNlMsghdr + unix.SizeofIfAddrmsg
	)
	// The filter loads big-endian what is in the order of the machine.
	var word [4]byte
	binary.NativeEndian.PutUint32(word[:], port)
	var half [2]byte
	binary.NativeEndian.PutUint16(half[:], unix.RTM_NEWADDR)
	return attachFilter(fd, []bpf.Instruction{
		bpf.LoadAbsolute{Off: portOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(word[:]), SkipTrue: 11},
		bpf.LoadAbsolute{Off: typeOffset, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(binary.BigEndian.Uint16(half[:])), SkipTrue: 8},
		bpf.LoadAbsolute{Off: familyOffset, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.AF_INET6, SkipTrue: 6},
		bpf.LoadConstant{Dst: bpf.RegX, Val: ifaProto},
		bpf.LoadConstant{Dst: bpf.RegA, Val: attrsOffset},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttr}, // where the attribute is, or 0
		bpf.TAX{},
		bpf.LoadIndirect{Off: unix.SizeofRtAttr, Size: 1}, // without the attribute: of the header, a byte of the type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: mark, SkipTrue: 1},
		bpf.RetConstant{Val: math.MaxUint32},
		bpf.RetConstant{Val: 0},
	})
}

// attachFilter has fd receive only what a program returns other than 0 for.
func attachFilter(fd int, instructions []bpf.Instruction) error {
	program, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// watch reads changes until ctx ends. An overrun (ENOBUFS) leaves the socket as
// it was, and reading goes on. It is told only when the queue has been emptied:
// until then the kernel drops further notifications without another error, so
// who listed everything earlier would miss them.
func (k *kernelSockets) watch(ctx context.Context, changed func(change)) error {
	conn, err := k.changes.SyscallConn()
	if err != nil {
		return err
	}
	// Ends the wait below; an error would only say that it is closed already.
	stop := context.AfterFunc(ctx, func() { _ = k.changes.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, changeLen)
	overrun := false
	for ctx.Err() == nil {
		var n int
		var from unix.Sockaddr
		var failure error
		err := conn.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, 0)
			return failure != unix.EAGAIN || overrun
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case failure == nil:
			readChanges(buf[:n], from, changed)
		case failure == unix.EINTR:
		case failure == unix.ENOBUFS:
			overrun = true
		case failure == unix.EAGAIN: // empty
			overrun = false
			changed(change{err: unix.ENOBUFS})
		default:
			changed(change{err: failure})
			select {
			case <-ctx.Done():
			case <-time.After(retryWatch):
			}
		}
	}
	return nil
}

// readChanges tells what a datagram says.
func readChanges(b []byte, from unix.Sockaddr, changed func(change)) {
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != nl.PidKernel {
		return // any process may send to a netlink port
	}
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		changed(change{err: err})
	}
	for _, m := range msgs {
		if c, ok := parseChange(m); ok {
			changed(c)
		}
	}
}
