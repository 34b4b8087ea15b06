package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vrrpd/internal/control"
)

// childEnv names the socket in the environment of a child.
const childEnv = "VRRPD_TEST_ASK"

// told is what a child found.
type told struct {
	Read       string // error of Status
	Change     string // error of Reload
	Code       int    // of the latter, if it is a *StatusError
	NoDaemon   bool
	Permission bool
	Held       int // connections that were let in
}

// askAsChild is the child's whole life: it asks the daemon as whoever it was
// started as.
func askAsChild() {
	socket := os.Getenv(childEnv)
	if socket == "" {
		return
	}
	c := control.NewClient(socket)
	var out told
	if _, err := c.Status(context.Background(), ""); err != nil {
		out.Read = err.Error()
		out.NoDaemon, out.Permission = errors.Is(err, control.ErrNoDaemon), errors.Is(err, fs.ErrPermission)
	}
	if _, err := c.Reload(context.Background()); err != nil {
		out.Change = err.Error()
		var se *control.StatusError
		if errors.As(err, &se) {
			out.Code = se.Code
		}
	}
	if os.Getenv(childEnv+"_MANY") != "" {
		c.Close()
		out.Held = holdMany(socket)
	}
	json.NewEncoder(os.Stdout).Encode(out)
	os.Exit(0)
}

// holdMany opens far more connections than are let in, and counts those on
// which a request is answered.
func holdMany(socket string) (held int) {
	for range 40 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return -1
		}
		fmt.Fprintf(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
		buf := make([]byte, 12)
		if n, _ := conn.Read(buf); strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
			held++ // and stays open
		}
	}
	return held
}

// ask runs this very program as another user.
func ask(t *testing.T, socket string, cred *syscall.Credential, env ...string) told {
	t.Helper()
	if os.Geteuid() != 0 {
		needOtherUsers(t, errors.New("this is not root"))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), openTo(t, self))
	cmd.Env = append(os.Environ(), append(env, childEnv+"="+socket,
		"GORACE=atexit_sleep_ms=0")...) // the race detector's exit would take a second
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	b, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) {
		needOtherUsers(t, err) // root of a user namespace without other users
	}
	if err != nil {
		t.Fatalf("child: %v", err)
	}
	var out told
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("child said %q: %v", b, err)
	}
	return out
}

// needOtherUsers ends a test that cannot become another user.
func needOtherUsers(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
		t.Fatalf("becoming another user: %v; run as root", why)
	}
	t.Skipf("becoming another user: %v; run as root", why)
}

// openTo copies a program to where every user may run it: the go command
// builds tests in a directory of its own user's.
func openTo(t *testing.T, program string) string {
	t.Helper()
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(openDir(t), "ask")
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// openDir is a directory that every user may enter; t.TempDir is not.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vrrpd-control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// serveOpen serves b where every user can reach it.
func serveOpen(t *testing.T, b control.Backend, group string) string {
	t.Helper()
	socket := filepath.Join(openDir(t), "s")
	l, _, err := control.Listen(socket, group)
	if err != nil {
		t.Fatal(err)
	}
	start(t, control.NewServer(b, nil), l)
	return socket
}

// Users and groups nobody has here: the kernel only compares numbers.
const (
	alice   = 4201
	friends = 4301
	others  = 4302
)

func TestWhoMayChangeState(t *testing.T) {
	many := make([]uint32, 200) // more than one read of SO_PEERGROUPS
	for i := range many {
		many[i] = uint32(5000 + i)
	}
	for _, tc := range []struct {
		name    string
		group   string
		cred    syscall.Credential
		refused string // part of the refusal; "": allowed
	}{
		{"root", "", syscall.Credential{Uid: 0, Gid: others}, ""},
		{"a stranger", fmt.Sprint(friends), syscall.Credential{Uid: alice, Gid: others}, fmt.Sprintf("group %q", fmt.Sprint(friends))},
		{"by primary group", fmt.Sprint(friends), syscall.Credential{Uid: alice, Gid: friends}, ""},
		{"by supplementary group", fmt.Sprint(friends), syscall.Credential{Uid: alice, Gid: others, Groups: []uint32{1, friends}}, ""},
		{"by the last of many groups", "5199", syscall.Credential{Uid: alice, Gid: others, Groups: many}, ""},
		{"in many other groups", fmt.Sprint(friends), syscall.Credential{Uid: alice, Gid: others, Groups: many}, "4201"},
		{"root's group is not enough", fmt.Sprint(friends), syscall.Credential{Uid: alice, Gid: 0}, "4201"},
		{"no group configured", "", syscall.Credential{Uid: alice, Gid: 0}, "only root"},
		{"the group does not exist", "no-such-group", syscall.Credential{Uid: alice, Gid: 0}, "no-such-group"},
		{"a group by name", "daemon", syscall.Credential{Uid: alice, Gid: others, Groups: []uint32{1}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := backend()
			got := ask(t, serveOpen(t, b, tc.group), &tc.cred)
			if got.Read != "" {
				t.Errorf("may not read: %s", got.Read)
			}
			switch {
			case tc.refused == "" && (got.Change != "" || len(b.Asked()) != 1):
				t.Errorf("refused: %s", got.Change)
			case tc.refused != "" && (got.Code != http.StatusForbidden || len(b.Asked()) != 0):
				t.Errorf("not refused: %+v, the daemon was asked %v", got, b.Asked())
			case !strings.Contains(got.Change, tc.refused):
				t.Errorf("says %q, not %q", got.Change, tc.refused)
			}
		})
	}
}

func TestSocketOutOfReach(t *testing.T) {
	dir := openDir(t)
	socket := filepath.Join(dir, "s")
	l, _, err := control.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	start(t, control.NewServer(backend(), nil), l)
	if err := os.Chmod(socket, 0o600); err != nil {
		t.Fatal(err)
	}
	got := ask(t, socket, &syscall.Credential{Uid: alice, Gid: others})
	if got.NoDaemon || !got.Permission {
		t.Errorf("a socket that may not be opened: %+v", got)
	}
}

// A user who may only read takes a few connections and no more.
func TestConnectionsOfAReader(t *testing.T) {
	socket := serveOpen(t, backend(), "")
	got := ask(t, socket, &syscall.Credential{Uid: alice, Gid: others}, childEnv+"_MANY=1")
	if got.Held < 1 || got.Held > 16 {
		t.Errorf("%d connections were let in, want 16 at most", got.Held)
	}
	if _, err := client(t, socket).Reload(t.Context()); err != nil {
		t.Errorf("root beside it: %v", err)
	}
	// The places come back with the connections' end.
	until(t, "places come back", func() bool {
		again := ask(t, socket, &syscall.Credential{Uid: alice, Gid: others})
		return again.Read == ""
	})
}
