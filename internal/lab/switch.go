package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Switch is a bridge in a host of its own. It floods multicast (no snooping)
// and forwards from the first moment (no spanning tree).
type Switch struct {
	Name string

	lab   *Lab
	box   *Host             // where the bridge is
	ports map[string]string // "host/interface" -> the switch's side
}

// bridgeName is the bridge inside a switch.
const bridgeName = "br0"

// Switch makes a switch without any port.
func (l *Lab) Switch(name string) *Switch {
	l.t.Helper()
	s := &Switch{Name: name, lab: l, box: l.Host(name), ports: map[string]string{}}
	snooping := false
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}, MulticastSnooping: &snooping}
	err := s.box.nl.LinkAdd(br)
	if err == nil {
		err = s.box.nl.LinkSetUp(br)
	}
	if err == nil {
		err = s.box.Do(unfiltered)
	}
	if err != nil {
		l.t.Fatalf("make switch %s: %v", name, err)
	}
	return s
}

// unfiltered keeps the machine's firewall, if it filters bridges, away from what
// crosses this one: a switch has none, and each frame would pay for it.
func unfiltered() error {
	for _, what := range []string{"iptables", "ip6tables", "arptables"} {
		err := setSysctl("net/bridge/bridge-nf-call-"+what, "0")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Host makes a host and attaches it by its eth0 with these addresses
// ("192.0.2.1/24", "2001:db8::1/64").
func (s *Switch) Host(name string, prefixes ...string) *Host {
	s.lab.t.Helper()
	h := s.lab.Host(name)
	s.Attach(h, "eth0", prefixes...)
	return h
}

// Attach adds an interface to a host, joins it to the switch and waits until
// it is up with usable addresses.
func (s *Switch) Attach(h *Host, ifname string, prefixes ...string) {
	s.lab.t.Helper()
	if err := s.attach(h, ifname, prefixes); err != nil {
		s.lab.t.Fatalf("attach %s of %s to %s: %v", ifname, h.Name, s.Name, err)
	}
	Until(s.lab.t, 5*time.Second, ifname+" of "+h.Name+" to be ready", func() bool { return h.ready(ifname) })
}

func (s *Switch) attach(h *Host, ifname string, prefixes []string) error {
	port := fmt.Sprintf("port%d", len(s.ports)+1)
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: port},
		PeerName:         ifname,
		PeerHardwareAddr: s.lab.newMAC(h.Name),
		PeerNamespace:    netlink.NsFd(int(h.net.Fd())),
	}
	if err := s.box.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("add a veth: %w", err)
	}
	s.ports[h.Name+"/"+ifname] = port
	br, err := s.box.nl.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	if err := s.box.nl.LinkSetMaster(veth, br); err != nil {
		return fmt.Errorf("join the bridge: %w", err)
	}
	if err := s.box.nl.LinkSetUp(veth); err != nil {
		return err
	}
	return h.Configure(ifname, prefixes...)
}

// Configure adds addresses to an interface of the host and sets it up.
func (h *Host) Configure(ifname string, prefixes ...string) error {
	link, err := h.nl.LinkByName(ifname)
	if err != nil {
		return err
	}
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s: %w", text, err)
		}
		h.prefixes = append(h.prefixes, p)
	}
	return h.nl.LinkSetUp(link)
}

// ready reports whether an interface has carrier and its IPv6 addresses, the
// link-local one among them, are past duplicate address detection.
func (h *Host) ready(ifname string) bool {
	link, err := h.nl.LinkByName(ifname)
	if err != nil || link.Attrs().RawFlags&unix.IFF_RUNNING == 0 {
		return false
	}
	addrs, err := h.nl.AddrList(link, unix.AF_INET6)
	if err != nil {
		return false
	}
	linkLocal := false
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			return false
		}
		linkLocal = linkLocal || a.IP.IsLinkLocalUnicast()
	}
	return linkLocal
}

// Cut pulls the cable of the host's eth0: both ends lose carrier.
func (s *Switch) Cut(h *Host) { s.lab.t.Helper(); s.CutPort(h, "eth0") }

// Heal plugs it in again.
func (s *Switch) Heal(h *Host) { s.lab.t.Helper(); s.HealPort(h, "eth0") }

// CutPort pulls the cable of one interface.
func (s *Switch) CutPort(h *Host, ifname string) {
	s.lab.t.Helper()
	if err := s.box.nl.LinkSetDown(s.port(h, ifname)); err != nil {
		s.lab.t.Fatalf("cut %s of %s: %v", ifname, h.Name, err)
	}
}

// HealPort plugs the cable of one interface in again.
func (s *Switch) HealPort(h *Host, ifname string) {
	s.lab.t.Helper()
	if err := s.box.nl.LinkSetUp(s.port(h, ifname)); err != nil {
		s.lab.t.Fatalf("heal %s of %s: %v", ifname, h.Name, err)
	}
}

// DeliverApart has what one interface sends delivered by a thread of the kernel,
// as if the switch were another machine; otherwise whoever sends does all of it,
// up to the sockets of the receivers, in its own processor time. The moments at
// which frames are seen become those of that thread.
// (Documentation/networking/napi.rst, "Threaded NAPI"; a veth has NAPI if it has GRO.)
func (s *Switch) DeliverApart(h *Host, ifname string) {
	s.lab.t.Helper()
	name := s.portName(h, ifname)
	s.box.Run("ethtool", "-K", name, "gro", "on", "rx-udp-gro-forwarding", "on")
	err := s.box.Do(func() error {
		return os.WriteFile(filepath.Join("/sys/class/net", name, "threaded"), []byte("1"), 0o644)
	})
	if err != nil {
		s.lab.t.Fatalf("deliver what %s of %s sends apart: %v", ifname, h.Name, err)
	}
}

// port is the switch's end of a host's cable.
func (s *Switch) port(h *Host, ifname string) netlink.Link {
	s.lab.t.Helper()
	return s.box.Link(s.portName(h, ifname))
}

func (s *Switch) portName(h *Host, ifname string) string {
	s.lab.t.Helper()
	name, ok := s.ports[h.Name+"/"+ifname]
	if !ok {
		s.lab.t.Fatalf("%s of %s is not attached to %s", ifname, h.Name, s.Name)
	}
	return name
}
