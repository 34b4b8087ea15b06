package sim

import (
	"flag"
	"runtime"
	"sync"
	"testing"

	"vrrpd/vrrp"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "play this seed alone and print its timeline")
	manySeeds = flag.Int("seeds", 0, "how many seeds to play; 0: 10000, fewer with -short or the race detector")
)

// enough is how many seeds are played by default.
func enough() int {
	switch {
	case *manySeeds > 0:
		return *manySeeds
	case raceDetector || testing.Short():
		return 1000
	}
	return 10_000
}

// TestSeeds plays seeds 1, 2, 3, … A failure prints what is needed to play it
// again:
//
//	go test ./vrrp/sim -run Seeds -seed N -v
func TestSeeds(t *testing.T) {
	if *oneSeed != 0 {
		v := Play(*oneSeed, true)
		t.Logf("seed %d\n%s", v.Seed, v.Timeline)
		if v.Broken != "" {
			t.Fatal(v.Broken)
		}
		return
	}
	seeds, shards := enough(), 2*runtime.GOMAXPROCS(0)
	var mutex sync.Mutex
	var total Verdict
	total.causes = map[vrrp.Cause]int{}
	failed := 0
	t.Run("shards", func(t *testing.T) {
		for shard := range shards {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for seed := 1 + shard; seed <= seeds; seed += shards {
					v := Play(uint64(seed), false)
					mutex.Lock()
					total.events += v.events
					total.yields += v.yields
					total.answers += v.answers
					for c, n := range v.causes {
						total.causes[c] += n
					}
					tell := false
					if v.Broken != "" {
						failed++
						tell = failed <= 3
					}
					mutex.Unlock()
					if v.Broken == "" {
						continue
					}
					t.Errorf("seed %d: %s", seed, v.Broken)
					if tell {
						t.Logf("seed %d\n%s", seed, Play(uint64(seed), true).Timeline)
					}
				}
			})
		}
	})
	t.Logf("%d seeds, %d failed, %d events, %d ties and better ones given way to, %d answers; %v", seeds, failed, total.events, total.yields, total.answers, total.causes)
}
