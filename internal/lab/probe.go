package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// probeTimeout is how late an answer may be and still count. Kernels answer
// what the probes ask by themselves, within microseconds.
const probeTimeout = 100 * time.Millisecond

// probeMax bounds what a forgotten probe keeps: half an hour at 1,000 a second.
const probeMax = 1_800_000

// Probe is a client that keeps asking for one address.
type Probe struct {
	lab  *Lab
	conn *socket
	ask  func(seq uint32) error
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	samples []sample
	err     error // why it ended early
}

// Echo sends rate ICMP echo requests a second (at most 1,000) from the host to
// the address: what is lost of them is what clients of the address lose.
func (h *Host) Echo(addr string, rate int) *Probe {
	t := h.lab.t
	t.Helper()
	to, err := netip.ParseAddr(addr)
	if err != nil {
		t.Fatalf("probe: %v", err)
	}
	p := newProbe(h.lab)
	id := uint16(os.Getpid()) ^ uint16(time.Now().UnixNano())
	e := &echo{to: to, id: id, zone: uint32(h.Link("eth0").Attrs().Index)}
	if err := h.Do(func() error { p.conn, err = e.open(); return err }); err != nil {
		t.Fatalf("probe %s from %s: %v", addr, h.Name, err)
	}
	p.ask = func(seq uint32) error { return p.conn.send(e.request(seq), e.sockaddr()) }
	p.start(rate, func(b []byte, at time.Time) {
		if seq, ok := e.reply(b); ok {
			p.answer(int(seq), at, "")
		}
	})
	return p
}

// newProbe returns a probe that ends with the lab.
func newProbe(l *Lab) *Probe {
	return &Probe{lab: l, stop: make(chan struct{})}
}

// start begins to ask and to listen.
func (p *Probe) start(rate int, received func(b []byte, at time.Time)) {
	interval := time.Second / time.Duration(min(max(rate, 1), 1000))
	p.wg.Add(2)
	go p.send(interval)
	go p.receive(received)
	p.lab.t.Cleanup(p.end)
}

// send asks at fixed moments; the runtime's timers are too coarse for a
// thousand a second.
func (p *Probe) send(interval time.Duration) {
	defer p.wg.Done()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	next := monotonic()
	for seq := 0; seq < probeMax; seq++ {
		select {
		case <-p.stop:
			return
		default:
		}
		p.mu.Lock()
		p.samples = append(p.samples, sample{sent: time.Now()})
		p.mu.Unlock()
		// An address that cannot be reached is what a probe is there to see:
		// the request counts as sent, and as lost.
		_ = p.ask(uint32(seq))
		next += interval
		if late := monotonic() - next; late > 10*interval {
			next += late // do not make up for a pause with a flood
		}
		ts := unix.NsecToTimespec(int64(next))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
		}
	}
}

// receive hands on what comes in until the socket is closed.
func (p *Probe) receive(received func(b []byte, at time.Time)) {
	defer p.wg.Done()
	buf := make([]byte, 2048)
	for {
		n, at, err := p.conn.recv(buf)
		switch {
		case err == nil:
			received(buf[:n], at)
		case errors.Is(err, unix.ENETDOWN):
		case errors.Is(err, os.ErrClosed):
			return
		default:
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
	}
}

// answer records the answer to a request; seq -1 is the latest one before it.
func (p *Probe) answer(seq int, at time.Time, by string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq < 0 { // the latest when the kernel got it; the reader may be behind
		seq, _ = slices.BinarySearchFunc(p.samples, at, func(s sample, at time.Time) int { return s.sent.Round(0).Compare(at) })
		seq--
	}
	if seq < 0 || seq >= len(p.samples) {
		return
	}
	s := &p.samples[seq]
	// The kernel's stamp has no monotonic part; both are compared as wall time.
	if at.Sub(s.sent.Round(0)) > probeTimeout {
		return
	}
	s.answered = true
	if by != "" && !slices.Contains(s.by, by) {
		s.by = append(s.by, by)
	}
}

// Report is what was seen so far. Requests that may still be answered are left
// out.
func (p *Probe) Report() Report {
	p.lab.t.Helper()
	return p.Since(time.Time{})
}

// Since is [Probe.Report] of the requests sent from a moment on.
func (p *Probe) Since(from time.Time) Report {
	p.lab.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		p.lab.t.Fatalf("probe: receive: %v", p.err)
	}
	n := len(p.samples)
	for n > 0 && !p.samples[n-1].answered && time.Since(p.samples[n-1].sent) < probeTimeout {
		n--
	}
	first, _ := slices.BinarySearchFunc(p.samples[:n], from, func(s sample, at time.Time) int { return s.sent.Compare(at) })
	return summarize(p.samples[first:n])
}

// Stop ends the probe, once the fate of its last request is known, and returns
// what it saw.
func (p *Probe) Stop() Report {
	p.lab.t.Helper()
	p.halt()
	time.Sleep(probeTimeout) // the answers to the last requests
	p.end()
	return p.Report()
}

// WaitAnswered waits until a request sent from now on is answered.
func (p *Probe) WaitAnswered(timeout time.Duration) {
	p.lab.t.Helper()
	p.mu.Lock()
	from := len(p.samples)
	p.mu.Unlock()
	Until(p.lab.t, timeout, "an answer to a probe", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.ContainsFunc(p.samples[from:], func(s sample) bool { return s.answered })
	})
}

// WaitOwner waits until requests sent from now on are answered by that host and
// nobody else.
func (p *Probe) WaitOwner(h *Host, timeout time.Duration) {
	p.lab.t.Helper()
	p.mu.Lock()
	from := len(p.samples)
	p.mu.Unlock()
	Until(p.lab.t, timeout, h.Name+" to answer", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		n := len(p.samples)
		return n > from && len(p.samples[n-1].by) == 1 && p.samples[n-1].by[0] == h.Name
	})
}

// halt stops asking.
func (p *Probe) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
}

// end stops asking and listening.
func (p *Probe) end() {
	p.halt()
	p.conn.close()
	p.wg.Wait()
}

// monotonic is CLOCK_MONOTONIC.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // every Linux has this clock
	}
	return time.Duration(ts.Nano())
}

// echo is the wire side of an ICMP echo probe.
type echo struct {
	to   netip.Addr
	id   uint16
	zone uint32 // interface index, for link-local addresses
}

func (e *echo) open() (*socket, error) {
	family, proto := unix.AF_INET, unix.IPPROTO_ICMP
	if e.to.Is6() {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, err
	}
	return newSocket(fd, "ICMP socket")
}

func (e *echo) sockaddr() unix.Sockaddr {
	if e.to.Is6() {
		sa := &unix.SockaddrInet6{Addr: e.to.As16()}
		if e.to.IsLinkLocalUnicast() {
			sa.ZoneId = e.zone
		}
		return sa
	}
	return &unix.SockaddrInet4{Addr: e.to.As4()}
}

// request is an echo request that carries its number in the data. For ICMPv6
// the kernel fills in the checksum (RFC 3542 §3.1).
func (e *echo) request(seq uint32) []byte {
	b := make([]byte, 12)
	b[0] = 8
	if e.to.Is6() {
		b[0] = 128
	}
	binary.BigEndian.PutUint16(b[4:], e.id)
	binary.BigEndian.PutUint16(b[6:], uint16(seq))
	binary.BigEndian.PutUint32(b[8:], seq)
	if e.to.Is4() {
		binary.BigEndian.PutUint16(b[2:], ^uint16(onesSum(0, b)))
	}
	return b
}

// reply returns the number of the request a packet answers, if it is an answer
// to this probe. IPv4 packets come with their header, IPv6 without.
func (e *echo) reply(b []byte) (seq uint32, ok bool) {
	kind := byte(129)
	if e.to.Is4() {
		kind = 0
		if len(b) < 20 || len(b) < int(b[0]&0xf)*4 {
			return 0, false
		}
		b = b[int(b[0]&0xf)*4:]
	}
	if len(b) < 12 || b[0] != kind || binary.BigEndian.Uint16(b[4:]) != e.id {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[8:]), true
}
