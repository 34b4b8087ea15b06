package control_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vrrpd/internal/control"
)

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "vrrpd", "s")
	l, warnings, err := control.Listen(path, "")
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o666 {
		t.Errorf("socket: %v, %v", fi.Mode(), err)
	}
	if fi, err = os.Stat(filepath.Dir(path)); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("directory: %v, %v", fi.Mode(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestListenWarnsOfTheGroup(t *testing.T) {
	for _, group := range []string{"no-such-group", "65534"} {
		l, warnings, err := control.Listen(filepath.Join(t.TempDir(), "s"), group)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if len(warnings) != 1 || !strings.Contains(warnings[0], group) {
			t.Errorf("%s: warnings %q", group, warnings)
		}
	}
}

// stale leaves a socket behind, as a daemon that was killed does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale(t, path)
	if _, err := client(t, path).Status(t.Context(), ""); !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("asking a stale socket: %v", err)
	}
	l, _, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	start(t, control.NewServer(backend(), nil), l)
	if _, err := client(t, path).Status(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestSecondDaemon(t *testing.T) {
	path := serve(t, backend(), "")
	if _, _, err := control.Listen(path, ""); err == nil || !strings.Contains(err.Error(), "another daemon answers") {
		t.Errorf("a second daemon: %v", err)
	}
	if _, err := client(t, path).Status(t.Context(), ""); err != nil {
		t.Errorf("the first one after that: %v", err)
	}
}

func TestListenKeepsWhatIsNoSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := control.Listen(path, ""); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file is gone: %q, %v", b, err)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 108))
	if _, _, err := control.Listen(long, ""); err == nil || !strings.Contains(err.Error(), "107 bytes") {
		t.Errorf("a long path: %v", err)
	}
}

// A daemon that stops late must not take its successor's socket along.
func TestCloseKeepsAnothersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, _, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, _, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second socket: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoDaemon(t *testing.T) {
	_, err := client(t, filepath.Join(t.TempDir(), "none")).Status(t.Context(), "")
	if !errors.Is(err, control.ErrNoDaemon) || !strings.Contains(fmt.Sprint(err), "none") {
		t.Errorf("got %v", err)
	}
}
