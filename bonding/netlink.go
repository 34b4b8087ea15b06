package bonding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Handle is a netlink conversation in the network namespace of the thread
// that opened it. It may be used by several goroutines; they take turns.
// A request is a few system calls without waiting for anything but the
// kernel's own lock on its interfaces.
type Handle struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// errInterrupted: interfaces came or went during a dump; it must be repeated.
var errInterrupted = errors.New("dump interrupted by a change")

// dumpTries bounds the repetitions. Each is lost only if an interface comes or
// goes within the same fraction of a millisecond.
const dumpTries = 10

// Open starts a conversation in the namespace of the calling thread.
func Open() (*Handle, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	// The kernel's own words for a refusal; kernels without them still refuse.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	// Replies are there when the request returns; this bounds a surprise.
	tv := unix.Timeval{Sec: 2}
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &Handle{fd: fd, buf: make([]byte, 1<<16)}, nil
}

// Close ends the conversation.
func (h *Handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return os.ErrClosed
	}
	err := unix.Close(h.fd)
	h.fd = -1
	return err
}

// linkRequest is the body of RTM_GETLINK, RTM_NEWLINK and RTM_DELLINK: struct
// ifinfomsg and attributes.
func linkRequest(index int, flags, change uint32, a attrs) []byte {
	b := make([]byte, unix.SizeofIfInfomsg, unix.SizeofIfInfomsg+len(a))
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	return append(b, a...)
}

// change sends a request that is only acknowledged.
func (h *Handle) change(typ, flags uint16, body []byte) error {
	return h.talk(typ, flags|unix.NLM_F_ACK, body, nil)
}

// dump collects the answers of a dump, again if the kernel says it may be
// inconsistent. The bodies are copies.
func (h *Handle) dump(typ uint16, body []byte) ([][]byte, error) {
	var err error
	for range dumpTries {
		var all [][]byte
		err = h.talk(typ, unix.NLM_F_DUMP, body, func(b []byte) {
			all = append(all, append([]byte(nil), b...))
		})
		if err == nil {
			return all, nil
		}
		if !errors.Is(err, errInterrupted) && !errors.Is(err, unix.ENOBUFS) {
			return nil, err
		}
	}
	return nil, err
}

// get asks for one object.
func (h *Handle) get(typ uint16, body []byte) ([]byte, error) {
	var one []byte
	err := h.talk(typ, unix.NLM_F_ACK, body, func(b []byte) { one = append([]byte(nil), b...) })
	if err == nil && one == nil {
		err = errors.New("netlink: empty answer")
	}
	return one, err
}

// talk sends one request and reads its answers until the acknowledgement or
// the end of the dump.
func (h *Handle) talk(typ, flags uint16, body []byte, each func([]byte)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return os.ErrClosed
	}
	h.seq++
	msg := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(msg, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(msg[4:], typ)
	binary.NativeEndian.PutUint16(msg[6:], flags|unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(msg[8:], h.seq)
	msg = append(msg, body...)
	if err := retry(func() error {
		return unix.Sendto(h.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	interrupted := false
	for {
		var n int
		if err := retry(func() (err error) {
			n, _, err = unix.Recvfrom(h.fd, h.buf, 0)
			return err
		}); err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		done, err := h.answers(h.buf[:n], each, &interrupted)
		if err != nil {
			return err
		}
		if done && interrupted {
			return errInterrupted
		}
		if done {
			return nil
		}
	}
}

// answers goes through one datagram. Answers to an earlier request, left over
// from one that was given up, are passed over.
func (h *Handle) answers(b []byte, each func([]byte), interrupted *bool) (done bool, err error) {
	err = eachMessage(b, func(m message) error {
		if m.seq != h.seq || done {
			return nil
		}
		if m.flags&unix.NLM_F_DUMP_INTR != 0 {
			*interrupted = true
		}
		switch m.typ {
		case unix.NLMSG_DONE:
			done = true
			// A dump that failed half way says so here.
			if e := int32(attrU32(m.body)); e < 0 {
				return unix.Errno(-e)
			}
			return nil
		case unix.NLMSG_ERROR:
			done = true
			return refusal(m)
		default:
			if each != nil {
				each(m.body)
			}
			return nil
		}
	})
	return done, err
}

// A Refusal is the kernel's no, with its own explanation where it gave one.
type Refusal struct {
	Errno unix.Errno
	Text  string
}

// Error is the explanation, or the name of the error.
func (r *Refusal) Error() string {
	if r.Text != "" {
		return fmt.Sprintf("%s (%s)", r.Text, r.Errno)
	}
	return r.Errno.Error()
}

// Unwrap makes the errno reachable by errors.Is.
func (r *Refusal) Unwrap() error { return r.Errno }

// refusal reads struct nlmsgerr: nil for an acknowledgement.
func refusal(m message) error {
	e := int32(attrU32(m.body))
	if e == 0 {
		return nil
	}
	r := &Refusal{Errno: unix.Errno(-e)}
	// After the error comes the header of the request, or all of it; the
	// attributes follow.
	skip := 4 + unix.SizeofNlMsghdr
	if m.flags&unix.NLM_F_CAPPED == 0 && len(m.body) >= 8 {
		skip = 4 + align4(int(attrU32(m.body[4:])))
	}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 && skip > 4 && skip <= len(m.body) {
		_ = eachAttr(m.body[skip:], func(typ uint16, v []byte) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				r.Text = attrString(v)
			}
		})
	}
	return r
}

// A message is one netlink message of a datagram.
type message struct {
	typ, flags uint16
	seq        uint32
	body       []byte
}

func eachMessage(b []byte, f func(message) error) error {
	for len(b) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return errors.New("malformed netlink message")
		}
		m := message{
			typ:   binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			body:  b[unix.SizeofNlMsghdr:n],
		}
		if err := f(m); err != nil {
			return err
		}
		b = b[min(align4(n), len(b)):]
	}
	return nil
}

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
