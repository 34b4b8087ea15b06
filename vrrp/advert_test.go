package vrrp

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	src4 = netip.MustParseAddr("192.0.2.251")
	dst4 = netip.MustParseAddr("224.0.0.18")
	src6 = netip.MustParseAddr("fe80::c8")
	dst6 = netip.MustParseAddr("ff02::12")
)

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors are advertisements as other implementations put them on the wire.
var vectors = []struct {
	name     string
	hex      string
	src, dst netip.Addr
	want     Advert
}{
	{"case 1: v3 IPv4, message checksum", "310ac8020064828ac0000201c0000202", src4, dst4,
		Advert{Version: V3, VRID: 10, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.1", "192.0.2.2"), Checksum: ChecksumMessage}},
	{"case 2: v3 IPv4, pseudo-header checksum", "310ac8020064defbc0000201c0000202", src4, dst4,
		Advert{Version: V3, VRID: 10, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.1", "192.0.2.2"), Checksum: ChecksumPseudoHeader}},
	{"case 3: v3 IPv6", "310a640200643f5dfe80000000000000000000000000000120010db8000000000000000000000001", src6, dst6,
		Advert{Version: V3, VRID: 10, Priority: 100, Interval: time.Second, Addresses: addrs("fe80::1", "2001:db8::1"), Checksum: ChecksumPseudoHeader}},
	{"case 4: v2", "210ac802000192edc0000201c00002020000000000000000", src4, dst4,
		Advert{Version: V2, VRID: 10, Priority: 200, Interval: time.Second, Addresses: addrs("192.0.2.1", "192.0.2.2"), Checksum: ChecksumMessage}},
	{"case 5: v2, another one", "21331e010001b5c50a0001050000000000000000", src4, dst4,
		Advert{Version: V2, VRID: 51, Priority: 30, Interval: time.Second, Addresses: addrs("10.0.1.5"), Checksum: ChecksumMessage}},
}

func TestCase01to05Vectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			var got Advert
			if reason := Decode(Datagram{Src: v.src, Dst: v.dst, TTL: 255, Message: unhex(t, v.hex)}, &got); reason != Accepted {
				t.Fatalf("dropped: %s", reason)
			}
			if !equalAdverts(got, v.want) {
				t.Errorf("got  %+v\nwant %+v", got, v.want)
			}
		})
	}
}

func equalAdverts(a, b Advert) bool {
	x, y := a, b
	x.Addresses, y.Addresses = nil, nil
	return slices.Equal(a.Addresses, b.Addresses) && x.Version == y.Version && x.VRID == y.VRID && x.Priority == y.Priority &&
		x.Interval == y.Interval && x.AuthType == y.AuthType && x.AuthData == y.AuthData && x.Checksum == y.Checksum
}

func TestCase06EitherChecksumNoThird(t *testing.T) {
	msg := unhex(t, vectors[0].hex)
	for _, sum := range []uint16{0x828a, 0xdefb} {
		binary.BigEndian.PutUint16(msg[6:], sum)
		if reason := decode4(msg); reason != Accepted {
			t.Errorf("checksum %04x: %s", sum, reason)
		}
	}
	for sum := range 0x10000 {
		binary.BigEndian.PutUint16(msg[6:], uint16(sum))
		if sum == 0x828a || sum == 0xdefb {
			continue
		}
		if reason := decode4(msg); reason != DropChecksum {
			t.Fatalf("checksum %04x: %s", sum, reason)
		}
	}
}

func decode4(msg []byte) Reason {
	var a Advert
	return Decode(Datagram{Src: src4, Dst: dst4, TTL: 255, Message: msg}, &a)
}

func TestCase07EncodeDecode(t *testing.T) {
	for _, v := range vectors {
		if got := hex.EncodeToString(v.want.Append(nil, v.src, v.dst)); got != v.hex {
			t.Errorf("%s:\ngot  %s\nwant %s", v.name, got, v.hex)
		}
	}
	// The reserved bits are ignored on receipt and zero when sent.
	msg := unhex(t, vectors[1].hex)
	msg[4] |= 0xa0
	binary.BigEndian.PutUint16(msg[6:], binary.BigEndian.Uint16(msg[6:])-0xa000)
	var a Advert
	if reason := Decode(Datagram{Src: src4, Dst: dst4, Message: msg}, &a); reason != Accepted || a.Interval != time.Second {
		t.Fatalf("reserved bits: %s, interval %s", reason, a.Interval)
	}
	if got := hex.EncodeToString(a.Append(nil, src4, dst4)); got != vectors[1].hex {
		t.Errorf("reserved bits were sent back: %s", got)
	}
}

// TestDropped holds the cases of a message that is dropped before any router
// sees it.
func TestDropped(t *testing.T) {
	v3 := Advert{Version: V3, VRID: 10, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.1")}
	good := v3.Append(nil, src4, dst4)
	change := func(at int, b byte) []byte {
		m := slices.Clone(good)
		m[at] = b
		return m
	}
	noAddresses := v3
	noAddresses.Addresses = nil
	zeroInterval := v3
	zeroInterval.Interval = 0
	carp := append([]byte{0x21, 51, 0, 7, 0, 1, 0, 0}, make([]byte, 28)...)
	cases := []struct {
		name string
		msg  []byte
		want Reason
	}{
		{"case 8: version 1", change(0, 0x11), DropVersion},
		{"case 8: version 4", change(0, 0x41), DropVersion},
		{"case 9: type 2", change(0, 0x32), DropType},
		{"case 12: seven bytes", good[:7], DropLength},
		{"case 12: count 1 without the address", good[:8], DropLength},
		{"case 12: nothing", nil, DropLength},
		{"case 13: authentication data after a v3 message", append(slices.Clone(good), make([]byte, 8)...), DropLength},
		{"case 15: no addresses", noAddresses.Append(nil, src4, dst4), DropCount},
		{"case 16: interval zero", zeroInterval.Append(nil, src4, dst4), DropInterval},
		{"case 29: CARP", carp, DropLength},
		{"checksum", change(2, 99), DropChecksum},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := decode4(c.msg); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	v2over6 := Advert{Version: V2, VRID: 1, Priority: 1, Interval: time.Second, Addresses: addrs("fe80::1")}
	var a Advert
	if got := Decode(Datagram{Src: src6, Dst: dst6, Message: v2over6.Append(nil, src6, dst6)}, &a); got != DropVersion {
		t.Errorf("version 2 over IPv6: %s", got)
	}
}

// policyCase builds one advertisement for one router.
func policyCheck(p Policy, d Datagram, a Advert) Reason {
	if d.Message == nil {
		d.Message = a.Append(nil, d.Src, d.Dst)
	}
	var got Advert
	if reason := Decode(d, &got); reason != Accepted {
		return reason
	}
	return p.Check(d, &got)
}

func TestPolicy(t *testing.T) {
	p3 := Policy{Version: V3, Interval: time.Second, Source: netip.MustParseAddr("192.0.2.252")}
	p2 := Policy{Version: V2, Interval: time.Second, Source: p3.Source}
	pass := p2
	pass.Password = "1111"
	uni := p3
	uni.Peers, uni.MinTTL = addrs("192.0.2.251"), 255
	a3 := Advert{Version: V3, VRID: 10, Priority: 100, Interval: time.Second, Addresses: addrs("192.0.2.1")}
	a2 := a3
	a2.Version = V2
	with := func(a Advert, f func(*Advert)) Advert { f(&a); return a }
	d := Datagram{Src: src4, Dst: dst4, TTL: 255}
	ttl := func(n int) Datagram { return Datagram{Src: src4, Dst: dst4, TTL: n} }
	direct := func(src string, ttl int) Datagram {
		return Datagram{Src: netip.MustParseAddr(src), Dst: p3.Source, TTL: ttl}
	}
	v6 := Policy{Version: V3, Interval: time.Second, Source: netip.MustParseAddr("fe80::1")}
	v6strict := v6
	v6strict.Strict = true
	global := Advert{Version: V3, VRID: 10, Priority: 100, Interval: time.Second, Addresses: addrs("2001:db8::1")}
	d6 := Datagram{Src: src6, Dst: dst6, TTL: 255}
	low := uni
	low.MinTTL = 64

	cases := []struct {
		name string
		p    Policy
		d    Datagram
		a    Advert
		want Reason
	}{
		{"plain", p3, d, a3, Accepted},
		{"case 10: TTL 254", p3, ttl(254), a3, DropTTL},
		{"case 10: TTL unknown", p3, ttl(-1), a3, DropTTL},
		{"case 17: 4095 centiseconds", p3, d, with(a3, func(a *Advert) { a.Interval = MaxIntervalV3 }), Accepted},
		{"case 18: first IPv6 address global", v6, d6, global, Accepted},
		{"case 18: the same, strict", v6strict, d6, global, DropFirstAddress},
		{"case 21: authentication nobody asked for", p2, d, with(a2, func(a *Advert) { a.AuthType = AuthPass }), DropAuth},
		{"case 21: authentication missing", pass, d, a2, DropAuth},
		{"case 22: password differs", pass, d, with(a2, func(a *Advert) { a.AuthType, a.AuthData = AuthPass, PasswordData("1112") }), DropAuth},
		{"case 22: password right", pass, d, with(a2, func(a *Advert) { a.AuthType, a.AuthData = AuthPass, PasswordData("1111") }), Accepted},
		{"case 22: data without authentication", p2, d, with(a2, func(a *Advert) { a.AuthData = PasswordData("x") }), Accepted},
		{"case 23: v2 interval differs", p2, d, with(a2, func(a *Advert) { a.Interval = 99 * time.Second }), DropInterval},
		{"case 24: v3 interval differs", p3, d, with(a3, func(a *Advert) { a.Interval = 5 * time.Second }), Accepted},
		{"case 25, 26: addresses differ", p2, d, with(a2, func(a *Advert) { a.Addresses = addrs("192.0.2.9", "192.0.2.1") }), Accepted},
		{"case 28: v3 for a v2 router", p2, d, a3, DropVersion},
		{"case 28: v2 for a v3 router", p3, d, a2, DropVersion},
		{"case 30: our own came back", p3, Datagram{Src: p3.Source, Dst: dst4, TTL: 255}, a3, DropOwn},
		{"unicast for a multicast router", p3, direct("192.0.2.251", 255), a3, DropDestination},
		{"multicast for a unicast router", uni, d, a3, DropDestination},
		{"unicast", uni, direct("192.0.2.251", 255), a3, Accepted},
		{"unicast from a stranger", uni, direct("192.0.2.99", 255), a3, DropSender},
		{"unicast, TTL 64 with min_ttl 255", uni, direct("192.0.2.251", 64), a3, DropTTL},
		{"unicast, TTL 64 with min_ttl 64", low, direct("192.0.2.251", 64), a3, Accepted},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := policyCheck(c.p, c.d, c.a); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestCase11UnknownVRID(t *testing.T) {
	if vrid, ok := VRID(unhex(t, vectors[0].hex)); !ok || vrid != 10 {
		t.Errorf("VRID = %d, %v", vrid, ok)
	}
	if _, ok := VRID([]byte{0x31, 10, 1}); ok {
		t.Error("three bytes have no VRID")
	}
}

func ipv4Packet(options int, payload []byte) []byte {
	header := make([]byte, 20+options)
	header[0] = 0x40 | byte(len(header)/4)
	binary.BigEndian.PutUint16(header[2:], uint16(len(header)+len(payload)))
	header[8], header[9] = 255, Protocol
	copy(header[12:], src4.AsSlice())
	copy(header[16:], dst4.AsSlice())
	return append(header, payload...)
}

func TestCase14EthernetPadding(t *testing.T) {
	msg := unhex(t, vectors[0].hex)
	d, reason := ParseIPv4(append(ipv4Packet(0, msg), make([]byte, 10)...))
	if reason != Accepted || !slices.Equal(d.Message, msg) {
		t.Fatalf("%s, message %x", reason, d.Message)
	}
}

func TestCase20IPv4Options(t *testing.T) {
	msg := unhex(t, vectors[0].hex)
	for _, options := range []int{0, 4, 40} {
		d, reason := ParseIPv4(ipv4Packet(options, msg))
		if reason != Accepted || !slices.Equal(d.Message, msg) || d.Src != src4 || d.Dst != dst4 || d.TTL != 255 {
			t.Errorf("%d bytes of options: %s, %+v", options, reason, d)
		}
	}
	short := ipv4Packet(0, msg)
	short[0] = 0x44
	long := ipv4Packet(0, nil)
	long[0] = 0x4f
	cut := ipv4Packet(0, msg)
	for name, packet := range map[string][]byte{
		"IHL 4": short, "IHL beyond the packet": long, "cut off": cut[:len(cut)-1], "empty": nil, "IPv6": append([]byte{0x60}, make([]byte, 39)...),
	} {
		if _, reason := ParseIPv4(packet); reason != DropHeader {
			t.Errorf("%s: %s", name, reason)
		}
	}
}

func TestCase19CountWithoutAllocation(t *testing.T) {
	big := Advert{Version: V3, VRID: 1, Priority: 1, Interval: time.Second}
	for i := range 255 {
		big.Addresses = append(big.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	msg := big.Append(nil, src4, dst4)
	var a Advert
	d := Datagram{Src: src4, Dst: dst4, TTL: 255, Message: msg}
	if reason := Decode(d, &a); reason != Accepted || len(a.Addresses) != 255 {
		t.Fatalf("%s, %d addresses", reason, len(a.Addresses))
	}
	if n := testing.AllocsPerRun(100, func() { Decode(d, &a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	short := slices.Clone(msg[:40])
	if reason := decode4(short); reason != DropLength {
		t.Errorf("count 255 in 40 bytes: %s", reason)
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(f, v.hex), v.src.Is6())
	}
	f.Add([]byte{0x21, 51, 0, 7, 0, 1, 0, 0}, false)
	f.Fuzz(func(t *testing.T, msg []byte, v6 bool) {
		d := Datagram{Src: src4, Dst: dst4, TTL: 255, Message: msg}
		if v6 {
			d.Src, d.Dst = src6, dst6
		}
		var a, again Advert
		if Decode(d, &a) != Accepted {
			return
		}
		if len(a.Addresses) == 0 || a.Interval <= 0 {
			t.Fatalf("accepted %+v", a)
		}
		d.Message = a.Append(nil, d.Src, d.Dst)
		if reason := Decode(d, &again); reason != Accepted || !equalAdverts(a, again) {
			t.Fatalf("%s\nfirst  %+v\nsecond %+v", reason, a, again)
		}
	})
}

func FuzzParseIPv4(f *testing.F) {
	f.Add(ipv4Packet(0, unhex(f, vectors[0].hex)))
	f.Add(ipv4Packet(40, unhex(f, vectors[3].hex)))
	f.Fuzz(func(t *testing.T, packet []byte) {
		d, reason := ParseIPv4(packet)
		if reason == Accepted && len(d.Message) > len(packet)-20 {
			t.Fatalf("%d bytes of message in %d", len(d.Message), len(packet))
		}
	})
}
