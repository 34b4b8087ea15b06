package vip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// What golang.org/x/sys/unix has no names for.
const (
	ifaProto             = 11 // IFA_PROTO, linux/if_addr.h, Linux 5.18
	iflaPermAddress      = 54 // IFLA_PERM_ADDRESS, linux/if_link.h, Linux 5.6
	iflaInetConf         = 1  // IFLA_INET_CONF, linux/if_link.h
	iflaInet6Conf        = 2  // IFLA_INET6_CONF
	devconfAnnounce      = 18 // IPV4_DEVCONF_ARP_ANNOUNCE, linux/ip.h, counted from 1
	devconfIgnore        = 19 // IPV4_DEVCONF_ARP_IGNORE
	devconfPromote       = 20 // IPV4_DEVCONF_PROMOTE_SECONDARIES
	devconf6Forwarding   = 0  // DEVCONF_FORWARDING, linux/ipv6.h, counted from 0
	skipStats            = 8  // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h
	attrTypeMask         = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	answerTimeout        = 5 * time.Second
	frameBuffer          = 4 << 20 // send buffer for announcements, bytes
	frameTimeout         = 50 * time.Millisecond
	requestBufferInitial = batchLen * 96
)

// A kernelSockets is the kernel of the network namespace it was opened in.
type kernelSockets struct {
	requests *nl.NetlinkSocket
	handle   *nl.SocketHandle // requests, with the sequence number its users share
	changes  *os.File
	frames   int // packet socket that receives nothing
	ears     ears
	buf      []byte
	answers  []byte // read into
}

func openKernel() (_ *kernelSockets, err error) {
	k := &kernelSockets{frames: -1, buf: make([]byte, 0, requestBufferInitial), answers: make([]byte, nl.RECEIVE_BUFFER_SIZE)}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	k.requests, err = nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return k, fmt.Errorf("open netlink socket: %w", err)
	}
	k.handle = &nl.SocketHandle{Socket: k.requests}
	if err = k.requests.SetReceiveTimeout(timeval(answerTimeout)); err != nil {
		return k, fmt.Errorf("set netlink timeout: %w", err)
	}
	port, err := k.requests.GetPid()
	if err != nil {
		return k, fmt.Errorf("read netlink port: %w", err)
	}
	if k.ears, err = openEars(); err != nil {
		return k, fmt.Errorf("open sockets for ARP and ICMPv6: %w", err)
	}
	if k.changes, err = openChanges(port); err != nil {
		return k, fmt.Errorf("subscribe to links and addresses: %w", err)
	}
	if k.frames, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return k, fmt.Errorf("open packet socket: %w", err)
	}
	if unix.SetsockoptInt(k.frames, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, frameBuffer) != nil {
		if err = unix.SetsockoptInt(k.frames, unix.SOL_SOCKET, unix.SO_SNDBUF, frameBuffer); err != nil {
			return k, fmt.Errorf("set packet send buffer: %w", err)
		}
	}
	if err = unix.SetsockoptTimeval(k.frames, unix.SOL_SOCKET, unix.SO_SNDTIMEO, timeval(frameTimeout)); err != nil {
		return k, fmt.Errorf("set packet send timeout: %w", err)
	}
	return k, nil
}

func timeval(d time.Duration) *unix.Timeval {
	tv := unix.NsecToTimeval(d.Nanoseconds())
	return &tv
}

func (k *kernelSockets) close() error {
	var errs []error
	if k.requests != nil {
		errs = append(errs, k.requests.Close())
	}
	if k.changes != nil {
		errs = append(errs, k.changes.Close())
	}
	errs = append(errs, k.ears.close())
	if k.frames >= 0 {
		errs = append(errs, unix.Close(k.frames))
		k.frames = -1
	}
	return errors.Join(errs...)
}

// request makes a request on the shared socket. Dumps that the kernel says
// were interrupted by a change are repeated.
func (k *kernelSockets) request(proto, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(proto, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: k.handle}
	req.RetryInterrupted = true
	return req
}

func (k *kernelSockets) list() (*view, error) {
	v := newView()
	links := k.request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	links.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	links.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
	msgs, err := links.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, m := range msgs {
		l, err := parseLink(m)
		if err != nil {
			return nil, fmt.Errorf("list interfaces: %w", err)
		}
		v.addLink(l)
	}
	addrs := k.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	addrs.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	msgs, err = addrs.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, m := range msgs {
		e, err := parseAddress(m)
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		if e != nil {
			v.addEntry(e)
		}
	}
	return v, nil
}

// apply sends the batch in one system call. Only the last request asks for an
// acknowledgement; errors come without asking, and requests are handled in
// order, so its answer says that all the others are through.
func (k *kernelSockets) apply(ops []op) []error {
	errs := make([]error, len(ops))
	all := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	k.buf = k.buf[:0]
	first := atomic.AddUint32(&k.handle.Seq, uint32(len(ops))) - uint32(len(ops)) + 1
	for i, o := range ops {
		flags := uint16(unix.NLM_F_REQUEST)
		if i == len(ops)-1 {
			flags |= unix.NLM_F_ACK
		}
		k.buf = appendOp(k.buf, o, flags, first+uint32(i))
	}
	if err := unix.Sendto(k.requests.GetFd(), k.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return all(err)
	}
	for {
		msgs, err := k.answer()
		if err != nil {
			if err == unix.EINTR {
				continue
			}
			return all(err) // some may be done: the view is read again
		}
		for _, m := range msgs {
			i := m.Header.Seq - first
			if m.Header.Type != unix.NLMSG_ERROR || i >= uint32(len(ops)) || len(m.Data) < 4 {
				continue // left over from a request that timed out
			}
			if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				errs[i] = syscall.Errno(errno)
			}
			if i == uint32(len(ops)-1) {
				return errs
			}
		}
	}
}

// answer reads what the kernel answered to apply. The answer is there when the
// request has been sent, so nl.NetlinkSocket.Receive, which takes 64 KiB for
// every call, is only for when it is not.
func (k *kernelSockets) answer() ([]syscall.NetlinkMessage, error) {
	n, from, err := unix.Recvfrom(k.requests.GetFd(), k.answers, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		msgs, _, err := k.requests.Receive()
		return msgs, err
	}
	if err != nil {
		return nil, err
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != nl.PidKernel {
		return nil, nil // any process may send to a netlink port
	}
	return syscall.ParseNetlinkMessage(k.answers[:n])
}

// networkOrder returns an EtherType as struct sockaddr_ll wants it.
func networkOrder(etherType uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], etherType)
	return binary.NativeEndian.Uint16(b[:])
}

func (k *kernelSockets) setPromote(index int, on bool) error {
	value := uint32(0)
	if on {
		value = 1
	}
	return k.setInet(index, inetSwitch{devconfPromote, value})
}

func (k *kernelSockets) setARP(index int, to arpSwitches) error {
	return k.setInet(index, inetSwitch{devconfIgnore, to.ignore}, inetSwitch{devconfAnnounce, to.announce})
}

// An inetSwitch is one of /proc/sys/net/ipv4/conf/IF.
type inetSwitch struct {
	number int
	value  uint32
}

func (k *kernelSockets) setInet(index int, switches ...inetSwitch) error {
	req := k.request(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	inet := spec.AddRtAttr(unix.AF_INET|unix.NLA_F_NESTED, nil)
	conf := inet.AddRtAttr(iflaInetConf|unix.NLA_F_NESTED, nil)
	for _, s := range switches {
		conf.AddRtAttr(s.number, nl.Uint32Attr(s.value))
	}
	req.AddData(spec)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func (k *kernelSockets) announce(l *link, ip netip.Addr) error {
	frame, err := announcement(l, ip)
	return k.send(l, frame, err)
}

func (k *kernelSockets) probe(l *link, ip netip.Addr) error {
	frame, err := probe(l, ip)
	return k.send(l, frame, err)
}

func (k *kernelSockets) send(l *link, frame []byte, err error) error {
	if err != nil {
		return err
	}
	to := unix.SockaddrLinklayer{Ifindex: l.index, Halen: 6}
	copy(to.Addr[:], frame[:6])
	// The EtherType in network byte order, as struct sockaddr_ll wants it.
	to.Protocol = binary.NativeEndian.Uint16(frame[12:14])
	return unix.Sendto(k.frames, frame, 0, &to)
}
