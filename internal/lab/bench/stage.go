package main

import (
	"errors"
	"fmt"
	"sync"
)

// A stage is what the lab takes for a test: the place of one benchmark, or of
// a part of one, whose failure must not end the others.
type stage struct {
	name string

	mu       sync.Mutex
	cleanups []func()
	failure  error
}

// errFailed ends what runs on a stage.
var errFailed = errors.New("not measured")

// perform runs f on a stage of its own, takes down what it set up, and returns
// why it could not be measured.
func perform(name string, f func(*stage)) (err error) {
	s := &stage{name: name}
	defer func() {
		r := recover()
		s.cleanUp()
		if r != nil && r != errFailed {
			panic(r)
		}
		err = s.failure
	}()
	f(s)
	return nil
}

func (s *stage) Helper()                    {}
func (s *stage) Name() string               { return s.name }
func (s *stage) Logf(f string, args ...any) { note(f, args...) }
func (s *stage) Skipf(f string, a ...any)   { s.Fatalf(f, a...) }

// Failed has the lab keep the logs of every process to itself: the failure
// quotes the one that matters.
func (s *stage) Failed() bool { return false }

func (s *stage) Cleanup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, f)
}

func (s *stage) Fatalf(f string, args ...any) {
	s.mu.Lock()
	if s.failure == nil {
		s.failure = fmt.Errorf("%s: "+f, append([]any{s.name}, args...)...)
	}
	s.mu.Unlock()
	panic(errFailed)
}

// together runs functions at the same time. If one of them fails the stage, all
// end before it does.
func (s *stage) together(functions ...func()) {
	var wg sync.WaitGroup
	panics := make([]any, len(functions))
	for i, f := range functions {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { panics[i] = recover() }()
			f()
		}()
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
}

func (s *stage) cleanUp() {
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			s.mu.Unlock()
			return
		}
		last := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		last()
	}
}
