package lab

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed preload/xstate.c
var xstateSource []byte

// umlEnv returns what User-Mode Linux needs in its environment on this
// machine's processor, having made it in dir: on one with AMX, a library that
// hands registers over (preload/xstate.c).
func umlEnv(t T, dir string) []string {
	t.Helper()
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatalf("guest: %v", err)
	}
	if !strings.Contains(string(cpu), " amx_tile") {
		return nil
	}
	library, err := compile(Require(t, "cc", "gcc and libc6-dev"), dir, xstateSource)
	if err != nil {
		t.Fatalf("guest: %v", err)
	}
	return []string{"LD_PRELOAD=" + library}
}

// compile makes a shared library of a C source in dir.
func compile(cc, dir string, source []byte) (library string, err error) {
	library = filepath.Join(dir, "preload.so")
	cmd := exec.Command(cc, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-x", "c", "-o", library, "-")
	cmd.Stdin = strings.NewReader(string(source))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile a library for it: %w\n%s", err, out)
	}
	return library, nil
}
