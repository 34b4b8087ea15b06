package healthcheck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helper selects what the test binary does when a test runs it as a process.
const helper = "HEALTHCHECK_TEST_HELPER"

// spawnedName is what the test binary is called as the process of a Spawner.
const spawnedName = "healthcheck-spawned"

func TestMain(m *testing.M) {
	if os.Args[0] == spawnedName {
		if err := Spawned(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	switch os.Getenv(helper) {
	case "":
		goleak.VerifyTestMain(m)
	case "parent":
		// A daemon that is killed while its check runs.
		out := Execute(context.Background(), ExecSpec{Command: []string{"/bin/sh", "-c", `echo $$ > "$0"; exec sleep 300`, os.Args[1]}})
		fmt.Println(out.Detail())
	case "spawner":
		// A daemon whose spawner runs something when it is killed.
		out := NewSpawner(spawnedName).Execute(context.Background(), ExecSpec{Command: []string{"/bin/sh", "-c", `echo $$ > "$0"; sleep 300 & exec sleep 300`, os.Args[1]}})
		fmt.Println(out.Detail())
	case "ambient":
		// A daemon with capabilities that its service manager gave it: what it
		// has, then what its commands have, as itself and as another user.
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			fmt.Println(err)
			return
		}
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "CapAmb:") {
				fmt.Print(line)
			}
		}
		spec := ExecSpec{Command: []string{"/bin/grep", "-E", "^Cap(Prm|Eff|Amb):", "/proc/self/status"}}
		for _, spec.RunAs = range []*Credential{nil, {User: "x", UID: 4243, GID: 4243, Home: "/"}} {
			out := Execute(context.Background(), spec)
			fmt.Println(out.Output)
		}
	case "namespace":
		// A daemon in a user namespace that maps root alone.
		fmt.Println("default user:", DefaultUser().User)
		fmt.Println("vet /bin/true:", Vet([]string{"/bin/true"}, DefaultUser()))
		fmt.Println("run:", Execute(context.Background(), ExecSpec{Command: []string{"/bin/true"}, RunAs: DefaultUser()}).Detail())
		nobody, err := LookupUser("nobody")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("vet as nobody:", Vet([]string{"/bin/true"}, nobody))
	}
}

// need skips a test that lacks something, or fails it where all must run.
func need(t *testing.T, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
		t.Fatal("needs " + what)
	}
	t.Skip("needs " + what)
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 10s: not yet %s", what)
		}
	}
}

// write makes an executable file in a directory that everybody may search.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(openDir(t), name)
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// openDir is t.TempDir, but open to users other than our own, and in its real
// place should TMPDIR be a symbolic link.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for d := dir; strings.HasPrefix(d, tmp+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func sh(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", script}, args...)
}
