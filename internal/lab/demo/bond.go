package main

import (
	"fmt"
	"path/filepath"
	"time"

	"vrrpd/internal/lab"
)

const bondAddress = "192.168.1.110"

// bond has the two nodes run over active-backup bonds, where the kernel has
// the bonding driver.
func (c *cluster) bond() {
	if out, err := c.client.Try("ip", "link", "add", "probe0", "type", "bond"); err != nil {
		c.say("A link of a bond fails: left out, this kernel has no bonding driver")
		tell("(%s)", firstLine(out))
		return
	}
	c.client.Run("ip", "link", "del", "probe0")
	c.say("A link of node3's bond fails: no business of the election")
	three, four := c.bonded("node3", "192.168.1.13/24", 100), c.bonded("node4", "192.168.1.14/24", 90)
	c.startDaemon(three)
	c.startDaemon(four)
	who := c.client.WhoHas(bondAddress, 50)
	who.WaitOwner(three.host, patient)
	echo := c.client.Echo(bondAddress, 500)
	echo.WaitAnswered(patient)
	c.sw.CutPort(three.host, "eth0")
	time.Sleep(5 * time.Second) // longer than a backup waits
	seen, owners := echo.Stop(), who.Stop()
	tell("client: %d requests, %d lost; longest time without an answer %d ms; served by %s",
		seen.Sent, seen.Lost, seen.LongestGap.Milliseconds(), owners.Serving())
	if owners.Serving() != "node3" || seen.LongestGap > slack {
		c.s.Fatalf("node3 should serve all the time")
	}
	c.ctl(three, "status")
	for _, n := range []*node{four, three} {
		n.vrrpd.Term()
		if err := n.vrrpd.Wait(patient); err != nil {
			c.s.Fatalf("vrrpd on %s: %v\n%s", n.host.Name, err, n.vrrpd.Output())
		}
	}
}

// bonded makes a node with two cables to the switch, joined to bond0.
func (c *cluster) bonded(name, prefix string, priority int) *node {
	h := c.lab.Host(name)
	for _, link := range []string{"eth0", "eth1"} {
		c.sw.Attach(h, link)
	}
	h.Run("ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "100")
	for _, link := range []string{"eth0", "eth1"} {
		h.Run("ip", "link", "set", link, "down")
		h.Run("ip", "link", "set", link, "master", "bond0")
	}
	h.Run("ip", "link", "set", "bond0", "up")
	h.Run("ip", "addr", "add", prefix, "dev", "bond0")
	n := &node{host: h, socket: filepath.Join(c.lab.Dir(), name+".sock")}
	n.config = c.lab.WriteFile(name+".toml", fmt.Sprintf("[node]\nname = %q\n[control]\nsocket = %q\ngroup = \"\"\n", name, n.socket)+
		lab.Router{VRID: 52, Priority: priority, Interface: "bond0", Addresses: []string{bondAddress + "/24"}}.Vrrpd("bonded"))
	return n
}

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
}
