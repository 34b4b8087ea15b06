package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vrrpd/internal/control"
)

func TestJournalKeepsTheLast(t *testing.T) {
	j := newJournal()
	start := time.Unix(1_800_000_000, 0)
	const n = 3*journalSize + 17
	for i := range n {
		j.add(control.Event{Time: start.Add(time.Duration(i) * time.Second), Instance: fmt.Sprint("i", i%7)})
	}
	all := j.since(time.Time{})
	if len(all) < journalSize || len(all) > journalSize+chunkSize {
		t.Errorf("%d entries are kept", len(all))
	}
	for i, e := range all {
		if want := uint64(n - len(all) + i + 1); e.ID != want {
			t.Fatalf("entry %d has the number %d, want %d", i, e.ID, want)
		}
	}
	if got := j.since(start.Add((n - 3) * time.Second)); len(got) != 3 || got[0].ID != n-2 {
		t.Errorf("the last three: %+v", got)
	}
	if got := j.since(start.Add(n * time.Second)); got == nil || len(got) != 0 {
		t.Errorf("the future: %#v", got)
	}
	var numbers []uint64
	for _, e := range j.about("i3", 4) {
		if e.Instance != "i3" {
			t.Errorf("about another: %+v", e)
		}
		numbers = append(numbers, e.ID)
	}
	if len(numbers) != 4 || !slices.IsSorted(numbers) || numbers[3] < n-7 {
		t.Errorf("about i3: %d", numbers)
	}
}

func TestJournalEmpty(t *testing.T) {
	j := newJournal()
	if got := j.since(time.Time{}); got == nil || len(got) != 0 {
		t.Errorf("%#v", got)
	}
	if got := j.about("web", 10); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// What was read before does not change as more is added.
func TestJournalReadsAreSnapshots(t *testing.T) {
	j := newJournal()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2 * journalSize {
			j.add(control.Event{Text: fmt.Sprint(i)})
		}
	}()
	for {
		last := uint64(0)
		for _, e := range j.since(time.Time{}) {
			if e.Text != fmt.Sprint(e.ID-1) || last != 0 && e.ID != last+1 {
				t.Fatalf("number %d after %d: %q", e.ID, last, e.Text)
			}
			last = e.ID
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// A follower gets what happens from then on; one that does not read loses the
// rest, holds up nobody, and sees the gap.
func TestJournalFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		j.add(control.Event{Text: "before"})
		ctx, cancel := context.WithCancel(t.Context())
		good, lazy := j.follow(ctx), j.follow(ctx)
		for i := range followerSize + 10 {
			j.add(control.Event{Text: fmt.Sprint(i)})
			if e := <-good; e.Text != fmt.Sprint(i) {
				t.Fatal(e)
			}
		}
		for range followerSize {
			<-lazy
		}
		j.add(control.Event{Text: "after"})
		if e := <-lazy; e.Text != "after" || e.ID != followerSize+12 {
			t.Errorf("after the gap: %+v", e)
		}
		<-good
		cancel()
		synctest.Wait()
		for _, f := range []<-chan control.Event{good, lazy} {
			if e, open := <-f; open {
				t.Errorf("after the end: %+v", e)
			}
		}
		j.add(control.Event{Text: "nobody listens"})
		if len(j.followers) != 0 {
			t.Errorf("%d followers are kept", len(j.followers))
		}
	})
}

// A slow log is what a scribe is for.
type slowLog struct {
	gate chan struct{} // closed: write
	text strings.Builder
}

func (l *slowLog) Write(b []byte) (int, error) {
	<-l.gate
	return l.text.Write(b)
}
