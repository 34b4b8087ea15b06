package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// keepalivedConf is a keepalived.conf as people have it. What it names is in a
// directory of the host's own.
const keepalivedConf = `
global_defs {
    script_user root
    enable_script_security
    vrrp_garp_master_delay 1
}

$LAN=192.0.2        # the network

vrrp_script service {
    script "%[1]s/check.sh %[1]s/up"
    interval 1
    weight -60
    fall 2
    user nobody
}

vrrp_instance VI_1 {
    state %[2]s
    interface eth0
    virtual_router_id 51
    priority %[3]d
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass s3cret
    }
    virtual_ipaddress {
        ${LAN}.100/24 dev eth0
    }
    virtual_ipaddress_excluded {
        198.51.100.7/32
    }
    track_script { service }
    notify_master "%[1]s/notify.sh 'up and running'"
    notify_backup "%[1]s/notify.sh down"
    notify "%[1]s/notify.sh all"
}
`

const notifyScript = "#!/bin/sh\nprintf '%s\\n' \"$*\" >> \"${0%/*}/told\"\n"

// TestMigration moves a pair from keepalived to vrrpd one node at a time, with
// what `vrrpctl config convert` makes of its files, and sees it do what it did:
// the priorities, the password, the addresses, the check and its weight, the
// notifications.
func TestMigration(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	sw := l.Switch("lan")
	client := sw.Host("client", "192.0.2.9/24")
	who := client.WhoHas("192.0.2.100", 50)
	old, hosts, files, dirs := map[string]*lab.Process{}, map[string]*lab.Host{}, map[string]string{}, map[string]string{}
	for i, name := range []string{"a", "b"} {
		hosts[name] = sw.Host(name, fmt.Sprintf("192.0.2.%d/24", i+1))
		dir, err := os.MkdirTemp("", "migrate")
		must(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		must(t, os.Chmod(dir, 0o755))
		put(t, dir+"/check.sh", movedScript, 0o755)
		put(t, dir+"/notify.sh", notifyScript, 0o755)
		put(t, dir+"/up", "", 0o644)
		conf := fmt.Sprintf(keepalivedConf, dir, []string{"MASTER", "BACKUP"}[i], []int{150, 100}[i])
		files[name], dirs[name] = l.WriteFile(name+".conf", conf), dir
		old[name] = hosts[name].KeepalivedConf(conf)
	}
	const settle = 20 * time.Second
	a, b := hosts["a"], hosts["b"]
	who.WaitOwner(a, settle)

	become := func(name string) *node {
		n := newNode(t, l, hosts[name], "")
		out, errs, status := n.ctl("config", "convert", files[name])
		if status != 0 {
			t.Fatalf("exit status %d: %s", status, errs)
		}
		t.Logf("%s%s", errs, out)
		n.configure(out)
		if _, errs, status := n.ctl("config", "check", n.file); status != 0 {
			t.Fatalf("exit status %d: %s", status, errs)
		}
		old[name].Term()
		must(t, old[name].Wait(10*time.Second))
		put(t, dirs[name]+"/told", "", 0o644)
		return n.start()
	}
	told := func(name string, want ...string) {
		t.Helper()
		lab.Until(t, settle, name+"'s notifications", func() bool {
			data, err := os.ReadFile(dirs[name] + "/told")
			must(t, err)
			for _, w := range want {
				if !strings.Contains(string(data), w+"\n") {
					return false
				}
			}
			return true
		})
	}

	standby := become("b")
	standby.waitState("VI_1", "backup", settle)
	told("b", "down", "all INSTANCE VI_1 BACKUP 100")
	active := become("a") // meanwhile b takes over, and a takes it back
	told("b", "up and running", "all INSTANCE VI_1 MASTER 100")
	who.WaitOwner(a, settle)
	told("a", "up and running", "all INSTANCE VI_1 MASTER 150")
	for _, address := range []string{"192.0.2.100", "198.51.100.7"} {
		a.WaitHas(address, settle)
		b.WaitHasNot(address, settle)
	}

	must(t, os.Remove(dirs["a"]+"/up")) // 150 - 60 is less than 100
	who.WaitOwner(b, settle)
	told("a", "down", "all INSTANCE VI_1 BACKUP 90")
	put(t, dirs["a"]+"/up", "", 0o644)
	who.WaitOwner(a, settle)
	active.stop()
	who.WaitOwner(b, settle)
	if state := standby.instance("VI_1").State; state != "active" {
		t.Errorf("b is %s in the end", state)
	}
}
