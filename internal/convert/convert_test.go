package convert

import (
	"errors"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
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
	for name, conf := range map[string]string{
		"include":   "include k.conf\n" + minimal,
		"define":    "$A = ${B}\n$B = ${A}\n$A\n" + minimal,
		"grows":     "$A = ${B}${B}\n$B = ${A}${A}\n$A\n" + minimal,
		"sequences": strings.Repeat("~SEQ(A,1,60000) ", 30) + "x\n" + minimal,
		"step":      "~SEQ(A,1,0,9) x\n" + minimal,
		"far":       "~SEQ(A,1,2000000000) x\n" + minimal,
	} {
		t.Run(name, func(t *testing.T) {
			if r := text(conf); len(r.Problems.Errors()) == 0 {
				t.Errorf("it is converted: %s %v", r.TOML, r.Problems)
			}
		})
	}
}

// TestEveryKeyword: nothing that the manual knows is called unknown.
func TestEveryKeyword(t *testing.T) {
	for _, f := range fates {
		for w := range strings.FieldsSeq(f.words) {
			if strings.Contains(w, "*") {
				continue
			}
			r := text(minimal + w + " x\n")
			said := strings.Join(r.Problems.Strings(), "\n")
			if strings.Contains(said, "unknown") || f.quiet == strings.Contains(said, w) {
				t.Errorf("%s: %s", w, said)
			}
		}
	}
	if r := text(minimal + "vrrp_instnace x\n"); len(r.Problems.Warnings()) != 1 || !strings.Contains(r.Problems[0].What, "unknown") {
		t.Error(r.Problems)
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
