package probe

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

func put(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// replace writes a file as it should be done.
func replace(t testing.TB, path, content string) {
	t.Helper()
	put(t, path+".new", content)
	must(t, os.Rename(path+".new", path))
}

func TestFileExists(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "mark")
	exists, absent := mustNew(t, File{Path: path, Test: FileExists}), mustNew(t, File{Path: path, Test: FileAbsent})
	existsWatch, absentWatch := watch(t, exists), watch(t, absent)
	wantFail(t, exists, path+" does not exist")
	wantPass(t, absent, path+" does not exist")
	put(t, path, "")
	existsWatch.becomes(t, true, path+" exists")
	absentWatch.becomes(t, false, path+" exists")
	must(t, os.Rename(path, path+"2"))
	existsWatch.becomes(t, false, "does not exist")
	absentWatch.becomes(t, true, "does not exist")
	must(t, os.Rename(path+"2", path))
	existsWatch.becomes(t, true, "exists")
	must(t, os.Remove(path))
	existsWatch.becomes(t, false, "does not exist")
	must(t, os.Mkdir(path, 0o755))
	existsWatch.becomes(t, true, "exists")
	wantFail(t, mustNew(t, File{Path: path + "/in/it", Test: FileExists}), "does not exist")
	put(t, path+"/in", "")
	wantFail(t, mustNew(t, File{Path: path + "/in/it", Test: FileExists}), "does not exist")
}

// TestFileLaterDirectory: the directory, and those above it, come and go.
func TestFileLaterDirectory(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "c", "mark")
	p := mustNew(t, File{Path: path, Test: FileExists})
	w := watch(t, p)
	for range 20 {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		put(t, path, "")
		w.becomes(t, true, "exists")
		must(t, os.RemoveAll(filepath.Join(dir, "a")))
		w.becomes(t, false, "does not exist")
	}
	// Elsewhere, and back.
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	put(t, path, "")
	w.becomes(t, true, "exists")
	must(t, os.Rename(filepath.Dir(path), filepath.Join(dir, "away")))
	w.becomes(t, false, "does not exist")
	must(t, os.Rename(filepath.Join(dir, "away"), filepath.Dir(path)))
	w.becomes(t, true, "exists")
}

func TestFileNumber(t *testing.T) {
	noLeak(t)
	path := filepath.Join(t.TempDir(), "weight")
	p := mustNew(t, File{Path: path, Test: FileNumber})
	wantFail(t, p, "does not exist")
	for _, c := range []struct {
		content string
		ok      bool
		value   int
	}{
		{"-20", true, -20},
		{"0\n", true, 0},
		{" +7 \n", true, 7},
		{"253", true, 253},
		{"-253\r\n", true, -253},
		{"254", false, 0},
		{"-254", false, 0},
		{"1.5", false, 0},
		{"0x10", false, 0},
		{"ten", false, 0},
		{"1 2", false, 0},
		{"1\n2\n", false, 0},
		{"99999999999999999999", false, 0},
		{"", false, 0},
		{"\n", false, 0},
		{"\x00", false, 0},
		{strings.Repeat("0", 10_000) + "5", false, 0}, // longer than what is read
	} {
		replace(t, path, c.content)
		out := once(t, p)
		if out.Passed != c.ok || out.HasValue != c.ok || out.Value != c.value {
			t.Errorf("%.20q: %+v, want %t, %d", c.content, out, c.ok, c.value)
		}
	}
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o755))
	wantFail(t, p, "it is not a regular file")
	must(t, os.Remove(path))
	must(t, unix.Mkfifo(path, 0o644))
	wantFail(t, p, "it is not a regular file")
}

// TestFileNumberWatch: each way to change a number is noticed, and none leads
// to a moment without one.
func TestFileNumberWatch(t *testing.T) {
	noLeak(t)
	path := filepath.Join(t.TempDir(), "weight")
	put(t, path, "1")
	w := watch(t, mustNew(t, File{Path: path, Test: FileNumber}))
	replace(t, path, "2")
	w.becomes(t, true, "says 2")
	put(t, path, "3")
	w.becomes(t, true, "says 3")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("4"), 0)
	must(t, err)
	w.becomes(t, true, "says 4")

	// A shell empties the file first and writes it a little later.
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if f.Truncate(0) == nil {
				time.Sleep(time.Millisecond)
				_, _ = f.WriteAt([]byte("5"), 0)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	for range 100 {
		if out := once(t, w.p); !out.Passed && !strings.Contains(out.Detail, "is empty") || !out.Passed && out.HasValue {
			t.Errorf("%+v", out)
		}
	}
	close(stop)
	<-done
}

func TestFileAge(t *testing.T) {
	noLeak(t)
	path := filepath.Join(t.TempDir(), "heartbeat")
	put(t, path, "")
	p := mustNew(t, File{Path: path, Test: FileExists, MaxAge: time.Minute})
	w := watch(t, p)
	wantPass(t, p)
	old := time.Now().Add(-2 * time.Minute)
	must(t, os.Chtimes(path, old, old))
	w.becomes(t, false, "was last written 2m0s ago, longer than 1m0s")
	put(t, path, "x")
	w.becomes(t, true, "exists")
}

// TestFileForeign: what happens to others in the directory wakes nobody.
func TestFileForeign(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	w := watch(t, mustNew(t, File{Path: filepath.Join(dir, "mark"), Test: FileExists}))
	for range 1000 {
		put(t, filepath.Join(dir, "mark2"), "x")
	}
	if n := w.count(); n != 0 {
		t.Errorf("woken %d times", n)
	}
	put(t, filepath.Join(dir, "mark"), "x")
	w.becomes(t, true, "exists")
}

// TestAside: a look that hangs ends in time, and those after it do as well.
func TestAside(t *testing.T) {
	noLeak(t)
	a, release := newAside(), make(chan struct{})
	hang := func() Outcome { <-release; return pass("late") }
	for _, want := range []string{"no answer within ", "an earlier look has not come back: no answer within "} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if out := a.do(begin(ctx), hang); out.Passed || !strings.HasPrefix(out.Detail, want) {
			t.Errorf("%+v, want %q", out, want)
		}
		cancel()
	}
	close(release)
	lab.Until(t, 5*time.Second, "another look", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return a.do(begin(ctx), func() Outcome { return pass("now") }).Passed
	})
}

func TestFileFields(t *testing.T) {
	wantFieldErrors(t, []struct {
		spec  Spec
		field string
	}{
		{File{Test: FileExists}, "path"},
		{File{Path: "relative", Test: FileExists}, "path"},
		{File{Path: "/", Test: FileExists}, "path"},
		{File{Path: "/a\x00b", Test: FileExists}, "path"},
		{File{Path: "/a"}, "test"},
		{File{Path: "/a", Test: 4}, "test"},
		{File{Path: "/a", Test: FileExists, MaxAge: -1}, "max_age"},
		{File{Path: "/a", Test: FileAbsent, MaxAge: 1}, "max_age"},
	})
}
