package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrrpd/internal/control"
)

// From the start to SIGTERM, as a service manager sees it.
func TestLife(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "")
	p := h.ready()
	h.has("192.0.2.100/24")
	if s := h.status(); s.Instances[0].State != "active" || len(s.Warnings) != 0 {
		t.Errorf("status: %+v", s)
	}
	if info, err := os.Stat(h.socket() + ".state"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info, err)
	}
	p.signal(syscall.SIGTERM)
	h.told("STOPPING=1")
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	h.has()
	if _, err := h.client.Status(t.Context(), ""); err == nil {
		t.Error("somebody still answers on the socket")
	}
	// Alone on its network, it says that nobody took over, and no more.
	text := strings.Replace(p.log.String(), "[WARN]  vrrpd: no other router became active", "", 1)
	if strings.Contains(text, "[WARN]") || strings.Contains(text, "[ERROR]") {
		t.Errorf("it complained:\n%s", text)
	}
}

func TestSecondDaemon(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "")
	first := h.ready()
	h.has("192.0.2.100/24")
	second := h.start()
	if code := second.ends(patience); code != 1 {
		t.Errorf("exit status %d", code)
	}
	want := fmt.Sprintf("vrrpd: another vrrpd is running with this control socket (process %d holds %s.lock)\n", first.cmd.Process.Pid, h.socket())
	if got := second.log.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	h.has("192.0.2.100/24")
	if s := h.status(); s.Instances[0].State != "active" {
		t.Errorf("the first is disturbed: %+v", s)
	}
}

func TestReload(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "")
	p := h.ready()
	h.has("192.0.2.100/24")
	before := h.status().Instances[0]

	// A bad file changes nothing and says so everywhere.
	h.configure(`"192.0.2.101/24"`, "priority = 300\n")
	p.signal(syscall.SIGHUP)
	h.told("RELOADING=1", "MONOTONIC_USEC=")
	h.told("READY=1", "STATUS=running with the configuration before the last reload, which failed: ")
	h.has("192.0.2.100/24")
	after := h.status().Instances[0]
	if after.Since != before.Since || after.Transitions != before.Transitions || after.Priority.Configured != 100 {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if text := p.log.String(); !strings.Contains(text, "instance.web.priority: 300 is out of range") || !strings.Contains(text, "the configuration was not reloaded; the one before stays in force") {
		t.Errorf("the log does not say so:\n%s", text)
	}
	var refused *control.StatusError
	if _, err := h.client.Reload(t.Context()); !errors.As(err, &refused) || refused.Code != 422 || len(refused.Problems) != 1 {
		t.Errorf("over the socket: %v", err)
	}

	// A good one changes what differs, without a transition.
	h.configure(oneAddress+`, "192.0.2.101/24"`, "")
	p.signal(syscall.SIGHUP)
	h.told("RELOADING=1")
	h.told("READY=1", "STATUS=running")
	h.has("192.0.2.100/24", "192.0.2.101/24")
	after = h.status().Instances[0]
	if after.Since != before.Since || after.Transitions != before.Transitions {
		t.Errorf("before %+v\nafter %+v", before, after)
	}

	// A new name keeps everything too.
	text, err := os.ReadFile(h.config)
	must(t, err)
	write(t, h.config, strings.Replace(string(text), "instance.web", "instance.www", 1))
	if _, err := h.client.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	after = h.status().Instances[0]
	if after.Name != "www" || after.Since != before.Since || after.Transitions != before.Transitions || len(after.Installed) != 2 {
		t.Errorf("renamed: %+v", after)
	}
	h.has("192.0.2.100/24", "192.0.2.101/24")

	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	h.has()
}

// A burst of reloads, requests and an end at any moment of it.
func TestReloadsAndStopAtOnce(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "track = [\"a\"]\n[check.a]\ncommand = [\"/bin/sleep\", \"0.01\"]\ninterval = \"20ms\"\nweight = -1\n")
	p := h.ready()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = h.client.Reload(ctx)
				_, _ = h.client.Status(ctx, "")
			}
		})
	}
	for i := range 20 {
		h.configure(oneAddress, fmt.Sprintf("track = [\"a\"]\n[check.a]\ncommand = [\"/bin/sleep\", \"0.0%d\"]\ninterval = \"20ms\"\nweight = -1\n", i%9+1))
		p.signal(syscall.SIGHUP)
		time.Sleep(5 * time.Millisecond)
	}
	p.signal(syscall.SIGTERM)
	code := p.ends(patience)
	cancel()
	wg.Wait()
	if code != 0 || strings.Contains(p.log.String(), "DATA RACE") {
		t.Errorf("exit status %d:\n%s", code, p.log)
	}
	h.has()
}

// A second SIGTERM does not wait for notification commands, and the addresses
// leave all the same.
func TestSecondSIGTERM(t *testing.T) {
	h := newHost(t)
	script := filepath.Join(h.dir, "slow.sh")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\n[ $3 = STOP ] && sleep 1000\nexit 0\n"), 0o755))
	h.configure(oneAddress, fmt.Sprintf("[[notify]]\ncommand = [%q]\n", script))
	p := h.ready()
	h.has("192.0.2.100/24")
	p.signal(syscall.SIGTERM)
	h.told("STOPPING=1")
	h.has() // before it waits for the command
	p.signal(syscall.SIGTERM)
	if code := p.ends(4 * time.Second); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// What a killed daemon left is removed by the next, even if its configuration
// does not speak of it any more; afterwards it is anybody's.
func TestAfterSIGKILL(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress+`, "192.0.2.101/24"`, "")
	p := h.ready()
	h.has("192.0.2.100/24", "192.0.2.101/24")
	h.until("the state is saved", func(*control.Status) bool {
		text, _ := os.ReadFile(h.socket() + ".state")
		return strings.Contains(string(text), "192.0.2.101/24")
	})
	p.signal(syscall.SIGKILL)
	if code := p.ends(patience); code != -1 {
		t.Errorf("exit status %d", code)
	}
	h.has("192.0.2.100/24", "192.0.2.101/24")

	h.configure(oneAddress, "preempt = false\nstart_delay = \"1h\"\n")
	time.Sleep(500 * time.Millisecond) // somebody may have taken over
	p = h.ready()
	h.has()
	// Put there by an operator: the planned one goes, the other stays, as soon
	// as the daemon has seen that nothing is left.
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		h.addAddress("192.0.2.101/24")
		time.Sleep(300 * time.Millisecond)
		list, err := netlink.AddrList(h.link(), netlink.FAMILY_V4)
		must(t, err)
		if slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.String() == "192.0.2.101" }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an address that nobody planned is removed again and again")
		}
	}
	h.addAddress("192.0.2.100/24")
	h.has("192.0.2.101/24")
	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	h.has("192.0.2.101/24")
}

// Checks get neither the descriptors nor the ignored signals of whoever started
// the daemon.
func TestChecksInheritNothing(t *testing.T) {
	h := newHost(t)
	script := filepath.Join(h.dir, "check.sh")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\nreadlink /proc/self/fd/* | tr '\\n' ' '\ngrep SigIgn /proc/self/status\n"), 0o755))
	h.configure(oneAddress, fmt.Sprintf("track = [{check=\"a\",weight=-1}]\n[check.a]\ncommand = [%q]\nuser = \"root\"\n", script))
	leak, err := os.Create(filepath.Join(h.dir, "leak"))
	must(t, err)
	defer leak.Close()
	h.ready(func(c *exec.Cmd) { c.ExtraFiles = []*os.File{leak, leak} })
	s := h.until("the check has run", func(s *control.Status) bool { return s.Checks[0].Runs > 0 && s.Checks[0].Output != "" })
	out := s.Checks[0].Output
	if strings.Contains(out, "leak") {
		t.Errorf("a descriptor: %s", out)
	}
	_, mask, ok := strings.Cut(out, "SigIgn:")
	var ignored uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(mask), "%x", &ignored); !ok || err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	if ignored&(1<<(unix.SIGPIPE-1)) != 0 {
		t.Errorf("SIGPIPE is ignored: %x", ignored)
	}
}

// A log that nobody reads, and one whose reader has gone, do not keep the
// daemon from its work, nor from ending.
func TestLogNobodyReads(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone=%v", gone), func(t *testing.T) {
			h := newHost(t)
			h.configure(oneAddress, "")
			r, w, err := os.Pipe()
			must(t, err)
			defer r.Close()
			defer w.Close()
			if gone {
				r.Close()
			} else {
				_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
				must(t, err)
				_, err = unix.Write(int(w.Fd()), make([]byte, 4096))
				must(t, err)
			}
			p := h.ready(func(c *exec.Cmd) { c.Stdout, c.Stderr = w, w })
			h.has("192.0.2.100/24")
			p.signal(syscall.SIGTERM)
			if code := p.ends(patience); code != 0 {
				t.Errorf("exit status %d", code)
			}
			h.has()
		})
	}
}

// Without the interface the daemon waits; with it, it works; after an absence
// the new interface is used.
func TestInterfaceAbsentAtStart(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "")
	must(t, netlink.LinkDel(h.link()))
	p := h.ready()
	h.until("fault", func(s *control.Status) bool {
		return s.Instances[0].State == "fault" && slices.Equal(s.Instances[0].Reasons, []string{h.name + " does not exist"})
	})
	for range 2 {
		peer := strings.Replace(h.name, "v0", "v1", 1)
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: h.name}, PeerName: peer}))
		for _, name := range []string{h.name, peer} {
			l, err := netlink.LinkByName(name)
			must(t, err)
			must(t, netlink.LinkSetUp(l))
		}
		h.addAddress("192.0.2.1/24")
		h.has("192.0.2.100/24")
		s := h.until("active", func(s *control.Status) bool { return s.Instances[0].State == "active" })
		if got := s.Instances[0].Source; netip.MustParseAddr(got) != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("sends from %s", got)
		}
		must(t, netlink.LinkDel(h.link()))
		h.until("fault", func(s *control.Status) bool { return s.Instances[0].State == "fault" })
	}
	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// Nothing is left open or running by an hour's worth of requests.
func TestNoDescriptorsLeak(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "")
	p := h.ready()
	h.has("192.0.2.100/24")
	count := func() int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
		must(t, err)
		return len(list)
	}
	round := func(i int) {
		h.configure(oneAddress, fmt.Sprintf("[instance.more]\ninterface = %q\nvrid = %d\naddresses = [\"fe80::%d/64\"]\n", h.name, i+1, i+1))
		_, err := h.client.Reload(t.Context())
		must(t, err)
		h.configure(oneAddress, "")
		_, err = h.client.Reload(t.Context())
		must(t, err)
	}
	round(0)
	before := count()
	for i := range 50 {
		round(i)
	}
	deadline := time.Now().Add(patience)
	for count() > before+1 {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", count(), before)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Without another node a demotion is refused and the service goes on; one that
// is still waiting as the daemon ends does not hold it up.
func TestDemoteAlone(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "handover_timeout = \"300ms\"\n")
	h.ready()
	h.has("192.0.2.100/24")
	out, err := h.client.Demote(t.Context(), control.DemoteRequest{})
	must(t, err)
	if r := out.Results[0]; r.OK || !r.Refused || !strings.HasPrefix(r.Text, "nobody took over within 300ms; resumed") {
		t.Errorf("%+v", r)
	}
	h.until("active again", func(s *control.Status) bool { return s.Instances[0].State == "active" && !s.Instances[0].Demoted })
	h.has("192.0.2.100/24")

	out, err = h.client.Demote(t.Context(), control.DemoteRequest{Hard: true, Force: true})
	must(t, err)
	if r := out.Results[0]; !r.OK || r.Refused {
		t.Errorf("forced: %+v", r)
	}
	h.has()
	if _, err := h.client.Promote(t.Context(), control.Names{}); err != nil {
		t.Error(err)
	}
	h.has("192.0.2.100/24")
}

func TestDemoteWhileStopping(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "handover = \"immediate\"\nhandover_timeout = \"1h\"\n")
	p := h.ready()
	h.has("192.0.2.100/24")
	answered := make(chan error, 1)
	go func() {
		_, err := h.client.Demote(context.Background(), control.DemoteRequest{Hard: true})
		answered <- err
	}()
	h.until("demoted", func(s *control.Status) bool { return s.Instances[0].Demoted })
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
	select {
	case <-answered: // with what was known, or cut off
	case <-time.After(patience):
		t.Error("the client waits still")
	}
	h.has()
}

// A node that is stopped serves until its successor is active; whoever is in a
// hurry sends a second SIGTERM.
func TestSecondTerm(t *testing.T) {
	h := newHost(t)
	h.configure(oneAddress, "handover_timeout = \"1h\"\n")
	p := h.ready()
	h.has("192.0.2.100/24")
	p.signal(syscall.SIGTERM)
	h.until("handing over", func(s *control.Status) bool { return s.Instances[0].HandingOver })
	h.has("192.0.2.100/24")
	p.signal(syscall.SIGTERM)
	if code := p.ends(patience); code != 0 {
		t.Errorf("exit status %d", code)
	}
	h.has()
}
