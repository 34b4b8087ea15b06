package config

import "time"

var checkTable = &table{name: "check.NAME", about: "A health check, which instances follow by their key `track`. What it looks at is said by exactly one key: command, or one of those below it.", keys: []key{
	{name: "command", kind: kindStrings, sample: `["/usr/local/bin/check_nginx.sh", "--fast"]`,
		limits: "absolute path of a program that the user may execute and nobody else may replace, then its arguments", about: "What is run. Exit status 0 passes, any other fails, unless contract says otherwise. No shell is involved."},
	{name: "tcp", kind: kindProbe, shy: true, sample: `"192.168.1.10:5432"`, about: "Passes if a TCP connection can be made."},
	{name: "http", kind: kindProbe, shy: true, sample: `"http://127.0.0.1/health"`, about: "Passes if a web server answers well."},
	{name: "icmp", kind: kindProbe, shy: true, sample: `"192.168.1.1"`, about: "Passes if a host answers echo requests (ping)."},
	{name: "arp", kind: kindProbe, shy: true, sample: `{ address = "192.168.1.1", device = "eth0" }`, about: "Passes if a neighbour answers ARP, or neighbour discovery for IPv6: is the gateway, or another witness, there?"},
	{name: "process", kind: kindProbe, shy: true, sample: `"nginx"`, about: "Passes while a process of that name runs. Its death is noticed at once."},
	{name: "file", kind: kindProbe, shy: true, sample: `"/run/in-service"`, about: "Passes while the file exists; or holds a number, which is the weight. Changes are noticed at once."},
	{name: "interface", kind: kindProbe, shy: true, sample: `"eth1"`, about: "Passes while the interface is up and has carrier. Changes are noticed at once."},
	{name: "route", kind: kindProbe, shy: true, sample: `"0.0.0.0/0"`, about: "Passes while there is such a route, with carrier. Changes are noticed at once."},
	{name: "bond", kind: kindProbe, shy: true, sample: `"bond1"`, about: "Passes while the bond is healthy, as [bond.NAME] has it: for one that the instance does not run over. Changes are noticed at once."},
	{name: "grpc", kind: kindProbe, shy: true, sample: `"127.0.0.1:50051"`, about: "Passes if a gRPC server says that it, or one of its services, is serving."},
	{name: "unit", kind: kindProbe, shy: true, sample: `"nginx.service"`, about: "Passes while a unit of systemd is active. Changes are noticed at once."},
	{name: "dns", unbuilt: true},
	{name: "interval", kind: kindDuration, def: `"1s"`, low: 10 * time.Millisecond, top: day, sample: `"2s"`,
		about: "From the start of one run to the start of the next. If a run takes longer, the next is skipped. Many checks are spread over it."},
	{name: "timeout", kind: kindDuration, when: "the interval", low: 10 * time.Millisecond, top: day, sample: `"1s"`,
		about: "A run that takes longer has failed. A command is ended then, with all its processes."},
	{name: "rise", kind: kindInteger, def: "1", min: 1, max: 1000, about: "Runs in a row that must pass before the check does."},
	{name: "fall", kind: kindInteger, def: "1", min: 1, max: 1000, sample: "2", about: "Runs in a row that must fail before the check does."},
	{name: "hold_down", kind: kindDuration, def: `"0s"`, low: 0, top: day,
		about: "Against flapping: a check that has failed passes again this long after it last did so at the earliest."},
	{name: "initial", kind: kindString, def: `"unknown"`, choices: []string{"unknown", "passing", "failing"},
		about: "What the check counts as before its first verdict. unknown: no weight is added, and with weight 0 a backup is not promoted, but no active router dropped."},
	{name: "weight", kind: kindInteger, def: "0", min: -253, max: 253, sample: "-20",
		about: "0: while the check fails, the instance is in fault. Below 0: added to the priority while it fails. Above 0: added while it passes."},
	{name: "contract", kind: kindString, def: `"exit"`, choices: []string{"exit", "nagios"}, limits: "with command",
		about: "What the exit status means. exit: 0 passes, all else fails. nagios: 0 ok, 1 warning (passes), 2 critical, 3 unknown; performance data is shown and exported."},
	{name: "warning_weight", kind: kindInteger, def: "0", min: -253, max: 0, limits: `with contract = "nagios"`, shy: true, sample: "-10",
		about: "Added to the priority while the check passes with a warning."},
	{name: "unknown_grace", kind: kindDuration, def: `"30s"`, low: 0, top: day, limits: `with contract = "nagios"`, shy: true,
		about: "How long runs that end with status 3 leave all as it is. Then the check fails at once."},
	{name: "kill_grace", kind: kindDuration, def: `"500ms"`, low: 0, top: time.Minute, limits: "with command",
		about: "At the timeout the command gets SIGTERM, and this much later SIGKILL. 0s: SIGKILL at once."},
	{name: "user", kind: kindString, when: "`nobody` if vrrpd is root and can become nobody, else vrrpd's own", sample: `"nobody"`,
		limits: "with command; a user of this host", about: "Whom the command runs as."},
}}

// Keys that several kinds have.
var (
	sourceKey = key{name: "source", kind: kindString, when: "as routed", sample: `"192.168.1.10"`, limits: "an address of this host", about: "The address to ask from."}
	deviceKey = key{name: "device", kind: kindString, when: "as routed", sample: `"eth0"`, limits: "a Linux interface name", about: "The interface or VRF to ask over."}
)

func caKey(with string) key {
	return key{name: "ca_file", kind: kindString, when: "the authorities of the system", sample: `"/etc/vrrpd/ca.pem"`, limits: "an absolute path; with " + with,
		about: "The authorities that a certificate must come from, in PEM."}
}

func serverNameKey(with string) key {
	return key{name: "server_name", kind: kindString, when: "the host that is asked", sample: `"www.example.net"`, limits: "with " + with,
		about: "The name that a certificate must be for."}
}

func insecureKey(with string) key {
	return key{name: "insecure", kind: kindBoolean, def: "false", limits: "with " + with, about: "Accept any certificate."}
}

var tcpTable = &table{name: "check.NAME.tcp", about: "A TCP connection. A string in its place is the address.", keys: []key{
	{name: "address", kind: kindString, required: true, sample: `"192.168.1.10:5432"`, limits: "HOST:PORT", about: "Who is to accept the connection."},
	sourceKey, deviceKey,
}}

var httpCheckTable = &table{name: "check.NAME.http", about: "A web server. A string in its place is the URL.", keys: []key{
	{name: "url", kind: kindString, required: true, sample: `"http://127.0.0.1/health"`, limits: "http or https", about: "What is asked for."},
	{name: "unix_socket", kind: kindString, def: `""`, sample: `"/run/app.sock"`, limits: "an absolute path", about: "The socket to ask over, in place of TCP. The URL says what is asked for."},
	{name: "method", kind: kindString, def: `"GET"`, limits: "in capitals", about: "The method of the request."},
	{name: "status", kind: kindStrings, numbers: true, def: `["200-299"]`, limits: "codes and ranges of them", about: "The statuses that pass. Redirects are not followed."},
	{name: "body", kind: kindString, def: `""`, sample: `"welcome"`, limits: "a regular expression (RE2)", about: "What must match in the first 64 KiB of the body."},
	{name: "headers", kind: kindTable, def: "{}", sample: `{ Authorization = "Basic …" }`, limits: "strings", about: "Header fields to send besides."},
	{name: "host", kind: kindString, when: "that of the URL", sample: `"www.example.net"`, about: "The Host header field, and the name that a certificate must be for."},
	caKey("https"), serverNameKey("https"), insecureKey("https"),
	sourceKey, deviceKey,
}}

var grpcTable = &table{name: "check.NAME.grpc", about: "A gRPC server with the standard health service. A string in its place is the address.", keys: []key{
	{name: "address", kind: kindString, required: true, sample: `"127.0.0.1:50051"`, limits: "HOST:PORT", about: "Who is asked."},
	{name: "service", kind: kindString, def: `""`, sample: `"my.package.Service"`, about: "The service that is asked for. Empty: the server as a whole."},
	{name: "tls", kind: kindBoolean, def: "false", about: "Ask over TLS."},
	caKey("tls = true"), serverNameKey("tls = true"), insecureKey("tls = true"),
	sourceKey, deviceKey,
}}

var icmpTable = &table{name: "check.NAME.icmp", about: "A host that answers echo requests. A string in its place is the address.", keys: []key{
	{name: "address", kind: kindString, required: true, sample: `"192.168.1.1"`, limits: "an IP address", about: "Who is to answer."},
	{name: "count", kind: kindInteger, def: "1", min: 1, max: 10, about: "How many requests are sent, spread over the timeout. One answer is enough."},
	sourceKey, deviceKey,
}}

var arpTable = &table{name: "check.NAME.arp", about: "A neighbour that answers ARP or, for IPv6, neighbour solicitations.", keys: []key{
	{name: "address", kind: kindString, required: true, sample: `"192.168.1.1"`, limits: "an IP address", about: "Who is to answer."},
	{name: "device", kind: kindString, required: true, sample: `"eth0"`, limits: "a Linux interface name", about: "The interface to ask over."},
	{name: "source", kind: kindString, when: "an address of the interface", sample: `"192.168.1.10"`, limits: "IPv4", about: "The address to ask from."},
}}

var fileTable = &table{name: "check.NAME.file", about: "A file. A string in its place is the path.", keys: []key{
	{name: "path", kind: kindString, required: true, sample: `"/run/in-service"`, limits: "an absolute path", about: "Which file."},
	{name: "test", kind: kindString, def: `"exists"`, choices: []string{"exists", "absent", "number"},
		about: "What makes the check pass. number: a whole number from -253 to 253 is in the file; it is the weight, added while it is there, and the check never means fault."},
	{name: "max_age", kind: kindDuration, def: `"0s"`, low: 0, top: 365 * day, limits: "not with absent", about: "Fails if the file was last written longer ago. 0s: it may be of any age."},
}}

var processTable = &table{name: "check.NAME.process", about: "A process. A string in its place is the name. One of name, command_line and pid_file is required.", keys: []key{
	{name: "name", kind: kindString, sample: `"nginx"`, limits: "without a directory", about: "What the kernel calls the process (`ps -o comm`); of a script, its own name."},
	{name: "command_line", kind: kindString, sample: `"python3 .*/app\\.py"`, limits: "a regular expression (RE2)", about: "What must match in the arguments, joined by blanks."},
	{name: "pid_file", kind: kindString, sample: `"/run/nginx.pid"`, limits: "an absolute path", about: "The file with the number of the process."},
	{name: "min", kind: kindInteger, def: "1", min: 1, max: 64, limits: "not with pid_file", about: "How many must run."},
}}

var interfaceTable = &table{name: "check.NAME.interface", about: "A network interface. A string in its place is the name.", keys: []key{
	{name: "name", kind: kindString, required: true, sample: `"eth1"`, limits: "a Linux interface name", about: "Which interface."},
}}

var routeTable = &table{name: "check.NAME.route", about: "A route of the kernel. A string in its place is where to.", keys: []key{
	{name: "to", kind: kindString, required: true, sample: `"0.0.0.0/0"`, limits: "a prefix, or an address",
		about: "A prefix: there is a route of exactly that prefix. An address: the kernel knows a way there."},
	{name: "via", kind: kindString, when: "any, or none", sample: `"192.168.1.1"`, limits: "an address", about: "The gateway it must lead over."},
	{name: "device", kind: kindString, when: "any", sample: `"eth0"`, limits: "a Linux interface name", about: "The interface it must lead over."},
	{name: "table", kind: kindInteger, def: "254", min: 1, max: 1<<32 - 1, limits: "with a prefix", about: "The routing table it must be in. 254 is the main table."},
}}

var unitTable = &table{name: "check.NAME.unit", about: "A unit of systemd. A string in its place is the name.", keys: []key{
	{name: "name", kind: kindString, required: true, sample: `"nginx.service"`, limits: "no template", about: "Which unit. Without a type at its end it is a service."},
}}

var bondCheckTable = &table{name: "check.NAME.bond", about: "The health of a bond. A string in its place is the name.", keys: []key{
	{name: "name", kind: kindString, required: true, sample: `"bond1"`, limits: "a Linux interface name", about: "Which bond."},
	{name: "degraded", kind: kindString, def: `"failing"`, choices: []string{"passing", "failing"}, about: "What a bond counts as that works, but has lost redundancy."},
}}
