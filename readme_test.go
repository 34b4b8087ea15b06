package vrrpd_test

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vrrpd/healthcheck"
	"vrrpd/internal/config"
)

// documents are what people read; the tests below hold for all of them.
func documents(t *testing.T) []string {
	t.Helper()
	return append(files(t, ".md"), "doc.go")
}

// exampleEnv is a host that has everything that examples refer to.
func exampleEnv() config.Env {
	user := &healthcheck.Credential{User: "nobody", UID: 65534, GID: 65534, Home: "/"}
	return config.Env{
		Hostname:    func() (string, error) { return "node1", nil },
		DefaultUser: func() *healthcheck.Credential { return user },
		LookupUser:  func(string) (*healthcheck.Credential, error) { return user, nil },
		Vet:         func([]string, *healthcheck.Credential) error { return nil },
		ReadFile: func(name string) ([]byte, fs.FileMode, error) {
			if name == "/etc/vrrpd/pass" {
				return []byte("1111\n"), 0o600, nil
			}
			return nil, 0, errors.New("no such file on the host of the examples")
		},
	}
}

// blocks are the fenced blocks of one language in a document, each with the
// line before its fence.
func blocks(text, language string) (out [][2]string) {
	before, inside := "", false
	for line := range strings.Lines(text) {
		switch {
		case inside && line == "```\n":
			inside = false
		case inside:
			out[len(out)-1][1] += line
		case line == "```"+language+"\n":
			inside = true
			out = append(out, [2]string{before, ""})
		}
		before = line
	}
	return out
}

// TestConfigurationsInDocuments: what a reader may copy loads without a doubt.
func TestConfigurationsInDocuments(t *testing.T) {
	for _, name := range documents(t) {
		found := blocks(string(read(t, name)), "toml")
		if name == "README.md" && len(found) < 2 {
			t.Errorf("README.md has %d configurations, want its example and what goes with it", len(found))
		}
		whole := ""
		for _, b := range found {
			// Later blocks of a document are pieces that go with the first.
			whole += b[1]
			if _, problems := config.Parse(name, []byte(whole), exampleEnv()); len(problems) > 0 {
				t.Errorf("a configuration in %s does not load:\n%s", name, strings.Join(problems.Strings(), "\n"))
			}
		}
	}
}

// TestReadmeExample: the example in the README is the file it says it is.
func TestReadmeExample(t *testing.T) {
	found := blocks(string(read(t, "README.md")), "toml")
	m := regexp.MustCompile(`<!-- file: (\S+), without its comments -->`).FindStringSubmatch(found[0][0])
	if m == nil {
		t.Fatal("the first configuration does not say which file it is")
	}
	settings := func(text string) (out []string) {
		for _, line := range strings.Split(text, "\n") {
			line, _, _ = strings.Cut(line, " #")
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				out = append(out, line)
			}
		}
		return out
	}
	if shown, file := settings(found[0][1]), settings(string(read(t, m[1]))); !slices.Equal(shown, file) {
		t.Errorf("README.md shows %q, %s has %q", shown, m[1], file)
	}
}

// TestLinks: what a document points to exists.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(string(read(t, name)), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.FromSlash(path.Join(path.Dir(name), target))); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

// TestPathsInDocuments: a file or directory that a document names by its path
// from the root exists.
func TestPathsInDocuments(t *testing.T) {
	named := regexp.MustCompile("(?:^|[\\s`(])((?:examples|docs|internal|cmd|vrrp|vip|healthcheck|bonding|integration|scripts)/[A-Za-z0-9_./-]+)")
	for _, name := range []string{"README.md", "CHANGELOG.md", "doc.go", "docs/architecture.md", "docs/decisions.md", "docs/operations.md"} {
		for _, m := range named.FindAllStringSubmatch(string(read(t, name)), -1) {
			p := strings.TrimRight(m[1], "./")
			if _, err := os.Stat(filepath.FromSlash(p)); err != nil {
				t.Errorf("%s names %s: %v", name, p, err)
			}
		}
	}
}

// TestCommandsInDocuments: targets of make, commands of vrrpctl and options of
// vrrpd that a reader is told to type exist.
func TestCommandsInDocuments(t *testing.T) {
	targets := regexp.MustCompile(`(?m)^([a-z][a-z-]*)\s*:(?:[^=]|$)`).FindAllStringSubmatch(string(read(t, "Makefile")), -1)
	manual := string(read(t, "docs/vrrpctl.md"))
	typed := regexp.MustCompile("(?m)(?:^ {4}|`)(?:\\$ |sudo )*(make|vrrpctl|vrrpd) ([a-z-][^`\\n]*)")
	for _, name := range []string{"README.md", "docs/operations.md"} {
		for _, m := range typed.FindAllStringSubmatch(string(read(t, name)), -1) {
			words := strings.Fields(m[2])
			switch m[1] {
			case "make":
				if !slices.ContainsFunc(targets, func(x []string) bool { return x[1] == words[0] }) {
					t.Errorf("%s: there is no target for make %s", name, words[0])
				}
			case "vrrpctl":
				if slices.Contains([]string{"drill", "bond"}, words[0]) || strings.HasPrefix(m[2], "config convert") {
					continue // told of as not built yet; see TestNotBuilt
				}
				if !regexp.MustCompile("(?m)^## `vrrpctl " + words[0] + `\b`).MatchString(manual) {
					t.Errorf("%s: docs/vrrpctl.md does not know vrrpctl %s", name, words[0])
				}
			case "vrrpd":
				for _, w := range words {
					if strings.HasPrefix(w, "-") && !slices.Contains([]string{"-c", "--check", "--version"}, w) {
						t.Errorf("%s: vrrpd has no option %s", name, w)
					}
				}
			}
		}
	}
}

// TestNotBuilt: what the manual describes is no longer called not built, and
// what is not built is said to be.
func TestNotBuilt(t *testing.T) {
	manual := string(read(t, "docs/vrrpctl.md"))
	_, pending, ok := strings.Cut(string(read(t, "README.md")), "**Not built yet:**")
	if !ok {
		return // everything is
	}
	pending, _, _ = strings.Cut(pending, "\n\n")
	for _, m := range regexp.MustCompile("`vrrpctl ([a-z]+)").FindAllStringSubmatch(pending, -1) {
		if regexp.MustCompile("(?m)^## `vrrpctl " + m[1] + `\b`).MatchString(manual) {
			t.Errorf("README.md says that vrrpctl %s is not built yet, and docs/vrrpctl.md describes it", m[1])
		}
	}
}

// TestExamplesAreMentioned: no example is hidden.
func TestExamplesAreMentioned(t *testing.T) {
	text := string(read(t, "README.md"))
	if more, err := os.ReadFile("examples/README.md"); err == nil {
		text += string(more)
	}
	for _, name := range files(t, "") {
		rest, ok := strings.CutPrefix(name, "examples/")
		if !ok || rest == "README.md" {
			continue
		}
		// A directory stands for what is in it.
		if dir, _, nested := strings.Cut(rest, "/"); nested && strings.Contains(text, "["+"examples/"+dir+"/]") || strings.Contains(text, name) {
			continue
		}
		t.Errorf("neither README.md nor examples/README.md mentions %s", name)
	}
}
