package lab

import (
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Keepalived runs keepalived on the host with these routers as instances VI_1,
// VI_2, … and returns when it has read its configuration.
func (h *Host) Keepalived(routers ...Router) *Process {
	h.lab.t.Helper()
	var b strings.Builder
	for i, r := range routers {
		b.WriteString(r.Keepalived(fmt.Sprintf("VI_%d", i+1)))
	}
	return h.KeepalivedConf("global_defs {\n\trouter_id " + h.Name + "\n\tscript_user root\n}\n" + b.String())
}

// KeepalivedConf runs keepalived with a configuration of its own, and options
// besides.
//
// -n, -l and -G keep it in the foreground with its log on the console, unbuffered.
// The pid files get unique names: keepalived 2.2.7 exits with status 0, without
// starting, if the number in an old one is that of any living process.
func (h *Host) KeepalivedConf(conf string, options ...string) *Process {
	h.lab.t.Helper()
	path := Require(h.lab.t, "keepalived", "keepalived")
	file := h.lab.path(h.Name+"-keepalived", "conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		h.lab.t.Fatalf("%s: %v", h.Name, err)
	}
	p := h.Start(path, append([]string{"-n", "-l", "-G", "-P", "-f", file, "-p", file + ".pid", "-r", file + ".vrrp.pid"}, options...)...)
	p.WaitOutput("Entering BACKUP STATE", 10*time.Second)
	return p
}

// FRR is FRR's vrrpd together with the zebra it needs.
type FRR struct {
	Zebra, Vrrpd *Process
}

// frrDir is where FRR is on Debian and Ubuntu, and frrState where its daemons
// keep sockets and pid files: in the host's own /run.
const (
	frrDir   = "/usr/lib/frr"
	frrState = "/run/frr"
)

// FRR runs FRR's vrrpd on the host with these routers. The addresses are on
// macvlan interfaces that FRR wants to find ready and that it takes out of
// "protodown" while it is active, so [Host.Has] is true all the time here:
// [Host.WhoHas] tells who serves.
func (h *Host) FRR(routers ...Router) *FRR {
	t := h.lab.t
	t.Helper()
	for _, daemon := range []string{"zebra", "vrrpd"} {
		Require(t, frrDir+"/"+daemon, "frr")
	}
	// Or a backup answers ARP for the addresses of its idle macvlan.
	h.Sysctl("net/ipv4/conf/all/arp_ignore", "1")
	h.Sysctl("net/ipv4/conf/all/arp_announce", "2")
	h.Sysctl("net/ipv4/conf/all/ignore_routes_with_linkdown", "1")
	conf := "log stdout informational\n"
	for _, r := range routers {
		h.frrMacvlan(r.withDefaults())
		lines, err := r.FRR()
		if err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		conf += lines
	}
	account, group := h.frrUser()
	err := h.Do(func() error {
		if err := os.MkdirAll(frrState, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(frrState+"/vrrpd.conf", []byte(conf), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(frrState+"/zebra.conf", []byte("log stdout informational\n"), 0o644); err != nil {
			return err
		}
		return chownAll(account, frrState, frrState+"/vrrpd.conf", frrState+"/zebra.conf")
	})
	if err != nil {
		t.Fatalf("%s: prepare FRR: %v", h.Name, err)
	}
	f := &FRR{Zebra: h.frrDaemon("zebra", account.Username, group)}
	Until(t, 10*time.Second, "zebra's socket", func() bool { return h.exists(frrState + "/zserv.api") })
	f.Vrrpd = h.frrDaemon("vrrpd", account.Username, group)
	Until(t, 10*time.Second, "FRR's vrrpd", func() bool { return h.exists(frrState + "/vrrpd.vty") })
	return f
}

// Show asks the daemon through vtysh, such as "show vrrp json".
func (f *FRR) Show(command string) string {
	h := f.Vrrpd.Host
	h.lab.t.Helper()
	return h.Run("vtysh", "--vty_socket", frrState, "-d", "vrrpd", "-c", command)
}

// Kill crashes both daemons.
func (f *FRR) Kill() {
	f.Vrrpd.Kill()
	f.Zebra.Kill()
}

func (h *Host) frrDaemon(name, user, group string) *Process {
	h.lab.t.Helper()
	return h.Start(frrDir+"/"+name, "-u", user, "-g", group, "-A", "127.0.0.1", "-P", "0",
		"-z", frrState+"/zserv.api", "--vty_socket", frrState,
		"-i", frrState+"/"+name+".pid", "-f", frrState+"/"+name+".conf", "--log", "stdout")
}

// frrUser is the account FRR runs under: its own, or root in a user namespace
// in which no other exists.
func (h *Host) frrUser() (account *user.User, group string) {
	h.lab.t.Helper()
	account, err := user.Lookup("frr")
	if err != nil {
		h.lab.t.Fatalf("%s: FRR's user: %v", h.Name, err)
	}
	if chownAll(account, h.lab.WriteFile("owner", "")) == nil {
		return account, "frr"
	}
	// FRR insists that its user be in the group frrvty.
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		h.lab.t.Fatalf("%s: FRR's group: %v", h.Name, err)
	}
	file := h.lab.WriteFile("group", frrvty.ReplaceAllString(string(groups), "${1}root"))
	if err := h.Do(func() error { return unix.Mount(file, "/etc/group", "", unix.MS_BIND, "") }); err != nil {
		h.lab.t.Fatalf("%s: FRR's group: %v", h.Name, err)
	}
	return &user.User{Username: "root", Uid: "0", Gid: "0"}, "root"
}

// frrvty is the line of that group, without its members.
var frrvty = regexp.MustCompile(`(?m)^(frrvty:[^:]*:[^:]*:).*$`)

func chownAll(account *user.User, paths ...string) error {
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

// exists reports whether a path is there as the host sees it.
func (h *Host) exists(path string) bool {
	return h.Do(func() error { _, err := os.Stat(path); return err }) == nil
}

// frrMacvlan makes the interface a virtual router of FRR lives on.
func (h *Host) frrMacvlan(r Router) {
	h.lab.t.Helper()
	name := fmt.Sprintf("vrrp4-%d", r.VRID)
	if r.IPv6() {
		name = fmt.Sprintf("vrrp6-%d", r.VRID)
	}
	h.Run("ip", "link", "add", name, "link", r.Interface, "type", "macvlan", "mode", "bridge")
	h.Run("ip", "link", "set", name, "address", r.VirtualMAC())
	// Link-local addresses must not come from the virtual MAC: RFC 9568 §7.4.
	h.Run("ip", "link", "set", name, "addrgenmode", "random")
	for _, addr := range r.Addresses {
		args := []string{"addr", "add", addr, "dev", name}
		if r.IPv6() {
			args = append(args, "nodad")
		}
		h.Run("ip", args...)
	}
	h.lab.shareMAC(r.VirtualMAC(), h.Name)
	h.Run("ip", "link", "set", name, "protodown", "on")
	h.Run("ip", "link", "set", name, "up")
}
