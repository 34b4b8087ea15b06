package healthcheck

import (
	"bufio"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobodyID is the user and group that own nothing, by convention. It is also
// what the kernel shows for an id that a user namespace does not map
// (/proc/sys/kernel/overflowuid).
const nobodyID = 65534

// A Credential is the identity a check runs as.
type Credential struct {
	User   string // as configured, for messages
	Login  string // what /etc/passwd calls the user, for the environment; "": User
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary groups
	Home   string
}

// LookupUser returns the identity of a user by name or numeric uid, with the
// supplementary groups of /etc/group. A uid that /etc/passwd does not know is
// accepted; it gets the group 65534 (nogroup) alone.
func LookupUser(name string) (*Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		uid, numErr := strconv.ParseUint(name, 10, 32)
		// -1 means "leave as it is" to setresuid(2).
		if numErr != nil || uid == 1<<32-1 {
			return nil, fmt.Errorf("unknown user %s", strconv.Quote(name))
		}
		if u, err = user.LookupId(name); err != nil {
			return &Credential{User: name, UID: uint32(uid), GID: nobodyID, Home: "/"}, nil
		}
	}
	c := &Credential{User: name, Login: u.Username, Home: u.HomeDir}
	if c.UID, err = parseID(u.Uid); err != nil {
		return nil, fmt.Errorf("uid of user %s: %w", name, err)
	}
	if c.GID, err = parseID(u.Gid); err != nil {
		return nil, fmt.Errorf("gid of user %s: %w", name, err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, g := range groups {
		gid, err := parseID(g)
		if err != nil {
			return nil, fmt.Errorf("groups of user %s: %w", name, err)
		}
		if gid != c.GID {
			c.Groups = append(c.Groups, gid)
		}
	}
	return c, nil
}

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err
}

// DefaultUser returns whom checks run as when nothing is configured: nobody
// where this process is root and can become nobody, and otherwise this process
// itself.
func DefaultUser() *Credential {
	if os.Geteuid() == 0 {
		nobody, err := LookupUser("nobody")
		if err != nil {
			nobody = &Credential{User: "nobody", UID: nobodyID, GID: nobodyID, Home: "/"}
		}
		if nobody.reachable() == nil {
			return nobody
		}
	}
	return ownUser()
}

// ownUser returns this process's identity. Its user need not be in
// /etc/passwd: systemd's DynamicUser= is not.
func ownUser() *Credential {
	uid := os.Geteuid()
	c := &Credential{User: strconv.Itoa(uid), UID: uint32(uid), GID: uint32(os.Getegid()), Home: "/"}
	if u, err := user.LookupId(c.User); err == nil {
		c.User, c.Home = u.Username, u.HomeDir
	}
	// Getgroups fails only for a negative size.
	groups, _ := os.Getgroups()
	for _, g := range groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}

// own reports whether c is what this process is already. Becoming that takes
// no privilege and changes nothing, not even the supplementary groups.
func (c *Credential) own() bool {
	return c == nil || c.UID == uint32(os.Geteuid()) && c.GID == uint32(os.Getegid())
}

// system returns c for os.StartProcess, nil for this process's own identity.
func (c *Credential) system() *syscall.Credential {
	if c.own() {
		return nil
	}
	return &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: slices.Clone(c.Groups)}
}

// reachable returns why this process cannot become c, or nil.
func (c *Credential) reachable() error {
	if c.own() {
		return nil
	}
	if !capable(unix.CAP_SETUID) || !capable(unix.CAP_SETGID) {
		return fmt.Errorf("this process runs as uid %d and cannot become user %s", os.Geteuid(), c.User)
	}
	if !mapped("/proc/self/uid_map", c.UID) {
		return fmt.Errorf("uid %d of user %s is not mapped in this user namespace", c.UID, c.User)
	}
	for _, gid := range append([]uint32{c.GID}, c.Groups...) {
		if !mapped("/proc/self/gid_map", gid) {
			return fmt.Errorf("gid %d of user %s is not mapped in this user namespace", gid, c.User)
		}
	}
	// user_namespaces(7): a namespace made without privilege may not change
	// groups at all.
	if b, err := os.ReadFile("/proc/self/setgroups"); err == nil && strings.TrimSpace(string(b)) == "deny" {
		return fmt.Errorf("this user namespace does not allow setgroups, which becoming user %s takes", c.User)
	}
	return nil
}

// capable reports whether this thread has a capability in its effective set.
func capable(capability uint) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// mapped reports whether this user namespace maps an id, according to a file
// in the format of /proc/PID/uid_map (user_namespaces(7)). A kernel without
// user namespaces has no such file and maps everything.
func mapped(file string, id uint32) bool {
	f, err := os.Open(file)
	if err != nil {
		return os.IsNotExist(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &count); err != nil {
			continue
		}
		if uint64(id) >= inside && uint64(id) < inside+count {
			return true
		}
	}
	return false
}
