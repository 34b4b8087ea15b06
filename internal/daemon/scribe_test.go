package daemon

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func testLog(w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "vrrpd", Output: w, DisableTime: true, Level: hclog.Debug})
}

func TestScribeWrites(t *testing.T) {
	var text strings.Builder
	j := newJournal()
	s := newScribe(testLog(&text), j, newNotifier(inProcess{}, func(string) {}))
	at := time.Unix(1_800_000_000, 0)
	s.tell(note{at: at, kind: kindTransition, level: levelInfo, instance: "web", from: "backup", to: "active", cause: "timeout", text: "no advertisement from anybody for 3.61s"})
	s.tell(note{at: at, kind: kindCheck, level: levelWarn, check: "nginx", text: "check nginx is failing: exit status 2"})
	s.tell(note{at: at, kind: kindWarning, level: levelError, text: "trouble"})
	s.tell(note{at: at, kind: kindDaemon, level: levelDebug, text: "detail"})
	s.close()
	want := `[INFO]  vrrpd: transition: instance=web from=backup to=active cause=timeout why="no advertisement from anybody for 3.61s"
[WARN]  vrrpd: check nginx is failing: exit status 2: check=nginx
[ERROR] vrrpd: trouble
[DEBUG] vrrpd: detail
`
	if got := text.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	all := j.since(time.Time{})
	if len(all) != 4 || all[0].From != "backup" || all[0].Cause != "timeout" || !all[0].Time.Equal(at) || all[1].Check != "nginx" || all[2].Kind != kindWarning {
		t.Errorf("journal: %+v", all)
	}
}

// A log that takes nothing holds up nobody, keeps a bounded number of notes
// waiting, and does not keep the daemon from ending.
func TestScribeWithABlockedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{gate: make(chan struct{})}
		j := newJournal()
		s := newScribe(testLog(log), j, newNotifier(inProcess{}, func(string) {}))
		s.tell(note{kind: kindWarning, text: "first"})
		synctest.Wait() // it is being written
		begin := time.Now()
		for i := range scribeBacklog + 123 {
			s.tell(note{kind: kindWarning, text: fmt.Sprint(i)})
		}
		if time.Since(begin) != 0 {
			t.Error("telling waited")
		}
		if len(s.waiting) != scribeBacklog {
			t.Errorf("%d notes wait", len(s.waiting))
		}
		if all := j.since(time.Time{}); all[len(all)-1].Text != fmt.Sprint(scribeBacklog+122) {
			t.Error("the journal waits for the log")
		}
		s.close()
		if took := time.Since(begin); took != closePatience {
			t.Errorf("closing took %s", took)
		}
		close(log.gate)
		<-s.done
		if text := log.text.String(); !strings.Contains(text, "log entries were lost because the log was not taking them: entries=123\n") {
			t.Error("the loss is not told")
		}
	})
}
