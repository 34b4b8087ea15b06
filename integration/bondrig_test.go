package integration

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vrrpd/internal/lab"
)

// bondModules are what the kernel needs for these tests.
var bondModules = []string{"bonding", "bridge", "veth", "af_packet", "ipv6", "8021q", "macvlan", "vrf", "dummy"}

const (
	// bondPatience is long: nothing here is about speed.
	bondPatience = 20 * time.Second
	bondPoll     = 50 * time.Millisecond

	// bondInterval is between advertisements, and bondQuiet longer than a
	// backup waits for one: what has not moved by then stays.
	bondInterval = 500 * time.Millisecond
	bondQuiet    = 5 * bondInterval
)

const vip6 = "2001:db8::100"

// A bondRig is hosts with a bond over two links, eth0 to one switch and eth1
// to another, and a client on the second.
//
//	a: eth0 ── left  ── b: eth0
//	            │
//	          trunk
//	            │
//	a: eth1 ── right ── b: eth1
//	            │
//	          client
type bondRig struct {
	t           *testing.T
	lab         *lab.Lab
	left, right *lab.Switch
	client      *lab.Host
	heard       *lab.Sniffer // what the client's link carries
	a, b        *node        // set by pair
	counters    []counter
}

// A counter tells how many transitions a node has made; false: it is dead.
type counter struct {
	name  string
	count func() (uint64, bool)
}

func newBondRig(t *testing.T) *bondRig {
	t.Helper()
	l := lab.New(t)
	r := &bondRig{t: t, lab: l, left: l.Switch("left"), right: l.Switch("right")}
	trunk := l.Host("trunk")
	r.left.Attach(trunk, "eth0")
	r.right.Attach(trunk, "eth1")
	trunk.Run("sh", "-ec", `
		ip link add br0 type bridge mcast_snooping 0
		ip link set eth0 master br0
		ip link set eth1 master br0
		ip link set br0 up`)
	r.client = r.right.Host("client", "192.0.2.9/24", "2001:db8::9/64")
	r.heard = r.client.Sniff("eth0")
	return r
}

// host makes a host with bond0 over its two links.
func (r *bondRig) host(name, options string, prefixes ...string) *lab.Host {
	r.t.Helper()
	h := r.lab.Host(name)
	r.left.Attach(h, "eth0")
	r.right.Attach(h, "eth1")
	if options != "" { // else the links stay as they are
		makeBond(h, "bond0", options, "eth0", "eth1")
		configure(h, "bond0", prefixes...)
	}
	return h
}

// makeBond makes a bond over links.
func makeBond(h *lab.Host, name, options string, links ...string) {
	script := "ip link add " + name + " type bond " + options + "\n"
	for _, link := range links {
		script += "ip link set " + link + " down\nip link set " + link + " master " + name + "\n"
	}
	h.Run("sh", "-ec", script+"ip link set "+name+" up")
}

func configure(h *lab.Host, ifname string, prefixes ...string) {
	script := ""
	for _, p := range prefixes {
		script += "ip addr add " + p + " dev " + ifname + "\n"
	}
	h.Run("sh", "-ec", script)
}

// quietBond is the usual one: active-backup, looked at ten times a second. The
// kernel is to announce nothing and join nothing again by itself, so that
// what is seen is vrrpd's doing.
const quietBond = "mode active-backup miimon 100 num_grat_arp 0 resend_igmp 0"

// node starts vrrpd on a host of the rig and counts its transitions.
func (r *bondRig) node(h *lab.Host, config string) *node {
	r.t.Helper()
	n := newNode(r.t, r.lab, h, config).start()
	r.counters = append(r.counters, counter{h.Name, func() (uint64, bool) {
		if n.proc.Exited() {
			return 0, false
		}
		var sum uint64
		for _, i := range n.status().Instances {
			sum += i.Transitions
		}
		return sum, true
	}})
	return n
}

// pair starts vrrpd on two hosts over bonds of the same options: a with
// priority 150 and b with 100, in that order active and backup of "web".
func (r *bondRig) pair(options, table string) {
	r.t.Helper()
	router := lab.Router{Interval: bondInterval, Priority: 150, Interface: "bond0", Addresses: []string{vip + "/24"}}
	r.a = r.node(r.host("a", options, "192.0.2.1/24"), table+webConfig(router))
	router.Priority = 100
	r.b = r.node(r.host("b", options, "192.0.2.2/24"), table+webConfig(router))
	r.settled()
}

// webConfig is the instance "web", which announces once and not again later,
// so that a later announcement has a reason of its own.
func webConfig(router lab.Router) string {
	return router.Vrrpd("web") + "announce = { burst = 1, again = \"0s\" }\n"
}

// settled waits until a serves and b backs it up.
func (r *bondRig) settled() {
	r.t.Helper()
	r.waitState(r.a, "active")
	r.waitState(r.b, "backup")
}

func (r *bondRig) waitState(n *node, state string) {
	r.t.Helper()
	r.wait(fmt.Sprintf("%s to be %s", n.host.Name, state), func() bool { return n.instance("web").State == state })
}

// wait polls cond until it holds.
func (r *bondRig) wait(what string, cond func() bool) {
	r.t.Helper()
	lab.Until(r.t, bondPatience, what, cond)
}

// hold makes sure that cond holds for a while.
func (r *bondRig) hold(d time.Duration, what string, cond func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(bondPoll) {
		if !cond() {
			r.t.Fatalf("%s, no longer", what)
		}
	}
}

// cut pulls the cable of a host's link, heal plugs it in.
func (r *bondRig) cut(h *lab.Host, link string)  { r.t.Helper(); r.at(link).CutPort(h, link) }
func (r *bondRig) heal(h *lab.Host, link string) { r.t.Helper(); r.at(link).HealPort(h, link) }

// at is the switch that a link of that name goes to.
func (r *bondRig) at(link string) *lab.Switch {
	if link == "eth0" {
		return r.left
	}
	return r.right
}

// sysNet reads a file below /sys/class/net of a host; "" if it cannot.
func sysNet(h *lab.Host, path string) string {
	var b []byte
	_ = h.Do(func() (err error) {
		b, err = os.ReadFile("/sys/class/net/" + path)
		return err
	})
	return strings.TrimSpace(string(b))
}

func activeLink(h *lab.Host) string { return sysNet(h, "bond0/bonding/active_slave") }

// waitLink waits until the kernel uses a link of the host's bond.
func (r *bondRig) waitLink(h *lab.Host, link string) {
	r.t.Helper()
	r.wait(link+" to be the active link of "+h.Name, func() bool { return activeLink(h) == link })
}

func macOf(h *lab.Host, ifname string) net.HardwareAddr {
	mac, err := net.ParseMAC(sysNet(h, ifname+"/address"))
	if err != nil {
		return nil
	}
	return mac
}

// waitAnnounced waits until the client has heard an announcement of an address
// from a MAC, no older than since.
func (r *bondRig) waitAnnounced(address string, mac net.HardwareAddr, since time.Time) {
	r.t.Helper()
	r.wait("an announcement of "+address+" from "+mac.String(), func() bool {
		return slices.ContainsFunc(r.heard.Announcements(), func(x lab.Announcement) bool {
			return x.Address.String() == address && !x.At.Before(since) && bytes.Equal(x.MAC, mac)
		})
	})
}

// health is what a node says of its bond.
func (r *bondRig) health(n *node, bond string) (health, reasons string) {
	r.t.Helper()
	for _, b := range n.status().Bonds {
		if b.Name == bond {
			return b.Health, strings.Join(b.Reasons, "; ")
		}
	}
	return "", ""
}

func (r *bondRig) waitHealth(n *node, health string) {
	r.t.Helper()
	r.wait("the bond of "+n.host.Name+" to be "+health, func() bool {
		is, _ := r.health(n, "bond0")
		return is == health
	})
}

// becameActive counts how often an instance of the node became active.
func becameActive(n *node) int {
	count := 0
	for _, e := range n.events() {
		if e.Kind == "transition" && e.To == "active" {
			count++
		}
	}
	return count
}

// repaired is what the node says it did to its bonds.
func repaired(n *node) []string {
	var done []string
	for _, e := range n.events() {
		if text, ok := strings.CutPrefix(e.Text, "repaired: "); ok {
			done = append(done, text)
		}
	}
	return done
}

// An outcome is a line of the table: what a scenario cost the client, and what
// it made the nodes do.
type outcome struct {
	scenario    string
	gap         time.Duration
	transitions string
}

var outcomes struct {
	sync.Mutex
	list []outcome
}

// scenario runs one while the client asks for the addresses (none named: the
// usual one), and enters it in the table. It returns the transitions that each
// node made, by name.
func (r *bondRig) scenario(name string, run func(), addresses ...string) map[string]int {
	r.t.Helper()
	if len(addresses) == 0 {
		addresses = []string{vip}
	}
	var echoes []*lab.Probe
	for _, address := range addresses {
		echo := r.client.Echo(address, 50)
		r.wait("the client to be answered by "+address+" before "+name, func() bool { return answered(echo.Report()) })
		echoes = append(echoes, echo)
	}
	began, before := time.Now(), r.count()
	run()
	after := r.count()
	moved := map[string]int{}
	var texts []string
	for i, c := range r.counters {
		switch {
		case after[i] < 0:
			texts = append(texts, c.name+" dead")
		case i < len(before):
			moved[c.name] = after[i] - before[i]
			texts = append(texts, fmt.Sprintf("%s %d", c.name, moved[c.name]))
		default:
			texts = append(texts, fmt.Sprintf("%s %d since its start", c.name, after[i]))
		}
	}
	o := outcome{scenario: name, transitions: strings.Join(texts, ", ")}
	for _, echo := range echoes {
		for _, gap := range echo.Stop().Gaps {
			if gap.To.After(began) {
				o.gap = max(o.gap, gap.Length())
			}
		}
	}
	r.t.Logf("%s | %d | %s", o.scenario, o.gap.Milliseconds(), o.transitions)
	outcomes.Lock()
	defer outcomes.Unlock()
	outcomes.list = append(outcomes.list, o)
	return moved
}

// answered reports whether the last of a few requests was answered.
func answered(r lab.Report) bool {
	n := len(r.Gaps)
	return r.Sent >= 5 && r.Lost < r.Sent && (n == 0 || time.Since(r.Gaps[n-1].To) > 2*bondPoll)
}

// count is the transitions of each node so far; -1: it is dead.
func (r *bondRig) count() []int {
	r.t.Helper()
	counts := make([]int, len(r.counters))
	for i, c := range r.counters {
		n, alive := c.count()
		if counts[i] = int(n); !alive {
			counts[i] = -1
		}
	}
	return counts
}

// unmoved fails the test if a scenario made any node change its state.
func (r *bondRig) unmoved(moved map[string]int) {
	r.t.Helper()
	for name, n := range moved {
		if n != 0 {
			r.t.Errorf("%s made %d transitions, want none", name, n)
		}
	}
}

// A bondPart is a test of its own that shares a guest with others.
type bondPart struct {
	name string
	run  func(*testing.T)
}

// inGuest runs parts at the same time in one guest: they mostly wait. The
// table comes last.
func inGuest(t *testing.T, parts ...bondPart) {
	t.Helper()
	t.Parallel()
	if !lab.InUML(t, bondModules...) {
		return
	}
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() { t.Run(p.name, p.run) })
	}
	all.Wait()
	outcomes.Lock()
	defer outcomes.Unlock()
	text := "SCENARIO | lost ms (longest gap) | transitions\n"
	for _, o := range outcomes.list {
		text += fmt.Sprintf("%s | %d | %s\n", o.scenario, o.gap.Milliseconds(), o.transitions)
	}
	t.Log(text)
}

// cable joins two hosts without a switch between them: LACP is between the
// two ends of one cable.
func cable(t *testing.T, h *lab.Host, ifname string, peer *lab.Host, peerIfname string) {
	t.Helper()
	var ns *os.File
	err := peer.Do(func() (err error) {
		ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err == nil {
		defer ns.Close()
		err = h.Netlink().LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: ifname}, PeerName: peerIfname, PeerNamespace: netlink.NsFd(int(ns.Fd())),
		})
	}
	for _, end := range []struct {
		h    *lab.Host
		name string
	}{{h, ifname}, {peer, peerIfname}} {
		if err == nil {
			err = end.h.Netlink().LinkSetUp(end.h.Link(end.name))
		}
	}
	if err != nil {
		t.Fatalf("cable from %s of %s to %s of %s: %v", ifname, h.Name, peerIfname, peer.Name, err)
	}
}

// hasReason reports whether one of an instance's reasons contains a text.
func hasReason(n *node, instance, text string) bool {
	return slices.ContainsFunc(n.instance(instance).Reasons, func(s string) bool { return strings.Contains(s, text) })
}
