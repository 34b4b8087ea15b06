package transport

import (
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Most of what a backup hears says what was said before, and does nothing but put
// its timer off. To wake the Go scheduler for that costs several times what it
// takes to read it. So a wait that ends long before that timer reads such packets
// by itself and goes on; they are handed over before the wait would have ended
// anyway, or with the first packet that is not one of them. Nothing is decided
// here: whatever a packet is taken for, all that can happen to it is that it is
// looked at a little later.

// A Familiar is what a socket hears again and again, and whose reader need not
// hear it at once: for each value of a message's second octet (in VRRP the VRID)
// one message of one sender. It belongs to the goroutine of a Poller.
type Familiar struct {
	family Family
	keys   []uint64 // by that octet, as far as there are any; 0: none
}

// NewFamiliar returns that of a socket of a family; nothing is familiar yet.
func NewFamiliar(family Family) *Familiar { return &Familiar{family: family} }

// Add makes a message familiar, in place of the one with the same second octet.
// Two messages are held to be the same that have the same source, length, and
// first eight octets, which with VRRP contain a checksum of the rest.
func (f *Familiar) Add(src netip.Addr, message []byte) {
	k := f.keyOf(src, message)
	if k == 0 {
		return
	}
	if missing := int(message[1]) + 1 - len(f.keys); missing > 0 {
		f.keys = append(f.keys, make([]uint64, missing)...)
	}
	f.keys[message[1]] = k
}

// keyOf returns the key of a message; 0: it has none.
func (f *Familiar) keyOf(src netip.Addr, message []byte) uint64 {
	if len(message) < keyed || f.family == IPv4 && !src.Is4() {
		return 0
	}
	a := src.As16()
	source := a[:]
	if f.family == IPv4 {
		source = a[12:]
	}
	return key(unsafe.SliceData(source), len(source), unsafe.SliceData(message), len(message))
}

// Knows reports whether a message is familiar.
func (f *Familiar) Knows(src netip.Addr, message []byte) bool {
	k := f.keyOf(src, message)
	return k != 0 && f.known(message[1]) == k
}

// Remove undoes Add.
func (f *Familiar) Remove(second uint8) {
	if f.known(second) != 0 {
		f.keys[second] = 0
	}
}

// known returns the key of what is familiar; 0: nothing is.
//
//go:nosplit
//go:norace
func (f *Familiar) known(second uint8) uint64 {
	if int(second) >= len(f.keys) {
		return 0
	}
	return f.keys[second]
}

// keyed is how many octets of a message are compared.
const keyed = 8

// key is FNV-1a of what two messages that are the same have in common; never 0.
//
//go:nosplit
//go:norace
func key(source *byte, size int, message *byte, length int) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := (uint64(offset) ^ uint64(length)) * prime
	for i := range size {
		h = (h ^ uint64(*(*byte)(unsafe.Add(unsafe.Pointer(source), i)))) * prime
	}
	for i := range keyed {
		h = (h ^ uint64(*(*byte)(unsafe.Add(unsafe.Pointer(message), i)))) * prime
	}
	return h | 1
}

// knows tells whether the i-th packet of a batch is familiar.
//
//go:nosplit
//go:norace
func (f *Familiar) knows(b *Batch, i int) bool {
	h := &b.headers[i]
	length, data := int(h.length), unsafe.Pointer(&b.buffers[i])
	source, size := unsafe.Pointer(&b.sources[i].Addr), 16
	if f.family == IPv4 {
		if length < 20 {
			return false
		}
		header := int(*(*byte)(data)&0x0f) * 4
		source, size = unsafe.Add(data, 12), 4
		data, length = unsafe.Add(data, header), length-header
	}
	if length < keyed || h.Flags&unix.MSG_TRUNC != 0 {
		return false
	}
	known := f.known(*(*byte)(unsafe.Add(data, 1)))
	return known != 0 && known == key((*byte)(source), size, (*byte)(data), length)
}

// A listener is a socket of a Poller with what is familiar there.
type listener struct {
	fd       int
	token    int32
	familiar *Familiar // nil: this one is free
}

// ahead is what a wait has read into a Batch. It holds no pointer, see pollSending.
type ahead struct {
	some  bool // there is something
	fd    int  // of which socket
	token int32
	errno unix.Errno       // of the last attempt
	at    int64            // when that began, CLOCK_MONOTONIC ns
	read  [BatchSize]int64 // when each packet was read, likewise
}

// Listen is Add for a socket of which a wait may read what is familiar, once
// it may at all: see ReadAhead.
func (p *Poller) Listen(fd int, token int32, familiar *Familiar) error {
	l := listener{fd, token, familiar}
	free := slices.IndexFunc(p.listeners, func(l listener) bool { return l.familiar == nil })
	if free < 0 {
		free, p.listeners = len(p.listeners), append(p.listeners, l)
	}
	p.listeners[free] = l
	err := p.add(fd, token, free+1)
	if err != nil {
		p.listeners[free] = listener{}
	}
	return err
}

// unlisten ends what Listen began.
func (p *Poller) unlisten(fd int) {
	for i, l := range p.listeners {
		if l.familiar != nil && l.fd == fd {
			p.listeners[i] = listener{}
		}
	}
	if p.batch != nil && p.batch.ahead.fd == fd {
		p.batch.ahead.some = false
	}
}

// ReadAhead lets the following waits that have a deadline read familiar packets
// into a batch. After each of them Ahead tells whether they have; what they have
// read is to be received before anything else is received into the batch.
func (p *Poller) ReadAhead(b *Batch) { p.batch = b }

// Ahead returns the token of the socket from which packets have been read ahead:
// the next Receive from it returns them. What else is ready came after them.
func (p *Poller) Ahead() (token int32, ok bool) {
	if p.batch == nil {
		return 0, false
	}
	return p.batch.ahead.token, p.batch.ahead.some
}

// readSome reports whether there is something that was read ahead.
func (p *Poller) readSome() bool { return p.batch != nil && p.batch.ahead.some }

// Where many share a socket, or somebody floods us, packets come one by one, and
// each would cost as much as a wait. So what comes again within GatherWithin is
// followed by a pause of GatherFor, in which more may gather, unless something is due.
const (
	GatherWithin = time.Millisecond
	GatherFor    = 300 * time.Microsecond
)

// pollListening is poll that gives the processor away meanwhile, until a moment
// (CLOCK_MONOTONIC, ns; negative: for ever), and goes on beyond what is familiar.
//
//go:nosplit
//go:norace
func (p *Poller) pollListening(until int64) (n int, errno unix.Errno) {
	entersyscallblock()
	for {
		timeout := int64(-1)
		if until >= 0 {
			timeout = max(until-clock(unix.CLOCK_MONOTONIC), 0)
		}
		n, errno = p.pollRaw(timeout)
		if errno == unix.EINTR { // the runtime's preemption signal, mostly
			continue
		}
		if errno != 0 || n == 0 {
			break
		}
		goOn := false
		if n, goOn = p.readAhead(n, until, until); !goOn {
			break
		}
	}
	exitsyscall()
	return n, errno
}

// readAhead reads the only one of n descriptors that are ready, if that is a
// listener's, and returns how many still are, and whether to go on waiting until a
// moment (CLOCK_MONOTONIC, ns). Something else is due at next, or until is that.
//
//go:nosplit
//go:norace
func (p *Poller) readAhead(n int, until, next int64) (ready int, goOn bool) {
	b := p.batch
	if n != 1 || b == nil || until < 0 || p.events[0].Pad == 0 {
		return n, false
	}
	l := &p.listeners[p.events[0].Pad-1]
	now := clock(unix.CLOCK_MONOTONIC)
	// Whoever was stopped meanwhile is to look at the time first: what has arrived
	// may be the answer to our silence.
	if now >= next || b.ahead.some && b.ahead.fd != l.fd {
		return n, false
	}
	if !b.ahead.some {
		b.prepare()
		b.ahead.some, b.ahead.fd, b.ahead.token = true, l.fd, l.token
	}
	from, pace := b.used, now-b.ahead.at
	b.ahead.at = now
	if b.ahead.errno = b.take(l.fd); b.ahead.errno != 0 {
		return 0, false
	}
	over, known := clock(unix.CLOCK_MONOTONIC), true
	for i := from; i < b.used; i++ {
		b.ahead.read[i] = over
		known = known && l.familiar.knows(b, i)
	}
	if !known {
		return 0, false
	}
	// If the next is to come after the end, this is the moment: to be woken once
	// more, for nothing but the time, costs as much.
	if b.used == BatchSize || until-now <= pace {
		return 0, false
	}
	if pace < int64(GatherWithin) && next-now > int64(GatherWithin) {
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&p.gather)), 0, 0)
	}
	return 0, true
}
