package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rtnetlinkBuffer is what one datagram may have, in bytes (rtnetlink(7)).
const rtnetlinkBuffer = 32 << 10

// dialKernel opens a socket for questions to the kernel that gives up when the
// look does.
func dialKernel(l look) (*netlink.Handle, error) {
	// The route family alone: the default opens others too, and fails where the
	// kernel has none. Virtual functions can make an answer very long.
	h, err := netlink.NewHandleWithOptions(netlink.HandleOptions{DisableVFInfoCollection: true, RetryInterrupted: true}, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if deadline, ok := l.ctx.Deadline(); ok {
		if err := h.SetSocketTimeout(max(time.Until(deadline), time.Millisecond)); err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// followKernel calls wake once it hears of changes, and then for every one that
// is relevant, until ctx ends. Lost messages count as relevant.
func followKernel(ctx context.Context, groups []uint, relevant func(syscall.NetlinkMessage) bool, wake func()) error {
	f, err := subscribe(groups)
	if err != nil {
		return fmt.Errorf("listen to the kernel: %w", err)
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	wake()
	buf := make([]byte, rtnetlinkBuffer)
	for {
		var n int
		var from unix.Sockaddr
		var failure error
		err := conn.Read(func(fd uintptr) bool {
			n, from, failure = unix.Recvfrom(int(fd), buf, 0)
			return failure != unix.EAGAIN && failure != unix.EINTR
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("listen to the kernel: %w", err)
		case errors.Is(failure, unix.ENOBUFS): // the socket goes on
			wake()
		case failure != nil:
			return fmt.Errorf("listen to the kernel: %w", failure)
		case anyRelevant(buf[:n], from, relevant):
			wake()
		}
	}
}

func subscribe(groups []uint) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "rtnetlink")
	var mask uint32
	for _, g := range groups {
		mask |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: mask}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), f.Close())
	}
	return f, nil
}

func anyRelevant(b []byte, from unix.Sockaddr, relevant func(syscall.NetlinkMessage) bool) bool {
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
		return false // not the kernel: any process may send to a netlink port
	}
	msgs, err := syscall.ParseNetlinkMessage(b)
	found := err != nil // what cannot be read may have been it
	for _, m := range msgs {
		// Every one of them: relevant may remember what it sees.
		if relevant(m) {
			found = true
		}
	}
	return found
}
