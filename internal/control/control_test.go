package control_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vrrpd/internal/control"
	"vrrpd/internal/control/controltest"
)

// patience is how long a test waits for what should take milliseconds.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	askAsChild() // does not return in a child
	goleak.VerifyTestMain(m)
}

// serve serves b on a socket of its own until the test ends.
func serve(t *testing.T, b control.Backend, group string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, _, err := control.Listen(socket, group)
	if err != nil {
		t.Fatal(err)
	}
	start(t, control.NewServer(b, nil), l)
	return socket
}

// start runs the server until the test ends.
func start(t *testing.T, s *control.Server, l net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

// client is a client of the socket until the test ends.
func client(t *testing.T, socket string) *control.Client {
	t.Helper()
	c := control.NewClient(socket)
	t.Cleanup(c.Close)
	return c
}

// until polls for a condition.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// backend is a daemon of two instances.
func backend() *controltest.Backend {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	return &controltest.Backend{
		State: control.Status{
			Node: "node1", Version: "0.1.0", UptimeSeconds: 12.5,
			Instances: []control.Instance{
				{Name: "web", VRID: 51, Interface: "bond0.10", State: "active", Since: at, Track: []string{"nginx"}},
				{Name: "db", VRID: 52, Interface: "eth1", State: "backup", Since: at},
			},
			Groups: []control.Group{{Name: "site", State: "backup", Instances: []string{"db"}}},
			Checks: []control.Check{{Name: "nginx"}, {Name: "postgres"}},
			Bonds:  []control.Bond{{Name: "bond0"}, {Name: "bond01"}},
			Interfaces: []control.Interface{
				{Name: "bond0.10", Errors: map[string]uint64{}},
				{Name: "eth1", Errors: map[string]uint64{}},
			},
		},
		Explanations: map[string]*control.Explanation{"web": {Why: []string{"because"}}},
		Journal: []control.Event{
			{ID: 1, Time: at, Kind: "transition", Instance: "web", From: "initialize", To: "backup", Text: "started"},
			{ID: 2, Time: at.Add(time.Second), Kind: "transition", Instance: "web", From: "backup", To: "active", Text: "alone"},
		},
		Config:  "[node]\nname = \"node1\"\n",
		Outcome: control.Outcome{Results: []control.Result{{Instance: "web", OK: true, Text: "done"}}},
	}
}
