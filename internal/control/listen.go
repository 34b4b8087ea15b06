package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxSocketPath is what fits into sun_path of unix(7) with its final zero.
	maxSocketPath = 107
	// probeTimeout bounds the question whether anybody answers on a socket
	// found in place.
	probeTimeout = time.Second
	// overflowGID is what the kernel shows for a group that has no number in
	// the daemon's user namespace (user_namespaces(7)).
	overflowGID = 65534
)

// Limits on connections, so that a user who may only read cannot use up the
// daemon's descriptors, nor keep out those who steer it.
const (
	maxConnsOfUser = 16  // of one uid that may not change state
	maxConnsOthers = 64  // of all of those together
	maxConnsAll    = 128 // with those who may
)

// Listen opens the control socket at path with mode 0666 and makes its
// directory (0755) if there is none. A socket left behind by a daemon that
// died is replaced; one that is answered on, and anything that is no socket,
// is an error. The members of group (a name or a number; "" is nobody) may
// change state; that it does not exist is a warning, and then only root may.
//
// The connections it accepts know who is at their other end. Close removes
// the socket, unless another one has taken its place.
func Listen(path, group string) (net.Listener, []string, error) {
	if len(path) > maxSocketPath {
		return nil, nil, fmt.Errorf("control socket %s: longer than the %d bytes a unix socket's path may have", path, maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	if err := removeStale(path); err != nil {
		return nil, nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	ul, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	ul.SetUnlinkOnClose(false) // see (*listener).Close
	l := &listener{UnixListener: ul, path: path, held: map[uint32]int{}}
	var warnings []string
	l.gate, warnings = newGate(group)
	if l.file, err = os.Lstat(path); err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("control socket %s: %w", path, err), l.Close())
	}
	return l, warnings, nil
}

// removeStale makes room for the socket, unless somebody uses it.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return errors.New("something that is not a socket is in its place")
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		c.Close()
		return errors.New("another daemon answers on it")
	}
	// Only a refusal proves that nobody listens: a full backlog is EAGAIN.
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// newGate finds the group's number.
func newGate(group string) (gate, []string) {
	g := gate{own: uint32(os.Geteuid()), group: group, groupless: true}
	if group == "" {
		return g, nil
	}
	id := group
	if found, err := user.LookupGroup(group); err == nil {
		id = found.Gid
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return g, []string{fmt.Sprintf("control.group: there is no group %q; only root may change state", group)}
	}
	if n == overflowGID {
		return g, []string{fmt.Sprintf("control.group: %q is what every unmapped group looks like; only root may change state", group)}
	}
	g.gid, g.groupless = uint32(n), false
	return g, nil
}

// A listener accepts connections together with who opened them.
type listener struct {
	*net.UnixListener
	path string
	file fs.FileInfo // the socket as it was made
	gate gate

	mu     sync.Mutex
	held   map[uint32]int // connections by uid, of those who may not change state
	others int            // sum of held
	all    int
}

// Accept waits for the next connection within the limits. One whose peer
// cannot be told, or that is over a limit, is closed and does not end the
// listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		p, err := peerOf(c)
		if err != nil {
			c.Close() // the client sees the connection end; nothing was asked yet
			continue
		}
		pc := &peerConn{UnixConn: c, refusal: l.gate.refusal(p)}
		if !l.take(p.uid, pc.refusal == "") {
			turnAway(c)
			continue
		}
		pc.release = sync.OnceFunc(func() { l.release(p.uid, pc.refusal == "") })
		return pc, nil
	}
}

// Close stops listening and removes the socket if it is still this one.
func (l *listener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && l.file != nil && os.SameFile(now, l.file) {
		if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("control socket: %w", err), l.UnixListener.Close())
		}
	}
	return l.UnixListener.Close()
}

func (l *listener) take(uid uint32, trusted bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxConnsAll {
		return false
	}
	if !trusted {
		if l.held[uid] >= maxConnsOfUser || l.others >= maxConnsOthers {
			return false
		}
		l.held[uid]++
		l.others++
	}
	l.all++
	return true
}

func (l *listener) release(uid uint32, trusted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if trusted {
		return
	}
	l.others--
	if l.held[uid]--; l.held[uid] == 0 {
		delete(l.held, uid)
	}
}

// turnAway says why and hangs up. It never waits: what does not fit into a
// fresh socket's buffer at once is not worth a goroutine.
func turnAway(c *net.UnixConn) {
	const body = `{"error":"too many connections to the control socket"}` + "\n"
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	io.WriteString(c, fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
	c.Close()
}

// A peerConn is a connection that knows whether its peer may change state.
type peerConn struct {
	*net.UnixConn
	refusal string
	release func()
}

// Close ends the connection and gives its place back.
func (c *peerConn) Close() error {
	c.release()
	return c.UnixConn.Close()
}
