package daemon

import (
	"runtime"
	"testing"

	"vrrpd/vrrp"
)

func TestRehearse(t *testing.T) {
	if state := rehearse(); state != vrrp.Active {
		t.Errorf("it ends in %s: no takeover was rehearsed", state)
	}
	// It comes right before a takeover: what it allocates is what that has to
	// collect.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rehearse()
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 32<<10 {
		t.Errorf("it allocates %d bytes", after.TotalAlloc-before.TotalAlloc)
	}
}
