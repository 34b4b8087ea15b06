package lab

import (
	"bytes"
	"os/exec"
	"strings"
)

// Judgement is what tshark made of the VRRP packets in a capture.
type Judgement struct {
	Packets int
	Faults  []string // one line each; empty is what one hopes for
}

// Tshark has Wireshark's dissectors judge every VRRP packet of a capture file,
// and ends the test if any is malformed, has a wrong checksum, or if there is
// none at all.
//
// For VRRPv3 over IPv4 tshark knows one form of the checksum at a time: with the
// pseudo-header, unless the preference vrrp.v3_checksum_as_in_v2 is set, then over
// the message alone. A packet passes here if it is right in either form;
// [Advert.Checksum] tells which it is.
func Tshark(t T, pcap string) Judgement {
	t.Helper()
	j := Judge(t, pcap)
	switch {
	case j.Packets == 0:
		t.Fatalf("tshark: no VRRP packet in %s", pcap)
	case len(j.Faults) > 0:
		t.Fatalf("tshark: %d of %d packets are wrong:\n%s", len(j.Faults), j.Packets, strings.Join(j.Faults, "\n"))
	}
	return j
}

// Judge is [Tshark] where faults are expected.
func Judge(t T, pcap string) Judgement {
	t.Helper()
	verdicts := map[string]string{} // frame -> fault, of the last form tried
	var order []string
	for _, form := range []string{"FALSE", "TRUE"} {
		for _, line := range dissect(t, pcap, form) {
			frame, fault, _ := strings.Cut(line, "\t")
			fault = strings.TrimSpace(fault)
			before, seen := verdicts[frame]
			if !seen {
				order = append(order, frame)
			}
			if !seen || before != "" {
				verdicts[frame] = fault
			}
		}
	}
	j := Judgement{Packets: len(order)}
	for _, frame := range order {
		if fault := verdicts[frame]; fault != "" {
			j.Faults = append(j.Faults, "frame "+frame+": "+fault)
		}
	}
	return j
}

// dissect prints a line for each VRRP packet: its number, then whatever tshark
// finds remarkable about it.
func dissect(t T, pcap, messageOnly string) []string {
	t.Helper()
	cmd := exec.Command(Require(t, "tshark", "tshark"), "-n", "-r", pcap,
		"-o", "vrrp.v3_checksum_as_in_v2:"+messageOnly, "-o", "ip.check_checksum:TRUE",
		"-Y", "vrrp || ip.proto == 112 || ipv6.nxt == 112", "-T", "fields",
		"-e", "frame.number", "-e", "_ws.expert.message", "-e", "_ws.malformed")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("tshark: %v\n%s", err, errs.String())
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' })
}
