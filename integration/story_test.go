package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// script writes an executable file that a daemon running as root accepts.
func script(t *testing.T, l *lab.Lab, name, body string) string {
	t.Helper()
	path := l.WriteFile(name, "#!/bin/sh\n"+body+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheckMovesTheAddress: a weighted check moves the address without a lost
// request; a weight-0 check is a fault by name.
func TestCheckMovesTheAddress(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	r := lab.Router{Interval: 100 * time.Millisecond, Priority: 150, Addresses: []string{"192.0.2.100/24"}}
	ha, hb := sw.Host("a", "192.0.2.1/24"), sw.Host("b", "192.0.2.2/24")
	client := sw.Host("client", "192.0.2.9/24")
	soft, hard := filepath.Join(l.Dir(), "soft"), filepath.Join(l.Dir(), "hard")
	checks := fmt.Sprintf("[check.soft]\ncommand = [%q]\ninterval = \"50ms\"\nfall = 2\nweight = -100\n[check.hard]\ncommand = [%q]\ninterval = \"50ms\"\n",
		script(t, l, "soft.sh", "[ ! -e "+soft+" ]"), script(t, l, "hard.sh", "[ ! -e "+hard+" ] || { echo the disk is full; exit 3; }"))
	a := newNode(t, l, ha, checks+r.Vrrpd("web")+"track = [\"soft\", \"hard\"]\n").start()
	r.Priority = 100
	b := newNode(t, l, hb, r.Vrrpd("web")).start()
	a.waitState("web", "active", 10*time.Second)
	who := client.WhoHas("192.0.2.100", 100)
	echo := client.Echo("192.0.2.100", 500)
	who.WaitOwner(ha, 10*time.Second)
	echo.WaitAnswered(5 * time.Second)

	touch(t, soft)
	who.WaitOwner(hb, 10*time.Second)
	if i := a.instance("web"); i.Priority.Effective != 50 || len(i.Priority.Parts) != 1 || i.Priority.Parts[0].Source != "check:soft" {
		t.Errorf("priority %+v", i.Priority)
	}
	if seen := echo.Stop(); seen.LongestGap > 500*time.Millisecond {
		t.Errorf("a move by priority cost %v", seen.LongestGap)
	}
	if err := os.Remove(soft); err != nil {
		t.Fatal(err)
	}
	who.WaitOwner(ha, 10*time.Second)

	touch(t, hard)
	a.waitState("web", "fault", 10*time.Second)
	if r := a.instance("web").Reasons; len(r) != 1 || !strings.Contains(r[0], "hard") {
		t.Errorf("reasons %q", r)
	}
	who.WaitOwner(hb, 10*time.Second)
	for _, c := range a.status().Checks {
		if c.Name == "hard" && (c.Output != "the disk is full" || c.Result != "exit status 3") {
			t.Errorf("check shown as %+v", c)
		}
	}
	if out := a.must("explain", "web"); !strings.Contains(out, "in fault because: ") {
		t.Errorf("explain says\n%s", out)
	}
	b.waitState("web", "active", 5*time.Second)
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReloadLosesNothing: a reload that adds an instance, renames one and
// changes an address is not noticed by clients of what stays; a bad file
// changes nothing.
func TestReloadLosesNothing(t *testing.T) {
	t.Parallel()
	_, _, a, b, client := twoNodes(t, 100*time.Millisecond, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	b.start()
	echo := client.Echo("192.0.2.100", 1000)
	echo.WaitAnswered(5 * time.Second)
	since := a.instance("web").Since

	r := lab.Router{Interval: 100 * time.Millisecond, Priority: 150, Addresses: []string{"192.0.2.100/24"}}
	more := r
	more.VRID, more.Addresses = 52, []string{"192.0.2.101/24"}
	a.configure(r.Vrrpd("shop") + more.Vrrpd("extra"))
	a.must("reload")
	a.waitState("extra", "active", 5*time.Second)
	if i := a.instance("shop"); i.State != "active" || !i.Since.Equal(since) {
		t.Errorf("the renamed instance is %s since %s, was since %s", i.State, i.Since, since)
	}
	r.Addresses = append(r.Addresses, "192.0.2.102/24")
	a.configure(r.Vrrpd("shop"))
	a.proc.Signal(1) // SIGHUP
	a.host.WaitHas("192.0.2.102", 5*time.Second)
	a.host.WaitHasNot("192.0.2.101", 5*time.Second)

	for _, bad := range []string{
		strings.Replace(r.Vrrpd("shop"), "192.0.2.100", "192.0.2.1000", 1), // a mistyped address
		r.Vrrpd("shop") + r.Vrrpd("twin"),                                  // a VRID twice
		strings.Replace(r.Vrrpd("shop"), "vrid = 51", "vrid = 300", 1),
		"",
	} {
		a.configure(bad)
		if _, errs, status := a.ctl("reload"); status != 2 || errs == "" {
			t.Errorf("a bad file was answered with %d: %s", status, errs)
		}
	}
	if i := a.instance("shop"); i.State != "active" || !i.Since.Equal(since) || len(i.Installed) != 2 {
		t.Errorf("after bad reloads: %+v", i)
	}
	if n := b.instance("web").Transitions; n != 1 {
		t.Errorf("the peer changed its state %d times", n-1)
	}
	if seen := echo.Stop(); seen.LongestGap > 50*time.Millisecond {
		t.Errorf("clients saw a gap: %s", seen)
	}
}

// TestDemotePromote is the operator's way, and its exit statuses.
func TestDemotePromote(t *testing.T) {
	t.Parallel()
	_, _, a, b, client := twoNodes(t, 100*time.Millisecond, "handover_timeout = \"1s\"\n")
	a.start()
	b.start()
	a.waitState("web", "active", 10*time.Second)
	who := client.WhoHas("192.0.2.100", 100)
	who.WaitOwner(a.host, 5*time.Second)

	out := a.must("demote", "web")
	if !strings.Contains(out, "192.0.2.2 took over") {
		t.Errorf("demote said %q", out)
	}
	who.WaitOwner(b.host, 5*time.Second)
	a.must("demote", "web")
	if i := a.instance("web"); !i.Demoted || i.Priority.Effective != 1 || i.State != "backup" {
		t.Errorf("demoted: %+v", i)
	}
	a.must("reload") // survives
	if !a.instance("web").Demoted {
		t.Error("a reload lifted the demotion")
	}
	a.must("promote", "web")
	who.WaitOwner(a.host, 10*time.Second)

	a.must("demote", "--for", "1s")
	who.WaitOwner(b.host, 5*time.Second)
	who.WaitOwner(a.host, 10*time.Second)

	// The last one standing.
	b.stop()
	if _, errs, status := a.ctl("demote", "web"); status != 4 {
		t.Errorf("without a successor: exit %d, %s", status, errs)
	}
	a.waitState("web", "active", 5*time.Second)
	if a.instance("web").Demoted {
		t.Error("still demoted after it resumed")
	}
	if _, _, status := a.ctl("demote", "web", "--force", "--hard"); status != 0 {
		t.Errorf("--force: exit %d", status)
	}
	time.Sleep(time.Second) // longer than a backup waits
	if i := a.instance("web"); i.State == "active" {
		t.Error("--hard took over")
	}
	a.must("promote")
	a.waitState("web", "active", 5*time.Second)
	if _, _, status := a.ctl("demote", "wbe"); status != 1 {
		t.Errorf("unknown instance: exit %d", status)
	}
	a.stop()
	if _, _, status := a.ctl("status"); status != 3 {
		t.Errorf("no daemon: exit %d", status)
	}
}

// TestKilledAndStartedAgain: what a killed daemon left is gone when it has
// started again, addresses of instances that were dropped meanwhile included.
func TestKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	_, _, a, b, _ := twoNodes(t, 100*time.Millisecond, "")
	a.start()
	a.waitState("web", "active", 10*time.Second)
	a.host.WaitHas("192.0.2.100", 5*time.Second)
	b.start()
	lab.Until(t, 5*time.Second, "the state file", func() bool { _, err := os.Stat(a.socket + ".state"); return err == nil })
	a.proc.Kill()
	b.waitState("web", "active", 5*time.Second)
	if !a.host.Has("192.0.2.100") {
		t.Fatal("nothing was left behind: the test shows nothing")
	}
	other := lab.Router{Interval: 100 * time.Millisecond, VRID: 77, Addresses: []string{"192.0.2.177/24"}}
	a.configure(other.Vrrpd("other"))
	a.start()
	a.host.WaitHasNot("192.0.2.100", 5*time.Second)
	if !a.host.Has("192.0.2.1") {
		t.Error("the node's own address is gone")
	}
}

// TestGroupMovesAsOne: a group's members fail and move together.
func TestGroupMovesAsOne(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	out, in := l.Switch("outside"), l.Switch("inside")
	var nodes []*node
	for i, name := range []string{"a", "b"} {
		h := out.Host(name, fmt.Sprintf("192.0.2.%d/24", i+1))
		in.Attach(h, "eth1", fmt.Sprintf("198.51.100.%d/24", i+1))
		r := lab.Router{Interval: 100 * time.Millisecond, Priority: 150 - 50*i, Addresses: []string{"192.0.2.100/24"}}
		s := r
		s.VRID, s.Interface, s.Addresses = 52, "eth1", []string{"198.51.100.100/24"}
		nodes = append(nodes, newNode(t, l, h, r.Vrrpd("out")+s.Vrrpd("in")+"[group.site]\ninstances = [\"out\", \"in\"]\n").start())
	}
	a, b := nodes[0], nodes[1]
	for _, i := range []string{"out", "in"} {
		a.waitState(i, "active", 10*time.Second)
	}
	in.CutPort(a.host, "eth1")
	for _, i := range []string{"out", "in"} {
		a.waitState(i, "fault", 5*time.Second)
		b.waitState(i, "active", 10*time.Second)
	}
	if r := a.instance("out").Reasons; len(r) != 1 || r[0] != "group: in: eth1 has no carrier" {
		t.Errorf("reasons %q", r)
	}
	in.HealPort(a.host, "eth1")
	for _, i := range []string{"out", "in"} {
		a.waitState(i, "active", 10*time.Second)
		b.waitState(i, "backup", 10*time.Second)
	}
	if !strings.Contains(a.must("demote", "in"), "out: demoted") {
		t.Error("a member did not demote its group")
	}
	b.waitState("out", "active", 5*time.Second)
}

// TestNotifications: commands are told in order, with keepalived's arguments.
func TestNotifications(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	log := filepath.Join(l.Dir(), "told")
	command := script(t, l, "notify.sh", `echo "$1 $2 $3 $4" >>`+log)
	r := lab.Router{Interval: 100 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}}
	n := newNode(t, l, sw.Host("a", "192.0.2.1/24"),
		r.Vrrpd("web")+fmt.Sprintf("[[notify]]\ncommand = [%q]\nkeepalived_names = true\n", command)).start()
	// The latest state wins, so each must have been told before the next.
	told := func(state string) {
		t.Helper()
		lab.Until(t, 10*time.Second, state+" to be told", func() bool {
			b, _ := os.ReadFile(log) // absent before the first
			return strings.Contains(string(b), state)
		})
	}
	told("MASTER")
	sw.Cut(n.host)
	told("FAULT")
	n.stop()
	all, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := "INSTANCE web BACKUP 100\nINSTANCE web MASTER 100\nINSTANCE web FAULT 100\nINSTANCE web STOP 100\n"
	if string(all) != want {
		t.Errorf("told\n%swant\n%s", all, want)
	}
}

// TestIPv6 is a pair with IPv6 addresses: failover and return.
func TestIPv6(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	sniff := sw.Sniff()
	r := lab.Router{Interval: 100 * time.Millisecond, Priority: 150, Addresses: []string{"fe80::51/64", "2001:db8::100/64"}}
	a := newNode(t, l, sw.Host("a", "2001:db8::1/64"), r.Vrrpd("web")).start()
	r.Priority = 100
	b := newNode(t, l, sw.Host("b", "2001:db8::2/64"), r.Vrrpd("web")).start()
	client := sw.Host("client", "2001:db8::9/64")
	who := client.WhoHas("2001:db8::100", 100)
	who.WaitOwner(a.host, 10*time.Second)
	echo := client.Echo("2001:db8::100", 500)
	echo.WaitAnswered(5 * time.Second)
	sw.Cut(a.host)
	who.WaitOwner(b.host, 10*time.Second)
	echo.WaitAnswered(5 * time.Second)
	sw.Heal(a.host)
	who.WaitOwner(a.host, 10*time.Second)
	lab.Tshark(t, sniff.Close())
}
