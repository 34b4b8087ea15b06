package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Host is one machine of the lab: a network namespace with a loopback, and a
// mount namespace with a /run, a /var/tmp and a /sys of its own.
type Host struct {
	Name string

	lab      *Lab
	net, mnt *os.File
	netIno   uint64 // tells the processes of this host from others
	nl       *netlink.Handle
	prefixes []netip.Prefix
}

// Host makes a machine that is attached to nothing yet.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	h := &Host{Name: name, lab: l}
	if err := h.makeNamespaces(); err != nil {
		l.t.Fatalf("make host %s: %v", name, err)
	}
	l.mu.Lock()
	l.hosts = append(l.hosts, h)
	l.mu.Unlock()
	if err := h.Do(h.prepare); err != nil {
		l.t.Fatalf("make host %s: %v", name, err)
	}
	return h
}

// makeNamespaces makes both namespaces on a thread that ends with it; the
// descriptors keep them.
func (h *Host) makeNamespaces() error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make the mounts private: %w", err)
		}
		// /var/tmp because FRR leaves directories there.
		for dir, options := range map[string]string{"/run": "mode=755", "/var/tmp": "mode=1777"} {
			if strings.HasPrefix(h.lab.dir, dir+"/") {
				continue // it would be hidden
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
				return fmt.Errorf("mount %s: %w", dir, err)
			}
		}
		// sysfs shows the interfaces of the namespace it was mounted in.
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount /sys: %w", err)
		}
		var err error
		if h.net, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if h.mnt, err = os.Open("/proc/thread-self/ns/mnt"); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(h.net.Fd()), &st); err != nil {
			return err
		}
		h.netIno = st.Ino
		return nil
	})
}

// prepare runs inside: a netlink handle, a loopback, and IPv6 addresses that
// are usable the moment they are there.
func (h *Host) prepare() error {
	var err error
	if h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := h.nl.LinkSetUp(lo); err != nil {
		return err
	}
	for _, key := range []string{"accept_dad", "accept_ra", "router_solicitations"} {
		for _, scope := range []string{"all", "default"} {
			if err := setSysctl("net/ipv6/conf/"+scope+"/"+key, "0"); err != nil {
				return err
			}
		}
	}
	return nil
}

// Do runs f on a thread inside the host: sockets opened there belong to it, and
// /run and /sys are the host's. Files opened there stay usable elsewhere. f may
// block, and must not end the test.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := h.enter(); err != nil {
			return err
		}
		return f()
	})
}

// onThread runs f on a thread of its own that ends with it, and may therefore be
// changed at will.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread cannot end, and its namespaces are what others
			// take for the process's. Hold it, so that the next one is another.
			result <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		err := errors.New("left by Goexit: the test must not be ended from inside a host")
		defer func() { result <- err }()
		err = f()
	}()
	return <-result
}

// enter moves the current thread into the host.
func (h *Host) enter() error {
	// A mount namespace can be joined only by a thread whose working directory
	// is nobody else's.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter %s: unshare: %w", h.Name, err)
	}
	if err := unix.Setns(int(h.mnt.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter %s: mounts: %w", h.Name, err)
	}
	if err := unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: network: %w", h.Name, err)
	}
	return nil
}

// Netlink is a handle on the host's own network.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Link returns an interface of the host, and ends the test if there is none of
// that name.
func (h *Host) Link(name string) netlink.Link {
	h.lab.t.Helper()
	link, err := h.nl.LinkByName(name)
	if err != nil {
		h.lab.t.Fatalf("%s: link %s: %v", h.Name, name, err)
	}
	return link
}

// Sysctl sets a kernel parameter of the host; key is a path under /proc/sys.
func (h *Host) Sysctl(key, value string) {
	h.lab.t.Helper()
	if err := h.Do(func() error { return setSysctl(key, value) }); err != nil {
		h.lab.t.Fatalf("%s: %v", h.Name, err)
	}
}

func setSysctl(key, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0o644)
}

// Has reports whether the address ("192.0.2.100", without a length) is
// installed on any interface of the host.
func (h *Host) Has(addr string) bool {
	h.lab.t.Helper()
	want, err := netip.ParseAddr(addr)
	if err != nil {
		h.lab.t.Fatalf("%s: %v", h.Name, err)
	}
	addrs, err := h.nl.AddrList(nil, unix.AF_UNSPEC)
	if err != nil {
		h.lab.t.Fatalf("%s: list addresses: %v", h.Name, err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap() == want {
			return true
		}
	}
	return false
}

// WaitHas waits until the address is installed on the host.
func (h *Host) WaitHas(addr string, timeout time.Duration) {
	h.lab.t.Helper()
	Until(h.lab.t, timeout, addr+" on "+h.Name, func() bool { return h.Has(addr) })
}

// WaitHasNot waits until the address is gone from the host.
func (h *Host) WaitHasNot(addr string, timeout time.Duration) {
	h.lab.t.Helper()
	Until(h.lab.t, timeout, addr+" to leave "+h.Name, func() bool { return !h.Has(addr) })
}

// Addr returns the first address of that family the host was attached with.
func (h *Host) Addr(v6 bool) netip.Addr {
	h.lab.t.Helper()
	for _, p := range h.prefixes {
		if p.Addr().Is6() == v6 {
			return p.Addr()
		}
	}
	h.lab.t.Fatalf("%s: no address of that family", h.Name)
	return netip.Addr{}
}

// Crash ends every process on the host at once, without giving any of them the
// chance to notice that another is gone. The addresses they added stay, as they
// do on a real machine whose daemon died.
func (h *Host) Crash() {
	// Frozen first: a daemon must not see its child die, or a child its parent.
	signalAll(h.processes(), unix.SIGSTOP)
	poll(5*time.Second, func() bool {
		pids := h.processes()
		signalAll(pids, unix.SIGKILL)
		return len(pids) == 0
	})
}

// processes lists the living processes whose network is this host's.
func (h *Host) processes() []int {
	var pids []int
	for _, pid := range allProcesses() {
		var st unix.Stat_t
		// A process that ended meanwhile, or a zombie, has no namespace.
		err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/net", &st)
		if err == nil && st.Ino == h.netIno && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// allProcesses lists the processes of the lab's pid namespace.
func allProcesses() []int {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil // only a malformed pattern fails
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(strings.TrimPrefix(name, "/proc/")); err == nil && pid != 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signalAll signals processes, some of which may be gone already.
func signalAll(pids []int, sig unix.Signal) {
	for _, pid := range pids {
		_ = unix.Kill(pid, sig)
	}
}

// close lets go of the namespaces.
func (h *Host) close() {
	if h.nl != nil {
		h.nl.Close()
	}
	h.net.Close()
	h.mnt.Close()
}
