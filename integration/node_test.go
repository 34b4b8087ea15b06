package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/control"
	"vrrpd/internal/lab"
)

// program is the path of one of the programs under test, which TestMain built.
func program(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(os.Getenv(programsVar), name)
}

// A node is a host that runs vrrpd.
type node struct {
	t      testing.TB
	host   *lab.Host
	proc   *lab.Process
	file   string
	config string
	socket string
}

// newNode prepares a host; config is everything but [control].
func newNode(t testing.TB, l *lab.Lab, host *lab.Host, config string) *node {
	t.Helper()
	// A socket's path is short (unix(7)), and the lab's directory has the name of the test.
	dir, err := os.MkdirTemp("", "vrrpd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: t, host: host, socket: filepath.Join(dir, host.Name+".sock")}
	n.config = config
	n.file = l.WriteFile(host.Name+".toml", n.text(config))
	return n
}

func (n *node) text(config string) string {
	return fmt.Sprintf("[node]\nname = %q\n[control]\nsocket = %q\ngroup = \"\"\n%s", n.host.Name, n.socket, config)
}

// configure replaces the configuration file; it does not reload.
func (n *node) configure(config string) {
	n.t.Helper()
	n.config = config
	if err := os.WriteFile(n.file, []byte(n.text(config)), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// start starts the daemon and waits until it answers.
func (n *node) start() *node {
	n.t.Helper()
	return n.startCommand(program(n.t, "vrrpd"), "-c", n.file)
}

// startCommand is start by another command that becomes the daemon.
func (n *node) startCommand(name string, args ...string) *node {
	n.t.Helper()
	return n.startCmd(exec.Command(name, args...))
}

// startCmd is that for a command with an environment or credentials of its own.
func (n *node) startCmd(cmd *exec.Cmd) *node {
	n.t.Helper()
	n.proc = n.host.StartCmd(cmd)
	lab.Until(n.t, 10*time.Second, n.host.Name+" to answer", func() bool {
		if n.proc.Exited() {
			n.t.Fatalf("vrrpd on %s ended:\n%s", n.host.Name, n.proc.Output())
		}
		_, err := n.tryStatus()
		return err == nil
	})
	return n
}

func (n *node) tryStatus() (*control.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c := control.NewClient(n.socket)
	defer c.Close()
	return c.Status(ctx, "")
}

func (n *node) status() *control.Status {
	n.t.Helper()
	s, err := n.tryStatus()
	if err != nil {
		n.t.Fatalf("status of %s: %v\n%s", n.host.Name, err, n.proc.Output())
	}
	return s
}

func (n *node) instance(name string) control.Instance {
	n.t.Helper()
	for _, i := range n.status().Instances {
		if i.Name == name {
			return i
		}
	}
	n.t.Fatalf("%s has no instance %s", n.host.Name, name)
	return control.Instance{}
}

// waitState waits until an instance is in a state.
func (n *node) waitState(instance, state string, timeout time.Duration) {
	n.t.Helper()
	lab.Until(n.t, timeout, fmt.Sprintf("%s on %s to be %s", instance, n.host.Name, state), func() bool {
		return n.instance(instance).State == state
	})
}

// ctl runs vrrpctl and returns both outputs and its exit status.
func (n *node) ctl(args ...string) (stdout, stderr string, status int) {
	n.t.Helper()
	cmd := exec.Command(program(n.t, "vrrpctl"), append([]string{"--socket", n.socket}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is ctl for what has to succeed.
func (n *node) must(args ...string) string {
	n.t.Helper()
	out, errs, status := n.ctl(args...)
	if status != 0 {
		n.t.Fatalf("vrrpctl %s: exit %d\n%s%s", strings.Join(args, " "), status, out, errs)
	}
	return out
}

// events returns the journal.
func (n *node) events() []control.Event {
	n.t.Helper()
	var list []control.Event
	if err := json.Unmarshal([]byte(n.must("events", "-o", "json")), &list); err != nil {
		n.t.Fatal(err)
	}
	return list
}

// stop ends the daemon in order.
func (n *node) stop() {
	n.t.Helper()
	n.proc.Term()
	if err := n.proc.Wait(10 * time.Second); err != nil {
		n.t.Fatalf("vrrpd on %s: %v\n%s", n.host.Name, err, n.proc.Output())
	}
}
