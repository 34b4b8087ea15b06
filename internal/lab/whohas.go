package lab

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// WhoHas asks rate times a second, by ARP or by neighbour solicitation, who has
// the address, and records who answered: how a node that must be silent, or two
// that answer at once, are found out. The questions are put so that nobody
// learns anything from them (an ARP probe, RFC 5227 §1.1).
func (h *Host) WhoHas(addr string, rate int) *Probe {
	t := h.lab.t
	t.Helper()
	target, err := netip.ParseAddr(addr)
	if err != nil {
		t.Fatalf("probe: %v", err)
	}
	eth0 := h.Link("eth0").Attrs()
	proto, frame, answer := uint16(unix.ETH_P_ARP), arpProbe(eth0.HardwareAddr, target), arpAnswer
	if target.Is6() {
		proto, answer = unix.ETH_P_IPV6, neighbourAnswer
		frame = neighbourSolicitation(eth0.HardwareAddr, h.linkLocal("eth0"), target)
	}
	p := newProbe(h.lab)
	if err := h.Do(func() error { p.conn, err = packetSocket(proto, eth0.Index); return err }); err != nil {
		t.Fatalf("probe %s from %s: %v", addr, h.Name, err)
	}
	to := &unix.SockaddrLinklayer{Protocol: htons(proto), Ifindex: eth0.Index}
	p.ask = func(uint32) error { return p.conn.send(frame, to) }
	p.start(rate, func(b []byte, at time.Time) {
		if mac, ok := answer(b, target); ok {
			p.answer(-1, at, h.lab.owner(mac))
		}
	})
	return p
}

// linkLocal is the interface's link-local address.
func (h *Host) linkLocal(ifname string) netip.Addr {
	h.lab.t.Helper()
	addrs, err := h.nl.AddrList(h.Link(ifname), unix.AF_INET6)
	if err != nil {
		h.lab.t.Fatalf("%s: list addresses of %s: %v", h.Name, ifname, err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.IsLinkLocalUnicast() {
			return ip
		}
	}
	h.lab.t.Fatalf("%s: %s has no link-local address", h.Name, ifname)
	return netip.Addr{}
}

// arpProbe is a broadcast ARP request without a sender address.
func arpProbe(src net.HardwareAddr, target netip.Addr) []byte {
	b := bytes.Repeat([]byte{0xff}, 6)
	b = append(b, src...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	b = append(b, src...)
	b = append(b, make([]byte, 4+6)...)
	return append(b, target.AsSlice()...)
}

// arpAnswer returns whose reply for the target a frame is. Gratuitous replies
// count: they claim the address just as well.
func arpAnswer(b []byte, target netip.Addr) (net.HardwareAddr, bool) {
	if len(b) < 42 || binary.BigEndian.Uint16(b[20:]) != 2 || !bytes.Equal(b[28:32], target.AsSlice()) {
		return nil, false
	}
	return net.HardwareAddr(b[22:28]), true
}

// neighbourSolicitation is RFC 4861 §4.3, sent to the target's solicited-node
// group, with the source link-layer address so that the answer needs no
// question of its own.
func neighbourSolicitation(src net.HardwareAddr, from, target netip.Addr) []byte {
	t16, f16 := target.As16(), from.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], t16[13:])

	icmp := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, t16[:]...)
	icmp = append(icmp, 1, 1)
	icmp = append(icmp, src...)
	sum := onesSum(pseudoSum(f16[:], group[:], unix.IPPROTO_ICMPV6, len(icmp)), icmp)
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum))

	b := append([]byte{0x33, 0x33}, group[12:]...)
	b = append(b, src...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255)
	b = append(b, f16[:]...)
	b = append(b, group[:]...)
	return append(b, icmp...)
}

// neighbourAnswer returns whose advertisement of the target a frame is.
func neighbourAnswer(b []byte, target netip.Addr) (net.HardwareAddr, bool) {
	t16 := target.As16()
	if len(b) < 78 || b[20] != unix.IPPROTO_ICMPV6 || b[54] != 136 || !bytes.Equal(b[62:78], t16[:]) {
		return nil, false
	}
	if len(b) >= 86 && b[78] == 2 && b[79] == 1 { // target link-layer address
		return net.HardwareAddr(b[80:86]), true
	}
	return net.HardwareAddr(b[6:12]), true
}
