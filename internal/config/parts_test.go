package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParts: a file that is read in parts says what it says as a whole; what
// cannot be cut is not.
func TestParts(t *testing.T) {
	two := "[instance.a]\nvrid = 1\n[instance.b]\nvrid = 2\n"
	for text, cuts := range map[string]int{
		two:                                        1,
		"a = 1\n[node]\n" + two:                    2,
		two + "[instance.b.x]\n":                   2,
		two + "[[notify]]\na = 1\n":                1,
		"[instance]\n" + two:                       0,
		"[[instance]]\na = 1\n":                    0,
		"instance.c.d = 1\n" + two:                 0,
		"[node]\ninstance.c = 1\n" + two:           2,
		two + "x = \"\"\"\n[instance.c]\n\"\"\"\n": 1,
		two + "x = \n":                             0,
		"[node]\na = 1\n":                          0,
	} {
		d := scan(text)
		if got := cut(d, 1); len(got) != cuts {
			t.Errorf("cut %d times:\n%s", len(got), text)
		}
		crossCheck(t, text)
	}
	for name, text := range map[string]string{
		"the same instance twice":       two + "[instance.a]\nvrid = 3\n",
		"the same table twice":          "[node]\nname = \"x\"\n" + two + "[node]\n",
		"an instance in two places":     two + "[instance.a.x]\n",
		"the same instance at once":     "[instance.a]\n" + two,
		"a list of tables in two parts": "[[notify]]\n" + two + "[[notify]]\n",
	} {
		if _, ok := decodeParts(scan(text), 1, 2); ok {
			t.Errorf("%s: read in parts", name)
		}
		crossCheck(t, text)
	}
}

// TestManyInstances: a large file is cut, and says the same as without; a
// mistake in it is told as in a small one.
func TestManyInstances(t *testing.T) {
	text := string(routers(1000))
	if cuts := cut(scan(text), partSize); len(cuts) < 4 {
		t.Fatalf("%d bytes are cut %d times", len(text), len(cuts))
	}
	parts, ok := decodeParts(scan(text), partSize, 2)
	whole, _, err := decodeText(text)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if d := cmp.Diff(whole, parts); d != "" {
		t.Errorf("(-whole +parts):\n%s", d)
	}
	wrong := strings.Replace(text, "[instance.i2_200]\n", "[instance.i2_200]\npriority = 0x\n", 1)
	_, problems := Parse("f", []byte(wrong), Env{})
	line := 1 + strings.Count(wrong[:strings.Index(wrong, "0x\n")], "\n")
	if len(problems) != 1 || problems[0].Line != line || problems[0].Key != "instance.i2_200.priority" {
		t.Errorf("line %d: %v", line, problems)
	}
	twice := text + "[instance.i0_7]\n"
	if _, problems = Parse("f", []byte(twice), Env{}); len(problems) == 0 || !strings.Contains(problems[0].What, "given twice") {
		t.Error(problems)
	}
}
