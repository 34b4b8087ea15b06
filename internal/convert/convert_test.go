package convert

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vrrpd/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// env is a host with two programs, on which keepalived_script is a user.
func env() Env {
	return Env{
		ReadFile: os.ReadFile, Glob: filepath.Glob,
		LookPath: func(name string) (string, error) {
			if name == "pidof" || name == "true" {
				return "/usr/bin/" + name, nil
			}
			return "", errors.New("no such program")
		},
		Getenv:     func(name string) string { return "env-" + name },
		UserExists: func(name string) bool { return name == "keepalived_script" },
		Mode:       func(path string) (fs.FileMode, error) { return HostEnv().Mode(path) },
		ID:         "lb1",
	}
}

// TestGolden converts the files of testdata. What comes out is what is there
// as .toml, and what is told as .txt.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".conf")
		t.Run(filepath.Base(base), func(t *testing.T) {
			r := File(file, env())
			var told strings.Builder
			for _, p := range r.Problems {
				if p.Warning {
					told.WriteString("warning: ")
				}
				told.WriteString(p.String() + "\n")
			}
			if (r.TOML == "") != (len(r.Problems.Errors()) > 0) {
				t.Errorf("%d bytes in spite of %d errors", len(r.TOML), len(r.Problems.Errors()))
			}
			golden(t, base+".txt", told.String())
			golden(t, base+".toml", r.TOML)
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if got == "" {
			_ = os.Remove(path)
		} else if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil && (got != "" || !errors.Is(err, fs.ErrNotExist)) {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// TestTutorial: what comes of the tutorial's files is what the example says to
// be the same, but for names, and the password that stands in a file there.
func TestTutorial(t *testing.T) {
	for _, node := range []string{"master", "backup"} {
		dir := "../../examples/tutorial/"
		r := File(dir+node+".conf", env())
		got, problems := config.Parse("", []byte(r.TOML), config.Env{})
		if got == nil {
			t.Fatal(r.Problems, problems)
		}
		data, err := os.ReadFile(dir + node + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		want, problems := config.Parse("", data, config.Env{ReadFile: func(string) ([]byte, fs.FileMode, error) { return []byte("1111\n"), 0o600, nil }})
		if want == nil {
			t.Fatal(problems)
		}
		want.Checks[0].Name, want.Instances[0].Track[0].Check = got.Checks[0].Name, got.Checks[0].Name
		want.Instances[0].PasswordFile = ""
		if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", node, d)
		}
	}
}

func text(conf string) Result {
	e := env()
	e.ReadFile = func(string) ([]byte, error) { return []byte(conf), nil }
	e.Glob = func(pattern string) ([]string, error) { return []string{pattern}, nil }
	return File("k.conf", e)
}

// One instance that is right.
const minimal = "vrrp_instance web {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress { 192.0.2.1/24 }\n}\n"

// TestEndless: what goes round in circles ends, and is told.
func TestEndless(t *testing.T) {
	for name, c := range map[string]struct{ conf, told string }{
		"include":   {"include k.conf\n" + minimal, "include each other"},
		"many":      {strings.Repeat("include k.conf\n", 3) + minimal, "include each other"},
		"define":    {"$A=${B}\n$B=${A}\n$A\n" + minimal, "within each other"},
		"grows":     {"$A=${B}${B}\n$B=${A}${A}\n$A\n" + minimal, "within each other"},
		"sequences": {strings.Repeat("~SEQ(A,1,60000) ", 30) + "x\n" + minimal, "more than 100000 lines"},
		"nothing":   {strings.Repeat("~SEQ(A,1,60000) ", 30) + "\n" + minimal, "more text"},
		"lines":     {"~SEQ(A,1,60000) x\n~SEQ(A,1,60000) x\n" + minimal, "more than 100000 lines"},
		"step":      {"~SEQ(A,1,0,9) x\n" + minimal, "cannot be read"},
		"far":       {"~SEQ(A,1,2000000000) x\n" + minimal, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if told := strings.Join(text(c.conf).Problems.Errors().Strings(), "\n"); !strings.Contains(told, c.told) {
				t.Errorf("it is not told: %.300s", told)
			}
		})
	}
}

// TestManyAlike: names that are alike in what a name of vrrpd can hold become
// names of their own, soon.
func TestManyAlike(t *testing.T) {
	const n = 4000
	r := text("~SEQ(N,1," + strconv.Itoa(n) + ") vrrp_script " + strings.Repeat("x", 70) + "${N} { script /bin/true }\n" + minimal)
	seen := map[string]bool{}
	for l := range strings.SplitSeq(r.TOML, "\n") {
		if strings.HasPrefix(l, "[check.") {
			seen[l] = true
		}
	}
	if len(seen) != n || len(r.Problems.Errors()) > 0 {
		t.Errorf("%d names, %v", len(seen), r.Problems.Errors())
	}
}

// TestEveryKeyword: no keyword of keepalived.conf(5) that means something to
// VRRP is called unknown in all places, and none that is not one is known.
func TestEveryKeyword(t *testing.T) {
	data, err := os.ReadFile("testdata/keywords.txt")
	if err != nil {
		t.Fatal(err)
	}
	keywords := strings.Fields(string(data))
	if len(keywords) < 200 {
		t.Fatalf("%d keywords", len(keywords))
	}
	places := []string{"%s x\n", "global_defs {\n%s x\n}\n", "vrrp_script s {\n%s x\n}\n", "track_file f {\n%s x\n}\n",
		"vrrp_track_process p {\n%s x\n}\n", "vrrp_sync_group g {\n%s x\n}\n", "vrrp_instance i {\n%s x\n}\n"}
	known := func(keyword string) bool {
		return slices.ContainsFunc(places, func(place string) bool {
			told := strings.Join(text(minimal+fmt.Sprintf(place, keyword)).Problems.Strings(), "\n")
			return !strings.Contains(told, "unknown")
		})
	}
	for _, k := range keywords {
		if !known(k) {
			t.Errorf("%s is unknown", k)
		}
	}
	if known("vrrp_instnace") {
		t.Error("anything is known")
	}
}

func TestArguments(t *testing.T) {
	for text, want := range map[string][]string{
		`/bin/a b  c`:             {"/bin/a", "b", "c"},
		`"/bin/a" 'b c' d\ e`:     {"/bin/a", "b c", "d e"},
		`"tab\there" 'tab\there'`: {"tab\there", `tab\there`},
		`"" x`:                    {"", "x"},
		`"unclosed x`:             {"unclosed x"},
		``:                        nil,
	} {
		if d := cmp.Diff(want, arguments(text)); d != "" {
			t.Errorf("%s (-want +got):\n%s", text, d)
		}
	}
}

// FuzzFile: whatever it is given, it ends, and either says what is wrong or
// makes a configuration that is read without an error.
func FuzzFile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, conf string) {
		r := text(conf)
		if len(r.Problems.Errors()) > 0 {
			if r.TOML != "" {
				t.Error("a configuration in spite of errors")
			}
			return
		}
		if plan, problems := config.Parse("", []byte(r.TOML), config.Env{}); plan == nil {
			t.Errorf("%v\n%s", problems, r.TOML)
		}
	})
}
