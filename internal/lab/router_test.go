package lab

import (
	"strings"
	"testing"
	"time"
)

func TestRouter(t *testing.T) {
	r := Router{Version: 2, VRID: 7, Priority: 90, Interval: 2 * time.Second, NoPreempt: true,
		Addresses: []string{"192.0.2.100/24", "192.0.2.101/24"},
		Unicast:   []string{"192.0.2.2"}, Source: "192.0.2.1", Pass: "secret"}
	for _, line := range []string{"version 2", "interface eth0", "virtual_router_id 7", "priority 90", "advert_int 2\n",
		"nopreempt", "unicast_src_ip 192.0.2.1", "\t\t192.0.2.2\n", "auth_pass secret", "\t\t192.0.2.101/24\n"} {
		if text := r.Keepalived("VI_1"); !strings.Contains(text, line) {
			t.Errorf("keepalived: no %q in\n%s", line, text)
		}
	}
	if text, err := r.FRR(); err == nil {
		t.Errorf("FRR is to speak unicast with a password:\n%s", text)
	}
	r.Unicast, r.Pass = nil, ""
	text, err := r.FRR()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"interface eth0\n", " vrrp 7 version 2\n", " vrrp 7 advertisement-interval 2000\n",
		" no vrrp 7 preempt\n", " vrrp 7 ip 192.0.2.101\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("FRR: no %q in\n%s", line, text)
		}
	}
	if got := r.VirtualMAC(); got != "00:00:5e:00:01:07" {
		t.Errorf("IPv4: %s", got)
	}
	r.Addresses = []string{"fe80::100/64"}
	if got := r.VirtualMAC(); got != "00:00:5e:00:02:07" {
		t.Errorf("IPv6: %s", got)
	}
}

func TestTestPattern(t *testing.T) {
	if got := testPattern("TestA/b.c"); got != `^TestA$/^b\.c$` {
		t.Error(got)
	}
}
