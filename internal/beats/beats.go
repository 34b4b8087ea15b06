// Package beats keeps when each active instance last advertised, in a file that
// is mapped: the loop notes each advertisement without a system call, and the
// kernel keeps what was noted however the process ends. The next process, or
// `vrrpd release`, finds in it who was active, and since when nobody spoke for
// him.
//
//	page, before, err := beats.Open(socket+".beats", bootID)
//	slot := page.Slot(key)                    // of an instance, whatever the key is
//	slot.Store(int64(beats.At(beats.Now(), false)))
//
// The file is a header and slots, each the key of an instance and its beat.
package beats

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Beat is when an active instance last advertised, in nanoseconds of
// CLOCK_BOOTTIME; 0: it is not active. The lowest bit says that it is handing
// over.
type Beat int64

const leavingBit = 1

// At is the beat of a moment: see Now.
func At(boottime int64, leaving bool) Beat {
	b := Beat(boottime) &^ leavingBit
	if leaving {
		b |= leavingBit
	}
	return b
}

// Leaving reports whether it was handing over.
func (b Beat) Leaving() bool { return b&leavingBit != 0 }

// Age is how long ago it was; boottime is the time now.
func (b Beat) Age(boottime int64) time.Duration { return time.Duration(boottime - int64(b)) }

// A Page is the file. It is not safe for concurrent use, its slots are.
type Page struct {
	page  []byte         // nil: there is no file, and nothing outlives this process
	slots map[uint64]int // where the slot of each key is
	given int            // slots from here on nobody has had yet
	free  []int          // slots that were given back
}

const (
	magic     = 0x76727270_62656174 // "vrrpbeat"
	header    = 64
	slotSize  = 16
	size      = 64 << 10 // 4092 instances
	slotCount = (size - header) / slotSize
)

// None is a page without a file: nothing outlives the process.
func None() *Page { return &Page{} }

// Open maps the file, and returns the beats of an earlier process of the same
// boot by key; the page is empty then. Two processes must not have it open. On
// an error the page is that of None.
func Open(path, boot string) (*Page, map[uint64]Beat, error) {
	b := &Page{slots: map[uint64]int{}}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return b, nil, err
	}
	defer f.Close() // the mapping stays
	// With the blocks allocated now, no write to the page can fail for want of
	// space later: that would be a SIGBUS.
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		if !errors.Is(err, unix.EOPNOTSUPP) {
			return b, nil, fmt.Errorf("allocate %s: %w", path, err)
		}
		if err := f.Truncate(size); err != nil {
			return b, nil, err
		}
	}
	page, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return b, nil, fmt.Errorf("map %s: %w", path, err)
	}
	b.page = page
	before := map[uint64]Beat{}
	mark, bootID := b.word(0), b.word(8)
	if *mark == magic && uint64(*bootID) == Key(boot) {
		for i := range slotCount {
			if who, at := *b.word(header + i*slotSize), Beat(*b.word(header + i*slotSize + 8)); who != 0 && at != 0 {
				before[uint64(who)] = at
			}
		}
	}
	clear(page)
	*bootID = int64(Key(boot))
	atomic.StoreInt64(mark, magic)
	return b, before, nil
}

func (b *Page) word(offset int) *int64 { return (*int64)(unsafe.Pointer(&b.page[offset])) }

// Slot returns where an instance notes its beats, 0 for not being active: the
// same for the same key, until it is given back. One that finds no room keeps
// them to itself. The key is any number but 0.
func (b *Page) Slot(key uint64) *atomic.Int64 {
	if b.page == nil {
		return new(atomic.Int64)
	}
	i, ok := b.slots[key]
	if ok {
		return b.beat(i)
	}
	switch last := len(b.free) - 1; {
	case last >= 0:
		i, b.free = b.free[last], b.free[:last]
	case b.given < slotCount:
		i = b.given
		b.given++
	default:
		return new(atomic.Int64)
	}
	b.slots[key] = i
	*b.word(header + i*slotSize + 8) = 0
	atomic.StoreInt64(b.word(header+i*slotSize), int64(key))
	return b.beat(i)
}

func (b *Page) beat(i int) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(b.word(header + i*slotSize + 8)))
}

// Free gives an instance's slot back.
func (b *Page) Free(key uint64) {
	i, ok := b.slots[key]
	if !ok || b.page == nil {
		return
	}
	delete(b.slots, key)
	b.free = append(b.free, i)
	atomic.StoreInt64(b.word(header+i*slotSize), 0)
	*b.word(header + i*slotSize + 8) = 0
}

// Close unmaps the file and leaves it where it is. Its slots must not be used any
// more.
func (b *Page) Close() error {
	if b.page == nil {
		return nil
	}
	page := b.page
	b.page = nil
	return unix.Munmap(page)
}

// Key makes a key of a name: never 0.
func Key(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum64() | 1
}

// Now is CLOCK_BOOTTIME in nanoseconds: unlike the clock of the timers it goes on while
// the machine sleeps, and the others do not wait for that.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 1 // no kernel that we run on: long ago
	}
	return ts.Nano()
}
