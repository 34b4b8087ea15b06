package control

import (
	"context"
	"fmt"
	"net"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPeerGroups is NGROUPS_MAX of linux/limits.h: nobody is in more groups.
const maxPeerGroups = 65536

// A peer is who opened a connection, as the kernel recorded it at connect(2).
type peer struct {
	uid    uint32
	gid    uint32
	groups []uint32 // supplementary
}

// member reports whether the peer is in the group, primary or supplementary.
func (p peer) member(gid uint32) bool {
	return p.gid == gid || slices.Contains(p.groups, gid)
}

// peerOf asks the kernel who is at the other end of a unix connection.
func peerOf(c *net.UnixConn) (peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, fmt.Errorf("credentials of the peer: %w", err)
	}
	var (
		p    peer
		serr error
	)
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, serr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); serr != nil {
			return
		}
		p.uid, p.gid = cred.Uid, cred.Gid
		p.groups, serr = peerGroups(fd)
	})
	if err == nil {
		err = serr
	}
	if err != nil {
		return peer{}, fmt.Errorf("credentials of the peer: %w", err)
	}
	return p, nil
}

// peerGroups reads SO_PEERGROUPS (Linux 4.13), an array of gid_t. The kernel
// answers ERANGE and the size it needs while the buffer is too small.
// x/sys has no call for it: its string form stops at the first zero byte.
func peerGroups(fd uintptr) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		need := int(size / 4)
		switch {
		case errno == 0:
			return groups[:min(need, len(groups))], nil
		case errno != unix.ERANGE || need <= len(groups) || need > maxPeerGroups:
			return nil, errno
		}
		groups = make([]uint32, need)
	}
}

// A gate decides who may change state.
type gate struct {
	own       uint32 // the daemon's uid
	group     string // as configured, for the refusal
	gid       uint32
	groupless bool // there is no such group
}

// refusal is why the peer may not change state, "" if it may.
func (g gate) refusal(p peer) string {
	switch {
	case p.uid == 0, p.uid == g.own, !g.groupless && p.member(g.gid):
		return ""
	case g.group == "":
		return fmt.Sprintf("uid %d may not change state: only root may, as [control] group is empty", p.uid)
	case g.groupless:
		return fmt.Sprintf("uid %d may not change state: only root may, as there was no group %q when the daemon started", p.uid, g.group)
	}
	return fmt.Sprintf("uid %d may not change state: that takes root or a member of group %q (log in again after joining it)", p.uid, g.group)
}

// accessKey is the context key of a connection's *access.
type accessKey struct{}

// access is what the handler knows of the one who asks.
type access struct {
	refusal string // why it may not change state; "": it may
}

// connContext is the ConnContext of an http.Server on a [Listen] listener.
func connContext(ctx context.Context, c net.Conn) context.Context {
	if pc, ok := c.(*peerConn); ok {
		return context.WithValue(ctx, accessKey{}, &access{refusal: pc.refusal})
	}
	return ctx
}
