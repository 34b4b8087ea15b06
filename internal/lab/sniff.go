package lab

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// sniffMax bounds what a sniffer keeps; what comes later is counted alone.
const sniffMax = 1 << 20

// Sniffer records what crosses a switch of VRRP, ARP and neighbour discovery.
type Sniffer struct {
	lab  *Lab
	conn *socket
	pcap *pcapWriter
	done chan struct{}

	mu      sync.Mutex
	frames  []Frame
	dropped int
	err     error
}

// Frame is one Ethernet frame and when the kernel saw it.
type Frame struct {
	At   time.Time
	Data []byte
}

// Sniff starts to record everything of interest that crosses the switch, into
// memory and into a capture file.
func (s *Switch) Sniff() *Sniffer {
	s.lab.t.Helper()
	return s.box.sniff(bridgeName)
}

// Sniff records what goes in and out of one interface of the host.
func (h *Host) Sniff(ifname string) *Sniffer {
	h.lab.t.Helper()
	return h.sniff(ifname)
}

func (h *Host) sniff(ifname string) *Sniffer {
	t := h.lab.t
	t.Helper()
	pcap, err := newPcap(h.lab.path(h.Name+"-"+ifname, "pcap"))
	if err != nil {
		t.Fatalf("sniff on %s: %v", h.Name, err)
	}
	sn := &Sniffer{lab: h.lab, pcap: pcap, done: make(chan struct{})}
	index := h.Link(ifname).Attrs().Index
	err = h.Do(func() error {
		if sn.conn, err = packetSocket(unix.ETH_P_ALL, index); err != nil {
			return err
		}
		return sn.conn.promiscuous(index)
	})
	if err != nil {
		t.Fatalf("sniff on %s: %v", h.Name, err)
	}
	go sn.run()
	t.Cleanup(func() { sn.Close() })
	return sn
}

// promiscuous makes the interface hand over what is not meant for it, and the
// socket drop what is none of the sniffer's business.
func (s *socket) promiscuous(ifindex int) error {
	filter, err := rawFilter(interesting)
	if err != nil {
		return err
	}
	ctlErr := s.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
		if err == nil {
			err = unix.SetsockoptPacketMreq(int(fd), unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
				&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC})
		}
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// interesting passes ARP, VRRP over IPv4 and IPv6, AH (VRRPv2's other
// authentication), and neighbour discovery (ICMPv6 types 133 to 137).
var interesting = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Val: unix.ETH_P_ARP, SkipTrue: 11},
	bpf.JumpIf{Val: unix.ETH_P_IPV6, SkipTrue: 4},
	bpf.JumpIf{Val: unix.ETH_P_IP, SkipFalse: 8},
	bpf.LoadAbsolute{Off: 23, Size: 1}, // IPv4 protocol
	bpf.JumpIf{Val: unix.IPPROTO_AH, SkipTrue: 7},
	bpf.JumpIf{Val: ipprotoVRRP, SkipTrue: 6, SkipFalse: 5},
	bpf.LoadAbsolute{Off: 20, Size: 1}, // IPv6 next header
	bpf.JumpIf{Val: ipprotoVRRP, SkipTrue: 4},
	bpf.JumpIf{Val: unix.IPPROTO_ICMPV6, SkipFalse: 2},
	bpf.LoadAbsolute{Off: 54, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: 133, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: 1 << 16},
}

func (s *Sniffer) run() {
	defer close(s.done)
	buf := make([]byte, 1<<16)
	for {
		n, at, err := s.conn.recv(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, unix.ENETDOWN):
			continue
		case err == nil:
			err = s.keep(Frame{At: at, Data: slices.Clone(buf[:n])})
		}
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			return
		}
	}
}

func (s *Sniffer) keep(f Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == sniffMax {
		s.dropped++
		return nil
	}
	s.frames = append(s.frames, f)
	return s.pcap.write(f)
}

// Close ends the recording and returns the path of the capture file.
func (s *Sniffer) Close() string {
	s.lab.t.Helper()
	s.conn.close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.pcap.close(); err != nil && s.err == nil {
		s.err = err
	}
	s.check()
	return s.pcap.path
}

// check ends the test if the recording is not complete. s.mu is held.
func (s *Sniffer) check() {
	s.lab.t.Helper()
	if s.err != nil {
		s.lab.t.Fatalf("sniffer: %v", s.err)
	}
	if s.dropped > 0 {
		s.lab.t.Fatalf("sniffer: %d frames too many", s.dropped)
	}
}

// Frames are the frames recorded so far.
func (s *Sniffer) Frames() []Frame {
	s.lab.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check()
	return slices.Clone(s.frames)
}

// Adverts are the VRRP advertisements recorded so far, by address of sender.
func (s *Sniffer) Adverts() []Advert {
	s.lab.t.Helper()
	var adverts []Advert
	for _, f := range s.Frames() {
		if a, ok := parseAdvert(f); ok {
			adverts = append(adverts, a)
		}
	}
	return adverts
}

// WaitAdvert waits for an advertisement that matches and returns it; those
// recorded before count as well.
func (s *Sniffer) WaitAdvert(timeout time.Duration, what string, match func(Advert) bool) Advert {
	s.lab.t.Helper()
	var found Advert
	Until(s.lab.t, timeout, what, func() bool {
		adverts := s.Adverts()
		i := slices.IndexFunc(adverts, match)
		if i >= 0 {
			found = adverts[i]
		}
		return i >= 0
	})
	return found
}

// Announcement is a gratuitous ARP or an unsolicited neighbour advertisement.
type Announcement struct {
	At      time.Time
	By      string // the host, or the hardware address if it is no host's own
	MAC     net.HardwareAddr
	Address netip.Addr
	Reply   bool // ARP: a reply rather than a request
}

// Announcements are the claims to addresses recorded so far.
func (s *Sniffer) Announcements() []Announcement {
	s.lab.t.Helper()
	var all []Announcement
	for _, f := range s.Frames() {
		if a, ok := parseAnnouncement(f); ok {
			a.By = s.lab.owner(a.MAC)
			all = append(all, a)
		}
	}
	return all
}

func parseAnnouncement(f Frame) (Announcement, bool) {
	b := f.Data
	a := Announcement{At: f.At}
	switch {
	case len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == unix.ETH_P_ARP:
		sender, target := netip.AddrFrom4([4]byte(b[28:32])), netip.AddrFrom4([4]byte(b[38:42]))
		a.MAC, a.Address, a.Reply = b[22:28], sender, b[21] == 2
		return a, sender == target && !sender.IsUnspecified()
	case len(b) >= 78 && binary.BigEndian.Uint16(b[12:]) == unix.ETH_P_IPV6 &&
		b[20] == unix.IPPROTO_ICMPV6 && b[54] == 136:
		const solicited = 0x40
		a.Address = netip.AddrFrom16([16]byte(b[62:78]))
		a.MAC, _ = neighbourAnswer(b, a.Address)
		return a, b[58]&solicited == 0
	}
	return a, false
}
