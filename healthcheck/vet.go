package healthcheck

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A VetError says why a command must not be configured.
type VetError struct {
	Path    string // the file or directory at fault; "" if it is none
	Problem string // "/root is not searchable by user nobody"
	Remedy  string // what to do about it
}

// Error returns the problem and the remedy, separated by a semicolon.
func (e *VetError) Error() string { return e.Problem + "; " + e.Remedy }

// Vet finds out whether a command can be run, and safely. It returns a
// [*VetError] for the first thing that is wrong:
//
//   - the path is not absolute, or leads to no regular file;
//   - the identity may not execute the file or search a directory on the way;
//   - it is a script whose interpreter is missing, or would be refused itself;
//   - this process is root, and somebody else could change what it runs: a file,
//     directory or symbolic link on the way belongs to another user, or is
//     writable by a group other than 0 or by everybody. A sticky directory of
//     root's, such as /tmp, is not unsafe in itself;
//   - this process cannot become runAs.
//
// Every component counts, those that symbolic links lead to as well. A nil
// runAs is this process's own identity. Permissions are computed from mode bits,
// owners and groups; where a POSIX access control list has a say, the decision
// whether the identity may pass is left to the kernel when the command runs.
func Vet(command []string, runAs *Credential) error {
	if len(command) == 0 || command[0] == "" {
		return &VetError{Problem: "the command is empty", Remedy: "write the absolute path of a program, then its arguments"}
	}
	for _, arg := range command {
		if strings.ContainsRune(arg, 0) {
			return &VetError{Problem: "the command contains a NUL byte", Remedy: "remove it"}
		}
	}
	if err := runAs.reachable(); err != nil {
		return &VetError{Problem: err.Error(), Remedy: "choose another user, or run as root"}
	}
	if runAs == nil {
		runAs = ownUser()
	}
	v := vetter{
		runAs:   runAs,
		daemon:  uint32(os.Geteuid()),
		foreign: !mapped("/proc/self/uid_map", nobodyID),
	}
	return v.program(command[0], interpretersMax)
}

// A vetter holds what the verdict on a path depends on.
type vetter struct {
	runAs   *Credential
	daemon  uint32 // effective uid of this process; 0 asks for safety too
	foreign bool   // files of unmapped owners show up as nobody's
}

// program vets one executable file and, if it is a script, its interpreter.
func (v vetter) program(path string, depth int) error {
	if !filepath.IsAbs(path) {
		return refuse(path, "is not an absolute path", "write the full path, such as /usr/local/bin/check")
	}
	file, st, err := v.walk(path)
	if err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return refuse(file, "is a directory", "name the program in it")
	default:
		return refuse(file, "is not a regular file", "name a program")
	}
	if !v.may(file, st, execute) {
		return refuse(file, "is not executable by user "+v.runAs.User, "chmod it, or set another user")
	}
	var fsys unix.Statfs_t
	if err := unix.Statfs(file, &fsys); err == nil && fsys.Flags&unix.ST_NOEXEC != 0 {
		return refuse(file, "is on a file system mounted noexec", "move it elsewhere")
	}
	return v.script(file, st, depth)
}

// walk follows a path component by component, as the kernel would, and vets
// each: directories, symbolic links, and what the links lead to. It returns
// the file at the end, free of links.
func (v vetter) walk(path string) (string, *syscall.Stat_t, error) {
	const linksMax = 40 // the kernel's own limit (path_resolution(7))
	at, links := "/", 0
	st, err := v.component("/")
	if err != nil {
		return "", nil, err
	}
	pending := strings.Split(path, "/")
	for len(pending) > 0 {
		name := pending[0]
		pending = pending[1:]
		if name == "" || name == "." {
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return "", nil, refuse(at, "is not a directory", "correct the path")
		}
		if !v.may(at, st, execute) {
			return "", nil, refuse(at, "is not searchable by user "+v.runAs.User, "move the command elsewhere, or set another user")
		}
		next := filepath.Join(at, name) // for "..", the parent: at holds no links
		if st, err = v.component(next); err != nil {
			return "", nil, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			at = next
			continue
		}
		if links++; links > linksMax {
			return "", nil, refuse(path, "has too many symbolic links", "correct them")
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", nil, unreadable(next, err)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		pending = append(strings.Split(target, "/"), pending...)
		if st, err = v.component(at); err != nil {
			return "", nil, err
		}
	}
	return at, st, nil
}

// component looks at one file, not following links, and vets its safety.
func (v vetter) component(path string) (*syscall.Stat_t, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, refuse(path, "does not exist", "install it, or correct the path")
	case err != nil:
		return nil, unreadable(path, err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return st, v.safe(path, st)
}

// safe returns an error if anybody but root, or the user this process runs as,
// could put something else in the place of a file or of what it contains.
func (v vetter) safe(path string, st *syscall.Stat_t) error {
	if v.daemon != 0 {
		return nil // whoever tricks it gains no more than its own rights
	}
	if !v.trusted(st.Uid) {
		return refuse(path, fmt.Sprintf("belongs to uid %d, who could change what is run as %s", st.Uid, v.runAs.User),
			"chown it to root, or move the command elsewhere")
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFLNK {
		return nil // the mode of a link means nothing
	}
	if kind == unix.S_IFDIR && st.Mode&unix.S_ISVTX != 0 {
		return nil // only their owners can replace its entries, and each of those is vetted
	}
	if st.Mode&unix.S_IWOTH != 0 {
		return refuse(path, "is writable by everybody", "chmod o-w it, or move the command elsewhere")
	}
	if st.Mode&unix.S_IWGRP == 0 {
		return nil
	}
	if st.Gid != 0 {
		return refuse(path, fmt.Sprintf("is writable by group %d", st.Gid), "chmod g-w it, or move the command elsewhere")
	}
	if hasACL(path) {
		// The group bits are the mask of the list then (acl(5)).
		return refuse(path, "may be writable by others through its access control list", "setfacl -b it, or move the command elsewhere")
	}
	return nil
}

// trusted reports whether files of this owner may be run by root. Within a
// user namespace the host's root is among the owners that are not mapped: they
// all show up as nobody, and nobody inside the namespace can act for them.
func (v vetter) trusted(uid uint32) bool {
	return uid == 0 || uid == v.daemon || v.outside(uid)
}

func (v vetter) outside(uid uint32) bool { return v.foreign && uid == nobodyID }

// Permission bits, as in the last three bits of a mode.
const (
	execute = 1 // or search, for a directory
	read    = 4
)

// may reports whether the identity has a permission on a file.
func (v vetter) may(path string, st *syscall.Stat_t, bit uint32) bool {
	if v.runAs.UID == 0 && !v.outside(st.Uid) {
		// CAP_DAC_OVERRIDE stops only at a file that nobody may execute.
		return bit != execute || st.Mode&unix.S_IFMT == unix.S_IFDIR || st.Mode&0o111 != 0
	}
	mode := uint32(st.Mode)
	switch {
	case st.Uid == v.runAs.UID:
		mode >>= 6
	case v.runAs.inGroup(st.Gid):
		mode >>= 3
	}
	return mode&bit != 0 || hasACL(path)
}

func (c *Credential) inGroup(gid uint32) bool {
	return c.GID == gid || slices.Contains(c.Groups, gid)
}

// hasACL reports whether a file has a POSIX access control list beyond its
// mode bits.
func hasACL(path string) bool {
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

func refuse(path, problem, remedy string) error {
	return &VetError{Path: path, Problem: path + " " + problem, Remedy: remedy}
}

// unreadable is about a file that this process cannot examine.
func unreadable(path string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return refuse(path, "cannot be examined: "+err.Error(), "correct its permissions or the path")
}
