package beats

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vrrpd.sock.beats")
	web, db := Key("eth0 ipv4 51"), Key("eth0 ipv6 51")
	open := func(boot string) (*Page, map[uint64]Beat) {
		t.Helper()
		b, before, err := Open(path, boot)
		if err != nil {
			t.Fatal(err)
		}
		return b, before
	}
	b, before := open("boot 1")
	if len(before) != 0 {
		t.Errorf("a new file knows %v", before)
	}
	b.Slot(web).Store(int64(At(1001, false)))
	b.Slot(db).Store(int64(At(2000, true)))
	gone := Key("eth1 ipv4 1")
	b.Slot(gone).Store(5)
	b.Free(gone)
	b.Slot(Key("eth1 ipv4 2")) // in its place, never active
	if b.Slot(web) != b.Slot(web) || b.Slot(web).Load() != 1000 {
		t.Error("the slot of an instance is another one when it is asked for again")
	}
	// Nothing is written or closed: that is how a process ends that is killed.

	b2, before := open("boot 1")
	if len(before) != 2 || before[web] != 1000 || before[db] != 2001 {
		t.Errorf("found %v", before)
	}
	if x := before[web]; x.Leaving() || x.Age(1500) != 500*time.Nanosecond || !before[db].Leaving() {
		t.Errorf("read as %v", before)
	}
	b2.Slot(web).Store(7)
	if _, before = open("boot 2"); len(before) != 0 {
		t.Errorf("of another boot: %v", before)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}

	// A file of anything else, and a place that cannot be written.
	if err := os.WriteFile(path, []byte("what is this"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, before = open("boot 2"); len(before) != 0 {
		t.Errorf("in a strange file: %v", before)
	}
	none, _, err := Open(filepath.Join(path, "no directory"), "boot 2")
	if err == nil {
		t.Error("no error")
	}
	none.Slot(web).Store(1) // as good as any
	none.Free(web)
	if err := none.Close(); err != nil {
		t.Error(err)
	}
}

// More instances than there is room for keep their beats to themselves, and a
// slot that is given back is another's.
func TestFullPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "beats")
	b, _, err := Open(path, "boot")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i := range slotCount + 10 {
		b.Slot(uint64(i + 1)).Store(int64(i + 1))
	}
	late := uint64(slotCount + 11)
	b.Free(7)
	b.Free(slotCount + 5) // has none
	b.Free(late)          // never had one
	b.Slot(late).Store(1)
	b.Slot(late + 1).Store(1) // no room
	_, before, err := Open(path, "boot")
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != slotCount || before[late] != 1 || before[6] != 6 || before[8] != 8 {
		t.Errorf("%d beats, of the one in another's place %d, beside it %d and %d", len(before), before[late], before[6], before[8])
	}
	for _, key := range []uint64{7, slotCount + 5, late + 1} {
		if _, ok := before[key]; ok {
			t.Errorf("%d has a beat", key)
		}
	}
}

// BenchmarkSlots is what a start of as many instances as a host can run asks for.
func BenchmarkSlots(b *testing.B) {
	path := filepath.Join(b.TempDir(), "beats")
	for b.Loop() {
		page, _, err := Open(path, "boot")
		if err != nil {
			b.Fatal(err)
		}
		for i := range 2040 {
			page.Slot(uint64(i + 1))
		}
		if err := page.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
