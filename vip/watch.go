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
		err = ignorePort(fd, port)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: changesWanted})
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ignorePort has the kernel drop notifications of what was done through port,
// before they wake anybody: a thousand addresses would wake the reader a
// thousand times. IPv4 notifications name the port in their header, IPv6 ones
// do not and are heard.
func ignorePort(fd int, port uint32) error {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], port) // as it is in the header; the filter loads big-endian
	const portOffset = 12                     // of nlmsg_pid in struct nlmsghdr
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: portOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b[:]), SkipFalse: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: math.MaxUint32},
	})
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
