package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"vrrpd/internal/build"
	"vrrpd/internal/control"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `[node]
name = "node1"
[check.nginx]
command = ["/bin/true"]
weight = -20
[check.disk]
command = ["/bin/true"]
[instance.web]
interface = "lo"
vrid = 51
priority = 100
addresses = ["192.0.2.100/24"]
track = ["nginx", "disk"]
`

func TestExitStatus(t *testing.T) {
	refused := control.Outcome{Results: []control.Result{
		{Instance: "web", OK: true, Text: "demoted"},
		{Instance: "db", Text: "interface eth1 is absent"},
		{Instance: "mail", Refused: true, Text: "nobody took over in 5s; serving on"},
	}}
	failed := control.Outcome{Results: refused.Results[:2], Warnings: []string{"no \x1b[31mlock"}}
	file := write(t, "a.toml", good)
	absent := write(t, "absent.toml", strings.Replace(good, `"lo"`, `"nosuch0"`, 1))
	bad := write(t, "bad.toml", "[instance.web]\nvrid = 300\nvird = 1\n")
	other := write(t, "b.toml", strings.NewReplacer("node1", "node2", "priority = 100", "priority = 90").Replace(good))
	unlike := write(t, "c.toml", strings.NewReplacer("node1", "node2", "vrid = 51", "vrid = 51\nversion = 2").Replace(good))
	for _, tc := range []struct {
		name    string
		args    string
		outcome *control.Outcome
		err     error
		code    int
		out     string // part of stdout
		errs    string // part of stderr; "": nothing at all
	}{
		{"status", "status", nil, nil, 0, "ACTIVE (MASTER)", ""},
		{"status of one", "status web", nil, nil, 0, "VRID 51, VRRPv3, ipv4 on bond0", ""},
		{"explain", "explain web", nil, nil, 0, "What would change it", ""},
		{"events", "events", nil, nil, 0, "backup -> active", ""},
		{"config show", "config show", nil, nil, 0, "[instance.web]", ""},
		{"demote", "demote web --for 10m --force --hard --persist --no-wait", nil, nil, 0, "web: demoted; 192.0.2.12 took over", ""},
		{"promote", "promote web", nil, nil, 0, "web: ", ""},
		{"announce", "announce", nil, nil, 0, "web: ", ""},
		{"reload", "reload", nil, nil, 0, "web: ", ""},
		{"check list", "check list", nil, nil, 0, "check_disk", ""},
		{"check show", "check show disk", nil, nil, 0, "95232", ""},
		{"check run", "check run disk", nil, nil, 5, "did not pass", ""},
		{"bond", "bond", nil, nil, 0, "bond1: healthy, 802.3ad", ""},
		{"one bond", "bond bond0", nil, nil, 0, "bond0: DEGRADED, active-backup", ""},
		{"drill", "drill web --kind bond --yes", nil, nil, 0, "web: stayed ACTIVE (MASTER)", "moving the active link to eth1"},
		{"version", "version", nil, nil, 0, build.Version, ""},
		{"--version", "--version", nil, nil, 0, "vrrpctl " + build.Version, ""},
		{"--help", "--help", nil, nil, 0, "Available Commands", ""},
		{"config check", "config check " + file, nil, nil, 0, file + ": ok, 1 instance, 2 checks", ""},
		{"config check of two", "config check --strict " + file + " " + other, nil, nil, 0, "nginx on node2", ""},
		{"defaults", "config show --defaults", nil, nil, 0, "advert_interval", ""},

		{"unknown instance", "status wbe", nil, nil, 1, "", `no instance "wbe"; did you mean "web"?`},
		{"unknown instance explained", "explain wbe", nil, nil, 1, "", `did you mean "web"?`},
		{"unknown instance demoted", "demote wbe", nil, &control.StatusError{Code: 404, Message: `there is no instance "wbe"`}, 1, "", `did you mean "web"?`},
		{"not now", "reload", nil, &control.StatusError{Code: 409, Message: "a reload is under way"}, 1, "", "vrrpctl: a reload is under way"},
		{"internal error", "status", nil, errors.New("netlink: no buffers"), 1, "", "netlink: no buffers"},
		{"one failed", "demote", &failed, nil, 1, "web: demoted", "vrrpctl: db: interface eth1 is absent"},
		{"a warning, tame", "demote", &failed, nil, 1, "", "warning: no \ufffd[31mlock"},

		{"unknown check", "check show dsik", nil, nil, 1, "", `no check "dsik"; did you mean "disk"?`},
		{"unknown check run", "check run dsik", nil, &control.StatusError{Code: 404, Message: `there is no check "dsik"`}, 1, "", `did you mean "disk"?`},
		{"check run as an unknown instance", "check run disk --as-instance wbe", nil, &control.StatusError{Code: 404, Message: `there is no instance "wbe"`}, 1, "", `did you mean "web"?`},
		{"which check", "check run", nil, nil, 2, "", "arg"},
		{"unknown bond", "bond bnod0", nil, nil, 1, "", `no bond "bnod0" on this host; did you mean "bond0"?`},
		{"drill refused", "drill --kind bond --yes", nil, &control.StatusError{Code: 409, Message: "a drill is under way already"}, 1, "", "under way already"},

		{"unknown command", "stauts", nil, nil, 2, "", `did you mean "status"?`},
		{"target of a demotion", "drill --target 192.0.2.1 --yes", nil, nil, 2, "", "--target is for --kind bond"},
		{"no such drill", "drill --kind fire --yes", nil, nil, 2, "", `"fire"`},
		{"drill without a terminal", "drill web --kind bond", nil, nil, 2, "", "takes --yes"},
		{"drill of a bad target", "drill --kind bond --target gateway --yes", nil, nil, 2, "", "such as 192.0.2.1"},
		{"too many bonds", "bond bond0 bond1", nil, nil, 2, "", "arg"},
		{"unknown subcommand", "config chekc", nil, nil, 2, "", `did you mean "check"?`},
		{"nothing", "", nil, nil, 2, "", "Available Commands"},
		{"unknown flag", "demote --gently", nil, nil, 2, "", "--gently"},
		{"too many", "status web db", nil, nil, 2, "", "arg"},
		{"too few", "explain", nil, nil, 2, "", "arg"},
		{"bad format", "status -o xml", nil, nil, 2, "", "table, json or yaml"},
		{"bad span", "demote --for ten", nil, nil, 2, "", "ten"},
		{"no span", "demote --for 0s", nil, nil, 2, "", "such as 10m"},
		{"span into the future", "events --since -1h", nil, nil, 2, "", "look back"},
		{"watch in JSON", "status --watch -o json", nil, nil, 2, "", "--watch"},
		{"unknown shell", "completion tcsh", nil, nil, 2, "", "tcsh"},
		{"reload of a bad file", "reload", nil, &control.StatusError{Code: 422, Message: "nothing was changed", Problems: []string{"/etc/vrrpd.toml:3:1: x: y; z"}}, 2, "", "/etc/vrrpd.toml:3:1: x: y; z\nvrrpctl: nothing was changed"},
		{"bad file", "config check " + bad, nil, nil, 2, "", bad + ":2:"},
		{"bad file, all of it", "config check " + bad, nil, nil, 2, "", bad + ":3:1: instance.web.vird: "},
		{"bad second file", "config check " + file + " " + bad, nil, nil, 2, file + ": ok", bad + ":2:"},
		{"no file", "config check /nonexistent", nil, nil, 2, "", "/nonexistent"},

		{"refused", "demote", &refused, nil, 4, "web: demoted", "vrrpctl: mail: nobody took over in 5s; serving on"},

		{"warnings", "config check " + absent, nil, nil, 0, "ok", "warning: " + absent + ":"},
		{"findings", "config check --strict " + absent, nil, nil, 5, "ok", "nosuch0"},
		{"a sick bond", "bond doctor", nil, nil, 5, "num_grat_arp is 0", ""},
		{"findings of two", "config check --strict " + file + " " + unlike, nil, nil, 5, "ok", "warning: web (VRID 51, ipv4): version 3 on node1, 2 on node2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := backend()
			b.Err = tc.err
			if tc.outcome != nil {
				b.Outcome = *tc.outcome
			}
			// The instances stay known while commands fail.
			var served control.Backend = b
			if tc.err != nil && (strings.HasPrefix(tc.args, "demote") || strings.HasPrefix(tc.args, "check run")) {
				served = demoteFails{Backend: backend(), err: tc.err}
			}
			out, errs, code := call(t, daemon(t, served), strings.Fields(tc.args)...)
			if code != tc.code {
				t.Errorf("exit status %d, want %d", code, tc.code)
			}
			if !strings.Contains(out, tc.out) {
				t.Errorf("stdout lacks %q:\n%s", tc.out, out)
			}
			if !strings.Contains(errs, tc.errs) || tc.errs == "" && errs != "" {
				t.Errorf("stderr lacks %q:\n%s", tc.errs, errs)
			}
		})
	}
}

// demoteFails is a daemon that answers everything but demotions and checks by
// hand.
type demoteFails struct {
	control.Backend
	err error
}

func (d demoteFails) Demote(context.Context, control.DemoteRequest) (*control.Outcome, error) {
	return nil, d.err
}

func (d demoteFails) RunCheck(context.Context, control.CheckRunRequest) (*control.CheckRun, error) {
	return nil, d.err
}

func TestNoDaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	for _, args := range []string{"status", "status web", "status --watch", "explain web", "events", "events -f", "bond", "bond doctor", "drill --yes", "drill --kind bond --yes", "demote", "promote web", "announce", "reload", "config show"} {
		out, errs, code := call(t, socket, strings.Fields(args)...)
		if code != 3 || out != "" || !strings.Contains(errs, socket) {
			t.Errorf("%s: exit status %d, %q, %q", args, code, out, errs)
		}
	}
	// --socket outranks the environment.
	if _, _, code := call(t, "/nonexistent", "status", "--socket", daemon(t, backend())); code != 0 {
		t.Errorf("--socket: exit status %d", code)
	}
}

// The request arrives as it was typed.
func TestDemoteRequest(t *testing.T) {
	b := backend()
	call(t, daemon(t, b), "demote", "web", "db", "--for", "10m", "--force", "--hard", "--persist", "--no-wait")
	want := []any{control.DemoteRequest{Instances: []string{"web", "db"}, For: 10 * time.Minute, Force: true, Hard: true, Persist: true, NoWait: true}}
	if d := cmp.Diff(want, b.Asked()); d != "" {
		t.Error(d)
	}
}

// JSON is the API's own, and YAML the same.
func TestFormats(t *testing.T) {
	socket := daemon(t, backend())
	file := write(t, "a.toml", good)
	for _, args := range []string{
		"status", "status web", "explain web", "events", "demote", "promote", "announce", "reload",
		"config show", "config show --defaults", "config check " + file, "version", "bond", "drill --kind bond --yes",
	} {
		t.Run(args, func(t *testing.T) {
			j, errs, code := call(t, socket, append(strings.Fields(args), "-o", "json")...)
			if code != 0 || errs != "" {
				t.Fatalf("exit status %d, %s", code, errs)
			}
			y, _, _ := call(t, socket, append(strings.Fields(args), "--output=yaml")...)
			var fromJSON, fromYAML any
			if err := json.Unmarshal([]byte(j), &fromJSON); err != nil {
				t.Fatalf("%v in %s", err, j)
			}
			if err := yaml.Unmarshal([]byte(y), &fromYAML); err != nil {
				t.Fatalf("%v in %s", err, y)
			}
			again, err := json.Marshal(fromYAML)
			if err != nil {
				t.Fatal(err)
			}
			var back any
			if err := json.Unmarshal(again, &back); err != nil {
				t.Fatal(err)
			}
			// Uptime and the like are canned: both are the same document.
			if d := cmp.Diff(fromJSON, back); d != "" {
				t.Error(d)
			}
		})
	}
	j, _, _ := call(t, socket, "status", "-o", "json")
	var s control.Status
	if err := json.Unmarshal([]byte(j), &s); err != nil || s.Instances[0].Name != "web" || !strings.Contains(j, `"uptime_seconds": 11527`) {
		t.Errorf("status: %v, %s", err, j)
	}
	// A refusal is in the outcome as well as in the exit status.
	b := backend()
	b.Outcome = control.Outcome{Results: []control.Result{{Instance: "web", Refused: true, Text: "nobody took over"}}}
	j, errs, code := call(t, daemon(t, b), "demote", "-o", "json")
	if code != 4 || !strings.Contains(j, `"refused": true`) || !strings.Contains(errs, "nobody took over") {
		t.Errorf("refusal: %d, %s, %s", code, j, errs)
	}
	// A file with errors is JSON too.
	j, errs, code = call(t, socket, "config", "check", "-o", "json", write(t, "bad.toml", "x = 1\n"))
	if code != 2 || !strings.Contains(j, `"ok": false`) || !strings.Contains(errs, "bad.toml:1:1") {
		t.Errorf("bad file: %d, %s, %s", code, j, errs)
	}
}

func TestDefaultRows(t *testing.T) {
	j, _, _ := call(t, "", "config", "show", "--defaults", "-o", "json")
	var rows []defaultRow
	if err := json.Unmarshal([]byte(j), &rows); err != nil {
		t.Fatal(err)
	}
	want := defaultRow{"control.socket", `"/run/vrrpd/vrrpd.sock"`, "an absolute path of at most 107 bytes"}
	found := false
	for _, r := range rows {
		found = found || r == want
		if r.Key == "" || r.Default == "" || strings.Contains(r.Key+r.Default+r.Limits, "  ") {
			t.Errorf("row %+v", r)
		}
	}
	if !found {
		t.Errorf("no %+v in %s", want, j)
	}
	if want.Default != fmt.Sprintf("%q", defaultSocket) {
		t.Errorf("the tool's default socket is %s", defaultSocket)
	}
}

// process is vrrpctl while it runs.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func startCall(t *testing.T, socket string, stderr io.Writer, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), vrrpctl, args...)
	cmd.Env = append(os.Environ(), "VRRPD_SOCKET="+socket)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd, bufio.NewReader(out)}
}

// interrupt is Ctrl-C; it returns the exit status.
func (p *process) interrupt(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, p.lines)
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) line(t *testing.T) string {
	t.Helper()
	l, err := p.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("read %q: %v", l, err)
	}
	return strings.TrimSuffix(l, "\n")
}

func TestFollow(t *testing.T) {
	for format, check := range map[string]func(t *testing.T, p *process, id uint64){
		"table": func(t *testing.T, p *process, id uint64) {
			if l := p.line(t); !strings.Contains(l, "event") && id > 42 {
				t.Errorf("event %d: %q", id, l)
			}
		},
		"json": func(t *testing.T, p *process, id uint64) {
			var e control.Event
			if l := p.line(t); json.Unmarshal([]byte(l), &e) != nil || e.ID != id {
				t.Errorf("event %d: %q", id, l)
			}
		},
	} {
		t.Run(format, func(t *testing.T) {
			b := backend()
			p := startCall(t, daemon(t, b), os.Stderr, "events", "-f", "-o", format)
			for id := uint64(40); id <= 42; id++ {
				check(t, p, id)
			}
			until(t, "it follows", func() bool { return b.Followers() == 1 })
			b.Emit(control.Event{ID: 42, Time: now, Kind: "check", Text: "event known already"})
			for id := uint64(43); id <= 45; id++ {
				b.Emit(control.Event{ID: id, Time: now, Kind: "check", Text: fmt.Sprintf("event %d", id)})
				check(t, p, id)
			}
			if code := p.interrupt(t); code != 0 {
				t.Errorf("exit status %d after Ctrl-C", code)
			}
		})
	}
}

func TestFollowEndsWithTheDaemon(t *testing.T) {
	b := backend()
	socket := filepath.Join(t.TempDir(), "s")
	l, _, err := control.Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(b, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	var errs strings.Builder
	p := startCall(t, socket, &errs, "events", "-f", "-o", "json")
	for range journal() {
		p.line(t)
	}
	for _, id := range []uint64{43, 46} {
		b.Emit(control.Event{ID: id, Kind: "check"})
		p.line(t)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(errs.String(), "ended the stream") || !strings.Contains(errs.String(), "2 events lost") {
		t.Errorf("exit status %d, %s", code, errs.String())
	}
}

func TestWatch(t *testing.T) {
	p := startCall(t, daemon(t, backend()), os.Stderr, "status", "--watch")
	for frames := 0; frames < 2; { // no terminal: one screen after the other
		if strings.HasPrefix(p.line(t), "node1  vrrpd") {
			frames++
		}
	}
	if code := p.interrupt(t); code != 0 {
		t.Errorf("exit status %d after Ctrl-C", code)
	}
}

// terminal opens a pseudo-terminal (pty(7)).
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		if os.Getenv("VRRPD_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no pseudo-terminals here (mount devpts): %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// readUntil reads the terminal until it has shown what.
func readUntil(t *testing.T, f *os.File, seen *strings.Builder, what string) {
	t.Helper()
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(testPatience); !strings.Contains(seen.String(), what); {
		if time.Now().After(deadline) {
			t.Fatalf("never showed %q: %q", what, seen.String())
		}
		n, err := f.Read(buf)
		if err != nil {
			t.Fatalf("terminal: %v after %q", err, seen.String())
		}
		seen.Write(buf[:n])
	}
}

func TestTerminal(t *testing.T) {
	socket := daemon(t, backend())
	for _, tc := range []struct {
		env   string
		color bool
	}{{"TERM=xterm", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}} {
		t.Run(tc.env, func(t *testing.T) {
			master, slave := terminal(t)
			cmd := exec.CommandContext(t.Context(), vrrpctl, "--socket", socket, "status")
			cmd.Env = []string{"TERM=xterm", tc.env}
			cmd.Stdout = slave
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var seen strings.Builder
			readUntil(t, master, &seen, "eth2")
			readUntil(t, master, &seen, "INTERFACE")
			cmd.Wait()
			if got := strings.Contains(seen.String(), "\x1b["); got != tc.color {
				t.Errorf("colours: %t, want %t", got, tc.color)
			}
		})
	}

	master, slave := terminal(t)
	cmd := exec.CommandContext(t.Context(), vrrpctl, "--socket", socket, "status", "--watch")
	cmd.Env = []string{"TERM=xterm"}
	cmd.Stdout = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	readUntil(t, master, &seen, "more lines") // 12 rows do not hold it all
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	readUntil(t, master, &seen, "\x1b[?7h\x1b[?25h") // wraps and shows its cursor again
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 || !strings.HasPrefix(seen.String(), "\x1b[?25l\x1b[?7l") {
		t.Errorf("exit status %d, %q", code, seen.String())
	}
}

func TestCompletion(t *testing.T) {
	socket := daemon(t, backend())
	complete := func(args ...string) string {
		out, _, _ := call(t, socket, append([]string{"__complete"}, args...)...)
		return out
	}
	if got := complete("demote", "web", ""); !strings.Contains(got, "db\tBACKUP") || !strings.Contains(got, "mail6\tFAULT") || strings.Contains(got, "web") {
		t.Errorf("demote web: %q", got)
	}
	if got := complete("status", ""); !strings.Contains(got, "web\tACTIVE (MASTER)") {
		t.Errorf("status: %q", got)
	}
	if got := complete("status", "web", ""); strings.Contains(got, "db") {
		t.Errorf("status web: %q", got)
	}
	if got := complete("status", "-o", ""); !strings.Contains(got, "yaml") {
		t.Errorf("-o: %q", got)
	}
	if out, _, code := call(t, "/nonexistent", "__complete", "demote", ""); code != 0 || strings.Contains(out, "web") {
		t.Errorf("without a daemon: %d, %q", code, out)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, errs, code := call(t, socket, "completion", shell)
		if code != 0 || errs != "" || !strings.Contains(out, "vrrpctl") {
			t.Errorf("%s: %d, %s", shell, code, errs)
		}
		path, err := exec.LookPath(shell)
		if err != nil || shell == "fish" {
			continue // not installed: the script is cobra's, and tested there
		}
		if msg, err := exec.Command(path, "-n", write(t, "script", out)).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v, %s", shell, err, msg)
		}
	}
}

// What the daemon runs with comes out as it is.
func TestConfigShow(t *testing.T) {
	b := backend()
	out, _, _ := call(t, daemon(t, b), "config", "show")
	if out != b.Config {
		t.Errorf("got %q", out)
	}
	var v map[string]any
	if _, err := toml.Decode(out, &v); err != nil {
		t.Error(err)
	}
}
