package bonding

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"vrrpd/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(leaktight{m}) }

// leaktight is a test run that fails if it leaves goroutines behind.
type leaktight struct{ m *testing.M }

func (l leaktight) Run() int {
	status := l.m.Run()
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines left behind:", err)
		return 1
	}
	return status
}

// TestKernel tests the kernel's side against the real bonding driver. Kernels
// that run tests rarely have it, so it runs in a guest. Each part gets a
// network namespace of its own.
func TestKernel(t *testing.T) {
	if !lab.InUML(t, "bonding", "veth", "bridge", "8021q", "macvlan", "vrf") {
		return // it ran in the guest
	}
	for _, k := range []struct {
		name string
		run  func(*node)
	}{
		{"Modes", kernelModes},
		{"Options", kernelOptions},
		{"ReadErrors", kernelReadErrors},
		{"BondsUnder", kernelBondsUnder},
		{"Case82LinkFailure", kernelLinkFailure},
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
	} {
		t.Run(k.name, func(t *testing.T) { k.run(newNode(t)) })
	}
}
