package bonding

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The kernel's side is tested against the real bonding driver. Kernels that run
// tests rarely have it, so these tests run in User Mode Linux: TestKernel on
// the host boots a guest that runs this very test binary again, and there the
// tests of kernelTests run.

// inGuest is set in the guest's environment.
const inGuest = "VRRPD_BONDING_GUEST"

const (
	umlKernel  = "/usr/bin/linux.uml"
	umlModules = "/usr/lib/uml/modules"
	umlTimeout = 8 * time.Minute
)

// kernelTests run in the guest, in this order, each in a network namespace of
// its own.
var kernelTests = []struct {
	name string
	run  func(*node)
}{
	{"Modes", kernelModes},
	{"Options", kernelOptions},
	{"ReadErrors", kernelReadErrors},
	{"LinkFailure", kernelLinkFailure},
	{"SlowReturn", kernelSlowReturn},
	{"DownDelay", kernelDownDelay},
	{"NoMonitor", kernelNoMonitor},
	{"ARPMonitor", kernelARPMonitor},
	{"LACP", kernelLACP},
	{"Case85LACPWithoutPartner", kernelLACPAlone},
	{"FailOverMACNone", kernelFailOverMACNone},
	{"Case83FailOverMACActive", kernelFailOverMACActive},
	{"FailOverMACFollow", kernelFailOverMACFollow},
	{"SetActive", kernelSetActive},
	{"WatchFailover", kernelWatchFailover},
	{"Case86WatchRemade", kernelWatchRemade},
	{"WatchLostMessages", kernelWatchLostMessages},
	{"WatchReread", kernelWatchReread},
	{"RepairFromNothing", kernelRepairFromNothing},
	{"RepairDrift", kernelRepairDrift},
	{"RepairObstacles", kernelRepairObstacles},
	{"RepairSwitchesMonitor", kernelRepairSwitchesMonitor},
	{"RepairLACPRate", kernelRepairLACPRate},
	{"Examples", kernelExamples},
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKernel(t *testing.T) {
	if os.Getenv(inGuest) != "" {
		for _, k := range kernelTests {
			t.Run(k.name, func(t *testing.T) { k.run(newNode(t)) })
		}
		return
	}
	out := boot(t)
	for _, k := range kernelTests {
		t.Run(k.name, func(t *testing.T) {
			outcome := regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): TestKernel/` + k.name + ` `).FindStringSubmatch(out)
			switch {
			case outcome == nil:
				t.Error("did not run to its end")
			case outcome[1] != "PASS":
				t.Error(outcome[1], "in the guest")
			}
		})
	}
	if t.Failed() || testing.Verbose() {
		t.Logf("guest:\n%s", out)
	}
}

// boot runs TestKernel in a guest and returns what it printed.
func boot(t *testing.T) string {
	t.Helper()
	for _, need := range []string{umlKernel, umlModules, "/sbin/modprobe", "/sbin/ip"} {
		if _, err := os.Stat(need); err != nil {
			missing(t, fmt.Sprintf("%s is missing: install user-mode-linux, kmod and iproute2", need))
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	init := filepath.Join(t.TempDir(), "init")
	// The guest sees this machine's files, read-only; under /run/host as they
	// are, because its own /tmp hides the host's.
	script := fmt.Sprintf(`#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/host /run/modules/lib
mount --bind / /run/host
mount -t tmpfs tmpfs /tmp
ln -s %s /run/modules/lib/modules
for m in bonding veth bridge 8021q; do modprobe -d /run/modules $m || echo "GUEST no module $m"; done
ip link set lo up
cd /run/host%s && %s=1 HOME=/tmp /run/host%s -test.run '^TestKernel$' -test.v -test.timeout %s 2>&1
echo "GUEST exit $?"
poweroff -f
`, umlModules, dir, inGuest, exe, umlTimeout)
	if err := os.WriteFile(init, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), umlKernel, "rootfstype=hostfs", "ro", "mem=512M", "quiet",
		"con=null", "con0=fd:0,fd:1", "init="+init)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // where it keeps its sockets
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	text := strings.ReplaceAll(out.String(), "\r", "")
	if !strings.Contains(text, "GUEST exit ") {
		t.Fatalf("the guest did not come to its end (%v):\n%s", err, text)
	}
	return text
}

// missing ends a test that cannot run on this machine.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}
