package vrrpd_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"vrrpd/internal/build"
)

// mayImport lists every package of the module and which others of the module
// it may import. A package that is not here fails the test: it has to find its
// place in docs/architecture.md first.
var mayImport = map[string][]string{
	".": {},

	// The five rooms that know nothing of each other, nor of the house.
	"vrrp":           {},
	"vrrp/transport": {},
	"healthcheck":    {"healthcheck/probe"},
	"vip":            {},
	"bonding":        {},

	"vrrp/sim":          {"vrrp"},
	"healthcheck/probe": {},

	"internal/beats":   {},
	"internal/build":   {},
	"internal/netif":   {},
	"internal/whohas":  {},
	"internal/config":  {"bonding", "healthcheck", "healthcheck/probe"},
	"internal/convert": {"internal/config"},
	"internal/control": {},
	"internal/daemon": {"vrrp", "vrrp/transport", "healthcheck", "healthcheck/probe", "vip", "bonding",
		"internal/beats", "internal/config", "internal/control", "internal/netif", "internal/whohas"},
	"internal/metrics": {"internal/control", "internal/daemon"},
	"internal/web":     {"internal/control"},

	"cmd/vrrpd":   {"healthcheck", "internal/build", "internal/config", "internal/control", "internal/daemon", "internal/metrics", "internal/web"},
	"cmd/vrrpctl": {"bonding", "healthcheck", "healthcheck/probe", "internal/build", "internal/config", "internal/control", "internal/convert"},

	// For tests and the demonstration only.
	"internal/control/controltest": {"internal/control"},
	"internal/lab":                 {},
	"internal/lab/bench/figures":   {},
}

// testsMayImport is what test files may import besides. The root's and the
// integration tests look at everything.
var testsMayImport = []string{"internal/lab", "internal/build", "internal/control/controltest"}

// looksAtAll are the directories that may import any room.
var looksAtAll = []string{"integration", "internal/lab/demo", "internal/lab/bench"}

// onlyIn lists what only some packages may import, by the beginning of its
// path: the rooms take no logger, one place knows of systemd, and so on.
var onlyIn = map[string][]string{
	"github.com/hashicorp/go-hclog":      {"cmd/vrrpd", "internal/daemon"},
	"github.com/coreos/go-systemd":       {"cmd/vrrpd", "internal/daemon"},
	"github.com/prometheus/":             {"internal/metrics"},
	"github.com/spf13/cobra":             {"cmd/vrrpctl"},
	"github.com/BurntSushi/toml":         {"internal/config", "cmd/vrrpctl"},
	"github.com/vishvananda/netlink":     {"vip", "bonding", "healthcheck/probe", "internal/netif", "internal/whohas", "internal/lab", "internal/lab/bench", "integration"},
	"github.com/mdlayher/":               {"vip", "healthcheck/probe", "internal/whohas", "internal/lab", "integration"},
	"go.yaml.in/yaml":                    {"cmd/vrrpctl"},
	"log/slog":                           {},
	"unsafe":                             {"vrrp/transport", "vip", "bonding", "healthcheck", "internal/beats", "internal/control", "internal/lab", "integration"},
	"github.com/google/go-cmp":           {}, // in tests only
	"go.uber.org/goleak":                 {}, // in tests only
	"vrrpd/internal/control/controltest": {}, // in tests only
}

// pureMayImport is the standard library of packages that read no clock, open
// no socket and start no goroutine.
var pureMayImport = []string{"bytes", "cmp", "container/heap", "crypto/subtle", "encoding/binary", "errors", "fmt", "iter", "maps", "math", "math/bits", "math/rand/v2",
	"net/netip", "slices", "sort", "strconv", "strings", "time"}

// pureMayUse is what they may use of package time.
var pureMayUse = []string{"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}

const maxLines = 600

// A source is one Go file of the module.
type source struct {
	name string // slash-separated, from the root
	dir  string
	test bool
	data []byte
	file *ast.File
}

var fset = token.NewFileSet()

// files lists the files of the repository with a suffix.
func files(t *testing.T, suffix string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == ".git" || name == "bin" || name == "build") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() && strings.HasSuffix(name, suffix) {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sources parses every Go file.
func sources(t *testing.T) (all []*source) {
	t.Helper()
	for _, name := range files(t, ".go") {
		s := &source{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), data: read(t, name)}
		var err error
		if s.file, err = parser.ParseFile(fset, name, s.data, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			t.Error(err)
			continue
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		t.Fatal("no Go files: not in the root of the repository?")
	}
	return all
}

func (s *source) imports() (paths []string) {
	for _, i := range s.file.Imports {
		// The parser has seen that it is a string.
		p, _ := strconv.Unquote(i.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// TestImportDirection: arrows between the rooms point one way.
func TestImportDirection(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.dir] = true
		if slices.Contains(looksAtAll, s.dir) || s.dir == "." && s.test {
			continue
		}
		allowed, known := mayImport[s.dir]
		if !known {
			t.Errorf("%s: package %s has no place in the list of this test, nor in docs/architecture.md", s.name, s.dir)
			continue
		}
		for _, p := range s.imports() {
			local, ok := strings.CutPrefix(p, "vrrpd/")
			if !ok || local == s.dir || slices.Contains(allowed, local) || s.test && slices.Contains(testsMayImport, local) {
				continue
			}
			t.Errorf("%s imports %s; it may import %q", s.name, p, allowed)
		}
	}
	for dir := range mayImport {
		if !seen[dir] {
			t.Errorf("the list of this test has %s, which does not exist", dir)
		}
	}
}

// TestOnlyImporters: what only some places may know of.
func TestOnlyImporters(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.dir == "internal/control/controltest" {
			continue
		}
		for _, p := range s.imports() {
			for what, places := range onlyIn {
				if strings.HasPrefix(p, what) && !slices.Contains(places, s.dir) {
					t.Errorf("%s imports %s, which is for %q only", s.name, p, places)
				}
			}
		}
	}
}

// TestElectionIsPure: the protocol reads no clock, opens no socket, starts no
// goroutine and shares nothing.
func TestElectionIsPure(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.dir != "vrrp" && s.dir != "vrrp/sim" {
			continue
		}
		for _, p := range s.imports() {
			if !slices.Contains(pureMayImport, p) && !strings.HasPrefix(p, "vrrpd/") {
				t.Errorf("%s imports %s", s.name, p)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && !slices.Contains(pureMayUse, n.Sel.Name) {
					t.Errorf("%s uses time.%s", fset.Position(n.Pos()), n.Sel.Name)
				}
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				t.Errorf("%s: goroutines and channels have no place here", fset.Position(n.Pos()))
			}
			return true
		})
	}
}

// TestPackageComments: every package says what it is for.
func TestPackageComments(t *testing.T) {
	comment := map[string]string{}
	for _, s := range sources(t) {
		if !s.test {
			comment[s.dir] += s.file.Doc.Text()
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(comment)) {
		if len(comment[dir]) < 40 {
			t.Errorf("package %s has no comment, or one that says nothing", dir)
		}
	}
}

// TestFormat: gofmt has nothing to do.
func TestFormat(t *testing.T) {
	for _, s := range sources(t) {
		formatted, err := format.Source(s.data)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
		} else if !bytes.Equal(formatted, s.data) {
			t.Errorf("%s: not formatted; run gofmt -w %s", s.name, s.name)
		}
	}
}

// TestFileLength: a file can be read in one sitting.
func TestFileLength(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.data, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, more than %d", s.name, n, maxLines)
		}
	}
}

// TestOwnWorld: nothing in the repository knows the machine it was written on.
func TestOwnWorld(t *testing.T) {
	foreign := []*regexp.Regexp{
		regexp.MustCompile(`/wor` + `k/`),
		regexp.MustCompile(`/home/[a-z]+/`),
		regexp.MustCompile(`/Users/[a-z]+/`),
	}
	for _, name := range files(t, "") {
		data := read(t, name)
		if name == ".git" || !utf8.Valid(data) { // of a work tree: it says where the rest is
			continue
		}
		for n, line := range strings.Split(string(data), "\n") {
			for _, f := range foreign {
				if found := f.FindString(line); found != "" {
					t.Errorf("%s:%d mentions %s", name, n+1, found)
				}
			}
		}
	}
}

// TestDependenciesAreExplained: every direct requirement has its line, and
// every line its requirement.
func TestDependenciesAreExplained(t *testing.T) {
	required := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(read(t, "go.mod")))
	requirement := regexp.MustCompile(`^(?:require\s+|\t)(\S+) v\S+$`) // an indirect one has a comment behind it
	for lines.Scan() {
		if m := requirement.FindStringSubmatch(lines.Text()); m != nil {
			required[m[1]] = true
		}
	}
	if len(required) == 0 {
		t.Fatal("no requirements found in go.mod")
	}
	explained := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^` ]+/[^` ]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(read(t, "docs/decisions.md")), -1) {
		explained[m[1]] = true
		for i, cell := range strings.Split(m[2], " | ") {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("docs/decisions.md: cell %d of %s is empty", i+2, m[1])
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(required)) {
		if !explained[m] {
			t.Errorf("docs/decisions.md does not say what %s is for", m)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(explained)) {
		if !required[m] {
			t.Errorf("docs/decisions.md explains %s, which go.mod does not require", m)
		}
	}
}

// TestChangelog: the version that the programs report has its heading.
func TestChangelog(t *testing.T) {
	heading := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(build.Version) + `\] - (Unreleased|\d{4}-\d\d-\d\d)$`)
	if !heading.Match(read(t, "CHANGELOG.md")) {
		t.Errorf("CHANGELOG.md has no heading for version %s", build.Version)
	}
}

// TestLicence: the licence is the one that the README names.
func TestLicence(t *testing.T) {
	if !bytes.Contains(read(t, "LICENSE"), []byte("Apache License")) || !bytes.Contains(read(t, "README.md"), []byte("[Apache-2.0](LICENSE)")) {
		t.Error("LICENSE and README.md do not agree on Apache-2.0")
	}
}
