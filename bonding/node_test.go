package bonding

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A node is a network namespace of the guest with two links, eth0 and eth1,
// whose other ends, port0 and port1, lie in a second namespace.
//
//	node                    switch
//	 eth0 ─────────────────  port0
//	 eth1 ─────────────────  port1
type node struct {
	*testing.T
	h *Handle
}

const patience = 20 * time.Second

// newNode moves the test's thread into the namespace. The thread is never
// unlocked, so it ends with the test's goroutine and the namespace with it.
func newNode(t *testing.T) *node {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	n := &node{T: t}
	n.sh("ip netns add switch")
	t.Cleanup(func() { n.sh("ip netns del switch") })
	for i := range 2 {
		n.sh(fmt.Sprintf("ip link add eth%d type veth peer name port%d netns switch", i, i))
		n.port(i, "up")
	}
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	n.h = h
	return n
}

// sh runs commands, one per line, in the node's namespace. Cleanups run on
// this thread too.
func (n *node) sh(script string) {
	n.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		n.Fatalf("%s: %v: %s", script, err, out)
	}
}

// port sets the far end of a link up or down: the cable, as the node sees it.
func (n *node) port(i int, state string) {
	n.Helper()
	n.sh(fmt.Sprintf("ip -n switch link set port%d %s", i, state))
}

// bond makes bond0 over both links, with further options.
func (n *node) bond(options string) {
	n.Helper()
	n.sh("ip link add bond0 type bond " + options)
	n.sh("ip link set eth0 master bond0; ip link set eth1 master bond0; ip link set bond0 up")
}

func (n *node) read() *Bond {
	n.Helper()
	b, err := n.h.Bond("bond0")
	if err != nil {
		n.Fatal(err)
	}
	return &b
}

// until reads bond0 until it is as wanted.
func (n *node) until(what string, ok func(Bond) bool) Bond {
	n.Helper()
	deadline := time.Now().Add(patience)
	for {
		b := *n.read()
		if ok(b) {
			return b
		}
		if time.Now().After(deadline) {
			n.Fatalf("not within %s: %s; the bond is %+v", patience, what, b)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// health reads until the bond is judged so, and returns the reasons.
func (n *node) health(want Health, p Policy) string {
	n.Helper()
	var v Verdict
	n.until(want.String(), func(b Bond) bool { v = Judge(&b, p); return v.Health == want })
	return strings.Join(v.Reasons, "; ")
}

func (n *node) expect(what string, got, want any) {
	n.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		n.Errorf("%s is %v, want %v", what, got, want)
	}
}

// ipData is what iproute2, an independent reader, says of a bond's options.
func (n *node) ipData() map[string]any {
	n.Helper()
	out, err := exec.Command("ip", "-d", "-j", "link", "show", "bond0").Output()
	if err != nil {
		n.Fatal(err)
	}
	var all []struct {
		Linkinfo struct {
			Data map[string]any `json:"info_data"`
		}
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		n.Fatalf("%v: %s", err, out)
	}
	return all[0].Linkinfo.Data
}

// watch runs a Watcher until the test ends. Its updates are queued in order.
func (n *node) watch(reread time.Duration) (*Watcher, chan *Update) {
	n.Helper()
	w, err := NewWatcher()
	if err != nil {
		n.Fatal(err)
	}
	w.Reread = reread
	updates := make(chan *Update, 1000)
	n.run(w, func(u *Update) { updates <- u })
	return w, updates
}

// run runs a Watcher until the test ends.
func (n *node) run(w *Watcher, report func(*Update)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, report) }()
	n.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			n.Errorf("watcher: %v", err)
		}
	})
}

// update waits for an update that is as wanted.
func (n *node) update(updates chan *Update, what string, ok func(*Update) bool) *Update {
	n.Helper()
	timeout := time.After(patience)
	var last *Update
	for {
		select {
		case u := <-updates:
			if u.Err != nil {
				n.Fatal(u.Err)
			}
			if last = u; ok(u) {
				return u
			}
		case <-timeout:
			n.Fatalf("no update within %s: %s; the last was %+v", patience, what, last)
		}
	}
}

// carries tells of an update in which bond0 sends over a link.
func carries(link string) func(*Update) bool {
	return func(u *Update) bool { b := u.Bond("bond0"); return b != nil && b.ActiveLink == link }
}
