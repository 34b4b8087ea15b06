package vip

import (
	"testing"
	"time"
)

// Who waits is woken by the bell, whether it is rung before or meanwhile, and
// otherwise when time is up.
func TestBell(t *testing.T) {
	var b bell
	heard, start := b.heard(), time.Now()
	const d = 20 * time.Millisecond
	for left := d; left > 0; left = d - time.Since(start) { // it may return early
		b.wait(heard, left)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("rung by nobody: it waited for %v", took)
	}
	b.ring()
	start = time.Now()
	b.wait(heard, time.Minute)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("rung before: it waited for %v", took)
	}
	rung := b.heard()
	if rung == heard {
		t.Error("it was not rung")
	}
	start = time.Now()
	time.AfterFunc(d, b.ring)
	for b.heard() == rung && time.Since(start) < 30*time.Second {
		b.wait(rung, time.Minute)
	}
	if took := time.Since(start); took < d || took > 30*time.Second {
		t.Errorf("rung meanwhile: it waited for %v", took)
	}
	if b.waiting.Load() {
		t.Error("somebody waits still")
	}
}
