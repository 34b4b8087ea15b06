package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// TestFaultRestartLoop restarts the better node twenty times, in order and by
// SIGKILL in turn. Neither is noticed, if the start comes within the peer's
// patience, and nothing piles up.
func TestFaultRestartLoop(t *testing.T) {
	t.Parallel()
	p := newDuo(t, "vrrpd", "vrrpd", 100*time.Millisecond, "").begin()
	a := p.a.vrrpd
	began := time.Now()
	for i := range 20 {
		round, inTime := time.Now(), true
		if i%2 == 0 {
			a.stop()
			if a.host.Has(vip) {
				t.Fatalf("round %d: a stopped daemon left the address", i)
			}
		} else {
			a.proc.Kill()
		}
		a.start()
		if i%2 == 1 {
			inTime = time.Since(round) < 2*p.router.Interval
		}
		p.oneOwner(p.a, 15*time.Second)
		if inTime {
			p.unnoticed(fmt.Sprintf("restart %d", i), round)
		}
	}
	p.tell("20 restarts", began)
	b := p.b.vrrpd.instance("web")
	if b.State != "backup" || b.Transitions > 1+2*20 {
		t.Errorf("b is %s after %d transitions", b.State, b.Transitions)
	}
	if out := a.host.Run("ip", "-o", "-4", "addr", "show", "dev", "eth0"); strings.Count(out, " inet ") != 2 {
		t.Errorf("addresses of a:\n%s", out)
	}
}

// TestFaultReloadStorm sends SIGHUP fifty times to both while the active node
// is killed: the peer takes over in time all the same.
func TestFaultReloadStorm(t *testing.T) {
	t.Parallel()
	p := newDuo(t, "vrrpd", "vrrpd", 100*time.Millisecond, "").begin()
	a, b := p.a.vrrpd, p.b.vrrpd
	storm := func(rounds int, nodes ...*node) {
		for range rounds {
			for _, n := range nodes {
				n.proc.Signal(unix.SIGHUP)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	began := time.Now()
	storm(25, a, b)
	p.unnoticed("a storm of reloads", began)
	p.sw.Cut(a.host) // what it leaves behind is not this test's matter
	a.proc.Kill()
	killed := time.Now()
	storm(50, b)
	if took := p.answered(p.b, killed, 20*time.Second); took > p.down()+patience {
		t.Errorf("took over after %v", took)
	}
	p.oneOwner(p.b, 10*time.Second)
	p.tell("SIGKILL among 50 reloads", killed)
	if i := b.instance("web"); i.State != "active" || i.Transitions != 2 {
		t.Errorf("b: %s after %d transitions\n%s", i.State, i.Transitions, b.must("events"))
	}
}

// TestFaultDeleted: case 87 of the conformance list. Somebody deletes the
// address every second; it is put back at once and announced, and neither node
// changes its state.
func TestFaultDeleted(t *testing.T) {
	t.Parallel()
	const rounds = 5
	p := newDuo(t, "vrrpd", "vrrpd", 100*time.Millisecond, "").begin()
	a, b := p.a.vrrpd, p.b.vrrpd
	moves := a.instance("web").Transitions
	sniff := p.sw.Sniff()
	began := time.Now()
	for range rounds {
		a.host.Run("ip", "addr", "del", vip+"/24", "dev", "eth0")
		deleted := time.Now()
		a.host.WaitHas(vip, 5*time.Second)
		time.Sleep(time.Until(deleted.Add(time.Second)))
	}
	p.oneOwner(p.a, 5*time.Second)
	p.tell("deleted five times", began)
	if i := a.instance("web"); i.State != "active" || i.Transitions != moves || b.instance("web").Transitions != 1 {
		t.Errorf("a: %+v", i)
	}
	if seen := p.echo.Since(began); seen.LongestGap > patience {
		t.Errorf("%s", seen)
	}
	announced := 0
	for _, x := range sniff.Announcements() {
		if x.By == "a" && x.Address.String() == vip {
			announced++
		}
	}
	if announced < rounds {
		t.Errorf("announced %d times for %d deletions", announced, rounds)
	}
}

// TestFaultCheckHangs: a check script that ignores SIGTERM and never ends is
// killed at its timeout and counts as failed; nothing of it is left, and the
// daemon serves others meanwhile.
func TestFaultCheckHangs(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	ha, hb := sw.Host("a", "192.0.2.1/24"), sw.Host("b", "192.0.2.2/24")
	client := sw.Host("client", "192.0.2.9/24")
	flag := filepath.Join(l.Dir(), "hang")
	hang := script(t, l, "hang.sh", "trap '' TERM\n[ ! -e "+flag+" ] || { while :; do sleep 4711; done & while :; do sleep 4711; done; }")
	var checks strings.Builder
	var track []string
	for i := range 4 {
		fmt.Fprintf(&checks, "[check.c%d]\ncommand = [%q]\ninterval = \"200ms\"\ntimeout = \"150ms\"\nfall = 2\n", i, hang)
		track = append(track, fmt.Sprintf("%q", fmt.Sprintf("c%d", i)))
	}
	r := lab.Router{Interval: 100 * time.Millisecond, Priority: 150, Addresses: []string{vip + "/24"}}
	a := newNode(t, l, ha, checks.String()+r.Vrrpd("web")+"track = ["+strings.Join(track, ", ")+"]\n").start()
	r.Priority = 100
	b := newNode(t, l, hb, r.Vrrpd("web")).start()
	a.waitState("web", "active", 20*time.Second)
	who, echo := client.WhoHas(vip, 200), client.Echo(vip, 500)
	who.WaitOwner(ha, 10*time.Second)
	echo.WaitAnswered(5 * time.Second)

	hung := time.Now()
	touch(t, flag)
	who.WaitOwner(hb, 20*time.Second)
	a.waitState("web", "fault", 5*time.Second)
	b.waitState("web", "active", 5*time.Second)
	time.Sleep(time.Second) // a few more runs that hang
	for _, c := range a.status().Checks {
		if c.Verdict != "failing" || !strings.Contains(c.Result, "timeout") {
			t.Errorf("check %s: %s, %q", c.Name, c.Verdict, c.Result)
		}
	}
	if n := sleeping(t); n > 4*4 { // what runs right now; none of the runs before
		t.Errorf("%d processes of hung checks", n)
	}
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	who.WaitOwner(ha, 20*time.Second)
	lab.Until(t, 10*time.Second, "the hung processes to be gone", func() bool { return sleeping(t) == 0 })
	seen, owners := echo.Since(hung), who.Since(hung)
	t.Logf("checks that hang, and recover: without an answer %v, with two owners %v", seen.Silence(), owners.TwoOwners())
	if seen.LongestGap > unnoticed+patience {
		t.Errorf("%s", seen)
	}
}

// sleeping counts the processes that the hanging script leaves.
func sleeping(t *testing.T) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range paths {
		b, _ := os.ReadFile(path) // one that ended meanwhile
		if string(b) == "sleep\x004711\x00" {
			n++
		}
	}
	return n
}

// TestFaultDiskFull: the disk with the socket and the state file is full, and so
// is that of the log. The daemon serves, fails over, is killed, and comes back.
func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	dir, err := os.MkdirTemp("", "vrrpd")
	if err != nil {
		t.Fatal(err)
	}
	// Before the hosts are made: they see what is mounted by then.
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	sw := l.Switch("lan")
	r := lab.Router{Interval: 100 * time.Millisecond, Priority: 150, Addresses: []string{vip + "/24"}}
	a := newNode(t, l, sw.Host("a", "192.0.2.1/24"), r.Vrrpd("web"))
	r.Priority = 100
	b := newNode(t, l, sw.Host("b", "192.0.2.2/24"), r.Vrrpd("web"))
	client := sw.Host("client", "192.0.2.9/24")
	for _, n := range []*node{a, b} {
		n.socket = filepath.Join(dir, n.host.Name+".sock")
		n.configure(n.config)
	}
	fill(t, filepath.Join(dir, "ballast"))
	startFull := func(n *node) {
		n.startCommand("sh", "-c", `exec "$0" -c "$1" 2>/dev/full`, program(t, "vrrpd"), n.file)
	}

	startFull(a)
	a.waitState("web", "active", 10*time.Second)
	startFull(b)
	who := client.WhoHas(vip, 200)
	who.WaitOwner(a.host, 10*time.Second)
	b.waitState("web", "backup", 5*time.Second)
	if w := a.status().Warnings; len(w) == 0 {
		t.Error("nobody is told that the disk is full")
	} else {
		t.Logf("warnings: %q", w)
	}
	a.must("reload")
	a.must("demote", "web")
	who.WaitOwner(b.host, 10*time.Second)
	a.must("promote", "web")
	who.WaitOwner(a.host, 10*time.Second)
	a.proc.Kill()
	startFull(a)
	who.WaitOwner(a.host, 15*time.Second)
	sw.Cut(a.host)
	who.WaitOwner(b.host, 10*time.Second)
	sw.Heal(a.host)
	who.WaitOwner(a.host, 10*time.Second)
	a.stop()
	who.WaitOwner(b.host, 10*time.Second)
	if a.host.Has(vip) {
		t.Error("the address was left behind")
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 1 << 20 {
		if _, err = f.Write(make([]byte, 512)); err != nil {
			break
		}
	}
	if !strings.Contains(fmt.Sprint(err), "no space left") {
		t.Fatalf("filling the disk ended with %v", err)
	}
}
