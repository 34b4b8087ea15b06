package transport

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// RFC 9568 sections 5.1.1 and 5.1.2, and unicast beside them.
func TestBothDirections(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		name        string
		family      Family
		multicast   bool
		left, right string // sources; "" leaves it to the kernel
		toRight     string
		toLeft      string
	}{
		{"multicast", IPv4, true, "192.0.2.1", "192.0.2.2", "224.0.0.18", "224.0.0.18"},
		{"multicast", IPv6, true, "fe80::1", "fe80::2", "ff02::12", "ff02::12"},
		{"multicast from another address", IPv4, true, "192.0.2.12", "192.0.2.2", "224.0.0.18", "224.0.0.18"},
		{"multicast from another address", IPv6, true, "fe80::11", "fe80::2", "ff02::12", "ff02::12"},
		{"multicast from a global address", IPv6, true, "2001:db8::1", "2001:db8::2", "ff02::12", "ff02::12"},
		{"unicast", IPv4, false, "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1"},
		{"unicast from another address", IPv4, false, "192.0.2.11", "192.0.2.2", "192.0.2.2", "192.0.2.11"},
		{"unicast global", IPv6, false, "2001:db8::11", "2001:db8::2", "2001:db8::2", "2001:db8::11"},
		{"unicast link-local", IPv6, false, "fe80::11", "fe80::2", "fe80::2", "fe80::11"},
	} {
		t.Run(fmt.Sprintf("%s %s", test.family, test.name), func(t *testing.T) {
			left, right := h.pair(t, test.family, test.multicast)
			check := func(from, to *Socket, src, dst string) {
				t.Helper()
				send(t, from, addr(src), addr(dst), "advert")
				p := receive(t, to, 1)[0]
				if p.Src != addr(src) || p.Dst != addr(dst) || p.Truncated {
					t.Errorf("%s -> %s, truncated %t; want %s -> %s", p.Src, p.Dst, p.Truncated, src, dst)
				}
				if got := string(p.message()); got != "advert" {
					t.Errorf("data %q", got)
				}
				checkHeader(t, p, test.family)
			}
			check(left, right, test.left, test.toRight)
			check(right, left, test.right, test.toLeft)
		})
	}
}

// checkHeader checks what the receiver sees of the IP header.
func checkHeader(t *testing.T, p Packet, f Family) {
	t.Helper()
	if f == IPv6 {
		if p.HopLimit != 255 {
			t.Errorf("hop limit %d, want 255", p.HopLimit)
		}
		return
	}
	if p.HopLimit != -1 {
		t.Errorf("HopLimit %d on IPv4, want -1", p.HopLimit)
	}
	if tos, ttl, protocol := p.Data[1], p.Data[8], p.Data[9]; tos != 0xc0 || ttl != 255 || protocol != 112 {
		t.Errorf("TOS %#x TTL %d protocol %d, want 0xc0 255 112", tos, ttl, protocol)
	}
	if length := int(binary.BigEndian.Uint16(p.Data[2:])); length != len(p.Data) {
		t.Errorf("total length %d, data %d", length, len(p.Data))
	}
}

func TestKernelChoosesSource(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family Family
		dst    netip.Addr
		before string // the message before, in the same place of the queue
		want   string
	}{
		{IPv4, GroupIPv4, "192.0.2.12", "192.0.2.1"},
		{IPv6, addr("2001:db8::2"), "fe80::11", "2001:db8::1"},
	} {
		left, right := h.pair(t, test.family, true)
		send(t, left, addr(test.before), test.family.Group(), "before")
		if p := receive(t, right, 1)[0]; p.Src != addr(test.before) {
			t.Errorf("%s: source %s, want %s", test.family, p.Src, test.before)
		}
		send(t, left, netip.Addr{}, test.dst, "x")
		p := receive(t, right, 1)[0]
		// Which of the global IPv6 addresses is the kernel's affair.
		if p.Src != addr(test.want) && (test.family == IPv4 || p.Src != addr("2001:db8::11")) {
			t.Errorf("%s: source %s, want %s", test.family, p.Src, test.want)
		}
	}
}

// The whole frame, for what the receiving socket does not show on IPv6.
func TestTrafficClassOnTheWire(t *testing.T) {
	h := newHosts(t)
	sniffer := h.right.sniff(t, unix.ETH_P_IPV6)
	left, _ := h.pair(t, IPv6, true)
	send(t, left, addr("fe80::1"), GroupIPv6, "x")
	for {
		b := sniffer.next(t, "sending")
		if len(b) < 41 || b[6] != Protocol {
			continue // the group's membership report
		}
		if class := b[0]<<4 | b[1]>>4; class != 0xc0 || b[7] != 255 {
			t.Errorf("traffic class %#x, hop limit %d; want 0xc0, 255", class, b[7])
		}
		return
	}
}

// Neither the sender nor another socket of its host hears what it multicasts.
// What must not come is followed by something that must.
func TestOwnMulticastIsNotHeard(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family      Family
		left, right string
	}{{IPv4, "192.0.2.1", "192.0.2.2"}, {IPv6, "fe80::1", "fe80::2"}} {
		left, right := h.pair(t, test.family, true)
		other := h.left.open(t, Config{Interface: "lan", Family: test.family, Multicast: true})
		group := test.family.Group()
		send(t, left, addr(test.left), group, "own")
		if got := messages(receive(t, right, 1)); got != "own" {
			t.Errorf("%s: the other host received %q", test.family, got)
		}
		send(t, right, addr(test.right), group, "answer")
		for _, s := range []*Socket{left, other} {
			if got := messages(receive(t, s, 1)); got != "answer" {
				t.Errorf("%s: received %q, want only the answer", test.family, got)
			}
		}
	}
}

// A unicast socket beside a multicast one on the same interface, and sockets
// of another interface, hear only what is theirs.
func TestOnlyOwnGroupAndInterface(t *testing.T) {
	h := newHosts(t)
	cable(t, h.left, h.right, "wan")
	h.left.addAddress(t, "wan", "198.51.100.1/24")
	h.left.addAddress(t, "wan", "fe80::1/64")
	for _, test := range []struct {
		family                             Family
		left, right, wan, toLeft, allNodes string
	}{
		{IPv4, "192.0.2.1", "192.0.2.2", "198.51.100.1", "192.0.2.1", "224.0.0.1"},
		{IPv6, "fe80::1", "fe80::2", "fe80::1", "fe80::1", "ff02::1"},
	} {
		member, right := h.pair(t, test.family, true)
		unicast := h.left.open(t, Config{Interface: "lan", Family: test.family})
		rightWAN := h.right.open(t, Config{Interface: "wan", Family: test.family, Multicast: true})
		leftWAN := h.left.open(t, Config{Interface: "wan", Family: test.family, Multicast: true})

		group := test.family.Group()
		send(t, right, addr(test.right), addr(test.allNodes), "everybody")
		send(t, right, addr(test.right), group, "multicast")
		send(t, right, addr(test.right), addr(test.toLeft), "unicast")
		if got := messages(receive(t, member, 2)); got != "multicast unicast" {
			t.Errorf("%s: member received %q", test.family, got)
		}
		if got := messages(receive(t, unicast, 1)); got != "unicast" {
			t.Errorf("%s: unicast socket received %q", test.family, got)
		}
		send(t, leftWAN, addr(test.wan), group, "wan")
		if got := messages(receive(t, rightWAN, 1)); got != "wan" {
			t.Errorf("%s: other interface received %q", test.family, got)
		}
		send(t, member, addr(test.left), group, "lan")
		if got := messages(receive(t, right, 1)); got != "lan" {
			t.Errorf("%s: received %q, want nothing of the other interface", test.family, got)
		}
	}
}

// The checksum is the caller's affair in both directions.
func TestIPv6ChecksumIsLeftAlone(t *testing.T) {
	h := newHosts(t)
	left, right := h.pair(t, IPv6, true)
	for _, data := range []string{"1a\x01d\x00\x64\xba\xd0", "1a\x01d\x00\x64\x00\x00"} {
		send(t, left, addr("fe80::1"), GroupIPv6, data)
		if got := string(receive(t, right, 1)[0].Data); got != data {
			t.Errorf("received %x, want %x", got, data)
		}
	}
}

func TestLongMessages(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family    Family
		src       string
		size      int
		want      int // of Packet.Data
		truncated bool
	}{
		{IPv4, "192.0.2.1", 16 + 4*255, 20 + 16 + 4*255, false},
		{IPv4, "192.0.2.1", maxIPv4 - 20, maxIPv4, false},
		{IPv4, "192.0.2.1", maxIPv4 - 20 + 1, maxIPv4, true},
		{IPv4, "192.0.2.1", 1480, maxIPv4, true},
		{IPv6, "fe80::1", maxIPv6, maxIPv6, false}, // in three fragments
		{IPv6, "fe80::1", maxIPv6 + 1, maxIPv6, true},
		{IPv6, "fe80::1", bufferSize + 1, maxIPv6, true},
		{IPv6, "fe80::1", 60000, maxIPv6, true},
		{IPv6, "fe80::1", 0, 0, false},
		{IPv4, "192.0.2.1", 0, 20, false},
	} {
		left, right := h.pair(t, test.family, true)
		send(t, left, addr(test.src), test.family.Group(), string(make([]byte, test.size)))
		p := receive(t, right, 1)[0]
		if len(p.Data) != test.want || p.Truncated != test.truncated || p.Src != addr(test.src) {
			t.Errorf("%s, %d bytes: received %d, truncated %t from %s; want %d, %t",
				test.family, test.size, len(p.Data), p.Truncated, p.Src, test.want, test.truncated)
		}
		// The flag does not stick to the buffer.
		send(t, left, addr(test.src), test.family.Group(), "short")
		if p := receive(t, right, 1)[0]; p.Truncated || string(p.message()) != "short" {
			t.Errorf("%s, after %d bytes: %q, truncated %t", test.family, test.size, p.message(), p.Truncated)
		}
	}
}

func TestManyInBatches(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family Family
		src    string
	}{{IPv4, "192.0.2.1"}, {IPv6, "fe80::1"}} {
		left, right := h.pair(t, test.family, true)
		const count = 200 // more than three of either kind of batch
		data := make([][2]byte, count)
		for i := range data {
			binary.BigEndian.PutUint16(data[i][:], uint16(i))
			left.Queue(addr(test.src), test.family.Group(), data[i][:])
		}
		if sent, failed := left.Flush(); sent != count || len(failed) != 0 {
			t.Fatalf("%s: sent %d, failed %v", test.family, sent, failed)
		}
		sentBy := Now()
		b, got, calls := NewBatch(), 0, 0
		for more := true; more; calls++ {
			var packets []Packet
			var err error
			if packets, more, err = right.Receive(b); err != nil {
				t.Fatal(err)
			}
			if more != (len(packets) == BatchSize) {
				t.Errorf("%s: %d packets, more %t", test.family, len(packets), more)
			}
			if empty := right.drained > sentBy; empty == more {
				t.Errorf("%s: more %t, yet the queue is noted as empty: %t", test.family, more, empty)
			}
			for _, p := range packets {
				if i := int(binary.BigEndian.Uint16(p.message())); i != got {
					t.Fatalf("%s: message %d, want %d", test.family, i, got)
				}
				got++
			}
		}
		if got != count || calls != 4 {
			t.Errorf("%s: %d packets in %d calls, want %d in 4", test.family, got, calls, count)
		}
		if packets, more, err := right.Receive(b); len(packets) != 0 || more || err != nil {
			t.Errorf("%s: empty queue: %d packets, more %t, %v", test.family, len(packets), more, err)
		}
	}
}
