package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"vrrpd/internal/lab"
)

// programsVar says where the programs under test are. Set by hand it has the
// tests run others than those of this tree.
const programsVar = "VRRPD_PROGRAMS"

func TestMain(m *testing.M) { lab.Main(m, buildPrograms) }

// buildPrograms builds the real programs, once, before the lab is entered: in
// there is no network for `go build`, and in a guest nowhere to write.
func buildPrograms(dir string) error {
	if os.Getenv(programsVar) != "" {
		return nil
	}
	bin := filepath.Join(dir, "bin") + "/"
	build := exec.Command("go", "build", "-o", bin, "vrrpd/cmd/vrrpd", "vrrpd/cmd/vrrpctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.Setenv(programsVar, bin)
}
