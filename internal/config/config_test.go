package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vrrpd/bonding"
	"vrrpd/healthcheck"
)

var update = flag.Bool("update", false, "write the expected files and the reference anew")

// testEnv is a host on which /absent and eth7 are missing and nosuchuser is
// unknown, with a bond called slow.
func testEnv() Env {
	return Env{
		Hostname:    func() (string, error) { return "testhost", nil },
		DefaultUser: func() *healthcheck.Credential { return &healthcheck.Credential{User: "nobody", UID: 65534, GID: 65534} },
		LookupUser: func(name string) (*healthcheck.Credential, error) {
			if name == "nosuchuser" {
				return nil, errors.New("unknown user " + name)
			}
			return &healthcheck.Credential{User: name, UID: 65534, GID: 65534}, nil
		},
		Vet: func(command []string, runAs *healthcheck.Credential) error {
			if command[0] == "/absent" || strings.Contains(command[0], " ") {
				return &healthcheck.VetError{Path: command[0], Problem: command[0] + " does not exist", Remedy: "correct the path"}
			}
			if runAs != nil && runAs.User == "stranger" {
				return &healthcheck.VetError{Problem: "this process cannot become user stranger", Remedy: "choose another user, or run as root"}
			}
			return nil
		},
		ReadFile: func(path string) ([]byte, fs.FileMode, error) {
			switch path {
			case "/etc/vrrpd/pass":
				return []byte("secret\n"), 0o600, nil
			case "/etc/vrrpd/open":
				return []byte("12345678"), 0o644, nil
			case "/etc/vrrpd/long":
				return []byte("123456789"), 0o600, nil
			}
			if strings.HasPrefix(path, "/") {
				return nil, 0, fs.ErrNotExist
			}
			data, err := os.ReadFile(path)
			return data, 0o644, err
		},
		InterfaceExists: func(name string) bool { return name != "eth7" },
		BondsUnder: func(iface string) []bonding.Bond {
			if iface != "slow" {
				return nil
			}
			return []bonding.Bond{{Name: "slow", Mode: bonding.ModeActiveBackup, MIIMon: time.Minute, DownDelay: time.Minute}}
		},
	}
}

// expect compares a text with a file, or writes the file with -update.
func expect(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got), go test -update rewrites it:\n%s", file, diff)
	}
}

// TestProblems compares every report on the files in testdata with the lines
// in the .txt beside them.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files in testdata", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			plan, problems := Parse(filepath.Base(file), data, testEnv())
			bad := strings.HasPrefix(filepath.Base(file), "bad-")
			if bad != (plan == nil) || bad != (len(problems.Errors()) > 0) {
				t.Errorf("plan %v, %d errors", plan != nil, len(problems.Errors()))
			}
			var b strings.Builder
			for _, p := range problems {
				if p.Warning {
					b.WriteString("warning: ")
				}
				b.WriteString(p.String() + "\n")
			}
			expect(t, strings.TrimSuffix(file, ".toml")+".txt", b.String())
		})
	}
}

// TestTenMistakes holds the number of lines fast, whatever -update writes.
func TestTenMistakes(t *testing.T) {
	_, problems := Load("testdata/bad-ten.toml", testEnv())
	if len(problems) != 10 {
		t.Errorf("ten mistakes make %d lines:\n%s", len(problems), strings.Join(problems.Strings(), "\n"))
	}
}

const minimal = `
[instance.web]
interface = "eth0"
vrid = 51
addresses = ["192.0.2.1/24"]
`

func TestDefaults(t *testing.T) {
	plan, problems := Parse("min.toml", []byte("[check.c]\ncommand = [\"/bin/true\"]\ninterval = \"2s\"\n"+minimal+"track = [\"c\"]\n"), testEnv())
	if len(problems) > 0 {
		t.Fatal(problems.Strings())
	}
	want := &Plan{
		File: "min.toml",
		Node: "testhost", Realtime: "auto",
		Log:     Log{Level: "info", Format: "text"},
		Control: Control{Socket: "/run/vrrpd/vrrpd.sock", Group: "vrrpd"},
		Checks: []Check{{Name: "c", Command: []string{"/bin/true"}, Interval: 2 * time.Second, Timeout: 2 * time.Second,
			Rise: 1, Fall: 1, KillGrace: 500 * time.Millisecond, User: "nobody", RunAs: testEnv().DefaultUser()}},
		Instances: []Instance{{Name: "web", Interface: "eth0", VRID: 51, Version: 3, Priority: 100, AdvertInterval: time.Second,
			Checksum: "auto", Preempt: true, Addresses: []Address{{Prefix: prefix("192.0.2.1/24"), Interface: "eth0"}},
			Track: []Track{{Check: "c"}}, Handover: "hold", HandoverTimeout: 5 * time.Second, Lease: 5 * time.Second, Conflict: "defend", Announce: Announce{Burst: 5, Again: 5 * time.Second}}},
	}
	if diff := cmp.Diff(want, plan, comparePlans); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestZeroEnv: without any hook the file alone decides.
func TestZeroEnv(t *testing.T) {
	plan, problems := Parse("min.toml", []byte(minimal), Env{})
	if plan == nil || len(problems) > 0 {
		t.Error(problems.Strings())
	}
	if plan, problems := Load("min.toml", Env{}); plan != nil || len(problems) != 1 {
		t.Error("a file was loaded without a way to read it")
	}
}

var comparePlans = cmpopts.EquateComparable(prefix(""), addr(""))
