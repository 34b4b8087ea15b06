package transport

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// People drop protocol 112 in the output chain to rehearse a failover. What a
// series sends passes there like anything else, and its refusal stops it.
func TestSeriesPassesTheOutputChain(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
			t.Fatal("install nftables")
		}
		t.Skip("needs nft (nftables)")
	}
	h := newHosts(t)
	left, right := h.pair(t, IPv4, true)
	series := func(data string) *Schedule {
		return NewSchedule(0, ages, left.Series(nil, Now(), ages, []Message{{Src: addr("192.0.2.1"), Dst: GroupIPv4, Data: []byte(data)}}))
	}
	filter := func(rules string) {
		t.Helper()
		h.left.do(t, func() error {
			cmd := exec.Command("nft", "-f", "-")
			cmd.Stdin = strings.NewReader(rules)
			out, err := cmd.CombinedOutput()
			return errors.Join(err, named(string(out), err))
		})
	}
	filter("table ip t {\n chain c {\n type filter hook output priority 0;\n ip protocol 112 ip ttl 255 drop\n }\n}")
	s := series("dropped")
	s.SendDue()
	if got, stopped := taken(s); len(got) != 0 || !stopped {
		t.Errorf("left: %v, stopped %t", got, stopped)
	}
	left.Queue(addr("192.0.2.1"), GroupIPv4, []byte("dropped too"))
	if _, failed := left.Flush(); len(failed) != 1 || !errors.Is(failed[0], unix.EPERM) {
		t.Errorf("the other socket: %v", failed)
	}
	filter("delete table ip t")
	s = series("advert")
	s.SendDue()
	if got := messages(receive(t, right, 1)); got != "advert" {
		t.Errorf("received %q", got)
	}
}

// Only what any other way would leave the same is sent as whole packets.
func TestWhatIsSentWhole(t *testing.T) {
	h := newHosts(t)
	left, _ := h.pair(t, IPv4, true)
	own, long := addr("192.0.2.1"), make([]byte, wholeMost-headerLen+1)
	for name, test := range map[string]struct {
		messages []Message
		whole    bool
	}{
		"multicast":        {[]Message{{Src: own, Dst: GroupIPv4, Data: long[1:]}, {Src: own, Dst: GroupIPv4}}, true},
		"unicast":          {[]Message{{Src: own, Dst: addr("192.0.2.2")}}, false},
		"one to unicast":   {[]Message{{Src: own, Dst: GroupIPv4}, {Src: own, Dst: addr("192.0.2.2")}}, false},
		"without a source": {[]Message{{Dst: GroupIPv4}}, false},
		"one that is long": {[]Message{{Src: own, Dst: GroupIPv4}, {Src: own, Dst: GroupIPv4, Data: long}}, false},
		"multicast, again": {[]Message{{Src: own, Dst: GroupIPv4}}, true},
	} {
		if got := left.Series(nil, Now(), ages, test.messages).fd == left.whole; got != test.whole {
			t.Errorf("%s: whole packets: %t", name, got)
		}
	}
	// While the interface is down the socket cannot be aimed; afterwards it is.
	h.left.setLink(t, "lan", false)
	down, _ := h.pair(t, IPv4, true)
	series := func() *Series { return down.Series(nil, Now(), ages, []Message{{Src: own, Dst: GroupIPv4}}) }
	if series().fd != down.fd {
		t.Error("whole packets on an interface that is down")
	}
	h.left.setLink(t, "lan", true)
	h.left.awaitCarrier(t, "lan")
	if series().fd != down.whole {
		t.Error("no whole packets on an interface that is up again")
	}
}

// The socket for whole packets hears nothing and goes with the other one.
func TestWholePacketsSocket(t *testing.T) {
	h := newHosts(t)
	left, right := h.pair(t, IPv4, true)
	if s := h.left.open(t, Config{Interface: "lan", Family: IPv6, Multicast: true}); s.whole != -1 {
		t.Errorf("on IPv6 there is one, %d", s.whole)
	}
	send(t, right, addr("192.0.2.2"), GroupIPv4, "advert")
	receive(t, left, 1)
	var b [1]byte
	if n, _, err := unix.Recvfrom(left.whole, b[:], unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("received %d bytes, %v", n, err)
	}
	fd := left.whole
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("it is open after Close: %v", err)
	}
}
