package lab

import (
	"testing"
	"time"
)

// TestBlock: what is blocked is lost one way and between two hosts alone.
func TestBlock(t *testing.T) {
	Require(t, "nft", "nftables")
	l := New(t)
	sw := l.Switch("lan")
	a, b := sw.Host("a", "192.0.2.1/24"), sw.Host("b", "192.0.2.2/24")
	client := sw.Host("client", "192.0.2.9/24")
	near, far := client.WhoHas("192.0.2.1", 100), b.WhoHas("192.0.2.1", 100)
	near.WaitOwner(a, 5*time.Second)
	far.WaitOwner(a, 5*time.Second)
	for _, way := range [][2]*Host{{a, b}, {b, a}} {
		sw.Block(way[0], way[1])
		blocked := time.Now() // what was silent before is another silence
		Until(t, 10*time.Second, "silence", func() bool {
			r := far.Since(blocked)
			n := len(r.Gaps)
			return n > 0 && r.Gaps[n-1].Length() > 100*time.Millisecond && time.Since(r.Gaps[n-1].To) < 3*probeTimeout
		})
		near.WaitOwner(a, 5*time.Second)
		sw.Unblock()
		far.WaitOwner(a, 5*time.Second)
	}
	sw.Lose(a, b, 50)
	Until(t, 10*time.Second, "some answers lost and others not", func() bool { return len(far.Report().Gaps) > 10 })
	// On a busy machine an answer may come after the next question, and counts
	// as one to that: a few may be missing.
	if r := near.Stop(); r.Lost > r.Sent/10 {
		t.Errorf("the client lost some too: %s", r)
	}
	sw.Unblock()
	far.WaitOwner(a, 5*time.Second)
}
