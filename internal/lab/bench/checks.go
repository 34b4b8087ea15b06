package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
)

// How many checks run every second, and how many of them misbehave.
const (
	soakChecks  = 500
	soakHostile = 50
)

// A soak is what a daemon was like while its checks ran.
type soak struct {
	early, longest             float64
	processor                  float64   // % of a core, with all that it ran
	memories                   []float64 // MiB, of the daemon's own processes, at each look
	opens                      []float64 // their descriptors
	zombies, left              float64
	runs, overruns, falselyBad float64
}

// benchChecks: the active host runs five hundred checks a second, of which fifty
// hang, fork, flood, ignore signals and run away.
func benchChecks(b *bench, s *stage) {
	c := newCluster(s, b.terms, 1)
	window := b.window(time.Minute, 10*time.Minute)
	all := map[*contender]*soak{}
	for _, k := range contenders {
		all[k] = c.soak(k, window, variant{realtime: k == vrrpd && !b.plain})
	}
	name := fmt.Sprintf("%d checks a second, %d hostile: ", soakChecks, soakHostile)
	row := func(measure, unit string, of func(*soak) float64, target figures.Target) {
		p := pair{}
		for k, o := range all {
			p.add(k, of(o))
		}
		b.row("checks", name+measure, unit, p, figures.Max, target)
	}
	row("false transitions in "+short(window), "", func(o *soak) float64 { return o.early }, figures.Target{Zero: true})
	row("interval of 100 ms, longest", "ms", func(o *soak) float64 { return o.longest }, figures.Target{Most: 250})
	row("processor, with what they run", "% of a core", func(o *soak) float64 { return o.processor }, figures.Target{})
	row("RSS, at most", "MiB", func(o *soak) float64 { return figures.Max(o.memories) }, figures.Target{Most: 128})
	row("RSS, last third less the first", "MiB", func(o *soak) float64 { return growth(o.memories) }, figures.Target{Most: 16})
	row("descriptors, at most", "", func(o *soak) float64 { return figures.Max(o.opens) }, figures.Target{})
	row("descriptors, last third less the first", "", func(o *soak) float64 { return growth(o.opens) }, figures.Target{})
	row("zombies that stay", "", func(o *soak) float64 { return o.zombies }, figures.Target{Zero: true})
	row("processes left over", "", func(o *soak) float64 { return o.left }, figures.Target{Zero: true})
	row("runs a second", "", func(o *soak) float64 { return o.runs }, figures.Target{})
	row("overruns a second", "", func(o *soak) float64 { return o.overruns }, figures.Target{})
	row("good ones that fail in the end", "", func(o *soak) float64 { return o.falselyBad }, figures.Target{Zero: true})
}

// growth is by how much the median of the last third is above that of the first.
func growth(values []float64) float64 {
	third := len(values) / 3
	return figures.Median(values[len(values)-third:]) - figures.Median(values[:third])
}

// soak has one contender run the checks on the active host.
func (c *cluster) soak(k *contender, window time.Duration, v variant) *soak {
	const interval = 100 * time.Millisecond
	s := c.s
	group, err := c.a.Cgroup()
	if err != nil {
		s.Fatalf("this takes a cgroup v2 that can be written to: %v", err)
	}
	checked := *k
	checked.configure = func(t terms, h *lab.Host, socket string, routers []lab.Router, v variant) string {
		text := k.configure(t, h, socket, routers, v)
		if h != c.a {
			return text
		}
		return k.checks(text, c.hostileScripts())
	}
	checked.command = func(t terms, file string, v variant) []string {
		args := k.command(t, file, v)
		if filepath.Base(file)[0] != 'a' { // of the other host
			return args
		}
		return group.Command(args[0], args[1:]...).Args
	}
	tk := &takeover{c: c, kind: &checked, routers: 1, interval: interval, variant: v}
	tk.prepare()
	o := &soak{runs: math.NaN(), overruns: math.NaN(), falselyBad: math.NaN()} // who cannot tell
	mark, began, used := c.rec.Mark(), time.Now(), group.Processor()
	stays := map[int]int{}
	for time.Since(began) < window {
		time.Sleep(500 * time.Millisecond)
		o.look(tk.a, stays)
	}
	took := time.Since(began)
	o.processor = share(group.Processor()-used, took)
	c.rec.Settle()
	seen := c.rec.Since(mark)
	gaps, _ := tk.intervals(seen, began, began.Add(took))
	if len(gaps) == 0 {
		s.Fatalf("%s sent no advertisements:\n%s", k.name, tk.a.said())
	}
	o.early, o.longest = float64(tk.falseTransitions(seen)), figures.Max(gaps)
	if k == vrrpd {
		o.ask(s, tk.a, time.Since(tk.a.started))
	}
	// What it does not end when it is told to, nobody does.
	tk.a.Term()
	lab.Until(s, startLimit, k.name+" to end", tk.a.Exited)
	time.Sleep(time.Second)
	o.left = float64(len(group.Processes()))
	c.reset(tk.a, tk.b)
	return o
}

// hostileScripts writes them down: keepalived has no arguments with quotes in
// quotes.
func (c *cluster) hostileScripts() (paths []string) {
	for i, text := range lab.Hostile {
		path := filepath.Join(c.lab.Dir(), fmt.Sprintf("hostile%d", i))
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			c.s.Fatalf("%v", err)
		}
		paths = append(paths, path)
	}
	return paths
}

// eachCheck calls f with the name and the command of every check.
func eachCheck(hostile []string, f func(name, command string)) {
	for i := range soakChecks {
		command := "/bin/true"
		if i < soakHostile {
			command = hostile[i%len(hostile)]
		}
		f(fmt.Sprintf("check%d", i), command)
	}
}

// checkedVrrpd adds the checks to a configuration of one instance.
func checkedVrrpd(text string, hostile []string) string {
	var track []string
	var checks strings.Builder
	eachCheck(hostile, func(name, command string) {
		track = append(track, fmt.Sprintf("{ check = %q, weight = -1 }", name))
		fmt.Fprintf(&checks, "[check.%s]\ncommand = [%q]\ninterval = \"1s\"\n", name, command)
	})
	return text + "track = [" + strings.Join(track, ", ") + "]\n" + checks.String()
}

// checkedKeepalived does the same for keepalived, where a script runs as nobody
// if it is told to.
func checkedKeepalived(text string, hostile []string) string {
	var scripts, track strings.Builder
	eachCheck(hostile, func(name, command string) {
		fmt.Fprintf(&scripts, "vrrp_script %s {\n\tscript %q\n\tinterval 1\n\ttimeout 1\n\tweight -1\n\tuser nobody\n}\n", name, command)
		fmt.Fprintf(&track, "\t\t%s\n", name)
	})
	before, instance, _ := strings.Cut(text, "vrrp_instance ")
	instance = strings.TrimSuffix(instance, "}\n")
	return before + scripts.String() + "vrrp_instance " + instance + "\ttrack_script {\n" + track.String() + "\t}\n}\n"
}

// look adds what a daemon takes now. stays counts for how many looks in a row a
// child of its own was a zombie.
func (o *soak) look(d *daemon, stays map[int]int) {
	var memory, files int
	zombies := map[int]bool{}
	for _, pid := range d.Tree() {
		f := statFields(pid)
		switch {
		case len(f) < 22: // it has ended
		case f[0] == "Z":
			zombies[pid] = true
		case pid == d.Pid || slices.Contains(d.kind.own, commandName(pid)):
			var pages int
			_, _ = fmt.Sscan(f[21], &pages)
			memory += pages * os.Getpagesize()
			if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
				files += len(open)
			}
		}
	}
	for pid := range stays {
		if !zombies[pid] {
			delete(stays, pid)
		}
	}
	stay := 0
	for pid := range zombies {
		if stays[pid]++; stays[pid] > 6 { // three seconds
			stay++
		}
	}
	o.memories, o.opens = append(o.memories, float64(memory)/(1<<20)), append(o.opens, float64(files))
	o.zombies = max(o.zombies, float64(stay))
}

// ask reads what vrrpd says of its checks.
func (o *soak) ask(s *stage, d *daemon, took time.Duration) {
	client := control.NewClient(d.socket)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	status, err := client.Status(ctx, "")
	if err != nil {
		s.Fatalf("status: %v", err)
	}
	o.runs, o.overruns, o.falselyBad = 0, 0, 0
	for _, c := range status.Checks {
		o.runs += float64(c.Runs) / took.Seconds()
		o.overruns += float64(c.Overruns) / took.Seconds()
		var i int
		if _, err := fmt.Sscanf(c.Name, "check%d", &i); err != nil {
			s.Fatalf("a check %q: %v", c.Name, err)
		}
		switch good := i >= soakHostile; {
		case good && !c.Passing:
			o.falselyBad++
		case !good && c.Verdict != "failing":
			s.Fatalf("%s is hostile, and %s: %s", c.Name, c.Verdict, c.Result)
		}
	}
}

// statFields are the fields of /proc/PID/stat from the state on.
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	text := string(b)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// commandName is the name of a process as in proc_pid_comm(5).
func commandName(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)) // it may have ended
	return strings.TrimSpace(string(b))
}
