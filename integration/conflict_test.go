package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vrrpd/internal/lab"
)

// TestCase88AddressOnAnotherHost: a host has the address for itself when the
// node becomes active. It is noticed, told and counted, whoever asks.
func TestCase88AddressOnAnotherHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, address, foreign string }{
		{"IPv4", "192.0.2.100/24", "192.0.2.1/24"},
		{"IPv6", "2001:db8::100/64", "2001:db8::1/64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			other := sw.Host("other", strings.Replace(c.foreign, "1/", "7/", 1))
			foreign, err := netlink.ParseAddr(c.address)
			if err != nil {
				t.Fatal(err)
			}
			foreign.Flags = unix.IFA_F_NODAD
			link, err := other.Netlink().LinkByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			if err := other.Netlink().AddrAdd(link, foreign); err != nil {
				t.Fatal(err)
			}
			r := lab.Router{Interval: 100 * time.Millisecond, Addresses: []string{c.address}}
			if r.IPv6() {
				r.Addresses = []string{"fe80::100/64", c.address}
			}
			a := newNode(t, l, sw.Host("a", c.foreign), r.Vrrpd("web")).start()
			a.waitState("web", "active", 10*time.Second)
			lab.Until(t, 20*time.Second, "the conflict to be noticed", func() bool {
				i := a.instance("web")
				return len(i.Conditions) == 1 && i.Conditions[0].Name == "address_conflict" && i.Conflicts > 0
			})
			mac := link.Attrs().HardwareAddr.String()
			for _, where := range []string{"status", "explain", "events"} {
				args := []string{where, "web"}
				if where == "events" {
					args = args[:1]
				}
				if out := a.must(args...); !strings.Contains(out, mac+" answers for "+c.address) {
					t.Errorf("%s does not tell:\n%s", where, out)
				}
			}
			if i := a.instance("web"); i.State != "active" {
				t.Errorf("it is %s", i.State)
			}
		})
	}
}
