package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestConfigConvert: the result on stdout, what is told of it on stderr, and
// the exit statuses.
func TestConfigConvert(t *testing.T) {
	const tutorial = "../../examples/tutorial/master.conf"
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out, errs, code := call(t, "", "config", "convert", tutorial)
	if code != exitDone || !strings.Contains(out, "[instance.VI_1]\n") || !strings.Contains(errs, "warning: "+tutorial+":19:5: vrrp_instance.VI_1.state: ") {
		t.Errorf("exit status %d, %s%s", code, errs, out)
	}
	converted := file("vrrpd.toml", strings.Replace(out, `"/usr/local/bin/check_nginx.sh"`, `"/bin/true"`, 1))
	if _, errs, code := call(t, "", "config", "check", converted); code != exitDone {
		t.Errorf("config check of it: exit status %d, %s", code, errs)
	}
	if again, _, code := call(t, "", "config", "convert", "--strict", tutorial); code != exitFindings || again != out {
		t.Errorf("--strict: exit status %d, %s", code, again)
	}
	var v map[string]map[string]any
	out, _, code = call(t, "", "config", "convert", "-o", "json", tutorial)
	if err := json.Unmarshal([]byte(out), &v); code != exitDone || err != nil || v["node"]["name"] != "master" {
		t.Errorf("-o json: exit status %d, %v: %s", code, err, out)
	}
	plain := file("plain.conf", "@^here priority 7\nvrrp_instance a {\n interface eth0\n virtual_router_id 1\n @here priority 9\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n")
	if out, errs, code = call(t, "", "config", "convert", "--strict", "--config-id", "here", plain); code != exitDone || errs != "" || !strings.Contains(out, "priority = 9\n") {
		t.Errorf("--config-id: exit status %d, %s%s", code, errs, out)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{fifo, file("bad.conf", "vrrp_instance a {\n"), filepath.Join(dir, "absent"), dir, file("empty.conf", "")} {
		if out, errs, code := call(t, "", "config", "convert", bad); code != exitUsage || out != "" || !strings.HasPrefix(errs, bad+":1:1: ") {
			t.Errorf("%s: exit status %d, %s%s", bad, code, errs, out)
		}
	}
}
