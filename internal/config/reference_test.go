package config

import (
	"os"
	"strings"
	"testing"
)

// TestReference: docs/ holds what the table of keys says. -update writes it.
func TestReference(t *testing.T) {
	expect(t, "../../docs/reference.md", ReferenceMarkdown())
	expect(t, "../../docs/reference.toml", ReferenceTOML())
}

// TestReferenceLoads: the reference is a configuration.
func TestReferenceLoads(t *testing.T) {
	plan, problems := Parse("reference.toml", []byte(ReferenceTOML()), testEnv())
	if plan == nil || len(problems) > 0 {
		t.Fatal(strings.Join(problems.Strings(), "\n"))
	}
	roundTrip(t, plan)
}

// TestTableOfKeys: all literals are TOML that fits the key, and every key is
// in each form of the reference.
func TestTableOfKeys(t *testing.T) {
	text, markdown, file := Defaults(), ReferenceMarkdown(), ReferenceTOML()
	for _, table := range allTables() {
		for i := range table.keys {
			k := &table.keys[i]
			for _, literal := range []string{k.def, k.sample} {
				if literal == "" || k.unbuilt && k.only == "" {
					continue
				}
				if _, wrong := k.convert(constant(literal)); wrong != nil {
					t.Errorf("%s.%s: %s: %s", table.name, k.name, literal, wrong.what)
				}
			}
			if !k.unbuilt && k.about == "" {
				t.Errorf("%s.%s says nothing about itself", table.name, k.name)
			}
			if !strings.Contains(text, table.name+"."+k.name+" ") || !strings.Contains(markdown, "`"+k.name+"`") {
				t.Errorf("%s.%s is missing in the reference", table.name, k.name)
			}
			if !strings.Contains(file, "\n"+k.name+" = ") && !strings.Contains(file, "# "+k.name+" = ") &&
				!strings.Contains(file, "# "+k.name+": ") && !strings.Contains(file, "#   "+k.name+": ") {
				t.Errorf("%s.%s is missing in reference.toml", table.name, k.name)
			}
		}
	}
}

// TestRoundTrip: what a plan prints loads to an equal plan, whatever it uses.
func TestRoundTrip(t *testing.T) {
	data, err := os.ReadFile("testdata/warn.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{minimal, string(data), `
[node]
name = "no\"de\\ \u00e9"
[control]
group = ""
[http]
listen = "[::1]:9112"
[check."a.b"]
command = ["/bin/sh", "-c", "printf 'a\tb\n' | grep -q a", "\u0007", "a long argument so that the array does not fit one line of the file, which is a hundred"]
user = "daemon"
fall = 3
[instance."web.1"]
interface = "bond0"
vrid = 1
version = 2
addresses = ["192.0.2.1", { address = "192.0.2.2/24", label = "bond0:0" }, { address = "192.0.2.3/24", interface = "bond0.5", label = "bond0.5:x" }]
extra_addresses = ["fe80::1/64"]
track = [{ check = "a.b", weight = -5 }]
auth = { type = "pass", password_file = "/etc/vrrpd/pass" }
unicast = { source = "192.0.2.8", peers = ["192.0.2.9"] }
handover_timeout = "1m30s"
announce = { refresh = "1h" }
[instance.b]
interface = "bond0"
vrid = 2
advert_interval = "30ms"
addresses = ["192.0.2.4/24"]
track = ["a.b"]
preempt = true
[group.g]
instances = ["b"]
[[notify]]
command = ["/bin/true"]
[[notify]]
command = ["/bin/false"]
instances = ["g"]
keepalived_names = true
`} {
		plan, problems := Parse("f", []byte(text), testEnv())
		if plan == nil {
			t.Fatal(problems.Strings())
		}
		roundTrip(t, plan)
	}
}
