// Command demo shows vrrpd at work: a cluster of two nodes and a client in
// network namespaces of this machine, and what the client sees when a node
// crashes, when the service fails, when a node is demoted, and when a link of
// a bond fails. It leaves nothing behind and exits 0 only if every step held.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vrrpd/internal/lab"
)

func main() {
	if addr := os.Getenv(serviceVar); addr != "" {
		os.Exit(serve(addr))
	}
	if err := lab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: this machine does not let us make network namespaces:", err)
		os.Exit(1)
	}
	os.Exit(run())
}

// run plays the story and cleans up, whatever happens in it.
func run() (status int) {
	s := &stage{}
	defer s.cleanUp()
	defer func() {
		switch r := recover(); r {
		case nil:
		case errFailed:
			status = 1
		default:
			s.cleanUp()
			panic(r)
		}
	}()
	bin := os.Getenv("VRRPD_PROGRAMS")
	if bin == "" {
		s.Fatalf("VRRPD_PROGRAMS does not say where the programs are; start this with `make demo`")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		s.Fatalf("%v", err)
	}
	play(s, bin)
	fmt.Printf("\nEvery step held. What you saw is in README.md, step by step, for two hosts of your own.\n")
	return 0
}

// A stage is what the lab takes for a test.
type stage struct {
	cleanups []func()
	failed   bool
}

var errFailed = errors.New("the demo failed")

func (s *stage) Helper()                     {}
func (s *stage) Name() string                { return "demo" }
func (s *stage) Logf(f string, args ...any)  { fmt.Printf(f+"\n", args...) }
func (s *stage) Failed() bool                { return s.failed }
func (s *stage) Cleanup(f func())            { s.cleanups = append(s.cleanups, f) }
func (s *stage) Skipf(f string, args ...any) { s.Fatalf(f, args...) }

func (s *stage) Fatalf(f string, args ...any) {
	s.failed = true
	fmt.Printf("\nFAILED: "+f+"\n", args...)
	panic(errFailed)
}

func (s *stage) cleanUp() {
	for len(s.cleanups) > 0 {
		last := s.cleanups[len(s.cleanups)-1]
		s.cleanups = s.cleanups[:len(s.cleanups)-1]
		last()
	}
}
