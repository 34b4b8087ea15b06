package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vrrpd/internal/config"
)

// A bell is a notifier whose commands are real scripts.
type bell struct {
	*notifier
	t      *testing.T
	dir    string
	mu     sync.Mutex
	failed []string
}

func newBell(t *testing.T) *bell {
	b := &bell{t: t, dir: t.TempDir()}
	b.notifier = newNotifier(inProcess{}, func(text string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.failed = append(b.failed, text)
	})
	t.Cleanup(func() {
		end := make(chan struct{})
		close(end)
		b.close(end)
	})
	return b
}

// script is a command that writes its arguments to a file of the test and then
// does something more.
func (b *bell) script(name, more string) []string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	text := "#!/bin/sh\necho \"$@\" >> " + b.dir + "/" + name + ".log\n" + more + "\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		b.t.Fatal(err)
	}
	return []string{path}
}

func (b *bell) log(name string) []string {
	text, err := os.ReadFile(filepath.Join(b.dir, name+".log"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	return strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", "_"))
}

// until waits for a log to read as given; blanks are underscores.
func (b *bell) until(name string, want ...string) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !slices.Equal(b.log(name), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s wrote %q, want %q", name, b.log(name), want)
		}
	}
}

func active(name string) notification {
	return notification{name: name, state: "ACTIVE", priority: 100}
}

func TestNotifyArguments(t *testing.T) {
	b := newBell(t)
	b.configure([]config.Notify{
		{Command: append(b.script("all", ""), "--fast")},
		{Command: b.script("web", ""), Instances: []string{"web"}, KeepalivedNames: true},
	})
	b.tell(active("web"))
	b.tell(notification{group: true, name: "site", state: "FAULT", priority: 80})
	b.close(make(chan struct{}))
	got := b.log("all")
	slices.Sort(got)
	if want := []string{"--fast_GROUP_site_FAULT_80", "--fast_INSTANCE_web_ACTIVE_100"}; !slices.Equal(got, want) {
		t.Errorf("all: %q, want %q", got, want)
	}
	if got, want := b.log("web"), []string{"INSTANCE_web_MASTER_100"}; !slices.Equal(got, want) {
		t.Errorf("web: %q, want %q", got, want)
	}
	if len(b.failed) != 0 {
		t.Errorf("failed: %q", b.failed)
	}
}

// Conditions are for those who ask, and overtake no state.
func TestNotifyConditions(t *testing.T) {
	b := newBell(t)
	b.configure([]config.Notify{{Command: b.script("all", ""), Conditions: true}, {Command: b.script("states", "")}})
	b.tell(active("web"))
	b.tell(notification{name: "web", state: "CONDITION", priority: 100, condition: "dual_active", turned: "on"})
	b.close(make(chan struct{}))
	got := b.log("all")
	slices.Sort(got)
	if want := []string{"INSTANCE_web_ACTIVE_100", "INSTANCE_web_CONDITION_100_dual_active_on"}; !slices.Equal(got, want) {
		t.Errorf("all: %q, want %q", got, want)
	}
	if got, want := b.log("states"), []string{"INSTANCE_web_ACTIVE_100"}; !slices.Equal(got, want) {
		t.Errorf("states: %q, want %q", got, want)
	}
}

// One command at a time for an instance, in order; what was overtaken while it
// ran is not told. Other instances do not wait.
func TestNotifySerialLatestWins(t *testing.T) {
	b := newBell(t)
	gate := b.dir + "/gate"
	b.configure([]config.Notify{{Command: b.script("n", "if [ $2 = web ]; then while [ ! -e "+gate+" ]; do sleep 0.01; done; fi; echo end $2 >> "+b.dir+"/n.log")}})
	b.tell(active("web"))
	b.until("n", "INSTANCE_web_ACTIVE_100")
	for _, state := range []string{"BACKUP", "ACTIVE", "FAULT"} {
		b.tell(notification{name: "web", state: state, priority: 100})
	}
	b.tell(active("db"))
	b.until("n", "INSTANCE_web_ACTIVE_100", "INSTANCE_db_ACTIVE_100", "end_db")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.until("n", "INSTANCE_web_ACTIVE_100", "INSTANCE_db_ACTIVE_100", "end_db", "end_web", "INSTANCE_web_FAULT_100", "end_web")
	b.close(make(chan struct{}))
	if len(b.queues) != 0 {
		t.Errorf("%d queues are kept", len(b.queues))
	}
}

// A group and an instance of one name are two.
func TestNotifyGroupOfTheSameName(t *testing.T) {
	b := newBell(t)
	b.configure([]config.Notify{{Command: b.script("n", "sleep 0.2")}})
	b.tell(notification{group: true, name: "web", state: "ACTIVE", priority: 100})
	b.tell(active("web"))
	b.close(make(chan struct{}))
	got := b.log("n")
	slices.Sort(got)
	if want := []string{"GROUP_web_ACTIVE_100", "INSTANCE_web_ACTIVE_100"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestNotifyReload(t *testing.T) {
	b := newBell(t)
	b.configure([]config.Notify{{Command: b.script("old", "")}})
	b.tell(active("web"))
	b.configure([]config.Notify{{Command: b.script("new", "")}})
	b.tell(notification{name: "web", state: "BACKUP", priority: 100})
	b.close(make(chan struct{}))
	b.until("old", "INSTANCE_web_ACTIVE_100")
	b.until("new", "INSTANCE_web_BACKUP_100")
	b.configure(nil)
	b.tell(active("web"))
}

func TestNotifyFailures(t *testing.T) {
	b := newBell(t)
	failing, absent := b.script("failing", "echo first; echo second; exit 3"), []string{b.dir + "/absent"}
	b.configure([]config.Notify{{Command: failing}, {Command: absent}})
	b.tell(active("web"))
	b.close(make(chan struct{}))
	slices.Sort(b.failed)
	want := []string{
		fmt.Sprintf("notification command %s for web ACTIVE: cannot start: no such file or directory", absent[0]),
		fmt.Sprintf("notification command %s for web ACTIVE: exit status 3: first", failing[0]),
	}
	if !slices.Equal(b.failed, want) {
		t.Errorf("got  %q\nwant %q", b.failed, want)
	}
}

// At its timeout a command is killed with its children, and told of.
func TestNotifyTimeout(t *testing.T) {
	b := newBell(t)
	b.timeout = 300 * time.Millisecond
	b.configure([]config.Notify{{Command: b.script("n", "sleep 1000 & sleep 1000")}})
	b.tell(active("web"))
	b.until("n", "INSTANCE_web_ACTIVE_100")
	b.tell(notification{name: "web", state: "BACKUP", priority: 100})
	b.close(make(chan struct{}))
	b.until("n", "INSTANCE_web_ACTIVE_100", "INSTANCE_web_BACKUP_100")
	if len(b.failed) != 2 || !strings.Contains(b.failed[0], "for web ACTIVE: killed at the timeout of 300ms") {
		t.Errorf("told: %q", b.failed)
	}
}

// Closing waits for what runs and is due, but only as long as it may.
func TestNotifyClose(t *testing.T) {
	b := newBell(t)
	b.configure([]config.Notify{{Command: b.script("n", "sleep 1000")}})
	b.tell(active("web"))
	b.until("n", "INSTANCE_web_ACTIVE_100")
	hurry := make(chan struct{})
	close(hurry)
	begin := time.Now()
	b.close(hurry)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	if len(b.failed) != 1 {
		t.Errorf("told: %q", b.failed)
	}
}
