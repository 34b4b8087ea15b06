package healthcheck

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A node of a file tree that a test makes in a directory of its own.
type node struct {
	path    string // below the directory
	mode    os.FileMode
	content string // of a file; "" and a trailing slash in path: a directory
	link    string // target of a symbolic link; DIR stands for the directory
	uid     int
	gid     int
}

const (
	script = "#!/bin/sh\nexit 0\n"
	fifo   = "a named pipe in place of a file"
)

func plant(t *testing.T, nodes []node) (dir string) {
	t.Helper()
	dir = openDir(t)
	for _, n := range nodes {
		path := filepath.Join(dir, n.path)
		var err error
		switch {
		case n.link != "":
			err = os.Symlink(strings.ReplaceAll(n.link, "DIR", dir), path)
		case strings.HasSuffix(n.path, "/"):
			err = os.Mkdir(path, 0o755)
		case n.content == fifo:
			err = syscall.Mkfifo(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(strings.ReplaceAll(n.content, "DIR", dir)), 0o755)
		}
		if err == nil && (n.uid != 0 || n.gid != 0) {
			err = os.Lchown(path, n.uid, n.gid)
		}
		if err == nil && n.link == "" {
			err = syscall.Chmod(path, uint32(n.mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVet(t *testing.T) {
	need(t, os.Geteuid() == 0, "root, to give files away")
	// 4242 is in group 4343 and, besides, in group 4444.
	alice := &Credential{User: "alice", UID: 4242, GID: 4343, Groups: []uint32{4444}}
	root := &Credential{User: "root"}
	good := node{path: "check", mode: 0o755, content: script}
	tests := []struct {
		name    string
		nodes   []node
		command string // below the directory; "check" if empty
		runAs   *Credential
		problem string // DIR stands for the directory; "" is none
	}{
		{"fine", []node{good}, "", alice, ""},
		{"fine as oneself", []node{good}, "", nil, ""},
		{"missing", nil, "", alice, "DIR/check does not exist"},
		{"missing directory", nil, "a/b/check", alice, "DIR/a does not exist"},
		{"directory", []node{{path: "check/", mode: 0o755}}, "", alice, "DIR/check is a directory"},
		{"file as a directory", []node{good}, "check/x", alice, "DIR/check is not a directory"},
		{"dots", []node{{path: "d/", mode: 0o755}, good}, "d/.././check", alice, ""},
		{"pipe", []node{{path: "check", mode: 0o755, content: fifo}}, "", alice, "DIR/check is not a regular file"},

		{"no x at all", []node{{path: "check", mode: 0o644, content: script}}, "", root, "DIR/check is not executable by user root"},
		{"x for others", []node{{path: "check", mode: 0o705, content: script}}, "", alice, ""},
		{"x for the owner alone", []node{{path: "check", mode: 0o744, content: script}}, "", alice, "DIR/check is not executable by user alice"},
		{"x for the owner is enough for root", []node{{path: "check", mode: 0o744, content: script}}, "", root, ""},
		{"x for its group", []node{{path: "check", mode: 0o750, content: script, gid: 4343}}, "", alice, ""},
		{"x for a supplementary group", []node{{path: "check", mode: 0o750, content: script, gid: 4444}}, "", alice, ""},
		{"x for a group alice is not in", []node{{path: "check", mode: 0o750, content: script, gid: 4545}}, "", alice, "DIR/check is not executable by user alice"},
		{"the group's bits, not the others'", []node{{path: "check", mode: 0o705, content: script, gid: 4444}}, "", alice, "DIR/check is not executable by user alice"},
		{"directory closed", []node{{path: "d/", mode: 0o700}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, "DIR/d is not searchable by user alice"},
		{"directory closed, as root", []node{{path: "d/", mode: 0o600}, {path: "d/check", mode: 0o755, content: script}}, "d/check", root, ""},
		{"directory readable, not searchable", []node{{path: "d/", mode: 0o744}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, "DIR/d is not searchable by user alice"},
		{"directory searchable, not readable", []node{{path: "d/", mode: 0o711}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, ""},

		{"file of another", []node{{path: "check", mode: 0o755, content: script, uid: 4242}}, "", alice, "DIR/check belongs to uid 4242"},
		{"file writable by others", []node{{path: "check", mode: 0o757, content: script}}, "", root, "DIR/check is writable by everybody"},
		{"file writable by a group", []node{{path: "check", mode: 0o775, content: script, gid: 4444}}, "", root, "DIR/check is writable by group 4444"},
		{"file writable by root's group", []node{{path: "check", mode: 0o775, content: script}}, "", root, ""},
		{"directory of another", []node{{path: "d/", mode: 0o755, uid: 4242}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, "DIR/d belongs to uid 4242"},
		{"directory writable by others", []node{{path: "d/", mode: 0o777}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, "DIR/d is writable by everybody"},
		{"directory writable by a group", []node{{path: "d/", mode: 0o775, gid: 4444}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, "DIR/d is writable by group 4444"},
		{"sticky directory", []node{{path: "d/", mode: 0o1777}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, ""},
		{"sticky directory of another", []node{{path: "d/", mode: 0o1777, uid: 4242}, {path: "d/check", mode: 0o755, content: script}}, "d/check", alice, "DIR/d belongs to uid 4242"},
		{"link of another in a sticky directory", []node{good, {path: "d/", mode: 0o1777}, {path: "d/l", link: "../check", uid: 4242}}, "d/l", alice, "DIR/d/l belongs to uid 4242"},

		{"link", []node{good, {path: "l", link: "check"}}, "l", alice, ""},
		{"absolute link", []node{good, {path: "l", link: "DIR/check"}}, "l", alice, ""},
		{"link to a directory", []node{{path: "d/", mode: 0o755}, {path: "d/check", mode: 0o755, content: script}, {path: "l", link: "d"}}, "l/check", alice, ""},
		{"dangling link", []node{{path: "l", link: "gone"}}, "l", alice, "DIR/gone does not exist"},
		{"link in a circle", []node{{path: "a", link: "b"}, {path: "b", link: "a"}}, "a", alice, "DIR/a has too many symbolic links"},
		{"link through an unsafe directory", []node{{path: "d/", mode: 0o777}, {path: "d/check", mode: 0o755, content: script}, {path: "l", link: "d/check"}}, "l", alice, "DIR/d is writable by everybody"},
		{"link through an unsafe directory and back", []node{good, {path: "d/", mode: 0o777}, {path: "l", link: "d/../check"}}, "l", alice, "DIR/d is writable by everybody"},
		{"link through a link in an unsafe directory", []node{good, {path: "d/", mode: 0o777}, {path: "d/m", link: "../check"}, {path: "l", link: "DIR/d/m"}}, "l", alice, "DIR/d is writable by everybody"},
		{"link to a closed directory", []node{{path: "d/", mode: 0o700}, {path: "d/check", mode: 0o755, content: script}, {path: "l", link: "d/check"}}, "l", alice, "DIR/d is not searchable by user alice"},

		{"interpreter missing", []node{{path: "check", mode: 0o755, content: "#!/nonexistent/sh -e\n"}}, "", alice, "interpreter of DIR/check: /nonexistent does not exist"},
		{"interpreter relative", []node{{path: "check", mode: 0o755, content: "#!sh\n"}}, "", alice, "DIR/check names the interpreter sh, which is not an absolute path"},
		{"interpreter not named", []node{{path: "check", mode: 0o755, content: "#! \n"}}, "", alice, "DIR/check names no interpreter after #!"},
		{"interpreter with blanks and arguments", []node{{path: "check", mode: 0o755, content: "#! \t/bin/sh -eu\n"}}, "", alice, ""},
		{"interpreter without a newline", []node{{path: "check", mode: 0o755, content: "#!/bin/sh"}}, "", alice, ""},
		{"interpreter unsafe", []node{{path: "i", mode: 0o777, content: script}, {path: "check", mode: 0o755, content: "#!DIR/i\n"}}, "", alice, "interpreter of DIR/check: DIR/i is writable by everybody"},
		{"interpreter not executable", []node{{path: "i", mode: 0o644, content: script}, {path: "check", mode: 0o755, content: "#!DIR/i\n"}}, "", alice, "interpreter of DIR/check: DIR/i is not executable by user alice"},
		{"interpreter of an interpreter", []node{{path: "i", mode: 0o755, content: "#!/bin/sh\n"}, {path: "check", mode: 0o755, content: "#!DIR/i\n"}}, "", alice, ""},
		{"interpreter of itself", []node{{path: "check", mode: 0o755, content: "#!DIR/check\n"}}, "", alice, "interpreter of DIR/check: DIR/check is one interpreter too many"},
		{"CR LF", []node{{path: "check", mode: 0o755, content: "#!/bin/sh\r\nexit 0\r\n"}}, "", alice, "DIR/check has a first line that ends in CR LF"},
		{"env", []node{{path: "check", mode: 0o755, content: "#!/usr/bin/env sh\n"}}, "", alice, ""},
		{"env missing", []node{{path: "check", mode: 0o755, content: "#!/usr/bin/env no-such-language\n"}}, "", alice, "DIR/check asks env for no-such-language"},
		{"env with options is left alone", []node{{path: "check", mode: 0o755, content: "#!/usr/bin/env -S sh -e\n"}}, "", alice, ""},
		{"text without #!", []node{{path: "check", mode: 0o755, content: "exit 0\n"}}, "", alice, "DIR/check is neither a program nor a script"},
		{"empty file", []node{{path: "check", mode: 0o755}}, "", alice, "DIR/check is neither a program nor a script"},
		{"script that cannot be read", []node{{path: "check", mode: 0o711, content: script}}, "", alice, "DIR/check is a script that user alice cannot read"},
		{"program that cannot be read", []node{{path: "check", mode: 0o711, content: "\x7fELF\x02\x01\x01\x00"}}, "", alice, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := plant(t, tt.nodes)
			command := tt.command
			if command == "" {
				command = "check"
			}
			// Joined by hand, as filepath.Join would resolve the dots.
			err := Vet([]string{dir + "/" + command, "argument"}, tt.runAs)
			if tt.problem == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			want := strings.ReplaceAll(tt.problem, "DIR", dir)
			ve, ok := errors.AsType[*VetError](err)
			if !ok || !strings.HasPrefix(ve.Problem, want) || ve.Remedy == "" {
				t.Fatalf("got %v, want %s...", err, want)
			}
			if !strings.Contains(ve.Problem, ve.Path) || ve.Error() != ve.Problem+"; "+ve.Remedy {
				t.Errorf("path %q, text %q", ve.Path, ve.Error())
			}
		})
	}
}

// TestVetAgreesWithTheKernel runs what Vet lets pass and what it does not.
func TestVetAgreesWithTheKernel(t *testing.T) {
	need(t, os.Geteuid() == 0, "root, to become other users")
	alice := &Credential{User: "alice", UID: 4242, GID: 4343, Groups: []uint32{4444}, Home: "/"}
	root := &Credential{User: "root", Home: "/"}
	for _, runAs := range []*Credential{alice, root} {
		for _, gid := range []int{0, 4343, 4444, 4545} {
			for mode := range os.FileMode(0o1000) {
				if mode&0o222 != 0 { // writing does not matter, or is refused for other reasons
					continue
				}
				for _, kind := range []string{"directory", "file"} {
					nodes := []node{{path: "d/", mode: mode, gid: gid}, {path: "d/check", mode: 0o555, content: script}}
					if kind == "file" {
						nodes = []node{{path: "d/", mode: 0o555}, {path: "d/check", mode: mode, content: script, gid: gid}}
					}
					if mode%8 != mode/8%8 && mode%8 != 0 && mode%8 != 5 {
						continue // keeps the number of runs at bay
					}
					command := []string{plant(t, nodes) + "/d/check"}
					err := Vet(command, runAs)
					out := run(t, ExecSpec{Command: command, RunAs: runAs})
					if (err == nil) != out.Passed() {
						t.Errorf("%s %03o of group %d as %s: Vet says %v, the kernel %s", kind, mode, gid, runAs.User, err, out.Detail())
					}
				}
			}
		}
	}
}

func TestVetCommand(t *testing.T) {
	tests := []struct {
		command []string
		want    string
	}{
		{nil, "the command is empty; write the absolute path of a program, then its arguments"},
		{[]string{""}, "the command is empty; write the absolute path of a program, then its arguments"},
		{[]string{"true"}, "true is not an absolute path; write the full path, such as /usr/local/bin/check"},
		{[]string{"./check"}, "./check is not an absolute path; write the full path, such as /usr/local/bin/check"},
		{[]string{"/bin/true", "a\x00b"}, "the command contains a NUL byte; remove it"},
		{[]string{"/bin/true"}, ""},
		{[]string{"/usr/bin/env"}, ""},
	}
	for _, tt := range tests {
		err := Vet(tt.command, nil)
		if got := fmt.Sprint(err); tt.want != "" && got != tt.want || tt.want == "" && err != nil {
			t.Errorf("%q: %v, want %q", tt.command, err, tt.want)
		}
	}
}

// A daemon that is not root runs nothing with more rights than its own, so it
// does not care who else may write there.
func TestVetSafetyIsForRoot(t *testing.T) {
	need(t, os.Geteuid() == 0, "root, to give files away")
	dir := plant(t, []node{{path: "d/", mode: 0o777, uid: 4242}, {path: "d/check", mode: 0o777, content: script, uid: 4242}})
	v := vetter{runAs: &Credential{User: "bob", UID: 4242, GID: 4242}, daemon: 4242}
	if err := v.program(dir+"/d/check", interpretersMax); err != nil {
		t.Errorf("as another user: %v", err)
	}
	v.daemon = 0
	if err := v.program(dir+"/d/check", interpretersMax); err == nil {
		t.Error("as root: not refused")
	}
}

func TestVetAccessControlLists(t *testing.T) {
	need(t, os.Geteuid() == 0, "root, to vet as root does")
	dir := plant(t, []node{{path: "x", mode: 0o700, content: script}, {path: "w", mode: 0o755, content: script}})
	for name, perm := range map[string]uint16{"x": read | execute, "w": 7} {
		err := unix.Setxattr(dir+"/"+name, "system.posix_acl_access", accessList(4242, perm), 0)
		need(t, err == nil, fmt.Sprintf("access control lists on the file system of %s (%v)", dir, err))
	}
	alice := &Credential{User: "alice", UID: 4242, GID: 4343, Home: "/"}
	if err := Vet([]string{dir + "/x"}, alice); err != nil {
		t.Errorf("executable through its list: %v", err)
	}
	if out := run(t, ExecSpec{Command: []string{dir + "/x"}, RunAs: alice}); !out.Passed() {
		t.Errorf("executable through its list, but the kernel says %s", out.Detail())
	}
	if err := Vet([]string{dir + "/w"}, alice); err == nil || !strings.Contains(err.Error(), "access control list") {
		t.Errorf("writable through its list: %v", err)
	}
}

// accessList is an access control list that gives one user a permission beyond
// mode 0700 (linux/posix_acl_xattr.h).
func accessList(uid uint32, perm uint16) []byte {
	const (
		version                                 = 2
		userObj, user, groupObj, mask, otherObj = 0x01, 0x02, 0x04, 0x10, 0x20
	)
	b := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{userObj, 7, 1<<32 - 1}, {user, perm, uid}, {groupObj, 0, 1<<32 - 1}, {mask, perm, 1<<32 - 1}, {otherObj, 0, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}
