package netif

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer holds the messages of some thousand changes, in bytes.
	receiveBuffer = 2 << 20
	// messageLen is longer than any message of the kernel (netlink(7)).
	messageLen = 64 << 10
)

// subscribe opens a socket that hears of every change of links and addresses
// in the namespace (rtnetlink(7)).
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("follow links and addresses: %w", err)
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	// Past the system's limit where we may. With less, more is read again.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := ignoreVirtual(fd); err != nil {
		return nil, errors.Join(fmt.Errorf("follow links and addresses: %w", err), f.Close())
	}
	const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(fmt.Errorf("follow links and addresses: %w", err), f.Close())
	}
	return f, nil
}

// ignoreVirtual has the kernel keep to itself that an address was added or
// changed which carries VRRP's protocol number (IFA_PROTO, linux/if_addr.h, from
// Linux 5.18 on): virtual ones, of which a thousand may come in a moment when
// every processor is needed for something else. That they are gone is heard.
func ignoreVirtual(fd int) error {
	const (
		ifaProto    = 11 // IFA_PROTO
		vrrp        = 112
		typeOffset  = 4 // in struct nlmsghdr
		attrsOffset = unix.SizeofNlMsghdr + unix.SizeofIfAddrmsg
	)
	// The filter loads big-endian what is in the order of the machine.
	var newAddr [2]byte
	binary.NativeEndian.PutUint16(newAddr[:], unix.RTM_NEWADDR)
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: typeOffset, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(binary.BigEndian.Uint16(newAddr[:])), SkipTrue: 6},
		bpf.LoadConstant{Dst: bpf.RegX, Val: ifaProto},
		bpf.LoadConstant{Dst: bpf.RegA, Val: attrsOffset},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttr}, // where the attribute is, or 0
		bpf.TAX{},
		bpf.LoadIndirect{Off: unix.SizeofRtAttr, Size: 1}, // without the attribute: of the header, a byte of the type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: vrrp, SkipTrue: 1},
		bpf.RetConstant{Val: math.MaxUint32},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return os.NewSyscallError("SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}))
}

// listen says what kinds of things change, until ctx ends. It takes nothing
// else from the messages, and one buffer serves all: a node that becomes active
// for a thousand addresses gets a thousand.
func (w *Watcher) listen(ctx context.Context) {
	// Ends the wait below; an error would only say that it is closed already.
	stop := context.AfterFunc(ctx, func() { _ = w.changes.SetReadDeadline(time.Now()) })
	defer stop()
	buf := make([]byte, messageLen)
	for ctx.Err() == nil {
		n, err := w.changes.Read(buf)
		switch {
		case err == nil:
			links, addrs := kinds(buf[:n])
			signal(w.links, links)
			signal(w.addrs, addrs)
		case errors.Is(err, unix.ENOBUFS): // some were lost; those still queued are read next
			signal(w.links, true)
			signal(w.addrs, true)
		case ctx.Err() == nil:
			w.failed(fmt.Errorf("follow links and addresses: %w", err))
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	}
}

func signal(to chan<- struct{}, yes bool) {
	if !yes {
		return
	}
	select {
	case to <- struct{}{}:
	default: // it is signalled already
	}
}

// kinds reports what the messages in b are about.
func kinds(b []byte) (links, addrs bool) {
	for len(b) >= unix.SizeofNlMsghdr {
		length := binary.NativeEndian.Uint32(b)
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			links = true
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			addrs = true
		}
		aligned := (uint64(length) + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
		if length < unix.SizeofNlMsghdr || aligned > uint64(len(b)) {
			return links, addrs
		}
		b = b[aligned:]
	}
	return links, addrs
}
