package bonding

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const examples = "../examples/bond"

// exampleOptions is what every example asks for, in the kernel's words.
var exampleOptions = map[string]string{
	"mode": "active-backup", "miimon": "100", "updelay": "2000", "num_grat_arp": "1", "resend_igmp": "1",
}

// exampleBond is the bond the kernel makes of them.
func exampleBond() *Bond {
	return changed(sound(), func(b *Bond) { b.UpDelay = 2 * time.Second })
}

func TestExamples(t *testing.T) {
	tests := []struct {
		file string
		read func(*testing.T, string) map[string]string
	}{
		{"netplan/60-bond0.yaml", func(t *testing.T, text string) map[string]string {
			bond := at(t, text, "network", "bonds", "bond0")
			twoLinks(t, bond["interfaces"])
			return fromYAML(t, bond["parameters"].(map[string]any), func(s spelling) string { return s.netplan })
		}},
		{"talos/bond0.yaml", func(t *testing.T, text string) map[string]string {
			doc := at(t, text)
			twoLinks(t, doc["links"])
			for _, other := range []string{"apiVersion", "kind", "name", "links", "up", "addresses", "routes"} {
				delete(doc, other)
			}
			return fromYAML(t, doc, func(s spelling) string { return s.talos })
		}},
		{"talos/bond0-before-1.12.yaml", func(t *testing.T, text string) map[string]string {
			list := at(t, text, "machine", "network")["interfaces"].([]any)
			bond := list[0].(map[string]any)["bond"].(map[string]any)
			twoLinks(t, bond["interfaces"])
			delete(bond, "interfaces")
			return fromYAML(t, bond, func(s spelling) string {
				switch s.talos { // two words were others then
				case "bondMode":
					return "mode"
				case "resendIGMP":
					return "resendIgmp"
				}
				return s.talos
			})
		}},
		{"networkmanager/bond0.sh", func(t *testing.T, text string) map[string]string {
			if strings.Count(text, "master bond0") != 2 {
				t.Error("not two links")
			}
			return kernelOptionsOf(t, text, `bond.options "(.*)"`, ",")
		}},
		{"ifcfg/ifcfg-bond0", func(t *testing.T, text string) map[string]string {
			return kernelOptionsOf(t, text, `BONDING_OPTS="(.*)"`, " ")
		}},
		{"networkd/10-bond0.netdev", func(t *testing.T, text string) map[string]string {
			_, section, _ := strings.Cut(text, "[Bond]\n")
			return fromPairs(t, section, func(s spelling) string { return s.networkd })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(examples, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(exampleOptions, tt.read(t, string(text))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if found := Diagnose(*exampleBond(), DoctorInput{Instances: []Instance{{"web", time.Second}}}); len(found) > 0 {
		t.Errorf("the doctor has findings:\n%s", Text(found))
	}
}

// at parses YAML and walks down to a map.
func at(t *testing.T, text string, path ...string) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	for _, key := range path {
		next, ok := doc[key].(map[string]any)
		if !ok {
			t.Fatalf("no %s", key)
		}
		doc = next
	}
	return doc
}

func twoLinks(t *testing.T, list any) {
	t.Helper()
	if fmt.Sprint(list) != "[eth0 eth1]" {
		t.Errorf("links are %v", list)
	}
}

// fromYAML puts a manager's words back into the kernel's.
func fromYAML(t *testing.T, m map[string]any, word func(spelling) string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for key, value := range m {
		got[kernelName(t, key, word)] = fmt.Sprint(value)
	}
	return got
}

func fromPairs(t *testing.T, section string, word func(spelling) string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for line := range strings.Lines(section) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			got[kernelName(t, key, word)] = strings.TrimSuffix(value, "ms")
		}
	}
	return got
}

func kernelName(t *testing.T, key string, word func(spelling) string) string {
	t.Helper()
	for option, s := range spellings {
		if word(s) == key {
			return option
		}
	}
	t.Errorf("%s: no option of that name", key)
	return key
}

func kernelOptionsOf(t *testing.T, text, pattern, between string) map[string]string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s", pattern)
	}
	got := make(map[string]string)
	for _, pair := range strings.Split(m[1], between) {
		option, value, _ := strings.Cut(pair, "=")
		got[option] = value
	}
	return got
}

// kernelExamples has the driver take the examples, and the doctor look at it.
func kernelExamples(n *node) {
	options := ""
	for option, value := range maps.All(exampleOptions) {
		options += " " + option + " " + value
	}
	n.bond(strings.TrimSpace(options))
	n.expect("reasons", n.health(Healthy, Policy{Mode: ModeActiveBackup, MinLinks: 2, RequireMonitor: true}), "")
	b := n.read()
	n.expect("findings", Text(Diagnose(*b, DoctorInput{Instances: []Instance{{"web", time.Second}}})), "")
	want := exampleBond()
	n.expect("miimon", b.MIIMon, want.MIIMon)
	n.expect("updelay", b.UpDelay, want.UpDelay)
	n.expect("num_grat_arp", b.NumPeerNotif, want.NumPeerNotif)
	n.expect("resend_igmp", b.ResendIGMP, want.ResendIGMP)
}
