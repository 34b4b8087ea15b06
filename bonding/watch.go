package bonding

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// RereadDefault is how often a Watcher reads without being told to. The kernel
// announces nothing when only the state of a LACP port, a speed or a failure
// count changes.
const RereadDefault = 2 * time.Second

// rereadNone is the same for a namespace without a bond, where nothing changes
// without being announced.
const rereadNone = 30 * time.Second

// receiveBuffer holds some thousand link messages.
const receiveBuffer = 1 << 20

// An Update is what a Watcher saw.
type Update struct {
	Bonds []Bond // all of the namespace, by name; shared, do not change them
	At    time.Time
	Err   error // the last reading failed, Bonds are of the one before
}

// Bond finds a bond by name; nil if there is none.
func (u *Update) Bond(name string) *Bond {
	for i := range u.Bonds {
		if u.Bonds[i].Name == name {
			return &u.Bonds[i]
		}
	}
	return nil
}

// A Watcher follows the bonds of one network namespace.
//
// A link message is only a hint that something changed: the state is then read
// anew, so that messages which arrive late, twice or not at all cannot leave a
// wrong picture. When the kernel had to drop messages (ENOBUFS) the
// subscription is still alive, and one reading makes up for all that was lost.
type Watcher struct {
	// Reread is the time between readings nobody asked for, as long as there is a
	// bond. Set it before Run; zero is RereadDefault.
	Reread time.Duration

	handle *Handle
	sub    *os.File
	raw    syscallConn
	buf    []byte

	latest  atomic.Pointer[Update]
	refresh atomic.Bool
	lost    atomic.Uint64
	known   map[int]bool // indexes of bonds and their links
	closed  atomic.Bool
}

type syscallConn interface {
	Read(func(fd uintptr) bool) error
}

// NewWatcher subscribes in the network namespace of the calling thread. Run
// may then be called from any.
func NewWatcher() (*Watcher, error) {
	h, err := Open()
	if err != nil {
		return nil, err
	}
	sub, err := subscribe(receiveBuffer)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("subscribe to link messages: %w", err)
	}
	raw, err := sub.SyscallConn()
	if err != nil {
		h.Close()
		sub.Close()
		return nil, fmt.Errorf("subscribe to link messages: %w", err)
	}
	return &Watcher{handle: h, sub: sub, raw: raw, buf: make([]byte, 1<<16)}, nil
}

func subscribe(buffer int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	// Without CAP_NET_ADMIN the ordinary limit holds; losses are made up for.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// Latest is the last reading, nil before the first. It may be called from any
// goroutine and never waits.
func (w *Watcher) Latest() *Update { return w.latest.Load() }

// Lost counts how often the kernel dropped link messages.
func (w *Watcher) Lost() uint64 { return w.lost.Load() }

// Refresh asks for a reading soon, from any goroutine.
func (w *Watcher) Refresh() {
	w.refresh.Store(true)
	_ = w.sub.SetReadDeadline(time.Unix(1, 0)) // closed: Run is over
}

// Close ends a Watcher that Run was never called on, or a Run. It may be
// called more than once.
func (w *Watcher) Close() error {
	if w.closed.Swap(true) {
		return nil
	}
	return errors.Join(w.sub.Close(), w.handle.Close())
}

// Run reads the bonds, and again at every change, and calls report with the
// first reading and each one that differs from the last. It returns when ctx
// is done (nil) or the subscription cannot be read (os.ErrClosed after Close),
// and closes the Watcher.
// report is called from Run's goroutine; while it runs nothing is missed, but
// nothing is reported either.
func (w *Watcher) Run(ctx context.Context, report func(*Update)) error {
	defer w.Close()
	stop := context.AfterFunc(ctx, func() { _ = w.sub.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		w.read(report)
		due := time.Now().Add(w.reread())
		for {
			if err := w.sub.SetReadDeadline(due); err != nil {
				return fmt.Errorf("follow link messages: %w", err)
			}
			// Whoever sets one of these moves the deadline afterwards, so that
			// either it is seen here or the receive is cut short.
			if ctx.Err() != nil {
				return nil
			}
			if w.refresh.Swap(false) {
				break
			}
			changed, err := w.receive()
			if err != nil && w.closed.Load() {
				err = os.ErrClosed // what a raw read says of it is internal to os
			}
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("follow link messages: %w", err)
			}
			if changed || !time.Now().Before(due) {
				break
			}
		}
	}
}

// reread is the time until the next reading that nobody asks for.
func (w *Watcher) reread() time.Duration {
	every := w.Reread
	if every <= 0 {
		every = RereadDefault
	}
	if u := w.latest.Load(); u.Err == nil && len(u.Bonds) == 0 {
		return max(every, rereadNone)
	}
	return every
}

// read takes one reading and reports it if it is news.
func (w *Watcher) read(report func(*Update)) {
	last := w.latest.Load()
	u := &Update{At: time.Now()}
	u.Bonds, u.Err = w.handle.Bonds()
	if u.Err != nil && last != nil {
		u.Bonds = last.Bonds
	}
	if u.Err == nil {
		w.known = make(map[int]bool)
		for _, b := range u.Bonds {
			w.known[b.Index] = true
			for _, l := range b.Links {
				w.known[l.Index] = true
			}
		}
	}
	w.latest.Store(u)
	if last == nil || (u.Err == nil) != (last.Err == nil) || !reflect.DeepEqual(u.Bonds, last.Bonds) {
		report(u)
	}
}

// receiveBurst bounds how many messages are taken before the state is read:
// somebody who changes interfaces without pause must not keep us from looking.
const receiveBurst = 1000

// receive waits for messages, takes those that are there, and says whether any
// was about a bond.
func (w *Watcher) receive() (changed bool, err error) {
	var failed error
	err = w.raw.Read(func(fd uintptr) bool {
		for taken := 0; taken < receiveBurst; taken++ {
			n, _, err := unix.Recvfrom(int(fd), w.buf, 0)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.EAGAIN):
				return taken > 0 // with nothing yet, wait
			case errors.Is(err, unix.ENOBUFS):
				w.lost.Add(1)
				changed = true
			case err != nil:
				failed = err
				return true
			default:
				changed = w.concerns(w.buf[:n]) || changed
			}
		}
		return true
	})
	return changed, errors.Join(err, failed)
}

// concerns reports whether a datagram is about a bond, a link of one, or what
// was one of these at the last reading. What cannot be understood might be.
func (w *Watcher) concerns(b []byte) bool {
	found := false
	err := eachMessage(b, func(m message) error {
		if m.typ != unix.RTM_NEWLINK && m.typ != unix.RTM_DELLINK {
			return nil
		}
		l, err := decodeLink(m.body)
		if err != nil {
			return err
		}
		found = found || l.isBond() || l.isLink() || w.known[l.index]
		return nil
	})
	return found || err != nil
}
