package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"vrrpd/internal/lab"
)

// A variant is how a contender is run.
type variant struct {
	realtime bool   // with the real-time settings it has
	instance string // vrrpd: keys added to every instance
	global   string // vrrpd: tables added
}

// A contender is a daemon to be measured. Everything that tells one from the
// other is here.
type contender struct {
	name string
	// configure returns the configuration file's text.
	configure func(t terms, h *lab.Host, socket string, routers []lab.Router, v variant) string
	// command runs it in the foreground.
	command func(t terms, file string, v variant) []string
	// ready is what it logs for each router it is ready to run; "" if it tells
	// the service manager instead.
	ready string
	// abandoned is what the service manager runs after it died, if anything.
	abandoned func(t terms, file string) []string
	// checks adds checks to a configuration of one router, some of them hostile.
	checks func(text string, hostile []string) string
	// own are the names of processes that are its own, and not what it runs.
	own []string
}

// terms are the parts of a contender's way of running that the command line sets.
type terms struct {
	programs string // the directory of vrrpd and vrrpctl
	release  bool   // vrrpd's unit file has ExecStopPost
}

var vrrpd = &contender{
	name: "vrrpd",
	configure: func(t terms, h *lab.Host, socket string, routers []lab.Router, v variant) string {
		var b strings.Builder
		realtime := map[bool]string{false: "off", true: "auto"}[v.realtime]
		fmt.Fprintf(&b, "[node]\nname = %q\nrealtime = %q\n[control]\nsocket = %q\ngroup = \"\"\n", h.Name, realtime, socket)
		b.WriteString(v.global)
		for i, r := range routers {
			b.WriteString(r.Vrrpd(fmt.Sprintf("i%d", i+1)))
			b.WriteString(v.instance)
		}
		return b.String()
	},
	command: func(t terms, file string, v variant) []string {
		return []string{filepath.Join(t.programs, "vrrpd"), "-c", file}
	},
	abandoned: func(t terms, file string) []string {
		if !t.release {
			return nil
		}
		return []string{filepath.Join(t.programs, "vrrpd"), "-c", file, "release"}
	},
	checks: checkedVrrpd,
	own:    []string{"vrrpd-commands"},
}

var keepalived = &contender{
	name: "keepalived",
	configure: func(_ terms, h *lab.Host, _ string, routers []lab.Router, v variant) string {
		var b strings.Builder
		fmt.Fprintf(&b, "global_defs {\n\trouter_id %s\n", h.Name)
		if v.realtime {
			b.WriteString("\tvrrp_rt_priority 50\n")
		}
		b.WriteString("}\n")
		for i, r := range routers {
			b.WriteString(r.Keepalived(fmt.Sprintf("VI_%d", i+1)))
		}
		return b.String()
	},
	// Without -G and a syslog daemon each line of its log costs a millisecond.
	command: func(_ terms, file string, _ variant) []string {
		return []string{"keepalived", "-n", "-l", "-G", "-P", "-f", file, "-p", file + ".pid", "-r", file + ".vrrp.pid"}
	},
	// It does tell systemd, but looks for process 1 first, and before its
	// routers are there.
	ready:     "Entering BACKUP STATE (init)",
	abandoned: func(terms, string) []string { return nil },
	checks:    checkedKeepalived,
	own:       []string{"keepalived", "keepalived_vrrp"},
}

var contenders = []*contender{vrrpd, keepalived}

// A daemon is a contender running on a host.
type daemon struct {
	*lab.Process
	kind    *contender
	terms   terms
	file    string
	variant variant
	socket  string
	routers int
	started time.Time
	ready   chan time.Time // told once, when it says READY=1
	pids    []int          // its process tree, as of trace
}

// serial numbers what must have a name of its own.
var serial atomic.Int64

// start runs a contender on a host of the cluster. It returns at once.
func (c *cluster) start(k *contender, h *lab.Host, routers []lab.Router, v variant) *daemon {
	dir, err := os.MkdirTemp("", "vb") // a socket's path is short (unix(7))
	if err != nil {
		c.s.Fatalf("%v", err)
	}
	c.s.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{kind: k, terms: c.terms, variant: v, socket: filepath.Join(dir, "s"),
		file: filepath.Join(c.lab.Dir(), fmt.Sprintf("%s-%d.conf", h.Name, serial.Add(1)))}
	d.configure(c.s, h, routers)
	d.run(c.s, h)
	return d
}

// configure writes the configuration file.
func (d *daemon) configure(s *stage, h *lab.Host, routers []lab.Router) {
	d.routers = len(routers)
	text := d.kind.configure(d.terms, h, d.socket, routers, d.variant)
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		s.Fatalf("%v", err)
	}
}

// run starts the process, for the first time or again.
func (d *daemon) run(s *stage, h *lab.Host) {
	path := fmt.Sprintf("%s.notify%d", d.socket, serial.Add(1))
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.Fatalf("%v", err)
	}
	args := d.kind.command(d.terms, d.file, d.variant)
	cmd := exec.Command(args[0], args[1:]...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "VRRPD_LAB") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	d.ready = make(chan time.Time, 1)
	s.Cleanup(func() { conn.Close() })
	d.started = time.Now()
	d.Process = h.StartCmd(cmd)
	if d.kind.ready == "" {
		go listen(conn, d.ready)
	} else {
		go d.overhear(d.Process, d.kind.ready, d.routers, d.ready)
	}
}

// said is the end of the daemon's log.
func (d *daemon) said() string {
	if d == nil {
		return "(played by the harness)"
	}
	lines := strings.Split(strings.TrimRight(d.Output(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// listen waits for READY=1 of sd_notify(3).
func listen(conn *net.UnixConn, ready chan<- time.Time) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return // closed with the stage
		}
		for line := range strings.Lines(string(buf[:n])) {
			if strings.TrimSpace(line) == "READY=1" {
				ready <- time.Now()
				return
			}
		}
	}
}

// overhear waits until a process has logged a text n times.
func (d *daemon) overhear(p *lab.Process, text string, n int, ready chan<- time.Time) {
	log, err := os.Open(p.Log())
	if err != nil {
		return // the start did not succeed, which waitReady tells
	}
	defer log.Close()
	lines := bufio.NewReader(log)
	for line := ""; !p.Exited(); {
		part, err := lines.ReadString('\n')
		line += part
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if strings.Contains(line, text) {
			n--
		}
		if line = ""; n == 0 {
			ready <- time.Now()
			return
		}
	}
}

// waitReady waits until the daemon says that it is ready and returns how long
// that took from its start.
func (d *daemon) waitReady(s *stage) time.Duration {
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); {
		select {
		case at := <-d.ready:
			return at.Sub(d.started)
		case <-time.After(50 * time.Millisecond):
			if d.Exited() {
				s.Fatalf("%s on %s ended:\n%s", d.kind.name, d.Host.Name, d.said())
			}
		}
	}
	s.Fatalf("%s on %s was not ready within %v:\n%s", d.kind.name, d.Host.Name, startLimit, d.said())
	return 0
}

// startLimit is how long a start may take on a busy machine.
const startLimit = 30 * time.Second
