package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vrrpd/vip"
	"vrrpd/vrrp"
)

// errRunning: another daemon holds the lock.
var errRunning = errors.New("another vrrpd is running with this control socket")

// A lock keeps a second daemon from using the same control socket, and so the
// same addresses.
type lock struct{ file *os.File }

// lockPatience is how long a lock is waited for: a process that was killed a
// moment ago may not be gone yet.
const lockPatience = 500 * time.Millisecond

// takeLock locks <socket>.lock. The kernel lets go of it when the process
// ends, however it ends; the file stays, since removing it would race with
// the next daemon.
func takeLock(path string) (*lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for end := time.Now().Add(lockPatience); err == unix.EWOULDBLOCK && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		owner := make([]byte, 16)
		n, _ := f.Read(owner)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (process %s holds %s)", errRunning, strings.TrimSpace(string(owner[:n])), path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return &lock{f}, nil
}

func (l *lock) release() {
	if l != nil {
		l.file.Close()
	}
}

// A savedState is the state file: what the next run needs to know of this
// one. It counts for the boot it was written in only.
type savedState struct {
	Boot      string          `json:"boot_id"`
	Process   int             `json:"process"`
	Instances []savedInstance `json:"instances"`
}

type savedInstance struct {
	Name      string         `json:"name"`
	Interface string         `json:"interface"`
	Family    vrrp.Family    `json:"family"`
	VRID      uint8          `json:"vrid"`
	Checksum  string         `json:"checksum,omitempty"` // learned from a peer
	Demoted   string         `json:"demoted,omitempty"`  // soft or hard, with --persist
	Until     time.Time      `json:"until,omitzero"`     // … and with --for
	Owner     bool           `json:"owner,omitempty"`
	Addresses []savedAddress `json:"addresses"` // configured, extra ones included
}

type savedAddress struct {
	Prefix    netip.Prefix `json:"prefix"`
	Interface string       `json:"interface"`
}

// state is what the engine would have the next run know.
func (e *engine) state(boot string) savedState {
	s := savedState{Boot: boot, Process: os.Getpid()}
	for _, inst := range e.instances {
		i := savedInstance{Name: inst.cfg.Name, Interface: inst.id.iface, Family: inst.id.family, VRID: inst.id.vrid, Owner: inst.cfg.Owner()}
		if inst.learned {
			i.Checksum = inst.form.String()
		}
		if inst.persist {
			i.Demoted, i.Until = "soft", inst.until
			if inst.router.Demotion() == vrrp.DemotedHard {
				i.Demoted = "hard"
			}
		}
		for _, a := range inst.want(false).Addresses {
			i.Addresses = append(i.Addresses, savedAddress{a.Prefix, a.Interface})
		}
		s.Instances = append(s.Instances, i)
	}
	return s
}

// restore is what a state file means for the instances of a plan.
func (s *savedState) restore() map[identity]restored {
	out := map[identity]restored{}
	if s == nil {
		return out
	}
	for _, i := range s.Instances {
		r := restored{down: i.Demoted != "", hard: i.Demoted == "hard", until: i.Until}
		switch i.Checksum {
		case vrrp.ChecksumMessage.String():
			r.form = vrrp.ChecksumMessage
		case vrrp.ChecksumPseudoHeader.String():
			r.form = vrrp.ChecksumPseudoHeader
		}
		out[identity{i.Interface, i.Family, i.VRID}] = r
	}
	return out
}

// leftovers are addresses that an earlier run may have left and nothing of
// this plan accounts for.
func (s *savedState) leftovers(e *engine) vip.Want {
	type place struct {
		addr  netip.Addr
		iface string
	}
	planned := map[place]bool{}
	for _, inst := range e.instances {
		for _, a := range inst.want(false).Addresses {
			planned[place{a.Prefix.Addr(), a.Interface}] = true
		}
	}
	var w vip.Want
	if s == nil {
		return w
	}
	for _, i := range s.Instances {
		if i.Owner {
			continue
		}
		for _, a := range i.Addresses {
			if !planned[place{a.Prefix.Addr(), a.Interface}] {
				w.Addresses = append(w.Addresses, vip.Address{Prefix: a.Prefix, Interface: a.Interface})
			}
		}
	}
	return w
}

// forgetAddresses has a state file speak of no addresses: after a clean stop there are
// none of this run, and whoever adds one of them before the next may keep it.
func forgetAddresses(path, boot string) error {
	s, err := readState(path, boot)
	if err != nil || len(s.Instances) == 0 {
		return err
	}
	for i := range s.Instances {
		s.Instances[i].Addresses = nil
	}
	return writeState(path, *s)
}

// bootID names the boot of the host.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// readState reads a state file of this boot; none is no error.
func readState(path, boot string) (*savedState, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return &savedState{}, nil
	}
	if err != nil {
		return &savedState{}, err
	}
	var s savedState
	if err := json.Unmarshal(b, &s); err != nil {
		return &savedState{}, fmt.Errorf("%s: %w", path, err)
	}
	if s.Boot != boot {
		return &savedState{}, nil
	}
	return &s, nil
}

// writeState replaces a state file; a reader sees the old or the new one.
func writeState(path string, s savedState) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}
