package lab

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// blockTable is the nftables table of a switch's drops, in the bridge's family:
// it sees what the switch forwards from one port to another.
const blockTable = "lab"

// Block makes the switch lose every frame that one host sends to another:
// unlike a cut, neither end sees its carrier go, and the other way stays open.
func (s *Switch) Block(from, to *Host) { s.lab.t.Helper(); s.Lose(from, to, 100) }

// Lose makes the switch lose that many of a hundred frames, at random, that one
// host sends to another.
func (s *Switch) Lose(from, to *Host, percent int) {
	s.lab.t.Helper()
	verdict := "drop"
	if percent < 100 {
		verdict = fmt.Sprintf("numgen random mod 100 < %d drop", percent)
	}
	// Adding what is there already changes nothing.
	s.nft(fmt.Sprintf("add table bridge %[1]s\n"+
		"add chain bridge %[1]s forward { type filter hook forward priority 0; policy accept; }\n"+
		"add rule bridge %[1]s forward iifname %[2]q oifname %[3]q %[4]s\n",
		blockTable, s.portName(from, "eth0"), s.portName(to, "eth0"), verdict))
}

// Unblock ends everything [Switch.Block] and [Switch.Lose] began.
func (s *Switch) Unblock() {
	s.lab.t.Helper()
	s.nft(fmt.Sprintf("add table bridge %[1]s\ndelete table bridge %[1]s\n", blockTable))
}

// nft runs commands of nftables in the switch, all or none.
func (s *Switch) nft(script string) {
	s.lab.t.Helper()
	cmd := exec.Command(Require(s.lab.t, "nft", "nftables"), "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := s.box.run(cmd); err != nil {
		s.lab.t.Fatalf("%s: nft: %v\n%s%s", s.Name, err, script, out)
	}
}

// Flap pulls the cable of the host's eth0 for a moment and returns how long
// it was without carrier.
func (s *Switch) Flap(h *Host, length time.Duration) time.Duration {
	s.lab.t.Helper()
	began := time.Now()
	s.Cut(h)
	time.Sleep(length)
	s.Heal(h)
	return time.Since(began)
}
