package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// umlModules is where Debian's and Ubuntu's user-mode-linux keeps its modules,
// and umlTimeout bounds a guest that hangs.
const (
	umlModules = "/usr/lib/uml/modules"
	umlTimeout = 8 * time.Minute
)

// guestVar is set for the program inside a guest, jobVar names the guest's job.
const (
	guestVar = "VRRPD_LAB_GUEST"
	jobVar   = "VRRPD_LAB_JOB"
)

// guestBegin is the line before a guest's program starts to write, after
// whatever its kernel had to say.
const guestBegin = "lab: guest is ready\n"

var errNoEnd = errors.New("its kernel stopped")

// guestExit is the last line of a guest: how its program ended.
var guestExit = regexp.MustCompile(`(?m)^lab: guest ended with status (\d+)$`)

// guestJob tells the guest what to run.
type guestJob struct {
	Program string
	Args    []string
	Env     []string
	Dir     string   // the working directory
	Keep    string   // a directory of the machine to write through to, or ""
	Root    string   // where modprobe finds lib/modules
	Modules []string // to load first
}

// InUML makes a test run on a kernel of its own, Debian's User-Mode Linux, that
// has these modules: the bonding driver and whatever else the machine's kernel
// may lack.
//
//	func TestBond(t *testing.T) {
//		if !lab.InUML(t, "bonding", "bridge", "veth") {
//			return // it ran in the guest, and its outcome is this test's
//		}
//		l := lab.New(t)
//		…
//	}
//
// The guest sees the machine's files, read-only; what it writes to /run and
// /tmp is its own and goes with it (VRRPD_LAB_KEEP keeps the lab's directory). It
// boots in about three seconds. Its clock ticks at 100 Hz: it is for behaviour,
// not for timing. Programs must be built before, outside: see [Enter].
func InUML(t T, modules ...string) bool {
	t.Helper()
	if inGuest() {
		return true
	}
	if entered != nil {
		Missing(t, "%v", entered)
	}
	kernel := Require(t, "linux.uml", "user-mode-linux")
	Require(t, "modprobe", "kmod")
	if _, err := os.Stat(umlModules); err != nil {
		Missing(t, "modules of user-mode-linux: %v", err)
	}
	dir, err := os.MkdirTemp(os.Getenv(dirVar), "guest-")
	if err != nil {
		t.Fatalf("guest: %v", err)
	}
	job, err := newGuestJob(t, dir, modules)
	if err != nil {
		t.Fatalf("guest: %v", err)
	}
	output, status, err := runUML(kernel, dir, umlEnv(t, dir), job)
	t.Logf("the guest said:\n%s", output)
	switch {
	case err != nil:
		t.Fatalf("guest: %v", err)
	case status != 0:
		t.Fatalf("guest: the test ended with status %d", status)
	case strings.Contains(output, "--- SKIP: "+t.Name()):
		t.Skipf("skipped in the guest")
	}
	return false
}

// inGuest reports whether this program runs in a guest.
func inGuest() bool { return os.Getenv(guestVar) != "" }

// newGuestJob describes this program running this test alone.
func newGuestJob(t T, umlDir string, modules []string) (guestJob, error) {
	program, err := guestProgram(umlDir)
	if err != nil {
		return guestJob{}, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return guestJob{}, err
	}
	root := filepath.Join(umlDir, "modroot")
	if err := os.MkdirAll(filepath.Join(root, "lib"), 0o755); err != nil {
		return guestJob{}, err
	}
	if err := os.Symlink(umlModules, filepath.Join(root, "lib/modules")); err != nil {
		return guestJob{}, err
	}
	keep := ""
	if os.Getenv("VRRPD_LAB_KEEP") != "" {
		keep = os.Getenv(dirVar)
	}
	return guestJob{
		Program: program,
		Args:    []string{"-test.v", "-test.run", testPattern(t.Name()), "-test.timeout", umlTimeout.String()},
		Env:     withoutStage(os.Environ()),
		Dir:     dir, Keep: keep, Root: root, Modules: modules,
	}, nil
}

// guestProgram is this program or, if that cannot run in a guest, its tests built
// anew. `go test` runs them in the directory of their package.
func guestProgram(dir string) (string, error) {
	if !raceDetector {
		return os.Executable()
	}
	program := filepath.Join(dir, "guest.test")
	out, err := exec.Command("go", "test", "-c", "-race=false", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return program, nil
}

// testPattern matches a test by its full name.
func testPattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}

// runUML boots the guest and returns what its program wrote and the status it
// ended with.
func runUML(kernel, dir string, env []string, job guestJob) (output string, status int, err error) {
	path := filepath.Join(dir, "job.json")
	b, err := json.Marshal(job)
	if err != nil {
		return "", 0, err
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return "", 0, err
	}
	// The console must not be at its end of file: it would be read over and over.
	stdin, hold, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer stdin.Close()
	defer hold.Close()
	ctx, cancel := context.WithTimeout(context.Background(), umlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, kernel, "rootfstype=hostfs", "ro", "mem=1024M", "quiet",
		"con=null", "con0=fd:0,fd:1", "uml_dir="+dir,
		"init="+job.Program, stageVar+"="+stageGuest, jobVar+"="+path)
	cmd.Env = append(withoutStage(os.Environ()), env...)
	// The guest's processes are processes of the machine, all in one group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &out
	runErr := cmd.Run()
	text := strings.ReplaceAll(out.String(), "\r\n", "\n")
	end := guestExit.FindStringSubmatchIndex(text)
	if end == nil {
		return text, 0, fmt.Errorf("it did not come to an end (%w)", cmp.Or(runErr, ctx.Err(), errNoEnd))
	}
	status, err = strconv.Atoi(text[end[2]:end[3]])
	_, body, _ := strings.Cut(text[:end[0]], guestBegin)
	return body, status, err
}
