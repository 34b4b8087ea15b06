package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"vrrpd/internal/lab"
)

const (
	address = "192.168.1.100"
	patient = 15 * time.Second // for what takes seconds; a busy machine takes longer
)

// A node is one host of the cluster.
type node struct {
	host    *lab.Host
	vrrpd   *lab.Process
	service *lab.Process
	socket  string
	config  string
}

// A cluster is the scene: two nodes, a client, a switch between them.
type cluster struct {
	s      *stage
	bin    string
	lab    *lab.Lab
	sw     *lab.Switch
	one    *node
	two    *node
	client *lab.Host
	step   int
}

func play(s *stage, bin string) {
	l := lab.New(s)
	c := &cluster{s: s, bin: bin, lab: l, sw: l.Switch("switch")}
	c.one = c.newNode("node1", "192.168.1.11/24", 100)
	c.two = c.newNode("node2", "192.168.1.12/24", 90)
	c.client = c.sw.Host("client", "192.168.1.9/24")
	c.start()
	c.crash()
	c.checkFails()
	c.demote()
	c.bond()
	c.stop()
}

func (c *cluster) newNode(name, prefix string, priority int) *node {
	n := &node{host: c.sw.Host(name, prefix), socket: filepath.Join(c.lab.Dir(), name+".sock")}
	check := c.lab.WriteFile("check_service.sh", "#!/bin/bash\n"+
		"# Is anybody listening on the service's port?\n"+
		"exec 3<>/dev/tcp/127.0.0.1/8080 || exit 1\necho service answers\n")
	if err := os.Chmod(check, 0o755); err != nil {
		c.s.Fatalf("%v", err)
	}
	n.config = c.lab.WriteFile(name+".toml", fmt.Sprintf(`[node]
name = %q

[control]
socket = %q
group = ""

[check.service]
command = [%q]
interval = "500ms"
rise = 1
fall = 2
weight = -20

[instance.web]
interface = "eth0"
vrid = 51
priority = %d
addresses = ["%s/24"]
track = ["service"]
`, name, n.socket, check, priority, address))
	return n
}

// say announces a step.
func (c *cluster) say(format string, args ...any) {
	c.step++
	fmt.Printf("\n=== %d. %s\n", c.step, fmt.Sprintf(format, args...))
}

func tell(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }

// ctl runs vrrpctl on a node and shows the command and what it prints.
func (c *cluster) ctl(n *node, args ...string) string {
	out, err := exec.Command(filepath.Join(c.bin, "vrrpctl"), append([]string{"--socket", n.socket}, args...)...).CombinedOutput()
	fmt.Printf("    %s$ vrrpctl %s\n", n.host.Name, strings.Join(args, " "))
	for line := range strings.Lines(strings.TrimRight(string(out), "\n")) {
		fmt.Printf("      %s\n", strings.TrimRight(line, "\n"))
	}
	if err != nil {
		c.s.Fatalf("vrrpctl %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func (c *cluster) startDaemon(n *node) {
	n.vrrpd = n.host.Start(filepath.Join(c.bin, "vrrpd"), "-c", n.config)
	lab.Until(c.s, patient, "vrrpd on "+n.host.Name+" to listen", func() bool {
		if n.vrrpd.Exited() {
			c.s.Fatalf("vrrpd on %s ended:\n%s", n.host.Name, n.vrrpd.Output())
		}
		return exec.Command(filepath.Join(c.bin, "vrrpctl"), "--socket", n.socket, "status").Run() == nil
	})
}

// startService runs what the address is for; any listener will do.
func (c *cluster) startService(n *node) {
	self, err := os.Executable()
	if err != nil {
		c.s.Fatalf("%v", err)
	}
	cmd := exec.Command(self, "service")
	cmd.Env = append(os.Environ(), serviceVar+"=127.0.0.1:8080")
	n.service = n.host.StartCmd(cmd)
}

// watch measures what the client sees while something happens: 500 requests a
// second, and who answers for the address.
func (c *cluster) watch(expect *node, atMost time.Duration, happens func()) {
	echo, who := c.client.Echo(address, 500), c.client.WhoHas(address, 50)
	echo.WaitAnswered(patient)
	happens()
	who.WaitOwner(expect.host, patient)
	echo.WaitAnswered(patient)
	seen, owners := echo.Stop(), who.Stop()
	tell("client: %d requests, %d lost; longest time without an answer %d ms; served by %s",
		seen.Sent, seen.Lost, seen.LongestGap.Milliseconds(), owners.Serving())
	switch {
	case owners.Serving() != expect.host.Name:
		c.s.Fatalf("%s should serve", expect.host.Name)
	case seen.LongestGap > atMost:
		c.s.Fatalf("the outage is longer than %v", atMost)
	}
}

func (c *cluster) start() {
	c.say("Two nodes, one address: node1 (priority 100) and node2 (priority 90) start together")
	for _, n := range []*node{c.one, c.two} {
		c.startService(n)
		c.startDaemon(n)
	}
	who := c.client.WhoHas(address, 50)
	who.WaitOwner(c.one.host, patient)
	who.Stop()
	tell("node1 answers for %s", address)
	lab.Until(c.s, patient, "the service check to pass", func() bool {
		out, err := exec.Command(filepath.Join(c.bin, "vrrpctl"), "--socket", c.one.socket, "status", "-o", "json").Output()
		return err == nil && strings.Contains(string(out), `"passing": true`)
	})
	c.ctl(c.one, "status")
	c.ctl(c.two, "status")
}

func (c *cluster) crash() {
	c.say("node1 loses power: its cable is dead and every process gone at once")
	// The protocol's own bound, three advertisements and Skew_Time, is 3.65 s.
	c.watch(c.two, 3650*time.Millisecond+slack, func() {
		c.sw.Cut(c.one.host)
		c.one.host.Crash()
	})
	c.say("node1 comes back and takes over again")
	c.startService(c.one)
	c.startDaemon(c.one)
	c.sw.Heal(c.one.host)
	c.watch(c.one, slack, func() {})
	tell("the address that its death left behind was gone before the cable was back")
}

const (
	// slack is what a busy machine may add to any bound.
	slack = 2 * time.Second
	// unnoticed is less than a release with priority 0 would cost, 0.65 s.
	unnoticed = 300 * time.Millisecond
)

func (c *cluster) checkFails() {
	c.say("The service on node1 fails: two failed checks take 20 off its priority")
	c.watch(c.two, slack, func() { c.one.service.Kill() })
	c.ctl(c.one, "explain", "web")
	c.say("The service on node1 is back")
	c.startService(c.one)
	c.watch(c.one, slack, func() {})
}

func (c *cluster) demote() {
	c.say("An operator takes node1 out for maintenance")
	c.watch(c.two, unnoticed, func() { c.ctl(c.one, "demote", "web") })
	c.ctl(c.one, "status")
	c.say("Maintenance is over")
	c.watch(c.one, slack, func() { c.ctl(c.one, "promote", "web") })
	c.ctl(c.one, "events", "--since", "30s")
}

func (c *cluster) stop() {
	c.say("Both daemons are stopped in order")
	c.two.vrrpd.Term()
	c.one.vrrpd.Term()
	for _, n := range []*node{c.one, c.two} {
		if err := n.vrrpd.Wait(patient); err != nil {
			c.s.Fatalf("vrrpd on %s: %v\n%s", n.host.Name, err, n.vrrpd.Output())
		}
		if n.host.Has(address) {
			c.s.Fatalf("%s left %s behind", n.host.Name, address)
		}
	}
	tell("neither left the address behind")
}
