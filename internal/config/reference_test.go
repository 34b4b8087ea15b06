package config

import (
	"os"
	"strings"
	"testing"
)

// TestReference: docs/ holds what the table of keys says. -update writes it.
func TestReference(t *testing.T) {
	expect(t, "../../docs/reference.md", ReferenceMarkdown())
	expect(t, "../../docs/reference.toml", ReferenceTOML())
}

// TestReferenceLoads: the reference is a configuration.
func TestReferenceLoads(t *testing.T) {
	plan, problems := Parse("reference.toml", []byte(ReferenceTOML()), testEnv())
	if plan == nil || len(problems) > 0 {
		t.Fatal(strings.Join(problems.Strings(), "\n"))
	}
	roundTrip(t, plan)
}

// TestTableOfKeys: all literals are TOML that fits the key, and every key is
// in each form of the reference.
func TestTableOfKeys(t *testing.T) {
	text, markdown, file := Defaults(), ReferenceMarkdown(), ReferenceTOML()
	for _, table := range allTables() {
		for i := range table.keys {
			k := &table.keys[i]
			for _, literal := range []string{k.def, k.sample} {
				if literal == "" || k.unbuilt && k.only == "" {
					continue
				}
				if _, wrong := k.convert(constant(literal)); wrong != nil {
					t.Errorf("%s.%s: %s: %s", table.name, k.name, literal, wrong.what)
				}
			}
			if !k.unbuilt && k.about == "" {
				t.Errorf("%s.%s says nothing about itself", table.name, k.name)
			}
			if !strings.Contains(text, table.name+"."+k.name+" ") || !strings.Contains(markdown, "`"+k.name+"`") {
				t.Errorf("%s.%s is missing in the reference", table.name, k.name)
			}
			if !strings.Contains(file, "\n"+k.name+" = ") && !strings.Contains(file, "# "+k.name+" = ") &&
				!strings.Contains(file, "# "+k.name+": ") && !strings.Contains(file, "#   "+k.name+": ") {
				t.Errorf("%s.%s is missing in reference.toml", table.name, k.name)
			}
		}
	}
}

// TestRoundTrip: what a plan prints loads to an equal plan, whatever it uses.
func TestRoundTrip(t *testing.T) {
	data, err := os.ReadFile("testdata/warn.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{minimal, string(data), `
[node]
name = "no\"de\\ \u00e9"
[control]
group = ""
[http]
listen = "[::1]:9112"
[check."a.b"]
command = ["/bin/sh", "-c", "printf 'a\tb\n' | grep -q a", "\u0007", "a long argument so that the array does not fit one line of the file, which is a hundred"]
user = "daemon"
fall = 3
[check.db]
tcp = { address = "db.example:5432", source = "192.0.2.8", device = "bond0" }
initial = "failing"
hold_down = "1m"
[check.plain]
tcp = "[2001:db8::1]:80"
timeout = "200ms"
[check.plugin]
command = ["/usr/lib/nagios/plugins/check_load"]
contract = "nagios"
weight = -20
warning_weight = -5
unknown_grace = "2m"
kill_grace = "0s"
[check.page]
http = "https://192.0.2.1/health"
[check.pages.http]
url = "https://192.0.2.1/"
method = "HEAD"
status = [200, "300-399"]
body = "^ok$"
headers = { Accept = "text/plain", X-A = "b" }
host = "www.example.net"
ca_file = "/etc/ssl/ca.pem"
server_name = "example.net"
source = "192.0.2.8"
device = "eth0"
[check.local.http]
url = "http://localhost/"
unix_socket = "/run/app.sock"
[check.loose]
http = { url = "https://localhost/", insecure = true }
[check.gateway]
icmp = { address = "fe80::1%eth0", count = 3 }
[check.ping]
icmp = "192.0.2.1"
[check.witness]
arp = { address = "192.0.2.1", device = "eth0", source = "192.0.2.8" }
[check.rpc]
grpc = "127.0.0.1:50051"
[check.rpcs]
grpc = { address = "rpc.example.net:443", service = "a.B", tls = true, server_name = "b.example.net", insecure = true }
[check.service]
unit = "nginx.service"
[check.nginx]
process = "nginx"
[check.app]
process = { command_line = "python3 .*/app\\.py", min = 3 }
[check.pid]
process = { name = "nginx", pid_file = "/run/nginx.pid" }
[check.mark]
file = { path = "/run/maintenance", test = "absent" }
[check.fresh]
file = { path = "/run/beat", max_age = "10s" }
[check.number]
file = { path = "/run/weight", test = "number" }
[check.up]
interface = "eth1"
initial = "passing"
[check.way]
route = "192.0.2.1"
[check.default]
route = { to = "0.0.0.0/0", via = "192.0.2.1", device = "eth0", table = 100 }
[check.bond1]
bond = "bond1"
[check.bond2.bond]
name = "bond2"
degraded = "passing"
[instance."web.1"]
interface = "bond0"
vrid = 1
version = 2
addresses = ["192.0.2.1", { address = "192.0.2.2/24", label = "bond0:0" }, { address = "192.0.2.3/24", interface = "bond0.5", label = "bond0.5:x" }]
extra_addresses = ["fe80::1/64"]
track = [{ check = "a.b", weight = -5 }, "db", "plain", { check = "plugin", warning_weight = 0 }, "nginx", "app", "pid", "page", "pages", "local", "loose", "service", "rpc", "rpcs", "gateway", "ping", "witness", "mark", "fresh", "number",
  "up", "way", "default", "bond1", "bond2"]
auth = { type = "pass", password_file = "/etc/vrrpd/pass" }
unicast = { source = "192.0.2.8", peers = ["192.0.2.9"] }
handover_timeout = "1m30s"
announce = { refresh = "1h" }
[instance.b]
interface = "bond0"
vrid = 2
advert_interval = "30ms"
addresses = ["192.0.2.4/24"]
track = ["a.b"]
preempt = true
[group.g]
instances = ["b"]
[[notify]]
command = ["/bin/true"]
[[notify]]
command = ["/bin/false"]
instances = ["g"]
keepalived_names = true
`} {
		plan, problems := Parse("f", []byte(text), testEnv())
		if plan == nil {
			t.Fatal(problems.Strings())
		}
		roundTrip(t, plan)
	}
}

// TestSecretsAreNotShown: who may read the configuration need not know what a
// check authenticates itself with.
func TestSecretsAreNotShown(t *testing.T) {
	plan, problems := Parse("f", []byte(minimal+`track = ["a"]
[check.a.http]
url = "http://user:hunter2@192.0.2.1/"
headers = { Authorization = "Bearer hunter2", X-Api-Key = "hunter2", Accept = "text/plain" }
`), testEnv())
	if plan == nil {
		t.Fatal(problems.Strings())
	}
	_, target := plan.Checks[0].Describe()
	shown := plan.TOML(true) + target
	if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "text/plain") || !strings.Contains(shown, "user:xxxxx@") {
		t.Error(shown)
	}
}
