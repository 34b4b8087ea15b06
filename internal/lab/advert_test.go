package lab

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
)

// wire makes an Ethernet frame from hexadecimal, spaces allowed.
func wire(t *testing.T, text string) Frame {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return Frame{Data: b}
}

const (
	etherIPv4 = "01005e000012 020000000001 0800 "
	etherIPv6 = "333300000012 020000000001 86dd "
	ipv4To20  = "45c00020000000 00ff70 0000 c0000201 e0000012 "
)

func TestParseAdvert(t *testing.T) {
	for name, test := range map[string]struct {
		frame    string
		version  int
		interval time.Duration
		checksum Checksum
		first    string
	}{
		// What keepalived 2.2.7 sent for 192.0.2.100, priority 200, 100 ms.
		"v3 pseudo-header": {etherIPv4 + ipv4To20 + "3133c801000aa1cb c0000264", 3, 100 * time.Millisecond, ChecksumPseudo, "192.0.2.100"},
		// The same, as tshark says RFC 9568 wants it.
		"v3 message":  {etherIPv4 + ipv4To20 + "3133c801000a445c c0000264", 3, 100 * time.Millisecond, ChecksumMessage, "192.0.2.100"},
		"v3 neither":  {etherIPv4 + ipv4To20 + "3133c801000adead c0000264", 3, 100 * time.Millisecond, ChecksumBad, "192.0.2.100"},
		"v3 padded":   {etherIPv4 + ipv4To20 + "3133c801000a445c c0000264 000000000000", 3, 100 * time.Millisecond, ChecksumMessage, "192.0.2.100"},
		"v2 holo":     {etherIPv4 + "45c00028000000 00ff70 0000 c0000201 e0000012" + "21331e010001b5c5 0a000105 0000000000000000", 2, time.Second, ChecksumMessage, "10.0.1.5"},
		"v3 over ip6": {etherIPv6 + "60000000 0018 70ff fe800000000000000000000000000010 fe800000000000000000000000000020" + "3133c80100640000 fe800000000000000000000000000100", 3, time.Second, ChecksumBad, "fe80::100"},
	} {
		a, ok := parseAdvert(wire(t, test.frame))
		if !ok {
			t.Errorf("%s: no advertisement", name)
			continue
		}
		if a.Version != test.version || a.Interval != test.interval || a.Checksum != test.checksum ||
			a.VRID != 51 || a.TTL != 255 || len(a.Addresses) != 1 || a.Addresses[0].String() != test.first {
			t.Errorf("%s: read %+v", name, a)
		}
	}
}

// TestParseAdvertCut: nothing that is too short is read beyond its end.
func TestParseAdvertCut(t *testing.T) {
	for _, text := range []string{
		etherIPv4 + ipv4To20 + "3133c801000aa1cb c0000264",
		etherIPv6 + "60000000 0018 70ff fe800000000000000000000000000010 ff020000000000000000000000000012 3133c80100640000 fe800000000000000000000000000100",
	} {
		whole := wire(t, text)
		for n := range whole.Data {
			if a, ok := parseAdvert(Frame{Data: whole.Data[:n]}); ok {
				t.Errorf("%d of %d bytes read as %+v", n, len(whole.Data), a)
			}
			parseAnnouncement(Frame{Data: whole.Data[:n]})
		}
	}
}

func TestInteresting(t *testing.T) {
	vm, err := bpf.NewVM(interesting)
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.Repeat("00", 60)
	ipv4 := func(proto string) string { return etherIPv4 + "45c00020000000 00ff" + proto + rest }
	ipv6 := func(next, kind string) string {
		return etherIPv6 + "60000000 0018" + next + "ff" + strings.Repeat("00", 32) + kind + rest
	}
	for name, test := range map[string]struct {
		frame string
		want  bool
	}{
		"ARP":                       {"ffffffffffff 020000000001 0806" + rest, true},
		"VRRP":                      {ipv4("70"), true},
		"AH":                        {ipv4("33"), true},
		"ICMP":                      {ipv4("01"), false},
		"VRRP over IPv6":            {ipv6("70", "31"), true},
		"neighbour advertisement":   {ipv6("3a", "88"), true},
		"multicast listener report": {ipv6("3a", "84"), false},
		"UDP over IPv6":             {ipv6("11", "ff"), false},
		"something else":            {"ffffffffffff 020000000001 88cc" + rest, false},
	} {
		n, err := vm.Run(wire(t, test.frame).Data)
		if err != nil || (n > 0) != test.want {
			t.Errorf("%s: passed %v, %v", name, n > 0, err)
		}
	}
}
