package lab

// Part keeps hosts of the switch from hearing each other, while each keeps
// its carrier and still talks with everybody else: a switch that lost its
// uplink, or a firewall between two nodes.
func (s *Switch) Part(hosts ...*Host) { s.lab.t.Helper(); s.isolate("on", hosts) }

// Join ends what Part began.
func (s *Switch) Join(hosts ...*Host) { s.lab.t.Helper(); s.isolate("off", hosts) }

// isolate sets the bridge's port isolation: an isolated port passes frames to
// and from ports that are not isolated alone.
func (s *Switch) isolate(value string, hosts []*Host) {
	s.lab.t.Helper()
	for _, h := range hosts {
		s.box.Run("bridge", "link", "set", "dev", s.ports[h.Name+"/eth0"], "isolated", value)
	}
}
