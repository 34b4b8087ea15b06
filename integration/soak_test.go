package integration

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// How long and how hard TestCheckSoak is; a benchmark asks for more.
var (
	soakFor     = flag.Duration("soak", 10*time.Second, "how long checks misbehave in TestCheckSoak")
	soakChecks  = flag.Int("soak.checks", 200, "how many checks run in it, once a second")
	soakHostile = flag.Int("soak.hostile", 20, "how many of them misbehave")
)

// calmProcesses is the one that vrrpd has run commands.
const calmProcesses = 1

// TestCheckSoak: two hundred checks a second of which twenty hang, fork, flood,
// ignore signals and run away do nothing to the election, and leave nothing.
func TestCheckSoak(t *testing.T) {
	l, sw, a, b, client := twoNodes(t, 100*time.Millisecond, "")
	calm := a.config
	group, err := a.host.Cgroup()
	if err != nil {
		t.Logf("without cgroups: %v", err)
		a.start()
	} else {
		a.startCmd(group.Command(program(t, "vrrpd"), "-c", a.file))
	}
	a.waitState("web", "active", 10*time.Second)
	b.start()
	b.waitState("web", "backup", 10*time.Second)
	who := client.WhoHas("192.0.2.100", 100)
	who.WaitOwner(a.host, 5*time.Second)
	before := lookAt(t, a)
	escapes := confined(t, l, a, calm)
	was := b.instance("web").Transitions

	a.configure(soakConfig(calm, escapes))
	a.must("reload")
	sniff, idle := sw.Sniff(), watchMachine()
	var middle, most usage
	zombies := map[int]int{} // how often in a row
	start := time.Now()
	for time.Since(start) < *soakFor {
		time.Sleep(200 * time.Millisecond)
		u := lookAt(t, a)
		for pid := range zombies {
			if !slices.Contains(u.zombies, pid) {
				delete(zombies, pid)
			}
		}
		for _, pid := range u.zombies {
			if zombies[pid]++; zombies[pid] == 10 {
				t.Errorf("process %d of vrrpd was not reaped for 2s", pid)
			}
		}
		if middle.memory == 0 && time.Since(start) > *soakFor/3 {
			middle = u
		}
		most.memory, most.files, most.processes = max(most.memory, u.memory), max(most.files, u.files), max(most.processes, u.processes)
	}
	took, late := time.Since(start), idle()
	end := lookAt(t, a)
	judgeSoak(t, a)

	// Nothing of it reached the election, beyond what the machine did to
	// everybody: who sleeps here is woken that late.
	mean, worst := gaps(sniff, a.host)
	t.Logf("advertisements every 100ms: on average %v apart, at most %v; the machine itself was late by %v", mean, worst, late)
	t.Logf("%.0f%% of a processor with what the checks run, vrrpd alone %.0f%%; at most %d MiB, %d descriptors, %d processes",
		100*(end.all-before.all).Seconds()/took.Seconds(), 100*(end.own-before.own).Seconds()/took.Seconds(), most.memory>>20, most.files, most.processes)
	if worst > 250*time.Millisecond+2*late {
		t.Errorf("an advertisement came %v after the one before", worst)
	}
	seen := who.Stop()
	switch after := b.instance("web").Transitions; {
	case after != was && late < 50*time.Millisecond:
		t.Errorf("the peer took over:\n%s", b.must("events"))
	case after == was && (seen.Serving() != "a" || len(seen.Conflicts) > 0 || len(seen.Owners) != 1):
		t.Errorf("seen by the client: %s", seen)
	}
	if grown := end.memory - middle.memory; grown > 32<<20 {
		t.Errorf("%d MiB more than after a third of the time", grown>>20)
	}

	// And nothing of it stays.
	a.configure(calm)
	a.must("reload")
	lab.Until(t, 20*time.Second, "every check to be gone", func() bool { return len(lab.HostileLeft()) == 0 && lookAt(t, a).processes <= calmProcesses })
	lab.Until(t, 20*time.Second, fmt.Sprintf("descriptors to be as few as before, %d", before.files), func() bool { return lookAt(t, a).files <= before.files+2 })
}

// confined reports whether commands have cgroups here.
func confined(t *testing.T, l *lab.Lab, n *node, calm string) bool {
	t.Helper()
	n.configure(calm + "track = [{ check = \"probe\", weight = -1 }]\n[check.probe]\ncommand = [\"/bin/true\"]\n")
	n.must("reload")
	lab.Until(t, 10*time.Second, "the first run", func() bool { return n.status().Checks[0].Runs > 0 })
	how := n.status().Checks[0].Confinement
	t.Logf("commands are killed by: %s", how)
	return how == "cgroup"
}

// soakConfig adds the checks to a configuration.
func soakConfig(calm string, escapes bool) string {
	var checks strings.Builder
	var track []string
	add := func(name, command string) {
		track = append(track, fmt.Sprintf("{ check = %q, weight = -1 }", name))
		fmt.Fprintf(&checks, "[check.%s]\ncommand = %s\ntimeout = \"700ms\"\nkill_grace = \"100ms\"\n", name, command)
	}
	kinds := lab.Hostile
	if !escapes {
		kinds = kinds[:len(kinds)-1]
	}
	for i := range *soakHostile {
		add(fmt.Sprintf("hostile%d", i), fmt.Sprintf(`["/bin/sh", "-c", %q]`, kinds[i%len(kinds)]))
	}
	for i := range *soakChecks - *soakHostile {
		add(fmt.Sprintf("good%d", i), `["/bin/true"]`)
	}
	return calm + "track = [" + strings.Join(track, ", ") + "]\n" + checks.String()
}

// judgeSoak looks whether the checks were what they were meant to be.
func judgeSoak(t *testing.T, n *node) {
	t.Helper()
	var runs, overruns uint64
	for _, c := range n.status().Checks {
		runs, overruns = runs+c.Runs, overruns+c.Overruns
		if bad := strings.HasPrefix(c.Name, "hostile"); bad && c.Verdict != "failing" || !bad && c.Verdict == "unknown" {
			t.Errorf("%s is %s: %s", c.Name, c.Verdict, c.Result)
		}
		if c.Runs == 0 {
			t.Errorf("%s never ran", c.Name)
		}
		if len(c.Output) > 4<<10 {
			t.Errorf("%s: %d bytes of output are kept", c.Name, len(c.Output))
		}
	}
	t.Logf("%d runs, %d left out for lack of time", runs, overruns)
}

// gaps are the times between the advertisements of a host: on average, and the
// longest.
func gaps(sniff *lab.Sniffer, h *lab.Host) (mean, worst time.Duration) {
	var last time.Time
	var sum time.Duration
	n := 0
	for _, a := range sniff.Adverts() {
		if a.From != h.Addr(false) {
			continue
		}
		if !last.IsZero() {
			gap := a.At.Sub(last)
			sum, n, worst = sum+gap, n+1, max(worst, gap)
		}
		last = a.At
	}
	return sum / time.Duration(max(n, 1)), worst
}

// A usage is what a daemon takes at one moment.
type usage struct {
	memory    int64         // resident, in bytes
	files     int           // open descriptors
	processes int           // its children and theirs, zombies left out
	zombies   []int         // children that it has not reaped
	own, all  time.Duration // processor time; with that of all it has run
}

func lookAt(t *testing.T, n *node) usage {
	t.Helper()
	pid := n.proc.Pid
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	stat := procStat(pid)
	if stat == nil {
		t.Fatal("vrrpd is gone")
	}
	u := usage{files: len(open)}
	u.own, u.all = spent(stat[11:13]), spent(stat[11:15])
	pages, _ := strconv.ParseInt(stat[21], 10, 64)
	u.memory = pages * int64(os.Getpagesize())
	for _, p := range n.proc.Tree() {
		switch s := procStat(p); {
		case s == nil || p == pid:
		case s[0] != "Z":
			u.processes++
			u.all += spent(s[11:15])
		case s[1] == strconv.Itoa(pid):
			u.zombies = append(u.zombies, p)
		}
	}
	return u
}

// spent adds up processor times of /proc/PID/stat.
func spent(ticks []string) (d time.Duration) {
	for _, f := range ticks {
		n, _ := strconv.ParseInt(f, 10, 64) // as proc_pid_stat(5) has it
		d += time.Duration(n) * 10 * time.Millisecond
	}
	return d
}

// watchMachine measures how late who sleeps is woken. What it returns ends that,
// and tells the latest.
func watchMachine() (end func() time.Duration) {
	stop, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		var late time.Duration
		for {
			due := time.Now().Add(5 * time.Millisecond)
			select {
			case <-stop:
				worst <- late
				return
			case <-time.After(time.Until(due)):
				late = max(late, time.Since(due))
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-worst
	}
}

// procStat are the fields of /proc/PID/stat from the state on, as in
// proc_pid_stat(5); nil: the process is gone.
func procStat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	text := string(b)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}
