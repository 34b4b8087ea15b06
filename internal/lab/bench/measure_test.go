package main

import (
	"encoding/hex"
	"testing"
	"time"

	"vrrpd/internal/lab"
	"vrrpd/internal/lab/bench/figures"
	"vrrpd/vrrp"
)

// story is a recording in which host a is 0 and host b is 1.
func story(events ...lab.Seen) []lab.Seen { return events }

// epoch is when the recordings begin, in nanoseconds.
const epoch = int64(1e18)

func says(host uint16, vrid uint8, ms float64) lab.Seen {
	return lab.Seen{Kind: lab.SeenAdvert, Host: host, VRID: vrid, Priority: 100, At: epoch + int64(ms*1e6)}
}

func announces(host uint16, last byte, ms float64) lab.Seen {
	return lab.Seen{Kind: lab.SeenAnnounced, Host: host, Address: [4]byte{10, 100, 0, last}, At: epoch + int64(ms*1e6)}
}

func TestReadTakeover(t *testing.T) {
	tk := &takeover{routers: 2, interval: 10 * time.Millisecond}
	floor := figures.Milliseconds(int64(figures.DownInterval(tk.interval, backupPriority)))
	o := tk.read(0, 1, story(
		says(0, 1, 0), says(0, 2, 1), // the last advertisements of a
		says(1, 1, floor+0.25), announces(1, 1, floor+0.5), announces(1, 1, floor+0.6),
		says(1, 2, 1+floor+1), announces(1, 2, 1+floor+3),
		says(1, 1, floor+10.75),
	), 2)
	if len(o.overhead) != 2 || !near(figures.Quantile(o.overhead, 0), 0.25) || !near(figures.Max(o.overhead), 1) {
		t.Errorf("overhead %v", o.overhead)
	}
	if len(o.announced) != 2 || !near(o.announced[0], 0.25) || !near(o.announced[1], 2) || !near(figures.Max(o.served), 3) {
		t.Errorf("announced %v, served %v", o.announced, o.served)
	}
	if o.early != 0 || !near(o.spread, 1) || len(o.late) != 1 || !near(o.late[0], 0.5) {
		t.Errorf("early %d, spread %v, late %v", o.early, o.spread, o.late)
	}
	// A backup that was wrong, and yields, is not its takeover.
	o = tk.read(0, 1, story(says(0, 1, 0), says(1, 1, 36), says(0, 1, 37), says(1, 1, 37+floor+2)), 0)
	if o.early != 1 || len(o.overhead) != 1 || !near(o.overhead[0], 2) {
		t.Errorf("early %d, overhead %v", o.early, o.overhead)
	}
}

func near(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 }

func TestFalseTransitions(t *testing.T) {
	zero := says(1, 1, 9)
	zero.Priority = 0
	for _, test := range []struct {
		seen []lab.Seen
		want int
	}{
		{story(says(0, 1, 0), says(0, 1, 10)), 0},
		{story(says(0, 1, 0), says(1, 1, 40), says(1, 1, 50), says(0, 1, 55), says(0, 1, 65)), 1},
		{story(says(1, 1, 0), says(0, 1, 1), says(1, 1, 2), says(0, 1, 3)), 2},
		{story(says(0, 1, 0), zero), 0}, // it only leaves
	} {
		if got := falseTransitions(1, test.seen); got != test.want {
			t.Errorf("%+v: %d, want %d", test.seen, got, test.want)
		}
	}
}

// TestFrames: what the harness says in place of a router is valid, and what it
// floods with is not, by the product's own reading.
func TestFrames(t *testing.T) {
	source := [4]byte{192, 0, 2, 66}
	r := lab.Router{VRID: 51, Priority: 200, Interval: 100 * time.Millisecond, Addresses: []string{"192.0.2.100/24"}}
	// Checksum and all, it is what keepalived sends from 192.0.2.1.
	if got := hex.EncodeToString(message(r, [4]byte{192, 0, 2, 1})); got != "3133c801000aa1cbc0000264" {
		t.Errorf("message %s", got)
	}
	if f := advert(r, source); sum(f[14:34]) != 0xffff {
		t.Errorf("IP header %x", f[14:34])
	}
	if reason := judge(advert(r, source)); reason != vrrp.Accepted {
		t.Errorf("the advertisement: %v", reason)
	}
	for i, f := range malformed() {
		if judge(f) == vrrp.Accepted {
			t.Errorf("frame %d is valid", i)
		}
		for j, g := range malformed() {
			if i != j && string(f) == string(g) {
				t.Errorf("frames %d and %d are the same", i, j)
			}
		}
	}
}

// judge is what the product makes of a frame; a TTL below 255 is for the policy
// to refuse, and is refused here.
func judge(f []byte) vrrp.Reason {
	d, reason := vrrp.ParseIPv4(f[14:])
	if reason != vrrp.Accepted {
		return reason
	}
	if d.TTL != 255 {
		return vrrp.DropTTL
	}
	var a vrrp.Advert
	return vrrp.Decode(d, &a)
}

func TestParseTicks(t *testing.T) {
	for line, want := range map[string]ticks{
		"cpu  10 20 30 1000 500 1 2 4 7 7": {wanted: 67, stolen: 4},
		"cpu  10 20 30 1000":               {wanted: 60}, // before there was a hypervisor
		"cpu  10 x":                        {},
		"":                                 {},
	} {
		if got := parseTicks(line); got != want {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
	if now := readTicks(); now.wanted == 0 {
		t.Error("/proc/stat says nothing")
	}
}
