package integration

import (
	"time"

	"golang.org/x/sys/unix"
)

// A fault is something that happens to a member; [faultStory.restore] undoes it.
// It may come on top of another one: the daemon may be dead or frozen by then.
type fault struct {
	name string
	do   func(s *faultStory, m *member)
}

// faultsOf is what can happen to a member.
func faultsOf(m *member) []fault {
	if m.vrrpd == nil {
		return networkFaults
	}
	return allFaults
}

var networkFaults = []fault{
	{"kill", func(_ *faultStory, m *member) { m.kill() }},
	{"stop", func(_ *faultStory, m *member) { m.term() }},
	{"freeze", func(_ *faultStory, m *member) { m.freeze() }},
	{"cut", func(s *faultStory, m *member) { s.sw.Cut(m.host) }},
	{"blip", func(s *faultStory, m *member) { s.sw.Flap(m.host, 30*time.Millisecond) }},
	{"link down", func(_ *faultStory, m *member) { m.host.Run("ip", "link", "set", "eth0", "down") }},
	{"mute", func(s *faultStory, m *member) { s.sw.Block(m.host, s.other(m).host) }},
	{"deafen", func(s *faultStory, m *member) { s.sw.Block(s.other(m).host, m.host) }},
	{"lose half of", func(s *faultStory, m *member) { s.sw.Lose(m.host, s.other(m).host, 50) }},
}

// allFaults can be done to vrrpd without damaging what is not its own.
var allFaults = append([]fault{
	{"kill and start", func(s *faultStory, m *member) { s.restart(m) }},
	{"kill and release", func(s *faultStory, m *member) {
		m.kill()
		if out, err := m.host.Try(program(s.t, "vrrpd"), "-c", m.vrrpd.file, "release"); err != nil {
			s.say("release on %s: %v: %s", m.host.Name, err, out)
		}
	}},
	{"stop at once", func(_ *faultStory, m *member) {
		m.term()
		time.Sleep(5 * time.Millisecond)
		m.term()
	}},
	{"stop and kill", func(_ *faultStory, m *member) {
		m.term()
		time.Sleep(20 * time.Millisecond)
		m.kill()
	}},
	{"reload", func(_ *faultStory, m *member) {
		for range 5 {
			m.signal(unix.SIGHUP)
			time.Sleep(3 * time.Millisecond)
		}
	}},
	{"break the file of", func(_ *faultStory, m *member) {
		m.vrrpd.configure("[instance.web]\nvrid = 300\n")
		m.signal(unix.SIGHUP)
	}},
	{"lower the priority of", func(s *faultStory, m *member) {
		m.vrrpd.configure(s.config(m, 50))
		m.signal(unix.SIGHUP)
	}},
	{"raise the priority of", func(s *faultStory, m *member) {
		m.vrrpd.configure(s.config(m, 200))
		m.signal(unix.SIGHUP)
	}},
	{"drop the instance of", func(s *faultStory, m *member) {
		m.vrrpd.configure("[instance.other]\ninterface = \"eth0\"\nvrid = 77\naddresses = [\"192.0.2.177/24\"]\n")
		m.signal(unix.SIGHUP)
	}},
	{"demote", func(s *faultStory, m *member) { s.ctl(m, "demote", "--no-wait", "web") }},
	{"demote hard", func(s *faultStory, m *member) { s.ctl(m, "demote", "--no-wait", "--hard", "--force", "web") }},
	{"demote and kill", func(s *faultStory, m *member) {
		s.ctl(m, "demote", "--no-wait", "--persist", "web")
		s.restart(m)
	}},
	{"delete the address on", func(_ *faultStory, m *member) {
		_, _ = m.host.Try("ip", "addr", "del", vip+"/24", "dev", "eth0") // where it is
	}},
	{"add the address on", func(_ *faultStory, m *member) {
		m.host.Run("ip", "addr", "replace", vip+"/24", "dev", "eth0")
	}},
	{"delete the own address of", func(_ *faultStory, m *member) {
		_, _ = m.host.Try("ip", "addr", "del", m.host.Addr(false).String()+"/24", "dev", "eth0") // a second time it is gone
	}},
	{"flush the addresses of", func(_ *faultStory, m *member) { m.host.Run("ip", "-4", "addr", "flush", "dev", "eth0") }},
}, networkFaults...)

// restart kills the daemon and starts it again; it needs a file it can read.
func (s *faultStory) restart(m *member) {
	m.kill()
	m.vrrpd.configure(s.config(m, 0))
	m.start()
}

// ctl asks the daemon for something. One that is dead or frozen does not
// answer, and need not.
func (s *faultStory) ctl(m *member, args ...string) {
	if m.frozen {
		return
	}
	_, errs, code := m.vrrpd.ctl(args...)
	if code != 0 {
		s.say("vrrpctl %s: exit %d: %s", args[0], code, errs)
	}
}
