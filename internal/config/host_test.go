package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestLoad reads real files with the host's own environment.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "vrrpd.toml")
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("vrrpd.toml", "[check.true]\ncommand = [\"/bin/true\"]\n"+minimal+"track = [\"true\"]\n", 0o600)
	plan, problems := Load(file, HostEnv())
	if len(problems) > 0 {
		t.Fatal(problems.Strings())
	}
	if host, _ := os.Hostname(); plan.Node != host || plan.File != file || plan.Checks[0].RunAs == nil {
		t.Errorf("node %q, file %q, check %+v", plan.Node, plan.File, plan.Checks[0])
	}

	pass := write("pass", "secret\n", 0o600)
	auth := "\nversion = 2\nauth = { type = \"pass\", password_file = \"" + pass + "\" }\n"
	write("vrrpd.toml", minimal+auth, 0o644)
	plan, problems = Load(file, HostEnv())
	if len(problems) > 0 || plan.Instances[0].Password != "secret" {
		t.Fatal(problems.Strings())
	}
	if err := os.Chmod(pass, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, problems = Load(file, HostEnv()); len(problems.Warnings()) != 1 || len(problems.Errors()) != 0 {
		t.Errorf("a password file that a group may read: %q", problems.Strings())
	}

	write("vrrpd.toml", "[check.gone]\ncommand = [\"/nonexistent/check\"]\nuser = \"no such user\"\n"+minimal, 0o600)
	_, problems = Load(file, HostEnv())
	if len(problems.Errors()) != 1 || problems.Errors()[0].Key != "check.gone.user" {
		t.Errorf("%q", problems.Strings())
	}
	write("vrrpd.toml", "[check.gone]\ncommand = [\"/nonexistent/check\"]\n"+minimal, 0o600)
	_, problems = Load(file, HostEnv())
	if len(problems.Errors()) != 1 || problems.Errors()[0].Key != "check.gone.command[0]" {
		t.Errorf("%q", problems.Strings())
	}
}

// TestUnreadable: what is no file of sane size is refused, and never waited for.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	fifo, big := filepath.Join(dir, "fifo"), filepath.Join(dir, "big")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "absent"): "no such file",
		dir:                          "not a regular file",
		fifo:                         "not a regular file",
		"/dev/zero":                  "not a regular file",
		big:                          "larger than",
	} {
		plan, problems := Load(path, HostEnv())
		if plan != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), path+":1:1: ") || !strings.Contains(problems[0].What, want) {
			t.Errorf("%s: %q", path, problems.Strings())
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(minimal); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if plan, problems := Load("/dev/fd/"+itoa(r.Fd()), HostEnv()); plan == nil {
		t.Errorf("a shell's <(…): %q", problems.Strings())
	}
}

func TestInterfaceExists(t *testing.T) {
	if !InterfaceExists("lo") || InterfaceExists("no-such-if") {
		t.Error("lo is missing, or no-such-if is there")
	}
}

func itoa(fd uintptr) string { return strconv.Itoa(int(fd)) }
