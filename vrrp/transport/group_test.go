package transport

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// members returns how many memberships in the family's group the kernel
// counts on the interface.
func members(t *testing.T, n namespace, f Family) string {
	t.Helper()
	if f == IPv6 { // "2  lan  ff020000000000000000000000000012  1 …"
		for line := range strings.Lines(n.read(t, "igmp6")) {
			fields := strings.Fields(line)
			if len(fields) > 3 && fields[1] == "lan" && fields[2] == "ff020000000000000000000000000012" {
				return fields[3]
			}
		}
		return "0"
	}
	on := "" // "2  lan  : …", then its groups: "  <in_addr>  1 …"
	for line := range strings.Lines(n.read(t, "igmp")) {
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "\t") {
			on = fields[1]
		} else if group := fields[0]; on == "lan" && (group == "120000E0" || group == "E0000012") {
			return fields[1]
		}
	}
	return "0"
}

func TestMembership(t *testing.T) {
	h := newHosts(t)
	for _, f := range []Family{IPv4, IPv6} {
		check := func(after, want string) {
			t.Helper()
			if got := members(t, h.left, f); got != want {
				t.Errorf("%s, after %s: %s members, want %s", f, after, got, want)
			}
		}
		s := h.left.open(t, Config{Interface: "lan", Family: f})
		check("Open without multicast", "0")
		for _, step := range []struct {
			name string
			do   func() error
			want string
		}{
			{"SetMulticast(false) when not joined", func() error { return s.SetMulticast(false) }, "0"},
			{"SetMulticast(true)", func() error { return s.SetMulticast(true) }, "1"},
			{"SetMulticast(true) again", func() error { return s.SetMulticast(true) }, "1"},
			{"Rejoin", s.Rejoin, "1"},
			{"Join", s.Join, "1"},
			{"Leave", s.Leave, "0"},
			{"Rejoin when not joined", s.Rejoin, "1"},
			{"Close", s.Close, "0"},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%s, %s: %v", f, step.name, err)
			}
			check(step.name, step.want)
		}
		s = h.left.open(t, Config{Interface: "lan", Family: f, Multicast: true})
		check("Open with multicast", "1")
		s.Close()
	}
}

// Rejoin reports the membership on the wire, which is what it is for.
func TestRejoinReports(t *testing.T) {
	h := newHosts(t)
	h.left.do(t, func() error { // each report once, so that a later one is a new one
		return os.WriteFile("/proc/sys/net/ipv4/igmp_qrv", []byte("1"), 0)
	})
	sniffer := h.right.sniff(t, unix.ETH_P_IP)
	awaitReport := func(after string) {
		t.Helper()
		for {
			packet := sniffer.next(t, after)
			header := int(packet[0]&0xf) * 4
			if packet[9] != unix.IPPROTO_IGMP || len(packet) < header+16 || packet[header] != 0x22 {
				continue // not an IGMPv3 report (RFC 3376 section 4.2)
			}
			record := packet[header+8:]
			// 4: change to exclude nothing, that is to join
			if record[0] == 4 && [4]byte(record[4:8]) == GroupIPv4.As4() {
				return
			}
		}
	}
	left, _ := h.pair(t, IPv4, true)
	awaitReport("Open")
	if err := left.Rejoin(); err != nil {
		t.Fatal(err)
	}
	awaitReport("Rejoin")
}

// What a socket that has left does not hear, one that has not does.
func TestLeaveIsHeard(t *testing.T) {
	h := newHosts(t)
	for _, test := range []struct {
		family      Family
		left, right string
	}{{IPv4, "192.0.2.1", "192.0.2.2"}, {IPv6, "fe80::1", "fe80::2"}} {
		left, right := h.pair(t, test.family, true)
		stays := h.left.open(t, Config{Interface: "lan", Family: test.family, Multicast: true})
		if err := left.Leave(); err != nil {
			t.Fatal(err)
		}
		send(t, right, addr(test.right), test.family.Group(), "group")
		send(t, right, addr(test.right), addr(test.left), "you")
		if got := messages(receive(t, left, 1)); got != "you" {
			t.Errorf("%s: received %q after leaving", test.family, got)
		}
		if got := messages(receive(t, stays, 2)); got != "group you" {
			t.Errorf("%s: received %q, still joined", test.family, got)
		}
	}
}

// A socket that joins again, in another goroutine as that may take long, hears what
// arrives meanwhile.
func TestRejoinHearsOn(t *testing.T) {
	h := newHosts(t)
	for _, f := range []Family{IPv4, IPv6} {
		s := h.left.open(t, Config{Interface: "lan", Family: f, Multicast: true})
		over := make(chan error, 1)
		go func() {
			for range 300 {
				if err := s.Rejoin(); err != nil {
					over <- err
					return
				}
			}
			over <- nil
		}()
		for heard := true; ; {
			select {
			case err := <-over:
				if err != nil || !heard {
					t.Errorf("%s: %v, heard all the while: %t", f, err, heard)
				}
			default:
				heard = heard && s.concerns(f.Group())
				continue
			}
			break
		}
	}
}
