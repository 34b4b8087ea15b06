package sim

import (
	"flag"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"vrrpd/vrrp"
)

var (
	oneSeed   = flag.Uint64("seed", 0, "play this seed alone and print its timeline")
	firstSeed = flag.Uint64("from", 1, "the first of many seeds")
	manySeeds = flag.Uint64("seeds", 0, "how many seeds to play; 0: 10000, fewer with -short or the race detector")
)

// enough is how many seeds are played by default.
func enough() uint64 {
	switch {
	case *manySeeds > 0:
		return *manySeeds
	case raceDetector || testing.Short():
		return 1000
	}
	return 10_000
}

const (
	printed   = 3       // failures are printed with their timeline
	giveUp    = 50      // failures are enough
	milestone = 100_000 // seeds are worth a line
)

// A tally adds up what became of many seeds.
type tally struct {
	sync.Mutex
	Verdict
	played, failed uint64
}

// add counts a seed and returns whether its failure is to be printed with its
// timeline, and whether to go on.
func (a *tally) add(t *testing.T, v Verdict) (timeline, goOn bool) {
	a.Lock()
	defer a.Unlock()
	a.events += v.events
	a.yields += v.yields
	a.answers += v.answers
	a.rodeOut += v.rodeOut
	a.handed += v.handed
	a.smooth += v.smooth
	for c, n := range v.causes {
		a.causes[c] += n
	}
	if a.played++; a.played%milestone == 0 {
		t.Logf("%d seeds played, %d failed", a.played, a.failed)
	}
	if v.Broken != "" {
		a.failed++
		timeline = a.failed <= printed
	}
	return timeline, a.failed < giveUp
}

// TestSeeds plays seeds 1, 2, 3, … A failure prints what is needed to play it
// again:
//
//	go test ./vrrp/sim -run Seeds -seed N -v
//
// -from and -seeds choose others: see `make nightly`.
func TestSeeds(t *testing.T) {
	if *oneSeed != 0 {
		v := Play(*oneSeed, true)
		t.Logf("seed %d\n%s", v.Seed, v.Timeline)
		if v.Broken != "" {
			t.Fatal(v.Broken)
		}
		return
	}
	// Little is alive at a time, and much is made: it is enough to collect seldom.
	defer debug.SetGCPercent(debug.SetGCPercent(2000))
	end, shards := *firstSeed+enough(), uint64(2*runtime.GOMAXPROCS(0))
	total := &tally{Verdict: Verdict{causes: map[vrrp.Cause]int{}}}
	t.Run("shards", func(t *testing.T) {
		for shard := range shards {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for seed := *firstSeed + shard; seed < end; seed += shards {
					v := Play(seed, false)
					timeline, goOn := total.add(t, v)
					if v.Broken == "" {
						continue
					}
					t.Errorf("seed %d: %s\nplay it again: go test ./vrrp/sim -run Seeds -seed %d -v", seed, v.Broken, seed)
					if timeline {
						t.Logf("seed %d\n%s", seed, Play(seed, true).Timeline)
					}
					if !goOn {
						t.Fatal("enough failures")
					}
				}
			})
		}
	})
	t.Logf("%d seeds from %d on, %d failed, %d events, %d ties and better ones given way to, %d answers, %d changes of hands (%d undisturbed), %d losses of carrier ridden out; %v",
		total.played, *firstSeed, total.failed, total.events, total.yields, total.answers, total.handed, total.smooth, total.rodeOut, total.causes)
}
