package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// A daemon that was killed and is back before the others may take over goes on
// where it was: the addresses are never gone.
func TestResumesAfterSIGKILL(t *testing.T) {
	h := newHost(t)
	h.configureEvery("1s", oneAddress, "priority = 254\n")
	p := h.ready()
	h.has("192.0.2.100/24")
	updates, done := make(chan netlink.AddrUpdate, 100), make(chan struct{})
	must(t, netlink.AddrSubscribe(updates, done))
	defer close(done)
	p.signal(syscall.SIGKILL)
	p.ends(patience)
	p = h.ready()
	s := h.status()
	if i := s.Instances[0]; i.State != "active" || i.Cause != "goes on where vrrpd ended a moment ago" || i.Transitions != 1 {
		t.Errorf("after a restart: %+v", i)
	}
	time.Sleep(100 * time.Millisecond)
	for len(updates) > 0 {
		if u := <-updates; !u.NewAddr && u.LinkAddress.IP.String() == "192.0.2.100" {
			t.Error("the address was removed")
		}
	}
	h.has("192.0.2.100/24")

	// A clean stop leaves nothing to go on with.
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	p.ends(patience)
	h.has()
	h.ready()
	if i := h.status().Instances[0]; i.State == "active" {
		t.Errorf("after a clean stop: %+v", i)
	}
}

// Case 72: `vrrpd release` after a daemon was killed.
func TestCase72Release(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "handover_timeout = \"300ms\"\n")
	p := h.ready()
	h.has("192.0.2.100/24")

	if code, _, stderr := called("-c", h.config, "release"); code != 1 || !strings.Contains(stderr, "another vrrpd is running") {
		t.Errorf("beside a running daemon: exit status %d, %s", code, stderr)
	}
	h.has("192.0.2.100/24")

	p.signal(syscall.SIGKILL)
	p.ends(patience)
	if code, _, stderr := called("-c", h.config, "release"); code != 0 || !strings.Contains(stderr, "no other router became active") {
		t.Errorf("exit status %d, %s", code, stderr)
	}
	h.has("192.0.2.100/24")
	h.has() // when the lease ends

	// It was released: the next daemon does not go on.
	h.configure(oneAddress, "start_delay = \"1h\"\n")
	p = h.ready()
	if i := h.status().Instances[0]; i.State == "active" {
		t.Errorf("after a release: %+v", i)
	}
	p.signal(syscall.SIGTERM)
	p.ends(patience)
	if code, stdout, stderr := called("-c", h.config, "release"); code != 0 || stdout+stderr != "" {
		t.Errorf("after a clean stop: exit status %d, %s%s", code, stdout, stderr)
	}

	// Without a lease nothing else would remove it.
	h.configure(oneAddress, "lease = \"off\"\nhandover_timeout = \"300ms\"\n")
	p = h.ready()
	h.has("192.0.2.100/24")
	p.signal(syscall.SIGKILL)
	p.ends(patience)
	if code, _, stderr := called("-c", h.config, "release"); code != 0 {
		t.Errorf("without a lease: exit status %d, %s", code, stderr)
	}
	h.has()

	if code, _, stderr := called("-c", h.config, "release", "now"); code != 2 {
		t.Errorf("a stray argument: exit status %d, %s", code, stderr)
	}
	h.configure(oneAddress, "lease = \"on\"\n")
	if code, _, stderr := called("-c", h.config, "release"); code != 2 || !strings.Contains(stderr, "lease") {
		t.Errorf("a bad configuration: exit status %d, %s", code, stderr)
	}
}
