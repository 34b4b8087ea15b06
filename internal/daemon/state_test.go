package daemon

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"vrrpd/vip"
	"vrrpd/vrrp"
)

func TestStateRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vrrpd.sock.state")
	s := started(t, oneInstance+"extra_addresses = [{address=\"10.0.0.1/32\",interface=\"lo\"}]\n"+`
[instance.own]
interface = "eth1"
vrid = 7
priority = 255
addresses = ["198.51.100.1/24"]
`)
	s.hear(advert{from: peer, priority: 200, form: vrrp.ChecksumMessage})
	s.do(func() { s.e.tick(s.now) })
	want := s.saved
	if err := writeState(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := readState(path, "boot")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if i := got.Instances[0]; i.Name != "web" || i.Checksum != "rfc9568" || len(i.Addresses) != 2 || i.Addresses[1].Interface != "lo" || i.Owner {
		t.Errorf("%+v", i)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the file written first is still there:", err)
	}
}

func TestStateOfNoUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	read := func() (*savedState, error) { return readState(path, "boot") }
	if s, err := read(); err != nil || len(s.Instances) != 0 {
		t.Errorf("no file: %+v, %v", s, err)
	}
	if err := writeState(path, savedState{Boot: "another", Instances: []savedInstance{{Name: "web"}}}); err != nil {
		t.Fatal(err)
	}
	if s, err := read(); err != nil || len(s.Instances) != 0 {
		t.Errorf("another boot: %+v, %v", s, err)
	}
	for _, text := range []string{"", "{", "[]", `{"boot_id":"boot","instances":[{"addresses":[{"prefix":"nonsense"}]}]}`, "\x00\x00"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := read()
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || s == nil || len(s.Instances) != 0 {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	if s, err := readState(t.TempDir(), "boot"); err == nil || s == nil {
		t.Errorf("a directory: %v", err)
	}
	if err := writeState(filepath.Join(path, "below", "a", "file"), savedState{}); err == nil {
		t.Error("written below a file")
	}
}

// Addresses of an earlier run that nothing in the plan speaks of are removed,
// those of an owner excepted.
func TestLeftovers(t *testing.T) {
	before := savedState{Instances: []savedInstance{
		{Name: "web", Addresses: []savedAddress{
			{netip.MustParsePrefix("192.0.2.100/24"), "eth0"}, // still planned
			{netip.MustParsePrefix("192.0.2.100/24"), "eth1"}, // not there
			{netip.MustParsePrefix("192.0.2.101/24"), "eth0"}, // no longer
		}},
		{Name: "own", Owner: true, Addresses: []savedAddress{{netip.MustParsePrefix("192.0.2.102/24"), "eth0"}}},
	}}
	s := started(t, oneInstance)
	want := vip.Want{Addresses: []vip.Address{
		{Prefix: netip.MustParsePrefix("192.0.2.100/24"), Interface: "eth1"},
		{Prefix: netip.MustParsePrefix("192.0.2.101/24"), Interface: "eth0"},
	}}
	got := before.leftovers(s.e)
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if got := (&savedState{}).leftovers(s.e); len(got.Addresses) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "vrrpd.sock.lock")
	l, err := takeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = takeLock(path)
	if !errors.Is(err, errRunning) || !strings.Contains(err.Error(), "another vrrpd is running with this control socket (process ") || !strings.HasSuffix(err.Error(), " holds "+path+")") {
		t.Error(err)
	}
	l.release()
	again, err := takeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	again.release()
	(*lock)(nil).release()
	if _, err := takeLock(filepath.Join(path, "below")); err == nil || errors.Is(err, errRunning) {
		t.Error(err)
	}
	if _, err := takeLock(t.TempDir()); err == nil || errors.Is(err, errRunning) {
		t.Error(err)
	}
}

// TestStateWriterFlush: what an operator is told is done is on the disk.
func TestStateWriterFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	w := newStateWriter(path, "boot", func(err error) { t.Error(err) })
	for i := range 20 { // each within the gap after the one before
		w.save(savedState{Boot: "boot", Process: i})
		w.flush(t.Context())
		if s, err := readState(path, "boot"); err != nil || s.Process != i {
			t.Fatalf("after a flush: %+v, %v", s, err)
		}
	}
	w.flush(t.Context()) // nothing to write
	w.close()
	w.flush(t.Context())
	(*stateWriter)(nil).flush(t.Context())
}

// TestStateWriterHangs: nobody waits for ever for a disk that hangs.
func TestStateWriterHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := unix.Mkfifo(path+".new", 0o600); err != nil { // opening it for writing hangs
		t.Fatal(err)
	}
	w := newStateWriter(path, "boot", func(err error) { t.Error(err) })
	w.save(savedState{Boot: "boot"})
	begin := time.Now()
	w.flush(t.Context())
	if took := time.Since(begin); took < statePatience || took > 20*statePatience {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.flush(ctx)
	reader, err := os.Open(path + ".new") // the disk recovers
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	w.close()
}

func TestStateWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	var mu sync.Mutex
	var failures []string
	w := newStateWriter(path, "boot", func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err.Error())
	})
	begin := time.Now()
	for i := range 10_000 {
		w.save(savedState{Boot: "boot", Process: i})
	}
	w.close()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	s, err := readState(path, "boot")
	if err != nil || s.Process != 9_999 {
		t.Errorf("the last state: %+v, %v", s, err)
	}
	if len(failures) != 0 {
		t.Errorf("failures: %q", failures)
	}

	// A place that cannot be written is told once.
	w = newStateWriter(filepath.Join(path, "below"), "boot", func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, err.Error())
	})
	for range 3 {
		w.save(savedState{})
		time.Sleep(stateGap + 50*time.Millisecond)
	}
	w.close()
	if len(failures) != 1 || !strings.Contains(failures[0], "not a directory") {
		t.Errorf("failures: %q", failures)
	}
	(*stateWriter)(nil).close()
}

// After a clean stop the file has what is to outlive it, and no addresses: by the next
// start they may be somebody else's.
func TestForgetAddresses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := forgetAddresses(path, "boot"); err != nil { // there is none
		t.Error(err)
	}
	s := started(t, oneInstance)
	s.inst("web").persist = true
	before := s.e.state("boot")
	if err := writeState(path, before); err != nil {
		t.Fatal(err)
	}
	if err := forgetAddresses(path, "boot"); err != nil {
		t.Fatal(err)
	}
	after, err := readState(path, "boot")
	if err != nil {
		t.Fatal(err)
	}
	if left := after.leftovers(newScript(t).e); len(left.Addresses) > 0 {
		t.Errorf("left: %v", left.Addresses)
	}
	if left := before.leftovers(newScript(t).e); len(left.Addresses) != 1 {
		t.Errorf("left before: %v", left.Addresses)
	}
	if len(after.Instances) != 1 || after.Instances[0].Demoted != "soft" {
		t.Errorf("the file says %+v", after)
	}
}
