package integration

import (
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// TestGroupGainsMembersByReload adds an instance to a group with a reload of
// one node after the other, in either order. The clients of the first instance
// notice nothing, and in the end one node serves both.
func TestGroupGainsMembersByReload(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"a", "b"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			sw := l.Switch("lan")
			web := lab.Router{VRID: 51, Interval: 200 * time.Millisecond, Priority: 150, Addresses: []string{"192.0.2.100/24"}}
			db := lab.Router{VRID: 52, Interval: 200 * time.Millisecond, Priority: 150, Addresses: []string{"192.0.2.101/24"}}
			text := func(priority int, both bool) string {
				web.Priority, db.Priority = priority, priority
				if !both {
					return web.Vrrpd("web") + "[group.site]\ninstances = [\"web\"]\n"
				}
				return web.Vrrpd("web") + db.Vrrpd("db") + "[group.site]\ninstances = [\"web\", \"db\"]\n"
			}
			a := newNode(t, l, sw.Host("a", "192.0.2.1/24"), text(150, false)).start()
			a.waitState("web", "active", 20*time.Second)
			b := newNode(t, l, sw.Host("b", "192.0.2.2/24"), text(100, false)).start()
			b.waitState("web", "backup", 20*time.Second)
			echo := sw.Host("client", "192.0.2.9/24").Echo("192.0.2.100", 100)
			echo.WaitAnswered(10 * time.Second)
			since := a.instance("web").Since

			reloadA := func() { a.configure(text(150, true)); a.must("reload") }
			reloadB := func() { b.configure(text(100, true)); b.must("reload") }
			if first == "a" {
				reloadA()
				a.waitState("db", "active", 20*time.Second)
				reloadB()
			} else {
				reloadB()
				sent := a.instance("web").Adverts.Sent
				lab.Until(t, 20*time.Second, "b's new instance to wait for its group", func() bool { return a.instance("web").Adverts.Sent > sent+8 })
				if i := b.instance("db"); i.State != "backup" {
					t.Errorf("db on b is %s without its group", i.State)
				}
				reloadA()
			}
			a.waitState("db", "active", 20*time.Second)
			b.waitState("db", "backup", 20*time.Second)
			sent := a.instance("db").Adverts.Sent
			lab.Until(t, 20*time.Second, "some more advertisements", func() bool { return a.instance("db").Adverts.Sent > sent+8 })
			for name, want := range map[*node]string{a: "active", b: "backup"} {
				for _, i := range name.status().Instances {
					if i.State != want {
						t.Errorf("%s on %s is %s", i.Name, name.host.Name, i.State)
					}
				}
			}
			if i := a.instance("web"); !i.Since.Equal(since) {
				t.Errorf("web on a is %s since %s, was since %s\n%s", i.State, i.Since, since, a.must("events"))
			}
			if seen := echo.Stop(); seen.LongestGap > unnoticed {
				t.Errorf("the clients of web noticed: %s", seen)
			}
		})
	}
}
