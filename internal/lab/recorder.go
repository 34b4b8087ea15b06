package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Recorder is a sniffer for measurements: it keeps up with tens of thousands of
// advertisements a second, costs next to nothing while it runs, and keeps of
// each frame only what is measured. The kernel stamps the frames where they
// enter the switch and puts them into a ring that is shared with the program
// (packet_mmap, TPACKET_V3), so nobody is woken for a frame.
type Recorder struct {
	lab   *Lab
	rings []*ring
	stop  chan struct{}
	done  sync.WaitGroup

	mu     sync.Mutex
	seen   []Seen
	hosts  []string
	byMAC  map[[6]byte]uint16
	failed error
}

// Seen is one VRRPv2 or v3 advertisement over IPv4, or one gratuitous ARP.
type Seen struct {
	At       int64 // the kernel's time stamp, nanoseconds of CLOCK_REALTIME
	Kind     SeenKind
	Switch   uint8  // which of the recorded switches
	VRID     uint8  // of an advertisement
	Priority uint8  // of an advertisement
	Host     uint16 // see Recorder.Host
	Address  [4]byte
}

// SeenKind says what a recorded frame is.
type SeenKind uint8

const (
	_             SeenKind = iota
	SeenAdvert             // Address is its source
	SeenAnnounced          // Address is the one announced
)

// The ring: large enough for the reader to be away for a while, and handed over
// at least every ringPatience. The memory is the kernel's and cannot be swapped.
const (
	ringBlock    = 1 << 18
	ringMemory   = 16 << 20
	ringPatience = 20 * time.Millisecond
)

// Record starts to record what crosses these switches.
func Record(switches ...*Switch) *Recorder {
	switches[0].lab.t.Helper()
	return record(ringMemory, switches)
}

// record shares that much memory among the switches.
func record(memory int, switches []*Switch) *Recorder {
	l := switches[0].lab
	l.t.Helper()
	r := &Recorder{lab: l, stop: make(chan struct{}), byMAC: map[[6]byte]uint16{}}
	for _, s := range switches {
		index := s.box.Link(bridgeName).Attrs().Index
		var g *ring
		err := s.box.Do(func() (err error) { g, err = newRing(index, memory/len(switches)); return err })
		if err != nil {
			l.t.Fatalf("record %s: %v", s.Name, err)
		}
		r.rings = append(r.rings, g)
	}
	for i, g := range r.rings {
		r.done.Add(1)
		go r.read(uint8(i), g)
	}
	l.t.Cleanup(r.close)
	return r
}

// Host is the number that a host has in what is recorded.
func (r *Recorder) Host(h *Host) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number(h.Name)
}

// number returns the number of a name. r.mu is held.
func (r *Recorder) number(name string) uint16 {
	i := slices.Index(r.hosts, name)
	if i < 0 {
		i = len(r.hosts)
		r.hosts = append(r.hosts, name)
	}
	return uint16(i)
}

// Mark is a place in the recording; what is recorded later comes after it.
func (r *Recorder) Mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// Since is what was recorded since a mark, in the order of each switch. It ends
// the test if the recording is not complete.
func (r *Recorder) Since(mark int) []Seen {
	r.lab.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		r.lab.t.Fatalf("recorder: %v", r.failed)
	}
	return slices.Clone(r.seen[mark:])
}

// Settle waits until everything that crossed the switch before is recorded.
func (r *Recorder) Settle() { time.Sleep(3 * ringPatience) }

// Wait waits until what is recorded since the mark, given to done in growing
// parts, each frame once, is enough. It reports whether that happened in time.
func (r *Recorder) Wait(mark int, timeout time.Duration, done func([]Seen) bool) bool {
	r.lab.t.Helper()
	return poll(timeout, func() bool {
		part := r.Since(mark)
		mark += len(part)
		return done(part)
	})
}

// Forget drops what was recorded; marks start again at 0.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = r.seen[:0]
}

// close ends the recording.
func (r *Recorder) close() {
	r.mu.Lock()
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.mu.Unlock()
	r.done.Wait()
	for _, g := range r.rings {
		g.close()
	}
}

// read takes over one block after the other.
func (r *Recorder) read(sw uint8, g *ring) {
	defer r.done.Done()
	for {
		select {
		case <-r.stop:
			return
		default:
		}
		err := g.next(func(frames []frame) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, f := range frames {
				if s, mac, ok := parseSeen(f); ok {
					s.Switch, s.Host = sw, r.owner(mac)
					r.seen = append(r.seen, s)
				}
			}
		})
		if err != nil {
			r.mu.Lock()
			r.failed = err
			r.mu.Unlock()
			return
		}
	}
}

// owner is the number of the host a frame came from. r.mu is held.
func (r *Recorder) owner(mac [6]byte) uint16 {
	n, ok := r.byMAC[mac]
	if !ok {
		n = r.number(r.lab.owner(net.HardwareAddr(mac[:])))
		r.byMAC[mac] = n
	}
	return n
}

// parseSeen reads what is kept of a frame.
func parseSeen(f frame) (s Seen, mac [6]byte, ok bool) {
	b := f.data
	if len(b) < 14 {
		return s, mac, false
	}
	s.At, mac = f.at, [6]byte(b[6:12])
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_IP:
		b = b[14:]
		if len(b) < 20 || b[9] != ipprotoVRRP {
			return s, mac, false
		}
		head := int(b[0]&0xf) * 4
		if head < 20 || len(b) < head+8 || b[head]&0xf != 1 {
			return s, mac, false
		}
		s.Kind, s.Address, s.VRID, s.Priority = SeenAdvert, [4]byte(b[12:16]), b[head+1], b[head+2]
		return s, mac, true
	case unix.ETH_P_ARP:
		if len(b) < 42 || [4]byte(b[28:32]) != [4]byte(b[38:42]) || [4]byte(b[28:32]) == [4]byte{} {
			return s, mac, false
		}
		s.Kind, s.Address, mac = SeenAnnounced, [4]byte(b[28:32]), [6]byte(b[22:28])
		return s, mac, true
	}
	return s, mac, false
}

// A ring is the memory shared with the kernel (packet_mmap.rst).
type ring struct {
	fd     int
	memory []byte
	block  int // to be handed over next
	frames []frame
}

// A frame is valid until its block is given back.
type frame struct {
	at   int64
	data []byte
}

// The layout of a block and of a frame in it: struct tpacket_hdr_v1 behind two
// words, and struct tpacket3_hdr, of linux/if_packet.h.
const (
	blockStatus  = 8
	blockPackets = 12
	blockFirst   = 16
	frameNext    = 0
	frameSec     = 4
	frameNsec    = 8
	frameLength  = 12
	frameMAC     = 24
)

// newRing opens a ring on an interface of the current namespace.
func newRing(ifindex, memory int) (*ring, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	g := &ring{fd: fd}
	if err := g.prepare(ifindex, memory); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// prepare sets up the ring before the first frame can come: the socket has no
// protocol, and so hears nothing, until it is bound.
func (g *ring) prepare(ifindex, memory int) error {
	filter, err := rawFilter(interesting)
	if err != nil {
		return err
	}
	const frameSize = 2048
	blocks := max(memory/ringBlock, 4)
	request := &unix.TpacketReq3{Block_size: ringBlock, Block_nr: uint32(blocks), Frame_size: frameSize,
		Frame_nr: uint32(blocks * ringBlock / frameSize), Retire_blk_tov: uint32(ringPatience.Milliseconds())}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		// Has the kernel stamp every packet where it enters, for this socket
		// and for the daemons alike.
		{"SO_TIMESTAMPNS", func() error { return unix.SetsockoptInt(g.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) }},
		{"SO_ATTACH_FILTER", func() error {
			return unix.SetsockoptSockFprog(g.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
				&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
		}},
		{"PACKET_VERSION", func() error {
			return unix.SetsockoptInt(g.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3)
		}},
		{"PACKET_RX_RING", func() error {
			return unix.SetsockoptTpacketReq3(g.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, request)
		}},
		{"mmap", func() (err error) {
			g.memory, err = unix.Mmap(g.fd, 0, blocks*ringBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			return err
		}},
		{"bind", func() error {
			return unix.Bind(g.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: ifindex})
		}},
		{"PACKET_ADD_MEMBERSHIP", func() error {
			return unix.SetsockoptPacketMreq(g.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
				&unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC})
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("ring: %w", os.NewSyscallError(step.name, err))
		}
	}
	return nil
}

// next waits a while for the next block, hands its frames to use, and gives the
// block back. Frames that found the ring full are an error.
func (g *ring) next(use func([]frame)) error {
	b := g.memory[g.block*ringBlock:][:ringBlock]
	status := (*uint32)(unsafe.Pointer(&b[blockStatus]))
	if atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		return g.wait()
	}
	if atomic.LoadUint32(status)&unix.TP_STATUS_LOSING != 0 {
		if stats, err := unix.GetsockoptTpacketStatsV3(g.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err != nil || stats.Drops > 0 {
			return fmt.Errorf("frames were lost: the ring was full (%+v, %v)", stats, err)
		}
	}
	g.frames = g.frames[:0]
	at := binary.NativeEndian.Uint32(b[blockFirst:])
	for range binary.NativeEndian.Uint32(b[blockPackets:]) {
		h := b[at:]
		start := uint32(binary.NativeEndian.Uint16(h[frameMAC:]))
		g.frames = append(g.frames, frame{
			at:   int64(binary.NativeEndian.Uint32(h[frameSec:]))*int64(time.Second) + int64(binary.NativeEndian.Uint32(h[frameNsec:])),
			data: h[start : start+binary.NativeEndian.Uint32(h[frameLength:])],
		})
		at += binary.NativeEndian.Uint32(h[frameNext:])
	}
	use(g.frames)
	atomic.StoreUint32(status, unix.TP_STATUS_KERNEL)
	g.block = (g.block + 1) % (len(g.memory) / ringBlock)
	return nil
}

// wait sleeps until a block is ready, at most for a tenth of a second.
func (g *ring) wait() error {
	_, err := unix.Poll([]unix.PollFd{{Fd: int32(g.fd), Events: unix.POLLIN}}, 100)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("poll", err)
	}
	return nil
}

func (g *ring) close() {
	// Neither can fail in a way that matters for memory that is let go.
	if g.memory != nil {
		_ = unix.Munmap(g.memory)
	}
	_ = unix.Close(g.fd)
}

// rawFilter is a filter as the kernel takes it.
func rawFilter(program []bpf.Instruction) ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return filter, nil
}
