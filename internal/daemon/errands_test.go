package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Errands are done in order, while others are added, and the last of them after the end.
func TestErrands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newErrands()
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			e.run(ctx)
		}()
		var done []int
		began := time.Now()
		for i := range 3 {
			e.add(func() { // the first keeps the others waiting
				time.Sleep(time.Minute)
				done = append(done, i)
			})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("add took %v", took)
		}
		time.Sleep(90 * time.Second)
		e.add(func() { done = append(done, 3) })
		cancel()
		<-over
		if !slices.Equal(done, []int{0, 1, 2, 3}) {
			t.Errorf("done %v", done)
		}
	})
}

// What waits for the kernel's lock is not done on the loop.
func TestSocketsAreClosedAside(t *testing.T) {
	s := started(t, oneInstance)
	var aside []func()
	s.e.out.aside = func(do func()) { aside = append(aside, do) }
	s.do(func() { s.e.interfaces(s.now, nil) })
	w := s.wires["eth0 ipv4"]
	if len(aside) != 1 || w.closed {
		t.Fatalf("%d errands, closed: %t", len(aside), w.closed)
	}
	if aside[0](); !w.closed {
		t.Error("the errand did not close it")
	}
}
