package healthcheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestLookupUser(t *testing.T) {
	root, err := LookupUser("root")
	if err != nil {
		t.Fatal(err)
	}
	if root.UID != 0 || root.GID != 0 || root.User != "root" || root.Home == "" {
		t.Errorf("root: %+v", root)
	}
	byID, err := LookupUser("0")
	if err != nil {
		t.Fatal(err)
	}
	if byID.UID != 0 || byID.User != "0" || byID.Home != root.Home {
		t.Errorf("0: %+v", byID)
	}
	for _, want := range []string{"USER=root", "LOGNAME=root"} {
		if env := Environ(byID, nil); !slices.Contains(env, want) {
			t.Errorf("0: the environment is %q, without %s", env, want)
		}
	}
	unknown, err := LookupUser("3999999999")
	if err != nil {
		t.Fatal(err)
	}
	if unknown.UID != 3999999999 || unknown.GID != nobodyID || len(unknown.Groups) != 0 {
		t.Errorf("a uid nobody has: %+v", unknown)
	}
	for _, name := range []string{"", "no-such-user", "-1", "4294967295", "4294967296", "12x"} {
		if c, err := LookupUser(name); err == nil {
			t.Errorf("%q: %+v, want an error", name, c)
		}
	}
}

func TestDefaultUser(t *testing.T) {
	c := DefaultUser()
	switch {
	case os.Geteuid() != 0:
		if c.UID != uint32(os.Geteuid()) {
			t.Errorf("%+v, want oneself", c)
		}
	case mapped("/proc/self/uid_map", nobodyID) && mapped("/proc/self/gid_map", nobodyID):
		if c.User != "nobody" || c.UID == 0 {
			t.Errorf("%+v, want nobody", c)
		}
	default:
		if c.UID != 0 {
			t.Errorf("%+v, want root, as nobody is not mapped", c)
		}
	}
}

func TestMapped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uid_map")
	if err := os.WriteFile(file, []byte("         0       1000          1\n      1000     100000      65536\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint32]bool{0: true, 1: false, 999: false, 1000: true, 66535: true, 66536: false} {
		if got := mapped(file, id); got != want {
			t.Errorf("%d: %v, want %v", id, got, want)
		}
	}
	if !mapped(file+".absent", 65534) {
		t.Error("a kernel without user namespaces maps everything")
	}
}

// TestUserNamespaceOfRootAlone is a daemon under `unshare --map-root-user`.
func TestUserNamespaceOfRootAlone(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{helper + "=namespace"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	b, err := cmd.CombinedOutput()
	need(t, err == nil, "unprivileged user namespaces: "+string(b))
	out := string(b)
	for _, want := range []string{
		"default user: root\n",
		"vet /bin/true: <nil>\n",
		"run: exit status 0\n",
		"vet as nobody: uid 65534 of user nobody is not mapped in this user namespace; choose another user, or run as root\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
