package vip

import (
	"testing"
	"time"
)

// Who waits is woken by the bell, whether it is rung before or after, and by
// nothing else before its time.
func TestBell(t *testing.T) {
	var b bell
	heard := b.heard()
	if start := time.Now(); true {
		for time.Since(start) < 20*time.Millisecond {
			b.wait(heard, 20*time.Millisecond-time.Since(start)) // it may return early
		}
		if took := time.Since(start); b.heard() != heard {
			t.Errorf("rung by nobody, after %v", took)
		}
	}
	b.ring()
	start := time.Now()
	b.wait(heard, time.Minute)
	rung := b.heard()
	time.AfterFunc(20*time.Millisecond, b.ring)
	for b.heard() == rung && time.Since(start) < 30*time.Second {
		b.wait(rung, time.Minute)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it waited for %v", took)
	}
	if b.waiting.Load() {
		t.Error("somebody waits still")
	}
}
